#include "images.h"

namespace bigan {
namespace {

BIGAN_INLINE float to_float(uint8_t v) { return static_cast<float>(v); }
BIGAN_INLINE float to_float(float v) { return v; }
BIGAN_INLINE double to_float(double v) { return v; }
BIGAN_INLINE void from_float(double v, float* out) { *out = static_cast<float>(v); }
BIGAN_INLINE void from_float(float v, double* out) { *out = v; }

template <typename Store, typename T>
BIGAN_INLINE void convert_in(const AugmentArgs& a, const Images& m, int64_t offset, T* buffer, T scale, T shift) {
  const Store* p = static_cast<const Store*>(m.data) + offset;
  if (line_is_plain(a, m)) {
    const int n = a.width * a.inner;
#pragma omp simd
    for (int e = 0; e < n; ++e) buffer[e] = static_cast<T>(to_float(p[e])) * scale + shift;
    return;
  }
  for (int32_t j = 0; j < a.width; ++j)
    for (int32_t k = 0; k < a.inner; ++k)
      buffer[j * a.inner + k] = static_cast<T>(to_float(p[j * m.column + k * m.channel])) * scale + shift;
}

template <typename Store, typename T>
BIGAN_INLINE void convert_out(const AugmentArgs& a, const Images& m, int64_t offset, const T* buffer) {
  Store* p = static_cast<Store*>(const_cast<void*>(m.data)) + offset;
  if (line_is_plain(a, m)) {
    const int n = a.width * a.inner;
#pragma omp simd
    for (int e = 0; e < n; ++e) {
      if constexpr (std::is_same_v<Store, T>)
        p[e] = buffer[e];
      else if constexpr (sizeof(Store) == 2)
        from_float(static_cast<float>(buffer[e]), &p[e]);
      else
        from_float(buffer[e], &p[e]);
    }
    return;
  }
  for (int32_t j = 0; j < a.width; ++j)
    for (int32_t k = 0; k < a.inner; ++k) {
      Store* out = &p[j * m.column + k * m.channel];
      if constexpr (std::is_same_v<Store, T>)
        *out = buffer[j * a.inner + k];
      else if constexpr (sizeof(Store) == 2)
        from_float(static_cast<float>(buffer[j * a.inner + k]), out);
      else
        from_float(buffer[j * a.inner + k], out);
    }
}

// to[t] = scale * from[+-t] + shift over pixels of `inner` channels.
template <int kInner, typename T>
BIGAN_INLINE void pixels_back(T* to, const T* from, int32_t n, int32_t inner, T scale, T shift) {
  const int32_t size = kInner ? kInner : inner;
#pragma omp simd
  for (int32_t t = 0; t < n; ++t)
    for (int32_t k = 0; k < size; ++k) to[t * size + k] = from[k - t * size] * scale + shift;
}
template <typename T>
BIGAN_INLINE void copy_stretch(const Stretch& s, int32_t inner, bool zero, const T* line, T* out, T scale, T shift) {
  T* to = out + s.to * inner;
  const T* from = line + s.from * inner;
  const int32_t n = s.n * inner;
  if (zero && s.padding) {
    std::fill(to, to + n, shift);
  } else if (!s.backwards) {
#pragma omp simd
    for (int32_t e = 0; e < n; ++e) to[e] = from[e] * scale + shift;
  } else if (inner == 1) {
    pixels_back<1>(to, from, s.n, inner, scale, shift);
  } else if (inner == 3) {
    pixels_back<3>(to, from, s.n, inner, scale, shift);
  } else {
    pixels_back<0>(to, from, s.n, inner, scale, shift);
  }
}

// The adjoint: line[from +- t] += out[to + t].
template <typename T>
BIGAN_INLINE void add_stretch(const Stretch& s, int32_t inner, bool zero, const T* out, T* line) {
  const T* to = out + s.to * inner;
  T* from = line + s.from * inner;
  if (zero && s.padding) return;
  if (!s.backwards) {
    const int32_t n = s.n * inner;
#pragma omp simd
    for (int32_t e = 0; e < n; ++e) from[e] += to[e];
  } else if (inner == 1) {
    const int32_t n = s.n;
#pragma omp simd
    for (int32_t t = 0; t < n; ++t) from[-t] += to[t];
  } else {
    for (int32_t t = 0; t < s.n; ++t)
      for (int32_t k = 0; k < inner; ++k) from[k - t * inner] += to[t * inner + k];
  }
}

}  // namespace

#define BIGAN_LINE_LOOPS(T)                                                                                          \
  BIGAN_CLONES void load_line(const AugmentArgs& a, const Images& m, int64_t offset, T* buffer, T scale, T shift) {  \
    switch (m.dtype) {                                                                                               \
      case Dtype::kFloat: return convert_in<float>(a, m, offset, buffer, scale, shift);                              \
      case Dtype::kDouble: return convert_in<double>(a, m, offset, buffer, scale, shift);                            \
      case Dtype::kHalf: return convert_in<Half>(a, m, offset, buffer, scale, shift);                                \
      case Dtype::kBFloat16: return convert_in<BFloat16>(a, m, offset, buffer, scale, shift);                        \
      default: return convert_in<uint8_t>(a, m, offset, buffer, scale, shift);                                       \
    }                                                                                                                \
  }                                                                                                                  \
  BIGAN_CLONES void store_line(const AugmentArgs& a, const Images& m, int64_t offset, const T* buffer) {             \
    switch (m.dtype) {                                                                                               \
      case Dtype::kFloat: return convert_out<float>(a, m, offset, buffer);                                           \
      case Dtype::kDouble: return convert_out<double>(a, m, offset, buffer);                                         \
      case Dtype::kHalf: return convert_out<Half>(a, m, offset, buffer);                                             \
      default: return convert_out<BFloat16>(a, m, offset, buffer);                                                   \
    }                                                                                                                \
  }                                                                                                                  \
  BIGAN_CLONES void copy_line(const AugmentArgs& a, const Stretches& all, const T* line, T* out, T scale, T shift) { \
    for (const Stretch& s : all.part) copy_stretch(s, a.inner, a.zero, line, out, scale, shift);                     \
  }                                                                                                                  \
  BIGAN_CLONES void add_line(const AugmentArgs& a, const Stretches& all, const T* out, T* line) {                    \
    for (const Stretch& s : all.part) add_stretch(s, a.inner, a.zero, out, line);                                    \
  }                                                                                                                  \
  BIGAN_CLONES void add_scaled(T* to, const T* from, T weight, int64_t n) {                                          \
    _Pragma("omp simd") for (int64_t e = 0; e < n; ++e) to[e] += weight * from[e];                                   \
  }                                                                                                                  \
  BIGAN_CLONES void scale_line(T* to, const T* from, const T* more, T scale, T shift, int64_t n) {                   \
    if (more) {                                                                                                      \
      _Pragma("omp simd") for (int64_t e = 0; e < n; ++e) to[e] = (from[e] + more[e]) * scale + shift;               \
    } else {                                                                                                         \
      _Pragma("omp simd") for (int64_t e = 0; e < n; ++e) to[e] = from[e] * scale + shift;                           \
    }                                                                                                                \
  }                                                                                                                  \
  BIGAN_CLONES T dot(const T* x, const T* y, int64_t n) {                                                            \
    T sum = 0;                                                                                                       \
    if (y) {                                                                                                         \
      _Pragma("omp simd reduction(+ : sum)") for (int64_t e = 0; e < n; ++e) sum += x[e] * y[e];                     \
    } else {                                                                                                         \
      _Pragma("omp simd reduction(+ : sum)") for (int64_t e = 0; e < n; ++e) sum += x[e];                            \
    }                                                                                                                \
    return sum;                                                                                                      \
  }
BIGAN_LINE_LOOPS(float)
BIGAN_LINE_LOOPS(double)
#undef BIGAN_LINE_LOOPS

}  // namespace bigan
