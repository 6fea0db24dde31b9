"""What a run shows of itself: fixed samples, fixed held-out images and their reconstructions, one number."""

from collections.abc import Iterator

import torch
from torch import Tensor

from bigan import data
from bigan.engine import grid
from bigan.engine.noise import PICTURES, Noise
from bigan.systems.base import System

VAL_IMAGES = 1000  # held-out images that val_mse looks at, at most
SHEET = 2048  # side of a picture in pixels, at most
ROWS = 8  # rows and columns of a picture, at most


class Gallery:
    """Held-out images on the CPU, sent to `device` as they are needed."""

    def __init__(self, held_out: data.Images, device: torch.device):
        at = spread(len(held_out), VAL_IMAGES)
        self.images = held_out.take(at)  # [N, C, H, W] uint8
        self.labels = held_out.conditions(at)  # ([N, Y],), or () for a system without
        self.device = device
        self.rows = max(1, min(ROWS, SHEET // max(held_out.shape[1:])))

    @torch.no_grad()
    def look(self, system: System, noise: Noise, batch: int) -> dict[str, grid.Image.Image]:
        """Samples and, where there is an encoder, reconstructions. Draws from `noise` the same each time.

        What is conditioned has for samples the attributes of held-out images, for reconstructions its image's.
        """
        span, rows, columns = system.data_range, self.rows, max(1, self.rows // 2)
        with system.inference():
            of = spread_over(len(self.images), rows * rows)
            samples = system.sample(rows * rows, noise.at(PICTURES), *self._labels(of))
            if not system.has_encoder():
                return {"samples": grid.grid(samples, span, rows)}
            index = spread(len(self.images), rows * columns)
            x, labels = self._real(index, span), self._labels(index)
            x_r = torch.cat([system.reconstruct(*part) for part in parts(batch, x, *labels)])
        return {
            "samples": grid.grid(samples, span, rows),
            "reconstructions": grid.pairs(x, x_r, span, columns),
        }

    @torch.no_grad()
    def val_mse(self, system: System, batch: int) -> float:
        """(G(E(x)) - x)^2, mean over held-out images, channels and pixels; pixels in [0, 1]; eval mode."""
        low, high = system.data_range
        total = torch.zeros((), device=self.device)
        with system.inference():
            for index in torch.arange(len(self.images)).split(batch):
                x = self._real(index, system.data_range)
                total += (system.reconstruct(x, *self._labels(index)) - x).square().sum()
        return total.item() / self.images.numel() / (high - low) ** 2

    def _real(self, index: Tensor, span: tuple[float, float]) -> Tensor:  # [n] -> [n, C, H, W]
        return data.scale(self.images[index].to(self.device), span)

    def _labels(self, index: Tensor) -> tuple[Tensor, ...]:  # ([n, Y],), or ()
        return tuple(t[index].to(self.device) for t in self.labels)


def spread(n: int, at_most: int) -> Tensor:
    """Up to `at_most` of range(n), evenly: every class of a sorted data set has its share."""
    return spread_over(n, min(n, at_most))


def spread_over(n: int, count: int) -> Tensor:
    """`count` of range(n), evenly; some more than once where there are fewer."""
    return torch.arange(count) * n // count


def parts(batch: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Tensors [N, ...] in step, up to `batch` rows at a time."""
    return zip(*(t.split(batch) for t in tensors), strict=True)
