// What the kernels of the critics' losses share: four logits, or rows of three, of a group; sums over the grid.
#pragma once
#include "adversarial.h"
#include "common.cuh"

namespace bigan {

// Are the group's logits one run of memory that four-value accesses can go through?
template <class T>
__device__ __forceinline__ bool vector_group(const LogitGroup& g) {
  return aligned4(static_cast<const T*>(g.logits.data)) && aligned4(static_cast<const T*>(g.grad));
}

// Elements e .. e + 3 of a group of n elements, 0 after its end.
template <class T>
__device__ __forceinline__ void group_read4(const LogitGroup& g, int64_t e, int64_t n, bool vector, acc_t<T> (&v)[4]) {
  const T* data = static_cast<const T*>(g.logits.data);
  if (g.logits.stride == g.cols) {
    read4(data + e, n - e, vector, v);
  } else {
    for (int i = 0; i < 4; ++i) v[i] = e + i < n ? to_acc(data[(e + i) / g.cols * g.logits.stride + (e + i) % g.cols]) : 0;
  }
}

// The first of this thread's turns of four, and the distance between them, over the whole grid.
__device__ __forceinline__ int64_t first_four() { return 4 * (int64_t{blockIdx.x} * blockDim.x + threadIdx.x); }
__device__ __forceinline__ int64_t next_four() { return 4 * int64_t{gridDim.x} * blockDim.x; }

// Adds up v over the grid; true in the one block that then has the sums, in each of its threads.
template <int kThreads, int kCount, class A>
__device__ __forceinline__ bool grid_sum(A (&v)[kCount], void* partial, uint32_t* ticket) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) v[i] = block_sum<kThreads>(v[i]);
  if (gridDim.x == 1) return true;
  A* sums = static_cast<A*>(partial);
  if (threadIdx.x == 0) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) sums[int64_t{i} * gridDim.x + blockIdx.x] = v[i];
  }
  if (!is_last_block(ticket)) return false;
#pragma unroll
  for (int i = 0; i < kCount; ++i) v[i] = sum_of_blocks<kThreads>(sums + int64_t{i} * gridDim.x, gridDim.x);
  return true;
}

// Host: zeroes the ticket where blocks need it.
template <int kGroups>
cudaError_t clear_ticket(const AdversarialArgs<kGroups>& a, void* stream) {
  if (a.blocks == 1) return cudaSuccess;
  return cudaMemsetAsync(a.ticket, 0, sizeof(*a.ticket), static_cast<cudaStream_t>(stream));
}

}  // namespace bigan
