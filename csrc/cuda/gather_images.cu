#include "gather_images.h"

namespace bigan {

int gather_images_cuda(const AugmentArgs& a, void* stream) { return augment_forward_cuda(a, stream); }

}  // namespace bigan
