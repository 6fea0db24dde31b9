#include "augment_pair.h"
#include "images.cuh"

namespace bigan {

int augment_forward_cuda(const AugmentArgs& a, void* stream) {
  const bool filtered = a.filtered && a.out.data;
  auto* kernel = filtered ? (a.wide ? augment_filter<double> : augment_filter<float>)
                          : (a.wide ? augment_copy<double> : augment_copy<float>);
  return launch_images(kernel, a, filtered && a.contrasted, stream);
}

int augment_pair_cuda(const AugmentArgs& a, void* stream) { return augment_forward_cuda(a, stream); }

int augment_pair_backward_cuda(const AugmentArgs& a, void* stream) {
  const bool filtered = a.filtered && a.out.data;
  auto* kernel = filtered ? (a.wide ? augment_filter_gradient<double> : augment_filter_gradient<float>)
                          : (a.wide ? augment_copy_gradient<double> : augment_copy_gradient<float>);
  return launch_images(kernel, a, filtered && a.contrasted, stream);
}

}  // namespace bigan
