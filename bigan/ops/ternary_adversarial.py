"""The losses of IAN's critic, which tells real from reconstructed from generated, for both players.

Brock et al. 2016 (arXiv:1609.07093), section 3.1, as the authors' code has it: a softmax over (0 real,
1 reconstruction, 2 generated) and, with CE(a, k) = -log softmax(a)_k, each a mean over its group,

    L_D = CE(real, 0) + CE(reconstruction, 1) + CE(generated, 2)
    L_G = CE(reconstruction, 0) + CE(generated, 0)
"""

import torch
from torch import Tensor

from bigan.ops import _checks
from bigan.ops._registry import accumulator, define, differentiable, differentiable_by_reference, fake


@define(
    "ternary_adversarial(Tensor real, Tensor reconstruction, Tensor generated, float smoothing) "
    "-> (Tensor loss_d, Tensor loss_g, Tensor accuracy)"
)
def _reference(real, reconstruction, generated, smoothing):
    """[R, 3], [S, 3], [T, 3] -> [], [], [3]"""
    acc = accumulator(real.dtype)
    loss_d = loss_g = torch.zeros((), dtype=acc, device=real.device)
    right = []
    for k, logits in enumerate((real, reconstruction, generated)):
        a = logits.to(acc)
        others = a[:, [j for j in range(3) if j != k]]
        right.append((a[:, k, None] > others).all(1).to(acc).mean())
        if len(a):
            ce = -a.log_softmax(1)
            own = ce[:, k].mean()
            loss_d = loss_d + ((1 - smoothing) * own + smoothing * ce.mean() if smoothing else own)
            if k > 0:
                loss_g = loss_g + ce[:, 0].mean()
    return loss_d, loss_g, torch.stack(right)


@define(
    "ternary_adversarial_backward(Tensor? grad_d, Tensor? grad_g, Tensor real, Tensor reconstruction, "
    "Tensor generated, float smoothing) -> (Tensor, Tensor, Tensor)"
)
def _reference_backward(grad_d, grad_g, real, reconstruction, generated, smoothing):
    acc = accumulator(real.dtype)
    zero = torch.zeros((), dtype=acc, device=real.device)
    grad_d, grad_g = zero if grad_d is None else grad_d, zero if grad_g is None else grad_g
    classes = torch.eye(3, dtype=acc, device=real.device)
    result = []
    for k, logits in enumerate((real, reconstruction, generated)):
        share = 1 / max(len(logits), 1)
        p = logits.to(acc).softmax(1)
        by_d = p - ((1 - smoothing) * classes[k] + smoothing / 3)
        grad = share * grad_d * by_d
        if k > 0:
            grad = grad + share * grad_g * (p - classes[0])
        result.append(grad.to(logits.dtype))
    return tuple(result)


@fake("ternary_adversarial")
def _(real, reconstruction, generated, smoothing):
    acc = accumulator(real.dtype)
    return real.new_empty((), dtype=acc), real.new_empty((), dtype=acc), real.new_empty(3, dtype=acc)


@fake("ternary_adversarial_backward")
def _(grad_d, grad_g, real, reconstruction, generated, smoothing):
    return tuple(t.new_empty(t.shape) for t in (real, reconstruction, generated))


def _save(ctx, inputs, outputs):
    *logits, ctx.smoothing = inputs
    ctx.save_for_backward(*logits)
    ctx.mark_non_differentiable(outputs[2])


def _backward(ctx, grad_d, grad_g, _):
    return _gradient(grad_d, grad_g, *ctx.saved_tensors, ctx.smoothing)


_gradient = differentiable_by_reference("ternary_adversarial_backward", wanted=5)
_forward = differentiable("ternary_adversarial", 3, _save, _backward)


def ternary_adversarial(
    real: Tensor, reconstruction: Tensor, generated: Tensor, *, smoothing: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """L_D, L_G and the accuracies of a critic with three classes, from one read of its logits.

    real, reconstruction, generated: logits [B, 3], B of each its own, float64, float32, float16 or bfloat16;
    rows may be strided.  The classes are 0 real, 1 reconstruction, 2 generated.

        loss_d = CE(real, 0) + CE(reconstruction, 1) + CE(generated, 2)
        loss_g = CE(reconstruction, 0) + CE(generated, 0)

    Each CE is the mean over its group.  An empty group adds nothing (so that either player's loss can be had
    without the other's samples) and its accuracy is NaN.
    smoothing: label smoothing of loss_d as in torch.nn.CrossEntropyLoss: 1 - smoothing on the true class and
    smoothing / 3 on each of the three.

    Returns (loss_d, loss_g, accuracy): scalars, and [3]: the share of each group whose own class has the
    largest logit (a tie or NaN is wrong), without gradient; float32 (float64 for float64), accumulated in
    that type.  Raises ValueError naming the argument.  Both losses are differentiable any number of times.
    """
    op = "ternary_adversarial"
    groups = (("real", real), ("reconstruction", reconstruction), ("generated", generated))
    for name, logits in groups:
        _checks.floating(op, name, logits)
        if logits.dim() != 2 or logits.shape[1] != 3:
            _checks.fail(op, name, "be [B, 3]", logits)
    if _checks.autocast(real, reconstruction) or _checks.autocast(real, generated):
        wide = torch.promote_types(torch.promote_types(real.dtype, reconstruction.dtype), generated.dtype)
        real, reconstruction, generated = real.to(wide), reconstruction.to(wide), generated.to(wide)
    _checks.same_kind(op, "reconstruction", reconstruction, "real", real)
    _checks.same_kind(op, "generated", generated, "real", real)
    _checks.fraction(op, "smoothing", smoothing)
    return _forward(real, reconstruction, generated, smoothing)
