// Tensors in and out of AugmentArgs.
#pragma once

#include "augment.h"
#include "bind.h"

namespace bigan {
namespace {  // torch's Tensor is hidden outside of a library, and so is what holds one

// The arguments of HOW in bigan/ops/_augment.py, in its order.
#define BIGAN_HOW                                                                                                        \
  const MaybeTensor &rng, const MaybeTensor &sample_id, const MaybeTensor &offset, const MaybeTensor &flip,              \
      const MaybeTensor &mirror, const MaybeTensor &sigma, const MaybeTensor &contrast, int64_t stream, int64_t options, \
      int64_t pad, int64_t kernel_size, int64_t flip_below, int64_t mirror_below, double sigma_low, double sigma_high,   \
      double contrast_low, double contrast_high, double scale, double shift
#define BIGAN_HOW_VALUES                                                                                              \
  rng, sample_id, offset, flip, mirror, sigma, contrast, stream, options, pad, kernel_size, flip_below, mirror_below, \
      sigma_low, sigma_high, contrast_low, contrast_high, scale, shift

constexpr Dtype kFloats[] = {Dtype::kDouble, Dtype::kFloat, Dtype::kHalf, Dtype::kBFloat16};  // _checks.FLOATS
inline PairLayout layout_of(int64_t options) { return static_cast<PairLayout>(options & 7); }
inline Dtype result_dtype(int64_t options) { return kFloats[options >> 5 & 3]; }

// `count` contiguous values of one type on t's device, or null.
template <typename T>
const T* values(const char* op, const char* name, const MaybeTensor& v, int64_t count, torch::headeronly::ScalarType type,
                const Tensor& t) {
  if (!v) return nullptr;
  STD_TORCH_CHECK(v->numel() == count && v->is_contiguous() && v->scalar_type() == type && same_device(*v, t), op, ": ", name,
                  " must be contiguous, of ", count, " values, on the device of the images, got ", shape(*v));
  return static_cast<const T*>(v->data_ptr());
}

inline Images view(const Tensor& t) {
  return {t.data_ptr(), t.stride(0), t.stride(1), t.stride(2), t.stride(3), static_cast<Dtype>(t.scalar_type())};
}

// Everything but the images, for samples of `channels` x `height` x `width`.
inline AugmentArgs augment_args(const char* op, const Tensor& like, int64_t batch, int64_t channels, int64_t height,
                                int64_t width, bool channels_last, BIGAN_HOW) {
  using torch::headeronly::ScalarType;
  AugmentArgs a{};
  const auto layout = options & 7;
  STD_TORCH_CHECK(0 <= options && options < 256 && layout <= 4, op, ": options must be what options() gives, got ", options);
  STD_TORCH_CHECK(channels * height * width < (int64_t{1} << 31), op, ": an image must have less than 2^31 elements");
  const int64_t least = std::min(height, width);
  STD_TORCH_CHECK(pad >= 0 && (pad == 0 || pad < least), op, ": pad must be 0 or more and smaller than the images, got ", pad);
  STD_TORCH_CHECK(kernel_size % 2 == 1 && 1 <= kernel_size && kernel_size <= kLargestKernel &&
                      (kernel_size == 1 || kernel_size / 2 < least),
                  op, ": kernel_size must be odd, at most ", kLargestKernel, " and smaller than twice the images, got ",
                  kernel_size);
  a.batch = batch;
  a.channels = static_cast<int32_t>(channels);
  a.height = static_cast<int32_t>(height);
  a.width = static_cast<int32_t>(width);
  a.planes = channels_last ? 1 : a.channels;
  a.inner = channels_last ? a.channels : 1;
  a.elements = static_cast<uint32_t>(channels * height * width);
  a.by_inner = divisor(static_cast<uint32_t>(std::max(1, a.inner)));
  a.by_width = divisor(static_cast<uint32_t>(std::max(1, a.width)));
  a.by_height = divisor(static_cast<uint32_t>(std::max(1, a.height)));
  a.inv_channels = 1.0 / static_cast<double>(channels);
  a.inv_pixels = 1.0 / static_cast<double>(height * width);
  a.rng = int64_data(op, "rng", rng, 2, like);
  a.sample_id = int64_data(op, "sample_id", sample_id, batch, like);
  a.offset = values<int64_t>(op, "offset", offset, 2 * batch, ScalarType::Long, like);
  a.flip = values<bool>(op, "flip", flip, batch, ScalarType::Bool, like);
  a.mirror = values<bool>(op, "mirror", mirror, batch, ScalarType::Bool, like);
  a.sigma = values<float>(op, "sigma", sigma, batch, ScalarType::Float, like);
  a.contrast = values<float>(op, "contrast", contrast, batch, ScalarType::Float, like);
  a.stream = stream;
  a.pad = static_cast<int32_t>(pad);
  a.taps = rng || sigma ? static_cast<int32_t>(kernel_size) : 1;
  a.zero = options >> 3 & 1;
  a.contrasted = (options >> 4 & 1) && (rng || contrast);
  a.filtered = a.taps > 1 || a.contrasted;
  a.flip_below = flip_below;
  a.mirror_below = mirror_below;
  a.sigma_low = sigma_low;
  a.sigma_span = sigma_high - sigma_low;
  a.contrast_low = contrast_low;
  a.contrast_span = contrast_high - contrast_low;
  a.scale = scale;
  a.shift = shift;
  return a;
}

// As bigan/ops/_augment.py has it: channels that stand together.
inline bool is_channels_last(const Tensor& x) { return x.size(1) > 1 && x.stride(1) == 1 && x.size(2) * x.size(3) > 1; }

inline Tensor empty_images(int64_t b, int64_t c, int64_t h, int64_t w, bool channels_last, Dtype dtype, const Tensor& like) {
  if (!channels_last) return empty<4>({b, c, h, w}, dtype, like);
  const int64_t c1 = std::max<int64_t>(c, 1), w1 = std::max<int64_t>(w, 1), h1 = std::max<int64_t>(h, 1);
  return empty_strided<4>({b, c, h, w}, {h1 * w1 * c1, 1, w1 * c1, c1}, dtype, like);
}

// The two halves of a pair in one tensor, or its two tensors.
inline void set_pair(PairLayout layout, const Tensor* out, const Tensor* original, AugmentArgs& a) {
  if (out) a.out = view(*out);
  if (original) a.original = view(*original);
  if (!out || (layout != PairLayout::kWidth && layout != PairLayout::kChannels)) return;
  a.original = a.out;
  const int64_t next = layout == PairLayout::kWidth ? a.width * a.out.column : a.channels * a.out.channel;
  size_t bytes = a.out.dtype == Dtype::kDouble ? 8 : a.out.dtype == Dtype::kFloat ? 4 : 2;
  a.out.data = static_cast<const char*>(a.out.data) + next * static_cast<int64_t>(bytes);
}

struct Pair {
  Tensor out, original;
};

// The results for samples like x's images; sets a.out and a.original.
inline Pair make_pair(PairLayout layout, const Tensor& x, bool channels_last, Dtype dtype, AugmentArgs& a) {
  const bool wide = layout == PairLayout::kWidth, deep = layout == PairLayout::kChannels, image = layout == PairLayout::kImage;
  Tensor none = empty<1>({0}, dtype, x);
  Tensor out =
      image ? none
            : empty_images(a.batch, a.channels * (deep ? 2 : 1), a.height, a.width * (wide ? 2 : 1), channels_last, dtype, x);
  const bool two = image || layout == PairLayout::kApart;
  Tensor original = two ? empty_images(a.batch, a.channels, a.height, a.width, channels_last, dtype, x) : none;
  set_pair(layout, image ? nullptr : &out, two ? &original : nullptr, a);
  a.x = view(x);
  a.wide = a.x.dtype == Dtype::kDouble || dtype == Dtype::kDouble;
  return {out, original};
}

}  // namespace
}  // namespace bigan
