"""Triton kernels of `spectral_sigma`: four launches a weight forward (W v, W' u, lengths, division).

A weight is a matrix [O, N] here: one that does not lie in memory so, of a transposed convolution or
channels_last, is copied.
"""

import torch
import triton
import triton.language as tl

from bigan.kernels._rows import block, wide
from bigan.ops.spectral_sigma import ITERATE, NORMALIZE, _empty, matrix

_BLOCK = 4096
_TILE_ROWS, _TILE_COLUMNS = 16, 128


@triton.jit
def _times_v(w_ptr, v_ptr, y_ptr, N, ACC: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    acc = tl.zeros([BLOCK], ACC)
    for j0 in range(0, N, BLOCK):
        j = j0 + tl.arange(0, BLOCK)
        w = tl.load(w_ptr + row * N + j, mask=j < N, other=0.0).to(ACC)
        acc += w * tl.load(v_ptr + j, mask=j < N, other=0.0)
    tl.store(y_ptr + row, tl.sum(acc, axis=0))


@triton.jit
def _length(x_ptr, N, eps, ACC: tl.constexpr, BLOCK: tl.constexpr):
    """Of a vector, and its square; the length no less than eps."""
    acc = tl.zeros([BLOCK], ACC)
    for j0 in range(0, N, BLOCK):
        j = j0 + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + j, mask=j < N, other=0.0)
        acc += x * x
    square = tl.sum(acc, axis=0)
    length = tl.sqrt(square)
    return tl.where(length < eps, eps, length), square  # not maximum: NaN stays


