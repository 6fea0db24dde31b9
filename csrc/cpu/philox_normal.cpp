#include "philox_normal.h"

#include "noise.h"

namespace bigan {

// Vectorised over groups of four elements, in three plain loops: compilers do not vectorise them as one.
BIGAN_CLONES void draw_normal(const NoiseKey& key, int64_t first, int n, float* eps) {
  constexpr int kGroups = kChunk / 4;
  const auto group0 = static_cast<uint32_t>(first / 4);
  uint32_t words[4][kGroups];
  float quarter[4][kGroups];
  const int groups = (n + 3) / 4;
#pragma omp simd
  for (int g = 0; g < groups; ++g) {
    const Philox out = noise_words(key, group0 + static_cast<uint32_t>(g));
    words[0][g] = out.word[0];
    words[1][g] = out.word[1];
    words[2][g] = out.word[2];
    words[3][g] = out.word[3];
  }
#pragma omp simd
  for (int g = 0; g < groups; ++g) {
    const Philox in{{words[0][g], words[1][g], words[2][g], words[3][g]}};
    normal4(in, &quarter[0][g], &quarter[1][g], &quarter[2][g], &quarter[3][g]);
  }
  for (int g = 0; g < groups; ++g)
    for (int k = 0; k < 4; ++k) eps[4 * g + k] = quarter[k][g];
}

static void draw_rows(const PhiloxNormalArgs& a, int64_t begin, int64_t end) {
  float buffer[kChunk];
  for (int64_t b = begin; b < end; ++b) {
    const NoiseKey key = noise_key(a.rng, a.sample_id, b, a.stream);
    for (int64_t j = 0; j < a.dim; j += kChunk) {
      const int n = static_cast<int>(std::min<int64_t>(kChunk, a.dim - j));
      draw_normal(key, j, n, buffer);
      std::memcpy(a.out + b * a.dim + j, buffer, n * sizeof(float));
    }
  }
}

void philox_normal_cpu(const PhiloxNormalArgs& a) {
  parallel_for(a.batch, a.dim, [&](int64_t begin, int64_t end) { draw_rows(a, begin, end); });
}

}  // namespace bigan
