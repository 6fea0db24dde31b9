"""How close each sample is to the others of its batch: the statistic of minibatch discrimination.

Salimans et al. 2016 (arXiv:1606.03498, section 3.2), as IAN's critic has it (Brock et al. 2016,
arXiv:1609.07093).  From activations A [B, K, D], for each of the K kernels by itself:

    f_ik = sum over j != i of c_ijk,    c_ijk = exp(-sum_d |A_ikd - A_jkd|)
    dL/dA_ikd = -sum_j (g_ik + g_jk) c_ijk sign(A_ikd - A_jkd)

Kernels hold neither the [B, B, K, D] differences nor the [B, B, K] distances; the reference does.
"""

import torch
from torch import Tensor

from bigan.ops import _checks
from bigan.ops._registry import accumulator, define, differentiable, differentiable_by_reference, fake


def _pairs(a):
    """Differences [B, B, K, D], and closeness [B, B, K] without a sample's own."""
    d = a[:, None] - a[None]
    own = torch.eye(len(a), dtype=torch.bool, device=a.device)[..., None]
    return d, (-d.abs().sum(-1)).exp().masked_fill(own, 0)


@define("minibatch_discrimination(Tensor activations) -> Tensor")
def _reference(activations):
    """[B, K, D] -> [B, K]."""
    return _pairs(activations.to(accumulator(activations.dtype)))[1].sum(1).to(activations.dtype)


@define("minibatch_discrimination_backward(Tensor grad, Tensor activations) -> Tensor")
def _reference_backward(grad, activations):
    acc = accumulator(activations.dtype)
    g = grad.to(acc)
    d, c = _pairs(activations.to(acc))
    weight = (g[:, None] + g[None]) * c
    return -(weight[..., None] * d.detach().sign()).sum(1).to(activations.dtype)


@fake("minibatch_discrimination")
def _(activations):
    return activations.new_empty(activations.shape[:2])


@fake("minibatch_discrimination_backward")
def _(grad, activations):
    return activations.new_empty(activations.shape)


def _save(ctx, inputs, outputs):
    ctx.save_for_backward(*inputs)


def _backward(ctx, grad):
    return (None if grad is None else _gradient(grad, *ctx.saved_tensors),)


_gradient = differentiable_by_reference("minibatch_discrimination_backward", wanted=2)
_forward = differentiable("minibatch_discrimination", 1, _save, _backward)


def minibatch_discrimination(activations: Tensor) -> Tensor:
    """For each sample and kernel the sum of exp(-L1 distance) to the other samples of the batch.

    activations: [B, K, D], K kernels of D dimensions, float64, float32, float16 or bfloat16; any strides.

    Returns [B, K] like activations, from 0 (far from all others, or alone) to B - 1 (all equal), summed in
    float32 (float64 for float64).  A NaN makes its kernel NaN for the whole batch.  The sign of 0 is 0:
    equal samples do not move each other.  Memory: the output, and backward the gradient; B^2 K D operations.
    Raises ValueError naming the argument.  Differentiable any number of times; second derivatives, which
    only gradient penalties take, are those of the reference and hold [B, B, K, D].
    """
    op = "minibatch_discrimination"
    _checks.floating(op, "activations", activations)
    if activations.dim() != 3:
        _checks.fail(op, "activations", "be [B, K, D]", activations)
    return _forward(activations)
