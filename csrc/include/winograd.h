// Convolutions by Winograd's products (Lavin & Gray 2016, arXiv:1509.09308): the transforms of tiles, as integer tables.
//
// Four outputs of a correlation with `kTaps` weights need kTaps + 3 products instead of 4 kTaps:
//
//   y = A^T ((G g) * (B^T d)),   d the kTaps + 3 inputs, g the weights, y the 4 outputs
//
// by Cook and Toom's polynomials at the points 0, 1, -1, 2, (-2,) infinity.  In two dimensions each applies to rows and
// columns.  G is applied in Python, once a call; what is here runs over whole maps.
#pragma once

#include "common.h"

namespace bigan {

constexpr int kTile = 4;  // outputs a side

template <int kTaps>
struct Winograd;

template <>
struct Winograd<3> {
  static constexpr int kStride = 1, kSide = 6;
  static constexpr int kData[6][6] = {{4, 0, -5, 0, 1, 0},  {0, -4, -4, 1, 1, 0}, {0, 4, -4, -1, 1, 0},
                                      {0, -2, -1, 2, 1, 0}, {0, 2, -1, -2, 1, 0}, {0, 4, 0, -5, 0, 1}};  // B^T
  static constexpr int kInverse[4][6] = {
      {1, 1, 1, 1, 1, 0}, {0, 1, -1, 2, -2, 0}, {0, 1, 1, 4, 4, 0}, {0, 1, -1, 8, -8, 1}};  // A^T
};

// Of a convolution with a 4x4 kernel and stride 2: one with 2x2 and stride 1 on the four images of every other pixel.
template <>
struct Winograd<2> {
  static constexpr int kStride = 2, kSide = 5;
  static constexpr int kData[5][5] = {
      {2, -1, -2, 1, 0}, {0, -2, -1, 1, 0}, {0, 2, -3, 1, 0}, {0, -1, 0, 1, 0}, {0, 2, -1, -2, 1}};
  static constexpr int kInverse[4][5] = {{1, 1, 1, 1, 0}, {0, 1, -1, 2, 0}, {0, 1, 1, 4, 0}, {0, 1, -1, 8, 1}};
};

struct WinogradArgs {
  Dtype dtype;                             // float or double
  int32_t kernel;                          // 3, or 4 with stride 2; padding is 1
  int64_t batch, channels, height, width;  // of the map, whose channels stand together
  int64_t stride_batch, stride_row, stride_column;
  int64_t tile_rows, tile_columns;  // of one image; rows of a matrix of tiles: batch * tile_rows * tile_columns
  void* map;
  void* tiles;       // [kSide^2, tiles, channels], channels four times the map's for the stride
  const void* bias;  // [channels] or null
};

void winograd_data_cpu(const WinogradArgs& a);             // tiles = B^T map B
void winograd_data_adjoint_cpu(const WinogradArgs& a);     // map = bias + the adjoint of it on tiles, overlaps added
void winograd_inverse_cpu(const WinogradArgs& a);          // map = A^T tiles A + bias
void winograd_inverse_adjoint_cpu(const WinogradArgs& a);  // tiles = A map A^T

}  // namespace bigan
