#include "rows.cuh"
#include "sphere_normalize.h"

namespace bigan {

// Groups of four are aligned in every row (an absent matrix is: its pointer and stride are 0).
template <class T>
__device__ __forceinline__ bool all_vector(const SphereNormalizeArgs& a) {
  return a.dim % 4 == 0 && vector_rows(static_cast<const T*>(a.x.data), a.x.stride) &&
         vector_rows(static_cast<const T*>(a.grad.data), a.grad.stride) && aligned4(static_cast<const T*>(a.out));
}

template <class T, bool kWarpRow>
__global__ void __launch_bounds__(kRowBlock, kMinRowBlocks)
    sphere_normalize_forward(const __grid_constant__ SphereNormalizeArgs a) {
  using A = acc_t<T>;
  const int64_t row = row_of_thread<kWarpRow>();
  const int lane = lane_in_row<kWarpRow>();
  if (row >= a.batch) return;  // a whole warp, or block
  const bool vector = all_vector<T>(a);
  const T* x_row = row_data<T>(a.x, row);
  A kept[kKept][4], xx = 0;
  each_group<kWarpRow>(a.dim, lane, [&](int k, int64_t j) {
    A x[4];
    read4(x_row + j, a.dim - j, vector, x);
    for (int i = 0; i < 4; ++i) {
      xx += x[i] * x[i];
      if (k >= 0) kept[k][i] = x[i];
    }
  });
  const A inverse = inverse_norm(row_sum<kWarpRow>(xx));
  each_group<kWarpRow>(a.dim, lane, [&](int k, int64_t j) {
    A x[4];
    if (k < 0) read4(x_row + j, a.dim - j, vector, x);
    for (int i = 0; i < 4; ++i) x[i] = (k < 0 ? x[i] : kept[k][i]) * inverse;
    write4(static_cast<T*>(a.out) + row * a.dim + j, a.dim - j, vector, x);
  });
}

template <class T, bool kWarpRow>
__global__ void __launch_bounds__(kRowBlock, kMinRowBlocks)
    sphere_normalize_gradient(const __grid_constant__ SphereNormalizeArgs a) {
  using A = acc_t<T>;
  const int64_t row = row_of_thread<kWarpRow>();
  const int lane = lane_in_row<kWarpRow>();
  if (row >= a.batch) return;
  const bool vector = all_vector<T>(a);
  const T *x_row = row_data<T>(a.x, row), *g_row = row_data<T>(a.grad, row);
  A kept_x[kKept][4], kept_g[kKept][4], xx = 0, xg = 0;
  each_group<kWarpRow>(a.dim, lane, [&](int k, int64_t j) {
    A x[4], g[4];
    read4(x_row + j, a.dim - j, vector, x);
    read4(g_row + j, a.dim - j, vector, g);
    for (int i = 0; i < 4; ++i) {
      xx += x[i] * x[i];
      xg += x[i] * g[i];
      if (k >= 0) kept_x[k][i] = x[i], kept_g[k][i] = g[i];
    }
  });
  const A inverse = inverse_norm(row_sum<kWarpRow>(xx)), along = row_sum<kWarpRow>(xg) * inverse;
  each_group<kWarpRow>(a.dim, lane, [&](int k, int64_t j) {
    A x[4], g[4], out[4];
    if (k < 0) {
      read4(x_row + j, a.dim - j, vector, x);
      read4(g_row + j, a.dim - j, vector, g);
    }
    for (int i = 0; i < 4; ++i) {
      if (k >= 0) x[i] = kept_x[k][i], g[i] = kept_g[k][i];
      out[i] = sphere_normalize_grad(x[i], g[i], inverse, along);
    }
    write4(static_cast<T*>(a.out) + row * a.dim + j, a.dim - j, vector, out);
  });
}

#define BIGAN_LAUNCH_ROWS(KERNEL)                                                                                 \
  dispatch(a.dtype, [&](auto type) {                                                                              \
    using T = typename decltype(type)::type;                                                                      \
    const bool warp_row = a.dim <= kLongestWarpRow;                                                               \
    auto* kernel = warp_row ? KERNEL<T, true> : KERNEL<T, false>;                                                 \
    return launch(kernel, row_grid(a.batch, warp_row), dim3(kRowBlock), 0, static_cast<cudaStream_t>(stream), a); \
  })

int sphere_normalize_cuda(const SphereNormalizeArgs& a, void* stream) { return BIGAN_LAUNCH_ROWS(sphere_normalize_forward); }

int sphere_normalize_backward_cuda(const SphereNormalizeArgs& a, void* stream) {
  return BIGAN_LAUNCH_ROWS(sphere_normalize_gradient);
}

}  // namespace bigan
