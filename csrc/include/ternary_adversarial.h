// The losses of IAN's critic, a softmax over (real, reconstruction, generated), for both players, with their gradients
// (Brock et al. 2016, section 3.1).  bigan/ops/ternary_adversarial.py is the meaning of every argument.
#pragma once

#include "adversarial.h"

namespace bigan {

struct TernaryAdversarialArgs : AdversarialArgs<3> {
  double smoothing;
};

void ternary_adversarial_cpu(const TernaryAdversarialArgs& args);
void ternary_adversarial_backward_cpu(const TernaryAdversarialArgs& args);
int ternary_adversarial_cuda(const TernaryAdversarialArgs& args, void* stream);
int ternary_adversarial_backward_cuda(const TernaryAdversarialArgs& args, void* stream);

// Of one row: log sum exp above its largest logit, `top`.
template <typename T>
BIGAN_HD T log_sum_above(T l0, T l1, T l2, T* top) {
  const T high = larger(l0, l1), low = smaller(l0, l1);
  *top = larger(high, l2);
  return log1p_(exp_(low - *top) + exp_(smaller(high, l2) - *top));
}

// Cross-entropies of one row: to its own class, to class 0 and the mean over the classes.
template <int kOwn, typename T>
BIGAN_HD void row_losses(T l0, T l1, T l2, T* own, T* to_real, T* uniform, bool* right) {
  T top;
  const T above = log_sum_above(l0, l1, l2, &top);
  const T c0 = above + (top - l0), c1 = above + (top - l1), c2 = above + (top - l2);
  *own = kOwn == 0 ? c0 : kOwn == 1 ? c1 : c2;
  *to_real = c0;
  *uniform = (c0 + c1 + c2) * T(1.0 / 3.0);
  const T l = kOwn == 0 ? l0 : kOwn == 1 ? l1 : l2, x = kOwn == 0 ? l1 : l0, y = kOwn == 2 ? l1 : l2;
  *right = (l > x) & (l > y);
}

// Gradients of one row; the three are what is downstream of row_losses' values.
template <int kOwn, typename T>
BIGAN_HD void row_gradient(T by_own, T by_real, T by_uniform, T l0, T l1, T l2, T* d0, T* d1, T* d2) {
  const T top = larger(larger(l0, l1), l2);
  const T e0 = exp_(l0 - top), e1 = exp_(l1 - top), e2 = exp_(l2 - top);
  const T inv = T(1) / (e0 + e1 + e2), p0 = e0 * inv, p1 = e1 * inv, p2 = e2 * inv;
  const T third = T(1.0 / 3.0);
  // p - 1 as minus the sum of the others: exact where p is near 1
  *d0 = by_real * -(p1 + p2) + by_own * (kOwn == 0 ? -(p1 + p2) : p0) + by_uniform * (p0 - third);
  *d1 = by_real * p1 + by_own * (kOwn == 1 ? -(p0 + p2) : p1) + by_uniform * (p1 - third);
  *d2 = by_real * p2 + by_own * (kOwn == 2 ? -(p0 + p1) : p2) + by_uniform * (p2 - third);
}

// Sums over the groups, [own, to_real, uniform, right] of each, to the outputs.
template <typename Out, typename T>
BIGAN_HD void finish_ternary(const TernaryAdversarialArgs& a, const T (&sums)[12]) {
  const T smoothing = static_cast<T>(a.smoothing);
  T loss_d = 0, loss_g = 0;
  for (int k = 0; k < 3; ++k) {
    const LogitGroup& group = a.groups[k];
    const T own = group_mean(group, sums[4 * k]), uniform = group_mean(group, sums[4 * k + 2]);
    // what has no weight is left out, lest an infinite value make it NaN
    loss_d += smoothing > T(0) ? (T(1) - smoothing) * own + smoothing * uniform : own;
    if (k > 0) loss_g += group_mean(group, sums[4 * k + 1]);
    static_cast<Out*>(a.accuracy)[k] = static_cast<Out>(sums[4 * k + 3] * static_cast<T>(group.inv_count));  // 0 * inf = NaN
  }
  *static_cast<Out*>(a.loss_d) = static_cast<Out>(loss_d);
  *static_cast<Out*>(a.loss_g) = static_cast<Out>(loss_g);
}

template <typename T>
BIGAN_HD void row_coefficients(const TernaryAdversarialArgs& a, int k, T* by_own, T* by_real, T* by_uniform) {
  const T share = static_cast<T>(a.groups[k].inv_count), smoothing = static_cast<T>(a.smoothing);
  const T d = share * upstream<T>(a.grad_d);
  *by_own = (T(1) - smoothing) * d;
  *by_real = k > 0 ? share * upstream<T>(a.grad_g) : T(0);
  *by_uniform = smoothing * d;
}

}  // namespace bigan
