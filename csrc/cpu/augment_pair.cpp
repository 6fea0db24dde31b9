#include "augment_pair.h"

#include "images.h"

namespace bigan {
namespace {

// What is done to the original alone: it is mirrored, or not.
Stretches whole_line(const SampleDraw& d, int32_t n) {
  SampleDraw plain{};
  plain.mirror = d.mirror;
  return stretches(plain, n);
}

template <typename T>
void write_original(const AugmentArgs& a, const Stretches& whole, int64_t b, int64_t image, int32_t q, int32_t i, T* in,
                    T* out) {
  const int64_t from = line_offset(a.x, image, q, i), offset = line_offset(a.original, b, q, i);
  T* to = line_destination(a, a.original, offset, out);
  const T scale = static_cast<T>(a.scale), shift = static_cast<T>(a.shift);
  if (!whole.part[0].backwards)
    load_line(a, a.x, from, to, scale, shift);
  else
    copy_line(a, whole, read_line(a, a.x, from, in), to, scale, shift);
  write_line(a, a.original, offset, to, out);
}

// ---- pad, crop, flip: line by line ----

// Counts the lines of all images: row i of plane q of sample b.
struct LineNumber {
  int64_t line, b;
  int32_t q, i;

  LineNumber(const AugmentArgs& a, int64_t first)
      : line(first),
        b(first / a.height / a.planes),
        q(static_cast<int32_t>(first / a.height % a.planes)),
        i(static_cast<int32_t>(first % a.height)) {}
  void next(const AugmentArgs& a) {
    ++line;
    if (++i < a.height) return;
    i = 0;
    if (++q == a.planes) q = 0, ++b;
  }
};

template <typename T>
void copy_lines(const AugmentArgs& a, int64_t begin, int64_t end) {
  const int32_t size = a.width * a.inner;
  std::vector<T> buffers(2 * size);
  T *in = buffers.data(), *out = in + size;
  const T scale = static_cast<T>(a.scale), shift = static_cast<T>(a.shift);
  SampleDraw d{};
  Stretches crop{}, whole{};
  int64_t drawn = -1, image = 0;
  for (LineNumber at(a, begin); at.line < end; at.next(a)) {
    const auto [line, b, q, i] = at;
    if (b != drawn) {
      drawn = b;
      d = sample_draw(a, b);
      crop = stretches(d, a.width);
      whole = whole_line(d, a.width);
      image = image_of(a, b);
    }
    if (a.out.data) {
      bool outside;
      const int32_t row = source_row(a, d, i, &outside);
      const int64_t offset = line_offset(a.out, b, q, i);
      T* to = line_destination(a, a.out, offset, out);
      if (outside)
        std::fill(to, to + size, shift);
      else
        copy_line(a, crop, read_line(a, a.x, line_offset(a.x, image, q, row), in), to, scale, shift);
      write_line(a, a.out, offset, to, out);
    }
    if (a.original.data) write_original(a, whole, b, image, q, i, in, out);
  }
}

// The gradient of a line: of its place in the image, and of the one that was reflected into the padding.
template <typename T>
void add_lines(const AugmentArgs& a, int64_t begin, int64_t end) {
  const int32_t size = a.width * a.inner;
  std::vector<T> buffers(3 * size);
  T *in = buffers.data(), *sum = in + size, *out = sum + size;
  const T scale = static_cast<T>(a.scale);
  SampleDraw d{};
  Stretches crop{};
  int64_t drawn = -1;
  for (LineNumber at(a, begin); at.line < end; at.next(a)) {
    const auto [line, b, q, row] = at;
    if (b != drawn) {
      drawn = b;
      d = sample_draw(a, b);
      crop = stretches(d, a.width);
    }
    std::fill(sum, sum + size, T(0));
    if (a.out.data) {
      const Places places = places_of(row, d.down, a.height, false);
      for (const int32_t i : {places.own, a.zero ? -1 : places.padding}) {
        if (i < 0) continue;
        const T* g = read_line(a, a.out, line_offset(a.out, b, q, i), in);
        add_line(a, crop, g, sum);
      }
    }
    const int64_t offset = line_offset(a.grad_x, b, q, row);
    T* to = line_destination(a, a.grad_x, offset, out);
    const T* more = a.original.data ? read_line(a, a.original, line_offset(a.original, b, q, row), in) : nullptr;
    scale_line(to, sum, more, scale, T(0), size);
    write_line(a, a.grad_x, offset, to, out);
  }
}

// ---- blur and contrast: sample by sample, a plane of scratch ----

template <typename T>
struct Filter {
  SampleDraw d;
  Stretches crop;
  int32_t radius, size;
  T taps[kLargestKernel];
  T* across;  // [W, inner] how much of each pixel of a line is in the blurred ones together
  std::vector<T> mem;
  T *in, *out, *line, *plane;  // line: with the edges that the blur reads

