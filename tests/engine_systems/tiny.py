"""A system small enough for hundreds of steps a second, with one of each thing the engine must restore:

two players, the buffers of batch normalisation, noise by counter, and Dropout's noise, PyTorch's own;
weights that start from the data, and a step size that falls.
"""

import os
from dataclasses import dataclass

import torch
from torch import nn

from bigan.systems.base import Player, Preset, System, arg, detached


@dataclass(frozen=True)
class Config:
    z_dim: int = arg(3, "size of the code")
    widths: tuple[int, ...] = arg((8,), "hidden widths")
    lr: float = arg(1e-2, "Adam step size")
    nan_from: float = arg(1e9, "kimg from which on a term is NaN")
    poison_from: float = arg(1e9, "kimg from which on a weight is NaN, seen by no term of that step")


class Tiny(System):
    data_range = (-1.0, 1.0)

    def __init__(self, config: Config, image_shape: tuple[int, int, int]):
        super().__init__(config, image_shape)
        c, h, w = image_shape
        if h != 4:
            raise ValueError(f"tiny: images must be 4 pixels high, got {h}")
        hidden, self.z_dim = config.widths[0], config.z_dim
        self.enc = nn.Sequential(
            nn.Flatten(),
            nn.Linear(c * h * w, hidden),
            nn.BatchNorm1d(hidden),
            nn.Dropout(0.1),
            nn.Linear(hidden, self.z_dim),
        )
        self.dec = nn.Sequential(nn.Linear(self.z_dim, c * h * w), nn.Unflatten(1, image_shape))

    def players(self):
        return {name: Player(name, [getattr(self, name)], self.config.lr) for name in ("enc", "dec")}

    def step(self, x, noise, *, kimg, enc, dec):
        interrupt(kimg)
        z = self.enc(x)
        loss = (self.dec(z + 0.1 * noise.normal(*z.shape)) - x).square().mean()
        enc.minimize(loss, also=[dec])
        prior = (z.detach().mean(0) - noise.normal(*z.shape).mean(0)).square().sum()
        if kimg >= self.config.poison_from:
            with torch.no_grad():
                self.dec[0].weight[0, 0] = torch.nan
        if kimg >= self.config.nan_from:
            prior = prior * torch.nan
        late = {"late": loss} if kimg >= 0.5 else {}  # the terms of a warm-up may differ
        return detached(loss=loss, prior=prior, **late)

    def prepare(self, x):
        self.dec[0].bias.copy_(x.flatten(1).mean(0))

    def lr_scale(self, kimg):
        return 0.5 if kimg >= 0.5 else 1.0

    def encode(self, x):
        return self.enc(x)

    def decode(self, z):
        return self.dec(z)


def interrupt(kimg: float) -> None:
    """Sends this process TINY_SIGNAL, "kimg:signal"; of several ranks the last alone, and in its first life."""
    at, _, number = os.environ.get("TINY_SIGNAL", "").partition(":")
    last = int(os.environ.get("RANK", 0)) == int(os.environ.get("WORLD_SIZE", 1)) - 1
    if number and kimg == float(at) and last and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0":
        os.kill(os.getpid(), int(number))


build = Tiny
PRESETS = {"cpu": Preset(Config(), batch=10, kimg=1.0, size=4, note="for tests")}
