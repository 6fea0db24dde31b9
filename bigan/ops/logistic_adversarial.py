"""The losses of a critic with one logit, for both players, from one read of its logits.

Each logit has a loss under the label of its group and one under the other group's label; L_D is the first,
averaged over each group and added up, L_G is made of the second:

    form           real                                fake                              generator, on fake
    logistic       softplus(-a)                        softplus(a)                       softplus(-a)
    hinge          [1 - a]+                            [1 + a]+                          -a
    least_squares  (a - 1)^2 / 2                       a^2 / 2                           (a - 1)^2 / 2
    wasserstein    -a                                  a                                 -a

Goodfellow et al. 2014 (arXiv:1406.2661), Lim & Ye 2017 (arXiv:1705.02894), Mao et al. 2017
(arXiv:1611.04076, eq. 9), Arjovsky et al. 2017 (arXiv:1701.07875).  Used by ALI, PAGAN, GAN, BiGAN, WAE-GAN.
"""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from bigan.ops import _checks
from bigan.ops._registry import accumulator, define, differentiable, differentiable_by_reference, fake

FORMS = ("logistic", "hinge", "least_squares", "wasserstein")
GENERATORS = ("non_saturating", "saturating", "swapped")
_LOGISTIC, _HINGE, _LEAST_SQUARES, _WASSERSTEIN = range(4)
_NON_SATURATING, _SATURATING, _SWAPPED = range(3)


def options(form: int, generator: int) -> int:
    """Both choices in one number: at a GAN's sizes the call is what costs, and each argument adds to it."""
    return form | generator << 2


def unpacked(options: int) -> tuple[int, int]:
    return options & 3, options >> 2 & 3


