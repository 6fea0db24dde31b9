#include "reparam_kl.h"

#include "noise.h"

namespace bigan {
namespace {

// One chunk of a row: z and the sum of twice the KL.  Twice, because the half is left to the end of the row.
template <bool kSample, bool kLogstd, typename T, typename Noise>
BIGAN_INLINE T forward_chunk(const T* mu, const T* scale, const Noise* eps, T* z, int n) {
  T sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int i = 0; i < n; ++i) {
    const T ls = log_sigma<kLogstd>(scale[i]), sigma = exp_(ls);
    sum += twice_kl(mu[i], ls, sigma);
    if (kSample) z[i] = mu[i] + sigma * static_cast<T>(eps[i]);
  }
  return sum;
}

template <bool kSample, bool kLogstd, typename T, typename Noise>
BIGAN_INLINE void backward_chunk(T c, const T* mu, const T* scale, const Noise* eps, const T* grad_z, T* d_mu, T* d_scale,
                                 int n) {
#pragma omp simd
  for (int i = 0; i < n; ++i) {
    const T sigma = exp_(log_sigma<kLogstd>(scale[i]));
    reparam_kl_grad<kLogstd>(c, mu[i], sigma, kSample ? grad_z[i] : T(0), kSample ? static_cast<T>(eps[i]) : T(0), &d_mu[i],
                             &d_scale[i]);
  }
}

template <typename Store>
BIGAN_INLINE const Store* row(const Rows& m, int64_t b, int64_t j) {
  return static_cast<const Store*>(m.data) + b * m.stride + j;
}

// Calls f(offset, length, noise) for each chunk of row b; noise is null where none is wanted.  Given noise has the type
// of the data; drawn noise is float.
template <typename Store, typename F>
BIGAN_INLINE void chunks(const ReparamKlArgs& a, bool noise, int64_t b, const F& f) {
  using T = Compute<Store>;
  T given[kChunk];
  float drawn[kChunk];
  const bool draw = noise && !a.eps.data;
  const NoiseKey key = draw ? noise_key(a.rng, a.sample_id, b, a.stream) : NoiseKey{};
  for (int64_t j = 0; j < a.dim; j += kChunk) {
    const int n = static_cast<int>(std::min<int64_t>(kChunk, a.dim - j));
    if (draw) {
      draw_normal(key, j, n, drawn);
      f(j, n, static_cast<const float*>(drawn));
    } else {
      f(j, n, noise ? load(row<Store>(a.eps, b, j), given, n) : static_cast<const T*>(nullptr));
    }
  }
}

template <typename Store, bool kLogstd>
BIGAN_INLINE void forward_rows(const ReparamKlArgs& a, int64_t begin, int64_t end) {
  using T = Compute<Store>;
  T mu_buffer[kChunk], scale_buffer[kChunk], z_buffer[kChunk];
  for (int64_t b = begin; b < end; ++b) {
    double sum = 0;  // float inside a chunk, double across chunks
    chunks<Store>(a, a.z, b, [&](int64_t j, int n, const auto* eps) __attribute__((always_inline)) {
      const T* mu = load(row<Store>(a.mu, b, j), mu_buffer, n);
      const T* scale = load(row<Store>(a.scale, b, j), scale_buffer, n);
      if (!a.z) {
        sum += forward_chunk<false, kLogstd>(mu, scale, eps, static_cast<T*>(nullptr), n);
        return;
      }
      Store* out = static_cast<Store*>(a.z) + b * a.dim + j;
      T* z = destination(out, z_buffer);
      sum += forward_chunk<true, kLogstd>(mu, scale, eps, z, n);
      store(out, z, n);
    });
    T kl = static_cast<T>(0.5 * sum * (a.mean_dims ? a.inv_dim : 1.0));
    if (a.hinge == Hinge::kSample) kl = hinge(static_cast<T>(a.margin), kl);
    static_cast<T*>(a.rows)[b] = kl;
  }
}

template <typename Store, bool kLogstd>
BIGAN_INLINE void backward_rows(const ReparamKlArgs& a, int64_t begin, int64_t end) {
  using T = Compute<Store>;
  T mu_buffer[kChunk], scale_buffer[kChunk], grad_buffer[kChunk], d_mu_buffer[kChunk], d_scale_buffer[kChunk];
  for (int64_t b = begin; b < end; ++b) {
    const T c = row_coefficient<T>(a, b);
    chunks<Store>(a, a.grad_z.data, b, [&](int64_t j, int n, const auto* eps) __attribute__((always_inline)) {
      const T* mu = load(row<Store>(a.mu, b, j), mu_buffer, n);
      const T* scale = load(row<Store>(a.scale, b, j), scale_buffer, n);
      Store* out_mu = static_cast<Store*>(a.grad_mu) + b * a.dim + j;
      Store* out_scale = static_cast<Store*>(a.grad_scale) + b * a.dim + j;
      T* d_mu = destination(out_mu, d_mu_buffer);
      T* d_scale = destination(out_scale, d_scale_buffer);
      if (a.grad_z.data) {
        const T* grad_z = load(row<Store>(a.grad_z, b, j), grad_buffer, n);
        backward_chunk<true, kLogstd>(c, mu, scale, eps, grad_z, d_mu, d_scale, n);
      } else {
        backward_chunk<false, kLogstd>(c, mu, scale, eps, static_cast<const T*>(nullptr), d_mu, d_scale, n);
      }
      store(out_mu, d_mu, n);
      store(out_scale, d_scale, n);
    });
  }
}

// One function an element type: target_clones does not take templates.
#define BIGAN_ROWS(NAME, STORE)                                                                        \
  BIGAN_CLONES void forward_##NAME(const ReparamKlArgs& a, int64_t begin, int64_t end) {               \
    a.logstd ? forward_rows<STORE, true>(a, begin, end) : forward_rows<STORE, false>(a, begin, end);   \
  }                                                                                                    \
  BIGAN_CLONES void backward_##NAME(const ReparamKlArgs& a, int64_t begin, int64_t end) {              \
    a.logstd ? backward_rows<STORE, true>(a, begin, end) : backward_rows<STORE, false>(a, begin, end); \
  }
