"""The Frechet distance between two sets of features; with Inception's it is the FID.

Heusel et al. 2017, arXiv:1706.08500, eq. 6.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bigan.metrics import checks

CHUNK = 4096  # rows in float64 at once


@dataclass(frozen=True)
class Moments:
    """Mean [D] and unbiased covariance [D, D] of n feature vectors, float64."""

    n: int
    mean: Tensor
    cov: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Moments":
        """features: [N, D] floating point, finite, N >= 2.  In two passes, so that large means cost no digits."""
        checks.table("frechet_distance", "features", features, least=2)
        n, dim = features.shape
        mean = features.sum(0, dtype=torch.float64) / n
        cov = torch.zeros(dim, dim, dtype=torch.float64, device=features.device)
        for part in features.split(CHUNK):
            centred = part.double() - mean
            cov.addmm_(centred.T, centred)
        return cls(n, mean, cov / (n - 1))


def frechet_distance(real: Tensor | Moments, fake: Tensor | Moments) -> float:
    """|m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)): the squared 2-Wasserstein distance of two Gaussians.

    real, fake: features [N, D], or their Moments.  Biased upwards, by about D / N of the features' variance:
    compare at the same N alone.  Fewer vectors than features are allowed: covariances may be singular.
    """
    a, b = (x if isinstance(x, Moments) else Moments.of(x) for x in (real, fake))
    checks.same_columns("frechet_distance", a.cov, b.cov)
    # tr (C C')^(1/2) is the sum of the singular values of R^T R', where C = R R^T: no root of a rounding
    # error is taken, as it is of the eigenvalues of C C', which are 0 for singular covariances.
    cross = torch.linalg.svdvals(_root(a.cov).T @ _root(b.cov)).sum()
    distance = (a.mean - b.mean).square().sum() + a.cov.trace() + b.cov.trace() - 2 * cross
    return max(0.0, distance.item())


def _root(cov: Tensor) -> Tensor:
    """R with R R^T = cov.  [D, D] -> [D, D]"""
    values, vectors = torch.linalg.eigh(cov)
    return vectors * values.clamp(min=0).sqrt()
