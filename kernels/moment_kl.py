"""Triton kernels of `moment_kl`: a program a tile of columns forward, one more for the sum over tiles;
backward a program a block of rows and columns."""

import torch
import triton
import triton.language as tl

from bigan.kernels._rows import plain, wide
from bigan.ops.moment_kl import unpacked

_ROWS, _COLUMNS = 64, 32


@triton.jit
def _forward(
    x_ptr, mean_ptr, var_ptr, tiles_ptr, x_stride, B, Z,
    PUBLISHED: tl.constexpr, PQ: tl.constexpr, ACC: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    j = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    mean = tl.zeros([COLUMNS], ACC)
    squares = tl.zeros([COLUMNS], ACC)  # of the deviations from the mean
    for b0 in range(0, B, ROWS):  # blocks of rows put together in order (Chan, Golub, LeVeque 1983)
        b = b0 + tl.arange(0, ROWS)
        inside = (b < B)[:, None] & (j < Z)[None, :]
        at = b.to(tl.int64)[:, None] * x_stride + j[None, :]
        x = tl.load(x_ptr + at, mask=inside, other=0.0).to(ACC)
        count = tl.zeros([COLUMNS], ACC) + tl.minimum(B - b0, ROWS)
        block_mean = tl.sum(x, axis=0) / count
        d = tl.where(inside, x - block_mean[None, :], 0.0)
        delta = block_mean - mean
        share = count / (count + b0)
        mean += delta * share
        squares += tl.sum(d * d, axis=0) + delta * delta * (share * b0)
    var = squares / B
    if B == 0:
        mean = var  # NaN
    tl.store(mean_ptr + j, mean, mask=j < Z)
    tl.store(var_ptr + j, var, mask=j < Z)
    s = var
    log_s = tl.log(var)
    if PUBLISHED:
        s = var * var
        log_s *= 2
    kl = (1 + mean * mean) / s - 1 + log_s if PQ else s + mean * mean - 1 - log_s
    tl.store(tiles_ptr + tl.program_id(0), tl.sum(tl.where(j < Z, 0.5 * kl, 0.0), axis=0))


@triton.jit
def _reduce(tiles_ptr, kl_ptr, tiles, Z, SUM: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr):
    acc = tl.zeros([BLOCK], ACC)
    for t0 in range(0, tiles, BLOCK):
        t = t0 + tl.arange(0, BLOCK)
        acc += tl.load(tiles_ptr + t, mask=t < tiles, other=0.0)
    kl = tl.sum(acc, axis=0)
    if not SUM:
        kl /= Z
    tl.store(kl_ptr, kl)


@triton.jit
def _gradient(
    grad_kl_ptr, grad_mean_ptr, grad_var_ptr, x_ptr, mean_ptr, var_ptr, out_ptr, x_stride, B, Z,
    PUBLISHED: tl.constexpr, PQ: tl.constexpr, SUM: tl.constexpr,
    ACC: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    j = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    mean = tl.load(mean_ptr + j, mask=j < Z, other=0.0)
    by_mean = tl.zeros([COLUMNS], ACC)
    by_var = tl.zeros([COLUMNS], ACC)
    if grad_kl_ptr is not None:
        g = tl.load(grad_kl_ptr)
        if not SUM:
            g /= Z
        var = tl.load(var_ptr + j, mask=j < Z, other=1.0)
        inv = 1 / var
        if PQ:
            factor = inv * inv if PUBLISHED else inv
            by_mean += g * (mean * factor)
            by_var += g * ((inv if PUBLISHED else 0.5 * inv) * (1 - (1 + mean * mean) * factor))
        else:
            by_mean += g * mean
            by_var += g * (var - inv if PUBLISHED else 0.5 * (1 - inv))
    if grad_mean_ptr is not None:
        by_mean += tl.load(grad_mean_ptr + j, mask=j < Z, other=0.0)
    if grad_var_ptr is not None:
        by_var += tl.load(grad_var_ptr + j, mask=j < Z, other=0.0)
    b = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    inside = (b < B)[:, None] & (j < Z)[None, :]
    x = tl.load(x_ptr + b[:, None] * x_stride + j[None, :], mask=inside, other=0.0).to(ACC)
    by_x = (by_mean[None, :] + 2 * by_var[None, :] * (x - mean[None, :])) / B
    tl.store(out_ptr + b[:, None] * Z + j[None, :], by_x, mask=inside)


def moment_kl(x, options):
    published, pq, sum_dims = unpacked(options)
    x = plain(x)
    B, Z = x.shape
    dtype, ACC = wide(x.dtype)
    tiles = triton.cdiv(Z, _COLUMNS)
    mean, var, parts = (torch.empty(n, dtype=dtype, device=x.device) for n in (Z, Z, tiles))
    kl = torch.empty((), dtype=dtype, device=x.device)
    if Z:
        _forward[(tiles,)](
            x, mean, var, parts, x.stride(0), B, Z,
            PUBLISHED=published, PQ=pq, ACC=ACC, ROWS=_ROWS, COLUMNS=_COLUMNS,
        )  # fmt: skip
    _reduce[(1,)](parts, kl, tiles, Z, SUM=sum_dims, ACC=ACC, BLOCK=1024)
    return kl, mean, var


def moment_kl_backward(grad_kl, grad_mean, grad_var, x, mean, var, options):
    published, pq, sum_dims = unpacked(options)
    x = plain(x)
    B, Z = x.shape
    out = torch.empty((B, Z), dtype=x.dtype, device=x.device)
    grad_mean, grad_var = (g if g is None else g.contiguous() for g in (grad_mean, grad_var))
    if out.numel():
        _gradient[(triton.cdiv(B, _ROWS), triton.cdiv(Z, _COLUMNS))](
            grad_kl, grad_mean, grad_var, x, mean, var, out, x.stride(0), B, Z,
            PUBLISHED=published, PQ=pq, SUM=sum_dims, ACC=wide(x.dtype)[1], ROWS=_ROWS, COLUMNS=_COLUMNS,
        )  # fmt: skip
    return out
