// z = mu + sigma eps and KL(N(mu, sigma^2) || N(0, 1)) (Kingma & Welling 2014, section 2.4 and Appendix B), with their
// gradients; IntroVAE's hinge (Huang et al. 2018, eq. 5).  bigan/ops/reparam_kl.py is the meaning of every argument.
#pragma once

#include "elementary.h"
#include "philox.h"

namespace bigan {

enum class Reduction : int32_t { kNone, kMean, kSum };
enum class Hinge : int32_t { kOff, kBatch, kSample };

struct ReparamKlArgs {
  Rows mu, scale, eps;  // [B, Z]; eps.data or rng may be null
  const int64_t* rng;
  const int64_t* sample_id;
  int64_t stream, batch, dim;
  Dtype dtype;
  bool logstd, mean_dims;
  Reduction reduction;
  Hinge hinge;
  double margin;
  double inv_batch, inv_dim;  // a division on the GPU, in double, is a call that spills registers
  // forward
  void* z;           // [B, Z] or null: no sample wanted
  void* rows;        // [B]   float or double
  void* loss;        // []
  uint32_t* ticket;  // CUDA: zeroed counter of finished blocks, null where loss is not reduced
  // backward (rows and loss are inputs there)
  Rows grad_z;            // [B, Z] or null
  const void* grad_rows;  // [B] or null
  const void* grad_loss;  // [] or null
  void* grad_mu;          // [B, Z]
  void* grad_scale;       // [B, Z]
};

void reparam_kl_cpu(const ReparamKlArgs& args);
void reparam_kl_backward_cpu(const ReparamKlArgs& args);
int reparam_kl_cuda(const ReparamKlArgs& args, void* stream);
int reparam_kl_backward_cuda(const ReparamKlArgs& args, void* stream);

// log sigma from what the network put out.
template <bool kLogstd, typename T>
BIGAN_HD T log_sigma(T scale) {
  return kLogstd ? scale : T(0.5) * scale;
}

// Twice the KL of one element.
template <typename T>
BIGAN_HD T twice_kl(T mu, T log_sigma, T sigma) {
  return mu * mu + (sigma * sigma - T(1) - T(2) * log_sigma);
}

// Gradients of one element; c is the derivative by the row's KL, over the number of dimensions if they are averaged.
template <bool kLogstd, typename T>
BIGAN_HD void reparam_kl_grad(T c, T mu, T sigma, T grad_z, T eps, T* d_mu, T* d_scale) {
  *d_mu = c * mu + grad_z;
  const T by_log_sigma = c * (sigma * sigma - T(1)) + grad_z * sigma * eps;
  *d_scale = kLogstd ? by_log_sigma : T(0.5) * by_log_sigma;
}

// relu(margin - value), NaN kept.
template <typename T>
BIGAN_HD T hinge(T margin, T value) {
  const T gap = margin - value;
  return gap < T(0) ? T(0) : gap;
}

// Derivative of everything downstream by the KL of row b.  The hinge passes where it is above 0, and NaN.
template <typename T>
BIGAN_HD T row_coefficient(const ReparamKlArgs& a, int64_t b) {
  T c = T(0);
  if (a.grad_loss && a.reduction != Reduction::kNone) {
    c = *static_cast<const T*>(a.grad_loss);
    if (a.reduction == Reduction::kMean) c *= static_cast<T>(a.inv_batch);
    if (a.hinge == Hinge::kBatch) c = *static_cast<const T*>(a.loss) <= T(0) ? T(0) : -c;
  }
  if (a.grad_rows) c += static_cast<const T*>(a.grad_rows)[b];
  if (a.hinge == Hinge::kSample) c = static_cast<const T*>(a.rows)[b] <= T(0) ? T(0) : -c;
  return a.mean_dims ? c * static_cast<T>(a.inv_dim) : c;
}

// From the sum over rows to the final scalar.
template <typename T>
BIGAN_HD T finish_loss(const ReparamKlArgs& a, T sum) {
  const T value = a.reduction == Reduction::kMean ? sum * static_cast<T>(a.inv_batch) : sum;
  return a.hinge == Hinge::kBatch ? hinge(static_cast<T>(a.margin), value) : value;
}

}  // namespace bigan
