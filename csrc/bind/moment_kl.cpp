#include "moment_kl.h"

#include "bind.h"

namespace bigan {
namespace {

MomentKlArgs common_args(const char* op, const Tensor& x, int64_t options, Tensor& keep) {
  MomentKlArgs a{};
  STD_TORCH_CHECK(0 <= options && options < 8, op, ": options must be what options() gives, got ", options);
  a.published = options & 1;
  a.pq = options & 2;
  a.dtype = float_dtype(op, "codes", x);
  check_matrix(op, "codes", x);
  a.batch = x.size(0);
  a.dim = x.size(1);
  a.x = rows(x, keep);
  a.inv_batch = 1.0 / static_cast<double>(a.batch);
  a.weight = options & 4 ? 1.0 : 1.0 / static_cast<double>(a.dim);
  return a;
}

std::tuple<Tensor, Tensor, Tensor> moment_kl(const Tensor& x, int64_t options) {
  Tensor keep;
  MomentKlArgs a = common_args("moment_kl", x, options, keep);
  const Dtype acc = accumulator(a.dtype);
  Tensor kl = empty<0>({}, acc, x), mean = empty<1>({a.dim}, acc, x), var = empty<1>({a.dim}, acc, x);
  a.kl = kl.data_ptr();
  a.mean = mean.data_ptr();
  a.var = var.data_ptr();
#if BIGAN_CUDA
  // At most 64 chunks: the last one of a tile to finish puts them together.
  a.chunk_rows = std::max<int64_t>(128, (a.batch + 63) / 64);
  a.chunks = std::max<int64_t>(1, (a.batch + a.chunk_rows - 1) / a.chunk_rows);
  const int64_t tiles = std::max<int64_t>(1, (a.dim + kMomentTile - 1) / kMomentTile), size = acc == Dtype::kDouble ? 8 : 4;
  const int64_t parts = a.chunks > 1 ? a.chunks * 2 * a.dim : 0;
  Tensor scratch = empty<1>({parts + 2 * tiles + 1}, acc, x);
  char* data = static_cast<char*>(scratch.data_ptr());
  a.partial = parts ? data : nullptr;
  a.tile_values = data + parts * size;
  a.tickets = reinterpret_cast<uint32_t*>(data + (parts + tiles) * size);
#endif
  BIGAN_LAUNCH(moment_kl, a, x);
  return {kl, mean, var};
}

Tensor moment_kl_backward(const MaybeTensor& grad_kl, const MaybeTensor& grad_mean, const MaybeTensor& grad_var,
                          const Tensor& x, const Tensor& mean, const Tensor& var, int64_t options) {
  const char* op = "moment_kl_backward";
  Tensor keep;
  MaybeTensor kl_c, grad_mean_c, grad_var_c, mean_c, var_c;
  MomentKlArgs a = common_args(op, x, options, keep);
  const Dtype acc = accumulator(a.dtype);
  a.grad_kl = sums(op, "grad_kl", grad_kl, 1, acc, x, kl_c);
  a.grad_mean = sums(op, "grad_mean", grad_mean, a.dim, acc, x, grad_mean_c);
  a.grad_var = sums(op, "grad_var", grad_var, a.dim, acc, x, grad_var_c);
  a.mean = const_cast<void*>(sums(op, "mean", mean, a.dim, acc, x, mean_c));
  a.var = const_cast<void*>(sums(op, "var", var, a.dim, acc, x, var_c));
  Tensor grad_x = empty<2>({a.batch, a.dim}, a.dtype, x);
  a.grad_x = grad_x.data_ptr();
  if (a.batch * a.dim > 0) BIGAN_LAUNCH(moment_kl_backward, a, x);
  return grad_x;
}

}  // namespace
}  // namespace bigan

STABLE_TORCH_LIBRARY_IMPL(BIGAN_NAMESPACE, BIGAN_KEY, m) {
  m.impl("moment_kl", TORCH_BOX(&bigan::moment_kl));
  m.impl("moment_kl_backward", TORCH_BOX(&bigan::moment_kl_backward));
}
