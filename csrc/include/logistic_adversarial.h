// The losses of a critic with one logit (logistic, hinge, least squares, Wasserstein), for both players, with their
// gradients.  bigan/ops/logistic_adversarial.py is the meaning of every argument.
#pragma once

#include "adversarial.h"

namespace bigan {

enum class Form : int32_t { kLogistic, kHinge, kLeastSquares, kWasserstein };
enum class Generator : int32_t { kNonSaturating, kSaturating, kSwapped };

struct LogisticAdversarialArgs : AdversarialArgs<2> {  // real, fake
  Form form;
  Generator generator;
  double smoothing;
};

void logistic_adversarial_cpu(const LogisticAdversarialArgs& args);
void logistic_adversarial_backward_cpu(const LogisticAdversarialArgs& args);
int logistic_adversarial_cuda(const LogisticAdversarialArgs& args, void* stream);
int logistic_adversarial_backward_cuda(const LogisticAdversarialArgs& args, void* stream);

// Of one logit of a group with sign 1 (real) or -1 (fake): the loss under its own label and under the other.
template <typename T>
BIGAN_HD void logit_losses(Form form, T sign, T a, T* own, T* other) {
  const T y = sign * a;  // large where the critic is right
  if (form == Form::kLogistic) {
    const T rest = log1p_(exp_(smaller(y, -y)));  // softplus(-|y|)
    *own = larger(-y, T(0)) + rest;
    *other = larger(y, T(0)) + rest;
  } else if (form == Form::kHinge) {
    *own = T(1) - y < T(0) ? T(0) : T(1) - y;  // NaN kept
    *other = y;
  } else if (form == Form::kLeastSquares) {
    const T to_own = a - (sign > T(0) ? T(1) : T(0)), to_other = a - (sign > T(0) ? T(0) : T(1));
    *own = T(0.5) * to_own * to_own;
    *other = T(0.5) * to_other * to_other;
  } else {
    *own = -y;
    *other = y;
  }
}

// Their derivatives by the logit.
template <typename T>
BIGAN_HD void logit_slopes(Form form, T sign, T a, T* own, T* other) {
  const T y = sign * a;
  if (form == Form::kLogistic) {
    const T e = exp_(y < T(0) ? y : -y), inv = T(1) / (T(1) + e);
    *own = -sign * (y < T(0) ? inv : e * inv);  // sigmoid(-y), to full precision on both sides
    *other = sign * (y < T(0) ? e * inv : inv);
  } else if (form == Form::kLeastSquares) {
    *own = a - (sign > T(0) ? T(1) : T(0));
    *other = a - (sign > T(0) ? T(0) : T(1));
  } else {
    *own = form == Form::kHinge && y >= T(1) ? T(0) : -sign;
    *other = sign;
  }
}

template <typename T>
BIGAN_HD bool logit_right(Form form, T sign, T a) {
  const T middle = form == Form::kLeastSquares ? T(0.5) : T(0);
  return sign * (a - middle) > T(0);
}

// Sums over the groups, [own, other, right] of real and then of fake, to the outputs.
template <typename Out, typename T>
BIGAN_HD void finish_logistic(const LogisticAdversarialArgs& a, const T (&sums)[6]) {
  const LogitGroup &real = a.groups[0], &fake = a.groups[1];
  const T own = group_mean(real, sums[0]), swapped = group_mean(real, sums[1]);
  const T fake_own = group_mean(fake, sums[3]), fooled = group_mean(fake, sums[4]);
  const T smoothing = static_cast<T>(a.smoothing);
  // what has no weight is left out, lest an infinite value make it NaN
  T loss_d = smoothing > T(0) ? (T(1) - smoothing) * own + smoothing * swapped : own;
  T loss_g = a.generator == Generator::kSaturating ? -fake_own : fooled;
  if (a.generator == Generator::kSwapped) loss_g += swapped;
  *static_cast<Out*>(a.loss_d) = static_cast<Out>(loss_d + fake_own);
  *static_cast<Out*>(a.loss_g) = static_cast<Out>(loss_g);
  static_cast<Out*>(a.accuracy)[0] = static_cast<Out>(sums[2] * static_cast<T>(real.inv_count));  // 0 * inf = NaN
  static_cast<Out*>(a.accuracy)[1] = static_cast<Out>(sums[5] * static_cast<T>(fake.inv_count));
}

// Derivatives of everything downstream by one logit's two losses.
template <typename T>
BIGAN_HD void logit_coefficients(const LogisticAdversarialArgs& a, bool real, T* by_own, T* by_other) {
  const T d = upstream<T>(a.grad_d), g = upstream<T>(a.grad_g);
  const T smoothing = static_cast<T>(a.smoothing), share = static_cast<T>(a.groups[real ? 0 : 1].inv_count);
  if (real) {
    *by_own = share * (T(1) - smoothing) * d;
    *by_other = share * (smoothing * d + (a.generator == Generator::kSwapped ? g : T(0)));
  } else {
    const bool saturating = a.generator == Generator::kSaturating;
    *by_own = share * (saturating ? d - g : d);
    *by_other = saturating ? T(0) : share * g;
  }
}

}  // namespace bigan
