"""Convolutions that choose the quickest way on a CPU: Winograd's products, one matrix product, or oneDNN."""

import torch
from torch import Tensor, nn

from bigan.engine import smallconv, winograd

TYPES = (torch.float32, torch.float64)  # for half types oneDNN may have units of their own


class QuickConv2d(nn.Conv2d):
    """nn.Conv2d, differentiable once where it takes another way."""

    def forward(self, x: Tensor) -> Tensor:
        k, s, p = self.kernel_size[0], self.stride[0], int(self.padding[0])
        if _fits(self, x):
            sides = [(n + 2 * p - k) // s + 1 for n in x.shape[2:]]
            even = all(n % s == 0 for n in x.shape[2:])
            if even and _winograd(k, s, p, len(x), sides, *self.weight.shape[1::-1]):
                return winograd.conv2d(x, self.weight, self.bias)
            if smallconv.worth(k, sides[0] * sides[1], self.in_channels):
                return smallconv.conv2d(x, self.weight, self.bias, s, p)
        return super().forward(x)


class QuickConvTranspose2d(nn.ConvTranspose2d):
    """nn.ConvTranspose2d, differentiable once where it takes another way."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        k, s, p = self.kernel_size[0], self.stride[0], int(self.padding[0])
        if output_size is None and _fits(self, x):
            if _winograd(k, s, p, len(x), x.shape[2:], *self.weight.shape[1::-1]):
                return winograd.conv_transpose2d(x, self.weight, self.bias)
            if smallconv.worth(k, x.shape[2] * x.shape[3], self.out_channels):
                return smallconv.conv_transpose2d(x, self.weight, self.bias, s, p)
        return super().forward(x, output_size)


def use_quick_convs(net: nn.Module) -> int:
    """Give the convolutions in `net` that can use it the choice, in place; returns how many."""
    found = 0
    for m in net.modules():
        if type(m) is nn.Conv2d and _simple(m):
            m.__class__ = QuickConv2d
        elif type(m) is nn.ConvTranspose2d and _simple(m) and not any(m.output_padding):
            m.__class__ = QuickConvTranspose2d
        found += isinstance(m, (QuickConv2d, QuickConvTranspose2d))
    return found


def _simple(m: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    """One square kernel of more than a pixel, one stride, zeros around."""
    same = len(set(m.kernel_size)) == 1 and len(set(m.stride)) == 1
    padding = not isinstance(m.padding, str) and len(set(m.padding)) == 1
    zeros = m.padding_mode == "zeros"
    return same and padding and zeros and m.groups == 1 and set(m.dilation) == {1} and m.kernel_size[0] > 1


def _fits(m: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> bool:
    """A batch of images on a CPU, as `m` wants them (else PyTorch says why not); not while a compiler looks on."""
    return (
        x.device.type == "cpu"
        and x.dtype in TYPES
        and x.dtype == m.weight.dtype
        and x.dim() == 4
        and x.shape[1] == m.in_channels
        and len(x) > 0
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def _winograd(kernel: int, stride: int, padding: int, batch: int, sides, inputs: int, outputs: int) -> bool:
    """sides: of the maps that the tiles are of."""
    if winograd.STRIDE.get(kernel) != stride or padding != 1:
        return False
    tiles = batch * winograd.count_tiles(sides)
    return winograd.worth(kernel, tiles, batch * sides[0] * sides[1], inputs, outputs)
