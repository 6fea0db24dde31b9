#include "spectral_sigma.h"

#include <vector>

#include "bind.h"

namespace bigan {
namespace {

using Tensors = std::vector<Tensor>;

// As channels() of bigan/ops/spectral_sigma.py.
int64_t channels(const Tensor& t, int64_t dim) {
  if (t.is_contiguous()) return 1;
  if (dim != 0 || t.dim() < 3) return 0;
  int64_t run = 1;
  const auto in_place = [&](int64_t i) {
    const bool right = t.size(i) == 1 || t.stride(i) == run;
    run *= t.size(i);
    return right;
  };
  if (!in_place(1)) return 0;
  for (int64_t i = t.dim() - 1; i > 1; --i)
    if (!in_place(i)) return 0;
  return in_place(0) ? t.size(1) : 0;
}

Tensor uninitialised_like(const Tensor& t) {
  int32_t device = 0;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(t.get(), &device));
  AtenTensorHandle handle = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(t.dim(), t.sizes().data(), t.strides().data(),
                                                         static_cast<int32_t>(t.scalar_type()), device, t.get_device_index(),
                                                         &handle));
  return Tensor(handle);
}

bool same_strides(const Tensor& a, const Tensor& b) {
  for (int64_t i = 0; i < a.dim(); ++i)
    if (a.size(i) != 1 && a.stride(i) != b.stride(i)) return false;
  return true;
}

// The layers, weights that are copied where they cannot be read in place, and u and v.
struct Layers {
  const char* op;
  Tensors& weights;
  const std::vector<int64_t>& dims;
  Dtype dtype, acc;
  int64_t rows = 0, cols = 0;
  MaybeTensor u, v;

  Layers(const char* op, Tensors& weights, const std::vector<int64_t>& dims, const Tensor& given_u, const Tensor& given_v)
      : op(op), weights(weights), dims(dims) {
    STD_TORCH_CHECK(!weights.empty() && dims.size() == weights.size(), op, ": weights and dims must have one length, got ",
                    weights.size(), " and ", dims.size());
    dtype = float_dtype(op, "weights[0]", weights[0]);
    acc = accumulator(dtype);
    for (size_t k = 0; k < weights.size(); ++k) {
      Tensor& w = weights[k];
      STD_TORCH_CHECK(w.scalar_type() == weights[0].scalar_type() && same_device(w, weights[0]), op, ": weights[", k,
                      "] must have the dtype and device of weights[0]");
      STD_TORCH_CHECK(w.dim() >= 2 && 0 < w.numel() && w.numel() < int64_t{1} << 31 && (dims[k] == 0 || dims[k] == 1), op,
                      ": weights[", k, "] must have two dimensions or more, 1 to 2^31 - 1 elements and dims 0 or 1, got ",
                      shape(w), " and ", dims[k]);
      if (!channels(w, dims[k])) w = torch::stable::contiguous(w);
      rows += w.size(dims[k]);
      cols += w.numel() / w.size(dims[k]);
    }
    STD_TORCH_CHECK(rows < int64_t{1} << 31 && cols < int64_t{1} << 31, op, ": too many rows or columns");
    sums(op, "u", given_u, rows, acc, weights[0], u);
    sums(op, "v", given_v, cols, acc, weights[0], v);
  }

  int64_t size() const { return acc == Dtype::kDouble ? 8 : 4; }
  size_t count() const { return weights.size(); }

  // Of the layers from `first` on, as many as a launch takes; *row and *col: how many came before.
  SpectralArgs args(size_t first, int64_t row, int64_t col) const {
    SpectralArgs a{};
    a.dtype = dtype;
    a.u = static_cast<const char*>(u->data_ptr()) + row * size();
    a.v = static_cast<const char*>(v->data_ptr()) + col * size();
    a.number = static_cast<int32_t>(std::min<size_t>(kMaxLayers, count() - first));
    int64_t all = 0;
    for (int k = 0; k < a.number; ++k) all += weights[first + k].numel();
    a.chunk = std::max<int64_t>(4096, (all / 1024 + 1023) / 1024 * 1024);
    int32_t cols_before = 0;
    for (int k = 0; k < a.number; ++k) {
      const Tensor& w = weights[first + k];
      const int64_t dim = dims[first + k];
      SpectralLayer& l = a.layers[k];
      l.weight = w.data_ptr();
      l.rows = static_cast<int32_t>(w.size(dim));
      l.cols = static_cast<int32_t>(w.numel() / l.rows);
      l.inner = dim == 0 ? l.cols : l.cols / static_cast<int32_t>(w.size(0));
      l.channels = static_cast<int32_t>(channels(w, dim));
      l.first_row = a.rows;
      l.first_col = cols_before;
      l.first_tile = a.tiles;
      l.first_chunk = a.chunks;
      a.rows += l.rows;
      cols_before += l.cols;
      a.tiles += (l.cols + kTileColumns - 1) / kTileColumns;
      a.chunks += static_cast<int32_t>((w.numel() + a.chunk - 1) / a.chunk);
    }
    return a;
  }

