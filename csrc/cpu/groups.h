// The passes over groups of logits that the critics' losses share on the CPU.
#pragma once

#include <vector>

#include "adversarial.h"
#include "vector.h"

namespace bigan {

constexpr int64_t kSegment = 8192;  // rows of one partial sum, so that the order does not depend on the threads

// kWidth values a row, rows [begin, begin + n), as compute type: the memory itself, or gathered or converted in buffer.
template <int kWidth, typename Store, typename T>
BIGAN_INLINE const T* load_rows(const Rows& m, int64_t cols, int64_t begin, T* buffer, int n) {
  const Store* data = static_cast<const Store*>(m.data);
  if (m.stride == cols) return load(data + begin * kWidth, buffer, n * kWidth);
  Store gathered[kChunk * kWidth];
  int64_t at = begin * kWidth;
  const Store* row = data + at / cols * m.stride;
  for (int64_t i = 0, j = at % cols; i < int64_t{n} * kWidth; ++i) {
    gathered[i] = row[j];
    if (++j == cols) j = 0, row += m.stride;
  }
  const T* values = load(gathered, buffer, n * kWidth);
  if (values != buffer) std::copy(values, values + n * kWidth, buffer);
  return buffer;
}

// Adds up what sums(group, begin, end, double[kSums]) gives for the rows of every group: total[group * kSums + i].
template <int kSums, int kGroups, typename F>
void sum_groups(const int64_t (&rows)[kGroups], double (&total)[kGroups * kSums], const F& sums) {
  int64_t first[kGroups + 1] = {0}, all = 0;
  for (int g = 0; g < kGroups; ++g) {
    first[g + 1] = first[g] + (rows[g] + kSegment - 1) / kSegment;
    all += rows[g];
  }
  const auto part = [&](int g, int64_t segment, double* out) {
    const int64_t begin = segment * kSegment;
    sums(g, begin, std::min(rows[g], begin + kSegment), out);
  };
  for (double& t : total) t = 0;
  std::vector<double> parts;  // left empty where there is one segment a group
  if (all > kSegment) {
    parts.resize(first[kGroups] * kSums);
    parallel_for(first[kGroups], kSegment, [&](int64_t begin, int64_t end) {
      for (int64_t s = begin; s < end; ++s) {
        int g = 0;
        while (s >= first[g + 1]) ++g;
        part(g, s - first[g], &parts[s * kSums]);
      }
    });
  }
  for (int g = 0; g < kGroups; ++g) {
    for (int64_t s = first[g]; s < first[g + 1]; ++s) {
      double one[kSums];
      if (parts.empty()) part(g, s - first[g], one);
      for (int i = 0; i < kSums; ++i) total[g * kSums + i] += parts.empty() ? one[i] : parts[s * kSums + i];
    }
  }
}

}  // namespace bigan
