#include "philox_normal.h"

#include "bind.h"

namespace bigan {
namespace {

Tensor philox_normal(const Tensor& rng, const MaybeTensor& sample_id, int64_t batch, int64_t dim, int64_t stream) {
  const char* op = "philox_normal";
  STD_TORCH_CHECK(batch >= 0 && dim >= 0, op, ": batch and dim must be 0 or more, got ", batch, " and ", dim);
  Tensor out = empty<2>({batch, dim}, Dtype::kFloat, rng);
  PhiloxNormalArgs args{};
  MaybeTensor rng_kept, sample_id_kept;
  args.rng = int64_data(op, "rng", rng, 2, rng, rng_kept);
  args.sample_id = int64_data(op, "sample_id", sample_id, batch, rng, sample_id_kept);
  args.stream = stream;
  args.batch = batch;
  args.dim = dim;
  args.out = static_cast<float*>(out.data_ptr());
  if (batch * dim > 0) BIGAN_LAUNCH(philox_normal, args, rng);
  return out;
}

}  // namespace
}  // namespace bigan

STABLE_TORCH_LIBRARY_IMPL(BIGAN_NAMESPACE, BIGAN_KEY, m) { m.impl("philox_normal", TORCH_BOX(&bigan::philox_normal)); }
