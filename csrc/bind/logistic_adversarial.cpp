#include "logistic_adversarial.h"

#include "groups.h"

namespace bigan {
namespace {

LogisticAdversarialArgs common_args(const char* op, const NamedTensor (&inputs)[2], int64_t options, double smoothing,
                                    Tensor (&held)[2]) {
  LogisticAdversarialArgs a{};
  const int64_t generator = options >> 2;  // as bigan/ops/logistic_adversarial.py packs them
  STD_TORCH_CHECK(0 <= options && generator <= 2, op, ": options must be what options() gives, got ", options);
  a.form = static_cast<Form>(options & 3);
  a.generator = static_cast<Generator>(generator);
  a.smoothing = smoothing;
  set_groups(op, inputs, 0, a, held);
  return a;
}

std::tuple<Tensor, Tensor, Tensor> logistic_adversarial(const Tensor& real, const Tensor& fake, int64_t options,
                                                        double smoothing) {
  Tensor held[2];
  LogisticAdversarialArgs a = common_args("logistic_adversarial", {{"real", real}, {"fake", fake}}, options, smoothing, held);
  AdversarialOutputs out = set_outputs(a, real, 6);
  BIGAN_LAUNCH(logistic_adversarial, a, real);
  return {out.loss_d, out.loss_g, out.accuracy};
}

std::tuple<Tensor, Tensor> logistic_adversarial_backward(const MaybeTensor& grad_d, const MaybeTensor& grad_g,
                                                         const Tensor& real, const Tensor& fake, int64_t options,
                                                         double smoothing) {
  const char* op = "logistic_adversarial_backward";
  const NamedTensor inputs[2] = {{"real", real}, {"fake", fake}};
  Tensor held[2], grads[2];
  LogisticAdversarialArgs a = common_args(op, inputs, options, smoothing, held);
  set_gradients(op, grad_d, grad_g, inputs, a, grads);
  if (a.groups[0].count + a.groups[1].count > 0) BIGAN_LAUNCH(logistic_adversarial_backward, a, real);
  return {grads[0], grads[1]};
}

}  // namespace
}  // namespace bigan

STABLE_TORCH_LIBRARY_IMPL(BIGAN_NAMESPACE, BIGAN_KEY, m) {
  m.impl("logistic_adversarial", TORCH_BOX(&bigan::logistic_adversarial));
  m.impl("logistic_adversarial_backward", TORCH_BOX(&bigan::logistic_adversarial_backward));
}
