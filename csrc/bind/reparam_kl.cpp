#include "reparam_kl.h"

#include "bind.h"

namespace bigan {
namespace {

struct Held {  // copies that must outlive the launch
  Tensor mu, scale, eps, grad_z;
  MaybeTensor rng, sample_id;
};

ReparamKlArgs common_args(const char* op, const Tensor& mu, const Tensor& scale, const MaybeTensor& eps, const MaybeTensor& rng,
                          const MaybeTensor& sample_id, int64_t stream, int64_t options, double margin, Held& held) {
  ReparamKlArgs a{};
  const int64_t reduction = options >> 2 & 3, hinge = options >> 4 & 3;  // as bigan/ops/reparam_kl.py packs them
  STD_TORCH_CHECK(0 <= options && options < 64 && reduction <= 2 && hinge <= 2, op,
                  ": options must be what options() gives, got ", options);
  a.logstd = options & 1;
  a.mean_dims = options & 2;
  a.dtype = float_dtype(op, "mu", mu);
  check_matrix(op, "mu", mu);
  check_like(op, a.logstd ? "logstd" : "logvar", scale, "mu", mu);
  a.batch = mu.size(0);
  a.dim = mu.size(1);
  a.mu = rows(mu, held.mu);
  a.scale = rows(scale, held.scale);
  if (eps) {
    check_like(op, "eps", *eps, "mu", mu);
    a.eps = rows(*eps, held.eps);
  }
  a.rng = int64_data(op, "rng", rng, 2, mu, held.rng);
  a.sample_id = int64_data(op, "sample_id", sample_id, a.batch, mu, held.sample_id);
  a.stream = stream;
  a.reduction = static_cast<Reduction>(reduction);
  a.hinge = static_cast<Hinge>(hinge);
  a.margin = margin;
  a.inv_batch = 1.0 / static_cast<double>(a.batch);
  a.inv_dim = 1.0 / static_cast<double>(a.dim);
  return a;
}

std::tuple<Tensor, Tensor, Tensor> reparam_kl(const Tensor& mu, const Tensor& scale, const MaybeTensor& eps,
                                              const MaybeTensor& rng, const MaybeTensor& sample_id, int64_t stream,
                                              int64_t options, double margin) {
  Held held;
  ReparamKlArgs a = common_args("reparam_kl", mu, scale, eps, rng, sample_id, stream, options, margin, held);
  const Dtype acc = accumulator(a.dtype);
  const bool sample = eps || rng;
  Tensor z = sample ? empty<2>({a.batch, a.dim}, a.dtype, mu) : empty<1>({0}, a.dtype, mu);
  Tensor row_values = empty<1>({a.batch}, acc, mu), loss = empty<0>({}, acc, mu);
  a.z = sample ? z.data_ptr() : nullptr;
  a.rows = row_values.data_ptr();
  a.loss = loss.data_ptr();
#if BIGAN_CUDA
  Tensor ticket;  // where blocks count themselves, so that the last one adds up the rows
  if (a.reduction != Reduction::kNone) {
    ticket = empty<1>({1}, Dtype::kFloat, mu);
    a.ticket = static_cast<uint32_t*>(ticket.data_ptr());
  }
#endif
  BIGAN_LAUNCH(reparam_kl, a, mu);
  return {z, row_values, loss};
}

std::tuple<Tensor, Tensor> reparam_kl_backward(const MaybeTensor& grad_z, const MaybeTensor& grad_rows,
                                               const MaybeTensor& grad_loss, const Tensor& mu, const Tensor& scale,
                                               const MaybeTensor& row_values, const MaybeTensor& loss, const MaybeTensor& eps,
                                               const MaybeTensor& rng, const MaybeTensor& sample_id, int64_t stream,
                                               int64_t options, double margin) {
  const char* op = "reparam_kl_backward";
  Held held;
  ReparamKlArgs a = common_args(op, mu, scale, eps, rng, sample_id, stream, options, margin, held);
  const Dtype acc = accumulator(a.dtype);
  MaybeTensor rows_c, loss_c, grad_rows_c, grad_loss_c;
  a.rows = sums(op, "rows", row_values, a.batch, acc, mu, rows_c);
  a.loss = sums(op, "loss", loss, 1, acc, mu, loss_c);
  a.grad_rows = sums(op, "grad_rows", grad_rows, a.batch, acc, mu, grad_rows_c);
  a.grad_loss = sums(op, "grad_loss", grad_loss, 1, acc, mu, grad_loss_c);
  STD_TORCH_CHECK(a.hinge == Hinge::kOff || (row_values && loss), op, ": a hinge needs the forward's rows and loss");
  if (grad_z) {
    STD_TORCH_CHECK(eps || rng, op, ": grad_z needs eps or rng");
    check_like(op, "grad_z", *grad_z, "mu", mu);
    a.grad_z = rows(*grad_z, held.grad_z);
  }
  Tensor grad_mu = empty<2>({a.batch, a.dim}, a.dtype, mu), grad_scale = empty<2>({a.batch, a.dim}, a.dtype, mu);
  a.grad_mu = grad_mu.data_ptr();
  a.grad_scale = grad_scale.data_ptr();
  if (a.batch * a.dim > 0) BIGAN_LAUNCH(reparam_kl_backward, a, mu);
  return {grad_mu, grad_scale};
}

}  // namespace
}  // namespace bigan

STABLE_TORCH_LIBRARY_IMPL(BIGAN_NAMESPACE, BIGAN_KEY, m) {
  m.impl("reparam_kl", TORCH_BOX(&bigan::reparam_kl));
  m.impl("reparam_kl_backward", TORCH_BOX(&bigan::reparam_kl_backward));
}
