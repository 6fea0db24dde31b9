#include "groups.cuh"
#include "ternary_adversarial.h"

namespace bigan {

constexpr int kThreads = kAdversarialThreads;
constexpr int kMinBlocks = 2;  // at most 128 registers a thread

// Rows b .. b + 3 of a group, 12 values.
template <class T>
__device__ __forceinline__ void read_rows(const LogitGroup& g, int64_t b, bool vector, acc_t<T> (&v)[3][4]) {
  for (int i = 0; i < 3; ++i) group_read4<T>(g, 3 * b + 4 * i, 3 * g.count, vector, v[i]);
}

template <class T, int kGroup>
__device__ __forceinline__ void add_losses(const TernaryAdversarialArgs& a, acc_t<T> (&sums)[12]) {
  using A = acc_t<T>;
  const LogitGroup& g = a.groups[kGroup];
  const bool vector = vector_group<T>(g);
  for (int64_t b = first_four(); b < g.count; b += next_four()) {
    A v[3][4];
    read_rows<T>(g, b, vector, v);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (b + i >= g.count) break;
      A own, to_real, uniform;
      bool right;
      row_losses<kGroup>(v[3 * i / 4][3 * i % 4], v[(3 * i + 1) / 4][(3 * i + 1) % 4], v[(3 * i + 2) / 4][(3 * i + 2) % 4],
                         &own, &to_real, &uniform, &right);
      sums[4 * kGroup] += own;
      sums[4 * kGroup + 1] += to_real;
      sums[4 * kGroup + 2] += uniform;
      sums[4 * kGroup + 3] += right ? A(1) : A(0);
    }
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    ternary_adversarial_forward(const __grid_constant__ TernaryAdversarialArgs a) {
  using A = acc_t<T>;
  A sums[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  add_losses<T, 0>(a, sums);
  add_losses<T, 1>(a, sums);
  add_losses<T, 2>(a, sums);
  if (grid_sum<kThreads>(sums, a.partial, a.ticket) && threadIdx.x == 0) finish_ternary<A>(a, sums);
}

template <class T, int kGroup>
__device__ __forceinline__ void write_gradients(const TernaryAdversarialArgs& a) {
  using A = acc_t<T>;
  const LogitGroup& g = a.groups[kGroup];
  const bool vector = vector_group<T>(g);
  A by_own, by_real, by_uniform;
  row_coefficients(a, kGroup, &by_own, &by_real, &by_uniform);
  for (int64_t b = first_four(); b < g.count; b += next_four()) {
    A v[3][4];
    read_rows<T>(g, b, vector, v);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      A &l0 = v[3 * i / 4][3 * i % 4], &l1 = v[(3 * i + 1) / 4][(3 * i + 1) % 4], &l2 = v[(3 * i + 2) / 4][(3 * i + 2) % 4];
      row_gradient<kGroup>(by_own, by_real, by_uniform, l0, l1, l2, &l0, &l1, &l2);
    }
    for (int i = 0; i < 3; ++i) write4(static_cast<T*>(g.grad) + 3 * b + 4 * i, 3 * (g.count - b) - 4 * i, vector, v[i]);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    ternary_adversarial_gradient(const __grid_constant__ TernaryAdversarialArgs a) {
  write_gradients<T, 0>(a);
  write_gradients<T, 1>(a);
  write_gradients<T, 2>(a);
}

#define BIGAN_LAUNCH_LOGITS(KERNEL)                                                          \
  dispatch(a.dtype, [&](auto type) {                                                         \
    using T = typename decltype(type)::type;                                                 \
    const dim3 grid(static_cast<unsigned>(a.blocks));                                        \
    return launch(KERNEL<T>, grid, dim3(kThreads), 0, static_cast<cudaStream_t>(stream), a); \
  })

int ternary_adversarial_cuda(const TernaryAdversarialArgs& a, void* stream) {
  if (const cudaError_t error = clear_ticket(a, stream); error != cudaSuccess) return error;
  return BIGAN_LAUNCH_LOGITS(ternary_adversarial_forward);
}

int ternary_adversarial_backward_cuda(const TernaryAdversarialArgs& a, void* stream) {
  return BIGAN_LAUNCH_LOGITS(ternary_adversarial_gradient);
}

}  // namespace bigan
