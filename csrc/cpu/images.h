// Lines of images as compute type, cut at reflected edges into stretches that are copied or added as a whole.
#pragma once

#include <vector>

#include "augment.h"
#include "vector.h"

namespace bigan {

// Line i of plane q of image b: row i, its columns and, where channels stand together, the channels of each.
inline int64_t line_offset(const Images& m, int64_t b, int32_t q, int32_t i) { return b * m.batch + q * m.channel + i * m.row; }
inline bool line_is_plain(const AugmentArgs& a, const Images& m) {
  return a.inner == 1 ? m.column == 1 : m.channel == 1 && m.column == a.inner;
}

template <typename T>
constexpr Dtype kDtypeOf = std::is_same_v<T, double> ? Dtype::kDouble : Dtype::kFloat;

// `n` pixels of a line from `to` on come from the pixels from `from` on, or back from it.
struct Stretch {
  int32_t to, from, n;
  bool backwards, padding;
};

// A line of the crop: what is in the image, and what is reflected into the padding on one side.
struct Stretches {
  Stretch part[2];
};
inline Stretches stretches(const SampleDraw& d, int32_t n) {
  const int32_t shift = d.right, over = shift < 0 ? -shift : shift;
  Stretch own{shift < 0 ? over : 0, shift < 0 ? 0 : shift, n - over, false, false};
  Stretch pad{shift < 0 ? 0 : n - over, shift < 0 ? over : n - 2, over, true, true};
  Stretches all{{own, pad}};
  for (Stretch& s : all.part) {
    if (d.flip) {  // the last pixel of the stretch becomes its first
      s.to = n - s.to - s.n;
      s.from += (s.backwards ? -1 : 1) * (s.n - 1);
      s.backwards = !s.backwards;
    }
    if (d.mirror) {
      s.from = n - 1 - s.from;
      s.backwards = !s.backwards;
    }
  }
  return all;
}

// Row i of the crop comes from this row, which is `outside` in the padding.
inline int32_t source_row(const AugmentArgs& a, const SampleDraw& d, int32_t i, bool* outside) {
  *outside = a.zero && !inside(i + d.down, a.height);
  return reflected(i + d.down, a.height);
}

// ---- loops over a line, in images.cpp: cloned for each instruction set, which templates cannot be ----
#define BIGAN_LINE_LOOPS(T)                                                                                              \
  /* scale * (a line as compute type) + shift, and a line back */                                                        \
  void load_line(const AugmentArgs& a, const Images& m, int64_t offset, T* buffer, T scale, T shift);                    \
  void store_line(const AugmentArgs& a, const Images& m, int64_t offset, const T* buffer);                               \
  /* out = scale * (the crop of the line) + shift, and the adjoint: line += what was taken from it */                    \
  void copy_line(const AugmentArgs& a, const Stretches& all, const T* line, T* out, T scale, T shift);                   \
  void add_line(const AugmentArgs& a, const Stretches& all, const T* out, T* line);                                      \
  void add_scaled(T* to, const T* from, T weight, int64_t n);                        /* to += weight * from */           \
  void scale_line(T* to, const T* from, const T* more, T scale, T shift, int64_t n); /* scale * (from + more) + shift */ \
  T dot(const T* x, const T* y, int64_t n);                                          /* y null: the sum of x */
BIGAN_LINE_LOOPS(float)
BIGAN_LINE_LOOPS(double)
#undef BIGAN_LINE_LOOPS

// The line: the memory itself where it has type and order, else converted into buffer.
template <typename T>
const T* read_line(const AugmentArgs& a, const Images& m, int64_t offset, T* buffer) {
  if (m.dtype == kDtypeOf<T> && line_is_plain(a, m)) return static_cast<const T*>(m.data) + offset;
  load_line(a, m, offset, buffer, T(1), T(0));
  return buffer;
}

// Where to make a line, the memory itself or buffer; write_line then does what is left to do.
template <typename T>
T* line_destination(const AugmentArgs& a, const Images& m, int64_t offset, T* buffer) {
  const bool direct = m.dtype == kDtypeOf<T> && line_is_plain(a, m);
  return direct ? static_cast<T*>(const_cast<void*>(m.data)) + offset : buffer;
}
template <typename T>
void write_line(const AugmentArgs& a, const Images& m, int64_t offset, const T* line, const T* buffer) {
  if (line == buffer) store_line(a, m, offset, buffer);
}

}  // namespace bigan
