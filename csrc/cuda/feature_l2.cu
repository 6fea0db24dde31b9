#include "common.cuh"
#include "feature_l2.h"

namespace bigan {

constexpr int kThreads = 256;
constexpr int kMinBlocks = 4;  // an SM: at most 64 registers a thread

// A chunk of a pair, as its block sees it.
template <class T>
struct Chunk {
  const T *a, *b;
  int64_t count;
  bool vector;
};

template <class T>
__device__ __forceinline__ Chunk<T> chunk_of(const FeatureL2Args& args, int k, int64_t* begin) {
  const FeaturePair& pair = args.pairs[k];
  *begin = (int64_t{blockIdx.x} - pair.first_chunk) * args.chunk;
  const T *a = static_cast<const T*>(pair.a) + *begin, *b = static_cast<const T*>(pair.b) + *begin;
  const int64_t left = pair.count - *begin;
  return {a, b, left < args.chunk ? left : args.chunk, aligned4(a) && aligned4(b)};
}

template <class T, class A>
__device__ __forceinline__ A chunk_sum(const FeatureL2Args& args, int k) {
  int64_t begin;
  const Chunk<T> c = chunk_of<T>(args, k, &begin);
  A sum = 0;
  for (int64_t j = 4 * threadIdx.x; j < c.count; j += 4 * kThreads) {
    acc_t<T> a[4], b[4];
    read4(c.a + j, c.count - j, c.vector, a);
    read4(c.b + j, c.count - j, c.vector, b);
    for (int i = 0; i < 4; ++i) sum += distance(a[i], b[i], args.square);
  }
  return sum;
}

template <class T, class A>
__device__ __forceinline__ void chunk_gradient(const FeatureL2Args& args, int k) {
  int64_t begin;
  const Chunk<T> c = chunk_of<T>(args, k, &begin);
  T *by_a = static_cast<T*>(args.pairs[k].grad_a), *by_b = static_cast<T*>(args.pairs[k].grad_b);
  by_a = by_a ? by_a + begin : nullptr;
  by_b = by_b ? by_b + begin : nullptr;
  const bool vector = c.vector && aligned4(by_a) && aligned4(by_b);
  const auto coefficient = static_cast<acc_t<T>>(pair_coefficient<A>(args, k));
  for (int64_t j = 4 * threadIdx.x; j < c.count; j += 4 * kThreads) {
    acc_t<T> a[4], b[4];
    read4(c.a + j, c.count - j, vector, a);
    read4(c.b + j, c.count - j, vector, b);
    for (int i = 0; i < 4; ++i) a[i] = distance_grad(coefficient, a[i], b[i], args.square);
    if (by_a) write4(by_a + j, c.count - j, vector, a);
    for (int i = 0; i < 4; ++i) a[i] = -a[i];
    if (by_b) write4(by_b + j, c.count - j, vector, a);
  }
}

// The block's element type; float64 is there only where sums are kept in it.
template <class A, class F>
__device__ __forceinline__ void with_type(Dtype dtype, const F& f) {
  if constexpr (sizeof(A) == 8) {
    if (dtype == Dtype::kDouble) return f(Type<double>());
  }
  if (dtype == Dtype::kFloat) return f(Type<float>());
  if (dtype == Dtype::kHalf) return f(Type<__half>());
  f(Type<__nv_bfloat16>());
}

// A block a chunk.  The last block adds the chunks up: a warp a pair, then the pairs in order.
template <class A>
__global__ void __launch_bounds__(kThreads, kMinBlocks) feature_l2_forward(const __grid_constant__ FeatureL2Args a) {
  A sum = 0;
  const int chunk = static_cast<int>(blockIdx.x);
  if (chunk < a.chunks) {  // there may be none: one block is launched all the same
    const int k = pair_of_chunk(a, blockIdx.x);
    with_type<A>(a.pairs[k].dtype, [&](auto type) { sum = chunk_sum<typename decltype(type)::type, A>(a, k); });
  }
  sum = block_sum<kThreads>(sum);
  A* partial = static_cast<A*>(a.partial);
  if (chunk < a.chunks && threadIdx.x == 0) partial[chunk] = sum;
  if (!is_last_block(a.ticket)) return;
  SHARED_ARRAY(A, values, [kMaxPairs]);
  for (int k = threadIdx.x / 32; k < a.number; k += kThreads / 32) {
    const int end = k + 1 < a.number ? a.pairs[k + 1].first_chunk : a.chunks;
    A value = 0;
    for (int c = a.pairs[k].first_chunk + threadIdx.x % 32; c < end; c += 32) value += __ldcg(partial + c);
    value = warp_sum(value) * static_cast<A>(a.pairs[k].scale);
    if (threadIdx.x % 32 == 0) {
      static_cast<A*>(a.values)[k] = value;
      values[k] = static_cast<A>(a.pairs[k].weight) * value;
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    A* total = static_cast<A*>(a.total);
    A all = a.more ? *total : A(0);
    for (int k = 0; k < a.number; ++k) all += values[k];
    *total = all;
  }
}

template <class A>
__global__ void __launch_bounds__(kThreads, kMinBlocks) feature_l2_gradient(const __grid_constant__ FeatureL2Args a) {
  const int k = pair_of_chunk(a, blockIdx.x);
  with_type<A>(a.pairs[k].dtype, [&](auto type) { chunk_gradient<typename decltype(type)::type, A>(a, k); });
}

int feature_l2_cuda(const FeatureL2Args& a, void* stream) {
  const cudaError_t error = cudaMemsetAsync(a.ticket, 0, sizeof(*a.ticket), static_cast<cudaStream_t>(stream));
  if (error != cudaSuccess) return error;
  const dim3 grid(a.chunks ? a.chunks : 1);
  auto* kernel = a.acc == Dtype::kDouble ? feature_l2_forward<double> : feature_l2_forward<float>;
  return launch(kernel, grid, dim3(kThreads), 0, stream, a);
}

int feature_l2_backward_cuda(const FeatureL2Args& a, void* stream) {
  auto* kernel = a.acc == Dtype::kDouble ? feature_l2_gradient<double> : feature_l2_gradient<float>;
  return launch(kernel, dim3(a.chunks), dim3(kThreads), 0, stream, a);
}

}  // namespace bigan
