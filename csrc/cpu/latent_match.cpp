#include "latent_match.h"

#include "rows.h"

namespace bigan {
namespace {

enum class Form { kAngle, kL1, kL2 };

// Calls f(a, b, offset, length) for each chunk of row b.
template <typename Store, typename F>
BIGAN_INLINE void chunks(const LatentMatchArgs& args, int64_t row, const F& f) {
  using T = Compute<Store>;
  T a_buffer[kChunk], b_buffer[kChunk];
  for (int64_t j = 0; j < args.dim; j += kChunk) {
    const int n = static_cast<int>(std::min<int64_t>(kChunk, args.dim - j));
    f(load(row_data<Store>(args.a, row, j), a_buffer, n), load(row_data<Store>(args.b, row, j), b_buffer, n), j, n);
  }
}

// Float inside a chunk, double across chunks.
template <typename Store>
BIGAN_INLINE Products<double> row_products(const LatentMatchArgs& args, int64_t row) {
  using T = Compute<Store>;
  Products<double> sum = {0, 0, 0};
  chunks<Store>(args, row, [&](const T* a, const T* b, int64_t, int n) __attribute__((always_inline)) {
    T aa = 0, bb = 0, ab = 0;
#pragma omp simd reduction(+ : aa, bb, ab)
    for (int i = 0; i < n; ++i) {
      aa += a[i] * a[i];
      bb += b[i] * b[i];
      ab += a[i] * b[i];
    }
    sum.aa += aa;
    sum.bb += bb;
    sum.ab += ab;
  });
  return sum;
}

template <bool kSquare, typename Store>
BIGAN_INLINE double row_difference(const LatentMatchArgs& args, int64_t row) {
  using T = Compute<Store>;
  double sum = 0;
  chunks<Store>(args, row, [&](const T* a, const T* b, int64_t, int n) __attribute__((always_inline)) {
    T part = 0;
#pragma omp simd reduction(+ : part)
    for (int i = 0; i < n; ++i) part += difference<kSquare>(a[i], b[i]);
    sum += part;
  });
  return sum;
}

template <Form kForm, typename Store>
BIGAN_INLINE void forward_rows(const LatentMatchArgs& args, int64_t begin, int64_t end) {
  using T = Compute<Store>;
  for (int64_t b = begin; b < end; ++b) {
    const double sum =
        kForm == Form::kAngle ? cosine(row_products<Store>(args, b)) : row_difference<kForm == Form::kL2, Store>(args, b);
    static_cast<T*>(args.rows)[b] = static_cast<T>(sum);
  }
}

template <Form kForm, typename Store>
BIGAN_INLINE void backward_rows(const LatentMatchArgs& args, int64_t begin, int64_t end) {
  using T = Compute<Store>;
  const T c = match_coefficient<T>(args);
  T by_a_buffer[kChunk], by_b_buffer[kChunk];
  for (int64_t row = begin; row < end; ++row) {
    T inverse_a = 0, inverse_b = 0, cos = 0;
    if (kForm == Form::kAngle) {
      const Products<double> p = row_products<Store>(args, row);
      inverse_a = static_cast<T>(inverse_norm(p.aa));
      inverse_b = static_cast<T>(inverse_norm(p.bb));
      cos = static_cast<T>(cosine(p));
    }
    chunks<Store>(args, row, [&](const T* a, const T* b, int64_t j, int n) __attribute__((always_inline)) {
      if (args.grad_a) {
        Store* out = static_cast<Store*>(args.grad_a) + row * args.dim + j;
        T* by_a = destination(out, by_a_buffer);
#pragma omp simd
        for (int i = 0; i < n; ++i)
          by_a[i] = kForm == Form::kAngle ? cosine_grad(c, a[i], inverse_a, b[i], inverse_b, cos)
                                          : difference_grad<kForm == Form::kL2>(c, a[i], b[i]);
        store(out, by_a, n);
      }
      if (args.grad_b) {
        Store* out = static_cast<Store*>(args.grad_b) + row * args.dim + j;
        T* by_b = destination(out, by_b_buffer);
#pragma omp simd
        for (int i = 0; i < n; ++i)
          by_b[i] = kForm == Form::kAngle ? cosine_grad(c, b[i], inverse_b, a[i], inverse_a, cos)
                                          : -difference_grad<kForm == Form::kL2>(c, a[i], b[i]);
        store(out, by_b, n);
      }
    });
  }
}

#define BIGAN_ROWS(NAME, STORE)                                                             \
  BIGAN_CLONES void forward_##NAME(const LatentMatchArgs& a, int64_t begin, int64_t end) {  \
    is_angle(a.match)       ? forward_rows<Form::kAngle, STORE>(a, begin, end)              \
    : a.match == Match::kL1 ? forward_rows<Form::kL1, STORE>(a, begin, end)                 \
                            : forward_rows<Form::kL2, STORE>(a, begin, end);                \
  }                                                                                         \
  BIGAN_CLONES void backward_##NAME(const LatentMatchArgs& a, int64_t begin, int64_t end) { \
    is_angle(a.match)       ? backward_rows<Form::kAngle, STORE>(a, begin, end)             \
    : a.match == Match::kL1 ? backward_rows<Form::kL1, STORE>(a, begin, end)                \
                            : backward_rows<Form::kL2, STORE>(a, begin, end);               \
  }
BIGAN_ROWS(float, float)
BIGAN_ROWS(double, double)
BIGAN_ROWS(half, Half)
BIGAN_ROWS(bfloat16, BFloat16)
#undef BIGAN_ROWS

template <typename T>
void reduce(const LatentMatchArgs& a) {
  double sum = 0;
  for (int64_t b = 0; b < a.batch; ++b) sum += static_cast<const T*>(a.rows)[b];
  *static_cast<T*>(a.loss) = static_cast<T>(finish_match(a, sum));
}

}  // namespace

void latent_match_cpu(const LatentMatchArgs& a) {
  auto* rows = for_dtype(a.dtype, forward_float, forward_double, forward_half, forward_bfloat16);
  parallel_for(a.batch, a.dim, [&](int64_t begin, int64_t end) { rows(a, begin, end); });
  a.dtype == Dtype::kDouble ? reduce<double>(a) : reduce<float>(a);
}

void latent_match_backward_cpu(const LatentMatchArgs& a) {
  auto* rows = for_dtype(a.dtype, backward_float, backward_double, backward_half, backward_bfloat16);
  parallel_for(a.batch, a.dim, [&](int64_t begin, int64_t end) { rows(a, begin, end); });
}

}  // namespace bigan
