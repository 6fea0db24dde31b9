"""KL of the normal distribution with a batch's moments from the standard normal, from one read of the codes.

AGE (Ulyanov et al. 2018, arXiv:1704.02304, eq. 7).  For codes e [B, Z], each dimension j by itself:

    m_j = mean_b e_bj,    v_j = mean_b (e_bj - m_j)^2
    qp:  KL(N(m, v) || N(0, 1)) = 1/2 (s + m^2 - 1 - ln s)
    pq:  KL(N(0, 1) || N(m, v)) = 1/2 ((1 + m^2) / s - 1 + ln s)

s is the variance v.  The authors' code puts v where the standard deviation belongs, so that s = v^2 there:
this is variant "published", which AGE's numbers and loss weights come from (it pulls about twice as hard as
"correct" for codes on a sphere).  Both are means over the dimensions.
"""

from torch import Tensor

from bigan.ops import _checks
from bigan.ops._registry import accumulator, define, differentiable, differentiable_by_reference, fake

VARIANTS = ("correct", "published")
DIRECTIONS = ("qp", "pq")
DIMS = ("mean", "sum")


def options(variant: int, direction: int, dims: int) -> int:
    return variant | direction << 1 | dims << 2


def unpacked(options: int) -> tuple[bool, bool, bool]:
    """published, pq, sum over the dimensions"""
    return bool(options & 1), bool(options & 2), bool(options & 4)


@define("moment_kl(Tensor x, int options) -> (Tensor kl, Tensor mean, Tensor var)")
def _reference(x, options):
    """[B, Z] -> [], [Z], [Z]."""
    published, pq, sum_dims = unpacked(options)
    x = x.to(accumulator(x.dtype))
    m = x.mean(0)
    v = (x - m).square().mean(0)
    s, log_s = (v.square(), 2 * v.log()) if published else (v, v.log())
    kl = 0.5 * ((1 + m.square()) / s - 1 + log_s if pq else s + m.square() - 1 - log_s)
    return kl.sum() if sum_dims else kl.mean(), m, v


@define(
    "moment_kl_backward(Tensor? grad_kl, Tensor? grad_mean, Tensor? grad_var, Tensor x, Tensor mean, "
    "Tensor var, int options) -> Tensor"
)
def _reference_backward(grad_kl, grad_mean, grad_var, x, mean, var, options):
    published, pq, sum_dims = unpacked(options)
    by_mean, by_var = mean.new_zeros(mean.shape), var.new_zeros(var.shape)
    if grad_kl is not None:
        g = grad_kl if sum_dims else grad_kl / max(x.shape[1], 1)
        inv = 1 / var
        if pq:
            factor = inv.square() if published else inv
            by_mean = g * (mean * factor)
            by_var = g * ((inv if published else 0.5 * inv) * (1 - (1 + mean.square()) * factor))
        else:
            by_mean = g * mean
            by_var = g * (var - inv if published else 0.5 * (1 - inv))
    if grad_mean is not None:
        by_mean = by_mean + grad_mean
    if grad_var is not None:
        by_var = by_var + grad_var
    return ((by_mean + 2 * by_var * (x.to(mean.dtype) - mean)) / max(len(x), 1)).to(x.dtype)


@fake("moment_kl")
def _(x, options):
    acc = accumulator(x.dtype)
    return x.new_empty((), dtype=acc), x.new_empty(x.shape[1], dtype=acc), x.new_empty(x.shape[1], dtype=acc)


@fake("moment_kl_backward")
def _(grad_kl, grad_mean, grad_var, x, *_):
    return x.new_empty(x.shape)


def _save(ctx, inputs, outputs):
    x, ctx.options = inputs
    # mean and var are outputs with gradients of their own: second derivatives flow through them
    ctx.save_for_backward(x, *outputs[1:])


def _backward(ctx, *grads):
    return (_gradient(*grads, *ctx.saved_tensors, ctx.options),)


_gradient = differentiable_by_reference("moment_kl_backward", wanted=6)
_forward = differentiable("moment_kl", 1, _save, _backward)


def moment_kl(
    codes: Tensor, *, variant: str = "correct", direction: str = "qp", dims: str = "mean"
) -> tuple[Tensor, Tensor, Tensor]:
    """KL of the moment-matched normal distribution of a batch of codes and N(0, I).

    codes: [B, Z] (or [B, ...]: all but the first dimension are latent) float64, float32, float16 or bfloat16;
    rows may be strided.  The moments are those of the whole batch, the variance is the biased one.
    variant: "correct", or "published" as AGE's code has it (the variance in place of the deviation).
    direction: "qp", KL(codes || N(0, I)), AGE's default, or "pq", KL(N(0, I) || codes).
    dims: "mean" (AGE's code) or "sum" over the latent dimensions.

    Returns (kl, mean, var): a scalar in nats and the moments [Z], float32 (float64 for float64); var near 0
    tells that the codes collapse.  A dimension without variance (one sample) gives inf, or NaN with "pq".
    Raises ValueError naming the argument.  Differentiable any number of times, through all three.
    """
    op = "moment_kl"
    _checks.batch(op, "codes", codes)
    packed = options(
        _checks.choice(op, "variant", variant, VARIANTS),
        _checks.choice(op, "direction", direction, DIRECTIONS),
        _checks.choice(op, "dims", dims, DIMS),
    )
    return _forward(codes if codes.dim() == 2 else codes.flatten(1), packed)
