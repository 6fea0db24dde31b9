"""How evenly images change along walks between codes: perceptual path length with any extractor's features.

Karras et al. 2019, arXiv:1812.04948, sec. 4.1, there with VGG's features (LPIPS) on full paths.
"""

import torch
from torch import Tensor

from bigan.metrics import checks
from bigan.metrics.report import Estimate


def path_length(a: Tensor, b: Tensor, step: float) -> Estimate:
    """E |phi(G(z(t + step))) - phi(G(z(t)))|^2 / step^2.  [N, D], [N, D] -> Estimate

    a, b: features at t and at t + step on the same N walks, t uniform.  Lower is smoother; comparable between
    models only with one extractor and one step.  spread: standard error over the walks.
    """
    for name, x in (("a", a), ("b", b)):
        checks.table("path_length", name, x, least=2)
    checks.need(a.shape == b.shape, "path_length", "b must match a", f"{list(b.shape)} for {list(a.shape)}")
    checks.need(step > 0, "path_length", "step must be positive", step)
    lengths = (a.double() - b.double()).square().sum(1) / step**2  # [N]
    error = lengths.std() / torch.tensor(len(lengths)).sqrt()
    return Estimate(lengths.mean().item(), error.item(), "standard error")
