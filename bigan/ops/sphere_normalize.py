"""Rows divided by their Euclidean norm: codes on the unit sphere, in one pass.

AGE (Ulyanov et al. 2018, arXiv:1704.02304) compares codes with the uniform distribution on the sphere: its
encoder ends in this, and its prior is a normalised Gaussian sample.

    y = x / |x|,    dL/dx = (g - y (y . g)) / |x|

No epsilon, as AGE: a row of zeros is 0 / 0 and gives NaN, and a NaN in a row makes the whole row NaN.
"""

from torch import Tensor

from bigan.ops import _checks
from bigan.ops._registry import accumulator, define, differentiable, differentiable_by_reference, fake


@define("sphere_normalize(Tensor x) -> Tensor")
def _reference(x):
    """[B, Z] -> [B, Z]."""
    wide = x.to(accumulator(x.dtype))
    return (wide / wide.square().sum(1, keepdim=True).sqrt()).to(x.dtype)


@define("sphere_normalize_backward(Tensor grad, Tensor x) -> Tensor")
def _reference_backward(grad, x):
    acc = accumulator(x.dtype)
    g, wide = grad.to(acc), x.to(acc)
    norm = wide.square().sum(1, keepdim=True).sqrt()
    y = wide / norm
    return ((g - y * (y * g).sum(1, keepdim=True)) / norm).to(x.dtype)


@fake("sphere_normalize")
def _(x):
    return x.new_empty(x.shape)


@fake("sphere_normalize_backward")
def _(grad, x):
    return x.new_empty(x.shape)


def _save(ctx, inputs, outputs):
    ctx.save_for_backward(*inputs)


def _backward(ctx, grad):
    return (None if grad is None else _gradient(grad, *ctx.saved_tensors),)


_gradient = differentiable_by_reference("sphere_normalize_backward", wanted=2)
_forward = differentiable("sphere_normalize", 1, _save, _backward)


def sphere_normalize(x: Tensor) -> Tensor:
    """Each row of x divided by its L2 norm, from one read of x.

    x: [B, Z] (or [B, ...]: all but the first dimension are one row) float64, float32, float16 or bfloat16;
    rows may be strided.  The norm is summed in float32 (float64 for float64).

    Returns a contiguous tensor like x.  There is no epsilon: a zero row becomes NaN.
    Raises ValueError naming the argument.  Differentiable any number of times.
    """
    _checks.batch("sphere_normalize", "x", x)
    if x.dim() == 2:
        return _forward(x)
    return _forward(x.flatten(1)).view(x.shape)
