// exp, log and sin/cos of 2 pi u for the formulas.  On the GPU: CUDA's precise functions.  On the CPU: branch-free
// polynomials (after Cephes) that the compiler vectorises; a loop around libm's functions stays scalar.
// Errors on the CPU, float: exp and log below 2 ulp, sin and cos below 2^-23 absolute.
#pragma once

#include <cmath>
#include <cstring>

#include "common.h"
#if defined(__CUDACC__) || defined(BIGAN_EMULATED)
#include "cuda_port.h"
#endif

namespace bigan {

BIGAN_HD float abs_(float x) { return ::fabsf(x); }
BIGAN_HD double abs_(double x) { return ::fabs(x); }
BIGAN_HD double exp_(double x) { return ::exp(x); }
BIGAN_HD double log1p_(double x) { return ::log1p(x); }

#if defined(__CUDACC__) || defined(BIGAN_EMULATED)  // the emulator runs the GPU's code with libm

BIGAN_DEVICE float exp_(float x) { return expf(x); }
BIGAN_DEVICE float log_(float x) { return logf(x); }
BIGAN_DEVICE float log1p_(float x) { return log1pf(x); }
BIGAN_DEVICE void sincos_2pi(float u, float* sin, float* cos) { sincospif(2.f * u, sin, cos); }

#else

template <typename To, typename From>
BIGAN_HD To bit_cast(From from) {
  To to;
  static_assert(sizeof(to) == sizeof(from));
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

BIGAN_HD float exp_(float x) {
  // exp(x) = 2^n exp(r), |r| <= ln2 / 2.  Outside [-104, 89] the result is 0 or inf; NaN passes both comparisons.
  x = x > 89.f ? 89.f : x;
  x = x < -104.f ? -104.f : x;
  const float n = (x * 1.44269504f + 12582912.f) - 12582912.f;  // round to nearest: 1.5 * 2^23 leaves no fraction bits
  float r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  // 2^n in two factors: n reaches 128 and -150, beyond one normal float.  The bits of n + 1.5 * 2^23 hold n.
  const int32_t whole = bit_cast<int32_t>(n + 12582912.f) - 0x4B400000;
  const int32_t half = whole >> 1;
  return p * bit_cast<float>((half + 127) << 23) * bit_cast<float>((whole - half + 127) << 23);
}

BIGAN_HD float log_(float x) {  // for normal, positive x: what unit_open gives
  const int32_t bits = bit_cast<int32_t>(x);
  // x = 2^e m, m in [sqrt(1/2), sqrt(2))
  const int32_t e = (bits - 0x3F3504F3) >> 23;
  const float m = bit_cast<float>(bits - (e << 23)) - 1.f;
  const float n = static_cast<float>(e);
  float p = 7.0376836292e-2f;
  p = p * m - 1.1514610310e-1f;
  p = p * m + 1.1676998740e-1f;
  p = p * m - 1.2420140846e-1f;
  p = p * m + 1.4249322787e-1f;
  p = p * m - 1.6668057665e-1f;
  p = p * m + 2.0000714765e-1f;
  p = p * m - 2.4999993993e-1f;
  p = p * m + 3.3333331174e-1f;
  const float square = m * m;
  float y = p * m * square - 2.12194440e-4f * n;
  y = y - 0.5f * square;
  return (m + y) + 0.693359375f * n;
}

BIGAN_HD float log1p_(float x) {  // for x >= 0, finite, and NaN
  const float u = 1.f + x;
  return log_(u) + (x - (u - 1.f)) / u;  // the second term is what the rounding of u lost
}

BIGAN_HD void sincos_2pi(float u, float* sin, float* cos) {  // u in [0, 1]
  const float quadrant = (u * 4.f + 12582912.f) - 12582912.f;
  const int32_t q = bit_cast<int32_t>(quadrant + 12582912.f);
  const float a = (u - 0.25f * quadrant) * 6.28318531f;  // the difference is exact; |a| <= pi / 4
  const float s2 = a * a;
  const float s = ((-1.9515295891e-4f * s2 + 8.3321608736e-3f) * s2 - 1.6666654611e-1f) * s2 * a + a;
  const float c =
      ((2.443315711809948e-5f * s2 - 1.388731625493765e-3f) * s2 + 4.166664568298827e-2f) * s2 * s2 - 0.5f * s2 + 1.f;
  const float sine = (q & 1) ? c : s, cosine = (q & 1) ? s : c;
  *sin = (q & 2) ? -sine : sine;
  *cos = ((q + 1) & 2) ? -cosine : cosine;
}

#endif

// The radius of a Box-Muller pair.
BIGAN_DEVICE float radius(float u) { return ::sqrtf(-2.f * log_(u)); }

}  // namespace bigan
