"""Standard normal noise from a counter: the same bits, and numbers to float32 rounding, everywhere.

Philox-4x32-10 (Salmon et al., SC 2011) and Box-Muller; see bigan/ops/_philox.py for the layout.
"""

import torch
from torch import Tensor

from bigan.ops import _checks, _philox
from bigan.ops._registry import define, fake


@define("philox_normal(Tensor rng, Tensor? sample_id, SymInt batch, SymInt dim, int stream) -> Tensor")
def _reference(rng, sample_id, batch, dim, stream):  # [2], [B] -> [B, Z] float32
    return _philox.normal(rng, sample_id, batch, dim, stream)


@fake("philox_normal")
def _(rng, sample_id, batch, dim, stream):
    return rng.new_empty(batch, dim, dtype=torch.float32)


def philox_normal(
    rng: Tensor,
    batch: int,
    dim: int,
    *,
    stream: int = 0,
    sample_id: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """N(0, 1) noise [B, Z], a pure function of (seed, step, stream, sample id, element).

    rng: int64 [2] = (seed, step), on the device where the noise is wanted; step is taken modulo 2**32.
    stream: tells apart several draws of one step.  sample_id: int64 [B], by default 0..B-1, modulo 2**32.
    Computed in float32 whatever `dtype` is, so that the draw does not depend on it.  Not differentiable.
    """
    op = "philox_normal"
    _checks.tensor(op, "rng", rng)
    _checks.rng(op, rng, rng.device)
    for name, value in (("batch", batch), ("dim", dim), ("stream", stream)):
        _checks.count(op, name, value)
    if not isinstance(dtype, torch.dtype) or dtype not in _checks.FLOATS:
        _checks.fail(op, "dtype", "be a floating-point type", dtype)
    if sample_id is not None:
        _checks.sample_id(op, sample_id, batch, rng.device)
    return torch.ops.bigan.philox_normal(rng, sample_id, batch, dim, stream).to(dtype)
