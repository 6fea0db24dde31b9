"""A mini-batch from a uint8 data set on the device: index, flip, scale, cast, augmented twin, in one kernel.

The formula, its order and its draw are in bigan/ops/_augment.py; `mirror` flips the image itself, and so its
twin.
"""

from typing import Any

import torch
from torch import Tensor

from bigan.ops import _augment, _checks
from bigan.ops._augment import HOW, LAYOUTS, Draw, How
from bigan.ops._registry import define, fake


@define(f"gather_images(Tensor data, Tensor index, {HOW}) -> (Tensor out, Tensor original)")
def _reference(data, index, *how):
    """[N, C, H, W], [B] -> out, as the layout says, and original [B, C, H, W] with "apart" and "image"."""
    how = How(*how)
    if data.shape[0] == 0:
        return _augment.empty(data, how, index.shape[0])  # of no images only nothing can be taken
    images = data[index.clamp(0, data.shape[0] - 1)]
    return _augment.apply(
        images.contiguous(memory_format=_augment.memory_format(_augment.is_channels_last(data))), how
    )


@fake("gather_images")
def _(data, index, *how):
    return _augment.empty(data, How(*how), index.shape[0])


def gather_images(
    data: Tensor,
    index: Tensor,
    *,
    mirror: float = 0.0,
    layout: str = "image",
    pad: int = 0,
    mode: str = "reflect",
    flip: float = 0.0,
    kernel_size: int = 1,
    sigma: float | tuple[float, float] = (0.1, 2.0),
    contrast: float | tuple[float, float] | None = None,
    scale: float = 1.0,
    shift: float = 0.0,
    dtype: torch.dtype = torch.float32,
    rng: Tensor | None = None,
    stream: int = 0,
    sample_id: Tensor | None = None,
    draw: Draw | None = None,
) -> Any:
    """The images data[index], scaled and cast, with their augmented twins if wanted, in one kernel.

    data: [N, C, H, W] uint8, of any strides; channels_last gives channels_last.
    index: [B] int64.  One out of range is an error on the CPU; on a GPU, where looking would wait for it, and
    in compiled code, it is clamped to the first or the last image: nothing is read outside.
    mirror: probability of a left-right flip of the image, and so of both halves of a pair.
    layout: "image" gives the images; "augmented", "width", "channels" and "apart" are `augment_pair`'s, as
    are pad, mode, flip (of the twin alone), kernel_size, sigma, contrast, scale, shift, rng, stream,
    sample_id and draw.
    dtype: of the result.

    sample_id, by default 0 .. B-1, numbers the draws: give `index` to have each image drawn by its own
    number, whatever batch it is in.  Raises ValueError naming the argument.  Not differentiable.
    """
    op = "gather_images"
    _checks.tensor(op, "data", data)
    if data.dtype != torch.uint8 or data.dim() != 4:
        _checks.fail(op, "data", "be [N, C, H, W] uint8", data)
    _checks.tensor(op, "index", index)
    if index.dim() != 1 or index.dtype != torch.int64 or index.device != data.device:
        _checks.fail(op, "index", f"be [B] int64 {data.device}", index)
    _augment.within(op, "index", index, 0, data.shape[0] - 1)
    number = _checks.choice(op, "layout", layout, LAYOUTS)
    how = _augment.how(
        op, index.shape[0], data.shape[2:], dtype, data.device, pad=pad, mode=mode, flip=flip, mirror=mirror,
        kernel_size=kernel_size, sigma=sigma, contrast=contrast, layout=number, scale=scale, shift=shift,
        rng=rng, stream=stream, sample_id=sample_id, draw=draw,
    )  # fmt: skip
    out, original = torch.ops.bigan.gather_images(data, index.contiguous(), *how)
    return {"image": original, "apart": (original, out)}.get(layout, out)
