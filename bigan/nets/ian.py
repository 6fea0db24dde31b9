"""IAN's networks (Brock et al. 2016, arXiv:1609.07093; code ajbrock/Neural-Photo-Editor: IAN.py, IANv1.py,
IAN_simple.py), as functions of sizes.

`channels`: a convolution of stride 2 for each, first the one nearest the image. Weights start as
N(0, 0.02^2), biases at 0. Lasagne's normalisation: epsilon 1e-4, running averages that move by 0.1.
Letters in shapes: B batch, C image channels, S side, Z code.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from bigan.nets.minibatch import MinibatchDiscrimination
from bigan.nets.norm import BatchNorm1d, BatchNorm2d

STD = 0.02  # of the weights at the start


def _norm(width: int) -> BatchNorm2d:
    return BatchNorm2d(width, eps=1e-4)


def _norm1d(width: int) -> BatchNorm1d:
    return BatchNorm1d(width, eps=1e-4)


def _started(layer):
    nn.init.normal_(layer.weight, 0.0, STD)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class Trunk(nn.ModuleList):
    """The critic's features, which the encoder's head reads too.  [B, C, S, S] -> one map a layer

    LReLU(BN(conv k5 s2)); the first layer has a bias and no normalisation.
    """

    def __init__(self, image_channels: int, channels: Sequence[int]):
        layers, inner = [], image_channels
        for i, outer in enumerate(channels):
            conv = _started(nn.Conv2d(inner, outer, 5, 2, 2, bias=i == 0))
            layers.append(nn.Sequential(conv, *([_norm(outer)] if i else []), nn.LeakyReLU(0.2)))
            inner = outer
        super().__init__(layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for layer in self:
            x = layer(x)
            maps.append(x)
        return maps


def critic_head(features: int, kernels: int, kernel_dims: int, classes: int) -> nn.Sequential:
    """The trunk's last map to logits.  [B, F, S, S] -> [B, classes]"""
    batch = MinibatchDiscrimination(features, kernels, kernel_dims)
    last = _started(nn.Linear(features + kernels, classes, bias=False))
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), batch, last)


class LatentHead(nn.Module):
    """The trunk's last map to mean and log sigma of the code.  [B, F, S, S] -> [B, Z], [B, Z]

    Both are normalised over the batch, with a learned scale and shift.
    """

    def __init__(self, features: int, hidden: int, z_dim: int, act: str = "relu"):
        super().__init__()
        first = _started(nn.Linear(features, hidden, bias=False))
        self.body = nn.Sequential(
            nn.Flatten(), first, _norm1d(hidden), nn.ELU() if act == "elu" else nn.ReLU()
        )
        self.mu = self._linear(hidden, z_dim)
        self.logstd = self._linear(hidden, z_dim)

    @staticmethod
    def _linear(hidden: int, z_dim: int) -> nn.Sequential:
        linear = nn.Linear(hidden, z_dim, bias=False)
        nn.init.xavier_uniform_(linear.weight)
        return nn.Sequential(linear, _norm1d(z_dim))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        y = self.body(features)
        return self.mu(y), self.logstd(y)

    def squared_weights(self) -> Tensor:
        """Lasagne's L2 penalty: of weights and normalisations' scales, not of shifts.  -> []"""
        squares = [p.square().sum() for name, p in self.named_parameters() if name.endswith("weight")]
        return torch.stack(squares).sum()


class MADE(nn.Module):
    """A fixed random function whose output i depends on the inputs before i in `order`.  [B, Z] -> [B, Z]

    W2 relu(W1 z) + W z, the matrices masked and orthogonal at gain sqrt 2 before it. The authors' biases are
    0 and never trained: left out. Buffers, not parameters: they are in every checkpoint.
    """

    first: Tensor
    second: Tensor
    direct: Tensor

    def __init__(self, order: Tensor):
        super().__init__()
        size = len(order)
        hidden = torch.randint(1, max(size, 2), (size,))  # how many of the first inputs a hidden unit sees
        masks = {
            "first": hidden[:, None] > order[None, :],
            "second": order[:, None] >= hidden[None, :],
            "direct": order[:, None] > order[None, :],
        }
        for name, mask in masks.items():
            weight = nn.init.orthogonal_(torch.empty(size, size), math.sqrt(2))
            self.register_buffer(name, weight * mask)

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.first.T).relu() @ self.second.T + z @ self.direct.T


class InverseAutoregressiveFlow(nn.Module):
    """z = (z0 - m(z0)) / exp(s(z0)), m and s a `MADE` over one order: invertible.  [B, Z] -> [B, Z]"""

    def __init__(self, z_dim: int):
        super().__init__()
        order = torch.randperm(z_dim)
        self.shift, self.scale = MADE(order), MADE(order)

    def forward(self, z0: Tensor) -> Tensor:
        return (z0 - self.shift(z0)) * torch.exp(-self.scale(z0))


