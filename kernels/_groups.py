"""What the Triton kernels of the critics' losses share: logits of a group, sums over programs, means."""

import torch
import triton
import triton.language as tl

from bigan.kernels._rows import wide


@triton.jit
def log1p(x):
    """For x >= 0: log(1 + x) and what the rounding of 1 + x lost."""
    u = 1 + x
    return tl.log(u) + (x - (u - 1)) / u


@triton.jit
def total(partial_ptr, number, programs, ACC: tl.constexpr, BLOCK: tl.constexpr):
    """Sum number `number` over the programs, in a fixed order."""
    acc = tl.zeros([BLOCK], ACC)
    for p0 in range(0, programs, BLOCK):
        p = p0 + tl.arange(0, BLOCK)
        acc += tl.load(partial_ptr + number * programs + p, mask=p < programs, other=0.0)
    return tl.sum(acc, axis=0)


@triton.jit
def mean(total, count):
    """Of a group from its sum; an empty group has no term."""
    return tl.where(count > 0, total / tl.maximum(count, 1), 0.0)


@triton.jit
def share(right, count):
    """NaN for an empty group."""
    return tl.where(count > 0, right / tl.maximum(count, 1), float("nan"))


def outputs(like, groups):
    """loss_d, loss_g, accuracy, and the accumulator's Triton type."""
    dtype, ACC = wide(like.dtype)
    return *(torch.empty(size, dtype=dtype, device=like.device) for size in ((), (), groups)), ACC
