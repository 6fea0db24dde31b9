#include "moment_kl.h"

#include "rows.h"

namespace bigan {
namespace {

constexpr int kColumns = 128;   // side by side, their sums in the first-level cache
constexpr int kBlockRows = 64;  // around one shift

// Adds kRows rows, given as pointers, to the sums about `shift`.
template <int kRows, typename T>
BIGAN_INLINE void add_rows(const T* const (&x)[kRows], const T* shift, T* sum, T* squares, int n) {
#pragma omp simd
  for (int i = 0; i < n; ++i) {
    T s = 0, q = 0;
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const T d = x[r][i] - shift[i];
      s += d;
      q += d * d;
    }
    sum[i] += s;
    squares[i] += q;
  }
}

// Moments of columns j .. j + n - 1.
template <typename Store, typename T>
BIGAN_INLINE void columns(const MomentKlArgs& a, int64_t j, int n, T* mean, T* squares) {
  T buffer[4][kColumns], shift_buffer[kColumns], sum[kColumns], sum_of_squares[kColumns];
  for (int i = 0; i < n; ++i) mean[i] = squares[i] = 0;
  for (int64_t b = 0; b < a.batch; b += kBlockRows) {
    const int64_t end = std::min<int64_t>(b + kBlockRows, a.batch);
    const T* shift = load(row_data<Store>(a.x, b, j), shift_buffer, n);
    for (int i = 0; i < n; ++i) sum[i] = sum_of_squares[i] = 0;
    int64_t r = b + 1;
    for (; r + 4 <= end; r += 4) {
      const T* const x[4] = {load(row_data<Store>(a.x, r, j), buffer[0], n), load(row_data<Store>(a.x, r + 1, j), buffer[1], n),
                             load(row_data<Store>(a.x, r + 2, j), buffer[2], n),
                             load(row_data<Store>(a.x, r + 3, j), buffer[3], n)};
      add_rows<4>(x, shift, sum, sum_of_squares, n);
    }
    for (; r < end; ++r) {
      const T* const x[1] = {load(row_data<Store>(a.x, r, j), buffer[0], n)};
      add_rows<1>(x, shift, sum, sum_of_squares, n);
    }
    const T inv_count = T(1) / static_cast<T>(end - b), share = static_cast<T>(end - b) / static_cast<T>(end);
    const T cross = share * static_cast<T>(b);
#pragma omp simd
    for (int i = 0; i < n; ++i) {
      const Moments<T> block = shifted_moments(shift[i], sum[i], sum_of_squares[i], inv_count);
      const Moments<T> both = merged({mean[i], squares[i]}, block, share, cross);
      mean[i] = both.mean;
      squares[i] = both.squares;
    }
  }
}

template <typename Store>
BIGAN_INLINE void forward_columns(const MomentKlArgs& a, int64_t begin, int64_t end) {
  using T = Compute<Store>;
  T squares[kColumns];
  const T inv_batch = static_cast<T>(a.inv_batch);
  for (int64_t j = begin * kColumns; j < std::min(end * kColumns, a.dim); j += kColumns) {
    const int n = static_cast<int>(std::min<int64_t>(kColumns, a.dim - j));
    T *mean = static_cast<T*>(a.mean) + j, *var = static_cast<T*>(a.var) + j;
    columns<Store>(a, j, n, mean, squares);
#pragma omp simd
    for (int i = 0; i < n; ++i) var[i] = squares[i] * inv_batch;  // NaN for an empty batch
    if (a.batch == 0)
      for (int i = 0; i < n; ++i) mean[i] = var[i];
  }
}

// From the moments to the scalar, in one order.
template <typename T>
BIGAN_INLINE void finish(const MomentKlArgs& a) {
  const T *mean = static_cast<const T*>(a.mean), *var = static_cast<const T*>(a.var);
  const bool published = a.published, pq = a.pq;
  double total = 0;
  for (int64_t j = 0; j < a.dim; j += kChunk) {
    const int n = static_cast<int>(std::min<int64_t>(kChunk, a.dim - j));
    T sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; ++i) sum += moment_kl_value(published, pq, mean[j + i], var[j + i], log_variance(var[j + i]));
    total += sum;
  }
  *static_cast<T*>(a.kl) = static_cast<T>(total * a.weight);
}
BIGAN_CLONES void finish_float(const MomentKlArgs& a) { finish<float>(a); }
BIGAN_CLONES void finish_double(const MomentKlArgs& a) { finish<double>(a); }

template <typename Store>
BIGAN_INLINE void backward_rows(const MomentKlArgs& a, int64_t begin, int64_t end) {
  using T = Compute<Store>;
  T constant[kColumns], slope[kColumns], x_buffer[kColumns], out_buffer[kColumns];
  for (int64_t j = 0; j < a.dim; j += kColumns) {
    const int n = static_cast<int>(std::min<int64_t>(kColumns, a.dim - j));
    const T *mean = static_cast<const T*>(a.mean) + j, *var = static_cast<const T*>(a.var) + j;
    for (int i = 0; i < n; ++i) {
      const MomentGrad<T> grad = moment_kl_grad(a, mean[i], var[i], j + i);
      constant[i] = grad.constant;
      slope[i] = grad.slope;
    }
    for (int64_t b = begin; b < end; ++b) {
      const T* x = load(row_data<Store>(a.x, b, j), x_buffer, n);
      Store* out = static_cast<Store*>(a.grad_x) + b * a.dim + j;
      T* by_x = destination(out, out_buffer);
#pragma omp simd
      for (int i = 0; i < n; ++i) by_x[i] = constant[i] + slope[i] * (x[i] - mean[i]);
      store(out, by_x, n);
    }
  }
}

#define BIGAN_COLUMNS(NAME, STORE)                                                      \
  BIGAN_CLONES void forward_##NAME(const MomentKlArgs& a, int64_t begin, int64_t end) { \
    forward_columns<STORE>(a, begin, end);                                              \
  }                                                                                     \
  BIGAN_CLONES void backward_##NAME(const MomentKlArgs& a, int64_t begin, int64_t end) { backward_rows<STORE>(a, begin, end); }
BIGAN_COLUMNS(float, float)
BIGAN_COLUMNS(double, double)
BIGAN_COLUMNS(half, Half)
BIGAN_COLUMNS(bfloat16, BFloat16)
#undef BIGAN_COLUMNS

}  // namespace

void moment_kl_cpu(const MomentKlArgs& a) {
  auto* some = for_dtype(a.dtype, forward_float, forward_double, forward_half, forward_bfloat16);
  parallel_for((a.dim + kColumns - 1) / kColumns, a.batch * kColumns, [&](int64_t begin, int64_t end) { some(a, begin, end); });
  a.dtype == Dtype::kDouble ? finish_double(a) : finish_float(a);
}

void moment_kl_backward_cpu(const MomentKlArgs& a) {
  auto* rows = for_dtype(a.dtype, backward_float, backward_double, backward_half, backward_bfloat16);
  parallel_for(a.batch, a.dim, [&](int64_t begin, int64_t end) { rows(a, begin, end); });
}

}  // namespace bigan
