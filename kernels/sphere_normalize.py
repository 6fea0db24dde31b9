"""Triton kernels of `sphere_normalize`: a program a row."""

import torch
import triton
import triton.language as tl

from bigan.kernels._rows import block, plain, wide


@triton.jit
def _forward(x_ptr, out_ptr, x_stride, Z, ACC: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    squares = tl.zeros([BLOCK], ACC)
    for j0 in range(0, Z, BLOCK):
        j = j0 + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_stride + j, mask=j < Z, other=0.0).to(ACC)
        squares += x * x
    norm = tl.sqrt(tl.sum(squares, axis=0))
    for j0 in range(0, Z, BLOCK):  # from the first-level cache
        j = j0 + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_stride + j, mask=j < Z, other=0.0).to(ACC)
        tl.store(out_ptr + row * Z + j, x / norm, mask=j < Z)


@triton.jit
def _gradient(grad_ptr, x_ptr, out_ptr, grad_stride, x_stride, Z, ACC: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    squares = tl.zeros([BLOCK], ACC)
    products = tl.zeros([BLOCK], ACC)
    for j0 in range(0, Z, BLOCK):
        j = j0 + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_stride + j, mask=j < Z, other=0.0).to(ACC)
        squares += x * x
        products += x * tl.load(grad_ptr + row * grad_stride + j, mask=j < Z, other=0.0).to(ACC)
    norm = tl.sqrt(tl.sum(squares, axis=0))
    along = tl.sum(products, axis=0) / norm
    for j0 in range(0, Z, BLOCK):
        j = j0 + tl.arange(0, BLOCK)
        x = tl.load(x_ptr + row * x_stride + j, mask=j < Z, other=0.0).to(ACC)
        grad = tl.load(grad_ptr + row * grad_stride + j, mask=j < Z, other=0.0).to(ACC)
        tl.store(out_ptr + row * Z + j, (grad - x / norm * along) / norm, mask=j < Z)


def sphere_normalize(x):
    x = plain(x)
    B, Z = x.shape
    out = torch.empty((B, Z), dtype=x.dtype, device=x.device)
    if out.numel():
        _forward[(B,)](x, out, x.stride(0), Z, ACC=wide(x.dtype)[1], BLOCK=block(Z))
    return out


def sphere_normalize_backward(grad, x):
    grad, x = plain(grad), plain(x)
    B, Z = x.shape
    out = torch.empty((B, Z), dtype=x.dtype, device=x.device)
    if out.numel():
        _gradient[(B,)](grad, x, out, grad.stride(0), x.stride(0), Z, ACC=wide(x.dtype)[1], BLOCK=block(Z))
    return out
