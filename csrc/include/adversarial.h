// What the losses of a critic share: groups of logits, each averaged for itself, in and out of one pass.
#pragma once

#include "elementary.h"

namespace bigan {

// One group: a matrix whose rows may be strided.
struct LogitGroup {
  Rows logits;
  int64_t cols;
  int64_t count;     // what is averaged: logits, or rows where a row is one sample's
  double inv_count;  // a division on the GPU, in double, is a call that spills registers
  void* grad;        // backward: as the logits, contiguous
};

template <int kGroups>
struct AdversarialArgs {
  LogitGroup groups[kGroups];
  Dtype dtype;
  // forward: float or double
  void* loss_d;      // []
  void* loss_g;      // []
  void* accuracy;    // [kGroups]
  void* partial;     // CUDA, more than one block: the blocks' sums
  uint32_t* ticket;  // CUDA, more than one block: zeroed counter of finished blocks
  int64_t blocks;
  // backward
  const void* grad_d;  // [] or null
  const void* grad_g;  // [] or null
};

// Blocks of the CUDA kernels: a function of the sizes alone, so that sums keep their order from one GPU to the next.
constexpr int kAdversarialThreads = 256;
constexpr int64_t kAdversarialMaxBlocks = 1024;
inline int64_t adversarial_blocks(int64_t count) {  // of the largest group; a thread takes four at a time
  const int64_t blocks = (count + 4 * kAdversarialThreads - 1) / (4 * kAdversarialThreads);
  return blocks < 1 ? 1 : blocks < kAdversarialMaxBlocks ? blocks : kAdversarialMaxBlocks;
}

// Mean of a group from its sum; an empty group has no term.
template <typename T>
BIGAN_HD T group_mean(const LogitGroup& g, T sum) {
  return g.count > 0 ? sum * static_cast<T>(g.inv_count) : T(0);
}

// An upstream gradient, 0 where there is none.
template <typename T>
BIGAN_HD T upstream(const void* grad) {
  return grad ? *static_cast<const T*>(grad) : T(0);
}

template <typename T>
BIGAN_HD T larger(T x, T y) {  // together with `smaller` keeps NaN: one of the two is it
  return x > y ? x : y;
}
template <typename T>
BIGAN_HD T smaller(T x, T y) {
  return x > y ? y : x;
}

}  // namespace bigan
