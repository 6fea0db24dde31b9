"""ALI's networks from tables of layers (Dumoulin et al. 2017, arXiv:1606.00704; the authors' experiments/).

A layer is (kernel, stride, channels); no convolution pads. Fully connected networks are 1x1 convolutions on
images of one pixel. Weights start from N(0, std), biases from 0; normalisations have eps 1e-4 and follow the
batches with rate 0.05. Letters in shapes: B batch, C image channels, H and W sides, Z code, Y labels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from bigan.nets.norm import BatchNorm2d

Layers = Sequence[tuple[int, int, int]]


def sides(layers: Layers, side: int) -> list[int]:
    """The side before the first layer and after each; 0 or less where a kernel no longer fits."""
    found = [side]
    for kernel, stride, _ in layers:
        found.append((found[-1] - kernel) // stride + 1)
    return found


def sides_up(layers: Layers) -> list[int]:
    """The same for transposed convolutions, from one pixel."""
    found = [1]
    for kernel, stride, _ in layers:
        found.append((found[-1] - 1) * stride + kernel)
    return found


class Maxout(nn.Module):
    """The largest of each `pieces` neighbouring channels.  [B, pieces * C, H, W] -> [B, C, H, W]"""

    def __init__(self, pieces: int):
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        pieces = x.unflatten(1, (-1, self.pieces))
        return _LargerOfTwo.apply(pieces) if self.pieces == 2 else pieces.amax(2)


class _LargerOfTwo(torch.autograd.Function):
    """x.amax(2) for [B, C, 2, H, W], in fewer passes; of equal ones the first has the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        first, second = x.unbind(2)
        ctx.save_for_backward(first >= second)
        ctx.layout = x.shape, x.stride()
        return torch.maximum(first, second)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        both = grad.new_empty_strided(*ctx.layout)
        first, second = both.unbind(2)
        torch.mul(grad, ctx.saved_tensors[0], out=first)
        torch.sub(grad, first, out=second)
        return both


