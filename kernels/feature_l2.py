"""Triton kernels of `feature_l2`: a launch a pair, a program 4096 of its elements; one more adds up."""

import ctypes

import torch
import triton
import triton.language as tl

from bigan.kernels._rows import wide
from bigan.ops.feature_l2 import DISTANCES, _accumulator, divisor, same_memory, unpacked

_L1 = tl.constexpr(DISTANCES.index("l1"))
_BLOCK = 4096


@triton.jit
def _sums(a_ptr, b_ptr, partial_ptr, N, DISTANCE: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr):
    e = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    a = tl.load(a_ptr + e, mask=e < N, other=0.0).to(ACC)
    d = a - tl.load(b_ptr + e, mask=e < N, other=0.0).to(ACC)
    tl.store(partial_ptr + tl.program_id(0), tl.sum(tl.abs(d) if DISTANCE == _L1 else d * d, axis=0))


@triton.jit
def _add(
    partial_ptr, total_ptr, values_ptr, programs, count, k, weight, rest,
    FIRST: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """values[k] = sum / count, and its share of the total."""
    acc = tl.zeros([BLOCK], ACC)
    for p0 in range(0, programs, BLOCK):  # one program: a fixed order
        p = p0 + tl.arange(0, BLOCK)
        acc += tl.load(partial_ptr + p, mask=p < programs, other=0.0)
    value = tl.sum(acc, axis=0) / count
    tl.store(values_ptr + k, value)
    value = value * weight + value * rest
    if not FIRST:
        value += tl.load(total_ptr)
    tl.store(total_ptr, value)


@triton.jit
def _gradient(
    total_ptr, values_ptr, a_ptr, b_ptr, by_a_ptr, by_b_ptr, N, count, k, weight, rest,
    DISTANCE: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    c = tl.zeros([1], ACC)
    if total_ptr is not None:
        total = tl.load(total_ptr)
        c += total * weight + total * rest
    if values_ptr is not None:
        c += tl.load(values_ptr + k)
    c /= count
    e = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    a = tl.load(a_ptr + e, mask=e < N, other=0.0).to(ACC)
    d = a - tl.load(b_ptr + e, mask=e < N, other=0.0).to(ACC)  # the sign of 0 is 0, of NaN NaN
    grad = c * (tl.where(d > 0, 1.0, tl.where(d < 0, -1.0, d)) if DISTANCE == _L1 else 2 * d)
    if by_a_ptr is not None:
        tl.store(by_a_ptr + e, grad, mask=e < N)
    if by_b_ptr is not None:
        tl.store(by_b_ptr + e, -grad, mask=e < N)


def _pairs(a, b, weights, options):
    """(a, b, weight, what the sum is divided by), where equal places in memory hold equal elements.

    Triton takes a number as float32: a weight is two, the second what is missing in the first.
    """
    for x, y, weight in zip(a, b, weights, strict=True):
        if not same_memory(x, y):
            x, y = x.contiguous(), y.contiguous()
        first = ctypes.c_float(weight).value
        yield x, y, (first, weight - first), divisor(unpacked(options)[1], x.shape)


def feature_l2(a, b, weights, options):
    dtype, ACC = wide(_accumulator(a))
    total = torch.empty((), dtype=dtype, device=a[0].device)
    values = torch.empty(len(a), dtype=dtype, device=a[0].device)
    for k, (x, y, weight, count) in enumerate(_pairs(a, b, weights, options)):
        programs = triton.cdiv(x.numel(), _BLOCK)
        partial = torch.empty(programs, dtype=dtype, device=x.device)
        if programs:
            _sums[(programs,)](x, y, partial, x.numel(), DISTANCE=unpacked(options)[0], ACC=ACC, BLOCK=_BLOCK)
        _add[(1,)](partial, total, values, programs, count, k, *weight, FIRST=k == 0, ACC=ACC, BLOCK=1024)
    return total, values


def feature_l2_backward(grad_total, grad_values, a, b, weights, options, wanted):
    ACC = wide(_accumulator(a))[1]
    grad_values = None if grad_values is None else grad_values.contiguous()
    by_a: list[torch.Tensor] = []
    by_b: list[torch.Tensor] = []
    for k, (x, y, weight, count) in enumerate(_pairs(a, b, weights, options)):
        grads = [
            torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device=t.device) if asked else None
            for t, asked in ((x, wanted[k]), (y, wanted[len(a) + k]))
        ]
        if x.numel() and any(g is not None for g in grads):
            _gradient[(triton.cdiv(x.numel(), _BLOCK),)](
                grad_total, grad_values, x, y, *grads, x.numel(), count, k, *weight,
                DISTANCE=unpacked(options)[0], ACC=ACC, BLOCK=_BLOCK,
            )  # fmt: skip
        for into, grad in zip((by_a, by_b), grads, strict=True):
            into += [] if grad is None else [grad]
    return by_a + by_b
