// Rows of a matrix that are read, summed and then used again.
#pragma once
#include "common.cuh"

namespace bigan {

// A row belongs to one warp, or to the whole block where it is long.
constexpr int kRowBlock = 128;
constexpr int kMinRowBlocks = 4;  // an SM: at most 128 registers a thread
constexpr int kKept = 4;          // groups of four of a row that each thread keeps in registers
constexpr int64_t kLongestWarpRow = 32 * 4 * kKept;

template <bool kWarpRow>
constexpr int kThreadsOfRow = kWarpRow ? 32 : kRowBlock;

// The row a thread works for, or any past the last one, and its place among the row's threads.
template <bool kWarpRow>
__device__ __forceinline__ int64_t row_of_thread() {
  constexpr int kThreads = kThreadsOfRow<kWarpRow>;
  return int64_t{blockIdx.x} * (kRowBlock / kThreads) + threadIdx.x / kThreads;
}
template <bool kWarpRow>
__device__ __forceinline__ int lane_in_row() {
  return static_cast<int>(threadIdx.x % kThreadsOfRow<kWarpRow>);
}
inline dim3 row_grid(int64_t batch, bool warp_row) {
  const int64_t rows = warp_row ? kRowBlock / 32 : 1;
  return dim3(static_cast<unsigned>(batch > 0 ? (batch + rows - 1) / rows : 1));
}

template <class T>
__device__ __forceinline__ const T* row_data(const Rows& m, int64_t row) {
  return static_cast<const T*>(m.data) + row * m.stride;
}

// Calls f(kept, j) for the first column j of each of this thread's groups of four; kept is its number among those kept
// in registers, which is known at compile time, or -1 for the rest of a very long row.
template <bool kWarpRow, class F>
__device__ __forceinline__ void each_group(int64_t dim, int lane, const F& f) {
  constexpr int kStep = 4 * kThreadsOfRow<kWarpRow>;
#pragma unroll
  for (int k = 0; k < kKept; ++k)
    if (4 * lane + k * kStep < dim) f(k, int64_t{4 * lane + k * kStep});
  for (int64_t j = 4 * lane + kKept * kStep; j < dim; j += kStep) f(-1, j);
}

// The sum over the threads of a row, for each of them.
template <bool kWarpRow, class T>
__device__ __forceinline__ T row_sum(T v) {
  if constexpr (kWarpRow)
    return warp_sum(v);
  else
    return block_sum<kRowBlock>(v);
}

}  // namespace bigan
