#include "logistic_adversarial.h"

#include "groups.h"

namespace bigan {
namespace {

// Elements [begin, end) of one group: sums of both losses, and how many are right.
template <typename Store, Form kForm>
BIGAN_INLINE void forward_range(const LogisticAdversarialArgs& a, int group, int64_t begin, int64_t end, double* out) {
  using T = Compute<Store>;
  const LogitGroup& g = a.groups[group];
  const T sign = group == 0 ? T(1) : T(-1);
  T buffer[kChunk];
  double sums[3] = {0, 0, 0};  // the compute type inside a chunk, double across chunks
  for (int64_t e = begin; e < end; e += kChunk) {
    const int n = static_cast<int>(std::min<int64_t>(kChunk, end - e));
    const T* logits = load_rows<1, Store>(g.logits, g.cols, e, buffer, n);
    T own_sum = 0, other_sum = 0, right = 0;
#pragma omp simd reduction(+ : own_sum, other_sum)
    for (int i = 0; i < n; ++i) {
      T own, other;
      logit_losses(kForm, sign, logits[i], &own, &other);
      own_sum += own;
      other_sum += other;
    }
    // apart: in one loop GCC 12 makes a branch of the two comparisons with 0 and does not vectorise
#pragma omp simd reduction(+ : right)
    for (int i = 0; i < n; ++i) right += logit_right(kForm, sign, logits[i]) ? T(1) : T(0);
    sums[0] += own_sum, sums[1] += other_sum, sums[2] += right;
  }
  std::copy(sums, sums + 3, out);
}

template <typename Store, Form kForm>
BIGAN_INLINE void backward_range(const LogisticAdversarialArgs& a, int group, int64_t begin, int64_t end) {
  using T = Compute<Store>;
  const LogitGroup& g = a.groups[group];
  const T sign = group == 0 ? T(1) : T(-1);
  T by_own, by_other, buffer[kChunk], grad_buffer[kChunk];
  logit_coefficients(a, group == 0, &by_own, &by_other);
  for (int64_t e = begin; e < end; e += kChunk) {
    const int n = static_cast<int>(std::min<int64_t>(kChunk, end - e));
    const T* logits = load_rows<1, Store>(g.logits, g.cols, e, buffer, n);
    Store* out = static_cast<Store*>(g.grad) + e;
    T* grad = destination(out, grad_buffer);
#pragma omp simd
    for (int i = 0; i < n; ++i) {
      T own, other;
      logit_slopes(kForm, sign, logits[i], &own, &other);
      grad[i] = by_own * own + by_other * other;
    }
    store(out, grad, n);
  }
}

// One function an element type: target_clones does not take templates.
#define BIGAN_FORMS(FUNCTION, STORE, ...)                                               \
  switch (a.form) {                                                                     \
    case Form::kLogistic: return FUNCTION<STORE, Form::kLogistic>(__VA_ARGS__);         \
    case Form::kHinge: return FUNCTION<STORE, Form::kHinge>(__VA_ARGS__);               \
    case Form::kLeastSquares: return FUNCTION<STORE, Form::kLeastSquares>(__VA_ARGS__); \
    case Form::kWasserstein: return FUNCTION<STORE, Form::kWasserstein>(__VA_ARGS__);   \
  }
#define BIGAN_RANGES(NAME, STORE)                                                                                         \
  BIGAN_CLONES void forward_##NAME(const LogisticAdversarialArgs& a, int group, int64_t begin, int64_t end, double* out){ \
      BIGAN_FORMS(forward_range, STORE, a, group, begin, end,                                                             \
                  out)} BIGAN_CLONES void backward_##NAME(const LogisticAdversarialArgs& a, int group, int64_t begin,     \
                                                          int64_t end) {                                                  \
    BIGAN_FORMS(backward_range, STORE, a, group, begin, end)                                                              \
  }
BIGAN_RANGES(float, float)
BIGAN_RANGES(double, double)
BIGAN_RANGES(half, Half)
BIGAN_RANGES(bfloat16, BFloat16)
#undef BIGAN_RANGES
#undef BIGAN_FORMS

}  // namespace

void logistic_adversarial_cpu(const LogisticAdversarialArgs& a) {
  auto* range = a.dtype == Dtype::kDouble  ? forward_double
                : a.dtype == Dtype::kHalf  ? forward_half
                : a.dtype == Dtype::kFloat ? forward_float
                                           : forward_bfloat16;
  const int64_t counts[2] = {a.groups[0].count, a.groups[1].count};
  double sums[6];
  sum_groups<3>(counts, sums, [&](int group, int64_t begin, int64_t end, double* out) { range(a, group, begin, end, out); });
  a.dtype == Dtype::kDouble ? finish_logistic<double>(a, sums) : finish_logistic<float>(a, sums);
}

void logistic_adversarial_backward_cpu(const LogisticAdversarialArgs& a) {
  auto* range = a.dtype == Dtype::kDouble  ? backward_double
                : a.dtype == Dtype::kHalf  ? backward_half
                : a.dtype == Dtype::kFloat ? backward_float
                                           : backward_bfloat16;
  for (int group = 0; group < 2; ++group)
    parallel_for(a.groups[group].count, 1, [&](int64_t begin, int64_t end) { range(a, group, begin, end); });
}

}  // namespace bigan
