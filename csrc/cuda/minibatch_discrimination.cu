#include "common.cuh"
#include "minibatch_discrimination.h"

namespace bigan {

// A block is 16 samples by 8 kernels, one pair to a thread; the batch passes by in tiles of 16 samples, its own first.
// kDims dimensions are in shared memory at a time: all where the compiler knows their number (kWhole), else chunk by
// chunk, and a block of the backward writes the gradient of one chunk.
constexpr int kTile = 16, kKernels = 8, kThreads = kTile * kKernels;
constexpr int kMinBlocks = 4;  // an SM: at most 128 registers a thread

struct Place {  // of a block and, in it, of a thread
  int64_t tile, kernel, chunk;
  int row, k;
};

template <int kDims>
__host__ __device__ __forceinline__ int64_t chunks(const MinibatchDiscriminationArgs& a) {
  return a.dims > kDims ? (a.dims + kDims - 1) / kDims : 1;
}
__host__ __device__ __forceinline__ int64_t tiles(const MinibatchDiscriminationArgs& a) {
  return (a.batch + kTile - 1) / kTile;
}
__host__ __device__ __forceinline__ int64_t kernel_tiles(const MinibatchDiscriminationArgs& a) {
  return (a.kernels + kKernels - 1) / kKernels;
}

__device__ __forceinline__ Place place(const MinibatchDiscriminationArgs& a) {
  const int64_t across = kernel_tiles(a), rest = blockIdx.x / across;
  return {rest % tiles(a), blockIdx.x % across * kKernels, rest / tiles(a), static_cast<int>(threadIdx.x) / kKernels,
          static_cast<int>(threadIdx.x) % kKernels};
}

template <int kDims, bool kWhole>
__device__ __forceinline__ int width(const MinibatchDiscriminationArgs& a, int64_t chunk) {
  return kWhole ? kDims : static_cast<int>(min(int64_t{kDims}, a.dims - chunk * kDims));
}

// Calls f(row, at) for this thread's groups of four of the tile's rows, each 8 kernels of `width` dimensions.
template <class F>
__device__ __forceinline__ void each_group(int width, const F& f) {
  const int groups = kKernels * width / 4;
  for (int g = threadIdx.x; g < kTile * groups; g += kThreads) f(g / groups, g % groups * 4);
}

template <class T, int kDims, bool kWhole>
__device__ __forceinline__ void load_tile(const MinibatchDiscriminationArgs& a, const Place& p, int64_t tile, int64_t chunk,
                                          acc_t<T> (&x)[kTile][kDims][kKernels]) {
  const T* data = static_cast<const T*>(a.x) + p.kernel * a.strides[1] + chunk * kDims * a.strides[2];
  const bool packed = kWhole && a.strides[2] == 1 && a.strides[1] == kDims;
  const bool vector = packed && vector_rows(static_cast<const T*>(a.x), a.strides[0]);
  const int w = width<kDims, kWhole>(a, chunk);
  each_group(w, [&](int row, int at) {
    const int64_t b = tile * kTile + row, left = (a.kernels - p.kernel) * w - at;
    const T* from = data + b * a.strides[0];
    acc_t<T> v[4] = {0, 0, 0, 0};
    if (b < a.batch && packed) {
      read4(from + at, left, vector, v);
    } else if (b < a.batch) {
      for (int i = 0; i < 4; ++i)
        if (i < left) v[i] = to_acc(from[(at + i) / w * a.strides[1] + (at + i) % w * a.strides[2]]);
    }
    for (int i = 0; i < 4; ++i) x[row][(at + i) % w][(at + i) / w] = v[i];
  });
}

// The closeness of this thread's sample to the tile's, 0 to itself and past the last; x and own end as those of the
// place's chunk.
template <class T, int kDims, bool kWhole>
__device__ __forceinline__ void closeness_to_tile(const MinibatchDiscriminationArgs& a, const Place& p, int64_t tile,
                                                  acc_t<T> (&x)[kTile][kDims][kKernels], acc_t<T> (&own)[kDims],
                                                  acc_t<T> (&c)[kTile]) {
  using A = acc_t<T>;
  const int64_t i = p.tile * kTile + p.row, k = p.kernel + p.k, count = kWhole ? 1 : chunks<kDims>(a);
  for (int j = 0; j < kTile; ++j) c[j] = 0;
  for (int64_t n = 1; n <= count; ++n) {
    const int64_t chunk = (p.chunk + n) % count;
    const int w = width<kDims, kWhole>(a, chunk);
    __syncthreads();  // earlier readers are done
    load_tile<T, kDims, kWhole>(a, p, tile, chunk, x);
    __syncthreads();
    if (kWhole ? tile == p.tile : i < a.batch && k < a.kernels) {
      const T* from = static_cast<const T*>(a.x) + i * a.strides[0] + k * a.strides[1] + chunk * kDims * a.strides[2];
#pragma unroll
      for (int d = 0; d < kDims; ++d)
        if (d < w) own[d] = kWhole ? x[p.row][d][p.k] : to_acc(from[d * a.strides[2]]);
    }
#pragma unroll
    for (int j = 0; j < kTile; ++j)
#pragma unroll
      for (int d = 0; d < kDims; ++d)
        if (d < w) c[j] += apart(own[d], x[j][d][p.k]);
  }
#pragma unroll
  for (int j = 0; j < kTile; ++j) {
    const int64_t other = tile * kTile + j;
    c[j] = other < a.batch && other != i ? closeness(c[j]) : A(0);
  }
}

// Every tile of the batch, the block's own first.
template <class F>
__device__ __forceinline__ void each_tile(const MinibatchDiscriminationArgs& a, const Place& p, const F& f) {
  const int64_t count = tiles(a);
  for (int64_t n = 0; n < count; ++n) f(p.tile + n < count ? p.tile + n : p.tile + n - count);
}

template <class T, int kDims, bool kWhole>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    minibatch_discrimination_forward(const __grid_constant__ MinibatchDiscriminationArgs a) {
  using A = acc_t<T>;
  SHARED_ARRAY(A, x, [kTile][kDims][kKernels]);
  const Place p = place(a);
  const int64_t i = p.tile * kTile + p.row, k = p.kernel + p.k;
  A own[kDims] = {}, c[kTile], sum = 0;
  each_tile(a, p, [&](int64_t tile) {
    closeness_to_tile<T, kDims, kWhole>(a, p, tile, x, own, c);
#pragma unroll
    for (int j = 0; j < kTile; ++j) sum += c[j];
  });
  if (i < a.batch && k < a.kernels) from_acc(sum, static_cast<T*>(a.out) + i * a.kernels + k);
}

template <class T, int kDims, bool kWhole>
__global__ void __launch_bounds__(kThreads, kMinBlocks)
    minibatch_discrimination_gradient(const __grid_constant__ MinibatchDiscriminationArgs a) {
  using A = acc_t<T>;
  SHARED_ARRAY(A, x, [kTile][kDims][kKernels]);
  SHARED_ARRAY(A, g, [kTile][kKernels]);
  const Place p = place(a);
  const int w = width<kDims, kWhole>(a, p.chunk);
  A own[kDims] = {}, by[kDims] = {}, c[kTile], own_g = 0;
  each_tile(a, p, [&](int64_t tile) {
    const int64_t b = tile * kTile + p.row, k = p.kernel + p.k;
    const T* grad = static_cast<const T*>(a.grad.data) + b * a.grad.stride + k;
    const A mine = b < a.batch && k < a.kernels ? to_acc(*grad) : A(0);
    if (tile == p.tile) own_g = mine;
    __syncthreads();  // the last tile's readers are done
    g[p.row][p.k] = mine;
    closeness_to_tile<T, kDims, kWhole>(a, p, tile, x, own, c);
#pragma unroll
    for (int j = 0; j < kTile; ++j) {
      const A weight = (own_g + g[j][p.k]) * c[j];
#pragma unroll
      for (int d = 0; d < kDims; ++d)
        if (d < w) by[d] += closeness_grad(weight, own[d], x[j][d][p.k]);
    }
  });
  __syncthreads();
#pragma unroll
  for (int d = 0; d < kDims; ++d) x[p.row][d][p.k] = by[d];
  __syncthreads();
  T* out = static_cast<T*>(a.grad_x) + p.kernel * a.dims + p.chunk * kDims;
  const bool vector = vector_rows(static_cast<const T*>(a.grad_x), a.kernels * a.dims);
  each_group(w, [&](int row, int at) {
    const int64_t b = p.tile * kTile + row, left = (a.kernels - p.kernel) * w - at;
    if (b >= a.batch) return;
    T* to = out + b * a.kernels * a.dims;
    A v[4];
    for (int i = 0; i < 4; ++i) v[i] = x[row][(at + i) % w][(at + i) / w];
    if (kWhole) {
      write4(to + at, left, vector, v);
    } else {
      for (int i = 0; i < 4; ++i)
        if (i < left) from_acc(v[i], to + (at + i) / w * a.dims + (at + i) % w);
    }
  });
}

// IAN's 5 dimensions have kernels of their own; in double they would spill.
#define BIGAN_LAUNCH_TILES(KERNEL, CHUNKS)                                                \
  dispatch(a.dtype, [&](auto type) {                                                      \
    using T = typename decltype(type)::type;                                              \
    auto* kernel = KERNEL<T, 8, false>;                                                   \
    if constexpr (sizeof(T) < 8)                                                          \
      if (a.dims == 5) kernel = KERNEL<T, 5, true>;                                       \
    const dim3 grid(static_cast<unsigned>(kernel_tiles(a) * tiles(a) * (CHUNKS)));        \
    return launch(kernel, grid, dim3(kThreads), 0, static_cast<cudaStream_t>(stream), a); \
  })

int minibatch_discrimination_cuda(const MinibatchDiscriminationArgs& a, void* stream) {
  return BIGAN_LAUNCH_TILES(minibatch_discrimination_forward, 1);
}

int minibatch_discrimination_backward_cuda(const MinibatchDiscriminationArgs& a, void* stream) {
  return BIGAN_LAUNCH_TILES(minibatch_discrimination_gradient, chunks<8>(a));
}

}  // namespace bigan
