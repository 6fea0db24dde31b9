"""How many Gaussians of a mixture samples cover, as ALI's paper counts them (arXiv:1606.00704, sec. 4)."""

from typing import NamedTuple

import torch
from torch import Tensor

from bigan.metrics import checks

GRID = torch.cartesian_prod(torch.arange(-4.0, 5.0, 2.0), torch.arange(-4.0, 5.0, 2.0))  # [25, 2]
STD = 0.05  # of each Gaussian of that grid


class Modes(NamedTuple):
    covered: int  # Gaussians that some sample most likely came from
    near: float  # share of the samples within 3 standard deviations of one
    good: int  # Gaussians with a sample so near


def modes(samples: Tensor, means: Tensor = GRID, std: float = STD) -> Modes:
    """[N, D], [K, D] -> Modes, for Gaussians of equal weight and spread: the nearest is the most likely.

    Samples that lie all over the plane cover every mode: `covered`, the paper's count, means something only
    where `near` is large.
    """
    checks.table("modes", "samples", samples, least=1)
    checks.table("modes", "means", means, least=1)
    checks.same_columns("modes", samples, means, "dimensions")
    checks.need(std > 0, "modes", "std must be positive", std)
    distance, mode = torch.cdist(samples.double(), means.to(samples.device).double()).min(1)
    near = distance <= 3 * std
    return Modes(mode.unique().numel(), near.double().mean().item(), mode[near].unique().numel())
