#include "latent_match.h"
#include "rows.cuh"

namespace bigan {

template <class T>
__device__ __forceinline__ bool all_vector(const LatentMatchArgs& a) {
  return a.dim % 4 == 0 && vector_rows(static_cast<const T*>(a.a.data), a.a.stride) &&
         vector_rows(static_cast<const T*>(a.b.data), a.b.stride) && aligned4(static_cast<const T*>(a.grad_a)) &&
         aligned4(static_cast<const T*>(a.grad_b));
}

template <class A>
__device__ __forceinline__ void add_products(const A (&a)[4], const A (&b)[4], Products<A>* sum) {
  for (int i = 0; i < 4; ++i) {
    sum->aa += a[i] * a[i];
    sum->bb += b[i] * b[i];
    sum->ab += a[i] * b[i];
  }
}

template <bool kWarpRow, class A>
__device__ __forceinline__ Products<A> row_products(const Products<A>& p) {
  return {row_sum<kWarpRow>(p.aa), row_sum<kWarpRow>(p.bb), row_sum<kWarpRow>(p.ab)};
}

template <class T, bool kAngle, bool kWarpRow>
__global__ void __launch_bounds__(kRowBlock, kMinRowBlocks) latent_match_forward(const __grid_constant__ LatentMatchArgs a) {
  using A = acc_t<T>;
  const int64_t row = row_of_thread<kWarpRow>();
  const int lane = lane_in_row<kWarpRow>();
  const bool vector = all_vector<T>(a), present = row < a.batch, square = a.match == Match::kL2;
  Products<A> products = {0, 0, 0};
  A sum = 0;
  if (present) {
    const T *a_row = row_data<T>(a.a, row), *b_row = row_data<T>(a.b, row);
    for (int64_t j = 4 * lane; j < a.dim; j += 4 * kThreadsOfRow<kWarpRow>) {
      A va[4], vb[4];
      read4(a_row + j, a.dim - j, vector, va);
      read4(b_row + j, a.dim - j, vector, vb);
      if (kAngle) {
        add_products(va, vb, &products);
      } else {
        for (int i = 0; i < 4; ++i) sum += square ? difference<true>(va[i], vb[i]) : difference<false>(va[i], vb[i]);
      }
    }
  }
  sum = kAngle ? cosine(row_products<kWarpRow>(products)) : row_sum<kWarpRow>(sum);
  if (present && lane == 0) static_cast<A*>(a.rows)[row] = sum;
  if (!is_last_block(a.ticket)) return;
  const A total = sum_of_blocks<kRowBlock>(static_cast<const A*>(a.rows), a.batch);
  if (threadIdx.x == 0) *static_cast<A*>(a.loss) = finish_match(a, total);
}

template <class T, bool kAngle, bool kWarpRow>
__global__ void __launch_bounds__(kRowBlock, kMinRowBlocks) latent_match_gradient(const __grid_constant__ LatentMatchArgs a) {
  using A = acc_t<T>;
  const int64_t row = row_of_thread<kWarpRow>();
  const int lane = lane_in_row<kWarpRow>();
  if (row >= a.batch) return;  // a whole warp, or block
  const bool vector = all_vector<T>(a), square = a.match == Match::kL2;
  const A c = match_coefficient<A>(a);
  const T *a_row = row_data<T>(a.a, row), *b_row = row_data<T>(a.b, row);
  A kept_a[kKept][4], kept_b[kKept][4], inverse_a = 0, inverse_b = 0, cos = 0;
  if (kAngle) {
    Products<A> products = {0, 0, 0};
    each_group<kWarpRow>(a.dim, lane, [&](int k, int64_t j) {
      A va[4], vb[4];
      read4(a_row + j, a.dim - j, vector, va);
      read4(b_row + j, a.dim - j, vector, vb);
      add_products(va, vb, &products);
      if (k >= 0)
        for (int i = 0; i < 4; ++i) kept_a[k][i] = va[i], kept_b[k][i] = vb[i];
    });
    products = row_products<kWarpRow>(products);
    inverse_a = inverse_norm(products.aa);
    inverse_b = inverse_norm(products.bb);
    cos = products.ab * inverse_a * inverse_b;
  }
  each_group<kWarpRow>(a.dim, lane, [&](int k, int64_t j) {
    A va[4], vb[4], by_a[4], by_b[4];
    if (!kAngle || k < 0) {
      read4(a_row + j, a.dim - j, vector, va);
      read4(b_row + j, a.dim - j, vector, vb);
    }
    for (int i = 0; i < 4; ++i) {
      if (kAngle) {
        if (k >= 0) va[i] = kept_a[k][i], vb[i] = kept_b[k][i];
        by_a[i] = cosine_grad(c, va[i], inverse_a, vb[i], inverse_b, cos);
        by_b[i] = cosine_grad(c, vb[i], inverse_b, va[i], inverse_a, cos);
      } else {
        by_a[i] = square ? difference_grad<true>(c, va[i], vb[i]) : difference_grad<false>(c, va[i], vb[i]);
        by_b[i] = -by_a[i];
      }
    }
    if (a.grad_a) write4(static_cast<T*>(a.grad_a) + row * a.dim + j, a.dim - j, vector, by_a);
    if (a.grad_b) write4(static_cast<T*>(a.grad_b) + row * a.dim + j, a.dim - j, vector, by_b);
  });
}

#define BIGAN_LAUNCH_ROWS(KERNEL)                                                                                 \
  dispatch(a.dtype, [&](auto type) {                                                                              \
    using T = typename decltype(type)::type;                                                                      \
    const bool warp_row = a.dim <= kLongestWarpRow;                                                               \
    auto* kernel = is_angle(a.match) ? (warp_row ? KERNEL<T, true, true> : KERNEL<T, true, false>)                \
                                     : (warp_row ? KERNEL<T, false, true> : KERNEL<T, false, false>);             \
    return launch(kernel, row_grid(a.batch, warp_row), dim3(kRowBlock), 0, static_cast<cudaStream_t>(stream), a); \
  })

int latent_match_cuda(const LatentMatchArgs& a, void* stream) {
  const cudaError_t error = cudaMemsetAsync(a.ticket, 0, sizeof(*a.ticket), static_cast<cudaStream_t>(stream));
  return error != cudaSuccess ? error : BIGAN_LAUNCH_ROWS(latent_match_forward);
}

int latent_match_backward_cuda(const LatentMatchArgs& a, void* stream) { return BIGAN_LAUNCH_ROWS(latent_match_gradient); }

}  // namespace bigan
