// Images of a data set by their numbers, with their augmented twins.
#pragma once

#include "augment.h"

namespace bigan {

void gather_images_cpu(const AugmentArgs& args);
int gather_images_cuda(const AugmentArgs& args, void* stream);

}  // namespace bigan
