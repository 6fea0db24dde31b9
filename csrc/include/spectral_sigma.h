// Spectral norms of many weights by a step of power iteration, the weights over them, and the gradients.
// bigan/ops/spectral_sigma.py is the meaning of every argument.
#pragma once

#include "common.h"

namespace bigan {

constexpr int kMaxLayers = 32;  // of a launch: the table is in the kernel's arguments, 4 KB at most

// A weight as a matrix [rows, cols].  In memory runs of `inner` columns of a row follow one another, row after row, then
// the next `inner` columns of all rows: inner == cols for a contiguous matrix, less for a transposed convolution.  With
// channels_last the columns of a row lie with the channels innermost.
struct SpectralLayer {
  const void* weight;
  void* normalized;   // forward; null: not asked for
  const void* grad;   // backward: of the normalised weight, or null
  void* grad_weight;  // backward
  int32_t rows, cols, inner, channels;
  int32_t first_row, first_col;  // in u and in v, and among the rows of the launch
  int32_t first_tile, first_chunk;
};

struct SpectralArgs {
  SpectralLayer layers[kMaxLayers];
  int32_t number, rows, tiles, chunks;  // of all layers
  int64_t chunk;                        // elements
  Dtype dtype;
  bool iterate;
  double eps;
  const void *u, *v;  // as given, in the type sums are kept in; backward: as used
  // forward
  void *new_u, *new_v;  // iterate
  void* sigma;          // [number]; backward reads it
  // CUDA: scratch
  void* products;     // forward: W v, a value a row
  uint32_t* tickets;  // forward: counters of finished blocks, one a layer
  void* partial;      // backward: a sum a chunk
  // backward
  const void* grad_sigma;  // [number] or null
};

constexpr int kTileColumns = 128;  // CUDA: of a block in W' u

void spectral_sigma_cpu(const SpectralArgs& args);
void spectral_sigma_backward_cpu(const SpectralArgs& args);
int spectral_sigma_cuda(const SpectralArgs& args, void* stream);
int spectral_sigma_backward_cuda(const SpectralArgs& args, void* stream);

// The length to divide by; NaN stays.
template <typename T>
BIGAN_HD T bounded(T length, T eps) {
  return length < eps ? eps : length;
}

// Where element (row, col) lies, col in the order of memory.
BIGAN_HD int64_t address(const SpectralLayer& l, int row, int col) {
  const int run = col / l.inner;
  return (int64_t{run} * l.rows + row) * l.inner + (col - run * l.inner);
}

// Row and column, in the order of memory, of the element at e.
BIGAN_HD void place(const SpectralLayer& l, uint32_t e, int* row, int* col) {
  const uint32_t run = e / static_cast<uint32_t>(l.inner), of_rows = run / static_cast<uint32_t>(l.rows);
  *row = static_cast<int>(run - of_rows * l.rows);
  *col = static_cast<int>(of_rows * l.inner + (e - run * l.inner));
}

// The index in v of a column in the order of memory.
BIGAN_HD int index_in_v(const SpectralLayer& l, int col) {
  return l.channels == 1 ? col : col % l.channels * (l.cols / l.channels) + col / l.channels;
}

// Gradient of the weight by one element; `c`: of u v' (see layer_coefficient).
template <typename T>
BIGAN_HD T weight_grad(T grad, T inverse_sigma, T c, T u, T v) {
  return grad * inverse_sigma + c * u * v;
}

// `dot`: <gradient of the normalised weight, weight>.
template <typename T>
BIGAN_HD T layer_coefficient(const SpectralArgs& a, int k, T dot, T sigma) {
  const T by_sigma = a.grad_sigma ? static_cast<const T*>(a.grad_sigma)[k] : T(0);
  return a.layers[k].grad ? by_sigma - dot / (sigma * sigma) : by_sigma;
}

}  // namespace bigan
