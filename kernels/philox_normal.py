"""Triton kernel of `philox_normal`."""

import torch
import triton
import triton.language as tl

from bigan.kernels import _philox


@triton.jit
def _draw(
    rng_ptr, sample_id_ptr, out_ptr, stream, Z, BLOCK: tl.constexpr
):  # one program a row and block of [B, Z]
    row = tl.program_id(0).to(tl.int64)
    first = tl.program_id(1) * BLOCK
    eps = _philox.normal(rng_ptr, sample_id_ptr, row, tl.cast(stream, tl.int64), first, BLOCK)
    j = first + tl.arange(0, BLOCK)
    tl.store(out_ptr + row * Z + j, eps, mask=j < Z)


def philox_normal(rng, sample_id, batch, dim, stream):
    out = torch.empty(batch, dim, dtype=torch.float32, device=rng.device)
    if out.numel():
        rng, sample_id = _philox.plain_rng(rng, sample_id)
        block = min(1024, max(4, triton.next_power_of_2(dim)))
        _draw[(batch, triton.cdiv(dim, block))](rng, sample_id, out, stream, dim, BLOCK=block)
    return out
