"""PAGAN's networks (Alanov et al. 2018, arXiv:1810.04920), those of pfnet-research/chainer-gan-lib, as
functions of sizes.

`channels`: the widths, first at full size; each but the first halves the side. Weights start as N(0, 0.02^2),
biases at 0; normalisation has epsilon 2e-5 and running averages that move by 0.1.
Letters in shapes: B batch, C image channels, S side, Z code.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn

from bigan.nets.norm import BatchNorm1d, BatchNorm2d
from bigan.spectral_norm import SpectralNorm

EPS = 2e-5


def _started(net: nn.Sequential) -> nn.Sequential:
    for m in net.modules():
        if isinstance(m, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(m.weight, 0.0, 0.02)
            if m.bias is not None:
                nn.init.zeros_(m.bias)
    return net


class UnscaledNorm(BatchNorm2d):
    """Batch normalisation with a learned shift and no scale."""

    def __init__(self, width: int):
        super().__init__(width, eps=EPS)
        self.register_parameter("weight", None)


def features(image: Sequence[int], channels: Sequence[int], outputs: int, batch_norm: bool) -> nn.Sequential:
    """A critic's or encoder's stack.  [B, C, H, W] -> [B, outputs]

    conv k3; then conv k4 s2 and conv k3 for each further width; LReLU(0.2) after each; a linear layer.
    """
    inner, height, width = image
    layers: list[nn.Module] = [nn.Conv2d(inner, channels[0], 3, 1, 1), nn.LeakyReLU(0.2)]
    inner = channels[0]
    for outer in channels[1:]:
        for conv in (nn.Conv2d(inner, outer, 4, 2, 1), nn.Conv2d(outer, outer, 3, 1, 1)):
            layers += [conv, *([UnscaledNorm(outer)] if batch_norm else []), nn.LeakyReLU(0.2)]
        inner = outer
    halvings = len(channels) - 1
    size = inner * (height >> halvings) * (width >> halvings)
    return _started(nn.Sequential(*layers, nn.Flatten(), nn.Linear(size, outputs)))


def critic(image: Sequence[int], channels: Sequence[int]) -> SpectralNorm:
    """Every layer over its spectral norm; a pair is an image of twice the width.  [B, C, H, W] -> [B, 1]"""
    return SpectralNorm(features(image, channels, 1, batch_norm=False))


def code_critic(z_dim: int, hidden: Sequence[int]) -> SpectralNorm:
    """Every layer over its spectral norm.  [B, Z] -> [B, 1]"""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(z_dim, width), nn.LeakyReLU(0.2)]
        z_dim = width
    return SpectralNorm(_started(nn.Sequential(*layers, nn.Linear(z_dim, 1))))


def encoder(
    image: Sequence[int], channels: Sequence[int], z_dim: int, norm: str, sigma: float = 1.0
) -> nn.Module:
    """Mean and log-variance of the code; norm: "none", "batch" or "spectral".  [B, C, S, S] -> [B, 2 Z]

    sigma: about the deviation that the first log-variances mean.
    """
    net = features(image, channels, 2 * z_dim, batch_norm=norm == "batch")
    head: nn.Linear = net[-1]  # type: ignore[assignment]
    with torch.no_grad():
        head.bias[z_dim:] = 2 * math.log(sigma)
    return SpectralNorm(net) if norm == "spectral" else net


def generator(z_dim: int, channels: Sequence[int], image: Sequence[int]) -> nn.Module:
    """ReLU(BN(linear)); ReLU(BN(convT k4 s2)) back to full size; tanh(convT k3).  [B, Z] -> [B, C, S, S]"""
    colours, side, _ = image
    bottom, inner = side >> (len(channels) - 1), channels[-1]
    units = inner * bottom**2
    layers: list[nn.Module] = [nn.Linear(z_dim, units), BatchNorm1d(units, eps=EPS), nn.ReLU()]
    layers.append(nn.Unflatten(1, (inner, bottom, bottom)))
    for outer in reversed(channels[:-1]):
        layers += [nn.ConvTranspose2d(inner, outer, 4, 2, 1), BatchNorm2d(outer, eps=EPS), nn.ReLU()]
        inner = outer
    return _started(nn.Sequential(*layers, nn.ConvTranspose2d(inner, colours, 3, 1, 1), nn.Tanh()))
