#include "feature_l2.h"

#include <vector>

#include "rows.h"

namespace bigan {
namespace {

// Float inside a few thousand elements, double beyond.
template <bool kSquare, typename Store>
BIGAN_INLINE double sum(const FeaturePair& pair, int64_t begin, int64_t end) {
  using T = Compute<Store>;
  const Store *a = static_cast<const Store*>(pair.a), *b = static_cast<const Store*>(pair.b);
  T a_buffer[kChunk], b_buffer[kChunk];
  double total = 0;
  for (int64_t j = begin; j < end; j += kChunk) {
    const int n = static_cast<int>(std::min<int64_t>(kChunk, end - j));
    const T *x = load(a + j, a_buffer, n), *y = load(b + j, b_buffer, n);
    T part = 0;
#pragma omp simd reduction(+ : part)
    for (int i = 0; i < n; ++i) part += distance(x[i], y[i], kSquare);
    total += part;
  }
  return total;
}

template <bool kSquare, typename Store>
BIGAN_INLINE void gradient(const FeaturePair& pair, double coefficient, int64_t begin, int64_t end) {
  using T = Compute<Store>;
  const T c = static_cast<T>(coefficient);
  const Store *a = static_cast<const Store*>(pair.a), *b = static_cast<const Store*>(pair.b);
  T a_buffer[kChunk], b_buffer[kChunk], grad_buffer[kChunk];
  for (int64_t j = begin; j < end; j += kChunk) {
    const int n = static_cast<int>(std::min<int64_t>(kChunk, end - j));
    const T *x = load(a + j, a_buffer, n), *y = load(b + j, b_buffer, n);
    const auto write = [&](void* to, T factor) __attribute__((always_inline)) {
      Store* out = static_cast<Store*>(to) + j;
      T* grad = destination(out, grad_buffer);
#pragma omp simd
      for (int i = 0; i < n; ++i) grad[i] = distance_grad(factor, x[i], y[i], kSquare);
      store(out, grad, n);
    };
    if (pair.grad_a) write(pair.grad_a, c);
    if (pair.grad_b) write(pair.grad_b, -c);
  }
}

#define BIGAN_PAIRS(NAME, STORE)                                                                               \
  BIGAN_CLONES double sum_##NAME(const FeaturePair& p, bool square, int64_t begin, int64_t end) {              \
    return square ? sum<true, STORE>(p, begin, end) : sum<false, STORE>(p, begin, end);                        \
  }                                                                                                            \
  BIGAN_CLONES void gradient_##NAME(const FeaturePair& p, bool square, double c, int64_t begin, int64_t end) { \
    square ? gradient<true, STORE>(p, c, begin, end) : gradient<false, STORE>(p, c, begin, end);               \
  }
BIGAN_PAIRS(float, float)
BIGAN_PAIRS(double, double)
BIGAN_PAIRS(half, Half)
BIGAN_PAIRS(bfloat16, BFloat16)
#undef BIGAN_PAIRS

// Calls f(chunk, pair, begin, end) for every chunk.
template <typename F>
void each_chunk(const FeatureL2Args& a, const F& f) {
  int64_t work = 0;
  for (int k = 0; k < a.number; ++k) work += a.pairs[k].count;
  parallel_for(a.chunks, a.chunks ? (work + a.chunks - 1) / a.chunks : 0, [&](int64_t first, int64_t last) {
    for (int64_t c = first; c < last; ++c) {
      const int k = pair_of_chunk(a, c);
      const int64_t begin = (c - a.pairs[k].first_chunk) * a.chunk;
      f(c, k, begin, std::min(a.pairs[k].count, begin + a.chunk));
    }
  });
}

template <typename T>
void reduce(const FeatureL2Args& a, const std::vector<double>& parts) {
  double total = a.more ? *static_cast<const T*>(a.total) : 0;
  for (int k = 0; k < a.number; ++k) {
    const int64_t end = k + 1 < a.number ? a.pairs[k + 1].first_chunk : a.chunks;
    double value = 0;
    for (int64_t c = a.pairs[k].first_chunk; c < end; ++c) value += parts[c];
    value *= a.pairs[k].scale;
    static_cast<T*>(a.values)[k] = static_cast<T>(value);
    total += a.pairs[k].weight * value;
  }
  *static_cast<T*>(a.total) = static_cast<T>(total);
}

}  // namespace

void feature_l2_cpu(const FeatureL2Args& a) {
  std::vector<double> parts(a.chunks);
  each_chunk(a, [&](int64_t c, int k, int64_t begin, int64_t end) {
    auto* sum = for_dtype(a.pairs[k].dtype, sum_float, sum_double, sum_half, sum_bfloat16);
    parts[c] = sum(a.pairs[k], a.square, begin, end);
  });
  a.acc == Dtype::kDouble ? reduce<double>(a, parts) : reduce<float>(a, parts);
}

void feature_l2_backward_cpu(const FeatureL2Args& a) {
  each_chunk(a, [&](int64_t, int k, int64_t begin, int64_t end) {
    const double c = a.acc == Dtype::kDouble ? pair_coefficient<double>(a, k) : pair_coefficient<float>(a, k);
    auto* run = for_dtype(a.pairs[k].dtype, gradient_float, gradient_double, gradient_half, gradient_bfloat16);
    run(a.pairs[k], a.square, c, begin, end);
  });
}

}  // namespace bigan
