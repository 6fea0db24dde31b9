"""How much of the data the samples cover, and how many of them lie in it, by nearest neighbours of features.

Precision and recall: Kynkaanniemi et al. 2019, arXiv:1904.06991.  Density and coverage: Naeem et al. 2020,
arXiv:2002.09797.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from bigan.metrics import checks

BLOCK = 2**24  # distances in float64 at once: 128 MiB


class Neighbours(NamedTuple):
    precision: float  # share of samples within a real image's ball
    recall: float  # share of real images within a sample's ball
    density: float  # real balls around a sample, over k; may exceed 1
    coverage: float  # share of real images whose ball holds a sample


def neighbours(real: Tensor, fake: Tensor, k: int = 3, k_density: int = 5, block: int = BLOCK) -> Neighbours:
    """All four from one pass over the distances.  [N, D], [M, D] -> Neighbours

    A vector's ball reaches to its k-th nearest neighbour in its own set (k_density-th for density and
    coverage; 3 and 5 are the papers').  N, M > k, N > k_density.  Memory: `block` distances.
    """
    for name, value in (("k", k), ("k_density", k_density)):
        checks.need(value >= 1, "neighbours", f"{name} must be 1 or more", value)
    checks.table("neighbours", "real", real, least=max(k, k_density) + 1)
    checks.table("neighbours", "fake", fake, least=k + 1)
    checks.same_columns("neighbours", real, fake)
    centre = real.mean(0, dtype=torch.float64)
    slack = 1e-12 * max(
        _norms(x, centre).max().item() for x in (real, fake)
    )  # copies stay within a ball of 0
    near = _radii(real, (k, k_density), centre, block) + slack  # [2, N]
    own = _radii(fake, (k,), centre, block)[0] + slack  # [M]
    inside = balls = 0.0
    recalled = torch.zeros(len(real), dtype=torch.bool, device=real.device)
    covered = recalled.clone()
    for part, radius in zip(*(t.split(_rows(real, block)) for t in (fake, own)), strict=True):
        d = _squared(part, real, centre)  # [m, N]
        inside += (d <= near[0]).any(1).sum().item()
        in_ball = d <= near[1]
        balls += in_ball.sum().item()
        covered |= in_ball.any(0)
        recalled |= (d <= radius[:, None]).any(0)
    m = len(fake)
    return Neighbours(
        inside / m, recalled.double().mean().item(), balls / (k_density * m), covered.double().mean().item()
    )


def _radii(x: Tensor, ks: tuple[int, ...], centre: Tensor, block: int) -> Tensor:
    """Squared distance to the k-th nearest of the others, for each k.  [N, D] -> [len(ks), N]"""
    found = []
    rows = _rows(x, block)
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        d = _squared(part, x, centre)
        d[:, start : start + rows].fill_diagonal_(torch.inf)
        nearest = d.topk(max(ks), dim=1, largest=False).values
        found.append(nearest[:, [k - 1 for k in ks]].T)
    return torch.cat(found, dim=1)


def _rows(x: Tensor, block: int) -> int:
    return max(1, block // len(x))


def _squared(a: Tensor, b: Tensor, centre: Tensor) -> Tensor:
    """[n, D], [m, D] -> [n, m] float64; centred, so that a common mean costs no digits."""
    left = a.double() - centre
    d = torch.empty(len(a), len(b), dtype=torch.float64, device=a.device)
    for start in range(0, len(b), 8192):
        right = b[start : start + 8192].double() - centre
        d[:, start : start + 8192] = left @ right.T
    return d.mul_(-2).add_(_norms(a, centre)[:, None]).add_(_norms(b, centre)).clamp_(min=0)


def _norms(x: Tensor, centre: Tensor) -> Tensor:
    """[N, D] -> [N]"""
    return torch.cat([(part.double() - centre).square().sum(1) for part in x.split(8192)])
