"""IntroVAE's residual networks (Huang et al. 2018, arXiv:1807.06358; the authors' networks.py). An image has
side `bottom` * 2^n for n widths in `channels`, first the width at full size. A block normalises after its
addition, so nothing passes through a network unnormalised, and the decoder ends in a bare convolution;
Soft-IntroVAE's blocks (`norm="before"`; Daniel & Tamar 2021, arXiv:2012.13253) normalise before it.
Initialisation is PyTorch's. Letters in shapes: B batch, C image channels, S side, Z code.
"""

import contextlib
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from bigan.nets.norm import Again, BatchNorm2d


def side(channels: Sequence[int], bottom: int = 4) -> int:
    """Side of the images that go with these widths, in pixels."""
    return bottom * 2 ** len(channels)


class Residual(nn.Module):
    """y = LReLU(BN(conv3(x))); LReLU(BN(conv3(y) + shortcut(x))).  [B, inner, S, S] -> [B, outer, S, S]

    The shortcut is the identity, or a bare 1x1 convolution if `expand`.
    norm: "after" the addition, as above, or "before": LReLU(BN(conv3(y)) + shortcut(x)).
    """

    def __init__(self, inner: int, outer: int, expand: bool = False, norm: str = "after"):
        super().__init__()
        self.norm_before = norm == "before"
        self.shortcut = nn.Conv2d(inner, outer, 1, bias=False) if expand else nn.Identity()
        self.conv1 = nn.Conv2d(inner, outer, 3, padding=1, bias=False)
        self.norm1 = BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, padding=1, bias=False)
        self.norm2 = BatchNorm2d(outer)
        self.act = nn.LeakyReLU(0.2, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.norm1(self.conv1(x)))
        y = self.conv2(y)
        return self.act(
            self.norm2(y) + self.shortcut(x) if self.norm_before else self.norm2(y + self.shortcut(x))
        )


class Stack(nn.Sequential):
    """A sequence that can keep the inputs of its parts alone for the backward, and compute the rest again there.

    A part ends where the side changes, or with a block. The same values; running statistics move once.
    """

    recompute = False

    def forward(self, x: Tensor) -> Any:
        if not (self.recompute and torch.is_grad_enabled()):
            return super().forward(x)
        ends = [i + 1 for i, m in enumerate(self) if isinstance(m, (Residual, nn.AvgPool2d, nn.Upsample))]
        for start, end in pairwise([0, *ends, *([len(self)] if ends[-1] < len(self) else [])]):
            part = nn.Sequential(*list(self)[start:end])
            contexts = partial(lambda part: (contextlib.nullcontext(), Again(part)), part)
            x = checkpoint(part, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)
        return x


class ResidualEncoder(Stack):
    """Image to mean and log-variance of its code.  [B, C, S, S] -> [B, Z], [B, Z], halves of one tensor"""

    def __init__(
        self,
        channels: Sequence[int],
        z_dim: int,
        image_channels: int = 3,
        published_shortcut: bool = True,
        norm: str = "after",
        bottom: int = 4,
    ):
        first, last = channels[0], channels[-1]
        stem = [
            nn.Conv2d(image_channels, first, 5, padding=2, bias=False),
            BatchNorm2d(first),
            nn.LeakyReLU(0.2, inplace=True),
            nn.AvgPool2d(2),
        ]
        body = []
        for a, b in pairwise(channels):
            body += [Residual(a, b, _expands(a, b, published_shortcut), norm), nn.AvgPool2d(2)]
        head = [Residual(last, last, norm=norm), nn.Flatten(), nn.Linear(last * bottom**2, 2 * z_dim)]
        super().__init__(*stem, *body, *head)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu, logvar = super().forward(x).chunk(2, dim=1)
        return mu, logvar


class ResidualDecoder(Stack):
    """Code to image, without an output activation.  [B, Z] -> [B, C, S, S]"""

    def __init__(
        self,
        channels: Sequence[int],
        z_dim: int,
        image_channels: int = 3,
        published_shortcut: bool = True,
        norm: str = "after",
        bottom: int = 4,
    ):
        first, last = channels[0], channels[-1]
        head = [nn.Linear(z_dim, last * bottom**2), nn.ReLU(inplace=True)]
        head += [nn.Unflatten(1, (last, bottom, bottom))]
        body = [Residual(last, last, norm=norm), nn.Upsample(scale_factor=2)]  # nearest
        for a, b in pairwise(reversed(channels)):
            body += [Residual(a, b, _expands(a, b, published_shortcut), norm), nn.Upsample(scale_factor=2)]
        tail = [Residual(first, first, norm=norm), nn.Conv2d(first, image_channels, 5, padding=2)]
        super().__init__(*head, *body, *tail)


def _expands(a: int, b: int, published: bool) -> bool:
    """Whether the shortcut between neighbouring widths has a 1x1 convolution.

    Wherever they differ. As published also where they are equal and above 256: the authors wrote `is not`
    for `!=`, and in CPython two integers read from text are one object only up to 256.
    """
    return a != b or (published and a > 256)
