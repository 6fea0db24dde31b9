#include "winograd.h"

#include "vector.h"

namespace bigan {
namespace {

constexpr int kLanes = 16;  // channels at a time: one cache line of floats

// Lanes as one value, which the compiler splits into what registers there are: it does not see vectors in loops like these.
template <typename T>
struct Vector {
  typedef T type __attribute__((vector_size(kLanes * sizeof(T)), aligned(sizeof(T)), may_alias));
};
template <typename T>
using Lanes = typename Vector<T>::type;

// The lanes at p, the first n of them where there are fewer; 0 for null.
template <typename T>
BIGAN_INLINE void load_lanes(const T* p, int n, Lanes<T>* out) {
  if (p && n == kLanes) {
    *out = *reinterpret_cast<const Lanes<T>*>(p);
  } else {
    *out = Lanes<T>{};
    for (int l = 0; p && l < n; ++l) (*out)[l] = p[l];
  }
}
template <typename T>
BIGAN_INLINE void store_lanes(const Lanes<T>& v, int n, T* p) {
  if (n == kLanes) {
    *reinterpret_cast<Lanes<T>*>(p) = v;
  } else {
    for (int l = 0; l < n; ++l) p[l] = v[l];
  }
}

// sum += sum_j M[i][j] d[j], or with the transpose of M.
template <typename T, const auto& kM, bool kTransposed, int kRow, int kCols, int kCol = 0>
BIGAN_INLINE void add_products(const Lanes<T>* d, Lanes<T>& sum) {
  if constexpr (kCol < kCols) {
    constexpr int weight = kTransposed ? kM[kCol][kRow] : kM[kRow][kCol];
    if constexpr (weight == 1) sum += d[kCol];
    if constexpr (weight == -1) sum -= d[kCol];
    if constexpr (weight * weight > 1) sum += T(weight) * d[kCol];
    add_products<T, kM, kTransposed, kRow, kCols, kCol + 1>(d, sum);
  }
}
template <typename T, const auto& kM, bool kTransposed, int kRows, int kCols, int kRow = 0>
BIGAN_INLINE void transform(const Lanes<T>* d, Lanes<T>* out) {
  if constexpr (kRow < kRows) {
    out[kRow] = Lanes<T>{};
    add_products<T, kM, kTransposed, kRow, kCols>(d, out[kRow]);
    transform<T, kM, kTransposed, kRows, kCols, kRow + 1>(d, out);
  }
}

// M X M^T, columns and then rows.  X: the lanes that `in` points to, zeros for null.  out(i, j, lanes) takes the elements.
template <typename T, const auto& kM, bool kTransposed, int kRows, int kCols, typename In, typename Out>
BIGAN_INLINE void both_ways(int n, const In& in, const Out& out) {
  Lanes<T> half[kRows][kCols];
  for (int j = 0; j < kCols; ++j) {
    Lanes<T> d[kCols], v[kRows];
    for (int i = 0; i < kCols; ++i) load_lanes<T>(in(i, j), n, &d[i]);
    transform<T, kM, kTransposed, kRows, kCols>(d, v);
    for (int i = 0; i < kRows; ++i) half[i][j] = v[i];
  }
  for (int i = 0; i < kRows; ++i) {
    Lanes<T> v[kRows];
    transform<T, kM, kTransposed, kRows, kCols>(half[i], v);
    for (int j = 0; j < kRows; ++j) out(i, j, v[j]);
  }
}

struct Place {
  int64_t image, row, column;  // of a tile
};
BIGAN_INLINE Place place(const WinogradArgs& a, int64_t tile) {
  const int64_t in_image = tile % (a.tile_rows * a.tile_columns);
  return {tile / (a.tile_rows * a.tile_columns), in_image / a.tile_columns, in_image % a.tile_columns};
}

// The pixels of a tile, null outside of the image.
template <int kSide, typename T>
struct Pixels {
  T* at[kSide][kSide];

