"""How much of the data the samples cover, and how many of them lie in it, by nearest neighbours of features.

Precision and recall: Kynkaanniemi et al. 2019, arXiv:1904.06991.  Density and coverage: Naeem et al. 2020,
arXiv:2002.09797.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from bigan.metrics import checks

BLOCK = 2**22  # distances in float64 at once: 32 MiB


class Neighbours(NamedTuple):
    precision: float  # share of samples within a real image's ball
    recall: float  # share of real images within a sample's ball
    density: float  # real balls around a sample, over k; may exceed 1
    coverage: float  # share of real images whose ball holds a sample


@torch.no_grad()
def neighbours(real: Tensor, fake: Tensor, k: int = 3, k_density: int = 5, block: int = BLOCK) -> Neighbours:
    """All four from one pass over the distances.  [N, D], [M, D] -> Neighbours

    A vector's ball reaches to its k-th nearest neighbour in its own set (k_density-th for density and
    coverage; 3 and 5 are the papers').  N, M > k, N > k_density.  Memory: both sets in
    float64, and `block` distances.
    """
    for name, value in (("k", k), ("k_density", k_density)):
        checks.need(value >= 1, "neighbours", f"{name} must be 1 or more", value)
    checks.table("neighbours", "real", real, least=max(k, k_density) + 1)
    checks.table("neighbours", "fake", fake, least=k + 1)
    checks.same_columns("neighbours", real, fake)
    centre = real.mean(0, dtype=torch.float64)  # in float64, and centred: a common mean costs no digits
    x, y = _Points(real.double() - centre), _Points(fake.double() - centre)
    slack = 1e-12 * max(x.norms.max().item(), y.norms.max().item())  # copies stay within a ball of 0
    near = _radii(x, (k, k_density), block) + slack  # [2, N]
    own = _radii(y, (k,), block)[0] + slack  # [M]
    inside = balls = 0.0
    recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    covered = recalled.clone()
    for rows, d, within in _distances(y, x, block):  # [m, N], and room for as many answers
        inside += torch.le(d, near[0], out=within).any(1).sum().item()
        balls += torch.le(d, near[1], out=within).sum().item()
        covered |= within.any(0)
        recalled |= torch.le(d, own[rows, None], out=within).any(0)
    m = len(fake)
    return Neighbours(
        inside / m, recalled.double().mean().item(), balls / (k_density * m), covered.double().mean().item()
    )


class _Points:
    """Vectors and their squared norms."""

    def __init__(self, x: Tensor):
        self.x, self.norms = x, x.square().sum(1)  # [N, D], [N]


def _radii(points: _Points, ks: tuple[int, ...], block: int) -> Tensor:
    """Squared distance to the k-th nearest of the others, for each k.  -> [len(ks), N]"""
    found = torch.empty(len(ks), len(points.x), dtype=torch.float64, device=points.x.device)
    for rows, d, _ in _distances(points, points, block):
        d[:, rows].fill_diagonal_(torch.inf)
        nearest = d.topk(max(ks), dim=1, largest=False).values
        for radii, k in zip(found, ks, strict=True):
            radii[rows] = nearest[:, k - 1]
    return found


def _distances(a: _Points, b: _Points, block: int) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Rows of a, as many at a time as make `block` distances; theirs to all of b, squared; room for truth values.

    All in the same memory: what is freed and asked for again by turns leaves an allocator's heap in holes.
    -> [m, N], [m, N] bool
    """
    step = max(1, min(block // len(b.x), len(a.x)))
    d = torch.empty(step, len(b.x), dtype=torch.float64, device=a.x.device)
    within = torch.empty_like(d, dtype=torch.bool)
    for start in range(0, len(a.x), step):
        rows = slice(start, min(start + step, len(a.x)))
        some = d[: rows.stop - start]
        torch.addmm(b.norms, a.x[rows], b.x.T, alpha=-2, out=some)  # |b|^2 - 2 a.b
        yield rows, some.add_(a.norms[rows, None]).clamp_(min=0), within[: len(some)]
