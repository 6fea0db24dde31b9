#include "common.cuh"
#include "spectral_sigma.h"

namespace bigan {

constexpr int kRowThreads = 128;     // W v: a block a row
constexpr int kColumnThreads = 256;  // W' u: a block kTileColumns columns of a layer, a warp every eighth row
constexpr int kColumnWarps = kColumnThreads / 32;
constexpr int kChunkThreads = 256;  // element by element: a block a chunk
constexpr int kMinChunkBlocks = 4;  // an SM: at most 64 registers a thread

// The layer that a row, tile or chunk of the launch belongs to.
__device__ __forceinline__ int layer_of(const SpectralArgs& a, int32_t SpectralLayer::* first, int number) {
  int k = 0;
  while (k + 1 < a.number && number >= a.layers[k + 1].*first) ++k;
  return k;
}

// Are groups of four columns one run of aligned memory?
template <class T>
__device__ __forceinline__ bool vector_columns(const SpectralLayer& l) {
  return l.inner % 4 == 0 && aligned4(static_cast<const T*>(l.weight));
}

// Columns col .. col + 3 of a row, in the order of memory; 0 after the last.
template <class T>
__device__ __forceinline__ void read_columns(const SpectralLayer& l, int row, int col, bool vector, acc_t<T> (&w)[4]) {
  const T* data = static_cast<const T*>(l.weight);
  if (vector) {
    read4(data + address(l, row, col), l.cols - col, true, w);
  } else {
    for (int i = 0; i < 4; ++i) w[i] = col + i < l.cols ? to_acc(data[address(l, row, col + i)]) : 0;
  }
}

// W v.  Without a step the last block of a layer is left with sigma = u' W v.
template <class T>
__global__ void __launch_bounds__(kRowThreads) spectral_rows(const __grid_constant__ SpectralArgs a) {
  using A = acc_t<T>;
  const int k = layer_of(a, &SpectralLayer::first_row, blockIdx.x);
  const SpectralLayer& l = a.layers[k];
  const int row = static_cast<int>(blockIdx.x) - l.first_row;
  const A* v = static_cast<const A*>(a.v) + l.first_col;
  const bool vector = vector_columns<T>(l);
  A sum = 0;
  for (int col = 4 * threadIdx.x; col < l.cols; col += 4 * kRowThreads) {
    A w[4];
    read_columns<T>(l, row, col, vector, w);
    for (int i = 0; i < 4; ++i)
      if (col + i < l.cols) sum += w[i] * v[index_in_v(l, col + i)];
  }
  sum = block_sum<kRowThreads>(sum);
  A* products = static_cast<A*>(a.products) + l.first_row;
  if (threadIdx.x == 0) products[row] = sum;
  if (a.iterate || !is_last_block(a.tickets + k, l.rows)) return;
  const A* u = static_cast<const A*>(a.u) + l.first_row;
  A sigma = 0;
  for (int r = threadIdx.x; r < l.rows; r += kRowThreads) sigma += u[r] * __ldcg(products + r);
  sigma = block_sum<kRowThreads>(sigma);
  if (threadIdx.x == 0) static_cast<A*>(a.sigma)[k] = sigma;
}

// u = W v over its length, W' u; the last block of a layer is left with v and sigma.
template <class T>
__global__ void __launch_bounds__(kColumnThreads) spectral_columns(const __grid_constant__ SpectralArgs a) {
  using A = acc_t<T>;
  const int k = layer_of(a, &SpectralLayer::first_tile, blockIdx.x);
  const SpectralLayer& l = a.layers[k];
  const int tile = static_cast<int>(blockIdx.x) - l.first_tile, tiles = (l.cols + kTileColumns - 1) / kTileColumns;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const A* products = static_cast<const A*>(a.products) + l.first_row;
  const A eps = static_cast<A>(a.eps);
  A squares = 0;
  for (int r = threadIdx.x; r < l.rows; r += kColumnThreads) squares += products[r] * products[r];
  const A length = bounded(sqrt(block_sum<kColumnThreads>(squares)), eps);
  if (tile == 0) {
    A* u = static_cast<A*>(a.new_u) + l.first_row;
    for (int r = threadIdx.x; r < l.rows; r += kColumnThreads) u[r] = products[r] / length;
  }
  const bool vector = vector_columns<T>(l);
  const int col = tile * kTileColumns + 4 * lane;
  A sums[4] = {0, 0, 0, 0};
#pragma unroll 4
  for (int r = warp; r < l.rows; r += kColumnWarps) {
    A w[4];
    read_columns<T>(l, r, col, vector, w);
    const A u = products[r] / length;
    for (int i = 0; i < 4; ++i) sums[i] += u * w[i];
  }
  SHARED_ARRAY(A, parts, [kColumnWarps][kTileColumns]);
  for (int i = 0; i < 4; ++i) parts[warp][4 * lane + i] = sums[i];
  __syncthreads();
  A* v = static_cast<A*>(a.new_v) + l.first_col;
  const int mine = tile * kTileColumns + static_cast<int>(threadIdx.x);
  if (threadIdx.x < kTileColumns && mine < l.cols) {
    A sum = 0;
    for (int w = 0; w < kColumnWarps; ++w) sum += parts[w][threadIdx.x];
    v[index_in_v(l, mine)] = sum;  // its length is not known yet
  }
  if (!is_last_block(a.tickets + k, tiles)) return;
  squares = 0;
  for (int c = threadIdx.x; c < l.cols; c += kColumnThreads) {
    const A x = __ldcg(v + c);
    squares += x * x;
  }
  squares = block_sum<kColumnThreads>(squares);
  const A v_length = bounded(sqrt(squares), eps);
  for (int c = threadIdx.x; c < l.cols; c += kColumnThreads) v[c] = __ldcg(v + c) / v_length;
  if (threadIdx.x == 0) static_cast<A*>(a.sigma)[k] = squares / v_length;
}

// The elements of a block's chunk: [begin, end) of the layer.
__device__ __forceinline__ void chunk_of(const SpectralArgs& a, const SpectralLayer& l, int64_t* begin, int64_t* end) {
  *begin = (int64_t{blockIdx.x} - l.first_chunk) * a.chunk;
  const int64_t count = int64_t{l.rows} * l.cols;
  *end = *begin + a.chunk < count ? *begin + a.chunk : count;
}

template <class T>
__global__ void __launch_bounds__(kChunkThreads, kMinChunkBlocks) spectral_normalize(const __grid_constant__ SpectralArgs a) {
  using A = acc_t<T>;
  const int k = layer_of(a, &SpectralLayer::first_chunk, blockIdx.x);
  const SpectralLayer& l = a.layers[k];
  int64_t begin, end;
  chunk_of(a, l, &begin, &end);
  const T* weight = static_cast<const T*>(l.weight);
  T* normalized = static_cast<T*>(l.normalized);
  const bool vector = aligned4(weight) && aligned4(normalized);
  const A sigma = static_cast<const A*>(a.sigma)[k];
  for (int64_t e = begin + 4 * threadIdx.x; e < end; e += 4 * kChunkThreads) {
    A w[4];
    read4(weight + e, end - e, vector, w);
    for (int i = 0; i < 4; ++i) w[i] /= sigma;
    write4(normalized + e, end - e, vector, w);
  }
}

// <gradient of the normalised weight, weight> of each chunk.
template <class T>
__global__ void __launch_bounds__(kChunkThreads, kMinChunkBlocks) spectral_products(const __grid_constant__ SpectralArgs a) {
  using A = acc_t<T>;
  const SpectralLayer& l = a.layers[layer_of(a, &SpectralLayer::first_chunk, blockIdx.x)];
  int64_t begin, end;
  chunk_of(a, l, &begin, &end);
  const T *weight = static_cast<const T*>(l.weight), *grad = static_cast<const T*>(l.grad);
  const bool vector = aligned4(weight) && aligned4(grad);
  A sum = 0;
  for (int64_t e = begin + 4 * threadIdx.x; e < end; e += 4 * kChunkThreads) {
    A w[4], g[4];
    read4(weight + e, end - e, vector, w);
    read4(grad + e, end - e, vector, g);
    for (int i = 0; i < 4; ++i) sum += w[i] * g[i];
  }
  sum = block_sum<kChunkThreads>(sum);
  if (threadIdx.x == 0) static_cast<A*>(a.partial)[blockIdx.x] = sum;
}

template <class T>
__global__ void __launch_bounds__(kChunkThreads, kMinChunkBlocks) spectral_gradient(const __grid_constant__ SpectralArgs a) {
  using A = acc_t<T>;
  const int k = layer_of(a, &SpectralLayer::first_chunk, blockIdx.x);
  const SpectralLayer& l = a.layers[k];
  int64_t begin, end;
  chunk_of(a, l, &begin, &end);
  A dot = 0;
  if (l.grad) {  // every block of the layer adds the chunks up, in one order
    const int last = k + 1 < a.number ? a.layers[k + 1].first_chunk : a.chunks;
    for (int c = l.first_chunk + static_cast<int>(threadIdx.x); c < last; c += kChunkThreads)
      dot += static_cast<const A*>(a.partial)[c];
    dot = block_sum<kChunkThreads>(dot);
  }
  const A sigma = static_cast<const A*>(a.sigma)[k], inverse = A(1) / sigma, c = layer_coefficient(a, k, dot, sigma);
  const A *u = static_cast<const A*>(a.u) + l.first_row, *v = static_cast<const A*>(a.v) + l.first_col;
  const T* grad = static_cast<const T*>(l.grad);
  T* out = static_cast<T*>(l.grad_weight);
  const bool vector = aligned4(grad) && aligned4(out), one_row = l.inner % 4 == 0;
  for (int64_t e = begin + 4 * threadIdx.x; e < end; e += 4 * kChunkThreads) {
    A g[4] = {0, 0, 0, 0};
    if (grad) read4(grad + e, end - e, vector, g);
    int row, col;
    place(l, static_cast<uint32_t>(e), &row, &col);
    A factor = u[row];
    for (int i = 0; i < 4; ++i) {
      if (e + i >= end) break;
      if (i > 0 && !one_row) {
        place(l, static_cast<uint32_t>(e + i), &row, &col);
        factor = u[row];
      }
      g[i] = weight_grad(g[i], inverse, c, factor, v[index_in_v(l, one_row ? col + i : col)]);
    }
    write4(out + e, end - e, vector, g);
  }
}

int spectral_sigma_cuda(const SpectralArgs& a, void* stream) {
  return dispatch(a.dtype, [&](auto type) -> int {
    using T = typename decltype(type)::type;
    cudaError_t error = cudaMemsetAsync(a.tickets, 0, a.number * sizeof(*a.tickets), static_cast<cudaStream_t>(stream));
    if (error == cudaSuccess) error = launch(spectral_rows<T>, dim3(a.rows), dim3(kRowThreads), 0, stream, a);
    if (error == cudaSuccess && a.iterate)
      error = launch(spectral_columns<T>, dim3(a.tiles), dim3(kColumnThreads), 0, stream, a);
    if (error == cudaSuccess && a.layers[0].normalized)
      error = launch(spectral_normalize<T>, dim3(a.chunks), dim3(kChunkThreads), 0, stream, a);
    return error;
  });
}

int spectral_sigma_backward_cuda(const SpectralArgs& a, void* stream) {
  return dispatch(a.dtype, [&](auto type) -> int {
    using T = typename decltype(type)::type;
    cudaError_t error = cudaSuccess;
    if (a.layers[0].grad) error = launch(spectral_products<T>, dim3(a.chunks), dim3(kChunkThreads), 0, stream, a);
    if (error == cudaSuccess) error = launch(spectral_gradient<T>, dim3(a.chunks), dim3(kChunkThreads), 0, stream, a);
    return error;
  });
}

}  // namespace bigan
