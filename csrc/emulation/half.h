// __half and __nv_bfloat16: storage types, IEEE round to nearest even, CUDA's canonical NaN.
// Conversions are explicit and there is no arithmetic: CUDA would round after each operation, a host type that
// decays to float would not, and the difference would go unnoticed. Kernels convert, compute in float, convert.
#pragma once
#include <cstdint>
#include <cstring>

namespace emu {

inline std::uint32_t bits(float f) {
  std::uint32_t u;
  std::memcpy(&u, &f, sizeof u);
  return u;
}
inline float from_bits(std::uint32_t u) {
  float f;
  std::memcpy(&f, &u, sizeof f);
  return f;
}

inline std::uint16_t float_to_bf16(float f) {
  const std::uint32_t u = bits(f);
  if ((u & 0x7FFFFFFFu) > 0x7F800000u) return 0x7FFF;
  return static_cast<std::uint16_t>((u + 0x7FFFu + (u >> 16 & 1u)) >> 16);
}
inline float bf16_to_float(std::uint16_t h) { return from_bits(static_cast<std::uint32_t>(h) << 16); }

inline std::uint16_t float_to_half(float f) {
  const std::uint32_t u = bits(f), sign = u >> 16 & 0x8000u, magnitude = u & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return 0x7FFF;
  if (magnitude >= 0x477FF000u) return static_cast<std::uint16_t>(sign | 0x7C00u);  // rounds to infinity
  if (magnitude < 0x38800000u) {  // subnormal: adding 0.5, whose last place is 2^-24, rounds
    const float scaled = from_bits(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (bits(scaled) - 0x3F000000u));
  }
  return static_cast<std::uint16_t>(sign | ((magnitude - 0x38000000u + 0xFFFu + (magnitude >> 13 & 1u)) >> 13));
}
inline float half_to_float(std::uint16_t h) {
  const std::uint32_t sign = (h & 0x8000u) << 16, exponent = h >> 10 & 31u, mantissa = h & 0x3FFu;
  if (exponent == 31) return from_bits(sign | 0x7F800000u | mantissa << 13);
  if (exponent == 0) return from_bits(sign | bits(static_cast<float>(mantissa) * 0x1p-24f));
  return from_bits(sign | (exponent + 112u) << 23 | mantissa << 13);
}

}  // namespace emu

struct __nv_bfloat16 {
  std::uint16_t v;
  __nv_bfloat16() = default;
  explicit __nv_bfloat16(float f) : v(emu::float_to_bf16(f)) {}
  explicit operator float() const { return emu::bf16_to_float(v); }
};
struct __half {
  std::uint16_t v;
  __half() = default;
  explicit __half(float f) : v(emu::float_to_half(f)) {}
  explicit operator float() const { return emu::half_to_float(v); }
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};
struct alignas(4) __half2 {
  __half x, y;
};

inline __nv_bfloat16 __float2bfloat16(float f) { return __nv_bfloat16(f); }
inline __nv_bfloat16 __float2bfloat16_rn(float f) { return __nv_bfloat16(f); }
inline float __bfloat162float(__nv_bfloat16 h) { return static_cast<float>(h); }
inline __half __float2half(float f) { return __half(f); }
inline __half __float2half_rn(float f) { return __half(f); }
inline float __half2float(__half h) { return static_cast<float>(h); }
inline __nv_bfloat162 __floats2bfloat162_rn(float a, float b) { return {__nv_bfloat16(a), __nv_bfloat16(b)}; }
inline __half2 __floats2half2_rn(float a, float b) { return {__half(a), __half(b)}; }
