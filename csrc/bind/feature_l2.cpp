#include "feature_l2.h"

#include <limits>
#include <vector>

#include "bind.h"

namespace bigan {
namespace {

using Tensors = std::vector<Tensor>;

// As same_memory() of bigan/ops/feature_l2.py: equal places in memory hold equal elements, without gaps.
bool same_memory(const Tensor& a, const Tensor& b) {
  if (a.is_contiguous() && b.is_contiguous()) return true;
  std::vector<std::pair<int64_t, int64_t>> dims;
  for (int64_t i = 0; i < a.dim(); ++i) {
    if (a.stride(i) != b.stride(i)) return false;
    if (a.size(i) != 1) dims.emplace_back(a.stride(i), a.size(i));
  }
  std::sort(dims.begin(), dims.end());
  int64_t run = 1;
  for (const auto& [stride, size] : dims) {
    if (stride != run) return false;
    run *= size;
  }
  return true;
}

// Uninitialised, laid out as t, which has no gaps.
Tensor gradient_of(const Tensor& t) {
  int32_t device = 0;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(t.get(), &device));
  AtenTensorHandle handle = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(t.dim(), t.sizes().data(), t.strides().data(),
                                                         static_cast<int32_t>(t.scalar_type()), device, t.get_device_index(),
                                                         &handle));
  return Tensor(handle);
}

// The pairs, read where they stand or copied into a and b.
struct Pairs {
  const char* op;
  Tensors &a, &b;
  Dtype acc = Dtype::kFloat;

  Pairs(const char* op, Tensors& a, Tensors& b, const std::vector<double>& weights, int64_t options)
      : op(op), a(a), b(b), weights(weights), options(options) {
    STD_TORCH_CHECK(!a.empty(), op, ": a must have at least one tensor");
    STD_TORCH_CHECK(b.size() == a.size() && weights.size() == a.size(), op, ": a, b and weights must have one length, got ",
                    a.size(), ", ", b.size(), " and ", weights.size());
    STD_TORCH_CHECK(0 <= options && options < 6, op, ": options must be in [0, 6), got ", options);
    for (size_t k = 0; k < a.size(); ++k) {
      const std::string name = "a[" + std::to_string(k) + "]";
      if (float_dtype(op, name.c_str(), a[k]) == Dtype::kDouble) acc = Dtype::kDouble;
      STD_TORCH_CHECK(same_device(a[k], a[0]), op, ": ", name, " must be on the device of a[0]");
      check_like(op, ("b[" + std::to_string(k) + "]").c_str(), b[k], name.c_str(), a[k]);
      if (!same_memory(a[k], b[k])) {
        a[k] = torch::stable::contiguous(a[k]);
        b[k] = torch::stable::contiguous(b[k]);
      }
    }
  }

  // Of the pairs from `first` on, as many as a launch takes.
  FeatureL2Args args(size_t first) const {
    FeatureL2Args args{};
    args.acc = acc;
    args.square = options % 2 == 0;
    args.more = first > 0;
    args.number = static_cast<int32_t>(std::min<size_t>(kMaxPairs, a.size() - first));
    int64_t all = 0;
    for (int k = 0; k < args.number; ++k) {
      const Tensor& t = a[first + k];
      args.pairs[k] = {t.data_ptr(),
                       b[first + k].data_ptr(),
                       nullptr,
                       nullptr,
                       t.numel(),
                       weights[first + k],
                       scale(t),
                       static_cast<Dtype>(t.scalar_type()),
                       0};
      all += t.numel();
    }
    // at least 16 values a thread of a block of 256, at most about 1024 blocks; the CPU's threads take the same chunks
    args.chunk = std::max<int64_t>(4096, (all / 1024 + 1023) / 1024 * 1024);
    for (int k = 0; k < args.number; ++k) {
      args.pairs[k].first_chunk = args.chunks;
      args.chunks += static_cast<int32_t>((args.pairs[k].count + args.chunk - 1) / args.chunk);
    }
    return args;
  }

 private:
  const std::vector<double>& weights;
  const int64_t options;

  // 1 / divisor() of bigan/ops/feature_l2.py.
  double scale(const Tensor& t) const {
    const int64_t reduction = options / 2, count = reduction == 0 ? t.numel() : reduction == 2 && t.dim() ? t.size(0) : 1;
    return count ? 1.0 / static_cast<double>(count) : std::numeric_limits<double>::quiet_NaN();
  }
};

std::tuple<Tensor, Tensor> feature_l2(Tensors a, Tensors b, const std::vector<double>& weights, int64_t options) {
  const Pairs pairs("feature_l2", a, b, weights, options);
  Tensor total = empty<0>({}, pairs.acc, a[0]), values = empty<1>({static_cast<int64_t>(a.size())}, pairs.acc, a[0]);
  const int64_t size = pairs.acc == Dtype::kDouble ? 8 : 4;
  for (size_t first = 0; first < a.size(); first += kMaxPairs) {
    FeatureL2Args args = pairs.args(first);
    args.total = total.data_ptr();
    args.values = static_cast<char*>(values.data_ptr()) + first * size;
#if BIGAN_CUDA
    Tensor scratch = empty<1>({args.chunks + 1}, pairs.acc, a[0]);  // a sum a chunk and the ticket
    args.partial = scratch.data_ptr();
    args.ticket = reinterpret_cast<uint32_t*>(static_cast<char*>(args.partial) + args.chunks * size);
#endif
    BIGAN_LAUNCH(feature_l2, args, a[0]);
  }
  return {total, values};
}

Tensors feature_l2_backward(const MaybeTensor& grad_total, const MaybeTensor& grad_values, Tensors a, Tensors b,
                            const std::vector<double>& weights, int64_t options, const std::vector<bool>& wanted) {
  const char* op = "feature_l2_backward";
  const Pairs pairs(op, a, b, weights, options);
  const size_t count = a.size();
  STD_TORCH_CHECK(wanted.size() == 2 * count, op, ": wanted must have ", 2 * count, " values, got ", wanted.size());
  MaybeTensor total_kept, values_kept;
  const void* total = sums(op, "grad_total", grad_total, 1, pairs.acc, a[0], total_kept);
  const void* values = sums(op, "grad_values", grad_values, static_cast<int64_t>(count), pairs.acc, a[0], values_kept);
  const int64_t size = pairs.acc == Dtype::kDouble ? 8 : 4;
  Tensors grads[2];  // by a, by b
  for (size_t first = 0; first < count; first += kMaxPairs) {
    FeatureL2Args args = pairs.args(first);
    args.grad_total = total;
    args.grad_values = values ? static_cast<const char*>(values) + first * size : nullptr;
    for (int k = 0; k < args.number; ++k) {
      if (wanted[first + k]) args.pairs[k].grad_a = grads[0].emplace_back(gradient_of(a[first + k])).data_ptr();
      if (wanted[count + first + k]) args.pairs[k].grad_b = grads[1].emplace_back(gradient_of(b[first + k])).data_ptr();
    }
    if (args.chunks > 0) BIGAN_LAUNCH(feature_l2_backward, args, a[0]);
  }
  grads[0].insert(grads[0].end(), grads[1].begin(), grads[1].end());
  return grads[0];
}

}  // namespace
}  // namespace bigan

STABLE_TORCH_LIBRARY_IMPL(BIGAN_NAMESPACE, BIGAN_KEY, m) {
  m.impl("feature_l2", TORCH_BOX(&bigan::feature_l2));
  m.impl("feature_l2_backward", TORCH_BOX(&bigan::feature_l2_backward));
}
