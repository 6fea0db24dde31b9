#include "common.cuh"
#include "philox_normal.h"
#include "reparam_kl.h"

namespace bigan {

// A row belongs to one warp, or to the whole block where it is long: at a GAN's sizes (64 rows of 128) a block a row
// would leave three of four warps without work.
constexpr int kThreads = 128;
constexpr int64_t kLongRow = 1024;
constexpr int kMinBlocks = 4;  // at most 128 registers a thread; left to itself ptxas aims at 80 and spills doubles

template <bool kWarpRow>
constexpr int kRowThreads = kWarpRow ? 32 : kThreads;
template <bool kWarpRow>
constexpr int kRowsPerBlock = kThreads / kRowThreads<kWarpRow>;

template <class T>
__device__ __forceinline__ const T* row_data(const Rows& m, int64_t row) {
  return static_cast<const T*>(m.data) + row * m.stride;
}

// Elements 4g .. 4g + 3 of the row's noise: drawn, or read with the data.
template <class T>
__device__ __forceinline__ void noise4(const ReparamKlArgs& a, const NoiseKey& key, int64_t row, int64_t j, bool vector,
                                       acc_t<T> (&eps)[4]) {
  if (a.eps.data) {
    read4(row_data<T>(a.eps, row) + j, a.dim - j, vector, eps);
  } else {
    float drawn[4];
    normal4(noise_words(key, static_cast<uint32_t>(j / 4)), &drawn[0], &drawn[1], &drawn[2], &drawn[3]);
    for (int i = 0; i < 4; ++i) eps[i] = drawn[i];
  }
}

// Groups of four are aligned in every row of every matrix (an absent one is: its pointer and stride are 0).
template <class T>
__device__ __forceinline__ bool all_vector(const ReparamKlArgs& a) {
  return a.dim % 4 == 0 && vector_rows(static_cast<const T*>(a.mu.data), a.mu.stride) &&
         vector_rows(static_cast<const T*>(a.scale.data), a.scale.stride) &&
         vector_rows(static_cast<const T*>(a.eps.data), a.eps.stride) &&
         vector_rows(static_cast<const T*>(a.grad_z.data), a.grad_z.stride) && aligned4(static_cast<const T*>(a.z)) &&
         aligned4(static_cast<const T*>(a.grad_mu)) && aligned4(static_cast<const T*>(a.grad_scale));
}

template <class T, bool kLogstd, bool kWarpRow>
__global__ void __launch_bounds__(kThreads, kMinBlocks) reparam_kl_forward(const __grid_constant__ ReparamKlArgs a) {
  using A = acc_t<T>;
  const int64_t row = int64_t{blockIdx.x} * kRowsPerBlock<kWarpRow> + threadIdx.x / kRowThreads<kWarpRow>;
  const int lane = threadIdx.x % kRowThreads<kWarpRow>;
  const bool vector = all_vector<T>(a), present = row < a.batch;
  A sum = 0;  // twice the KL
  if (present) {
    const NoiseKey key = a.z && !a.eps.data ? noise_key(a.rng, a.sample_id, row, a.stream) : NoiseKey{};
    const T *mu_row = row_data<T>(a.mu, row), *scale_row = row_data<T>(a.scale, row);
    for (int64_t j = 4 * lane; j < a.dim; j += 4 * kRowThreads<kWarpRow>) {
      A mu[4], scale[4], sigma[4], eps[4];
      if (a.z) noise4<T>(a, key, row, j, vector, eps);
      read4(mu_row + j, a.dim - j, vector, mu);
      read4(scale_row + j, a.dim - j, vector, scale);  // 0 past the end: sigma is 1 and the term 0
      for (int i = 0; i < 4; ++i) {
        const A ls = log_sigma<kLogstd>(scale[i]);
        sigma[i] = exp_(ls);
        sum += twice_kl(mu[i], ls, sigma[i]);
      }
      if (a.z) {
        for (int i = 0; i < 4; ++i) eps[i] = mu[i] + sigma[i] * eps[i];
        write4(static_cast<T*>(a.z) + row * a.dim + j, a.dim - j, vector, eps);
      }
    }
  }
  sum = kWarpRow ? warp_sum(sum) : block_sum<kThreads>(sum);
  if (present && lane == 0) {
    A kl = A(0.5) * sum;
    if (a.mean_dims) kl *= static_cast<A>(a.inv_dim);
    if (a.hinge == Hinge::kSample) kl = hinge(static_cast<A>(a.margin), kl);
    static_cast<A*>(a.rows)[row] = kl;
  }
  if (!a.ticket || !is_last_block(a.ticket)) {
    if (!a.ticket && blockIdx.x == 0 && threadIdx.x == 0) *static_cast<A*>(a.loss) = 0;
    return;
  }
  const A total = sum_of_blocks<kThreads>(static_cast<const A*>(a.rows), a.batch);
  if (threadIdx.x == 0) *static_cast<A*>(a.loss) = finish_loss(a, total);
}

template <class T, bool kLogstd, bool kWarpRow>
__global__ void __launch_bounds__(kThreads, kMinBlocks) reparam_kl_gradient(const __grid_constant__ ReparamKlArgs a) {
  using A = acc_t<T>;
  const int64_t row = int64_t{blockIdx.x} * kRowsPerBlock<kWarpRow> + threadIdx.x / kRowThreads<kWarpRow>;
  if (row >= a.batch) return;
  const int lane = threadIdx.x % kRowThreads<kWarpRow>;
  const bool vector = all_vector<T>(a);
  const A c = row_coefficient<A>(a, row);
  const NoiseKey key = a.grad_z.data && !a.eps.data ? noise_key(a.rng, a.sample_id, row, a.stream) : NoiseKey{};
  const T *mu_row = row_data<T>(a.mu, row), *scale_row = row_data<T>(a.scale, row);
  for (int64_t j = 4 * lane; j < a.dim; j += 4 * kRowThreads<kWarpRow>) {
    A mu[4], scale[4], grad_z[4] = {0, 0, 0, 0}, eps[4] = {0, 0, 0, 0}, d_mu[4], d_scale[4];
    read4(mu_row + j, a.dim - j, vector, mu);
    read4(scale_row + j, a.dim - j, vector, scale);
    if (a.grad_z.data) {
      read4(row_data<T>(a.grad_z, row) + j, a.dim - j, vector, grad_z);
      noise4<T>(a, key, row, j, vector, eps);
    }
    for (int i = 0; i < 4; ++i)
      reparam_kl_grad<kLogstd>(c, mu[i], exp_(log_sigma<kLogstd>(scale[i])), grad_z[i], eps[i], &d_mu[i], &d_scale[i]);
    write4(static_cast<T*>(a.grad_mu) + row * a.dim + j, a.dim - j, vector, d_mu);
    write4(static_cast<T*>(a.grad_scale) + row * a.dim + j, a.dim - j, vector, d_scale);
  }
}

// Picks the instantiation for element type, parametrisation and row length, and launches it.
#define BIGAN_LAUNCH_ROWS(KERNEL)                                                            \
  dispatch(a.dtype, [&](auto type) {                                                         \
    using T = typename decltype(type)::type;                                                 \
    const bool warp_row = a.dim <= kLongRow;                                                 \
    const int64_t rows = warp_row ? kRowsPerBlock<true> : kRowsPerBlock<false>;              \
    const dim3 grid(static_cast<unsigned>(a.batch > 0 ? (a.batch + rows - 1) / rows : 1));   \
    auto* kernel = a.logstd ? (warp_row ? KERNEL<T, true, true> : KERNEL<T, true, false>)    \
                            : (warp_row ? KERNEL<T, false, true> : KERNEL<T, false, false>); \
    return launch(kernel, grid, dim3(kThreads), 0, static_cast<cudaStream_t>(stream), a);    \
  })

int reparam_kl_cuda(const ReparamKlArgs& a, void* stream) {
  if (a.ticket) {
    const cudaError_t error = cudaMemsetAsync(a.ticket, 0, sizeof(*a.ticket), static_cast<cudaStream_t>(stream));
    if (error != cudaSuccess) return error;
  }
  return BIGAN_LAUNCH_ROWS(reparam_kl_forward);
}

int reparam_kl_backward_cuda(const ReparamKlArgs& a, void* stream) { return BIGAN_LAUNCH_ROWS(reparam_kl_gradient); }

}  // namespace bigan
