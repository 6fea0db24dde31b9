"""Reparameterised Gaussian sample and its KL divergence from the standard normal, in one pass.

Kingma & Welling 2014 (arXiv:1312.6114), section 2.4 and Appendix B:

    z = mu + sigma * eps,  eps ~ N(0, 1)
    KL(N(mu, sigma^2) || N(0, 1)) = 1/2 * sum_j (mu_j^2 + sigma_j^2 - 1 - log sigma_j^2)

and IntroVAE's hinge on it (Huang et al. 2018, arXiv:1807.06358, eq. 5): [m - KL]+.
Used by IAN, IntroVAE, ALI, PAGAN, VAE.
"""

import torch
from torch import Tensor

from bigan.ops import _checks, _philox
from bigan.ops._registry import accumulator, define, differentiable, differentiable_by_reference, fake

REDUCTIONS = ("none", "mean", "sum")
HINGES = ("off", "batch", "sample")
_OFF, _BATCH, _SAMPLE = range(3)

# Arguments of both operators, once.  eps, or (rng, sample_id, stream), give the noise; with neither z is [0].
# scale is log sigma^2, or log sigma with logstd.  loss is the reduced value, 0 with reduction "none".
_ARGS = "Tensor? eps, Tensor? rng, Tensor? sample_id, int stream, int options, float margin"


def options(logstd: int, mean_dims: int, reduction: int, hinge: int) -> int:
    """All choices in one number: at a GAN's sizes the call is what costs, and each argument adds to it."""
    return logstd | mean_dims << 1 | reduction << 2 | hinge << 4


def unpacked(options: int) -> tuple[bool, bool, int, int]:
    return bool(options & 1), bool(options & 2), options >> 2 & 3, options >> 4 & 3


def _noise(mu, eps, rng, sample_id, stream):
    """eps as given or drawn, None where no sample is wanted."""
    if eps is not None or rng is None:
        return eps
    return _philox.normal(rng, sample_id, mu.shape[0], mu.shape[1], stream)


@define(f"reparam_kl(Tensor mu, Tensor scale, {_ARGS}) -> (Tensor z, Tensor rows, Tensor loss)")
def _reference(mu, scale, eps, rng, sample_id, stream, options, margin):
    """[B, Z], [B, Z] -> z [B, Z] (or [0]), rows [B], loss []."""
    logstd, mean_dims, reduction, hinge = unpacked(options)
    acc = accumulator(mu.dtype)
    m, lv = mu.to(acc), scale.to(acc) * (2 if logstd else 1)
    noise = _noise(mu, eps, rng, sample_id, stream)
    z = mu.new_empty(0) if noise is None else (m + (0.5 * lv).exp() * noise.to(acc)).to(mu.dtype)
    kl = 0.5 * (m.square() + lv.exp() - 1 - lv)
    kl = kl.mean(1) if mean_dims else kl.sum(1)
    rows = (margin - kl).relu() if hinge == _SAMPLE else kl
    loss = {"none": rows.new_zeros(()), "mean": rows.mean(), "sum": rows.sum()}[REDUCTIONS[reduction]]
    return z, rows, (margin - loss).relu() if hinge == _BATCH else loss


@define(
    "reparam_kl_backward(Tensor? grad_z, Tensor? grad_rows, Tensor? grad_loss, Tensor mu, Tensor scale, "
    f"Tensor? rows, Tensor? loss, {_ARGS}) -> (Tensor, Tensor)"
)
def _reference_backward(
    grad_z, grad_rows, grad_loss, mu, scale, rows, loss, eps, rng, sample_id, stream, options, margin
):  # -> [B, Z], [B, Z]; rows and loss, the forward's, are needed with a hinge alone
    logstd, mean_dims, reduction, hinge = unpacked(options)
    acc = accumulator(mu.dtype)
    m, sigma = mu.to(acc), (scale.to(acc) * (1 if logstd else 0.5)).exp()
    # c: derivative by the KL of each row.  The hinge passes where it is above 0 (and NaN), as relu does.
    c = m.new_zeros(len(m))
    if grad_loss is not None and REDUCTIONS[reduction] != "none":
        g = grad_loss / max(len(m), 1) if REDUCTIONS[reduction] == "mean" else grad_loss
        c = c + (torch.where(loss <= 0, 0, -g) if hinge == _BATCH else g)
    if grad_rows is not None:
        c = c + grad_rows
    if hinge == _SAMPLE:
        c = torch.where(rows <= 0, 0, -c)
    if mean_dims:
        c = c / max(mu.shape[1], 1)
    d_mu, d_sigma = c[:, None] * m, c[:, None] * (sigma.square() - 1)  # d_sigma: by log sigma
    if grad_z is not None:
        noise = _noise(mu, eps, rng, sample_id, stream)
        d_mu, d_sigma = d_mu + grad_z, d_sigma + grad_z * sigma * noise.to(acc)
    return d_mu.to(mu.dtype), (d_sigma if logstd else 0.5 * d_sigma).to(mu.dtype)


