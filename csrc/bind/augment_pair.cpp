#include "augment_pair.h"

#include "images.h"

namespace bigan {
namespace {

void check_images(const char* op, const char* name, const Tensor& t, bool bytes) {
  const auto type = static_cast<Dtype>(t.scalar_type());
  if (!(bytes && type == kByte)) float_dtype(op, name, t);
  STD_TORCH_CHECK(t.dim() == 4, op, ": ", name, " must be [B, C, H, W], got ", shape(t));
}

std::tuple<Tensor, Tensor> augment_pair(const Tensor& x, BIGAN_HOW) {
  const char* op = "augment_pair";
  check_images(op, "x", x, true);
  const bool channels_last = is_channels_last(x);
  AugmentArgs a = augment_args(op, x, x.size(0), x.size(1), x.size(2), x.size(3), channels_last, BIGAN_HOW_VALUES);
  a.mirror = nullptr;  // gather_images alone has it
  a.mirror_below = 0;
  auto [out, original] = make_pair(layout_of(options), x, channels_last, result_dtype(options), a);
  if (a.batch * a.elements > 0) BIGAN_LAUNCH(augment_pair, a, x);
  return {out, original};
}

Tensor augment_pair_backward(const MaybeTensor& grad_out, const MaybeTensor& grad_original, BIGAN_HOW) {
  const char* op = "augment_pair_backward";
  STD_TORCH_CHECK(grad_out || grad_original, op, ": a gradient must be given");
  const PairLayout layout = layout_of(options);
  const bool wide = layout == PairLayout::kWidth, deep = layout == PairLayout::kChannels;
  const bool joined = wide || deep, channels_last = options >> 7 & 1;
  if (grad_out) check_images(op, "grad_out", *grad_out, false);
  if (grad_original) check_images(op, "grad_original", *grad_original, false);
  STD_TORCH_CHECK(!(joined && grad_original) && !(joined && !grad_out), op, ": a joined pair has one gradient, grad_out");
  if (grad_out && grad_original) check_like(op, "grad_original", *grad_original, "grad_out", *grad_out);
  const Tensor& g = grad_out ? *grad_out : *grad_original;
  STD_TORCH_CHECK(!(wide && g.size(3) % 2) && !(deep && g.size(1) % 2), op, ": the halves of a pair must be alike, got ",
                  shape(g));
  const Dtype dtype = result_dtype(options);
  AugmentArgs a = augment_args(op, g, g.size(0), g.size(1) / (deep ? 2 : 1), g.size(2), g.size(3) / (wide ? 2 : 1),
                               channels_last, BIGAN_HOW_VALUES);
  a.mirror = nullptr;
  a.mirror_below = 0;
  Tensor grad_x = empty_images(a.batch, a.channels, a.height, a.width, channels_last, dtype, g);
  set_pair(layout, grad_out ? &*grad_out : nullptr, grad_original ? &*grad_original : nullptr, a);
  a.grad_x = view(grad_x);
  a.wide = static_cast<Dtype>(g.scalar_type()) == Dtype::kDouble || dtype == Dtype::kDouble;
  if (a.batch * a.elements > 0) BIGAN_LAUNCH(augment_pair_backward, a, g);
  return grad_x;
}

}  // namespace
}  // namespace bigan

STABLE_TORCH_LIBRARY_IMPL(BIGAN_NAMESPACE, BIGAN_KEY, m) {
  m.impl("augment_pair", TORCH_BOX(&bigan::augment_pair));
  m.impl("augment_pair_backward", TORCH_BOX(&bigan::augment_pair_backward));
}
