// A chunk of counter-based normal noise, vectorised over groups of four elements.
#pragma once

#include "philox_normal.h"
#include "vector.h"

namespace bigan {

// eps[0 .. n): elements first .. first + n of the row; first is a multiple of 4.  eps holds kChunk values.
BIGAN_INLINE void draw_normal(const NoiseKey& key, int64_t first, int n, float* eps) {
  const int groups = (n + 3) / 4;
  const auto group0 = static_cast<uint32_t>(first / 4);
  float quarter[4][kChunk / 4];
#pragma omp simd
  for (int g = 0; g < groups; ++g) {
    const Philox words = noise_words(key, group0 + static_cast<uint32_t>(g));
    normal4(words, &quarter[0][g], &quarter[1][g], &quarter[2][g], &quarter[3][g]);
  }
  for (int g = 0; g < groups; ++g)
    for (int k = 0; k < 4; ++k) eps[4 * g + k] = quarter[k][g];
}

}  // namespace bigan
