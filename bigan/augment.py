"""Augmentations as torch.nn modules, for training loops that know nothing of the rest of bigan.

pair = PairAugment(pad=3)          # PAGAN: (x, reflect-pad-and-crop of x) along the width
logits_real = critic(pair(x))
logits_fake = critic(torch.cat([x, reconstruction], 3))
"""

from typing import Any

import torch
from torch import Tensor, nn

from bigan import ops
from bigan.ops import _augment, _checks


class Augment(nn.Module):
    """Random shift, flip, blur and contrast of each image by itself; see `bigan.ops.augment_pair`.

    pad: reflect-pad (mode="reflect", or "zero") by so many pixels and crop back at random.
    flip: probability of a left-right flip.
    kernel_size, sigma: Gaussian blur, as in torchvision.transforms.GaussianBlur; kernel_size 1: none.
    contrast: a factor, or (low, high) of a random one; None: none.
    scale, shift, dtype: the result is scale * y + shift in this type.

    forward(x), images [B, C, H, W] uint8 or float -> y.  Every call draws anew, in training and in
    evaluation; `torch.manual_seed` governs.  replay(other) repeats the last draw on another batch of as many
    images.  Differentiable by float images.
    """

    layout = "augmented"

    def __init__(
        self,
        pad: int = 0,
        mode: str = "reflect",
        flip: float = 0.0,
        kernel_size: int = 1,
        sigma: float | tuple[float, float] = (0.1, 2.0),
        contrast: float | tuple[float, float] | None = None,
        scale: float = 1.0,
        shift: float = 0.0,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.options: dict[str, Any] = dict(
            pad=pad, mode=mode, flip=flip, kernel_size=kernel_size, sigma=sigma, contrast=contrast,
            scale=scale, shift=shift,
        )  # fmt: skip
        self.dtype = dtype
        name = type(self).__name__
        _augment.how(name, 0, None, dtype or torch.float32, torch.device("cpu"), **self.options)
        self._rng: Tensor | None = None  # of the last draw

    def forward(self, x: Tensor) -> Any:
        self._rng = torch.randint(-(2**63), 2**63 - 1, (2,), dtype=torch.int64, device=x.device)
        return self.replay(x)

    def replay(self, other: Tensor) -> Any:
        """The last draw again, on another batch."""
        if self._rng is None:
            raise ValueError(f"{type(self).__name__}: replay needs an earlier call, whose draw it repeats")
        return ops.augment_pair(
            other, layout=self.layout, dtype=self.dtype, rng=self._rng.to(other.device), **self.options
        )

    def extra_repr(self) -> str:
        return ", ".join(f"{k}={v!r}" for k, v in self.options.items())


class ReflectPadCrop(Augment):
    """A random shift by up to `pad` pixels, with reflected edges: PAGAN's augmentation (10 % of the size)."""

    def __init__(self, pad: int) -> None:
        super().__init__(pad=pad)


class PairAugment(Augment):
    """The image and its augmented copy, as PAGAN's critic of pairs takes them.

    layout: "width" -> [B, C, H, 2W], "channels" -> [B, 2C, H, W], "apart" -> (x, y).
    The other arguments are those of `Augment`; scale, shift and dtype apply to both.
    """

    def __init__(self, pad: int = 0, layout: str = "width", **options: Any) -> None:
        super().__init__(pad, **options)
        _checks.choice("PairAugment", "layout", layout, _augment.LAYOUTS[1:4])
        self.layout = layout

    def extra_repr(self) -> str:
        return f"layout={self.layout!r}, {super().extra_repr()}"
