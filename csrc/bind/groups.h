// Tensors in and out of AdversarialArgs.
#pragma once

#include <algorithm>

#include "adversarial.h"
#include "bind.h"

namespace bigan {
namespace {  // torch's Tensor is hidden outside of a library, and so is what holds one

struct NamedTensor {
  const char* name;
  const Tensor& tensor;
};

// The groups and the type.  `row_size`: what a row must have where a row is one sample's, else 0: each logit is one.
// The copies that must outlive the launch stay in `held`.
template <int kGroups>
void set_groups(const char* op, const NamedTensor (&inputs)[kGroups], int64_t row_size, AdversarialArgs<kGroups>& a,
                Tensor (&held)[kGroups]) {
  const Tensor& first = inputs[0].tensor;
  a.dtype = float_dtype(op, inputs[0].name, first);
  int64_t largest = 0;
  for (int k = 0; k < kGroups; ++k) {
    const auto& [name, t] = inputs[k];
    STD_TORCH_CHECK(t.dim() == 2 && (row_size == 0 || t.size(1) == row_size), op, ": ", name,
                    row_size ? " must be [B, 3], got " : " must have two dimensions, got ", shape(t));
    STD_TORCH_CHECK(t.scalar_type() == first.scalar_type() && same_device(t, first), op, ": ", name,
                    " must have the dtype and device of ", inputs[0].name);
    LogitGroup& g = a.groups[k];
    g.logits = rows(t, held[k]);
    g.cols = t.size(1);
    g.count = row_size ? t.size(0) : t.numel();
    g.inv_count = 1.0 / static_cast<double>(g.count);
    largest = std::max(largest, g.count);
  }
  a.blocks = adversarial_blocks(largest);
}

struct AdversarialOutputs {
  Tensor loss_d, loss_g, accuracy, partial, ticket;  // the last two live until the launch
};

// `sums`: values that each block adds up.
template <int kGroups>
AdversarialOutputs set_outputs(AdversarialArgs<kGroups>& a, const Tensor& like, [[maybe_unused]] int64_t sums) {
  const Dtype acc = accumulator(a.dtype);
  AdversarialOutputs out{empty<0>({}, acc, like), empty<0>({}, acc, like), empty<1>({kGroups}, acc, like), {}, {}};
  a.loss_d = out.loss_d.data_ptr();
  a.loss_g = out.loss_g.data_ptr();
  a.accuracy = out.accuracy.data_ptr();
#if BIGAN_CUDA
  if (a.blocks > 1) {
    out.partial = empty<1>({sums * a.blocks}, acc, like);
    out.ticket = empty<1>({1}, Dtype::kFloat, like);
    a.partial = out.partial.data_ptr();
    a.ticket = static_cast<uint32_t*>(out.ticket.data_ptr());
  }
#endif
  return out;
}

// The upstream gradients, and outputs for those of each group.
template <int kGroups>
void set_gradients(const char* op, const MaybeTensor& grad_d, const MaybeTensor& grad_g, const NamedTensor (&inputs)[kGroups],
                   AdversarialArgs<kGroups>& a, Tensor (&grads)[kGroups]) {
  const auto scalar = [&](const char* name, const MaybeTensor& t) -> const void* {
    if (!t) return nullptr;
    STD_TORCH_CHECK(
        static_cast<Dtype>(t->scalar_type()) == accumulator(a.dtype) && t->numel() == 1 && same_device(*t, inputs[0].tensor),
        op, ": ", name, " must have one element of the type sums are kept in, got ", shape(*t));
    return t->data_ptr();
  };
  a.grad_d = scalar("grad_d", grad_d);
  a.grad_g = scalar("grad_g", grad_g);
  for (int k = 0; k < kGroups; ++k) {
    const Tensor& t = inputs[k].tensor;
    grads[k] = empty<2>({t.size(0), t.size(1)}, a.dtype, t);
    a.groups[k].grad = grads[k].data_ptr();
  }
}

}  // namespace
}  // namespace bigan