  // Calls f(first layer, rows before, columns before, args) for each launch.
  template <typename F>
  void each(const F& f) const {
    int64_t row = 0, col = 0;
    for (size_t first = 0; first < count(); first += kMaxLayers) {
      SpectralArgs a = args(first, row, col);
      f(first, row, col, a);
      for (int k = 0; k < a.number; ++k) row += a.layers[k].rows, col += a.layers[k].cols;
    }
  }
};

std::tuple<Tensor, Tensor, Tensor, Tensors> spectral_sigma(Tensors weights, const std::vector<int64_t>& dims, const Tensor& u,
                                                           const Tensor& v, int64_t options, double eps) {
  const Layers layers("spectral_sigma", weights, dims, u, v);
  STD_TORCH_CHECK(0 <= options && options < 4, "spectral_sigma: options must be in [0, 4), got ", options);
  const bool iterate = options & 1;
  const Tensor& like = weights[0];
  Tensor sigma = empty<1>({static_cast<int64_t>(weights.size())}, layers.acc, like);
  Tensor new_u = empty<1>({iterate ? layers.rows : 0}, layers.acc, like);
  Tensor new_v = empty<1>({iterate ? layers.cols : 0}, layers.acc, like);
  Tensors normalized;
  if (options & 2)
    for (const Tensor& w : weights) normalized.push_back(uninitialised_like(w));
  layers.each([&](size_t first, int64_t row, int64_t col, SpectralArgs& a) {
    const auto at = [&](const Tensor& t, int64_t i) { return static_cast<char*>(t.data_ptr()) + i * layers.size(); };
    a.iterate = iterate;
    a.eps = eps;
    a.sigma = at(sigma, static_cast<int64_t>(first));
    if (iterate) a.new_u = at(new_u, row), a.new_v = at(new_v, col);
    if (options & 2)
      for (int k = 0; k < a.number; ++k) a.layers[k].normalized = normalized[first + k].data_ptr();
#if BIGAN_CUDA
    Tensor scratch = empty<1>({a.rows + a.number}, layers.acc, like);
    a.products = scratch.data_ptr();
    a.tickets = reinterpret_cast<uint32_t*>(at(scratch, a.rows));
#endif
    BIGAN_LAUNCH(spectral_sigma, a, like);
  });
  return {sigma, new_u, new_v, normalized};
}

Tensors spectral_sigma_backward(const MaybeTensor& grad_sigma, Tensors grad_normalized, Tensors weights,
                                const std::vector<int64_t>& dims, const Tensor& sigma, const Tensor& u, const Tensor& v) {
  const char* op = "spectral_sigma_backward";
  const Layers layers(op, weights, dims, u, v);
  const size_t count = weights.size();
  STD_TORCH_CHECK(grad_normalized.empty() || grad_normalized.size() == count, op, ": grad_normalized must have ", count,
                  " tensors or none, got ", grad_normalized.size());
  Tensors grads;
  for (size_t k = 0; k < count; ++k) {
    if (!grad_normalized.empty()) {
      Tensor& g = grad_normalized[k];
      check_like(op, "grad_normalized", g, "weights", weights[k]);
      if (!same_strides(g, weights[k])) {
        Tensor alike = uninitialised_like(weights[k]);
        torch::stable::copy_(alike, g);
        g = alike;
      }
    }
    grads.push_back(uninitialised_like(weights[k]));
  }
  MaybeTensor sigma_kept, grad_kept;
  const char* sigmas =
      static_cast<const char*>(sums(op, "sigma", sigma, static_cast<int64_t>(count), layers.acc, weights[0], sigma_kept));
  const char* grad_sigmas = static_cast<const char*>(
      sums(op, "grad_sigma", grad_sigma, static_cast<int64_t>(count), layers.acc, weights[0], grad_kept));
  layers.each([&](size_t first, int64_t, int64_t, SpectralArgs& a) {
    a.sigma = const_cast<char*>(sigmas + first * layers.size());
    a.grad_sigma = grad_sigmas ? grad_sigmas + first * layers.size() : nullptr;
    for (int k = 0; k < a.number; ++k) {
      a.layers[k].grad_weight = grads[first + k].data_ptr();
      if (!grad_normalized.empty()) a.layers[k].grad = grad_normalized[first + k].data_ptr();
    }
#if BIGAN_CUDA
    Tensor partial = empty<1>({a.chunks}, layers.acc, weights[0]);
    a.partial = partial.data_ptr();
#endif
    BIGAN_LAUNCH(spectral_sigma_backward, a, weights[0]);
  });
  return grads;
}

}  // namespace
}  // namespace bigan

STABLE_TORCH_LIBRARY_IMPL(BIGAN_NAMESPACE, BIGAN_KEY, m) {
  m.impl("spectral_sigma", TORCH_BOX(&bigan::spectral_sigma));
  m.impl("spectral_sigma_backward", TORCH_BOX(&bigan::spectral_sigma_backward));
}
