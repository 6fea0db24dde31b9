// What the bindings share: tensors in and out of the argument structs, checks, the stream.  The same files are compiled
// into the CPU library (BIGAN_CUDA=0) and the CUDA library (BIGAN_CUDA=1), against torch's stable ABI only.
//
// The public Python functions have checked everything with the full wording.  What is checked here keeps a call of the
// raw operator from reading or writing outside its tensors.
#pragma once

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/accelerator.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <array>
#include <optional>
#include <string>
#include <tuple>

#include "common.h"

#ifndef BIGAN_NAMESPACE
#define BIGAN_NAMESPACE bigan
#endif
#if BIGAN_CUDA
#ifndef BIGAN_KEY
#define BIGAN_KEY CUDA
#endif
// A launcher returns a cudaError_t, 0 for success.
#define BIGAN_LAUNCH(op, args, tensor)                                        \
  do {                                                                        \
    const bigan::OnDevice guard(tensor);                                      \
    bigan::check_launch(#op, op##_cuda(args, bigan::current_stream(tensor))); \
  } while (false)
#else
#define BIGAN_KEY CPU
#define BIGAN_LAUNCH(op, args, tensor) op##_cpu(args)
#endif

namespace bigan {

using torch::stable::Tensor;
using MaybeTensor = std::optional<Tensor>;

#if BIGAN_CUDA
// Makes the tensor's GPU the current one for a launch; the emulator has only one.
#ifdef BIGAN_EMULATED
struct OnDevice {
  explicit OnDevice(const Tensor&) {}
};
#else
struct OnDevice {
  explicit OnDevice(const Tensor& t) : guard(t.get_device_index()) {}
  torch::stable::accelerator::DeviceGuard guard;
};
#endif

inline void* current_stream(const Tensor& t) {
#ifdef BIGAN_EMULATED
  (void)t;
  return nullptr;
#else
  void* stream = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(t.get_device_index(), &stream));
  return stream;
#endif
}
inline void check_launch(const char* op, int error) {
  STD_TORCH_CHECK(error == 0, op, ": the CUDA launch failed with error ", error);
}
#endif

// `[5, 37]`
inline std::string shape(const Tensor& t) {
  std::string text = "[";
  for (int64_t i = 0; i < t.dim(); ++i) text += (i ? ", " : "") + std::to_string(t.size(i));
  return text + "]";
}

inline bool same_device(const Tensor& a, const Tensor& b) {
  return a.is_cpu() == b.is_cpu() && a.get_device_index() == b.get_device_index();
}

inline Dtype float_dtype(const char* op, const char* name, const Tensor& t) {
  const auto type = static_cast<Dtype>(t.scalar_type());
  STD_TORCH_CHECK(type == Dtype::kFloat || type == Dtype::kDouble || type == Dtype::kHalf || type == Dtype::kBFloat16, op, ": ",
                  name, " must be float64, float32, float16 or bfloat16");
  return type;
}

// Shape, type and device of another argument.
inline void check_like(const char* op, const char* name, const Tensor& t, const char* of, const Tensor& other) {
  bool same = t.dim() == other.dim() && t.scalar_type() == other.scalar_type() && same_device(t, other);
  for (int64_t i = 0; same && i < t.dim(); ++i) same = t.size(i) == other.size(i);
  STD_TORCH_CHECK(same, op, ": ", name, " must match ", of, " (", shape(other), "), got ", shape(t));
}

// A matrix whose rows may be strided; copied only where its last dimension is not contiguous.  The copy lives in `keep`.
inline Rows rows(const Tensor& t, Tensor& keep) {
  const bool plain = t.size(1) <= 1 || t.stride(1) == 1;
  keep = plain ? t : torch::stable::contiguous(t);
  return {keep.data_ptr(), keep.size(0) <= 1 ? keep.size(1) : keep.stride(0)};
}

// The data of a small int64 tensor with `count` elements on t's device, contiguous in `keep`, or null.
inline const int64_t* int64_data(const char* op, const char* name, const MaybeTensor& v, int64_t count, const Tensor& t,
                                 MaybeTensor& keep) {
  if (!v) return nullptr;
  STD_TORCH_CHECK(
      v->dim() == 1 && v->size(0) == count && same_device(*v, t) && v->scalar_type() == torch::headeronly::ScalarType::Long, op,
      ": ", name, " must be int64 [", count, "] on the device of the data, got ", shape(*v));
  return static_cast<const int64_t*>(keep.emplace(v->is_contiguous() ? *v : torch::stable::contiguous(*v)).data_ptr());
}

// The same, of a tensor that is contiguous already.
inline const int64_t* int64_data(const char* op, const char* name, const MaybeTensor& v, int64_t count, const Tensor& t) {
  STD_TORCH_CHECK(!v || v->is_contiguous(), op, ": ", name, " must be contiguous");
  MaybeTensor itself;
  return int64_data(op, name, v, count, t, itself);
}

// An uninitialised tensor on t's device.  The C function costs a third of a call through the dispatcher.
template <size_t kRank>
inline Tensor empty_strided(const std::array<int64_t, kRank>& sizes, const std::array<int64_t, kRank>& strides, Dtype dtype,
                            const Tensor& t) {
  int32_t device = 0;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(t.get(), &device));
  AtenTensorHandle handle = nullptr;
  STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(kRank, sizes.data(), strides.data(), static_cast<int32_t>(dtype),
                                                         device, t.get_device_index(), &handle));
  return Tensor(handle);
}
template <size_t kRank>
inline Tensor empty(const std::array<int64_t, kRank>& sizes, Dtype dtype, const Tensor& t) {  // contiguous
  std::array<int64_t, kRank> strides;
  int64_t stride = 1;
  for (size_t i = kRank; i-- > 0; stride *= std::max<int64_t>(sizes[i], 1)) strides[i] = stride;
  return empty_strided<kRank>(sizes, strides, dtype, t);
}

// The type sums are kept in.
inline Dtype accumulator(Dtype dtype) { return dtype == Dtype::kDouble ? Dtype::kDouble : Dtype::kFloat; }

// The data of `count` values of the type sums are kept in, contiguous in `keep`, or null.
inline void* sums(const char* op, const char* name, const MaybeTensor& t, int64_t count, Dtype acc, const Tensor& like,
                  MaybeTensor& keep) {
  if (!t) return nullptr;
  STD_TORCH_CHECK(static_cast<Dtype>(t->scalar_type()) == acc && t->numel() == count && same_device(*t, like), op, ": ", name,
                  " must have ", count, " elements of the type sums are kept in, got ", shape(*t));
  return keep.emplace(t->is_contiguous() ? *t : torch::stable::contiguous(*t)).data_ptr();
}

// A matrix of codes.
inline void check_matrix(const char* op, const char* name, const Tensor& t) {
  STD_TORCH_CHECK(t.dim() == 2, op, ": ", name, " must be [B, Z], got ", shape(t));
}

}  // namespace bigan
