"""The order of a run, without state: batch k is a pure function of (seed, k)."""

import logging

import torch
from torch import Tensor

from .images import FLIP, ORDER, DataError, Images, random_bits, shuffled

log = logging.getLogger(__name__)


def scale(x: Tensor, data_range: tuple[float, float] = (0.0, 1.0)) -> Tensor:
    """uint8 images, any shape -> float32 with 0 at data_range[0] and 255 at data_range[1], both exactly."""
    low, high = data_range
    # a tensor, for a number would give the default dtype; and no fused multiply-add, which misses `high`
    x = x * torch.tensor((high - low) / 255, dtype=torch.float32)
    return x.add_(low) if low else x


class Batches:
    """`batches(k)` -> [B, C, H, W] float32, contiguous, on `device`, in `data_range`.

    Every epoch is a fresh permutation from (seed, epoch) that shows each image at most once; a remainder
    smaller than a batch is dropped.  Mirror flips, p = 1/2, are drawn per (seed, step).  Nothing has to be
    saved to resume.  The uint8 images stay on the device and each epoch's order is sent there once, so a call
    launches two to five kernels and does no other work on the host.  rank, ranks: of each batch of B every
    ranks-th image, from the rank-th on: B / ranks of them (see bigan/ranks.py).
    """

    def __init__(
        self,
        images: Images,
        batch: int,
        seed: int,
        device: torch.device | str = "cpu",
        flip: bool = False,
        data_range: tuple[float, float] = (0.0, 1.0),
        rank: int = 0,
        ranks: int = 1,
    ):
        if not len(images):
            raise DataError(f"{images.name}: no images to train on")
        if batch < 1:
            raise DataError(f"--batch must be 1 or more, got {batch}")
        if len(images) < batch:
            log.warning(
                "%s has only %d images: the batch of %d shrinks to that", images.name, len(images), batch
            )
        self.batch = min(batch, len(images) // ranks * ranks)
        if not self.batch:
            raise DataError(f"{images.name}: {len(images)} images cannot be shared by {ranks} processes")
        self.rank, self.ranks = rank, ranks
        self.steps_per_epoch = len(images) // self.batch
        self.images_per_epoch = self.steps_per_epoch * self.batch
        self.seed, self.flip, self.data_range = seed, flip, data_range
        self.images = images.images.to(device)  # [N, C, H, W] uint8
        self._epoch = -1
        self._order = self._flips = torch.empty(0)

    def __call__(self, step: int) -> Tensor:
        at = self._place(step)
        x = self.images.index_select(0, self._order[at])
        if self.flip:
            x = torch.where(self._flips[at], x.flip(-1), x)
        return scale(x, self.data_range)

    def indices(self, step: int) -> Tensor:
        """Which images batch `step` shows, [B] int64 on the device."""
        at = self._place(step)
        return self._order[at]

    def _place(self, step: int) -> slice:
        """Where in its epoch's order batch `step` lies; prepares that epoch."""
        if step < 0:
            raise ValueError(f"step must be 0 or more, got {step}")
        epoch, k = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            n, device = len(self.images), self.images.device
            self._order = torch.from_numpy(shuffled(n, self.seed, epoch, ORDER)).to(device)
            if self.flip:
                flips = random_bits(n, self.seed, epoch, FLIP) >> 63 != 0
                self._flips = torch.from_numpy(flips).to(device)[:, None, None, None]
            self._epoch = epoch
        return slice(k * self.batch + self.rank, (k + 1) * self.batch, self.ranks)
