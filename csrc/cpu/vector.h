// Loops that use the widest vectors of the machine they run on: one clone for each instruction set, chosen when the
// library is loaded; conversion of half types; threads.
#pragma once

#include <torch/csrc/stable/c/shim.h>

#include <algorithm>
#include <stdexcept>
#include <type_traits>

#include "elementary.h"

// x86-64-v4 is AVX-512, v3 AVX2 + FMA: levels, which the resolver tests feature by feature; "arch=haswell" would match
// that very processor alone.  Other processors take what the compiler's default gives them.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(BIGAN_NO_CLONES)
#define BIGAN_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define BIGAN_CLONES
#endif
#define BIGAN_INLINE inline __attribute__((always_inline))

namespace bigan {

// Elements a loop handles at a time: the scratch for conversion and noise stays in the first-level cache.
constexpr int kChunk = 256;

struct BFloat16 {
  uint16_t bits;
};
struct Half {
  uint16_t bits;
};

BIGAN_INLINE float to_float(BFloat16 v) { return bit_cast<float>(uint32_t{v.bits} << 16); }

BIGAN_INLINE float to_float(Half v) {
  // Shift exponent and mantissa into place and rescale by 2^112, which also makes subnormals right; inf and NaN
  // (exponent 31) become 2^16 or more and get the full exponent.
  const uint32_t magnitude = (v.bits & 0x7FFFu) << 13, sign = (v.bits & 0x8000u) << 16;
  const uint32_t scaled = bit_cast<uint32_t>(bit_cast<float>(magnitude) * 0x1p112f);
  return bit_cast<float>(sign | (magnitude >= 0x0F800000u ? magnitude | 0x7F800000u : scaled));
}

BIGAN_INLINE void from_float(float v, BFloat16* out) {
  const uint32_t bits = bit_cast<uint32_t>(v);
  const uint32_t rounded = bits + 0x7FFFu + ((bits >> 16) & 1u);  // to nearest, ties to even
  out->bits = static_cast<uint16_t>((v != v ? bits | 0x00400000u : rounded) >> 16);
}

BIGAN_INLINE void from_float(float v, Half* out) {
  const uint32_t bits = bit_cast<uint32_t>(v), magnitude = bits & 0x7FFFFFFFu;
  // Normal results: rebias and round to even.  Subnormal ones: adding 0.5 aligns the mantissa to 2^-24 and rounds it.
  const uint32_t normal = (magnitude - 0x38000000u + 0xFFFu + ((magnitude >> 13) & 1u)) >> 13;
  const uint32_t small = bit_cast<uint32_t>(bit_cast<float>(magnitude) + 0.5f) - 0x3F000000u;
  uint32_t result = magnitude < 0x38800000u ? small : normal;
  result = magnitude >= 0x477FF000u ? 0x7C00u : result;  // 65520 and above round to inf
  result = magnitude > 0x7F800000u ? 0x7E00u : result;
  out->bits = static_cast<uint16_t>(result | ((bits >> 16) & 0x8000u));
}

// The type a stored type is computed in.
template <typename Store>
using Compute = std::conditional_t<std::is_same_v<Store, double>, double, float>;

// A chunk as compute type: the memory itself where it has that type, else converted into buffer.
template <typename Store, typename T>
BIGAN_INLINE const T* load(const Store* p, T* buffer, int n) {
  if constexpr (std::is_same_v<Store, T>) {
    return p;
  } else {
#pragma omp simd
    for (int i = 0; i < n; ++i) buffer[i] = to_float(p[i]);
    return buffer;
  }
}

// Where to write a chunk of compute type: the memory itself or the buffer, which `store` then converts.
template <typename Store, typename T>
BIGAN_INLINE T* destination(Store* p, T* buffer) {
  if constexpr (std::is_same_v<Store, T>)
    return p;
  else
    return buffer;
}
template <typename Store, typename T>
BIGAN_INLINE void store(Store* p, const T* buffer, int n) {
  if constexpr (!std::is_same_v<Store, T>) {
#pragma omp simd
    for (int i = 0; i < n; ++i) from_float(buffer[i], &p[i]);
  }
}

// torch's threads over [0, n), at least `grain` elements of work each; `work` is the elements behind one index.
template <typename F>
void parallel_for(int64_t n, int64_t work, const F& f) {
  constexpr int64_t kGrain = 32768;  // below it waking a second thread costs more than it saves
  if (n * work <= kGrain) {
    if (n > 0) f(int64_t{0}, n);
    return;
  }
  const auto body = [](int64_t begin, int64_t end, void* context) { (*static_cast<const F*>(context))(begin, end); };
  if (torch_parallel_for(0, n, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, work)), body,
                         const_cast<void*>(static_cast<const void*>(&f))) != 0)
    throw std::runtime_error("bigan: torch_parallel_for failed");
}

}  // namespace bigan