def weights(generator: int, smoothing: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """For real and for fake: how much of (own, other) is in L_D, then in L_G."""
    real = (1 - smoothing, smoothing, 0.0, 1.0 if generator == _SWAPPED else 0.0)
    return real, ((1.0, 0.0, -1.0, 0.0) if generator == _SATURATING else (1.0, 0.0, 0.0, 1.0))


def _losses(form: int, real: bool, a: Tensor) -> tuple[Tensor, Tensor]:
    """Of each logit: the loss under its own label, and under the other."""
    if form == _LEAST_SQUARES:
        to_one, to_zero = 0.5 * (a - 1).square(), 0.5 * a.square()
        return (to_one, to_zero) if real else (to_zero, to_one)
    y = a if real else -a  # large where the critic is right
    if form == _LOGISTIC:
        return -logsigmoid(y), -logsigmoid(-y)  # softplus(-y), softplus(y), exact everywhere
    return ((1 - y).relu() if form == _HINGE else -y), y


def _slopes(form: int, real: bool, a: Tensor) -> tuple[Tensor, Tensor]:
    """The derivatives of `_losses` by the logit."""
    if form == _LEAST_SQUARES:
        return (a - 1, a) if real else (a, a - 1)
    sign = 1 if real else -1
    y = sign * a
    if form == _LOGISTIC:
        return -sign * torch.sigmoid(-y), sign * torch.sigmoid(y)
    one = torch.full_like(a, sign)
    return (torch.where(y >= 1, 0, -one) if form == _HINGE else -one), one


def _combine(pairs) -> Tensor | int:
    """Sum of weight * value; what has no weight is left out, lest an infinite value make it NaN."""
    return sum(w * v for w, v in pairs if w)


@define(
    "logistic_adversarial(Tensor real, Tensor fake, int options, float smoothing) "
    "-> (Tensor loss_d, Tensor loss_g, Tensor accuracy)"
)
def _reference(real, fake, options, smoothing):
    """[R, C], [S, D] -> [], [], [2]"""
    form, generator = unpacked(options)
    acc = accumulator(real.dtype)
    threshold = 0.5 if form == _LEAST_SQUARES else 0.0
    loss_d = loss_g = torch.zeros((), dtype=acc, device=real.device)
    right = []
    for is_real, logits, w in zip((True, False), (real, fake), weights(generator, smoothing), strict=True):
        a = logits.to(acc)
        right.append(((a > threshold) if is_real else (a < threshold)).to(acc).mean())
        if logits.numel():
            own, other = (loss.mean() for loss in _losses(form, is_real, a))
            loss_d = loss_d + _combine(zip(w[:2], (own, other), strict=True))
            loss_g = loss_g + _combine(zip(w[2:], (own, other), strict=True))
    return loss_d, loss_g, torch.stack(right)


@define(
    "logistic_adversarial_backward(Tensor? grad_d, Tensor? grad_g, Tensor real, Tensor fake, int options, "
    "float smoothing) -> (Tensor, Tensor)"
)
def _reference_backward(grad_d, grad_g, real, fake, options, smoothing):  # -> [R, C], [S, D]
    form, generator = unpacked(options)
    acc = accumulator(real.dtype)
    zero = torch.zeros((), dtype=acc, device=real.device)
    grad_d, grad_g = zero if grad_d is None else grad_d, zero if grad_g is None else grad_g
    result = []
    for is_real, logits, w in zip((True, False), (real, fake), weights(generator, smoothing), strict=True):
        own, other = _slopes(form, is_real, logits.to(acc))
        share = 1 / max(logits.numel(), 1)
        by_own, by_other = share * (w[0] * grad_d + w[2] * grad_g), share * (w[1] * grad_d + w[3] * grad_g)
        result.append((by_own * own + by_other * other).to(logits.dtype))
    return tuple(result)


@fake("logistic_adversarial")
def _(real, fake, options, smoothing):
    acc = accumulator(real.dtype)
    return real.new_empty((), dtype=acc), real.new_empty((), dtype=acc), real.new_empty(2, dtype=acc)


@fake("logistic_adversarial_backward")
def _(grad_d, grad_g, real, fake, options, smoothing):
    return real.new_empty(real.shape), fake.new_empty(fake.shape)


def _save(ctx, inputs, outputs):
    real, fake, *ctx.rest = inputs
    ctx.save_for_backward(real, fake)
    ctx.mark_non_differentiable(outputs[2])


def _backward(ctx, grad_d, grad_g, _):
    return _gradient(grad_d, grad_g, *ctx.saved_tensors, *ctx.rest)


_gradient = differentiable_by_reference("logistic_adversarial_backward", wanted=4)
_forward = differentiable("logistic_adversarial", 2, _save, _backward)


def _matrix(t: Tensor) -> Tensor:
    """Two dimensions, without a copy where the logits are a matrix, a vector or a one-channel map."""
    if t.dim() == 2:
        return t
    return t.flatten(1) if t.dim() > 2 else t.reshape(-1, 1)


def logistic_adversarial(
    real: Tensor,
    fake: Tensor,
    *,
    form: str = "logistic",
    generator: str = "non_saturating",
    smoothing: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """L_D, L_G and the critic's accuracies, from one read of its logits of real and of fake samples.

    real, fake: logits of any shape, of different sizes if need be, float64, float32, float16 or bfloat16.
    Each group is averaged for itself.  An empty group adds nothing to the losses (so that either player's
    can be had without the other's samples) and its accuracy is NaN.
    form: "logistic", "hinge", "least_squares" or "wasserstein"; L_D sums the first two columns of

        logistic       softplus(-real)      softplus(fake)   | softplus(-fake)
        hinge          [1 - real]+          [1 + fake]+      | -fake
        least_squares  (real - 1)^2 / 2     fake^2 / 2       | (fake - 1)^2 / 2
        wasserstein    -real                fake             | -fake

    generator: L_G is "non_saturating", the last column; "saturating", minus the second; "swapped", the last
    plus the same for real with its label swapped, as ALI trains encoder and decoder: for "logistic"
    softplus(real) + softplus(-fake), for "least_squares" real^2 / 2, else real, in place of softplus(real).
    smoothing: L_D's target for real is 1 - smoothing in place of 1 (one-sided; "logistic" alone has it).

    Returns (loss_d, loss_g, accuracy): scalars, and [2]: the shares of real logits above and of fake ones
    below the middle (0, for "least_squares" 0.5; NaN is neither), without gradient; float32 (float64 for
    float64), accumulated in that type.  Raises ValueError naming the argument.  Both losses are
    differentiable any number of times by real and fake.
    """
    op = "logistic_adversarial"
    _checks.floating(op, "real", real)
    _checks.floating(op, "fake", fake)
    if _checks.autocast(real, fake):
        wide = torch.promote_types(real.dtype, fake.dtype)
        real, fake = real.to(wide), fake.to(wide)
    _checks.same_kind(op, "fake", fake, "real", real)
    number = _checks.choice(op, "form", form, FORMS)
    packed = options(number, _checks.choice(op, "generator", generator, GENERATORS))
    _checks.fraction(op, "smoothing", smoothing)
    if smoothing and number != _LOGISTIC:
        _checks.fail(op, "smoothing", f"be 0 with form={form!r}, which has no labels", smoothing)
    return _forward(_matrix(real), _matrix(fake), packed, smoothing)
