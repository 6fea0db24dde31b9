#include "philox_normal.h"

#include "noise.h"
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(BIGAN_NO_CLONES)
#define BIGAN_PHILOX_512
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // of the header itself: GCC's bug 105593
#include <immintrin.h>
#endif

namespace bigan {
namespace {

constexpr int kGroups = kChunk / 4;
using Words = uint32_t[4][kGroups];

// Words of `groups` groups of four elements, from group `first` on.
BIGAN_CLONES void draw_words(const NoiseKey& key, uint32_t first, int groups, Words words) {
#pragma omp simd
  for (int g = 0; g < groups; ++g) {
    const Philox out = noise_words(key, first + static_cast<uint32_t>(g));
    for (int k = 0; k < 4; ++k) words[k][g] = out.word[k];
  }
}

#ifdef BIGAN_PHILOX_512
// The same, rounded up to 16 groups, in a third of the time.  A 64-bit lane holds each word in its low half, where the
// multiplication reads it, so that a product need not be taken apart: its high half comes by a shift, and what the
// low one has above it is never looked at.  Compilers multiply 64 bits here, or permute.
__attribute__((target("avx512f"))) void draw_words_512(const NoiseKey& key, uint32_t first, int groups, Words words) {
  constexpr int kLanes = 8, kSets = 2;  // two at a time hide the multiplication's latency
  const __m512i m0 = _mm512_set1_epi64(0xD2511F53), m1 = _mm512_set1_epi64(0xCD9E8D57);
  for (int g = 0; g < groups; g += kLanes * kSets) {
    __m512i w[kSets][4];
    for (int s = 0; s < kSets; ++s) {
      const __m512i lane = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
      w[s][0] = _mm512_add_epi64(_mm512_set1_epi64(first + static_cast<uint32_t>(g + kLanes * s)), lane);
      w[s][1] = _mm512_set1_epi64(key.sample);
      w[s][2] = _mm512_set1_epi64(key.step);
      w[s][3] = _mm512_set1_epi64(key.stream);
    }
    uint32_t k0 = key.seed_low, k1 = key.seed_high;
    for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
      const __m512i key0 = _mm512_set1_epi64(k0), key1 = _mm512_set1_epi64(k1);
      for (int s = 0; s < kSets; ++s) {
        const __m512i p0 = _mm512_mul_epu32(w[s][0], m0), p1 = _mm512_mul_epu32(w[s][2], m1);
        constexpr int kXor = 0x96;  // of all three
        w[s][0] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), w[s][1], key0, kXor);
        w[s][1] = p1;
        w[s][2] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), w[s][3], key1, kXor);
        w[s][3] = p0;
      }
    }
    for (int s = 0; s < kSets; ++s)
      for (int k = 0; k < 4; ++k)
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(&words[k][g + kLanes * s]), _mm512_cvtepi64_epi32(w[s][k]));
  }
}
const bool has_512 = (__builtin_cpu_init(), __builtin_cpu_supports("avx512f"));
#endif

BIGAN_CLONES void box_muller(const Words words, int groups, float* eps) {
  float quarter[4][kGroups];
#pragma omp simd
  for (int g = 0; g < groups; ++g) {
    const Philox in{{words[0][g], words[1][g], words[2][g], words[3][g]}};
    normal4(in, &quarter[0][g], &quarter[1][g], &quarter[2][g], &quarter[3][g]);
  }
  for (int g = 0; g < groups; ++g)
    for (int k = 0; k < 4; ++k) eps[4 * g + k] = quarter[k][g];
}

}  // namespace

// Vectorised over groups of four elements, in plain loops: compilers do not vectorise them as one.
void draw_normal(const NoiseKey& key, int64_t first, int n, float* eps) {
  const auto group = static_cast<uint32_t>(first / 4);
  const int groups = (n + 3) / 4;
  Words words;
#ifdef BIGAN_PHILOX_512
  has_512 ? draw_words_512(key, group, groups, words) : draw_words(key, group, groups, words);
#else
  draw_words(key, group, groups, words);
#endif
  box_muller(words, groups, eps);
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
