"""A moving average of a system's weights."""

import copy

import torch
from torch import Tensor

from bigan.systems.base import System

RAMP = (
    0.05  # early on, the half-life is this part of the images seen, so that the first weights are forgotten
)


class EMA:
    """A copy of a system whose parameters follow the trained ones:

        w <- b w + (1 - b) v,   b = 2^(-n / h),   h = min(half_life, RAMP * kimg),

    after each step of n thousand images (Karras et al., StyleGAN2-ADA). Buffers, such as the running
    statistics of batch normalisation, are copied.
    """

    def __init__(self, system: System, half_life: float):  # kimg
        self.system = copy.deepcopy(system).requires_grad_(False).eval()
        self.half_life = half_life
        self._params: tuple[list[Tensor], list[Tensor]] = (
            list(self.system.parameters()),
            list(system.parameters()),
        )
        self._buffers = list(self.system.buffers()), list(system.buffers())

    @torch.no_grad()
    def update(self, kimg: float, n: float) -> None:
        """Follow a step of n thousand images that ended at `kimg`."""
        weights, trained = self._params
        torch._foreach_lerp_(weights, trained, 1 - beta(kimg, n, self.half_life))
        if self._buffers[0]:
            torch._foreach_copy_(*self._buffers)


def beta(kimg: float, n: float, half_life: float) -> float:
    """What is left of the average after n thousand more images."""
    return 0.5 ** (n / max(min(half_life, RAMP * kimg), 1e-9))
