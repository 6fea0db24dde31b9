#include "gather_images.h"

namespace bigan {

void gather_images_cpu(const AugmentArgs& a) { augment_forward_cpu(a); }

}  // namespace bigan
