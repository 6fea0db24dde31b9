#include "sphere_normalize.h"

#include "rows.h"

namespace bigan {
namespace {

// Sum of the products of a row with itself and with another: float inside a chunk, double across chunks.
template <bool kGrad, typename Store>
BIGAN_INLINE void products(const SphereNormalizeArgs& a, int64_t b, double* xx, double* xg) {
  using T = Compute<Store>;
  T x_buffer[kChunk], g_buffer[kChunk];
  for (int64_t j = 0; j < a.dim; j += kChunk) {
    const int n = static_cast<int>(std::min<int64_t>(kChunk, a.dim - j));
    const T* x = load(row_data<Store>(a.x, b, j), x_buffer, n);
    const T* g = kGrad ? load(row_data<Store>(a.grad, b, j), g_buffer, n) : x;
    T squares = 0, along = 0;
#pragma omp simd reduction(+ : squares, along)
    for (int i = 0; i < n; ++i) {
      squares += x[i] * x[i];
      if (kGrad) along += x[i] * g[i];
    }
    *xx += squares;
    *xg += along;
  }
}

template <bool kGrad, typename Store>
BIGAN_INLINE void sphere_rows(const SphereNormalizeArgs& a, int64_t begin, int64_t end) {
  using T = Compute<Store>;
  T x_buffer[kChunk], g_buffer[kChunk], out_buffer[kChunk];
  for (int64_t b = begin; b < end; ++b) {
    double xx = 0, xg = 0;
    products<kGrad, Store>(a, b, &xx, &xg);
    const T inverse = inverse_norm(static_cast<T>(xx)), along = static_cast<T>(xg) * inverse;
    for (int64_t j = 0; j < a.dim; j += kChunk) {
      const int n = static_cast<int>(std::min<int64_t>(kChunk, a.dim - j));
      const T* x = load(row_data<Store>(a.x, b, j), x_buffer, n);
      const T* g = kGrad ? load(row_data<Store>(a.grad, b, j), g_buffer, n) : x;
      Store* out = static_cast<Store*>(a.out) + b * a.dim + j;
      T* y = destination(out, out_buffer);
#pragma omp simd
      for (int i = 0; i < n; ++i) y[i] = kGrad ? sphere_normalize_grad(x[i], g[i], inverse, along) : x[i] * inverse;
      store(out, y, n);
    }
  }
}

#define BIGAN_ROWS(NAME, STORE)                                                                 \
  BIGAN_CLONES void forward_##NAME(const SphereNormalizeArgs& a, int64_t begin, int64_t end) {  \
    sphere_rows<false, STORE>(a, begin, end);                                                   \
  }                                                                                             \
  BIGAN_CLONES void backward_##NAME(const SphereNormalizeArgs& a, int64_t begin, int64_t end) { \
    sphere_rows<true, STORE>(a, begin, end);                                                    \
  }
BIGAN_ROWS(float, float)
BIGAN_ROWS(double, double)
BIGAN_ROWS(half, Half)
BIGAN_ROWS(bfloat16, BFloat16)
#undef BIGAN_ROWS

}  // namespace

void sphere_normalize_cpu(const SphereNormalizeArgs& a) {
  auto* rows = for_dtype(a.dtype, forward_float, forward_double, forward_half, forward_bfloat16);
  parallel_for(a.batch, a.dim, [&](int64_t begin, int64_t end) { rows(a, begin, end); });
}

void sphere_normalize_backward_cpu(const SphereNormalizeArgs& a) {
  auto* rows = for_dtype(a.dtype, backward_float, backward_double, backward_half, backward_bfloat16);
  parallel_for(a.batch, a.dim, [&](int64_t begin, int64_t end) { rows(a, begin, end); });
}

}  // namespace bigan
