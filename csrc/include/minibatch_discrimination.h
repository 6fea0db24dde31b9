// The sum over the other samples of exp(-L1 distance), kernel by kernel, and its gradient.
// bigan/ops/minibatch_discrimination.py is the meaning of every argument.
#pragma once

#include "elementary.h"

namespace bigan {

struct MinibatchDiscriminationArgs {
  const void* x;       // [B, K, D]
  int64_t strides[3];  // of x, in elements
  int64_t batch, kernels, dims;
  Dtype dtype;
  void* out;     // forward: [B, K]
  Rows grad;     // backward: [B, K], of x's type
  void* grad_x;  // [B, K, D]
};

void minibatch_discrimination_cpu(const MinibatchDiscriminationArgs& args);
void minibatch_discrimination_backward_cpu(const MinibatchDiscriminationArgs& args);
int minibatch_discrimination_cuda(const MinibatchDiscriminationArgs& args, void* stream);
int minibatch_discrimination_backward_cuda(const MinibatchDiscriminationArgs& args, void* stream);

// One dimension's part of the distance.
template <typename T>
BIGAN_HD T apart(T a, T b) {
  return abs_(a - b);
}

template <typename T>
BIGAN_HD T closeness(T distance) {
  return exp_(-distance);
}

// Derivative by one element of a of weight * closeness(a, b), weight: (g_a + g_b) * closeness; by b it is the opposite.
// The sign of 0 is 0; where the difference is NaN, so is the weight.
template <typename T>
BIGAN_HD T closeness_grad(T weight, T a, T b) {
  return weight * ((a < b ? T(1) : T(0)) - (a > b ? T(1) : T(0)));
}

}  // namespace bigan
