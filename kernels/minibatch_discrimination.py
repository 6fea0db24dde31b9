"""Triton kernels of `minibatch_discrimination`: a program a tile of samples and kernels, all dimensions; the
batch passes by in tiles."""

import torch
import triton
import triton.language as tl

from bigan.kernels._rows import wide

_PAIRS = 2048  # differences in a program at a time


@triton.jit
def _tile(x_ptr, stride_b, stride_k, stride_d, b, k, B, K, D, ACC: tl.constexpr, DIMS: tl.constexpr):
    """x[b, k, :], [rows, kernels, DIMS]; 0 outside."""
    d = tl.arange(0, DIMS)[None, None, :]
    b, k = b[:, None, None], k[None, :, None]
    at = b.to(tl.int64) * stride_b + k.to(tl.int64) * stride_k + d * stride_d
    return tl.load(x_ptr + at, mask=(b < B) & (k < K) & (d < D), other=0.0).to(ACC)


@triton.jit
def _closeness(difference, i, j, B):
    """[I, J, K] from differences [I, J, K, D]; 0 to itself and past the last."""
    i, j = i[:, None, None], j[None, :, None]
    return tl.where((j < B) & (i != j), tl.exp(-tl.sum(tl.abs(difference), axis=3)), 0.0)


@triton.jit
def _forward(
    x_ptr, out_ptr, stride_b, stride_k, stride_d, B, K, D,
    ACC: tl.constexpr, ROWS: tl.constexpr, OTHERS: tl.constexpr, KERNELS: tl.constexpr, DIMS: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    k = tl.program_id(1) * KERNELS + tl.arange(0, KERNELS)
    own = _tile(x_ptr, stride_b, stride_k, stride_d, i, k, B, K, D, ACC, DIMS)
    total = tl.zeros([ROWS, KERNELS], ACC)
    for j0 in range(0, B, OTHERS):
        j = j0 + tl.arange(0, OTHERS)
        other = _tile(x_ptr, stride_b, stride_k, stride_d, j, k, B, K, D, ACC, DIMS)
        total += tl.sum(_closeness(own[:, None] - other[None], i, j, B), axis=1)
    at = i.to(tl.int64)[:, None] * K + k[None, :]
    tl.store(out_ptr + at, total, mask=(i < B)[:, None] & (k < K)[None, :])


@triton.jit
def _gradient(
    grad_ptr, x_ptr, out_ptr, grad_stride, stride_b, stride_k, stride_d, B, K, D,
    ACC: tl.constexpr, ROWS: tl.constexpr, OTHERS: tl.constexpr, KERNELS: tl.constexpr, DIMS: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    k = tl.program_id(1) * KERNELS + tl.arange(0, KERNELS)
    own = _tile(x_ptr, stride_b, stride_k, stride_d, i, k, B, K, D, ACC, DIMS)
    own_g = _tile(grad_ptr, grad_stride, 1, 0, i, k, B, K, 1, ACC, 1)  # [ROWS, KERNELS, 1]
    total = tl.zeros([ROWS, KERNELS, DIMS], ACC)
    for j0 in range(0, B, OTHERS):
        j = j0 + tl.arange(0, OTHERS)
        other = _tile(x_ptr, stride_b, stride_k, stride_d, j, k, B, K, D, ACC, DIMS)
        g = _tile(grad_ptr, grad_stride, 1, 0, j, k, B, K, 1, ACC, 1)
        difference = own[:, None] - other[None]
        weight = (own_g[:, None] + g[None]) * _closeness(difference, i, j, B)[:, :, :, None]
        sign = tl.where(difference > 0, 1.0, tl.where(difference < 0, -1.0, 0.0)).to(ACC)
        total -= tl.sum(weight * sign, axis=1)
    d = tl.arange(0, DIMS)[None, None, :]
    i, k = i[:, None, None], k[None, :, None]
    tl.store(out_ptr + (i.to(tl.int64) * K + k) * D + d, total, mask=(i < B) & (k < K) & (d < D))


def _sizes(B, K, D):
    """Powers of two: a program's samples, the others at a time, kernels, dimensions."""
    dims = triton.next_power_of_2(max(D, 1))
    kernels = min(16, triton.next_power_of_2(K), max(1, _PAIRS // dims))
    rows = min(4, triton.next_power_of_2(B), max(1, _PAIRS // (dims * kernels)))
    others = min(16, triton.next_power_of_2(B), max(1, _PAIRS // (dims * kernels * rows)))
    return {"ROWS": rows, "OTHERS": others, "KERNELS": kernels, "DIMS": dims}


def _grid(B, K, sizes):
    return triton.cdiv(B, sizes["ROWS"]), triton.cdiv(K, sizes["KERNELS"])


def minibatch_discrimination(x):
    B, K, D = x.shape
    out = torch.empty((B, K), dtype=x.dtype, device=x.device)
    if out.numel():
        sizes = _sizes(B, K, D)
        _forward[_grid(B, K, sizes)](x, out, *x.stride(), B, K, D, ACC=wide(x.dtype)[1], **sizes)
    return out


def minibatch_discrimination_backward(grad, x):
    B, K, D = x.shape
    out = torch.empty((B, K, D), dtype=x.dtype, device=x.device)
    if out.numel():
        sizes = _sizes(B, K, D)
        grad = grad if K <= 1 or grad.stride(1) == 1 else grad.contiguous()
        _gradient[_grid(B, K, sizes)](
            grad, x, out, grad.stride(0), *x.stride(), B, K, D, ACC=wide(x.dtype)[1], **sizes
        )
    return out
