#include "common.cuh"
#include "philox_normal.h"

namespace bigan {

constexpr int kNoiseThreads = 256;

// One thread a group of four elements; the groups of all rows in one line.
__global__ void __launch_bounds__(kNoiseThreads) philox_normal_kernel(const __grid_constant__ PhiloxNormalArgs a) {
  const int64_t groups = (a.dim + 3) / 4;
  const int64_t i = int64_t{blockIdx.x} * kNoiseThreads + threadIdx.x;
  if (i >= a.batch * groups) return;
  const int64_t row = i / groups, group = i % groups;
  float eps[4];
  normal4(noise_words(noise_key(a.rng, a.sample_id, row, a.stream), static_cast<uint32_t>(group)), &eps[0], &eps[1], &eps[2],
          &eps[3]);
  float* out = a.out + row * a.dim + 4 * group;  // [B, Z]
  write4(out, a.dim - 4 * group, vector_rows(a.out, a.dim), eps);
}

int philox_normal_cuda(const PhiloxNormalArgs& a, void* stream) {
  const int64_t blocks = (a.batch * ((a.dim + 3) / 4) + kNoiseThreads - 1) / kNoiseThreads;
  return launch(philox_normal_kernel, dim3(static_cast<unsigned>(blocks)), dim3(kNoiseThreads), 0,
                static_cast<cudaStream_t>(stream), a);
}

}  // namespace bigan
