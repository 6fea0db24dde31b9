#include "minibatch_discrimination.h"

#include "bind.h"

namespace bigan {
namespace {

MinibatchDiscriminationArgs common_args(const char* op, const Tensor& x) {
  MinibatchDiscriminationArgs a{};
  a.dtype = float_dtype(op, "activations", x);
  STD_TORCH_CHECK(x.dim() == 3, op, ": activations must be [B, K, D], got ", shape(x));
  a.x = x.data_ptr();
  for (int i = 0; i < 3; ++i) a.strides[i] = x.stride(i);
  a.batch = x.size(0);
  a.kernels = x.size(1);
  a.dims = x.size(2);
  return a;
}

Tensor minibatch_discrimination(const Tensor& x) {
  MinibatchDiscriminationArgs a = common_args("minibatch_discrimination", x);
  Tensor out = empty<2>({a.batch, a.kernels}, a.dtype, x);
  a.out = out.data_ptr();
  if (a.batch * a.kernels > 0) BIGAN_LAUNCH(minibatch_discrimination, a, x);
  return out;
}

Tensor minibatch_discrimination_backward(const Tensor& grad, const Tensor& x) {
  const char* op = "minibatch_discrimination_backward";
  MinibatchDiscriminationArgs a = common_args(op, x);
  STD_TORCH_CHECK(grad.dim() == 2 && grad.size(0) == a.batch && grad.size(1) == a.kernels &&
                      grad.scalar_type() == x.scalar_type() && same_device(grad, x),
                  op, ": grad must be [", a.batch, ", ", a.kernels, "] of the type of activations, got ", shape(grad));
  Tensor keep;
  a.grad = rows(grad, keep);
  Tensor grad_x = empty<3>({a.batch, a.kernels, a.dims}, a.dtype, x);
  a.grad_x = grad_x.data_ptr();
  if (a.batch * a.kernels * a.dims > 0) BIGAN_LAUNCH(minibatch_discrimination_backward, a, x);
  return grad_x;
}

}  // namespace
}  // namespace bigan

STABLE_TORCH_LIBRARY_IMPL(BIGAN_NAMESPACE, BIGAN_KEY, m) {
  m.impl("minibatch_discrimination", TORCH_BOX(&bigan::minibatch_discrimination));
  m.impl("minibatch_discrimination_backward", TORCH_BOX(&bigan::minibatch_discrimination_backward));
}
