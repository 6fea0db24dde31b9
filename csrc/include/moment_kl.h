// KL between the normal distribution with a batch's moments and the standard normal (AGE, Ulyanov et al. 2018, eq. 7),
// with its gradient.  bigan/ops/moment_kl.py is the meaning of every argument.
#pragma once

#include "elementary.h"

namespace bigan {

struct MomentKlArgs {
  Rows x;  // [B, Z]
  int64_t batch, dim;
  Dtype dtype;
  bool published, pq;
  double inv_batch, weight;  // weight: of one dimension's KL in the result
  void *kl, *mean, *var;     // [], [Z], [Z]; mean and var are inputs of the backward
  // CUDA forward: blocks of columns (tiles) by blocks of rows (chunks)
  int64_t chunk_rows, chunks;
  void* partial;      // [chunks, 2, Z] mean and sum of squared deviations of a chunk; null for one chunk
  void* tile_values;  // [tiles]
  uint32_t* tickets;  // [tiles + 1]
  // backward
  const void *grad_kl, *grad_mean, *grad_var;  // [], [Z], [Z] or null
  void* grad_x;                                // [B, Z]
};

constexpr int64_t kMomentTile = 128;  // columns of a block

void moment_kl_cpu(const MomentKlArgs& args);
void moment_kl_backward_cpu(const MomentKlArgs& args);
int moment_kl_cuda(const MomentKlArgs& args, void* stream);
int moment_kl_backward_cuda(const MomentKlArgs& args, void* stream);

// Logarithm of anything that is 0 or more.
BIGAN_HD double log_variance(double v) { return ::log(v); }
BIGAN_DEVICE float log_variance(float v) {
#if defined(__CUDACC__) || defined(BIGAN_EMULATED)
  return log_(v);
#else
  const bool small = v < 1.17549435e-38f;  // log_ wants normal numbers
  const float l = log_(small ? v * 0x1p24f : v) - (small ? 16.6355323f : 0.f);
  const float edge = v == 0.f ? -HUGE_VALF : v;  // inf and NaN are their own logarithms
  return v > 0.f && v < HUGE_VALF ? l : edge;
#endif
}

// Count, mean and sum of squared deviations of some numbers; two of them put together (Chan, Golub, LeVeque 1983).
template <typename T>
struct Moments {
  T mean, squares;
};

// `share`: count of b over the count of both; `cross`: that times the count of a.
template <typename T>
BIGAN_HD Moments<T> merged(const Moments<T>& a, const Moments<T>& b, T share, T cross) {
  const T delta = b.mean - a.mean;
  return {a.mean + delta * share, a.squares + b.squares + delta * delta * cross};
}

// From sums of x - shift and its square over `count` numbers, one of which is `shift`: then squares loses at most a
// factor `count` of precision, whatever the mean.
template <typename T>
BIGAN_HD Moments<T> shifted_moments(T shift, T sum, T sum_of_squares, T inv_count) {
  const T d = sum * inv_count;
  return {shift + d, sum_of_squares - sum * d};
}

// KL of one dimension.
template <typename T>
BIGAN_HD T moment_kl_value(bool published, bool pq, T mean, T var, T log_var) {
  const T s = published ? var * var : var, log_s = published ? T(2) * log_var : log_var;
  return T(0.5) * (pq ? (T(1) + mean * mean) / s - T(1) + log_s : s + mean * mean - T(1) - log_s);
}

// The gradient by x in this dimension is constant + slope * (x - mean).
template <typename T>
struct MomentGrad {
  T constant, slope;
};

template <typename T>
BIGAN_HD MomentGrad<T> moment_kl_grad(const MomentKlArgs& a, T mean, T var, int64_t j) {
  T by_mean = 0, by_var = 0;
  if (a.grad_kl) {
    const T g = *static_cast<const T*>(a.grad_kl) * static_cast<T>(a.weight), inv = T(1) / var;
    const T factor = a.published ? inv * inv : inv;
    const T wide = a.published ? inv : T(0.5) * inv;
    by_mean = g * (a.pq ? mean * factor : mean);
    by_var = g * (a.pq ? wide * (T(1) - (T(1) + mean * mean) * factor) : (a.published ? var - inv : T(0.5) * (T(1) - inv)));
  }
  if (a.grad_mean) by_mean += static_cast<const T*>(a.grad_mean)[j];
  if (a.grad_var) by_var += static_cast<const T*>(a.grad_var)[j];
  const T share = static_cast<T>(a.inv_batch);
  return {by_mean * share, T(2) * by_var * share};
}

}  // namespace bigan
