"""AGE's operators on codes."""

import torch

from bigan import ops
from op_cases.case import ELEMENT, MATRICES, Case, randn

CODES = ((64, 128), (64, 64), (256, 64), (4096, 1024))  # AGE's own; large enough to leave the caches
# The gradient has factors 1 / v and x - m: rounding of the moments shows where few rows happen to be close.
MOMENTS = {torch.float64: 1e-10, torch.float32: 1e-4, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
# small, odd, one sample (no variance), no rows, no columns, many tiles of columns, many chunks of rows
BATCHES = ((4, 8), (3, 37), (1, 1), (0, 16), (5, 0), (6, 1500), (300, 5))


def _unit(x):
    return x / x.norm(dim=1, keepdim=True)


def _sphere(name, **more):
    return Case(
        "sphere_normalize", name, randn(1), lambda x: (ops.sphere_normalize(x),), MATRICES, ELEMENT, **more
    )


def _match(match, eager=None, **more):
    return Case(
        "latent_match",
        match,
        randn(2),
        lambda a, b: (ops.latent_match(a, b, match),),
        MATRICES,
        ELEMENT,
        bench=CODES if eager else (),
        bytes=lambda s, n: 6 * s[0] * s[1] * n,  # two read each way, two gradients written
        eager=eager,
        **more,
    )


def _eager_moment_kl(x):  # the authors' code
    m, v = x.mean(0), x.var(0, unbiased=False)
    return ((-v.log() + (v.square() + m.square()) / 2 - 0.5).mean(),)


def _moments(name, call, **more):
    return Case(
        "moment_kl",
        name,
        randn(1),
        call,
        BATCHES,
        MOMENTS,
        bytes=lambda s, n: 3 * s[0] * s[1] * n,
        **more,
    )


CASES = [
    _sphere(
        "rows",
        bench=CODES,
        bytes=lambda s, n: 5 * s[0] * s[1] * n,  # forward x, y; backward x, gradients of y and x
        eager=lambda x: (_unit(x),),
        raw=lambda x: (x,),
    ),
    _match("cos", lambda a, b: (2 - (_unit(a) * _unit(b)).mean(),), raw=lambda a, b: (a, b, 0)),
    _match("cosine"),
    _match("l1", lambda a, b: ((a - b).abs().mean(),)),
    _match("l2", lambda a, b: ((a - b).square().mean(),)),
    _moments("correct", lambda x: ops.moment_kl(x), raw=lambda x: (x, 0)),
    _moments("correct-pq-sum", lambda x: ops.moment_kl(x, direction="pq", dims="sum")),
    _moments(
        "published",
        lambda x: ops.moment_kl(x, variant="published")[:1],
        bench=CODES,
        eager=_eager_moment_kl,
    ),
    _moments("published-pq", lambda x: ops.moment_kl(x, variant="published", direction="pq")),
]
