// One kernel for each mistake that the emulated machine must report; test_machine.py holds the message against each.
#include "../../csrc/cuda/common.cuh"

namespace broken {
using bigan::launch;

constexpr unsigned kAll = 0xFFFFFFFFu;

__global__ void divergent_barrier(int* out) {
  if (threadIdx.x < 32)
    __syncthreads();
  else
    __syncthreads();
  out[threadIdx.x] = 1;
}
__global__ void exit_before_barrier(int* out) {
  if (threadIdx.x == 3) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}
__global__ void shuffle_deadlock(int* out) {  // lane 0 waits for lanes that wait in the barrier
  if (threadIdx.x == 0) out[0] = __shfl_sync(kAll, 1, 0);
  __syncthreads();
}
__global__ void mask_without_caller(int* out) { out[threadIdx.x] = __shfl_xor_sync(0x0000FFFFu, 1, 1); }
__global__ void mask_names_exited(int* out) {
  if (threadIdx.x == 5) return;
  out[threadIdx.x] = __shfl_xor_sync(kAll, 1, 1);
}
__global__ void mask_names_absent(int* out) {  // launched with 16 threads
  out[threadIdx.x] = __shfl_xor_sync(kAll, 1, 1);
}
__global__ void lanes_disagree(int* out) {
  if (threadIdx.x % 2)
    out[threadIdx.x] = __shfl_xor_sync(kAll, 1, 1);
  else
    out[threadIdx.x] = __shfl_xor_sync(kAll, 1, 2);
}
__global__ void outside_mask(int* out) {  // lanes 0..15 read lanes 16..31, which do not take part
  if (threadIdx.x < 16) out[threadIdx.x] = __shfl_xor_sync(0x0000FFFFu, 7, 16);
}
__global__ void read_past_end(int* out, int n) { out[threadIdx.x] = out[threadIdx.x + 1] + n; }
__global__ void write_before_start(int* out) { out[static_cast<int>(threadIdx.x) - 1] = 1; }
__global__ void read_in_no_tensor(int* out, long offset) { out[0] = out[offset]; }
__global__ void shared_overrun(int* out) {
  SHARED_ARRAY(int, buffer, [32]);
  int* p = buffer;  // so that the compiler does not know the bound
  p[threadIdx.x + out[0]] = 1;
  __syncthreads();
  out[threadIdx.x] = p[threadIdx.x];
}
__global__ void dynamic_overrun(int* out) {
  DYNAMIC_SHARED(int, buffer);
  buffer[threadIdx.x] = 1;
  __syncthreads();
  out[threadIdx.x] = buffer[threadIdx.x];
}
__global__ void array_bound(int* out) {
  int table[4] = {1, 2, 3, 4};
  out[threadIdx.x] = table[out[threadIdx.x]];
}
__global__ void uninitialised_shared(int* out) {
  SHARED_ARRAY(int, buffer, [64]);
  if (threadIdx.x < 32) buffer[threadIdx.x] = 0;
  __syncthreads();
  out[threadIdx.x] = buffer[threadIdx.x];
}
__global__ void misaligned(float* out) { *reinterpret_cast<float4*>(out + 1) = make_float4(1, 2, 3, 4); }
__global__ void shift_too_far(int* out) { out[threadIdx.x] = 1 << (out[threadIdx.x] + 32); }
__global__ void signed_overflow(int* out) { out[threadIdx.x] = (out[threadIdx.x] + 2147483647) * 2; }
__global__ void float_to_int(int* out, float x) { out[threadIdx.x] = static_cast<int>(x); }
__global__ void deep_stack(int* out) {
  volatile char local[80 * 1024];
  local[threadIdx.x] = 1;
  local[sizeof local - 1 - threadIdx.x] = 1;
  for (unsigned i = 0; i < sizeof local; i += 64) local[i] = 0;
  out[threadIdx.x] = local[threadIdx.x];
}
__global__ void order_dependent(float* out) {  // every block and thread adds, with no atomic and no order
  for (int i = 0; i < 4; ++i) out[0] = out[0] * 0.5f + static_cast<float>(threadIdx.x + blockIdx.x);
}
__global__ void missing_barrier(int* out) {
  SHARED_ARRAY(int, buffer, [64]);
  buffer[threadIdx.x] = static_cast<int>(threadIdx.x);
  out[threadIdx.x] = buffer[63 - threadIdx.x];
}
__global__ void fine(int* out) {  // no cell belongs to two blocks
  if (threadIdx.x % gridDim.x == blockIdx.x) out[threadIdx.x] = static_cast<int>(blockIdx.x) + 1;
}

__global__ void __launch_bounds__(64) bounded(int* out) { out[threadIdx.x % 64] = 1; }

}  // namespace broken

#define CASE(N, KERNEL, THREADS, ...) \
  case N: return bigan::launch(broken::KERNEL, grid, THREADS, shared, nullptr, __VA_ARGS__);

extern "C" int broken_run(int which, int* out, int grid, long shared) {
  switch (which) {
    CASE(0, divergent_barrier, 64, out)
    CASE(1, exit_before_barrier, 64, out)
    CASE(2, shuffle_deadlock, 32, out)
    CASE(3, mask_without_caller, 32, out)
    CASE(4, mask_names_exited, 32, out)
    CASE(5, mask_names_absent, 16, out)
    CASE(6, lanes_disagree, 32, out)
    CASE(7, outside_mask, 32, out)
    CASE(8, read_past_end, 64, out, 0)
    CASE(9, write_before_start, 64, out)
    CASE(10, read_in_no_tensor, 1, out, 1L << 30)
    CASE(11, shared_overrun, 32, out)
    CASE(12, dynamic_overrun, 64, out)
    CASE(13, array_bound, 64, out)
    CASE(14, uninitialised_shared, 64, out)
    CASE(15, misaligned, 1, reinterpret_cast<float*>(out))
    CASE(16, shift_too_far, 64, out)
    CASE(17, signed_overflow, 64, out)
    CASE(18, float_to_int, 64, out, 1e20f)
    CASE(19, deep_stack, 32, out)
    CASE(20, order_dependent, 64, reinterpret_cast<float*>(out))
    CASE(21, missing_barrier, 64, out)
    CASE(22, fine, 64, out)
    CASE(23, fine, 2048, out)
    CASE(25, bounded, 128, out)
    case 24: {  // host code must not follow a device pointer
      return *out == 12345 ? -2 : bigan::launch(broken::fine, grid, 64, shared, nullptr, out);
    }
  }
  return -1;
}
