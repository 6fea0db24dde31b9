"""Convolutions with few output pixels as one matrix product, on a CPU.

oneDNN blocks a convolution over the image: on maps of 4x4 it reaches half of what it does at 16x16, and a tenth
where the kernel covers the image (the last layer of ALI's encoder, the first of a DCGAN's decoder). With
channels_last tensors the patches are rows of runs of memory, the weights a matrix as they are, and BLAS runs at its
usual rate. The same sums in another order.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad as zero_pad

# Pixels of the small side at most, and numbers in a patch at least: where a product was measured to be quicker.
WORTH = ((4, 512), (16, 4096))


def patches(x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """[B, C, H, W] -> [B, H', W', k, k, C], a view of x, or of its padded copy"""
    x = x.permute(0, 2, 3, 1)
    if padding:
        x = zero_pad(x, (0, 0, padding, padding, padding, padding))
    x = x.contiguous()
    b, h, w, c = x.shape
    sides = [(n - kernel) // stride + 1 for n in (h, w)]
    sb, sh, sw, sc = x.stride()
    return x.as_strided((b, *sides, kernel, kernel, c), (sb, sh * stride, sw * stride, sh, sw, sc))


def spread(p: Tensor, sides: tuple[int, int], stride: int, padding: int) -> Tensor:
    """The adjoint of `patches`: sums what overlaps.  [B, H', W', k, k, C] -> [B, C, H, W]"""
    b, h, w, k, _, c = p.shape
    if (h, w, padding) == (1, 1, 0) and sides == (k, k):
        return p.reshape(b, k, k, c).permute(0, 3, 1, 2)
    whole = p.new_zeros(b, sides[0] + 2 * padding, sides[1] + 2 * padding, c)
    for i in range(k):
        for j in range(k):
            whole[:, i : i + stride * h : stride, j : j + stride * w : stride] += p[:, :, :, i, j]
    return whole[:, padding : padding + sides[0], padding : padding + sides[1]].permute(0, 3, 1, 2)


def _matrix(weight: Tensor) -> Tensor:
    """[O, C, k, k] -> [O, k k C], without a copy where it is channels_last"""
    return weight.permute(0, 2, 3, 1).flatten(1)


def _like_weight(m: Tensor, shape: torch.Size) -> Tensor:
    """The inverse of `_matrix`."""
    o, c, k, _ = shape
    return m.view(o, k, k, c).permute(0, 3, 1, 2)


def _rows(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B H W, C]"""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def _map(rows: Tensor, b: int, h: int, w: int) -> Tensor:
    """The inverse of `_rows`."""
    return rows.view(b, h, w, -1).permute(0, 3, 1, 2)


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        p = patches(x, weight.shape[2], stride, padding)
        rows = p.reshape(-1, weight[0].numel())
        out = rows @ _matrix(weight).T if bias is None else torch.addmm(bias, rows, _matrix(weight).T)
        return _map(out, *p.shape[:3])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        b, _, h, w = grad.shape
        k, g = weight.shape[2], _rows(grad)
        by_x = by_weight = by_bias = None
        if ctx.needs_input_grad[0]:
            p = (g @ _matrix(weight)).view(b, h, w, k, k, -1)
            by_x = spread(p, x.shape[2:], ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            rows = patches(x, k, ctx.stride, ctx.padding).reshape(len(g), -1)
            by_weight = _like_weight(g.T @ rows, weight.shape)
        if ctx.needs_input_grad[2]:
            by_bias = g.sum(0)
        return by_x, by_weight, by_bias, None, None


class _ConvTranspose(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        b, _, h, w = x.shape
        k = weight.shape[2]
        p = (_rows(x) @ _matrix(weight)).view(b, h, w, k, k, -1)
        out = spread(p, tuple((n - 1) * stride + k - 2 * padding for n in (h, w)), stride, padding)  # type: ignore[arg-type]
        return out if bias is None else out + bias[:, None, None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        b, _, h, w = x.shape
        by_x = by_weight = by_bias = None
        if any(ctx.needs_input_grad[:2]):
            rows = patches(grad, weight.shape[2], ctx.stride, ctx.padding).reshape(b * h * w, -1)
            if ctx.needs_input_grad[0]:
                by_x = _map(rows @ _matrix(weight).T, b, h, w)
            if ctx.needs_input_grad[1]:
                by_weight = _like_weight(_rows(x).T @ rows, weight.shape)
        if ctx.needs_input_grad[2]:
            by_bias = grad.sum((0, 2, 3))
        return by_x, by_weight, by_bias, None, None


def worth(kernel: int, pixels: int, channels: int) -> bool:
    """Whether it is quicker. pixels: of the small side; channels: of the large side."""
    return pixels > 0 and any(pixels <= few and kernel**2 * channels >= deep for few, deep in WORTH)


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """torch's, of a square kernel."""
    return _Conv.apply(x, weight, bias, stride, padding)


def conv_transpose2d(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int) -> Tensor:
    """torch's, of a square kernel."""
    return _ConvTranspose.apply(x, weight, bias, stride, padding)
