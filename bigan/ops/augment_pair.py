"""An augmented copy of each image, or the pair of both, in one pass; the padded image never exists.

PAGAN's augmentation (Alanov et al. 2018, arXiv:1810.04920): reflection padding and a random crop back, the
pair laid out along the width.  The formula, its order and its draw are in bigan/ops/_augment.py.
"""

from typing import Any

import torch
from torch import Tensor

from bigan.ops import _augment, _checks
from bigan.ops._augment import HOW, Draw, How
from bigan.ops._registry import define, differentiable, differentiable_by_reference, fake

LAYOUTS = _augment.LAYOUTS[:4]


@define(f"augment_pair(Tensor x, {HOW}) -> (Tensor out, Tensor original)")
def _reference(x, *how):
    """[B, C, H, W] -> out, as the layout says, and original [B, C, H, W] with "apart" alone, else [0]."""
    return _augment.apply(x, How(*how))


@define(f"augment_pair_backward(Tensor? grad_out, Tensor? grad_original, {HOW}) -> Tensor")
def _reference_backward(grad_out, grad_original, *how):
    """-> [B, C, H, W] in the dtype and memory format that the options tell."""
    return _augment.adjoint(grad_out, grad_original, How(*how))


@fake("augment_pair")
def _(x, *how):
    return _augment.empty(x, How(*how), x.shape[0])


@fake("augment_pair_backward")
def _(grad_out, grad_original, *how):
    return _augment.empty_gradient(grad_out, grad_original, How(*how))


def _save(ctx, inputs, outputs):
    x, how = inputs[0], How(*inputs[1:])
    ctx.save_for_backward(*how[:7])  # the draw; the map is linear, so x is not needed
    packed = _augment.options(how.layout, how.zero, how.contrasted, x.dtype, _augment.is_channels_last(x))
    ctx.rest = (how.stream, packed, *how[9:])


def _backward(ctx, grad_out, grad_original):
    if _augment.LAYOUTS[ctx.rest[1] & 7] != "apart":
        grad_original = None  # of nothing
    if grad_out is None and grad_original is None:
        return (None,)
    return (_gradient(grad_out, grad_original, *ctx.saved_tensors, *ctx.rest),)


_gradient = differentiable_by_reference("augment_pair_backward", wanted=2)
_forward = differentiable("augment_pair", 1, _save, _backward)


def augment_pair(
    x: Tensor,
    *,
    pad: int = 0,
    mode: str = "reflect",
    flip: float = 0.0,
    kernel_size: int = 1,
    sigma: float | tuple[float, float] = (0.1, 2.0),
    contrast: float | tuple[float, float] | None = None,
    layout: str = "augmented",
    scale: float = 1.0,
    shift: float = 0.0,
    dtype: torch.dtype | None = None,
    rng: Tensor | None = None,
    stream: int = 0,
    sample_id: Tensor | None = None,
    draw: Draw | None = None,
) -> Any:
    """Augmented images y, or the pair (x, y), from one read of x.

    x: [B, C, H, W] uint8, float64, float32, float16 or bfloat16, of any strides; channels_last gives
    channels_last.
    pad, mode: pad by so many pixels on every side, "reflect" or "zero", and crop back to H x W at an offset
    uniform over {0 .. 2 pad}^2; pad < H, W.
    flip: probability of a left-right flip.
    kernel_size, sigma: Gaussian blur with so many taps (odd, at most 31; 1: none), sigma fixed or uniform in
    (low, high), in pixels; edges are reflected, as torchvision's gaussian_blur does.
    contrast: factor f, fixed or uniform in (low, high): f v + (1 - f) mean of v's grey image; torchvision's
    adjust_contrast without its rounding and clamping, which are not linear.
    layout: "augmented" gives y alone; "width" [B, C, H, 2W] and "channels" [B, 2C, H, W] the pair in one
    tensor; "apart" (x, y).  For a pair of two given tensors torch.cat is all that is needed.
    scale, shift: x * scale + shift, for x and y alike: 2 / 255 and -1 take uint8 to [-1, 1].  Padding with
    zeros comes before it.
    dtype: of the result, by default x's, float32 for uint8.
    rng, stream, sample_id: the draw is a function of (seed, step), stream and sample id, as in
    `philox_normal`: the same arguments on another tensor replay it.  Without rng the seed comes from torch's
    default generator, so `torch.manual_seed` governs.  Offsets and flips are the same integers on every
    backend; the probability of an offset is off by less than 2**-32.  sigma and contrast agree to float32
    rounding.
    draw: the parameters themselves instead, as `augment_draw` returns them.  Values out of range are an error
    on the CPU; on a GPU, where looking would wait for it, and in compiled code, offsets are clamped.

    Raises ValueError naming the argument.  Differentiable any number of times by x, exactly (the map is
    linear); the backward gathers, without atomics.  One launch each way on a GPU.
    """
    op = "augment_pair"
    _augment.image_batch(op, "x", x, "B")
    number = _checks.choice(op, "layout", layout, LAYOUTS)
    if dtype is None:
        dtype = torch.float32 if x.dtype == torch.uint8 else x.dtype
    how = _augment.how(
        op, x.shape[0], x.shape[2:], dtype, x.device, pad=pad, mode=mode, flip=flip, kernel_size=kernel_size,
        sigma=sigma, contrast=contrast, layout=number, scale=scale, shift=shift, rng=rng, stream=stream,
        sample_id=sample_id, draw=draw,
    )  # fmt: skip
    out, original = _forward(x, *how)
    return (original, out) if layout == "apart" else out


def augment_draw(
    rng: Tensor,
    batch: int,
    *,
    pad: int = 0,
    flip: float = 0.0,
    mirror: float = 0.0,
    sigma: float | tuple[float, float] = (0.1, 2.0),
    contrast: float | tuple[float, float] = 1.0,
    stream: int = 0,
    sample_id: Tensor | None = None,
) -> Draw:
    """What `augment_pair` and `gather_images` draw with these arguments, for `batch` samples."""
    op = "augment_draw"
    _checks.tensor(op, "rng", rng)
    _checks.rng(op, rng, rng.device)
    how = _augment.how(
        op, batch, None, torch.float32, rng.device, pad=pad, flip=flip, mirror=mirror, sigma=sigma,
        contrast=contrast, rng=rng, stream=stream, sample_id=sample_id,
    )  # fmt: skip
    return _augment.draw(how, batch, rng.device)
