"""DCGAN's networks (Radford et al. 2015, arXiv:1511.06434) and multilayer perceptrons, as functions of sizes.

An image network has a convolution of stride 2 for each width in `channels`, first the one nearest the image,
and a fully connected layer for each width in `hidden`, nearest the code. Without channels it is a perceptron
on all pixels: so the same functions make the networks of VAE and GAN and of their children.
`stem`: the width of one more convolution, of stride 1, at full size.
norm="batch" normalises every layer but the last, the stem and (unless `first_norm`) the first of a network
that reads an image or is a perceptron.
std: weights start at N(0, std^2), a normalisation's scales at N(1, std^2), shifts at 0; 0: as PyTorch does.
Letters in shapes: B batch, C image channels, S side, Z code.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bigan.nets.norm import BatchNorm1d, BatchNorm2d

ACTIVATIONS = {
    "relu": lambda: nn.ReLU(inplace=True), "leaky_relu": lambda: nn.LeakyReLU(0.2, inplace=True),
    "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "none": nn.Identity,
}  # fmt: skip


def perceptron(
    inputs: int,
    hidden: Sequence[int],
    outputs: int,
    *,
    norm: str = "none",
    act: str = "relu",
    first_norm: bool = False,
    std: float = 0.0,
) -> nn.Sequential:
    """[B, inputs] -> [B, outputs], without an activation at its end."""
    layers: list[nn.Module] = []
    for i, width in enumerate(hidden):
        kind = norm if i or first_norm else "none"
        layers += [nn.Linear(inputs, width, bias=kind == "none"), *_after(width, kind, act, flat=True)]
        inputs = width
    return _started(nn.Sequential(*layers, nn.Linear(inputs, outputs)), std)


def features(
    image: Sequence[int],
    channels: Sequence[int],
    *,
    stem: int = 0,
    kernel: int = 4,
    norm: str = "batch",
    act: str = "leaky_relu",
    first_norm: bool = False,
    std: float = 0.02,
) -> tuple[nn.Sequential, int]:
    """An encoder's convolutions, [B, C, S, S] -> [B, F], and F; `image` is (C, S, S)."""
    width, side, _ = image
    layers: list[nn.Module] = []
    if stem:
        layers += [nn.Conv2d(width, stem, 5, padding=2), *_after(stem, "none", act)]
        width = stem
    for i, wider in enumerate(channels):
        kind = norm if i or stem or first_norm else "none"
        pad = (kernel - 1) // 2
        layers += [nn.Conv2d(width, wider, kernel, 2, pad, bias=kind == "none"), *_after(wider, kind, act)]
        width, side = wider, (side + 2 * pad - kernel) // 2 + 1
    return _started(nn.Sequential(*layers, nn.Flatten()), std), width * side * side


def encoder(
    image: Sequence[int],
    channels: Sequence[int],
    outputs: int,
    hidden: Sequence[int] = (),
    *,
    stem: int = 0,
    kernel: int = 4,
    norm: str = "batch",
    act: str = "leaky_relu",
    first_norm: bool = False,
    std: float = 0.02,
) -> nn.Sequential:
    """[B, C, S, S] -> [B, outputs], an encoder or a critic; `image` is (C, S, S)."""
    body, size = features(
        image, channels, stem=stem, kernel=kernel, norm=norm, act=act, first_norm=first_norm, std=std
    )
    first_norm |= bool(channels)
    return nn.Sequential(
        *body, *perceptron(size, hidden, outputs, norm=norm, act=act, first_norm=first_norm, std=std)
    )


def decoder(
    z_dim: int,
    channels: Sequence[int],
    image: Sequence[int],
    hidden: Sequence[int] = (),
    *,
    stem: int = 0,
    kernel: int = 4,
    norm: str = "batch",
    act: str = "relu",
    out: str = "tanh",
    std: float = 0.02,
) -> nn.Sequential:
    """[B, Z] -> [B, C, S, S], the encoder backwards, then the activation `out`; `image` is (C, S, S).

    Each of the channels doubles the side, so S must be a multiple of 2^(their number).
    """
    colours, side, _ = image
    end = [nn.Unflatten(1, tuple(image)), ACTIVATIONS[out]()]
    if not channels:
        return nn.Sequential(*perceptron(z_dim, hidden, colours * side**2, norm=norm, act=act, std=std), *end)
    bottom, width, plain = side >> len(channels), channels[-1], norm == "none"
    layers: list[nn.Module] = []
    for wide in hidden:
        layers += [nn.Linear(z_dim, wide, bias=plain), *_after(wide, norm, act, flat=True)]
        z_dim = wide
    layers += [nn.Linear(z_dim, width * bottom**2, bias=plain), nn.Unflatten(1, (width, bottom, bottom))]
    layers += _after(width, norm, act)
    up = features_decoder(channels, image, stem=stem, kernel=kernel, norm=norm, act=act, out=out, std=std)
    return nn.Sequential(*_started(nn.Sequential(*layers), std), *up[1:])


def features_decoder(
    channels: Sequence[int],
    image: Sequence[int],
    *,
    stem: int = 0,
    kernel: int = 4,
    norm: str = "batch",
    act: str = "relu",
    out: str = "tanh",
    std: float = 0.02,
) -> nn.Sequential:
    """`features` backwards, where S is a multiple of 2^(number of channels).  [B, F] -> [B, C, S, S]"""
    (colours, side, _), width = image, channels[-1]
    double: dict[str, Any] = {"stride": 2, "padding": (kernel - 1) // 2, "output_padding": kernel % 2}
    layers: list[nn.Module] = [nn.Unflatten(1, (width, side >> len(channels), side >> len(channels)))]
    for narrower in (*reversed(channels[:-1]), *([stem] if stem else [])):
        up = nn.ConvTranspose2d(width, narrower, kernel, bias=norm == "none", **double)
        layers += [up, *_after(narrower, norm, act)]
        width = narrower
    last = (
        nn.Conv2d(width, colours, 5, padding=2)
        if stem
        else nn.ConvTranspose2d(width, colours, kernel, **double)
    )
    return _started(nn.Sequential(*layers, last, ACTIVATIONS[out]()), std)


class JointCritic(nn.Module):
    """Critic of an image and a code: the image's features beside the code, then a perceptron.

    [B, C, S, S], [B, Z] -> [B, 1]
    """

    def __init__(
        self,
        image: Sequence[int],
        channels: Sequence[int],
        z_dim: int,
        hidden: Sequence[int],
        *,
        kernel: int = 4,
        norm: str = "batch",
        act: str = "leaky_relu",
        std: float = 0.02,
    ):
        super().__init__()
        self.features, size = features(image, channels, kernel=kernel, norm=norm, act=act, std=std)
        self.joint = perceptron(size + z_dim, hidden, 1, norm=norm, act=act, std=std)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.joint(torch.cat([self.features(x), z], dim=1))


def _after(width: int, norm: str, act: str, flat: bool = False) -> list[nn.Module]:
    """What follows a layer: its normalisation, if any, and its activation."""
    kind = BatchNorm1d if flat else BatchNorm2d
    return [*([kind(width)] if norm == "batch" else []), ACTIVATIONS[act]()]


def _started(net: nn.Sequential, std: float) -> nn.Sequential:
    for m in net if std else ():
        if isinstance(m, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, BatchNorm1d, BatchNorm2d)):
            normalises = isinstance(m, (BatchNorm1d, BatchNorm2d))
            nn.init.normal_(m.weight, 1.0 if normalises else 0.0, std)
            if m.bias is not None:
                nn.init.zeros_(m.bias)
    return net