@fake("reparam_kl")
def _(mu, scale, eps, rng, sample_id, stream, options, margin):
    acc = accumulator(mu.dtype)
    z = mu.new_empty(0) if eps is None and rng is None else mu.new_empty(mu.shape)
    return z, mu.new_empty(mu.shape[0], dtype=acc), mu.new_empty((), dtype=acc)


@fake("reparam_kl_backward")
def _(grad_z, grad_rows, grad_loss, mu, *_):
    return mu.new_empty(mu.shape), mu.new_empty(mu.shape)


def _save(ctx, inputs, outputs):
    mu, scale, eps, rng, sample_id, *ctx.rest = inputs
    _, rows, loss = outputs if ctx.rest[1] >> 4 else (None, None, None)
    ctx.save_for_backward(mu, scale, rows, loss, eps, rng, sample_id)


def _backward(ctx, grad_z, grad_rows, grad_loss):
    saved = ctx.saved_tensors
    if saved[4] is None and saved[5] is None:
        grad_z = None  # no sample was drawn: z is empty
    return _gradient(grad_z, grad_rows, grad_loss, *saved, *ctx.rest)


_gradient = differentiable_by_reference("reparam_kl_backward", wanted=5)
_forward = differentiable("reparam_kl", 2, _save, _backward)


def _call(op, mu, scale, eps, rng, sample_id, stream, logstd, dims, reduction, margin, hinge):
    """Check, flatten [B, ...] to [B, Z], call; returns z and what `reduction` asks for."""
    _checks.floating(op, "mu", mu)
    if _checks.autocast(mu, scale):
        mu, scale, eps = _widest(mu, scale, eps)
    shape = mu.shape
    if len(shape) < 2:
        _checks.fail(op, "mu", "be [B, Z] (or [B, ...])", mu)
    if logstd is not False and logstd is not True:
        _checks.fail(op, "logstd", "be True or False", logstd)
    _checks.same(op, "logstd" if logstd else "logvar", scale, "mu", mu)
    if eps is not None or rng is not None or sample_id is not None:
        _check_noise(op, mu, eps, rng, sample_id, stream)
    plain = margin is None and isinstance(dims, str) and isinstance(reduction, str) and isinstance(hinge, str)
    packed = _PLAIN.get((logstd, dims, reduction, hinge)) if plain else None
    if packed is None:
        packed = check_options(op, logstd, dims, reduction, margin, hinge)
    if len(shape) > 2:
        mu, scale, eps = mu.flatten(1), scale.flatten(1), None if eps is None else eps.flatten(1)
    z, rows, loss = _forward(
        mu, scale, eps, rng, sample_id, stream, packed, 0.0 if margin is None else margin
    )
    return z if len(shape) == 2 else z.view(shape), rows if reduction == "none" else loss


# The options without a hinge: checking each by itself costs as much as a kernel at these sizes.
_PLAIN = {
    (logstd, dims, reduction, hinge): options(logstd, dims == "mean", code, _OFF)
    for logstd in (False, True)
    for dims in ("sum", "mean")
    for code, reduction in enumerate(REDUCTIONS)
    for hinge in HINGES[1:]
}


