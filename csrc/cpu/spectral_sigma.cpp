#include "spectral_sigma.h"

#include <cmath>
#include <vector>

#include "rows.h"

namespace bigan {
namespace {

// A weight whose rows are runs of memory: where they are not, it is gathered once for both products.
template <typename Store>
struct RowsOf {
  const Store* data;
  std::vector<Store> gathered;

  explicit RowsOf(const SpectralLayer& l) : data(static_cast<const Store*>(l.weight)) {
    if (l.inner == l.cols) return;
    gathered.resize(int64_t{l.rows} * l.cols);
    const int64_t runs = l.cols / l.inner;
    parallel_for(l.rows, l.cols, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row)
        for (int64_t run = 0; run < runs; ++run)
          std::copy_n(data + (run * l.rows + row) * l.inner, l.inner, &gathered[row * l.cols + run * l.inner]);
    });
    data = gathered.data();
  }
};

// y[row] = W v for rows [begin, end), v in the order of memory.  Float inside a chunk, double across chunks.
template <typename Store, typename T = Compute<Store>>
BIGAN_INLINE void times_v(const void* weight, int64_t cols, const void* v, void* y, int64_t begin, int64_t end) {
  T buffer[kChunk];
  for (int64_t row = begin; row < end; ++row) {
    const Store* w = static_cast<const Store*>(weight) + row * cols;
    double sum = 0;
    for (int64_t j = 0; j < cols; j += kChunk) {
      const int n = static_cast<int>(std::min<int64_t>(kChunk, cols - j));
      const T *x = load(w + j, buffer, n), *vector = static_cast<const T*>(v) + j;
      T part = 0;
#pragma omp simd reduction(+ : part)
      for (int i = 0; i < n; ++i) part += x[i] * vector[i];
      sum += part;
    }
    static_cast<T*>(y)[row] = static_cast<T>(sum);
  }
}

// x[col] = W' u for the columns of tiles [begin, end) of kChunk, four rows at a time.
template <typename Store, typename T = Compute<Store>>
BIGAN_INLINE void times_u(const void* weight, int64_t rows, int64_t cols, const void* u, void* x, int64_t begin, int64_t end) {
  T buffer[4][kChunk];
  for (int64_t j = begin * kChunk; j < std::min(cols, end * kChunk); j += kChunk) {
    const int n = static_cast<int>(std::min<int64_t>(kChunk, cols - j));
    const Store* w = static_cast<const Store*>(weight) + j;
    const T* factor = static_cast<const T*>(u);
    T sums[kChunk] = {};
    int64_t row = 0;
    for (; row + 4 <= rows; row += 4) {
      const T *a = load(w + row * cols, buffer[0], n), *b = load(w + (row + 1) * cols, buffer[1], n);
      const T *c = load(w + (row + 2) * cols, buffer[2], n), *d = load(w + (row + 3) * cols, buffer[3], n);
      const T f[4] = {factor[row], factor[row + 1], factor[row + 2], factor[row + 3]};
#pragma omp simd
      for (int i = 0; i < n; ++i) sums[i] += (f[0] * a[i] + f[1] * b[i]) + (f[2] * c[i] + f[3] * d[i]);
    }
    for (; row < rows; ++row) {
      const T* a = load(w + row * cols, buffer[0], n);
      const T f = factor[row];
#pragma omp simd
      for (int i = 0; i < n; ++i) sums[i] += f * a[i];
    }
    std::copy_n(sums, n, static_cast<T*>(x) + j);
  }
}

template <typename Store>
BIGAN_INLINE void divide(const void* weight, double by, void* out, int64_t begin, int64_t end) {
  using T = Compute<Store>;
  const T divisor = static_cast<T>(by);
  T buffer[kChunk], quotient[kChunk];
  for (int64_t j = begin; j < end; j += kChunk) {
    const int n = static_cast<int>(std::min<int64_t>(kChunk, end - j));
    const T* w = load(static_cast<const Store*>(weight) + j, buffer, n);
    Store* to = static_cast<Store*>(out) + j;
    T* q = destination(to, quotient);
#pragma omp simd
    for (int i = 0; i < n; ++i) q[i] = w[i] / divisor;
    store(to, q, n);
  }
}

