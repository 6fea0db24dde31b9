// The distance between two batches of codes, as a cosine, L1 or L2, and its gradients.  bigan/ops/latent_match.py is the
// meaning of every argument.
#pragma once

#include "norm.h"

namespace bigan {

enum class Match : int32_t { kCos, kCosine, kL1, kL2 };

struct LatentMatchArgs {
  Rows a, b;  // [B, Z]
  int64_t batch, dim;
  Dtype dtype;
  Match match;
  double scale, offset;  // match = offset + scale * (sum over rows)
  // forward
  void* loss;        // []
  void* rows;        // [B] scratch: the sum of each row, float or double
  uint32_t* ticket;  // CUDA: counter of finished blocks
  // backward
  const void* grad;       // []
  void *grad_a, *grad_b;  // [B, Z], or null where not wanted
};

void latent_match_cpu(const LatentMatchArgs& args);
void latent_match_backward_cpu(const LatentMatchArgs& args);
int latent_match_cuda(const LatentMatchArgs& args, void* stream);
int latent_match_backward_cuda(const LatentMatchArgs& args, void* stream);

BIGAN_HD bool is_angle(Match match) { return match == Match::kCos || match == Match::kCosine; }

// What a row's angle needs.
template <typename T>
struct Products {
  T aa, bb, ab;
};

template <typename T>
BIGAN_HD T cosine(const Products<T>& p) {
  return p.ab * inverse_norm(p.aa) * inverse_norm(p.bb);
}

// Gradient by one element of a; by b with a and b exchanged.  c: derivative by the cosine.
template <typename T>
BIGAN_HD T cosine_grad(T c, T a, T inverse_a, T b, T inverse_b, T cosine) {
  return c * inverse_a * (b * inverse_b - a * inverse_a * cosine);
}

template <bool kSquare, typename T>
BIGAN_HD T difference(T a, T b) {
  const T d = a - b;
  return kSquare ? d * d : (d < T(0) ? -d : d);
}

// By a; by b it is the opposite.  The sign of 0 is 0, of NaN NaN.
template <bool kSquare, typename T>
BIGAN_HD T difference_grad(T c, T a, T b) {
  const T d = a - b;
  return c * (kSquare ? T(2) * d : (d > T(0) ? T(1) : (d < T(0) ? T(-1) : d)));
}

template <typename T>
BIGAN_HD T finish_match(const LatentMatchArgs& a, T sum) {
  return static_cast<T>(a.offset) + static_cast<T>(a.scale) * sum;
}

// Derivative of everything downstream by the sum of any row.
template <typename T>
BIGAN_HD T match_coefficient(const LatentMatchArgs& a) {
  return *static_cast<const T*>(a.grad) * static_cast<T>(a.scale);
}

}  // namespace bigan
