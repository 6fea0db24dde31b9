// Exercises csrc/cuda/common.cuh: rows of any length and alignment, sums in a fixed order, the last block.
#include "../../csrc/cuda/common.cuh"

namespace helpers {
using bigan::acc_t;

// Writes in + 1, the sums of the rows and the sum of everything.
template <class T>
__global__ void __launch_bounds__(64)
    rows(const T* in, T* plus_one, acc_t<T>* row_sums, acc_t<T>* total, uint32_t* ticket, int64_t dim, int64_t stride) {
  const T* row = in + blockIdx.x * stride;
  const bool vector = bigan::vector_rows(in, stride) && bigan::vector_rows(plus_one, stride);
  acc_t<T> sum = 0;
  for (int64_t j = 4 * threadIdx.x; j < dim; j += 4 * 64) {
    acc_t<T> v[4];
    bigan::read4(row + j, dim - j, vector, v);
    for (int i = 0; i < 4; ++i) {
      sum += v[i];
      v[i] += 1;
    }
    bigan::write4(plus_one + blockIdx.x * stride + j, dim - j, vector, v);
  }
  sum = bigan::block_sum<64>(bigan::block_sum<64>(sum)) / 64;  // one call after the other; 64 equal values add exactly
  if (threadIdx.x == 0) row_sums[blockIdx.x] = sum;
  if (!bigan::is_last_block(ticket)) return;
  sum = bigan::sum_of_blocks<64>(row_sums, gridDim.x);
  if (threadIdx.x == 0) *total = sum;
}

}  // namespace helpers

extern "C" int helpers_rows(int dtype, const void* in, void* plus_one, void* row_sums, void* total, uint32_t* ticket,
                            int64_t rows, int64_t dim, int64_t stride) {
  return bigan::dispatch(static_cast<bigan::Dtype>(dtype), [&](auto type) {
    using T = typename decltype(type)::type;
    using A = bigan::acc_t<T>;
    return static_cast<int>(bigan::launch(helpers::rows<T>, static_cast<unsigned>(rows), 64, 0, nullptr,
                                          static_cast<const T*>(in), static_cast<T*>(plus_one), static_cast<A*>(row_sums),
                                          static_cast<A*>(total), ticket, dim, stride));
  });
}