def _widest(mu, scale, eps):
    """Under autocast the heads of one encoder may come in two types."""
    wide = torch.promote_types(mu.dtype, scale.dtype)
    return mu.to(wide), scale.to(wide), eps.to(wide) if isinstance(eps, Tensor) else eps


def _check_noise(op, mu, eps, rng, sample_id, stream):
    _checks.count(op, "stream", stream)
    if eps is not None:
        _checks.same(op, "eps", eps, "mu", mu)
        if eps.requires_grad:
            raise ValueError(f"{op}: eps must not require a gradient (it is noise), detach it")
        if rng is not None:
            raise ValueError(f"{op}: give eps or rng, not both")
    if rng is not None:
        _checks.rng(op, rng, mu.device)
    if sample_id is not None:
        if rng is None:
            raise ValueError(
                f"{op}: sample_id needs rng: it numbers the samples whose noise is drawn from it"
            )
        _checks.sample_id(op, sample_id, mu.shape[0], mu.device)


def check_options(op, logstd, dims, reduction, margin, hinge):
    mean_dims = _checks.choice(op, "dims", dims, ("sum", "mean"))
    code = _checks.choice(op, "reduction", reduction, REDUCTIONS)
    mode = _checks.choice(op, "hinge", hinge, HINGES[1:]) + 1
    if margin is None:
        return options(logstd, mean_dims, code, _OFF)
    if not isinstance(margin, (int, float)) or not 0 <= margin < float("inf"):
        _checks.fail(op, "margin", "be a finite number, 0 or more", margin)
    if mode == _BATCH and reduction != "mean":
        _checks.fail(op, "reduction", "be 'mean' with hinge='batch', which is on the batch mean", reduction)
    return options(logstd, mean_dims, code, mode)


def reparam_kl(
    mu: Tensor,
    logvar: Tensor,
    eps: Tensor | None = None,
    *,
    rng: Tensor | None = None,
    stream: int = 0,
    sample_id: Tensor | None = None,
    logstd: bool = False,
    dims: str = "sum",
    reduction: str = "none",
    margin: float | None = None,
    hinge: str = "batch",
) -> tuple[Tensor, Tensor]:
    """A sample z = mu + sigma * eps and KL(N(mu, sigma^2) || N(0, I)), from one read of mu and logvar.

    mu, logvar: [B, Z] (or [B, ...]: all but the first dimension are latent) float64, float32, float16 or
    bfloat16; rows may be strided, as `chunk(2, dim=1)` leaves them.  logvar is log sigma^2, or log sigma
    with logstd=True.
    eps: noise like mu.  Without it the noise is drawn inside the kernel and drawn again in backward, never
    stored: from rng = (seed, step), int64 [2], with `stream` and `sample_id` as in `philox_normal`; without
    rng the seed comes from torch's default generator, so `torch.manual_seed` governs.
    dims: "sum" or "mean" over the latent dimensions.
    reduction: "none" -> [B], "mean" or "sum" over the batch -> scalar.
    margin: m >= 0 returns the hinge instead of the KL: hinge="batch" gives [m - mean_b KL_b]+ (the authors'
    code; needs reduction="mean"), hinge="sample" gives [m - KL_b]+ of each sample.

    Returns (z, kl): z like mu; kl in nats, float32 (float64 for float64), accumulated in that type.
    Raises ValueError naming the argument.  Differentiable any number of times by mu and logvar.
    """
    if eps is None and rng is None and isinstance(mu, Tensor):
        rng = torch.randint(-(2**63), 2**63 - 1, (2,), dtype=torch.int64, device=mu.device)
    return _call(
        "reparam_kl", mu, logvar, eps, rng, sample_id, stream, logstd, dims, reduction, margin, hinge
    )


def gaussian_kl(
    mu: Tensor,
    logvar: Tensor,
    *,
    logstd: bool = False,
    dims: str = "sum",
    reduction: str = "none",
    margin: float | None = None,
    hinge: str = "batch",
) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, I)), or its hinge, without drawing a sample: `reparam_kl`'s second result."""
    return _call("gaussian_kl", mu, logvar, None, None, None, 0, logstd, dims, reduction, margin, hinge)[1]
