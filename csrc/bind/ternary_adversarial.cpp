#include "ternary_adversarial.h"

#include "groups.h"

namespace bigan {
namespace {

TernaryAdversarialArgs common_args(const char* op, const NamedTensor (&inputs)[3], double smoothing, Tensor (&held)[3]) {
  TernaryAdversarialArgs a{};
  a.smoothing = smoothing;
  set_groups(op, inputs, 3, a, held);
  return a;
}

std::tuple<Tensor, Tensor, Tensor> ternary_adversarial(const Tensor& real, const Tensor& reconstruction,
                                                       const Tensor& generated, double smoothing) {
  const NamedTensor inputs[3] = {{"real", real}, {"reconstruction", reconstruction}, {"generated", generated}};
  Tensor held[3];
  TernaryAdversarialArgs a = common_args("ternary_adversarial", inputs, smoothing, held);
  AdversarialOutputs out = set_outputs(a, real, 12);
  BIGAN_LAUNCH(ternary_adversarial, a, real);
  return {out.loss_d, out.loss_g, out.accuracy};
}

std::tuple<Tensor, Tensor, Tensor> ternary_adversarial_backward(const MaybeTensor& grad_d, const MaybeTensor& grad_g,
                                                                const Tensor& real, const Tensor& reconstruction,
                                                                const Tensor& generated, double smoothing) {
  const char* op = "ternary_adversarial_backward";
  const NamedTensor inputs[3] = {{"real", real}, {"reconstruction", reconstruction}, {"generated", generated}};
  Tensor held[3], grads[3];
  TernaryAdversarialArgs a = common_args(op, inputs, smoothing, held);
  set_gradients(op, grad_d, grad_g, inputs, a, grads);
  if (a.groups[0].count + a.groups[1].count + a.groups[2].count > 0) BIGAN_LAUNCH(ternary_adversarial_backward, a, real);
  return {grads[0], grads[1], grads[2]};
}

}  // namespace
}  // namespace bigan

STABLE_TORCH_LIBRARY_IMPL(BIGAN_NAMESPACE, BIGAN_KEY, m) {
  m.impl("ternary_adversarial", TORCH_BOX(&bigan::ternary_adversarial));
  m.impl("ternary_adversarial_backward", TORCH_BOX(&bigan::ternary_adversarial_backward));
}