template <typename Store>
BIGAN_INLINE double inner_product(const void* a, const void* b, int64_t begin, int64_t end) {
  using T = Compute<Store>;
  T a_buffer[kChunk], b_buffer[kChunk];
  double total = 0;
  for (int64_t j = begin; j < end; j += kChunk) {
    const int n = static_cast<int>(std::min<int64_t>(kChunk, end - j));
    const T* x = load(static_cast<const Store*>(a) + j, a_buffer, n);
    const T* y = load(static_cast<const Store*>(b) + j, b_buffer, n);
    T part = 0;
#pragma omp simd reduction(+ : part)
    for (int i = 0; i < n; ++i) part += x[i] * y[i];
    total += part;
  }
  return total;
}

// Runs of a row of the gradient, [begin, end): run r is columns (r / rows) * inner ... of row r % rows.  v in the order of
// memory.
template <typename Store>
BIGAN_INLINE void gradient(const SpectralLayer& l, double by_sigma, double coefficient, const void* u, const void* v,
                           int64_t begin, int64_t end) {
  using T = Compute<Store>;
  const T inverse = static_cast<T>(by_sigma);
  T buffer[kChunk], out_buffer[kChunk];
  for (int64_t run = begin; run < end; ++run) {
    const T c = static_cast<T>(coefficient) * static_cast<const T*>(u)[run % l.rows];
    const T* vector = static_cast<const T*>(v) + run / l.rows * l.inner;
    for (int64_t j = 0; j < l.inner; j += kChunk) {
      const int n = static_cast<int>(std::min<int64_t>(kChunk, l.inner - j));
      Store* to = static_cast<Store*>(l.grad_weight) + run * l.inner + j;
      T* out = destination(to, out_buffer);
      if (l.grad) {
        const T* g = load(static_cast<const Store*>(l.grad) + run * l.inner + j, buffer, n);
#pragma omp simd
        for (int i = 0; i < n; ++i) out[i] = weight_grad(g[i], inverse, c, T(1), vector[j + i]);
      } else {
#pragma omp simd
        for (int i = 0; i < n; ++i) out[i] = c * vector[j + i];
      }
      store(to, out, n);
    }
  }
}

#define BIGAN_SPECTRAL(NAME, STORE)                                                                                   \
  BIGAN_CLONES void times_v_##NAME(const void* w, int64_t cols, const void* v, void* y, int64_t begin, int64_t end) { \
    times_v<STORE>(w, cols, v, y, begin, end);                                                                        \
  }                                                                                                                   \
  BIGAN_CLONES void times_u_##NAME(const void* w, int64_t rows, int64_t cols, const void* u, void* x, int64_t begin,  \
                                   int64_t end) {                                                                     \
    times_u<STORE>(w, rows, cols, u, x, begin, end);                                                                  \
  }                                                                                                                   \
  BIGAN_CLONES void divide_##NAME(const void* w, double by, void* out, int64_t begin, int64_t end) {                  \
    divide<STORE>(w, by, out, begin, end);                                                                            \
  }                                                                                                                   \
  BIGAN_CLONES double inner_product_##NAME(const void* a, const void* b, int64_t begin, int64_t end) {                \
    return inner_product<STORE>(a, b, begin, end);                                                                    \
  }                                                                                                                   \
  BIGAN_CLONES void gradient_##NAME(const SpectralLayer& l, double by_sigma, double c, const void* u, const void* v,  \
                                    int64_t begin, int64_t end) {                                                     \
    gradient<STORE>(l, by_sigma, c, u, v, begin, end);                                                                \
  }
BIGAN_SPECTRAL(float, float)
BIGAN_SPECTRAL(double, double)
BIGAN_SPECTRAL(half, Half)
BIGAN_SPECTRAL(bfloat16, BFloat16)
#undef BIGAN_SPECTRAL
#define BIGAN_OF(FUNCTION, DTYPE) for_dtype(DTYPE, FUNCTION##_float, FUNCTION##_double, FUNCTION##_half, FUNCTION##_bfloat16)