  BIGAN_INLINE Pixels(const WinogradArgs& a, int64_t image, int64_t top, int64_t left, int64_t step) {
    T* map = static_cast<T*>(a.map) + image * a.stride_batch;
    for (int i = 0; i < kSide; ++i) {
      for (int j = 0; j < kSide; ++j) {
        const int64_t row = top + step * i, column = left + step * j;
        const bool inside = row >= 0 && row < a.height && column >= 0 && column < a.width;
        at[i][j] = inside ? map + row * a.stride_row + column * a.stride_column : nullptr;
      }
    }
  }
  BIGAN_INLINE T* operator()(int i, int j, int64_t c) const { return at[i][j] ? at[i][j] + c : nullptr; }
};

// f(c, n), for n channels from c on; n is a constant for all but the last.
template <typename F>
BIGAN_INLINE void over_channels(int64_t channels, const F& f) {
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) f(c, kLanes);
  if (c < channels) f(c, static_cast<int>(channels - c));
}

#define BIGAN_LAMBDA __attribute__((always_inline))

template <int kTaps, bool kAdjoint, typename T>
BIGAN_INLINE void data_tiles(const WinogradArgs& a, int64_t begin, int64_t end) {
  using W = Winograd<kTaps>;
  constexpr int s = W::kStride, side = W::kSide;
  const int64_t matrix = a.batch * a.tile_rows * a.tile_columns * s * s * a.channels;
  for (int64_t tile = begin; tile < end; ++tile) {
    const Place at = place(a, tile);
    for (int phase = 0; phase < s * s; ++phase) {
      const Pixels<side, T> pixels(a, at.image, s * kTile * at.row + phase / s - 1, s * kTile * at.column + phase % s - 1, s);
      T* tiles = static_cast<T*>(a.tiles) + (tile * s * s + phase) * a.channels;
      over_channels(a.channels, [&](int64_t c, int n) BIGAN_LAMBDA {
        const auto in_map = [&](int i, int j) BIGAN_LAMBDA { return pixels(i, j, c); };
        const auto in_tiles = [&](int i, int j) BIGAN_LAMBDA { return tiles + (i * side + j) * matrix + c; };
        if constexpr (!kAdjoint) {
          const auto out = [&](int i, int j, const Lanes<T>& v) BIGAN_LAMBDA { store_lanes<T>(v, n, in_tiles(i, j)); };
          both_ways<T, W::kData, false, side, side>(n, in_map, out);
        } else {
          both_ways<T, W::kData, true, side, side>(n, in_tiles, [&](int i, int j, const Lanes<T>& v) BIGAN_LAMBDA {
            Lanes<T> sum;
            T* p = in_map(i, j);
            if (!p) return;
            load_lanes<T>(p, n, &sum);
            store_lanes<T>(sum + v, n, p);
          });
        }
      });
    }
  }
}

template <int kTaps, bool kAdjoint, typename T>
BIGAN_INLINE void inverse_tiles(const WinogradArgs& a, int64_t begin, int64_t end) {
  using W = Winograd<kTaps>;
  constexpr int side = W::kSide;
  const int64_t matrix = a.batch * a.tile_rows * a.tile_columns * a.channels;
  for (int64_t tile = begin; tile < end; ++tile) {
    const Place at = place(a, tile);
    const Pixels<kTile, T> pixels(a, at.image, kTile * at.row, kTile * at.column, 1);
    T* tiles = static_cast<T*>(a.tiles) + tile * a.channels;
    over_channels(a.channels, [&](int64_t c, int n) BIGAN_LAMBDA {
      const auto in_map = [&](int i, int j) BIGAN_LAMBDA { return pixels(i, j, c); };
      const auto in_tiles = [&](int i, int j) BIGAN_LAMBDA { return tiles + (i * side + j) * matrix + c; };
      if constexpr (kAdjoint) {
        const auto out = [&](int i, int j, const Lanes<T>& v) BIGAN_LAMBDA { store_lanes<T>(v, n, in_tiles(i, j)); };
        both_ways<T, W::kInverse, true, side, kTile>(n, in_map, out);
      } else {
        Lanes<T> bias;
        load_lanes<T>(a.bias ? static_cast<const T*>(a.bias) + c : nullptr, n, &bias);
        both_ways<T, W::kInverse, false, kTile, side>(n, in_tiles, [&](int i, int j, const Lanes<T>& v) BIGAN_LAMBDA {
          if (T* p = in_map(i, j)) store_lanes<T>(v + bias, n, p);
        });
      }
    });
  }
}

// Tiles of one image share pixels of the map: an image belongs to one thread, which first fills it with the bias.
template <int kTaps, typename T>
BIGAN_INLINE void add_images(const WinogradArgs& a, int64_t begin, int64_t end) {
  for (int64_t image = begin; image < end; ++image) {
    T* map = static_cast<T*>(a.map) + image * a.stride_batch;
    for (int64_t i = 0; i < a.height; ++i) {
      for (int64_t j = 0; j < a.width; ++j) {
        T* p = map + i * a.stride_row + j * a.stride_column;
        if (a.bias)
          std::copy_n(static_cast<const T*>(a.bias), a.channels, p);
        else
          std::fill_n(p, a.channels, T(0));
      }
    }
    const int64_t tiles = a.tile_rows * a.tile_columns;
    data_tiles<kTaps, true, T>(a, image * tiles, (image + 1) * tiles);
  }
}

using Loop = void(const WinogradArgs&, int64_t, int64_t);

#define BIGAN_WINOGRAD(NAME, TAPS, T)                                                                                       \
  BIGAN_CLONES void data_##NAME(const WinogradArgs& a, int64_t b, int64_t e) { data_tiles<TAPS, false, T>(a, b, e); }       \
  BIGAN_CLONES void adjoint_##NAME(const WinogradArgs& a, int64_t b, int64_t e) { add_images<TAPS, T>(a, b, e); }           \
  BIGAN_CLONES void inverse_##NAME(const WinogradArgs& a, int64_t b, int64_t e) { inverse_tiles<TAPS, false, T>(a, b, e); } \
  BIGAN_CLONES void spread_##NAME(const WinogradArgs& a, int64_t b, int64_t e) { inverse_tiles<TAPS, true, T>(a, b, e); }   \
  constexpr Loop* loops_##NAME[] = {data_##NAME, adjoint_##NAME, inverse_##NAME, spread_##NAME};
BIGAN_WINOGRAD(3_float, 3, float)
BIGAN_WINOGRAD(3_double, 3, double)
BIGAN_WINOGRAD(4_float, 2, float)
BIGAN_WINOGRAD(4_double, 2, double)
#undef BIGAN_WINOGRAD

Loop* loop(const WinogradArgs& a, int which) {
  if (a.dtype == Dtype::kFloat) return (a.kernel == 3 ? loops_3_float : loops_4_float)[which];
  return (a.kernel == 3 ? loops_3_double : loops_4_double)[which];
}

void over_tiles(const WinogradArgs& a, int which) {
  Loop* f = loop(a, which);
  const int64_t work = a.channels * kTile * kTile * (a.kernel == 3 ? 1 : 4);
  parallel_for(a.batch * a.tile_rows * a.tile_columns, work, [&](int64_t begin, int64_t end) { f(a, begin, end); });
}

}  // namespace

void winograd_data_cpu(const WinogradArgs& a) { over_tiles(a, 0); }
void winograd_inverse_cpu(const WinogradArgs& a) { over_tiles(a, 2); }
void winograd_inverse_adjoint_cpu(const WinogradArgs& a) { over_tiles(a, 3); }
void winograd_data_adjoint_cpu(const WinogradArgs& a) {
  Loop* f = loop(a, 1);
  parallel_for(a.batch, a.channels * a.height * a.width, [&](int64_t begin, int64_t end) { f(a, begin, end); });
}

}  // namespace bigan
