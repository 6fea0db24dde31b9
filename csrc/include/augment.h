// What augment_pair and gather_images share: the draw of a sample, where a pixel goes and comes from, the taps of the
// blur.  bigan/ops/_augment.py is the meaning of every argument.
#pragma once

#include <cmath>

#include "philox.h"

namespace bigan {

constexpr Dtype kByte{0};  // torch's uint8
constexpr int kLargestKernel = 31;

enum class PairLayout : int32_t { kAugmented, kWidth, kChannels, kApart, kImage };

// A batch of images wherever its elements stand; strides are in elements.  data == nullptr: not given.
struct Images {
  const void* data;
  int64_t batch, channel, row, column;
  Dtype dtype;
};

// n / value for n < 2^31: a division by what the compiler does not know takes a GPU twenty instructions.
struct Divisor {
  uint32_t value, multiplier, shift;
};
inline Divisor divisor(uint32_t value) {
  uint32_t shift = 0;
  while ((uint64_t{1} << shift) < value) ++shift;
  const uint64_t power = uint64_t{1} << (31 + shift);
  return {value, static_cast<uint32_t>((power + value - 1) / value), shift};
}
BIGAN_HD uint32_t divided(uint32_t n, const Divisor& d) {
  return static_cast<uint32_t>((uint64_t{n} * d.multiplier) >> (31 + d.shift));
}

struct AugmentArgs {
  Images x;              // forward: read
  Images out, original;  // forward: written; backward: gradients, read
  Images grad_x;         // backward: written
  const int64_t* index;  // [B] into x, or null: sample b is image b
  int64_t images;        // in x
  // the draw: from rng, or as given, null where not applied
  const int64_t* rng;
  const int64_t* sample_id;
  const int64_t* offset;  // [B, 2]
  const bool *flip, *mirror;
  const float *sigma, *contrast;
  int64_t stream, flip_below, mirror_below;
  double sigma_low, sigma_span, contrast_low, contrast_span;
  int64_t batch;
  int32_t channels, height, width, pad, taps;
  bool zero, contrasted, filtered, wide;  // filtered: blur or contrast; wide: computed in double
  double scale, shift;
  // Elements are counted in the order of memory: planes, rows, columns, `inner` channels.  channels_last has one plane.
  int32_t planes, inner;
  uint32_t elements;  // of an image
  Divisor by_inner, by_width, by_height;
  double inv_channels, inv_pixels;
};

// Of both operators; in augment_pair's files.
void augment_forward_cpu(const AugmentArgs& args);
int augment_forward_cuda(const AugmentArgs& args, void* stream);

// ---- the draw ----

struct SampleDraw {
  int32_t down, right;  // where the crop starts, from the image's own corner: offset - pad
  bool flip, mirror;
  float sigma, contrast;
};

BIGAN_HD int32_t below(uint32_t word, int32_t n) {
  return static_cast<int32_t>((uint64_t{word} * static_cast<uint32_t>(n)) >> 32);
}

BIGAN_HD float uniform(uint32_t word, double low, double span) {
  return static_cast<float>(low + span * ((word >> 8) * 0x1p-24));
}

BIGAN_HD int32_t shift_of(int64_t offset, int32_t pad) {
  return static_cast<int32_t>(offset < 0 ? 0 : offset > 2 * pad ? 2 * pad : offset) - pad;
}

BIGAN_HD SampleDraw sample_draw(const AugmentArgs& a, int64_t b) {
  SampleDraw d{0, 0, false, false, 0.f, 1.f};
  if (a.rng) {
    const NoiseKey key = noise_key(a.rng, a.sample_id, b, a.stream);
    const Philox w = noise_words(key, 0);
    d.down = below(w.word[0], 2 * a.pad + 1) - a.pad;
    d.right = below(w.word[1], 2 * a.pad + 1) - a.pad;
    d.flip = w.word[2] < a.flip_below;
    d.mirror = w.word[3] < a.mirror_below;
    if (a.filtered) {
      const Philox v = noise_words(key, 1);
      d.sigma = uniform(v.word[0], a.sigma_low, a.sigma_span);
      d.contrast = uniform(v.word[1], a.contrast_low, a.contrast_span);
    }
    return d;
  }
  if (a.offset) d.down = shift_of(a.offset[2 * b], a.pad), d.right = shift_of(a.offset[2 * b + 1], a.pad);
  if (a.flip) d.flip = a.flip[b];
  if (a.mirror) d.mirror = a.mirror[b];
  if (a.sigma) d.sigma = a.sigma[b];
  if (a.contrast) d.contrast = a.contrast[b];
  return d;
}

// The image that sample b is made from.  An index out of range takes the first or the last one.
BIGAN_HD int64_t image_of(const AugmentArgs& a, int64_t b) {
  if (!a.index) return b;
  const int64_t i = a.index[b];
  return i < 0 ? 0 : i >= a.images ? a.images - 1 : i;
}

// ---- where a pixel goes and comes from, one dimension of n ----

BIGAN_HD bool inside(int32_t i, int32_t n) { return 0 <= i && i < n; }

// i outside of [0, n) by less than n, reflected at the first and the last.
BIGAN_HD int32_t reflected(int32_t i, int32_t n) {
  i = i < 0 ? -i : i;
  return i < n ? i : 2 * (n - 1) - i;
}

// The places in the crop of source s: its own, and one in the padding.  -1: not there.
struct Places {
  int32_t own, padding;
};
BIGAN_HD Places places_of(int32_t s, int32_t shift, int32_t n, bool flip) {
  Places p{s - shift, -1};
  if (shift < 0 && s > 0) p.padding = -s - shift;
  if (shift > 0 && s < n - 1) p.padding = 2 * (n - 1) - s - shift;
  if (!inside(p.own, n)) p.own = -1;
  if (!inside(p.padding, n)) p.padding = -1;
  if (flip) {
    if (p.own >= 0) p.own = n - 1 - p.own;
    if (p.padding >= 0) p.padding = n - 1 - p.padding;
  }
  return p;
}

// ---- blur ----

template <typename T>
BIGAN_HD T tap(float sigma, int32_t t) {  // not yet normalised; sigma 0 leaves the image as it is
  const T ratio = static_cast<T>(t) / static_cast<T>(sigma < 1e-18f ? 1e-18f : sigma);
  return static_cast<T>(::exp(T(-0.5) * ratio * ratio));
}

// The weight with which pixel u enters blurred pixel i of n, |i - u| <= radius; taps[radius] is the middle one.
template <typename T>
BIGAN_HD T tap_between(const T* taps, int32_t radius, int32_t i, int32_t u, int32_t n) {
  T weight = taps[radius + u - i];
  if (u > 0 && i + u <= radius) weight += taps[radius - u - i];
  const int32_t over = 2 * (n - 1) - u - i;  // the distance by way of the last pixel
  if (u < n - 1 && over <= radius) weight += taps[radius + over];
  return weight;
}

// How much of pixel u is in all blurred pixels together: 1 but near the edges.
template <typename T>
BIGAN_HD T tap_sum(const T* taps, int32_t radius, int32_t u, int32_t n) {
  if (u >= 2 * radius && u < n - 2 * radius) return T(1);
  T sum = 0;
  for (int32_t i = u - radius < 0 ? 0 : u - radius; i < n && i <= u + radius; ++i) sum += tap_between(taps, radius, i, u, n);
  return sum;
}

// ---- contrast ----

template <typename T>
BIGAN_HD T grey_weight(const AugmentArgs& a, int32_t channel) {
  if (a.channels != 3) return static_cast<T>(a.inv_channels);
  return channel == 0 ? T(0.2989) : channel == 1 ? T(0.587) : T(0.114);
}

}  // namespace bigan
