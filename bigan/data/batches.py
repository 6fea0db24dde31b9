"""The order of a run, without state: batch k is a pure function of (seed, k)."""

import logging

import torch
from torch import Tensor

from .ahead import Ahead, fits
from .cache import Mapped
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
    saved to resume.  The uint8 images lie on the device and each epoch's order is sent there once, so a call
    launches two to five kernels and does no other work on the host.  Where they do not fit, or lie in a cache
    on disk, threads read some batches ahead; the batches are the same.  rank, ranks: of each batch of B every
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
        device = torch.device(device)
        stay = isinstance(images, Mapped) or not fits(images, device)
        self._ahead = Ahead(images, lambda step: self._part(step)[0], device) if stay else None
        self._home = torch.device("cpu") if stay else device  # where the order lies
        self.device, self._count = device, len(images)
        self.images = torch.empty(0) if stay else images.images.to(device)  # [N, C, H, W] uint8
        attributes = images.attributes
        self.attributes = None if attributes is None else attributes.to(self._home)  # [N, Y]
        self._epochs: dict[int, tuple[Tensor, Tensor]] = {}  # order, flips

    def __call__(self, step: int) -> Tensor:
        index, flips = self._part(step)
        x = self._ahead(step) if self._ahead else self.images.index_select(0, index)
        if self.flip:
            x = torch.where(flips.to(self.device)[:, None, None, None], x.flip(-1), x)
        return scale(x, self.data_range)

    def labels(self, step: int) -> tuple[Tensor, ...]:
        """The attributes of the images of batch `step`, ([B, Y],) on the device; () where the images have none."""
        if self.attributes is None:
            return ()
        return (self.attributes.index_select(0, self.indices(step)).to(self.device),)

    def indices(self, step: int) -> Tensor:
        """Which images batch `step` shows, [B] int64; on the device, or where the images stay."""
        return self._part(step)[0]

    def _part(self, step: int) -> tuple[Tensor, Tensor]:
        """The images of batch `step` and whether each is mirrored, [B] each."""
        if step < 0:
            raise ValueError(f"step must be 0 or more, got {step}")
        epoch, k = divmod(step, self.steps_per_epoch)
        if epoch not in self._epochs:
            kept = {e: found for e, found in self._epochs.items() if e == epoch - 1}  # read ahead of
            order = torch.from_numpy(shuffled(self._count, self.seed, epoch, ORDER))
            flips = torch.empty(0, dtype=torch.bool)
            if self.flip:
                flips = torch.from_numpy(random_bits(self._count, self.seed, epoch, FLIP) >> 63 != 0)
            self._epochs = {**kept, epoch: (order.to(self._home), flips.to(self._home))}
        at = slice(k * self.batch + self.rank, (k + 1) * self.batch, self.ranks)
        order, flips = self._epochs[epoch]
        return order[at], flips[at]