BIGAN_ROWS(float, float)
BIGAN_ROWS(double, double)
BIGAN_ROWS(half, Half)
BIGAN_ROWS(bfloat16, BFloat16)
#undef BIGAN_ROWS

template <typename T>
void reduce(const ReparamKlArgs& a) {
  double sum = 0;
  if (a.reduction != Reduction::kNone)
    for (int64_t b = 0; b < a.batch; ++b) sum += static_cast<const T*>(a.rows)[b];
  *static_cast<T*>(a.loss) = a.reduction == Reduction::kNone ? T(0) : static_cast<T>(finish_loss(a, sum));
}

}  // namespace

void reparam_kl_cpu(const ReparamKlArgs& a) {
  auto* rows = a.dtype == Dtype::kDouble  ? forward_double
               : a.dtype == Dtype::kHalf  ? forward_half
               : a.dtype == Dtype::kFloat ? forward_float
                                          : forward_bfloat16;
  parallel_for(a.batch, a.dim, [&](int64_t begin, int64_t end) { rows(a, begin, end); });
  a.dtype == Dtype::kDouble ? reduce<double>(a) : reduce<float>(a);
}

void reparam_kl_backward_cpu(const ReparamKlArgs& a) {
  auto* rows = a.dtype == Dtype::kDouble  ? backward_double
               : a.dtype == Dtype::kHalf  ? backward_half
               : a.dtype == Dtype::kFloat ? backward_float
                                          : backward_bfloat16;
  parallel_for(a.batch, a.dim, [&](int64_t begin, int64_t end) { rows(a, begin, end); });
}

}  // namespace bigan
