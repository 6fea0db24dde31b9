"""What a run shows of itself: fixed samples, fixed held-out images and their reconstructions, one number."""

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
        self.images = held_out.take(spread(len(held_out), VAL_IMAGES))  # [N, C, H, W] uint8
        self.device = device
        self.rows = max(1, min(ROWS, SHEET // max(held_out.shape[1:])))

    @torch.no_grad()
    def look(self, system: System, noise: Noise, batch: int) -> dict[str, grid.Image.Image]:
        """Samples and, where there is an encoder, reconstructions. Draws from `noise` the same each time."""
        span, rows, columns = system.data_range, self.rows, max(1, self.rows // 2)
        with system.inference():
            samples = system.sample(rows * rows, noise.at(PICTURES))
            if not system.has_encoder():
                return {"samples": grid.grid(samples, span, rows)}
            x = self._real(spread(len(self.images), rows * columns), span)
            x_r = torch.cat([system.reconstruct(part) for part in x.split(batch)])
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
                total += (system.reconstruct(x) - x).square().sum()
        return total.item() / self.images.numel() / (high - low) ** 2

    def _real(self, index: Tensor, span: tuple[float, float]) -> Tensor:  # [n] -> [n, C, H, W]
        return data.scale(self.images[index].to(self.device), span)


def spread(n: int, at_most: int) -> Tensor:
    """Up to `at_most` of range(n), evenly: every class of a sorted data set has its share."""
    count = min(n, at_most)
    return torch.arange(count) * n // count
