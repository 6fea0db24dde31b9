#include "minibatch_discrimination.h"

#include <vector>

#include "rows.h"

namespace bigan {
namespace {

// Kernels side by side: what the loops below vectorise over.  A thread's scratch is kColumns kernels of the whole batch.
constexpr int kColumns = 16;
constexpr int kRows = 8;  // samples that stay in the first-level cache while the others pass by

template <typename T>
struct alignas(64) Lane {
  T v[kColumns];
};

BIGAN_INLINE float to_float(float v) { return v; }
BIGAN_INLINE double to_float(double v) { return v; }
BIGAN_INLINE void from_float(float v, float* out) { *out = v; }
BIGAN_INLINE void from_float(double v, double* out) { *out = v; }

// n kernels from k on of all samples, as [B][D]; what is past the last kernel stays as it is.
template <typename Store, typename T>
BIGAN_INLINE void gather(const MinibatchDiscriminationArgs& a, int64_t k, int n, Lane<T>* tile) {
  for (int64_t b = 0; b < a.batch; ++b)
    for (int64_t d = 0; d < a.dims; ++d, ++tile) {
      const Store* x = static_cast<const Store*>(a.x) + b * a.strides[0] + k * a.strides[1] + d * a.strides[2];
      for (int t = 0; t < n; ++t) tile->v[t] = to_float(x[t * a.strides[1]]);
    }
}

template <int kDims, typename T>
BIGAN_INLINE void add_distance(const Lane<T>* x, const Lane<T>* y, Lane<T>* sum) {
#pragma omp simd
  for (int t = 0; t < kColumns; ++t) {
    T s = 0;
#pragma GCC unroll 8
    for (int d = 0; d < kDims; ++d) s += apart(x[d].v[t], y[d].v[t]);
    sum->v[t] += s;
  }
}

// kDims: the number of dimensions where the compiler is to know it, or 0.
template <int kDims, typename T>
BIGAN_INLINE Lane<T> pair_closeness(const Lane<T>* x, const Lane<T>* y, int64_t dims) {
  Lane<T> c = {};
  int64_t d = 0;
  if constexpr (kDims) {
    add_distance<kDims>(x, y, &c);
  } else {
    for (; d + 4 <= dims; d += 4) add_distance<4>(x + d, y + d, &c);
    for (; d < dims; ++d) add_distance<1>(x + d, y + d, &c);
  }
#pragma omp simd
  for (int t = 0; t < kColumns; ++t) c.v[t] = closeness(c.v[t]);
  return c;
}

// Each pair once: f(i, j) for i < j, in one order.
template <typename F>
BIGAN_INLINE void each_pair(int64_t batch, const F& f) {
  for (int64_t first = 0; first < batch; first += kRows)
    for (int64_t j = first + 1; j < batch; ++j)
      for (int64_t i = first; i < std::min(first + kRows, j); ++i) f(i, j);
}

template <int kDims, typename Store>
BIGAN_INLINE void forward_tiles(const MinibatchDiscriminationArgs& a, int64_t begin, int64_t end) {
  using T = Compute<Store>;
  const int64_t dims = a.dims;
  std::vector<Lane<T>> x(static_cast<size_t>(a.batch * dims)), sums(static_cast<size_t>(a.batch));
  for (int64_t k = begin * kColumns; k < std::min(end * kColumns, a.kernels); k += kColumns) {
    const int n = static_cast<int>(std::min<int64_t>(kColumns, a.kernels - k));
    gather<Store>(a, k, n, x.data());
    std::fill(sums.begin(), sums.end(), Lane<T>{});
    each_pair(a.batch, [&](int64_t i, int64_t j) __attribute__((always_inline)) {
      const Lane<T> c = pair_closeness<kDims>(x.data() + i * dims, x.data() + j * dims, dims);
#pragma omp simd
      for (int t = 0; t < kColumns; ++t) {
        sums[i].v[t] += c.v[t];
        sums[j].v[t] += c.v[t];
      }
    });
    for (int64_t b = 0; b < a.batch; ++b)
      for (int t = 0; t < n; ++t) from_float(sums[b].v[t], static_cast<Store*>(a.out) + b * a.kernels + k + t);
  }
}

template <int kDims, typename Store>
BIGAN_INLINE void backward_tiles(const MinibatchDiscriminationArgs& a, int64_t begin, int64_t end) {
  using T = Compute<Store>;
  const int64_t dims = kDims ? kDims : a.dims;
  std::vector<Lane<T>> x(static_cast<size_t>(a.batch * dims)), by_x(x.size()), g(static_cast<size_t>(a.batch));
  for (int64_t k = begin * kColumns; k < std::min(end * kColumns, a.kernels); k += kColumns) {
    const int n = static_cast<int>(std::min<int64_t>(kColumns, a.kernels - k));
    gather<Store>(a, k, n, x.data());
    for (int64_t b = 0; b < a.batch; ++b)
      for (int t = 0; t < n; ++t) g[b].v[t] = to_float(row_data<Store>(a.grad, b, k)[t]);
    std::fill(by_x.begin(), by_x.end(), Lane<T>{});
    each_pair(a.batch, [&](int64_t i, int64_t j) __attribute__((always_inline)) {
      const Lane<T>*x_i = x.data() + i * dims, *x_j = x.data() + j * dims, &g_i = g[i], &g_j = g[j];
      Lane<T>*by_i = by_x.data() + i * dims, *by_j = by_x.data() + j * dims;
      Lane<T> weight = pair_closeness<kDims>(x_i, x_j, dims);
#pragma omp simd
      for (int t = 0; t < kColumns; ++t) weight.v[t] *= g_i.v[t] + g_j.v[t];
      for (int64_t d = 0; d < dims; ++d)
#pragma omp simd
        for (int t = 0; t < kColumns; ++t) {
          const T by = closeness_grad(weight.v[t], x_i[d].v[t], x_j[d].v[t]);
          by_i[d].v[t] += by;
          by_j[d].v[t] -= by;
        }
    });
    for (int64_t b = 0; b < a.batch; ++b)
      for (int64_t d = 0; d < dims; ++d)
        for (int t = 0; t < n; ++t)
          from_float(by_x[b * dims + d].v[t], static_cast<Store*>(a.grad_x) + (b * a.kernels + k + t) * dims + d);
  }
}

#define BIGAN_TILES(NAME, STORE)                                                                        \
  BIGAN_CLONES void forward_##NAME(const MinibatchDiscriminationArgs& a, int64_t begin, int64_t end) {  \
    a.dims == 5 ? forward_tiles<5, STORE>(a, begin, end) : forward_tiles<0, STORE>(a, begin, end);      \
  }                                                                                                     \
  BIGAN_CLONES void backward_##NAME(const MinibatchDiscriminationArgs& a, int64_t begin, int64_t end) { \
    a.dims == 5 ? backward_tiles<5, STORE>(a, begin, end) : backward_tiles<0, STORE>(a, begin, end);    \
  }
BIGAN_TILES(float, float)
BIGAN_TILES(double, double)
BIGAN_TILES(half, Half)
BIGAN_TILES(bfloat16, BFloat16)
#undef BIGAN_TILES

template <typename F>
void run(const MinibatchDiscriminationArgs& a, F* tiles) {
  parallel_for((a.kernels + kColumns - 1) / kColumns, a.batch * a.batch * (a.dims + 4) * kColumns,
               [&](int64_t begin, int64_t end) { tiles(a, begin, end); });
}

}  // namespace

void minibatch_discrimination_cpu(const MinibatchDiscriminationArgs& a) {
  run(a, for_dtype(a.dtype, forward_float, forward_double, forward_half, forward_bfloat16));
}

void minibatch_discrimination_backward_cpu(const MinibatchDiscriminationArgs& a) {
  run(a, for_dtype(a.dtype, backward_float, backward_double, backward_half, backward_bfloat16));
}

}  // namespace bigan