  Filter(const AugmentArgs& a) : radius(a.taps / 2), size(a.width * a.inner) {
    mem.resize(size_t(size) * (3 + a.height) + size + 2 * radius * a.inner);
    across = mem.data();
    in = across + size;
    out = in + size;
    plane = out + size;
    line = plane + int64_t{size} * a.height;
  }
  void start(const AugmentArgs& a, int64_t b) {
    d = sample_draw(a, b);
    crop = stretches(d, a.width);
    T total = 0;
    for (int32_t t = 0; t < a.taps; ++t) total += taps[t] = tap<T>(d.sigma, t - radius);
    for (int32_t t = 0; t < a.taps; ++t) taps[t] /= total;
    if (!a.contrasted) d.contrast = 1.f;
    for (int32_t j = 0; a.contrasted && j < a.width; ++j)
      for (int32_t k = 0; k < a.inner; ++k) across[j * a.inner + k] = tap_sum(taps, radius, j, a.width) * grey_weight<T>(a, k);
  }
  // Of a line of plane q: its share in the mean of the grey image.
  T down(const AugmentArgs& a, int32_t q, int32_t i) const {
    return tap_sum(taps, radius, i, a.height) * (a.inner == 1 ? grey_weight<T>(a, q) / grey_weight<T>(a, 0) : T(1));
  }
};

// Row i of the crop, before any filter, into `to`.
template <typename T>
void crop_line(const AugmentArgs& a, const Filter<T>& f, int64_t image, int32_t q, int32_t i, T* in, T* to) {
  bool outside;
  const int32_t row = source_row(a, f.d, i, &outside);
  if (outside)
    std::fill(to, to + f.size, T(0));
  else
    copy_line(a, f.crop, read_line(a, a.x, line_offset(a.x, image, q, row), in), to, T(1), T(0));
}

// The pixels left of the first and right of the last, from those inside, or (kFold) added to those.
template <bool kFold, typename T>
void edges(T* middle, int32_t n, int32_t radius, int32_t inner) {
  for (int32_t r = 1; r <= radius; ++r)
    for (int32_t k = 0; k < inner; ++k) {
      T *left = middle - r * inner + k, *from_left = middle + r * inner + k;
      T *right = middle + (n - 1 + r) * inner + k, *from_right = middle + (n - 1 - r) * inner + k;
      if constexpr (kFold) {
        *from_left += *left;
        *from_right += *right;
      } else {
        *left = *from_left;
        *right = *from_right;
      }
    }
}

template <typename T>
void filter_samples(const AugmentArgs& a, int64_t begin, int64_t end) {
  Filter<T> f(a);
  const int32_t size = f.size, margin = f.radius * a.inner;
  for (int64_t b = begin; b < end; ++b) {
    f.start(a, b);
    const int64_t image = image_of(a, b);
    const Stretches whole = whole_line(f.d, a.width);
    double mean = 0;
    for (int32_t q = 0; a.contrasted && q < a.planes; ++q)
      for (int32_t i = 0; i < a.height; ++i) {
        crop_line(a, f, image, q, i, f.in, f.line);
        mean += dot(f.across, f.line, size) * f.down(a, q, i);
      }
    const T scale = static_cast<T>(f.d.contrast * a.scale);
    const T shift = static_cast<T>((a.contrasted ? (1.0 - f.d.contrast) * mean * a.inv_pixels * a.scale : 0.0) + a.shift);
    for (int32_t q = 0; q < a.planes; ++q) {
      for (int32_t i = 0; i < a.height; ++i) {
        crop_line(a, f, image, q, i, f.in, f.line + margin);
        edges<false>(f.line + margin, a.width, f.radius, a.inner);
        T* blurred = f.plane + int64_t{i} * size;
        std::fill(blurred, blurred + size, T(0));
        for (int32_t t = 0; t < a.taps; ++t) add_scaled(blurred, f.line + t * a.inner, f.taps[t], size);
      }
      for (int32_t i = 0; i < a.height; ++i) {
        const int64_t offset = line_offset(a.out, b, q, i);
        T* to = line_destination(a, a.out, offset, f.out);
        std::fill(f.line, f.line + size, T(0));
        for (int32_t t = 0; t < a.taps; ++t)
          add_scaled(f.line, f.plane + int64_t{reflected(i + t - f.radius, a.height)} * size, f.taps[t], size);
        scale_line(to, f.line, static_cast<const T*>(nullptr), scale, shift, size);
        write_line(a, a.out, offset, to, f.out);
        if (a.original.data) write_original(a, whole, b, image, q, i, f.in, f.out);
      }
    }
  }
}

template <typename T>
void filter_gradients(const AugmentArgs& a, int64_t begin, int64_t end) {
  Filter<T> f(a);
  const int32_t size = f.size, margin = f.radius * a.inner;
  const T scale = static_cast<T>(a.scale);
  std::vector<T> sums(size);
  T* sum = sums.data();
  for (int64_t b = begin; b < end; ++b) {
    f.start(a, b);
    double total = 0;  // of the gradient: what reaches the mean
    for (int32_t q = 0; a.contrasted && q < a.planes; ++q)
      for (int32_t i = 0; i < a.height; ++i) {
        const T* g = read_line(a, a.out, line_offset(a.out, b, q, i), f.in);
        total += dot(g, static_cast<const T*>(nullptr), size);
      }
    const T by_mean = static_cast<T>((1.0 - f.d.contrast) * total * a.inv_pixels), factor = static_cast<T>(f.d.contrast);
    for (int32_t q = 0; q < a.planes; ++q) {
      for (int32_t i = 0; i < a.height; ++i) {  // across
        const T* g = read_line(a, a.out, line_offset(a.out, b, q, i), f.in);
        std::fill(f.line, f.line + size + 2 * margin, T(0));
        for (int32_t t = 0; t < a.taps; ++t) add_scaled(f.line + t * a.inner, g, f.taps[t], size);
        edges<true>(f.line + margin, a.width, f.radius, a.inner);
        std::copy(f.line + margin, f.line + margin + size, f.plane + int64_t{i} * size);
      }
      for (int32_t row = 0; row < a.height; ++row) {  // down, and back to where the pixels came from
        std::fill(sum, sum + size, T(0));
        const Places places = places_of(row, f.d.down, a.height, false);
        for (const int32_t u : {places.own, a.zero ? -1 : places.padding}) {
          if (u < 0) continue;
          std::fill(f.line, f.line + size, T(0));
          const int32_t last = std::min(a.height - 1, u + f.radius);
          for (int32_t i = std::max(0, u - f.radius); i <= last; ++i)
            add_scaled(f.line, f.plane + int64_t{i} * size, factor * tap_between(f.taps, f.radius, i, u, a.height), size);
          if (a.contrasted) add_scaled(f.line, f.across, by_mean * f.down(a, q, u), size);
          add_line(a, f.crop, f.line, sum);
        }
        const int64_t offset = line_offset(a.grad_x, b, q, row);
        T* to = line_destination(a, a.grad_x, offset, f.out);
        const T* more = a.original.data ? read_line(a, a.original, line_offset(a.original, b, q, row), f.in) : nullptr;
        scale_line(to, sum, more, scale, T(0), size);
        write_line(a, a.grad_x, offset, to, f.out);
      }
    }
  }
}

using Loop = void(const AugmentArgs& a, int64_t begin, int64_t end);

void run(const AugmentArgs& a, Loop* lines, Loop* samples) {
  if (a.filtered && a.out.data)
    parallel_for(a.batch, int64_t{a.elements} * a.taps, [&](int64_t begin, int64_t end) { samples(a, begin, end); });
  else
    parallel_for(a.batch * a.planes * a.height, int64_t{a.width} * a.inner,
                 [&](int64_t begin, int64_t end) { lines(a, begin, end); });
}

// Rows that are only scaled, and stand together, as one: short ones cost more than their work.
AugmentArgs with_rows_joined(AugmentArgs a) {
  const int64_t size = int64_t{a.width} * a.inner;
  if (a.out.data || a.mirror || a.mirror_below || !line_is_plain(a, a.x) || !line_is_plain(a, a.original)) return a;
  if (a.x.row != size || a.original.row != size) return a;
  int32_t joined = a.height;
  while (a.height % joined || joined * size > 4096) {
    if (joined == 1) return a;
    --joined;
  }
  a.width *= joined;
  a.height /= joined;
  a.x.row = a.original.row = size * joined;
  return a;
}

}  // namespace

void augment_forward_cpu(const AugmentArgs& args) {
  const AugmentArgs a = with_rows_joined(args);
  a.wide ? run(a, copy_lines<double>, filter_samples<double>) : run(a, copy_lines<float>, filter_samples<float>);
}

void augment_pair_cpu(const AugmentArgs& a) { augment_forward_cpu(a); }

void augment_pair_backward_cpu(const AugmentArgs& a) {
  a.wide ? run(a, add_lines<double>, filter_gradients<double>) : run(a, add_lines<float>, filter_gradients<float>);
}

}  // namespace bigan
