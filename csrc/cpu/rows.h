// What loops over the rows of matrices share.
#pragma once

#include "vector.h"

namespace bigan {

// Element j of row b.
template <typename Store>
BIGAN_INLINE const Store* row_data(const Rows& m, int64_t b, int64_t j) {
  return static_cast<const Store*>(m.data) + b * m.stride + j;
}

// The function for an element type: target_clones does not take templates, so there is one a type.
template <typename F>
F* for_dtype(Dtype dtype, F* of_float, F* of_double, F* of_half, F* of_bfloat16) {
  switch (dtype) {
    case Dtype::kFloat: return of_float;
    case Dtype::kDouble: return of_double;
    case Dtype::kHalf: return of_half;
    default: return of_bfloat16;
  }
}

}  // namespace bigan
