#include "philox_normal.h"

#include "noise.h"

namespace bigan {

BIGAN_CLONES static void draw_rows(const PhiloxNormalArgs& a, int64_t begin, int64_t end) {
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
