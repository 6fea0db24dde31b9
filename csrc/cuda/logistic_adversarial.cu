#include "groups.cuh"
#include "logistic_adversarial.h"

namespace bigan {

constexpr int kThreads = kAdversarialThreads;
constexpr int kMinBlocks = 2;  // at most 128 registers a thread

template <class T>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    logistic_adversarial_forward(const __grid_constant__ LogisticAdversarialArgs a) {
  using A = acc_t<T>;
  A sums[6] = {0, 0, 0, 0, 0, 0};
#pragma unroll
  for (int group = 0; group < 2; ++group) {
    const LogitGroup& g = a.groups[group];
    const A sign = group == 0 ? A(1) : A(-1);
    const bool vector = vector_group<T>(g);
    for (int64_t e = first_four(); e < g.count; e += next_four()) {
      A v[4];
      group_read4<T>(g, e, g.count, vector, v);
      for (int i = 0; i < 4; ++i) {
        if (e + i >= g.count) break;
        A own, other;
        logit_losses(a.form, sign, v[i], &own, &other);
        sums[3 * group] += own;
        sums[3 * group + 1] += other;
        sums[3 * group + 2] += logit_right(a.form, sign, v[i]) ? A(1) : A(0);
      }
    }
  }
  if (grid_sum<kThreads>(sums, a.partial, a.ticket) && threadIdx.x == 0) finish_logistic<A>(a, sums);
}

template <class T>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    logistic_adversarial_gradient(const __grid_constant__ LogisticAdversarialArgs a) {
  using A = acc_t<T>;
#pragma unroll
  for (int group = 0; group < 2; ++group) {
    const LogitGroup& g = a.groups[group];
    const A sign = group == 0 ? A(1) : A(-1);
    const bool vector = vector_group<T>(g);
    A by_own, by_other;
    logit_coefficients(a, group == 0, &by_own, &by_other);
    for (int64_t e = first_four(); e < g.count; e += next_four()) {
      A v[4];
      group_read4<T>(g, e, g.count, vector, v);
      for (int i = 0; i < 4; ++i) {
        A own, other;
        logit_slopes(a.form, sign, v[i], &own, &other);
        v[i] = by_own * own + by_other * other;
      }
      write4(static_cast<T*>(g.grad) + e, g.count - e, vector, v);
    }
  }
}

#define BIGAN_LAUNCH_LOGITS(KERNEL)                                                          \
  dispatch(a.dtype, [&](auto type) {                                                         \
    using T = typename decltype(type)::type;                                                 \
    const dim3 grid(static_cast<unsigned>(a.blocks));                                        \
    return launch(KERNEL<T>, grid, dim3(kThreads), 0, static_cast<cudaStream_t>(stream), a); \
  })

int logistic_adversarial_cuda(const LogisticAdversarialArgs& a, void* stream) {
  if (const cudaError_t error = clear_ticket(a, stream); error != cudaSuccess) return error;
  return BIGAN_LAUNCH_LOGITS(logistic_adversarial_forward);
}

int logistic_adversarial_backward_cuda(const LogisticAdversarialArgs& a, void* stream) {
  return BIGAN_LAUNCH_LOGITS(logistic_adversarial_gradient);
}

}  // namespace bigan
