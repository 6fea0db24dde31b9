// Kernels over images, for augment_pair and gather_images.
//
// Every pixel of the crop has one source, and every source at most two places a dimension: its own and one that was
// reflected into the padding.  So the forward scatters: each element is read once, normalised once, and written to its
// places, no two threads to one.  The backward gathers from the same places.  What is shifted by a drawn number of
// pixels is aligned to nothing: accesses are of single elements, neighbouring threads' side by side.
#pragma once
#include "augment.h"
#include "common.cuh"

namespace bigan {

constexpr int kImageThreads = 256;
constexpr int kImageItems = 4;    // elements a thread, so that their loads are under way together
constexpr int kFilterBlocks = 2;  // an SM: left to itself ptxas saves registers and spills
constexpr uint32_t kImageTile = kImageThreads * kImageItems;

// One element, of any type: a uniform branch costs nothing beside the access, an instantiation a type costs compile time.
template <class A>
__device__ __forceinline__ A load_element(const Images& m, int64_t at) {
  switch (static_cast<int>(m.dtype)) {
    case static_cast<int>(kByte): return to_acc(__ldg(static_cast<const uint8_t*>(m.data) + at));
    case static_cast<int>(Dtype::kHalf): return to_acc(static_cast<const __half*>(m.data)[at]);
    case static_cast<int>(Dtype::kBFloat16): return to_acc(static_cast<const __nv_bfloat16*>(m.data)[at]);
    case static_cast<int>(Dtype::kDouble): return static_cast<A>(__ldg(static_cast<const double*>(m.data) + at));
    default: return __ldg(static_cast<const float*>(m.data) + at);
  }
}
template <class A>
__device__ __forceinline__ void store_element(const Images& m, int64_t at, A v) {
  void* data = const_cast<void*>(m.data);
  switch (static_cast<int>(m.dtype)) {
    case static_cast<int>(Dtype::kHalf): return from_acc(static_cast<float>(v), static_cast<__half*>(data) + at);
    case static_cast<int>(Dtype::kBFloat16): return from_acc(static_cast<float>(v), static_cast<__nv_bfloat16*>(data) + at);
    case static_cast<int>(Dtype::kDouble): return from_acc(static_cast<double>(v), static_cast<double*>(data) + at);
    default: return from_acc(static_cast<float>(v), static_cast<float*>(data) + at);
  }
}

// An element of an image, by its number in the order of memory.
struct Element {
  int32_t channel, row, column;
};
__device__ __forceinline__ Element element(const AugmentArgs& a, uint32_t e) {
  const uint32_t pixel = divided(e, a.by_inner), line = divided(pixel, a.by_width), plane = divided(line, a.by_height);
  return {static_cast<int32_t>(plane + e - pixel * a.by_inner.value),  // one of the two is 0
          static_cast<int32_t>(line - plane * a.by_height.value), static_cast<int32_t>(pixel - line * a.by_width.value)};
}
__device__ __forceinline__ int64_t place(const Images& m, int64_t b, int32_t channel, int32_t row, int32_t column) {
  return b * m.batch + channel * m.channel + row * m.row + column * m.column;
}

// ---- pad, crop, flip -----------------------------------------------------------------------------------------------
template <class A>
__global__ void __launch_bounds__(kImageThreads) augment_copy(const __grid_constant__ AugmentArgs a, uint32_t tiles) {
  const int64_t b = blockIdx.x / tiles, image = image_of(a, b);
  const uint32_t first = blockIdx.x % tiles * kImageTile + threadIdx.x;
  const SampleDraw d = sample_draw(a, b);
  const A scale = static_cast<A>(a.scale), shift = static_cast<A>(a.shift);
  A value[kImageItems];
#pragma unroll
  for (int k = 0; k < kImageItems; ++k) {
    const uint32_t e = first + k * kImageThreads;
    if (e >= a.elements) continue;
    const Element s = element(a, e);
    value[k] = load_element<A>(a.x, place(a.x, image, s.channel, s.row, s.column)) * scale + shift;
  }
#pragma unroll
  for (int k = 0; k < kImageItems; ++k) {
    const uint32_t e = first + k * kImageThreads;
    if (e >= a.elements) continue;
    const Element s = element(a, e);
    const int32_t column = d.mirror ? a.width - 1 - s.column : s.column;
    if (a.original.data) store_element(a.original, place(a.original, b, s.channel, s.row, column), value[k]);
    if (!a.out.data) continue;
    const Places down = places_of(s.row, d.down, a.height, false), right = places_of(column, d.right, a.width, d.flip);
    const A padding = a.zero ? shift : value[k];
    if (down.own >= 0) {
      if (right.own >= 0) store_element(a.out, place(a.out, b, s.channel, down.own, right.own), value[k]);
      if (right.padding >= 0) store_element(a.out, place(a.out, b, s.channel, down.own, right.padding), padding);
    }
    if (down.padding >= 0) {
      if (right.own >= 0) store_element(a.out, place(a.out, b, s.channel, down.padding, right.own), padding);
      if (right.padding >= 0) store_element(a.out, place(a.out, b, s.channel, down.padding, right.padding), padding);
    }
  }
}

// Adds up f(row, column) over the places of a source; with zeros in the padding only its own counts.
template <class A, class F>
__device__ __forceinline__ A sum_of_places(const AugmentArgs& a, const SampleDraw& d, const Element& s, bool flip, const F& f) {
  const Places down = places_of(s.row, d.down, a.height, false), right = places_of(s.column, d.right, a.width, flip);
  A sum = 0;
  for (int v = 0; v < (a.zero ? 1 : 2); ++v)
    for (int h = 0; h < (a.zero ? 1 : 2); ++h) {
      const int32_t row = v ? down.padding : down.own, column = h ? right.padding : right.own;
      if (row >= 0 && column >= 0) sum += f(row, column);
    }
  return sum;
}

template <class A>
__global__ void __launch_bounds__(kImageThreads) augment_copy_gradient(const __grid_constant__ AugmentArgs a, uint32_t tiles) {
  const int64_t b = blockIdx.x / tiles;
  const uint32_t first = blockIdx.x % tiles * kImageTile + threadIdx.x;
  const SampleDraw d = sample_draw(a, b);
#pragma unroll
  for (int k = 0; k < kImageItems; ++k) {
    const uint32_t e = first + k * kImageThreads;
    if (e >= a.elements) continue;
    const Element s = element(a, e);
    A sum = 0;
    if (a.out.data)
      sum = sum_of_places<A>(a, d, s, d.flip, [&](int32_t row, int32_t column) {
        return load_element<A>(a.out, place(a.out, b, s.channel, row, column));
      });
    if (a.original.data) sum += load_element<A>(a.original, place(a.original, b, s.channel, s.row, s.column));
    store_element(a.grad_x, place(a.grad_x, b, s.channel, s.row, s.column), sum * static_cast<A>(a.scale));
  }
}

// ---- blur and contrast ---------------------------------------------------------------------------------------------
// Taps are read through the first-level cache, taps^2 a pixel: at the usual 3 or 5 that is less trouble than a tile with
// its margin in shared memory.  Contrast needs the mean of a whole image first: then a block has a sample to itself and
// goes through it twice, in one launch.
template <class A>
__device__ __forceinline__ void fill_taps(const AugmentArgs& a, float sigma, A (&taps)[kLargestKernel]) {
  const int radius = a.taps / 2, t = static_cast<int>(threadIdx.x);
  if (t < a.taps) {
    A total = 0;
    for (int i = 0; i < a.taps; ++i) total += tap<A>(sigma, i - radius);
    taps[t] = tap<A>(sigma, t - radius) / total;
  }
  __syncthreads();
}

// The weight of pixel (row, column) in the mean of the blurred grey image.
template <class A>
__device__ __forceinline__ A mean_weight(const AugmentArgs& a, const A* taps, int32_t channel, int32_t row, int32_t column) {
  const int radius = a.taps / 2;
  return tap_sum(taps, radius, row, a.height) * tap_sum(taps, radius, column, a.width) * grey_weight<A>(a, channel) *
         static_cast<A>(a.inv_pixels);
}

// Calls f for the elements of this block: a tile of the sample, or all of it where contrast asks for its mean.
template <class F>
__device__ __forceinline__ void each_element(const AugmentArgs& a, uint32_t tile, const F& f) {
  const uint32_t begin = a.contrasted ? 0 : tile * kImageTile;
  const uint32_t end = a.contrasted || a.elements - begin < kImageTile ? a.elements : begin + kImageTile;
  for (uint32_t e = begin + threadIdx.x; e < end; e += kImageThreads) f(element(a, e));
}

template <class A>
__global__ void __launch_bounds__(kImageThreads, kFilterBlocks)
    augment_filter(const __grid_constant__ AugmentArgs a, uint32_t tiles) {
  const int64_t b = blockIdx.x / tiles, image = image_of(a, b);
  const uint32_t tile = blockIdx.x % tiles;
  const SampleDraw d = sample_draw(a, b);
  SHARED_ARRAY(A, taps, [kLargestKernel]);
  fill_taps(a, d.sigma, taps);
  const int radius = a.taps / 2;
  const auto source = [&](int32_t channel, int32_t row, int32_t column) {  // of the crop, after the flip
    if (d.flip) column = a.width - 1 - column;
    row += d.down, column += d.right;
    if (a.zero && !(inside(row, a.height) && inside(column, a.width))) return A(0);
    row = reflected(row, a.height), column = reflected(column, a.width);
    return load_element<A>(a.x, place(a.x, image, channel, row, d.mirror ? a.width - 1 - column : column));
  };
  const A scale = static_cast<A>(a.scale);
  A factor = scale, offset = static_cast<A>(a.shift);
  if (a.contrasted) {
    A sum = 0;
    each_element(a, 0, [&](const Element& p) {
      sum += mean_weight(a, taps, p.channel, p.row, p.column) * source(p.channel, p.row, p.column);
    });
    factor = static_cast<A>(d.contrast) * scale;
    offset += (A(1) - static_cast<A>(d.contrast)) * block_sum<kImageThreads>(sum) * scale;
  }
  each_element(a, tile, [&](const Element& p) {
    A sum = 0;
    for (int v = 0; v < a.taps; ++v) {
      const int32_t row = reflected(p.row + v - radius, a.height);
      A line = 0;
      for (int h = 0; h < a.taps; ++h) line += taps[h] * source(p.channel, row, reflected(p.column + h - radius, a.width));
      sum += taps[v] * line;
    }
    store_element(a.out, place(a.out, b, p.channel, p.row, p.column), sum * factor + offset);
    if (a.original.data) {
      const int32_t column = d.mirror ? a.width - 1 - p.column : p.column;
      const A x = load_element<A>(a.x, place(a.x, image, p.channel, p.row, column));
      store_element(a.original, place(a.original, b, p.channel, p.row, p.column), x * scale + static_cast<A>(a.shift));
    }
  });
}

template <class A>
__global__ void __launch_bounds__(kImageThreads, kFilterBlocks)
    augment_filter_gradient(const __grid_constant__ AugmentArgs a, uint32_t tiles) {
  const int64_t b = blockIdx.x / tiles;
  const uint32_t tile = blockIdx.x % tiles;
  const SampleDraw d = sample_draw(a, b);
  SHARED_ARRAY(A, taps, [kLargestKernel]);
  fill_taps(a, d.sigma, taps);
  const int radius = a.taps / 2;
  const auto gradient = [&](int32_t channel, int32_t row, int32_t column) {
    return load_element<A>(a.out, place(a.out, b, channel, row, column));
  };
  A factor = 1, by_mean = 0;
  if (a.contrasted) {
    A sum = 0;
    each_element(a, 0, [&](const Element& p) { sum += gradient(p.channel, p.row, p.column); });
    factor = static_cast<A>(d.contrast);
    by_mean = (A(1) - factor) * block_sum<kImageThreads>(sum);
  }
  each_element(a, tile, [&](const Element& s) {
    A sum = sum_of_places<A>(a, d, s, d.flip, [&](int32_t row, int32_t column) {
      A blurred = 0;  // of the pixels that (row, column) was blurred into
      for (int32_t i = max(0, row - radius); i <= min(a.height - 1, row + radius); ++i) {
        A line = 0;
        for (int32_t j = max(0, column - radius); j <= min(a.width - 1, column + radius); ++j)
          line += tap_between(taps, radius, j, column, a.width) * gradient(s.channel, i, j);
        blurred += tap_between(taps, radius, i, row, a.height) * line;
      }
      blurred *= factor;
      if (a.contrasted) blurred += by_mean * mean_weight(a, taps, s.channel, row, column);
      return blurred;
    });
    if (a.original.data) sum += load_element<A>(a.original, place(a.original, b, s.channel, s.row, s.column));
    store_element(a.grad_x, place(a.grad_x, b, s.channel, s.row, s.column), sum * static_cast<A>(a.scale));
  });
}

template <class Kernel>
int launch_images(Kernel* kernel, const AugmentArgs& a, bool whole_samples, void* stream) {
  const uint32_t tiles = whole_samples ? 1 : (a.elements + kImageTile - 1) / kImageTile;
  return launch(kernel, dim3(static_cast<unsigned>(a.batch * tiles)), dim3(kImageThreads), 0, static_cast<cudaStream_t>(stream),
                a, tiles);
}

}  // namespace bigan