@triton.jit
def _times_u(
    w_ptr, y_ptr, u_ptr, x_ptr, M, N, eps,
    ACC: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """u = y over its length, and W' u of a tile of columns."""
    length, _ = _length(y_ptr, M, eps, ACC, BLOCK)
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    acc = tl.zeros([ROWS, COLUMNS], ACC)
    for r0 in range(0, M, ROWS):
        row = (r0 + tl.arange(0, ROWS)).to(tl.int64)
        u = tl.load(y_ptr + row, mask=row < M, other=0.0) / length
        if tl.program_id(0) == 0:
            tl.store(u_ptr + row, u, mask=row < M)
        inside = (row < M)[:, None] & (column < N)[None, :]
        w = tl.load(w_ptr + row[:, None] * N + column[None, :], mask=inside, other=0.0).to(ACC)
        acc += w * u[:, None]
    tl.store(x_ptr + column, tl.sum(acc, axis=0), mask=column < N)


@triton.jit
def _finish(x_ptr, v_ptr, sigma_ptr, N, eps, ACC: tl.constexpr, BLOCK: tl.constexpr):
    """v = x over its length, sigma = x v."""
    length, square = _length(x_ptr, N, eps, ACC, BLOCK)
    for j0 in range(0, N, BLOCK):
        j = j0 + tl.arange(0, BLOCK)
        tl.store(v_ptr + j, tl.load(x_ptr + j, mask=j < N, other=0.0) / length, mask=j < N)
    tl.store(sigma_ptr, square / length)


@triton.jit
def _dot(a_ptr, b_ptr, out_ptr, N, ACC: tl.constexpr, BLOCK: tl.constexpr):
    """Of each program's share of two vectors."""
    e = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    a = tl.load(a_ptr + e, mask=e < N, other=0.0).to(ACC)
    b = tl.load(b_ptr + e, mask=e < N, other=0.0).to(ACC)
    tl.store(out_ptr + tl.program_id(0), tl.sum(a * b, axis=0))


@triton.jit
def _normalize(w_ptr, sigma_ptr, out_ptr, N, ACC: tl.constexpr, BLOCK: tl.constexpr):
    e = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    w = tl.load(w_ptr + e, mask=e < N, other=0.0).to(ACC)
    tl.store(out_ptr + e, w / tl.load(sigma_ptr), mask=e < N)


@triton.jit
def _gradient(
    grad_sigma_ptr, g_ptr, partial_ptr, sigma_ptr, u_ptr, v_ptr, out_ptr, programs, N, total,
    ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    sigma = tl.load(sigma_ptr)
    c = tl.zeros([1], ACC)
    if grad_sigma_ptr is not None:
        c += tl.load(grad_sigma_ptr)
    e = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = e < total
    if g_ptr is not None:
        dot = tl.zeros([BLOCK], ACC)
        for p0 in range(0, programs, BLOCK):
            p = p0 + tl.arange(0, BLOCK)
            dot += tl.load(partial_ptr + p, mask=p < programs, other=0.0)
        c -= tl.sum(dot, axis=0) / (sigma * sigma)
    u = tl.load(u_ptr + e // N, mask=inside, other=0.0)
    grad = c * u * tl.load(v_ptr + e % N, mask=inside, other=0.0)
    if g_ptr is not None:
        grad += tl.load(g_ptr + e, mask=inside, other=0.0).to(ACC) / sigma
    tl.store(out_ptr + e, grad, mask=inside)


def _matrices(weights, dims, u, v):
    """(matrix, u, v) of each weight."""
    matrices = [matrix(w, dim).contiguous() for w, dim in zip(weights, dims, strict=True)]
    us = u.contiguous().split([m.shape[0] for m in matrices])
    vs = v.contiguous().split([m.shape[1] for m in matrices])
    return list(zip(matrices, us, vs, strict=True))


def _as_weight(t, weight, dim):
    """A matrix laid out as its weight."""
    t = t.view(weight.shape) if dim == 0 else t.view(weight.transpose(0, dim).shape).transpose(0, dim)
    return t if dim == 0 and weight.is_contiguous() else _empty(weight, dim).copy_(t)


def spectral_sigma(weights, dims, u, v, options, eps):
    iterate = options & ITERATE
    dtype, ACC = wide(weights[0].dtype)
    sigma = u.new_empty(len(weights))
    new_u, new_v = u.new_empty(u.shape if iterate else 0), v.new_empty(v.shape if iterate else 0)
    normalized = []
    row = column = 0
    for k, (w, u_l, v_l) in enumerate(_matrices(weights, dims, u, v)):
        rows, columns = w.shape
        y = torch.empty(rows, dtype=dtype, device=u.device)
        _times_v[(rows,)](w, v_l, y, columns, ACC=ACC, BLOCK=block(columns))
        if iterate:
            x = torch.empty(columns, dtype=dtype, device=u.device)
            _times_u[(triton.cdiv(columns, _TILE_COLUMNS),)](
                w, y, new_u[row:], x, rows, columns, eps,
                ACC=ACC, ROWS=_TILE_ROWS, COLUMNS=_TILE_COLUMNS, BLOCK=1024,
            )  # fmt: skip
            _finish[(1,)](x, new_v[column:], sigma[k:], columns, eps, ACC=ACC, BLOCK=1024)
        else:
            _dot[(1,)](u_l, y, sigma[k:], rows, ACC=ACC, BLOCK=triton.next_power_of_2(rows))
        if options & NORMALIZE:
            out = torch.empty_like(w)
            programs = triton.cdiv(w.numel(), _BLOCK)
            _normalize[(programs,)](w, sigma[k:], out, w.numel(), ACC=ACC, BLOCK=_BLOCK)
            normalized.append(_as_weight(out, weights[k], dims[k]))
        row, column = row + rows, column + columns
    return sigma, new_u, new_v, normalized


def spectral_sigma_backward(grad_sigma, grad_normalized, weights, dims, sigma, u, v):
    dtype, ACC = wide(weights[0].dtype)
    grad_sigma = None if grad_sigma is None else grad_sigma.contiguous()
    grads = []
    for k, (w, u_l, v_l) in enumerate(_matrices(weights, dims, u, v)):
        programs = triton.cdiv(w.numel(), _BLOCK)
        g = partial = None
        if grad_normalized:
            g = matrix(grad_normalized[k], dims[k]).contiguous()
            partial = torch.empty(programs, dtype=dtype, device=u.device)
            _dot[(programs,)](g, w, partial, w.numel(), ACC=ACC, BLOCK=_BLOCK)
        out = torch.empty_like(w)
        _gradient[(programs,)](
            None if grad_sigma is None else grad_sigma[k:], g, partial, sigma[k:], u_l, v_l, out,
            programs, w.shape[1], w.numel(), ACC=ACC, BLOCK=_BLOCK,
        )  # fmt: skip
        grads.append(_as_weight(out, weights[k], dims[k]))
    return grads
