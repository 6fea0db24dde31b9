// A chunk of counter-based normal noise.
#pragma once

#include "philox_normal.h"
#include "vector.h"

namespace bigan {

// eps[0 .. n): elements first .. first + n of the row; first is a multiple of 4, eps holds kChunk values.
void draw_normal(const NoiseKey& key, int64_t first, int n, float* eps);

}  // namespace bigan