template <typename T>
double squares(const T* x, int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

// A layer's part of v, in the order of memory.
template <typename T>
std::vector<T> v_in_memory(const SpectralLayer& l, const void* v) {
  std::vector<T> result(l.cols);
  for (int col = 0; col < l.cols; ++col) result[col] = static_cast<const T*>(v)[l.first_col + index_in_v(l, col)];
  return result;
}

template <typename Store>
void forward(const SpectralArgs& a, int k) {
  using T = Compute<Store>;
  const SpectralLayer& l = a.layers[k];
  const RowsOf<Store> weight(l);
  std::vector<T> v = v_in_memory<T>(l, a.v), u(l.rows);
  parallel_for(l.rows, l.cols, [&](int64_t begin, int64_t end) {
    BIGAN_OF(times_v, a.dtype)(weight.data, l.cols, v.data(), u.data(), begin, end);
  });
  double sigma = 0;
  if (a.iterate) {
    const double length = bounded(std::sqrt(squares(u.data(), l.rows)), a.eps);
    for (T& value : u) value = static_cast<T>(value / length);
    std::copy(u.begin(), u.end(), static_cast<T*>(a.new_u) + l.first_row);
    parallel_for((l.cols + kChunk - 1) / kChunk, int64_t{l.rows} * kChunk, [&](int64_t begin, int64_t end) {
      BIGAN_OF(times_u, a.dtype)(weight.data, l.rows, l.cols, u.data(), v.data(), begin, end);
    });
    const double sum = squares(v.data(), l.cols), v_length = bounded(std::sqrt(sum), a.eps);
    sigma = sum / v_length;
    for (int col = 0; col < l.cols; ++col)
      static_cast<T*>(a.new_v)[l.first_col + index_in_v(l, col)] = static_cast<T>(v[col] / v_length);
  } else {
    const T* given = static_cast<const T*>(a.u) + l.first_row;
    for (int row = 0; row < l.rows; ++row) sigma += static_cast<double>(given[row]) * static_cast<double>(u[row]);
  }
  static_cast<T*>(a.sigma)[k] = static_cast<T>(sigma);
  if (!l.normalized) return;
  parallel_for(l.rows, l.cols, [&](int64_t begin, int64_t end) {
    BIGAN_OF(divide, a.dtype)(l.weight, static_cast<T>(sigma), l.normalized, begin * l.cols, end * l.cols);
  });
}

constexpr int64_t kSegment = 16384;  // elements of one partial sum, so that the order does not depend on the threads

template <typename Store>
void backward(const SpectralArgs& a, int k) {
  using T = Compute<Store>;
  const SpectralLayer& l = a.layers[k];
  const int64_t count = int64_t{l.rows} * l.cols;
  double dot = 0;
  if (l.grad) {
    std::vector<double> parts((count + kSegment - 1) / kSegment);
    parallel_for(static_cast<int64_t>(parts.size()), kSegment, [&](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; ++s)
        parts[s] = BIGAN_OF(inner_product, a.dtype)(l.grad, l.weight, s * kSegment, std::min(count, (s + 1) * kSegment));
    });
    for (const double part : parts) dot += part;
  }
  const T sigma = static_cast<const T*>(a.sigma)[k];
  const T c = layer_coefficient<T>(a, k, static_cast<T>(dot), sigma);
  const std::vector<T> v = v_in_memory<T>(l, a.v);
  parallel_for(count / l.inner, l.inner, [&](int64_t begin, int64_t end) {
    BIGAN_OF(gradient, a.dtype)(l, T(1) / sigma, c, static_cast<const T*>(a.u) + l.first_row, v.data(), begin, end);
  });
}

}  // namespace

void spectral_sigma_cpu(const SpectralArgs& a) {
  auto* layer = for_dtype(a.dtype, forward<float>, forward<double>, forward<Half>, forward<BFloat16>);
  for (int k = 0; k < a.number; ++k) layer(a, k);
}

void spectral_sigma_backward_cpu(const SpectralArgs& a) {
  auto* layer = for_dtype(a.dtype, backward<float>, backward<double>, backward<Half>, backward<BFloat16>);
  for (int k = 0; k < a.number; ++k) layer(a, k);
}

}  // namespace bigan
