// What every operator's header needs: host+device marking, element types, the strided matrix view.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define BIGAN_HD __host__ __device__ __forceinline__
#define BIGAN_DEVICE __device__ __forceinline__  // also used on the CPU, but calls what nvcc knows on the device only
#elif defined(__GNUC__)
// The CPU loops are cloned for several instruction sets; what they call must be inlined into each clone.
#define BIGAN_HD inline __attribute__((always_inline))
#else
#define BIGAN_HD inline
#endif
#ifndef BIGAN_DEVICE
#define BIGAN_DEVICE BIGAN_HD
#endif

namespace bigan {

// torch's scalar type numbers (c10/core/ScalarType.h), the part used here.
enum class Dtype : int32_t { kHalf = 5, kFloat = 6, kDouble = 7, kBFloat16 = 15 };

// Rows of a matrix whose last dimension is contiguous; data == nullptr: not given.
struct Rows {
  const void* data;
  int64_t stride;  // elements from one row to the next
};

}  // namespace bigan
