"""Counter-based random numbers: the reference of csrc/include/philox.h and kernels/_philox.py.

Philox-4x32-10 (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3, SC 2011).
A draw is a pure function of (seed, step, stream, sample id, element), so it is the same on every
device, whatever the batch it stands in, and nothing but (seed, step) has to be saved.
"""

import math

import torch
from torch import Tensor

_LOW = 0xFFFFFFFF
_MUL = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)


def philox4x32(counter: tuple[Tensor, ...], key: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Ten rounds: 4 counter words, 2 key words -> 4 words; unsigned 32-bit words in int64 tensors."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        # the product of two 32-bit words fills 64: it wraps to the right bits in int64
        p0, p1 = c0 * _MUL[0], c2 * _MUL[1]
        c0, c1, c2, c3 = (p1 >> 32 & _LOW) ^ c1 ^ k0, p1 & _LOW, (p0 >> 32 & _LOW) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = k0 + _WEYL[0] & _LOW, k1 + _WEYL[1] & _LOW
    return c0, c1, c2, c3


def bits(rng: Tensor, sample_id: Tensor, groups: int, stream: int) -> tuple[Tensor, ...]:
    """Four words for each sample and group of four elements: int64 [B, groups] each."""
    group = torch.arange(groups, device=rng.device)[None, :]
    seed, step = rng[0], rng[1]
    counter = (
        group.expand(len(sample_id), -1),
        sample_id[:, None] & _LOW,
        step & _LOW,
        torch.full_like(step, stream),
    )
    return philox4x32(counter, (seed & _LOW, seed >> 32 & _LOW))


def normal(rng: Tensor, sample_id: Tensor | None, batch: int, dim: int, stream: int) -> Tensor:
    """Standard normal noise [B, Z] by Box-Muller: words (0, 1) of group g give elements 4g and 4g + 1,
    words (2, 3) the next two.

    Computed in float64 and rounded to float32; the kernels agree with it to a few float32 ulps.
    """
    if sample_id is None:
        sample_id = torch.arange(batch, device=rng.device)
    # (0, 1]: 24 bits, never 0, so that the logarithm is finite
    u0, u1, u2, u3 = (((w >> 8) + 1).double() * 2.0**-24 for w in bits(rng, sample_id, -(-dim // 4), stream))
    r0, r1 = (-2 * u0.log()).sqrt(), (-2 * u2.log()).sqrt()
    t0, t1 = 2 * math.pi * u1, 2 * math.pi * u3
    eps = torch.stack([r0 * t0.cos(), r0 * t0.sin(), r1 * t1.cos(), r1 * t1.sin()], dim=-1)  # [B, groups, 4]
    return eps.flatten(1)[:, :dim].float()
