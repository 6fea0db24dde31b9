"""How far two batches of codes are apart: AGE's cosine match, cosine distance, L1 or L2, to the final scalar.

AGE (Ulyanov et al. 2018, arXiv:1704.02304, eqs. 3 and 4; the authors' `match`), B codes of Z elements, c_b
the cosine of the angle between a_b and b_b:

    cos     2 - mean over all B Z elements of (a_b / |a_b|) (b_b / |b_b|)  =  2 - sum_b c_b / (B Z)
    cosine  1 - mean_b c_b
    l1      mean over all elements of |a - b|
    l2      mean over all elements of (a - b)^2

`cos` is what AGE's code has where its paper has L2 in the codes: its mean runs over the Z elements too, so it
lies in [2 - 1/Z, 2 + 1/Z] and a weight w on it acts as w / Z on the cosine.
"""

import torch
from torch import Tensor

from bigan.ops import _checks
from bigan.ops._registry import accumulator, define, differentiable, differentiable_by_reference, fake

MATCHES = ("cos", "cosine", "l1", "l2")
_COS, _COSINE, _L1, _L2 = range(4)
BOTH = 3  # wanted: 1 for the gradient by a, 2 by b


def scale_and_offset(match: int, batch: int, dim: int) -> tuple[float, float]:
    """match = offset + scale * (sum over rows); NaN for no elements, as a mean is."""
    count = batch if match == _COSINE else batch * dim
    scale = 1 / count if count else float("nan")
    return {_COS: (-scale, 2.0), _COSINE: (-scale, 1.0)}.get(match, (scale, 0.0))


@define("latent_match(Tensor a, Tensor b, int match) -> Tensor")
def _reference(a, b, match):
    """[B, Z], [B, Z] -> []."""
    acc = accumulator(a.dtype)
    a, b = a.to(acc), b.to(acc)
    if match in (_COS, _COSINE):
        rows = (a * b).sum(1) / (_norm(a) * _norm(b))
    else:
        rows = ((a - b).abs() if match == _L1 else (a - b).square()).sum(1)
    scale, offset = scale_and_offset(match, *a.shape)
    return offset + scale * rows.sum()


def _norm(x):
    return x.square().sum(1).sqrt()


@define("latent_match_backward(Tensor grad, Tensor a, Tensor b, int match, int wanted) -> (Tensor, Tensor)")
def _reference_backward(grad, a, b, match, wanted):
    """-> [B, Z], [B, Z]; [0] for one that is not wanted."""
    dtype, acc = a.dtype, accumulator(a.dtype)
    a, b = a.to(acc), b.to(acc)
    c = grad * scale_and_offset(match, *a.shape)[0]
    if match in (_COS, _COSINE):
        norm_a, norm_b = _norm(a)[:, None], _norm(b)[:, None]
        y_a, y_b = a / norm_a, b / norm_b
        cosine = (y_a * y_b).sum(1, keepdim=True)
        by_a, by_b = c * (y_b - y_a * cosine) / norm_a, c * (y_a - y_b * cosine) / norm_b
    else:
        d = a - b
        still = d.detach()  # the sign of 0 is 0, of NaN NaN; a sign does not change
        by_a = c * (2 * d if match == _L2 else torch.where(still > 0, 1, torch.where(still < 0, -1, still)))
        by_b = -by_a
    none = a.new_empty(0, dtype=dtype)
    return by_a.to(dtype) if wanted & 1 else none, by_b.to(dtype) if wanted & 2 else none


@fake("latent_match")
def _(a, b, match):
    return a.new_empty((), dtype=accumulator(a.dtype))


@fake("latent_match_backward")
def _(grad, a, b, match, wanted):
    return a.new_empty(a.shape if wanted & 1 else 0), a.new_empty(a.shape if wanted & 2 else 0)


def _save(ctx, inputs, outputs):
    ctx.save_for_backward(*inputs[:2])
    ctx.match = inputs[2]


def _backward(ctx, grad):
    by_a, by_b = ctx.needs_input_grad[:2]
    if grad is None:
        return None, None
    grads = _gradient(grad, *ctx.saved_tensors, ctx.match, by_a | by_b << 1)
    return grads[0] if by_a else None, grads[1] if by_b else None


_gradient = differentiable_by_reference("latent_match_backward", wanted=3)
_forward = differentiable("latent_match", 2, _save, _backward)


def latent_match(a: Tensor, b: Tensor, match: str = "cos") -> Tensor:
    """The distance between two batches of codes, from one read of both.

    a, b: [B, Z] (or [B, ...]: all but the first dimension are one code) float64, float32, float16 or
    bfloat16 of one shape: nothing is broadcast.  Rows may be strided.
    match: "cos", 2 - the mean over all elements of the product of the normalised codes (the authors' code:
    its weight acts divided by Z), "cosine", 1 - the mean cosine, "l1" or "l2", means over all elements.

    Returns a scalar, float32 (float64 for float64), accumulated in that type; NaN where an angle is asked of
    a zero code, and for no elements.  Raises ValueError naming the argument.  Differentiable any number of
    times by a and b; the gradient of one that does not require it is not computed.
    """
    op = "latent_match"
    _checks.batch(op, "a", a)
    if _checks.autocast(a, b):
        wide = torch.promote_types(a.dtype, b.dtype)
        a, b = a.to(wide), b.to(wide)
    _checks.same(op, "b", b, "a", a)
    number = _checks.choice(op, "match", match, MATCHES)
    if a.dim() > 2:
        a, b = a.flatten(1), b.flatten(1)
    return _forward(a, b, number)
