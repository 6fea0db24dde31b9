// Square roots and reciprocal norms for the formulas.
#pragma once

#include <cmath>

#include "common.h"

namespace bigan {

BIGAN_HD float sqrt_(float x) { return ::sqrtf(x); }
BIGAN_HD double sqrt_(double x) { return ::sqrt(x); }

// 1 / |x|; of a zero vector inf, and 0 * inf is the NaN that 0 / 0 would be.
template <typename T>
BIGAN_HD T inverse_norm(T sum_of_squares) {
  return T(1) / sqrt_(sum_of_squares);
}

}  // namespace bigan
