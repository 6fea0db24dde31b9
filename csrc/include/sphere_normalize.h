// y = x / |x| for each row, and its gradient.  bigan/ops/sphere_normalize.py is the meaning of every argument.
#pragma once

#include "norm.h"

namespace bigan {

struct SphereNormalizeArgs {
  Rows x, grad;  // [B, Z]; grad: backward
  void* out;     // [B, Z] y, or the gradient by x
  int64_t batch, dim;
  Dtype dtype;
};

void sphere_normalize_cpu(const SphereNormalizeArgs& args);
void sphere_normalize_backward_cpu(const SphereNormalizeArgs& args);
int sphere_normalize_cuda(const SphereNormalizeArgs& args, void* stream);
int sphere_normalize_backward_cuda(const SphereNormalizeArgs& args, void* stream);

// The gradient of one element; along is y . g, summed over the row.
template <typename T>
BIGAN_HD T sphere_normalize_grad(T x, T grad, T inverse, T along) {
  return inverse * (grad - x * inverse * along);
}

}  // namespace bigan
