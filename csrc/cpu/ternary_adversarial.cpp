#include "ternary_adversarial.h"

#include "groups.h"

namespace bigan {
namespace {

// Rows [begin, end) of one group: sums of the three losses, and how many are right.
template <typename Store, int kOwn>
BIGAN_INLINE void forward_range(const TernaryAdversarialArgs& a, int64_t begin, int64_t end, double* out) {
  using T = Compute<Store>;
  const LogitGroup& g = a.groups[kOwn];
  T buffer[3 * kChunk];
  double sums[4] = {0, 0, 0, 0};  // the compute type inside a chunk, double across chunks
  for (int64_t b = begin; b < end; b += kChunk) {
    const int n = static_cast<int>(std::min<int64_t>(kChunk, end - b));
    const T* logits = load_rows<3, Store>(g.logits, 3, b, buffer, n);
    T own_sum = 0, real_sum = 0, uniform_sum = 0, right_sum = 0;
#pragma omp simd reduction(+ : own_sum, real_sum, uniform_sum, right_sum)
    for (int i = 0; i < n; ++i) {
      T own, to_real, uniform;
      bool right;
      row_losses<kOwn>(logits[3 * i], logits[3 * i + 1], logits[3 * i + 2], &own, &to_real, &uniform, &right);
      own_sum += own;
      real_sum += to_real;
      uniform_sum += uniform;
      right_sum += right ? T(1) : T(0);
    }
    sums[0] += own_sum, sums[1] += real_sum, sums[2] += uniform_sum, sums[3] += right_sum;
  }
  std::copy(sums, sums + 4, out);
}

template <typename Store, int kOwn>
BIGAN_INLINE void backward_range(const TernaryAdversarialArgs& a, int64_t begin, int64_t end) {
  using T = Compute<Store>;
  const LogitGroup& g = a.groups[kOwn];
  T by_own, by_real, by_uniform, buffer[3 * kChunk], grad_buffer[3 * kChunk];
  row_coefficients(a, kOwn, &by_own, &by_real, &by_uniform);
  for (int64_t b = begin; b < end; b += kChunk) {
    const int n = static_cast<int>(std::min<int64_t>(kChunk, end - b));
    const T* logits = load_rows<3, Store>(g.logits, 3, b, buffer, n);
    Store* out = static_cast<Store*>(g.grad) + 3 * b;
    T* grad = destination(out, grad_buffer);
#pragma omp simd
    for (int i = 0; i < n; ++i)
      row_gradient<kOwn>(by_own, by_real, by_uniform, logits[3 * i], logits[3 * i + 1], logits[3 * i + 2], &grad[3 * i],
                         &grad[3 * i + 1], &grad[3 * i + 2]);
    store(out, grad, 3 * n);
  }
}

// One function an element type: target_clones does not take templates.
#define BIGAN_RANGES(NAME, STORE)                                                                                         \
  BIGAN_CLONES void forward_##NAME(const TernaryAdversarialArgs& a, int group, int64_t begin, int64_t end, double* out) { \
    group == 0   ? forward_range<STORE, 0>(a, begin, end, out)                                                            \
    : group == 1 ? forward_range<STORE, 1>(a, begin, end, out)                                                            \
                 : forward_range<STORE, 2>(a, begin, end, out);                                                           \
  }                                                                                                                       \
  BIGAN_CLONES void backward_##NAME(const TernaryAdversarialArgs& a, int group, int64_t begin, int64_t end) {             \
    group == 0   ? backward_range<STORE, 0>(a, begin, end)                                                                \
    : group == 1 ? backward_range<STORE, 1>(a, begin, end)                                                                \
                 : backward_range<STORE, 2>(a, begin, end);                                                               \
  }
BIGAN_RANGES(float, float)
BIGAN_RANGES(double, double)
BIGAN_RANGES(half, Half)
BIGAN_RANGES(bfloat16, BFloat16)
#undef BIGAN_RANGES

}  // namespace

void ternary_adversarial_cpu(const TernaryAdversarialArgs& a) {
  auto* range = a.dtype == Dtype::kDouble  ? forward_double
                : a.dtype == Dtype::kHalf  ? forward_half
                : a.dtype == Dtype::kFloat ? forward_float
                                           : forward_bfloat16;
  const int64_t counts[3] = {a.groups[0].count, a.groups[1].count, a.groups[2].count};
  double sums[12];
  sum_groups<4>(counts, sums, [&](int group, int64_t begin, int64_t end, double* out) { range(a, group, begin, end, out); });
  a.dtype == Dtype::kDouble ? finish_ternary<double>(a, sums) : finish_ternary<float>(a, sums);
}

void ternary_adversarial_backward_cpu(const TernaryAdversarialArgs& a) {
  auto* range = a.dtype == Dtype::kDouble  ? backward_double
                : a.dtype == Dtype::kHalf  ? backward_half
                : a.dtype == Dtype::kFloat ? backward_float
                                           : backward_bfloat16;
  for (int group = 0; group < 3; ++group)
    parallel_for(a.groups[group].count, 3, [&](int64_t begin, int64_t end) { range(a, group, begin, end); });
}

}  // namespace bigan
