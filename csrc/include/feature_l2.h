// The distances of pairs of tensors of any sizes and types, and their gradients: a table of pairs, cut into chunks that
// the blocks, or threads, take.  bigan/ops/feature_l2.py is the meaning of every argument.
#pragma once

#include "common.h"

namespace bigan {

constexpr int kMaxPairs = 32;  // of a launch: the table is in the kernel's arguments, 4 KB at most

struct FeaturePair {
  const void *a, *b;
  void *grad_a, *grad_b;  // backward; null where not wanted
  int64_t count;
  double weight, scale;  // value = scale * (sum over the elements), total = sum of weight * value
  Dtype dtype;
  int32_t first_chunk;  // of the chunks of all pairs
};

struct FeatureL2Args {
  FeaturePair pairs[kMaxPairs];
  int32_t number;  // of pairs
  int32_t chunks;  // of all pairs
  int64_t chunk;   // elements
  Dtype acc;       // sums are kept in: float or double
  bool square;
  bool more;  // forward: not the first launch, add to the total
  // forward
  void *total, *values;  // [], [number]
  void* partial;         // CUDA: scratch, a sum a chunk
  uint32_t* ticket;      // CUDA: counter of finished blocks
  // backward; null: none
  const void *grad_total, *grad_values;
};

void feature_l2_cpu(const FeatureL2Args& args);
void feature_l2_backward_cpu(const FeatureL2Args& args);
int feature_l2_cuda(const FeatureL2Args& args, void* stream);
int feature_l2_backward_cuda(const FeatureL2Args& args, void* stream);

// The pair that a chunk belongs to; pairs without elements have none.
BIGAN_HD int pair_of_chunk(const FeatureL2Args& a, int64_t chunk) {
  int k = 0;
  while (k + 1 < a.number && chunk >= a.pairs[k + 1].first_chunk) ++k;
  return k;
}

template <typename T>
BIGAN_HD T distance(T a, T b, bool square) {
  const T d = a - b;
  return square ? d * d : (d < T(0) ? -d : d);
}

// By a; by b it is the opposite.  The sign of 0 is 0, of NaN NaN.
template <typename T>
BIGAN_HD T distance_grad(T c, T a, T b, bool square) {
  const T d = a - b;
  return c * (square ? T(2) * d : (d > T(0) ? T(1) : (d < T(0) ? T(-1) : d)));
}

// Derivative of everything downstream by a pair's sum.
template <typename T>
BIGAN_HD T pair_coefficient(const FeatureL2Args& a, int k) {
  T c = 0;
  if (a.grad_total) c += static_cast<T>(a.pairs[k].weight) * *static_cast<const T*>(a.grad_total);
  if (a.grad_values) c += static_cast<const T*>(a.grad_values)[k];
  return c * static_cast<T>(a.pairs[k].scale);
}

}  // namespace bigan
