// For the CPU alone: a GPU has cuDNN.
#if !BIGAN_CUDA
#include "winograd.h"

#include "bind.h"

namespace bigan {
namespace {

WinogradArgs arguments(const char* op, const Tensor& map, const Tensor& tiles, int64_t kernel, bool of_data) {
  WinogradArgs a{};
  a.dtype = float_dtype(op, "map", map);
  STD_TORCH_CHECK(a.dtype == Dtype::kFloat || a.dtype == Dtype::kDouble, op, ": map must be float32 or float64");
  STD_TORCH_CHECK(kernel == 3 || kernel == 4, op, ": kernel must be 3 or 4, got ", kernel);
  STD_TORCH_CHECK(map.dim() == 4 && (map.size(1) <= 1 || map.stride(1) == 1), op,
                  ": map must be [B, C, H, W], channels innermost, got ", shape(map));
  a.kernel = static_cast<int32_t>(kernel);
  a.batch = map.size(0), a.channels = map.size(1), a.height = map.size(2), a.width = map.size(3);
  a.stride_batch = map.stride(0), a.stride_row = map.stride(2), a.stride_column = map.stride(3);
  const int64_t s = of_data && kernel == 4 ? 2 : 1, side = kernel == 3 ? 6 : 5;
  STD_TORCH_CHECK(a.height % s == 0 && a.width % s == 0, op, ": map must have even sides, got ", shape(map));
  a.tile_rows = (a.height / s + kTile - 1) / kTile, a.tile_columns = (a.width / s + kTile - 1) / kTile;
  STD_TORCH_CHECK(tiles.dim() == 3 && tiles.size(0) == side * side && tiles.size(1) == a.batch * a.tile_rows * a.tile_columns &&
                      tiles.size(2) == s * s * a.channels && tiles.is_contiguous() &&
                      tiles.scalar_type() == map.scalar_type() && same_device(tiles, map),
                  op, ": tiles must be [", side * side, ", ", a.batch * a.tile_rows * a.tile_columns, ", ", s * s * a.channels,
                  "], contiguous, of the map's type, got ", shape(tiles));
  a.map = map.data_ptr();
  a.tiles = tiles.data_ptr();
  return a;
}

void add_bias(const char* op, WinogradArgs& a, const MaybeTensor& bias) {
  if (!bias) return;
  STD_TORCH_CHECK(bias->dim() == 1 && bias->size(0) == a.channels && bias->is_contiguous() &&
                      static_cast<Dtype>(bias->scalar_type()) == a.dtype && bias->is_cpu(),
                  op, ": bias must be [", a.channels, "] of the map's type, got ", shape(*bias));
  a.bias = bias->data_ptr();
}

void winograd_data(const Tensor& map, const Tensor& tiles, int64_t kernel) {
  winograd_data_cpu(arguments("winograd_data", map, tiles, kernel, true));
}
void winograd_data_adjoint(const Tensor& tiles, const MaybeTensor& bias, const Tensor& map, int64_t kernel) {
  WinogradArgs a = arguments("winograd_data_adjoint", map, tiles, kernel, true);
  add_bias("winograd_data_adjoint", a, bias);
  winograd_data_adjoint_cpu(a);
}
void winograd_inverse(const Tensor& tiles, const MaybeTensor& bias, const Tensor& map, int64_t kernel) {
  WinogradArgs a = arguments("winograd_inverse", map, tiles, kernel, false);
  add_bias("winograd_inverse", a, bias);
  winograd_inverse_cpu(a);
}
void winograd_inverse_adjoint(const Tensor& map, const Tensor& tiles, int64_t kernel) {
  winograd_inverse_adjoint_cpu(arguments("winograd_inverse_adjoint", map, tiles, kernel, false));
}

}  // namespace
}  // namespace bigan

STABLE_TORCH_LIBRARY_IMPL(BIGAN_NAMESPACE, BIGAN_KEY, m) {
  m.impl("winograd_data", TORCH_BOX(&bigan::winograd_data));
  m.impl("winograd_data_adjoint", TORCH_BOX(&bigan::winograd_data_adjoint));
  m.impl("winograd_inverse", TORCH_BOX(&bigan::winograd_inverse));
  m.impl("winograd_inverse_adjoint", TORCH_BOX(&bigan::winograd_inverse_adjoint));
}
#endif