class Dropout(nn.Dropout):
    """nn.Dropout with its mask drawn 64 bits at a time on a CPU, where PyTorch draws a number an element.

    The share of what is kept is 1 - p to the next 1/65536, and so is what it is divided by.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p or x.device.type != "cpu":
            return super().forward(x)
        kept = round((1 - self.p) * 65536)
        bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        mask = bits.view(torch.int16)[: x.numel()] < kept - 32768
        scale = mask.to(x.dtype).mul_(65536 / kept)
        return x * scale.as_strided(x.shape, x.stride()) if _dense(x) else x * scale.view(x.shape)


def _dense(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x.is_contiguous()


class Pointwise(nn.Conv2d):
    """A 1x1 convolution; on maps of one pixel the matrix product that it is, several times quicker there."""

    def __init__(self, inputs: int, channels: int, bias: bool = True):
        super().__init__(inputs, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2:] != (1, 1):
            return super().forward(x)
        return linear(x.flatten(1), self.weight.flatten(1), self.bias)[:, :, None, None]


class UntiedBias(nn.Module):
    """A bias for each channel and pixel.  [B, C, H, W] -> [B, C, H, W]"""

    def __init__(self, channels: int, side: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, side, side))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


class ALIEncoder(nn.Module):
    """Image to 2Z numbers, the mean and the log-deviation of its code.  [B, C, H, W] -> [B, 2Z]

    `late` more inputs [B, late, 1, 1] join before the last layer.
    """

    def __init__(self, layers: Layers, inputs: int, outputs: int, slope: float, std: float, late: int = 0):
        super().__init__()
        body: list[nn.Module] = []
        for kernel, stride, channels in layers:
            body += [_conv(inputs, channels, kernel, stride, False), _norm(channels), _act(slope)]
            inputs = channels
        self.body = nn.Sequential(*body)
        self.head = Pointwise(inputs + late, outputs)
        initialise(self, std)

    def forward(self, x: Tensor, late: Tensor | None = None) -> Tensor:
        return self.head(_joined(self.body(x), late)).flatten(1)


class ALIDecoder(nn.Module):
    """Code to image: in [0, 1] by a sigmoid, or unbounded.  [B, Z] -> [B, C, H, W]"""

    def __init__(self, layers: Layers, z_dim: int, outputs: int, slope: float, std: float, sigmoid: bool):
        super().__init__()
        body: list[nn.Module] = []
        inputs = z_dim
        for kernel, stride, channels in layers:
            up: nn.Module = nn.ConvTranspose2d(inputs, channels, kernel, stride, bias=False)
            if (kernel, stride) == (1, 1):
                up = Pointwise(inputs, channels, bias=False)  # the same map
            body += [up, _norm(channels), _act(slope)]
            inputs = channels
        self.body = nn.Sequential(*body, Pointwise(inputs, outputs, bias=False))
        self.untied = UntiedBias(outputs, sides_up(layers)[-1])
        self.act = nn.Sigmoid() if sigmoid else nn.Identity()
        initialise(self, std)

    def forward(self, z: Tensor) -> Tensor:
        return self.act(self.untied(self.body(z[:, :, None, None])))


class ALICritic(nn.Module):
    """The logit of a pair: a tower on images, one on codes, one on both.  [B, C, H, W], [B, Z] -> [B]

    pieces: maxout of so many channels a layer, all with biases; or, with 1, leaky rectifiers, and a
    normalisation after every convolution of the image tower but the first.
    dropout: of the first layer's input in the towers of images and codes, and of all others'.  With
    misplaced=True the image tower's lie where the authors' code has them with maxout: on the input of its
    first and second convolution, between the third and its maxout, then on every third step of that list.
    """

    def __init__(
        self,
        image: Layers,
        code: Sequence[int],
        joint: Sequence[int],
        inputs: tuple[int, int],  # image channels, size of the code
        *,
        slope: float,
        pieces: int,
        dropout: tuple[float, float],
        misplaced: bool,
        code_bias: bool,
        std: float,
        late: int = 0,
    ):
        super().__init__()
        first, rest = dropout

        def tower(layers: Layers, width: int, biased: bool, normed: bool = False) -> list[nn.Module]:
            """Two steps a layer: the convolution, with what normalises it, and the activation."""
            steps: list[nn.Module] = []
            for i, (kernel, stride, channels) in enumerate(layers):
                norm = normed and i > 0
                conv = _conv(width, channels, kernel, stride, biased and not norm)
                steps += [nn.Sequential(conv, _norm(channels)) if norm else conv]
                steps += [_act(slope) if pieces == 1 else Maxout(pieces)]
                width = channels // pieces
            return steps

        def dropped(steps: list[nn.Module], first: float, at: Sequence[int]) -> nn.Sequential:
            """The steps, with dropout on the input of those numbered in `at`."""
            drops = {i: Dropout(rest if i else first) for i in at}
            return nn.Sequential(*(m for i, step in enumerate(steps) for m in (drops.get(i), step) if m))

        def width(layers: Layers, inputs: int) -> int:
            return layers[-1][-1] // pieces if layers else inputs

        codes, joints = ([(1, 1, channels) for channels in widths] for widths in (code, joint))
        at = (0, *range(2, 2 * len(image), 3 if misplaced else 2))
        self.image = dropped(tower(image, inputs[0], True, pieces == 1), first, at)
        self.code = dropped(tower(codes, inputs[1], code_bias), first, range(0, 2 * len(code), 2))
        both = width(image, inputs[0]) + width(codes, inputs[1]) + late
        logit = Pointwise(width(joints, both), 1)
        self.joint = dropped([*tower(joints, both, True), logit], rest, range(0, 2 * len(joint) + 1, 2))
        initialise(self, std)

    def forward(self, x: Tensor, z: Tensor, late: Tensor | None = None) -> Tensor:
        pair = torch.cat([self.image(x), self.code(z[:, :, None, None])], dim=1)
        return self.joint(_joined(pair, late)).flatten()


def initialise(net: nn.Module, std: float) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def log_odds(x: Tensor) -> Tensor:
    """Of each channel and pixel's mean over the images, which are in [0, 1].  [N, C, H, W] -> [C, H, W]"""
    return x.mean(0).clamp(1e-7, 1 - 1e-7).logit()


def _conv(inputs: int, channels: int, kernel: int, stride: int, bias: bool) -> nn.Conv2d:
    if (kernel, stride) == (1, 1):
        return Pointwise(inputs, channels, bias)
    return nn.Conv2d(inputs, channels, kernel, stride, bias=bias)


def _norm(channels: int) -> nn.Module:
    return BatchNorm2d(channels, eps=1e-4, momentum=0.05)


def _act(slope: float) -> nn.Module:
    return nn.LeakyReLU(slope, inplace=True)


def _joined(x: Tensor, late: Tensor | None) -> Tensor:
    return x if late is None else torch.cat([x, late], dim=1)
