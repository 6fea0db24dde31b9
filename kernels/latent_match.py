"""Triton kernels of `latent_match`: a program a row forward and backward, one more for the sum over rows."""

import torch
import triton
import triton.language as tl

from bigan.kernels._rows import block, plain, wide
from bigan.ops.latent_match import MATCHES

# the numbers of bigan/ops/latent_match.py
_COSINE = tl.constexpr(MATCHES.index("cosine"))
_L1 = tl.constexpr(MATCHES.index("l1"))


@triton.jit
def _products(a_ptr, b_ptr, a_stride, b_stride, row, Z, ACC: tl.constexpr, BLOCK: tl.constexpr):
    """1 / |a|, 1 / |b| and the cosine of a row."""
    aa = tl.zeros([BLOCK], ACC)
    bb = tl.zeros([BLOCK], ACC)
    ab = tl.zeros([BLOCK], ACC)
    for j0 in range(0, Z, BLOCK):
        j = j0 + tl.arange(0, BLOCK)
        a = tl.load(a_ptr + row * a_stride + j, mask=j < Z, other=0.0).to(ACC)
        b = tl.load(b_ptr + row * b_stride + j, mask=j < Z, other=0.0).to(ACC)
        aa += a * a
        bb += b * b
        ab += a * b
    inverse_a = 1 / tl.sqrt(tl.sum(aa, axis=0))
    inverse_b = 1 / tl.sqrt(tl.sum(bb, axis=0))
    return inverse_a, inverse_b, tl.sum(ab, axis=0) * inverse_a * inverse_b


@triton.jit
def _forward(
    a_ptr, b_ptr, rows_ptr, a_stride, b_stride, Z,
    MATCH: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    if MATCH <= _COSINE:
        _, _, value = _products(a_ptr, b_ptr, a_stride, b_stride, row, Z, ACC, BLOCK)
        tl.store(rows_ptr + row, value)
    else:
        acc = tl.zeros([BLOCK], ACC)
        for j0 in range(0, Z, BLOCK):
            j = j0 + tl.arange(0, BLOCK)
            a = tl.load(a_ptr + row * a_stride + j, mask=j < Z, other=0.0).to(ACC)
            d = a - tl.load(b_ptr + row * b_stride + j, mask=j < Z, other=0.0).to(ACC)
            acc += tl.abs(d) if MATCH == _L1 else d * d
        tl.store(rows_ptr + row, tl.sum(acc, axis=0))


@triton.jit
def _over_count(value, B, Z, MATCH: tl.constexpr):
    """Over the number of elements, or of rows; with the sign that the sum over rows has in the result."""
    if MATCH != _COSINE:
        value /= Z
    return -value / B if MATCH <= _COSINE else value / B


@triton.jit
def _reduce(rows_ptr, loss_ptr, B, Z, MATCH: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr):
    acc = tl.zeros([BLOCK], ACC)
    for b0 in range(0, B, BLOCK):  # one program: a fixed order
        b = b0 + tl.arange(0, BLOCK)
        acc += tl.load(rows_ptr + b, mask=b < B, other=0.0)
    value = _over_count(tl.sum(acc, axis=0), B, Z, MATCH)
    if MATCH <= _COSINE:
        value += 1 if MATCH == _COSINE else 2
    tl.store(loss_ptr, value)


@triton.jit
def _gradient(
    grad_ptr, a_ptr, b_ptr, by_a_ptr, by_b_ptr, a_stride, b_stride, B, Z,
    MATCH: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    c = _over_count(tl.load(grad_ptr), B, Z, MATCH)
    inverse_a, inverse_b, cosine = c, c, c
    if MATCH <= _COSINE:
        inverse_a, inverse_b, cosine = _products(a_ptr, b_ptr, a_stride, b_stride, row, Z, ACC, BLOCK)
    for j0 in range(0, Z, BLOCK):
        j = j0 + tl.arange(0, BLOCK)
        a = tl.load(a_ptr + row * a_stride + j, mask=j < Z, other=0.0).to(ACC)
        b = tl.load(b_ptr + row * b_stride + j, mask=j < Z, other=0.0).to(ACC)
        if MATCH <= _COSINE:
            a *= inverse_a
            b *= inverse_b
            by_a = c * inverse_a * (b - a * cosine)
            by_b = c * inverse_b * (a - b * cosine)
        else:
            d = a - b  # the sign of 0 is 0, of NaN NaN
            by_a = c * (tl.where(d > 0, 1.0, tl.where(d < 0, -1.0, d)) if MATCH == _L1 else 2 * d)
            by_b = -by_a
        if by_a_ptr is not None:
            tl.store(by_a_ptr + row * Z + j, by_a, mask=j < Z)
        if by_b_ptr is not None:
            tl.store(by_b_ptr + row * Z + j, by_b, mask=j < Z)


def latent_match(a, b, match):
    a, b = plain(a), plain(b)
    B, Z = a.shape
    dtype, ACC = wide(a.dtype)
    rows = torch.empty(B, dtype=dtype, device=a.device)
    loss = torch.empty((), dtype=dtype, device=a.device)
    if B:
        _forward[(B,)](a, b, rows, a.stride(0), b.stride(0), Z, MATCH=match, ACC=ACC, BLOCK=block(Z))
    _reduce[(1,)](rows, loss, B, Z, MATCH=match, ACC=ACC, BLOCK=1024)
    return loss


def latent_match_backward(grad, a, b, match, wanted):
    a, b = plain(a), plain(b)
    B, Z = a.shape
    by_a, by_b = (
        torch.empty((B, Z) if wanted & bit else 0, dtype=a.dtype, device=a.device) for bit in (1, 2)
    )
    if a.numel() and wanted:
        _gradient[(B,)](
            grad, a, b, by_a if wanted & 1 else None, by_b if wanted & 2 else None,
            a.stride(0), b.stride(0), B, Z, MATCH=match, ACC=wide(a.dtype)[1], BLOCK=block(Z),
        )  # fmt: skip
    return by_a, by_b
