"""Convolutions with fewer products, on a CPU: Winograd's (Lavin & Gray 2016, arXiv:1509.09308).

oneDNN multiplies as often as the definition does, and does so at the core's full rate; only fewer products are
quicker. Tiles of 4x4 outputs of a 3x3 kernel take 36 products in place of 144: y = A^T ((G g G^T) * (B^T d B)) A,
where the products of all tiles and channels are 36 matrix products. A 4x4 kernel with stride 2 is a 2x2 kernel of
stride 1 on four times the channels, the images of every other pixel: 25 in place of 64. The transforms of the maps are
in csrc/cpu/winograd.cpp, that of the weights is here. Rounding is about five times a direct convolution's.
"""

import os
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch._C import _dispatch_has_kernel_for_dispatch_key as has_kernel
from torch.autograd.function import once_differentiable

from bigan import _native, ops  # noqa: F401  (ops loads the library)

WEIGHTS = {  # G, by the side of the kernel
    3: ((1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6),
        (1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6), (0, 0, 1)),
    4: ((1 / 2, 0), (-1 / 2, -1 / 2), (-1 / 6, 1 / 6), (1 / 6, 1 / 3), (0, 1)),
}  # fmt: skip
STRIDE = {3: 1, 4: 2}  # by the side of the kernel; the padding is 1
TILE = 4
LANES = 16  # channels that the transforms take at a time
# Numbers in the transform of a block of weights.  Twice as many gain some percent of time and cost AGE 25 MB.
LARGE = 2**21

LIB = torch.library.Library("bigan", "FRAGMENT")
for schema in (
    "winograd_data(Tensor map, Tensor(a!) tiles, int kernel) -> ()",
    "winograd_data_adjoint(Tensor tiles, Tensor? bias, Tensor(a!) map, int kernel) -> ()",
    "winograd_inverse(Tensor tiles, Tensor? bias, Tensor(a!) map, int kernel) -> ()",
    "winograd_inverse_adjoint(Tensor map, Tensor(a!) tiles, int kernel) -> ()",
):
    LIB.define(schema)
    LIB.impl(schema.partition("(")[0], lambda *_: None, "Meta")  # for tensors without data
data, data_adjoint, inverse, inverse_adjoint = (
    getattr(torch.ops.bigan, f"winograd_{name}").default
    for name in ("data", "data_adjoint", "inverse", "inverse_adjoint")
)


@cache
def available() -> bool:
    """Whether the library is here that has the transforms, and native code is wanted."""
    wanted = os.environ.get("BIGAN_BACKEND") in (None, "", "auto", "native")
    return wanted and _native.status()["cpu"] is None and has_kernel("bigan::winograd_data", "CPU")


