// Standard normal noise from a counter: Philox words turned by Box-Muller.
#pragma once

#include "elementary.h"
#include "philox.h"

namespace bigan {

// Words (0, 1) give elements 4g, 4g + 1; words (2, 3) the next two.
BIGAN_DEVICE void normal4(const Philox& words, float* e0, float* e1, float* e2, float* e3) {
  float sin, cos;
  const float r0 = radius(unit_open(words.word[0])), r1 = radius(unit_open(words.word[2]));
  sincos_2pi(unit_open(words.word[1]), &sin, &cos);
  *e0 = r0 * cos;
  *e1 = r0 * sin;
  sincos_2pi(unit_open(words.word[3]), &sin, &cos);
  *e2 = r1 * cos;
  *e3 = r1 * sin;
}

struct PhiloxNormalArgs {
  const int64_t* rng;        // [2] seed, step
  const int64_t* sample_id;  // [B] or nullptr: 0 .. B-1
  int64_t stream, batch, dim;
  float* out;  // [B, Z]
};

void philox_normal_cpu(const PhiloxNormalArgs& args);
int philox_normal_cuda(const PhiloxNormalArgs& args, void* stream);

}  // namespace bigan
