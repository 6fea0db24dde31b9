#include "latent_match.h"

#include <limits>

#include "bind.h"

namespace bigan {
namespace {

struct Held {  // copies that must outlive the launch
  Tensor a, b;
};

LatentMatchArgs common_args(const char* op, const Tensor& a, const Tensor& b, int64_t match, Held& held) {
  LatentMatchArgs args{};
  STD_TORCH_CHECK(0 <= match && match <= 3, op, ": match must be 0, 1, 2 or 3, got ", match);
  args.match = static_cast<Match>(match);
  args.dtype = float_dtype(op, "a", a);
  check_matrix(op, "a", a);
  check_like(op, "b", b, "a", a);
  args.batch = a.size(0);
  args.dim = a.size(1);
  args.a = rows(a, held.a);
  args.b = rows(b, held.b);
  // as scale_and_offset() of bigan/ops/latent_match.py
  const auto count = static_cast<double>(args.match == Match::kCosine ? args.batch : args.batch * args.dim);
  const double scale = count > 0 ? 1.0 / count : std::numeric_limits<double>::quiet_NaN();
  args.scale = is_angle(args.match) ? -scale : scale;
  args.offset = args.match == Match::kCos ? 2.0 : args.match == Match::kCosine ? 1.0 : 0.0;
  return args;
}

Tensor latent_match(const Tensor& a, const Tensor& b, int64_t match) {
  Held held;
  LatentMatchArgs args = common_args("latent_match", a, b, match, held);
  const Dtype acc = accumulator(args.dtype);
  Tensor loss = empty<0>({}, acc, a), scratch = empty<1>({args.batch + 1}, acc, a);  // the rows' sums and the ticket
  args.loss = loss.data_ptr();
  args.rows = scratch.data_ptr();
  const int64_t size = acc == Dtype::kDouble ? 8 : 4;
  args.ticket = reinterpret_cast<uint32_t*>(static_cast<char*>(scratch.data_ptr()) + args.batch * size);
  BIGAN_LAUNCH(latent_match, args, a);
  return loss;
}

std::tuple<Tensor, Tensor> latent_match_backward(const Tensor& grad, const Tensor& a, const Tensor& b, int64_t match,
                                                 int64_t wanted) {
  const char* op = "latent_match_backward";
  Held held;
  MaybeTensor grad_kept;
  LatentMatchArgs args = common_args(op, a, b, match, held);
  args.grad = sums(op, "grad", grad, 1, accumulator(args.dtype), a, grad_kept);
  const auto gradient = [&](bool is_wanted) {
    return is_wanted ? empty<2>({args.batch, args.dim}, args.dtype, a) : empty<1>({0}, args.dtype, a);
  };
  Tensor grad_a = gradient(wanted & 1), grad_b = gradient(wanted & 2);
  args.grad_a = wanted & 1 ? grad_a.data_ptr() : nullptr;
  args.grad_b = wanted & 2 ? grad_b.data_ptr() : nullptr;
  if (args.batch * args.dim > 0 && wanted & 3) BIGAN_LAUNCH(latent_match_backward, args, a);
  return {grad_a, grad_b};
}

}  // namespace
}  // namespace bigan

STABLE_TORCH_LIBRARY_IMPL(BIGAN_NAMESPACE, BIGAN_KEY, m) {
  m.impl("latent_match", TORCH_BOX(&bigan::latent_match));
  m.impl("latent_match_backward", TORCH_BOX(&bigan::latent_match_backward));
}
