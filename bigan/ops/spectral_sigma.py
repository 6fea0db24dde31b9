"""The largest singular values of many weights, by one step of power iteration, and the weights over them.

Miyato et al. 2018 (arXiv:1802.05957, algorithm 1), in the order of torch.nn.utils.parametrizations, whose
values these are.  W [O, N] is a layer's weight with its output dimension first and the others flattened:

    u <- W v / max(|W v|, eps),  v <- W' u / max(|W' u|, eps),  sigma = u' W v

u and v are constants for the gradient: d sigma = u v', and for Wn = W / sigma with upstream gradient G

    dW = (G - <G, Wn> u v') / sigma

W is read twice: u' W v is |W' u|^2 / max(|W' u|, eps).  Used by PAGAN's critics.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from bigan.ops import _checks
from bigan.ops._registry import accumulator, define, differentiable, differentiable_by_reference, fake

ITERATE, NORMALIZE = 1, 2  # options


def matrix(weight: Tensor, dim: int) -> Tensor:
    """[O, N]: dimension `dim` first, the others flattened."""
    return (weight if dim == 0 else weight.transpose(0, dim)).flatten(1)


def channels(weight: Tensor, dim: int) -> int:
    """How a weight lies in memory: 1 as indexed; C > 1: dimension 1, of size C, innermost; 0: otherwise."""
    if weight.is_contiguous():
        return 1
    return weight.shape[1] if dim == 0 and weight.movedim(1, -1).is_contiguous() else 0


def _layers(weights, dims, u, v):
    """(weight, matrix in the type of the sums, u, v) of each layer, from the flat u and v."""
    acc = accumulator(weights[0].dtype)
    matrices = [matrix(w.to(acc), dim) for w, dim in zip(weights, dims, strict=True)]
    us = u.split([m.shape[0] for m in matrices])
    vs = v.split([m.shape[1] for m in matrices])
    return list(zip(weights, matrices, us, vs, strict=True))


def _unit(x, eps):
    return x / x.norm().clamp_min(eps)


@define(
    "spectral_sigma(Tensor[] weights, int[] dims, Tensor u, Tensor v, int options, float eps) "
    "-> (Tensor sigma, Tensor u, Tensor v, Tensor[] normalized)"
)
def _reference(weights, dims, u, v, options, eps):
    """-> [L], [sum O], [sum N], the normalised weights; the last three empty where not asked for."""
    sigmas, us, vs, normalized = [], [], [], []
    for k, (weight, w, u_l, v_l) in enumerate(_layers(weights, dims, u, v)):
        if options & ITERATE:
            u_l = _unit(w.detach() @ v_l, eps)
            v_l = _unit(w.detach().T @ u_l, eps)
            us.append(u_l)
            vs.append(v_l)
        sigmas.append(u_l @ (w @ v_l))
        if options & NORMALIZE:
            one = (weight.to(w.dtype) / sigmas[k]).to(weight.dtype)
            normalized.append(one if channels(weight, dims[k]) else one.contiguous())
    if not options & ITERATE:
        return torch.stack(sigmas), u.new_empty(0), v.new_empty(0), normalized
    return torch.stack(sigmas), torch.cat(us), torch.cat(vs), normalized


@define(
    "spectral_sigma_backward(Tensor? grad_sigma, Tensor[] grad_normalized, Tensor[] weights, int[] dims, "
    "Tensor sigma, Tensor u, Tensor v) -> Tensor[]"
)
def _reference_backward(grad_sigma, grad_normalized, weights, dims, sigma, u, v):
    """-> the gradients of the weights; grad_normalized: one for each weight, or none."""
    grads = []
    for k, (weight, w, u_l, v_l) in enumerate(_layers(weights, dims, u, v)):
        c = torch.zeros_like(sigma[k]) if grad_sigma is None else grad_sigma[k]
        if grad_normalized:
            g = grad_normalized[k].to(w.dtype)
            c = c - (matrix(g, dims[k]) * w).sum() / sigma[k].square()
        outer = (c * u_l)[:, None] * v_l
        if dims[k]:
            shape = weight.transpose(0, dims[k]).shape
            grad = outer.view(shape).transpose(0, dims[k])
        else:
            grad = outer.view(weight.shape)
        grad = (grad + g / sigma[k] if grad_normalized else grad).to(weight.dtype)
        in_place = channels(weight, dims[k]) > 1
        grads.append(torch.empty_like(weight).copy_(grad) if in_place else grad.contiguous())
    return grads


def _empty(weight, dim):
    if channels(weight, dim):
        return weight.new_empty_strided(weight.shape, weight.stride())
    return weight.new_empty(weight.shape)


@fake("spectral_sigma")
def _(weights, dims, u, v, options, eps):
    iterate = options & ITERATE
    return (
        u.new_empty(len(weights)),
        u.new_empty(u.shape if iterate else 0),
        v.new_empty(v.shape if iterate else 0),
        [_empty(*pair) for pair in zip(weights, dims, strict=True)] if options & NORMALIZE else [],
    )


@fake("spectral_sigma_backward")
def _(grad_sigma, grad_normalized, weights, dims, sigma, u, v):
    return [_empty(*pair) for pair in zip(weights, dims, strict=True)]


def _save(ctx, inputs, outputs):
    weights, dims, u, v, options, _eps = inputs
    sigma, new_u, new_v, _ = outputs
    ctx.mark_non_differentiable(new_u, new_v)
    ctx.dims = dims
    ctx.save_for_backward(sigma, *((new_u, new_v) if options & ITERATE else (u, v)), *weights)


def _backward(ctx, grad_sigma, _u, _v, grad_normalized):
    sigma, u, v, *weights = ctx.saved_tensors
    given = any(g is not None for g in grad_normalized)
    if not given and grad_sigma is None:
        return (None,)
    if given:
        pairs = zip(grad_normalized, weights, strict=True)
        grad_normalized = [torch.zeros_like(w) if g is None else g for g, w in pairs]
    return (_gradient(grad_sigma, grad_normalized if given else [], weights, ctx.dims, sigma, u, v),)


_gradient = differentiable_by_reference("spectral_sigma_backward", wanted=5)
_forward = differentiable("spectral_sigma", 1, _save, _backward)


def spectral_sigma(
    weights: Sequence[Tensor],
    u: Tensor,
    v: Tensor,
    *,
    dims: Sequence[int] | None = None,
    iterate: bool = True,
    normalize: bool = True,
    eps: float = 1e-12,
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Spectral norms of L weights after one step of power iteration, and the weights over them, in one call.

    weights: tensors of two or more dimensions, of one type (float64, float32, float16 or bfloat16), each a
    matrix [O, N] of its output dimension and all others.  Read where they stand if contiguous, or if
    channels_last with output dimension 0; else copied.
    u, v: the singular vectors' last estimates, one after another: [sum of O] and [sum of N], float32
    (float64 for float64).  Best of length 1; eps bounds the lengths they are divided by.
    dims: each weight's output dimension, 0 or 1; 0 if not given.  A transposed convolution has 1.
    iterate: make a step; without it (evaluation) sigma is u' W v with the u and v given.
    normalize: return the normalised weights too.

    Returns (sigma [L], u, v, normalised weights), the first three float32 (float64 for float64); u and v are
    new ones, or those given if not iterate; the last is empty if not normalize.  The values are those of
    torch.nn.utils.parametrizations.  Raises ValueError naming the argument.  sigma and the normalised weights
    are differentiable any number of times by the weights, u and v held constant.  For every 32 weights CUDA
    makes 2 launches (1 without a step), 1 more to normalise, and backward 2 (1 by sigma alone).
    """
    op = "spectral_sigma"
    if not isinstance(weights, (list, tuple)) or not weights:
        raise TypeError(f"{op}: weights must be a list of at least one tensor, got {_checks.form(weights)}")
    dims = [0] * len(weights) if dims is None else dims
    if not isinstance(dims, (list, tuple)) or len(dims) != len(weights):
        _checks.fail(op, "dims", f"have one number for each of the {len(weights)} weights", dims)
    rows = columns = 0
    for k, (w, dim) in enumerate(zip(weights, dims, strict=True)):
        _checks.floating(op, f"weights[{k}]", w)
        if w.dim() < 2 or not w.numel():
            _checks.fail(op, f"weights[{k}]", "have two dimensions or more, and elements", w)
        _checks.same_kind(op, f"weights[{k}]", w, "weights[0]", weights[0])
        if type(dim) is not int or dim not in (0, 1):
            _checks.fail(op, f"dims[{k}]", "be 0 or 1", dim)
        rows += w.shape[dim]
        columns += w.numel() // w.shape[dim]
    acc = accumulator(weights[0].dtype)
    for name, vector, size in (("u", u, rows), ("v", v, columns)):
        _checks.tensor(op, name, vector)
        if vector.shape != (size,) or vector.dtype != acc or vector.device != weights[0].device:
            form = f"[{size}] {str(acc).removeprefix('torch.')} {weights[0].device}"
            _checks.fail(op, name, f"be {form}", vector)
    if not isinstance(eps, (int, float)) or not eps > 0:
        _checks.fail(op, "eps", "be a positive number", eps)
    for name, value in (("iterate", iterate), ("normalize", normalize)):
        if not isinstance(value, bool):
            _checks.fail(op, name, "be True or False", value)
    code = (ITERATE if iterate else 0) | (NORMALIZE if normalize else 0)
    sigma, new_u, new_v, normalized = _forward(list(weights), list(dims), u, v, code, float(eps))
    return (sigma, new_u, new_v, normalized) if iterate else (sigma, u, v, normalized)