class MultiscaleConv(nn.Module):
    """MDC: one 3x3 filter bank W at several dilations.  [B, inner, S, S] -> [B, outer, S, S]

        y_o = sum_s c_so (W_o * h, dilated by s);  s = 0: a 1x1 convolution by the spatial mean of W

    c [scales, outer] starts at 1 / scales.
    """

    def __init__(self, inner: int, outer: int, scales: Sequence[int]):
        super().__init__()
        self.scales = tuple(scales)
        self.weight = nn.Parameter(STD * torch.randn(outer, inner, 3, 3))
        self.coefficients = nn.Parameter(torch.full((len(self.scales), outer), 1 / len(self.scales)))

    def forward(self, h: Tensor) -> Tensor:
        parts = []
        for s, c in zip(self.scales, self.coefficients, strict=True):
            weight = c[:, None, None, None] * (self.weight if s else self.weight.mean((2, 3), keepdim=True))
            parts.append(conv2d(h, weight, dilation=max(s, 1), padding=s))
        return sum(parts[1:], parts[0])


class ResidualMultiscale(nn.Module):
    """LReLU(BN(h + MDC(LReLU(BN(MDC(LReLU(BN(h))))))))  [B, width, S, S] -> the same"""

    def __init__(self, width: int, scales: Sequence[int]):
        super().__init__()
        act = nn.LeakyReLU(0.2)
        inner = [_norm(width), act, MultiscaleConv(width, width, scales)]
        self.body = nn.Sequential(*inner, _norm(width), act, MultiscaleConv(width, width, scales))
        self.end = nn.Sequential(_norm(width), act)

    def forward(self, h: Tensor) -> Tensor:
        return self.end(h + self.body(h))


class BetaColors(nn.Module):
    """Features to pixels, a colour after another: means of Beta distributions.  [B, F, S, S] -> [B, C, S, S]

    (alpha, beta) = sigmoid(MDC(h) + MDC(those of the colours before));  x = 2 alpha / (alpha + beta) - 1.
    """

    SCALES = (1, 2, 3, 4)

    def __init__(self, width: int, image_channels: int):
        super().__init__()
        self.of_h = nn.ModuleList(MultiscaleConv(width, 2, self.SCALES) for _ in range(image_channels))
        self.of_colors = nn.ModuleList(
            MultiscaleConv(2 * k, 2, self.SCALES) for k in range(1, image_channels)
        )

    def forward(self, h: Tensor) -> Tensor:
        pairs: list[Tensor] = []
        for k, of_h in enumerate(self.of_h):
            y = of_h(h)
            if pairs:
                y = y + self.of_colors[k - 1](torch.cat(pairs, dim=1))
            pairs.append(y.sigmoid())
        alpha, beta = torch.stack(pairs, dim=1).unbind(2)  # [B, C, S, S] each
        return 2 * alpha / (alpha + beta + 1e-8) - 1


def _up(inner: int, outer: int, bias: bool = True) -> nn.ConvTranspose2d:
    """Side times two, exactly."""
    return _started(nn.ConvTranspose2d(inner, outer, 5, 2, 2, output_padding=1, bias=bias))


def decoder(kind: str, z_dim: int, channels: Sequence[int], image_shape: Sequence[int]) -> nn.Sequential:
    """[B, Z] -> [B, C, S, S] in [-1, 1]; kind: "full" (IAN.py), "v1" (IANv1.py), "simple" (IAN_simple.py)."""
    colours, side, _ = image_shape
    bottom = side >> len(channels)
    ups = [*reversed(channels[:-1]), {"full": channels[0], "v1": channels[0] // 2, "simple": colours}[kind]]
    width = ups[0] if kind == "full" else channels[-1]
    shape = nn.Unflatten(1, (width, bottom, bottom))
    layers: list[nn.Module] = [_started(nn.Linear(z_dim, width * bottom**2, bias=kind != "simple")), shape]
    if kind == "full":
        layers += [nn.LeakyReLU(0.2)]
        for i, up in enumerate(ups[:-1]):
            layers += [_up(width, up), ResidualMultiscale(up, (0, 1, 2, 3) if i else (0, 1, 2))]
            width = up
        layers += [_up(width, ups[-1], bias=False), _norm(ups[-1]), nn.LeakyReLU(0.2)]
    else:
        layers += [_norm(width), nn.ReLU()] if kind == "simple" else []
        for up in ups if kind == "v1" else ups[:-1]:
            layers += [_up(width, up, bias=False), _norm(up), nn.ReLU()]
            width = up
    if kind == "simple":
        return nn.Sequential(*layers, _up(width, colours, bias=False), nn.Tanh())
    return nn.Sequential(*layers, BetaColors(ups[-1], colours))


def orthogonal_penalty(net: nn.Module) -> Tensor:
    """sum |S_o - I| over the 4-D weights W of `net` and their leading index o.  -> []

    (S_o)_hh' = sum_c,w W_ochw W_och'w.

    As coded: the rows of each filter become orthonormal. The leading index of a transposed convolution's
    weights is the input channel.
    """
    total = torch.zeros((), device=next(net.parameters()).device, dtype=next(net.parameters()).dtype)
    for w in net.parameters():
        if w.ndim == 4:
            gram = torch.einsum("ochw,ocgw->ohg", w, w)
            total = total + (gram - torch.eye(w.shape[2], device=w.device, dtype=w.dtype)).abs().sum()
    return total
