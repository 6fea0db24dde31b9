#include "common.cuh"
#include "moment_kl.h"

namespace bigan {

// A block is a tile of 128 columns, four to a lane, by a chunk of rows, dealt out to the warps in turn.  Each thread
// sums about its own first row; moments are put together in the order of warps, then of chunks.
constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int kTile = kMomentTile;
constexpr int kMinBlocks = 2;      // an SM: at most 128 registers a thread
constexpr int64_t kGradRows = 32;  // of a block of the backward

template <class T>
__device__ __forceinline__ const T* row_data(const Rows& m, int64_t row) {
  return static_cast<const T*>(m.data) + row * m.stride;
}

template <class A>
__device__ __forceinline__ void merge(Moments<A>* all, int64_t* count, const Moments<A>& more, int64_t more_count) {
  const A share = static_cast<A>(more_count) / static_cast<A>(*count + more_count);
  *all = merged(*all, more, share, share * static_cast<A>(*count));
  *count += more_count;
}

// Moments of column `first_column + threadIdx.x` over `rows` rows from `first` on, for the first kTile threads.
template <class T>
__device__ __forceinline__ Moments<acc_t<T>> chunk_moments(const MomentKlArgs& a, int64_t first_column, int64_t first,
                                                           int64_t rows) {
  using A = acc_t<T>;
  SHARED_ARRAY(A, means, [kWarps][kTile]);
  SHARED_ARRAY(A, squares, [kWarps][kTile]);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t j = first_column + 4 * lane, left = a.dim - j;
  const bool vector = a.dim % 4 == 0 && vector_rows(static_cast<const T*>(a.x.data), a.x.stride);
  if (warp < rows && left > 0) {
    A shift[4], sum[4] = {0, 0, 0, 0}, sum_of_squares[4] = {0, 0, 0, 0};
    read4(row_data<T>(a.x, first + warp) + j, left, vector, shift);
    for (int64_t r = warp + kWarps; r < rows; r += kWarps) {
      A x[4];
      read4(row_data<T>(a.x, first + r) + j, left, vector, x);
      for (int i = 0; i < 4; ++i) {
        const A d = x[i] - shift[i];
        sum[i] += d;
        sum_of_squares[i] += d * d;
      }
    }
    const A inv_count = A(1) / static_cast<A>((rows - warp + kWarps - 1) / kWarps);
    for (int i = 0; i < 4; ++i) {
      const Moments<A> own = shifted_moments(shift[i], sum[i], sum_of_squares[i], inv_count);
      means[warp][4 * lane + i] = own.mean;
      squares[warp][4 * lane + i] = own.squares;
    }
  }
  __syncthreads();
  Moments<A> all = {0, 0};
  if (threadIdx.x < kTile && first_column + threadIdx.x < a.dim) {
    int64_t count = 0;
    for (int w = 0; w < kWarps && w < rows; ++w)
      merge(&all, &count, {means[w][threadIdx.x], squares[w][threadIdx.x]}, (rows - w + kWarps - 1) / kWarps);
  }
  return all;
}

template <class T>
__global__ void __launch_bounds__(kThreads, kMinBlocks) moment_kl_forward(const __grid_constant__ MomentKlArgs a) {
  using A = acc_t<T>;
  const int64_t tiles = gridDim.x / a.chunks, tile = blockIdx.x % tiles, chunk = blockIdx.x / tiles;
  const int64_t first = chunk * a.chunk_rows, j = tile * kTile + threadIdx.x;
  const bool mine = threadIdx.x < kTile && j < a.dim;
  Moments<A> all = chunk_moments<T>(a, tile * kTile, first, min(a.chunk_rows, a.batch - first));
  if (a.partial) {
    A* partial = static_cast<A*>(a.partial) + j;
    if (mine) {
      partial[2 * chunk * a.dim] = all.mean;
      partial[(2 * chunk + 1) * a.dim] = all.squares;
    }
    if (!is_last_block(a.tickets + tile, static_cast<uint32_t>(a.chunks))) return;
    if (mine) {
      all = {0, 0};
      int64_t count = 0;
      for (int64_t c = 0; c < a.chunks; ++c)
        merge(&all, &count, {__ldcg(partial + 2 * c * a.dim), __ldcg(partial + (2 * c + 1) * a.dim)},
              min(a.chunk_rows, a.batch - c * a.chunk_rows));
    }
  }
  A value = 0;
  if (mine) {
    const A var = all.squares * static_cast<A>(a.inv_batch), mean = a.batch > 0 ? all.mean : var;  // NaN for no rows
    static_cast<A*>(a.mean)[j] = mean;
    static_cast<A*>(a.var)[j] = var;
    value = moment_kl_value(a.published, a.pq, mean, var, log_variance(var));
  }
  value = block_sum<kThreads>(value);
  A* tile_values = static_cast<A*>(a.tile_values);
  if (threadIdx.x == 0) tile_values[tile] = value;
  if (!is_last_block(a.tickets + tiles, static_cast<uint32_t>(tiles))) return;
  const A total = sum_of_blocks<kThreads>(tile_values, tiles);
  if (threadIdx.x == 0) *static_cast<A*>(a.kl) = total * static_cast<A>(a.weight);
}

template <class T>
__global__ void __launch_bounds__(kThreads, kMinBlocks) moment_kl_gradient(const __grid_constant__ MomentKlArgs a) {
  using A = acc_t<T>;
  const int64_t tiles = (a.dim + kTile - 1) / kTile, tile = blockIdx.x % tiles, first = blockIdx.x / tiles * kGradRows;
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int64_t j = tile * kTile + 4 * lane, left = a.dim - j;
  if (left <= 0) return;
  const bool vector =
      a.dim % 4 == 0 && vector_rows(static_cast<const T*>(a.x.data), a.x.stride) && aligned4(static_cast<const T*>(a.grad_x));
  A mean[4];
  MomentGrad<A> grad[4];
  for (int i = 0; i < 4; ++i) {
    const int64_t column = i < left ? j + i : j;
    mean[i] = static_cast<const A*>(a.mean)[column];
    grad[i] = moment_kl_grad(a, mean[i], static_cast<const A*>(a.var)[column], column);
  }
  for (int64_t r = first + warp; r < min(first + kGradRows, a.batch); r += kWarps) {
    A x[4];
    read4(row_data<T>(a.x, r) + j, left, vector, x);
    for (int i = 0; i < 4; ++i) x[i] = grad[i].constant + grad[i].slope * (x[i] - mean[i]);
    write4(static_cast<T*>(a.grad_x) + r * a.dim + j, left, vector, x);
  }
}

int moment_kl_cuda(const MomentKlArgs& a, void* stream) {
  const int64_t tiles = a.dim > 0 ? (a.dim + kTile - 1) / kTile : 1;
  const cudaError_t error = cudaMemsetAsync(a.tickets, 0, (tiles + 1) * sizeof(*a.tickets), static_cast<cudaStream_t>(stream));
  if (error != cudaSuccess) return error;
  return dispatch(a.dtype, [&](auto type) {
    return launch(moment_kl_forward<typename decltype(type)::type>, dim3(static_cast<unsigned>(tiles * a.chunks)),
                  dim3(kThreads), 0, static_cast<cudaStream_t>(stream), a);
  });
}

int moment_kl_backward_cuda(const MomentKlArgs& a, void* stream) {
  const int64_t tiles = (a.dim + kTile - 1) / kTile, chunks = (a.batch + kGradRows - 1) / kGradRows;
  return dispatch(a.dtype, [&](auto type) {
    return launch(moment_kl_gradient<typename decltype(type)::type>, dim3(static_cast<unsigned>(tiles * chunks)),
                  dim3(kThreads), 0, static_cast<cudaStream_t>(stream), a);
  });
}

}  // namespace bigan
