// Augmented images, or pairs of an image and its augmented copy, and the gradient.
#pragma once

#include "augment.h"

namespace bigan {

void augment_pair_cpu(const AugmentArgs& args);
void augment_pair_backward_cpu(const AugmentArgs& args);
int augment_pair_cuda(const AugmentArgs& args, void* stream);
int augment_pair_backward_cuda(const AugmentArgs& args, void* stream);

}  // namespace bigan