def worth(kernel: int, tiles: int, pixels: int, inputs: int, outputs: int) -> bool:
    """Whether it is quicker, by a model of one product's time: with the transforms' as measured.

    tiles, pixels: of the whole batch, on the side of the tiles; inputs, outputs: channels of a convolution.
    """
    if kernel not in STRIDE or not available():
        return False
    inputs *= STRIDE[kernel] ** 2
    maps, weights = 30 * tiles * (inputs + outputs), 40 * inputs * outputs
    quick = len(WEIGHTS[kernel]) ** 2 * (tiles * inputs * outputs + maps + weights)
    return (kernel // STRIDE[kernel]) ** 2 * pixels * inputs * outputs > 1.2 * quick


def count_tiles(sides: Sequence[int]) -> int:
    """Of an image."""
    return -(-sides[0] // TILE) * -(-sides[1] // TILE)


@cache
def _products(kernel: int) -> list[list[float]]:
    g = WEIGHTS[kernel]
    return [[a * b for a in above for b in beside] for above in g for beside in g]


def _both_ways(kernel: int, dtype: torch.dtype) -> Tensor:
    """G (x) G, made anew: a tensor kept from a trace without data would be of no use later."""
    return torch.tensor(_products(kernel), dtype=dtype)


def transformed(weight: Tensor) -> Tensor:
    """G g G^T.  [O, C, k, k] -> [P, O, s s C], P products a tile"""
    o, c, k, _ = weight.shape
    s = STRIDE[k]
    taps = weight.permute(0, 2, 3, 1).reshape(o, k // s, s, k // s, s, c).permute(1, 3, 0, 2, 4, 5)
    return (_both_ways(k, weight.dtype) @ taps.reshape((k // s) ** 2, -1)).view(-1, o, s * s * c)


def transformed_adjoint(u: Tensor, shape: torch.Size) -> Tensor:
    """[P, O, s s C] -> [O, C, k, k], channels_last"""
    o, c, k, _ = shape
    s = STRIDE[k]
    taps = (_both_ways(k, u.dtype).T @ u.flatten(1)).view(k // s, k // s, o, s, s, c)
    return taps.permute(2, 0, 3, 1, 4, 5).reshape(o, k, k, c).permute(0, 3, 1, 2)


def _blocks(weight: Tensor, dim: int) -> Iterator[slice]:
    """Stretches of the weight's outputs (dim 0) or inputs (1) whose transform is not large."""
    o, c, k, _ = weight.shape
    each = len(WEIGHTS[k]) ** 2 * STRIDE[k] ** 2 * (c if dim == 0 else o)
    count = -(-each * weight.shape[dim] // LARGE)
    step = -(-weight.shape[dim] // (count * LANES)) * LANES
    for start in range(0, weight.shape[dim], step):
        yield slice(start, start + step)


def _parts(small: Tensor, u: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Images whose tiles fit into a cache: which, and room for both maps' tiles.

    small: the map on the side of the tiles' outputs.  -> [P, T, s s C], [P, T, O]
    """
    products, o, c = u.shape
    b, _, h, w = small.shape
    tiles = count_tiles((h, w))
    each = max(64, o * c // (o + c))  # tiles: as much of maps as of weights
    threads = torch.get_num_threads()
    if threads > 1:
        each *= 4 * threads  # more caches, and fewer meetings of the threads, which cost more
    step = min(b, max(1, each // tiles))
    v, m = (small.new_empty(products, step * tiles, width) for width in (c, o))
    for start in range(0, b, step):
        n = min(step, b - start) * tiles
        if n < v.shape[1]:
            v, m = (small.new_empty(products, n, t.shape[2]) for t in (v, m))
        yield slice(start, start + step), v, m


# A function each, whose transforms of the weights are gone when the next block's are made.


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, y: Tensor) -> None:
    u, k = transformed(weight), weight.shape[2]
    for part, v, m in _parts(y, u):
        data(x[part], v, k)
        torch.bmm(v, u.mT, out=m)
        inverse(m, bias, y[part], k)


def _convolve_transposed(x: Tensor, weight: Tensor, bias: Tensor | None, y: Tensor) -> None:
    u, k = transformed(weight), weight.shape[2]
    for part, v, m in _parts(x, u):
        inverse_adjoint(x[part], m, k)
        torch.bmm(m, u, out=v)
        data_adjoint(v, bias, y[part], k)


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        stride = STRIDE[weight.shape[2]]
        y = _map(x, weight.shape[0], *(side // stride for side in x.shape[2:]))
        for some in _blocks(weight, 0):
            _convolve(x, weight[some], None if bias is None else bias[some], y[:, some])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _gradients(ctx, grad, transposed=False)


class _ConvTranspose(torch.autograd.Function):
    """The adjoint of a convolution, its weight's dimensions as that one's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        stride = STRIDE[weight.shape[2]]
        y = _map(x, weight.shape[1], *(side * stride for side in x.shape[2:]))
        for some in _blocks(weight, 1):
            _convolve_transposed(x, weight[:, some], None if bias is None else bias[some], y[:, some])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _gradients(ctx, grad, transposed=True)


def _gradients(ctx: Any, grad: Tensor, transposed: bool) -> tuple[Tensor | None, ...]:
    """By x, weight and bias."""
    x, weight = ctx.saved_tensors
    grad = _innermost(grad)
    by_x, by_weight = _wanted(ctx, x, weight)
    for some in _blocks(weight, 0 if transposed else 1) if any(ctx.needs_input_grad[:2]) else ():
        at = some if transposed else (slice(None), some)  # the block's place in the weight
        _write_gradients(
            x[:, some],
            weight[at],
            grad,
            None if by_x is None else by_x[:, some],
            None if by_weight is None else by_weight[at],
            transposed,
        )
    return by_x, by_weight, grad.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None


def _write_gradients(
    x: Tensor, weight: Tensor, grad: Tensor, by_x: Tensor | None, by_weight: Tensor | None, transposed: bool
) -> None:
    """Those that are wanted. The transforms: of x, of the gradient, and back to x's own."""
    of_x, to_x, of_grad = (
        (inverse_adjoint, inverse, data) if transposed else (data, data_adjoint, inverse_adjoint)
    )
    u, k = transformed(weight), weight.shape[2]
    by_u = None if by_weight is None else torch.zeros_like(u)
    for part, v, m in _parts(x if transposed else grad, u):
        x_tiles, grad_tiles = (m, v) if transposed else (v, m)
        of_grad(grad[part], grad_tiles, k)
        if by_x is not None:
            torch.bmm(grad_tiles, u.mT if transposed else u, out=x_tiles)
            to_x(x_tiles, None, by_x[part], k)
        if by_u is not None:
            of_x(x[part], x_tiles, k)
            torch.baddbmm(by_u, m.mT, v, out=by_u)
    if by_weight is not None and by_u is not None:
        by_weight.copy_(transformed_adjoint(by_u, weight.shape))


def _map(like: Tensor, *shape: int) -> Tensor:
    return torch.empty(len(like), *shape, dtype=like.dtype, memory_format=torch.channels_last)


def _innermost(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _wanted(ctx: Any, *tensors: Tensor) -> list[Tensor | None]:
    """Room for the gradients that are wanted."""
    both = zip(tensors, ctx.needs_input_grad, strict=False)
    return [torch.empty_like(t, memory_format=torch.channels_last) if needed else None for t, needed in both]


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """torch's, with padding 1, of a 3x3 kernel with stride 1 or a 4x4 kernel with stride 2 and even sides.

    float32 or float64.  Differentiable once.
    """
    return _Conv.apply(_innermost(x), weight, bias)


def conv_transpose2d(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """torch's, with padding 1, of a 3x3 kernel with stride 1 or a 4x4 kernel with stride 2; as conv2d."""
    return _ConvTranspose.apply(_innermost(x), weight, bias)
