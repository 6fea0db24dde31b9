"""How much of the data the samples cover, and how many of them lie in it, by nearest neighbours of features.

Precision and recall: Kynkaanniemi et al. 2019, arXiv:1904.06991.  Density and coverage: Naeem et al. 2020,
arXiv:2002.09797.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from bigan.metrics import checks

BLOCK = 2**22  # distances in float64 at once: 32 MiB, which an allocator keeps for the next block


class Neighbours(NamedTuple):
    precision: float  # share of samples within a real image's ball
    recall: float  # share of real images within a sample's ball
    density: float  # real balls around a sample, over k; may exceed 1
    coverage: float  # share of real images whose ball holds a sample


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
    for rows in _blocks(y, x, block):
        d = _squared(y, rows, x)  # [m, N]
        inside += (d <= near[0]).any(1).sum().item()
        in_ball = d <= near[1]
        balls += in_ball.sum().item()
        covered |= in_ball.any(0)
        recalled |= (d <= own[rows, None]).any(0)
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
    found = []
    for rows in _blocks(points, points, block):
        d = _squared(points, rows, points)
        d[:, rows].fill_diagonal_(torch.inf)
        nearest = d.topk(max(ks), dim=1, largest=False).values
        found.append(nearest[:, [k - 1 for k in ks]].T)
    return torch.cat(found, dim=1)


def _blocks(a: _Points, b: _Points, block: int) -> Iterator[slice]:
    """Rows of a, as many at a time as make `block` distances to b."""
    rows = max(1, block // len(b.x))
    return (slice(start, min(start + rows, len(a.x))) for start in range(0, len(a.x), rows))


def _squared(a: _Points, rows: slice, b: _Points) -> Tensor:
    """Squared distances of some of a to all of b.  -> [n, M]"""
    d = torch.addmm(b.norms, a.x[rows], b.x.T, alpha=-2)  # |b|^2 - 2 a.b
    return d.add_(a.norms[rows, None]).clamp_(min=0)
