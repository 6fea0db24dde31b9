// Philox-4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3, SC 2011).
// A draw is a pure function of (seed, step, stream, sample id, element): the layout of the counter is
// that of bigan/ops/_philox.py.
#pragma once

#include "common.h"

namespace bigan {

struct Philox {
  uint32_t word[4];
};

BIGAN_HD Philox philox4x32(Philox c, uint32_t k0, uint32_t k1) {
#ifdef __CUDACC__
#pragma unroll
#elif defined(__GNUC__)
#pragma GCC unroll 10  // a loop inside would keep the caller's from being vectorised
#endif
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c.word[0];
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c.word[2];
    c = {{static_cast<uint32_t>(p1 >> 32) ^ c.word[1] ^ k0, static_cast<uint32_t>(p1),
          static_cast<uint32_t>(p0 >> 32) ^ c.word[3] ^ k1, static_cast<uint32_t>(p0)}};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

// What one draw is keyed by, read once per row.
struct NoiseKey {
  uint32_t seed_low, seed_high, step, stream, sample;
};

BIGAN_HD NoiseKey noise_key(const int64_t* rng, const int64_t* sample_id, int64_t row, int64_t stream) {
  const uint64_t seed = static_cast<uint64_t>(rng[0]);
  return {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32), static_cast<uint32_t>(rng[1]),
          static_cast<uint32_t>(stream), static_cast<uint32_t>(sample_id ? sample_id[row] : row)};
}

// Words for elements 4 * group .. 4 * group + 3 of the row.
BIGAN_HD Philox noise_words(const NoiseKey& key, uint32_t group) {
  return philox4x32({{group, key.sample, key.step, key.stream}}, key.seed_low, key.seed_high);
}

// (0, 1]: 24 bits and never 0, so that its logarithm is finite.
BIGAN_HD float unit_open(uint32_t word) { return static_cast<float>((word >> 8) + 1u) * 0x1p-24f; }

}  // namespace bigan
