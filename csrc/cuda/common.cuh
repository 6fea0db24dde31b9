// What kernels share: accumulation types, four values at a time, sums in a fixed order, the last block of a grid.
// Blocks are one-dimensional here.
#pragma once
#include "common.h"
#include "cuda_port.h"

namespace bigan {

// ---- types -----------------------------------------------------------------------------------------------------
// Sums and formulas are in float, in double for double.
template <class T>
struct Accumulator {
  using type = float;
};
template <>
struct Accumulator<double> {
  using type = double;
};
template <class T>
using acc_t = typename Accumulator<T>::type;

__device__ __forceinline__ float to_acc(float v) { return v; }
__device__ __forceinline__ double to_acc(double v) { return v; }
__device__ __forceinline__ float to_acc(__half v) { return __half2float(v); }
__device__ __forceinline__ float to_acc(__nv_bfloat16 v) { return __bfloat162float(v); }
__device__ __forceinline__ float to_acc(uint8_t v) { return static_cast<float>(v); }

__device__ __forceinline__ void from_acc(float v, float* out) { *out = v; }
__device__ __forceinline__ void from_acc(double v, double* out) { *out = v; }
__device__ __forceinline__ void from_acc(float v, __half* out) { *out = __float2half_rn(v); }
__device__ __forceinline__ void from_acc(float v, __nv_bfloat16* out) { *out = __float2bfloat16_rn(v); }

template <class T>
struct Type {
  using type = T;
};
// Host: calls f(Type<T>()) with the element type, e.g. dispatch(args.dtype, [&](auto t) { return run<typename
// decltype(t)::type>(args); }). Returns f's cudaError_t.
template <class F>
int dispatch(Dtype dtype, F&& f) {
  switch (dtype) {
    case Dtype::kFloat: return f(Type<float>());
    case Dtype::kDouble: return f(Type<double>());
    case Dtype::kHalf: return f(Type<__half>());
    case Dtype::kBFloat16: return f(Type<__nv_bfloat16>());
  }
  return cudaErrorInvalidValue;
}

// ---- four values at a time -------------------------------------------------------------------------------------
// The accesses below are 4 * sizeof(T) bytes, two of 16 for double.
template <class T>
constexpr size_t kVectorBytes = sizeof(T) == 8 ? 16 : 4 * sizeof(T);

template <class T>
__host__ __device__ __forceinline__ bool aligned4(const T* p) {
  return reinterpret_cast<size_t>(p) % kVectorBytes<T> == 0;
}

// p must be aligned4 and point at data that the kernel does not write.
__device__ __forceinline__ void load4(const float* p, float (&v)[4]) {
  const float4 q = __ldg(reinterpret_cast<const float4*>(p));
  v[0] = q.x, v[1] = q.y, v[2] = q.z, v[3] = q.w;
}
__device__ __forceinline__ void load4(const double* p, double (&v)[4]) {
  const double2 a = __ldg(reinterpret_cast<const double2*>(p)), b = __ldg(reinterpret_cast<const double2*>(p) + 1);
  v[0] = a.x, v[1] = a.y, v[2] = b.x, v[3] = b.y;
}
__device__ __forceinline__ void load4(const __nv_bfloat16* p, float (&v)[4]) {  // bfloat16 is the upper half of a float
  const uint2 q = __ldg(reinterpret_cast<const uint2*>(p));
  v[0] = __uint_as_float(q.x << 16), v[1] = __uint_as_float(q.x & 0xFFFF0000u);
  v[2] = __uint_as_float(q.y << 16), v[3] = __uint_as_float(q.y & 0xFFFF0000u);
}
struct alignas(8) Half4 {
  __half v[4];
};
struct alignas(8) BFloat4 {
  __nv_bfloat16 v[4];
};
__device__ __forceinline__ void load4(const __half* p, float (&v)[4]) {
  union {
    uint2 words;
    Half4 halves;
  };
  words = __ldg(reinterpret_cast<const uint2*>(p));
  for (int i = 0; i < 4; ++i) v[i] = __half2float(halves.v[i]);
}
__device__ __forceinline__ void load4(const uint8_t* p, float (&v)[4]) {
  const uchar4 q = __ldg(reinterpret_cast<const uchar4*>(p));
  v[0] = q.x, v[1] = q.y, v[2] = q.z, v[3] = q.w;
}

// p must be aligned4.
__device__ __forceinline__ void store4(float* p, const float (&v)[4]) {
  *reinterpret_cast<float4*>(p) = make_float4(v[0], v[1], v[2], v[3]);
}
__device__ __forceinline__ void store4(double* p, const double (&v)[4]) {
  reinterpret_cast<double2*>(p)[0] = make_double2(v[0], v[1]);
  reinterpret_cast<double2*>(p)[1] = make_double2(v[2], v[3]);
}
__device__ __forceinline__ void store4(__half* p, const float (&v)[4]) {
  Half4 q;
  for (int i = 0; i < 4; ++i) q.v[i] = __float2half_rn(v[i]);
  *reinterpret_cast<Half4*>(p) = q;
}
__device__ __forceinline__ void store4(__nv_bfloat16* p, const float (&v)[4]) {
  BFloat4 q;
  for (int i = 0; i < 4; ++i) q.v[i] = __float2bfloat16_rn(v[i]);
  *reinterpret_cast<BFloat4*>(p) = q;
}

// Any address, any number of values: the next min(left, 4) values of a row, `fill` after its end. `vector`: every
// group of four in the row is aligned4 (see vector_rows).
template <class T>
__device__ __forceinline__ void read4(const T* p, int64_t left, bool vector, acc_t<T> (&v)[4], acc_t<T> fill = 0) {
  if (vector && left >= 4) {
    load4(p, v);
  } else {
    for (int i = 0; i < 4; ++i) v[i] = i < left ? to_acc(p[i]) : fill;
  }
}
template <class T>
__device__ __forceinline__ void write4(T* p, int64_t left, bool vector, const acc_t<T> (&v)[4]) {
  if (vector && left >= 4) {
    store4(p, v);
  } else {
    for (int i = 0; i < 4; ++i)
      if (i < left) from_acc(v[i], p + i);
  }
}
// Are groups of four aligned in every row of a matrix whose rows start `stride` elements apart?
template <class T>
__host__ __device__ __forceinline__ bool vector_rows(const T* p, int64_t stride) {
  return aligned4(p) && stride * sizeof(T) % kVectorBytes<T> == 0;
}

// ---- sums ------------------------------------------------------------------------------------------------------
// A fixed tree: the result depends on the values alone, and every lane gets the same bits.
template <class T>
__device__ __forceinline__ T warp_sum(T v) {
  for (int d = 16; d > 0; d /= 2) v += __shfl_xor_sync(0xFFFFFFFFu, v, d);
  return v;
}

// Every thread gets the sum over the block. All threads must call it; it may be called again at once.
template <int kThreads, class T>
__device__ __forceinline__ T block_sum(T v) {
  static_assert(kThreads % 32 == 0 && kThreads <= 1024, "whole warps, one value each for the last one");
  constexpr int kWarps = kThreads / 32;
  SHARED_ARRAY(T, partial, [kWarps]);
  v = warp_sum(v);
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  __syncthreads();  // an earlier call's readers are done
  if (lane == 0) partial[warp] = v;
  __syncthreads();
  return warp_sum(lane < kWarps ? partial[lane] : T(0));
}

// True in every thread of the block that comes here last of `blocks`, once for each ticket; it then sees what the other
// blocks wrote before they came (read that with __ldcg). *ticket must be 0 at the start of the launch.
__device__ __forceinline__ bool is_last_block(uint32_t* ticket, uint32_t blocks) {
  SHARED_ARRAY(uint32_t, arrived, [1]);
  __syncthreads();  // all that this block wrote, before thread 0 announces it
  if (threadIdx.x == 0) {
    __threadfence();  // the results before the ticket
    arrived[0] = atomicAdd(ticket, 1u);
    __threadfence();  // the ticket before the others' results
  }
  __syncthreads();
  return arrived[0] == blocks - 1;
}
__device__ __forceinline__ bool is_last_block(uint32_t* ticket) {  // of the grid
  return is_last_block(ticket, gridDim.x * gridDim.y * gridDim.z);
}

// Sum of n values that other blocks wrote, for is_last_block; in a fixed order, for every thread.
template <int kThreads, class T>
__device__ __forceinline__ T sum_of_blocks(const T* values, int64_t n) {
  T sum = 0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) sum += __ldcg(values + i);
  return block_sum<kThreads>(sum);
}

}  // namespace bigan
