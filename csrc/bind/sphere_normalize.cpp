#include "sphere_normalize.h"

#include "bind.h"

namespace bigan {
namespace {

SphereNormalizeArgs common_args(const char* op, const Tensor& x, Tensor& keep) {
  SphereNormalizeArgs a{};
  a.dtype = float_dtype(op, "x", x);
  check_matrix(op, "x", x);
  a.batch = x.size(0);
  a.dim = x.size(1);
  a.x = rows(x, keep);
  return a;
}

Tensor sphere_normalize(const Tensor& x) {
  Tensor keep;
  SphereNormalizeArgs a = common_args("sphere_normalize", x, keep);
  Tensor y = empty<2>({a.batch, a.dim}, a.dtype, x);
  a.out = y.data_ptr();
  if (a.batch * a.dim > 0) BIGAN_LAUNCH(sphere_normalize, a, x);
  return y;
}

Tensor sphere_normalize_backward(const Tensor& grad, const Tensor& x) {
  const char* op = "sphere_normalize_backward";
  Tensor keep, keep_grad;
  SphereNormalizeArgs a = common_args(op, x, keep);
  check_like(op, "grad", grad, "x", x);
  a.grad = rows(grad, keep_grad);
  Tensor grad_x = empty<2>({a.batch, a.dim}, a.dtype, x);
  a.out = grad_x.data_ptr();
  if (a.batch * a.dim > 0) BIGAN_LAUNCH(sphere_normalize_backward, a, x);
  return grad_x;
}

}  // namespace
}  // namespace bigan

STABLE_TORCH_LIBRARY_IMPL(BIGAN_NAMESPACE, BIGAN_KEY, m) {
  m.impl("sphere_normalize", TORCH_BOX(&bigan::sphere_normalize));
  m.impl("sphere_normalize_backward", TORCH_BOX(&bigan::sphere_normalize_backward));
}
