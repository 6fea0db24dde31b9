"""Normal noise from a counter inside a Triton kernel; the layout is that of bigan/ops/_philox.py."""

import triton
import triton.language as tl


def plain_rng(rng, sample_id):
    """Side by side in memory, as `normal` reads them."""
    return None if rng is None else rng.contiguous(), None if sample_id is None else sample_id.contiguous()


@triton.jit
def _unit_open(word):
    """(0, 1]: 24 bits and never 0, so that its logarithm is finite."""
    return ((word >> 8) + 1).to(tl.float32) * 5.9604644775390625e-08  # 2**-24


@triton.jit
def normal(rng_ptr, sample_id_ptr, row, stream, first, BLOCK: tl.constexpr):
    """Elements first .. first + BLOCK of the row's noise, float32; first and BLOCK are multiples of 4."""
    sample = row.to(tl.int64)
    if sample_id_ptr is not None:
        sample = tl.load(sample_id_ptr + row)
    group = (first // 4 + tl.arange(0, BLOCK // 4)).to(tl.uint32)
    zero = tl.zeros_like(group)
    step = tl.load(rng_ptr + 1)
    w0, w1, w2, w3 = tl.philox(
        tl.load(rng_ptr),
        group,
        sample.to(tl.uint32) + zero,
        step.to(tl.uint32) + zero,
        stream.to(tl.uint32) + zero,
    )
    r0, r1 = tl.sqrt(-2 * tl.log(_unit_open(w0))), tl.sqrt(-2 * tl.log(_unit_open(w2)))
    t0, t1 = 6.283185307179586 * _unit_open(w1), 6.283185307179586 * _unit_open(w3)
    even = tl.interleave(r0 * tl.cos(t0), r1 * tl.cos(t1))  # elements 0, 2 of every group
    odd = tl.interleave(r0 * tl.sin(t0), r1 * tl.sin(t1))  # elements 1, 3
    return tl.interleave(even, odd)
