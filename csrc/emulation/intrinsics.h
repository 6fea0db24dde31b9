// Cached loads, bit tricks and the mathematical functions that C++ does not have.
#pragma once
#include <math.h>

#include <cstdint>
#include <cstring>

#include "half.h"

template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, T v) {
  *p = v;
}

inline unsigned __float_as_uint(float f) { return emu::bits(f); }
inline float __uint_as_float(unsigned u) { return emu::from_bits(u); }
inline int __float_as_int(float f) { return static_cast<int>(emu::bits(f)); }
inline float __int_as_float(int i) { return emu::from_bits(static_cast<unsigned>(i)); }
inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>((std::uint64_t{a} * b) >> 32); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __clz(int x) { return x ? __builtin_clz(static_cast<unsigned>(x)) : 32; }

inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __saturatef(float x) { return x > 0.f ? (x < 1.f ? x : 1.f) : 0.f; }
inline float rsqrtf(float x) { return static_cast<float>(1.0 / ::sqrt(static_cast<double>(x))); }
inline double rsqrt(double x) { return 1.0 / ::sqrt(x); }
inline float rsqrt(float x) { return rsqrtf(x); }

namespace emu {
inline void sincospi(double x, double* s, double* c) {  // exact at multiples of 1/2, as CUDA's is
  const double r = ::remainder(x, 2.0), q = ::rint(2 * r), angle = (r - q / 2) * 3.14159265358979323846;
  const double sine = ::sin(angle), cosine = ::cos(angle);
  const int quarter = static_cast<int>(q) & 3;
  *s = quarter == 0 ? sine : quarter == 1 ? cosine : quarter == 2 ? -sine : -cosine;
  *c = quarter == 0 ? cosine : quarter == 1 ? -sine : quarter == 2 ? -cosine : sine;
}
inline void sincospif(float x, float* s, float* c) {
  double sine, cosine;
  sincospi(x, &sine, &cosine);
  *s = static_cast<float>(sine);
  *c = static_cast<float>(cosine);
}
}  // namespace emu
// Macros, because some C libraries declare functions of these names.
#define sincospi(x, s, c) ::emu::sincospi(x, s, c)
#define sincospif(x, s, c) ::emu::sincospif(x, s, c)
#define __expf(x) ::expf(x)
#define __logf(x) ::logf(x)
#define __sinf(x) ::sinf(x)
#define __cosf(x) ::cosf(x)
#define __fdividef(a, b) ((a) / (b))

#define EMU_MIN_MAX(T)                             \
  inline T min(T a, T b) { return b < a ? b : a; } \
  inline T max(T a, T b) { return a < b ? b : a; }
EMU_MIN_MAX(int)
EMU_MIN_MAX(unsigned)
EMU_MIN_MAX(long)
EMU_MIN_MAX(unsigned long)
EMU_MIN_MAX(long long)
EMU_MIN_MAX(unsigned long long)
// Floats: CUDA's min and max are fmin and fmax, which prefer the number to the NaN.
inline float min(float a, float b) { return ::fminf(a, b); }
inline float max(float a, float b) { return ::fmaxf(a, b); }
inline double min(double a, double b) { return ::fmin(a, b); }
inline double max(double a, double b) { return ::fmax(a, b); }
