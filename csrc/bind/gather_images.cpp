#include "gather_images.h"

#include "images.h"

namespace bigan {
namespace {

std::tuple<Tensor, Tensor> gather_images(const Tensor& data, const Tensor& index, BIGAN_HOW) {
  const char* op = "gather_images";
  STD_TORCH_CHECK(data.dim() == 4 && static_cast<Dtype>(data.scalar_type()) == kByte, op,
                  ": data must be [N, C, H, W] uint8, got ", shape(data));
  STD_TORCH_CHECK(index.dim() == 1, op, ": index must be [B], got ", shape(index));
  const int64_t batch = index.size(0);
  const bool channels_last = is_channels_last(data);
  AugmentArgs a = augment_args(op, data, batch, data.size(1), data.size(2), data.size(3), channels_last, BIGAN_HOW_VALUES);
  a.index = int64_data(op, "index", index, batch, data);
  a.images = data.size(0);
  STD_TORCH_CHECK(batch == 0 || a.images > 0, op, ": data must have images to take, got ", shape(data));
  auto [out, original] = make_pair(layout_of(options), data, channels_last, result_dtype(options), a);
  if (a.batch * a.elements > 0) BIGAN_LAUNCH(gather_images, a, data);
  return {out, original};
}

}  // namespace
}  // namespace bigan

STABLE_TORCH_LIBRARY_IMPL(BIGAN_NAMESPACE, BIGAN_KEY, m) { m.impl("gather_images", TORCH_BOX(&bigan::gather_images)); }
