"""Codes, their divergence from the prior, and noise alone."""

import torch

from bigan import ops
from op_cases.case import ELEMENT, MATRICES, NOISE, Case, randn, seed


def _reparam(**options):
    return lambda mu, scale: ops.reparam_kl(mu, scale, rng=seed(mu.device), stream=3, **options)


def _given(**options):
    def call(mu, scale):
        eps = torch.linspace(-2, 2, mu.numel(), dtype=torch.float64, device=mu.device).view(mu.shape)
        return ops.reparam_kl(mu, scale, eps.to(mu.dtype), **options)

    return call


def _kl(**options):
    return lambda mu, scale: (ops.gaussian_kl(mu, scale, **options),)


def _eager_reparam(mu, logvar):
    z = mu + (0.5 * logvar).exp() * torch.randn_like(mu)
    return z, 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean()


def _eager_kl(mu, logvar):
    return (0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1).mean(),)


def _raw_reparam(mu, scale):
    return mu, scale, None, seed(mu.device), None, 3, 1 << 2 | 1 << 4, 40.0  # reduction mean, hinge batch


LATENTS = (
    (64, 128),
    (256, 512),
    (4096, 1024),
)  # Soft-IntroVAE at 32 px; a large batch; large enough to leave the caches


def _case(name, call, tol=ELEMENT, **more):
    return Case("reparam_kl", name, randn(2), call, MATRICES, tol, **more)


CASES = [
    _case(
        "drawn",
        _reparam(reduction="mean"),
        NOISE,
        bench=LATENTS,
        bytes=lambda s, n: (
            8 * s[0] * s[1] * n
        ),  # forward mu, logvar, z; backward mu, logvar, grad z, two gradients
        eager=_eager_reparam,
        raw=_raw_reparam,
    ),
    _case("drawn-rows", _reparam(), NOISE),
    _case("drawn-logstd", _reparam(logstd=True, dims="mean", reduction="sum"), NOISE),
    _case("given", _given(reduction="mean", margin=30.0)),
    _case("given-sample-hinge", _given(reduction="none", margin=12.0, hinge="sample")),
    _case("given-sample-hinge-mean", _given(reduction="mean", margin=12.0, hinge="sample", logstd=True)),
    _case(
        "kl",
        _kl(reduction="mean"),
        bench=LATENTS,
        bytes=lambda s, n: 6 * s[0] * s[1] * n,
        eager=_eager_kl,
    ),
    _case("kl-mean-dims", _kl(dims="mean", logstd=True)),
    _case("kl-closed-hinge", _kl(reduction="mean", margin=0.0)),  # never passes: gradients are 0
    Case(
        "philox_normal",
        "float32",
        randn(1),
        lambda x: (ops.philox_normal(seed(x.device), *x.shape, stream=5, dtype=x.dtype),),
        MATRICES,
        NOISE,
        raw=lambda x: (seed(x.device), None, *x.shape, 5),
        differentiable=False,
    ),
]
