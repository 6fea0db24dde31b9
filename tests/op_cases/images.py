"""Augmented pairs, and mini-batches gathered from a data set."""

import math

import torch
import torch.nn.functional as F

from bigan import ops
from bigan.ops._augment import options as augment_options
from op_cases.case import ELEMENT, Case, seed

# odd, one pixel, no images, more elements than a block takes at a time
IMAGES = ((2, 3, 5, 7), (1, 1, 1, 1), (0, 3, 4, 4), (1, 4, 4, 70))
FILTERED = IMAGES[:1]
PICTURES = ((64, 3, 32, 32), (64, 3, 64, 64), (256, 3, 64, 64))


def _size(shape):
    """[B, C, H, W] as it is; of [B, n] a batch of images with about n elements each."""
    return (
        shape if len(shape) == 4 else (shape[0], 1 if shape[1] < 6 else 2, 3, max(3, min(25, shape[1] // 6)))
    )


def _images(shape, dtype, device):
    return [torch.randn(_size(shape), dtype=torch.float64).to(device, dtype)]


def _data(shape, dtype, device):
    """A column of the wanted type, a row an image to take; a uint8 data set of three more; their numbers."""
    B, *image = _size(shape)
    data = torch.randint(0, 256, (B + 3, *image), dtype=torch.uint8).to(device)
    index = (torch.arange(B)[:, None] * 3 + 1) % (B + 3)  # of two images not the same twice
    return [torch.zeros(B, 1, dtype=dtype, device=device), data, index.to(device)]


def _allowed(x, options):
    """A single pixel has nothing to reflect."""
    return {k: v for k, v in options.items() if min(x.shape[2:]) > 2 or k not in ("pad", "kernel_size")}


def _augment(**options):
    def call(x):
        result = ops.augment_pair(x, rng=seed(x.device), stream=7, **_allowed(x, options))
        return result if isinstance(result, tuple) else (result,)

    return call


def _gather(**options):
    def call(like, data, index):
        data, index = data.to(torch.uint8), index.long()[:, 0]
        drawn = {"rng": seed(data.device), "stream": 7} if len(options) > 2 else {}
        result = ops.gather_images(data, index, dtype=like.dtype, **drawn, **_allowed(data, options))
        return result if isinstance(result, tuple) else (result,)

    return call


# Crops for up to 512 images, where they are wanted: made once, so that they cost neither rival anything.
OFFSETS = torch.randint(0, 7, (512, 2), generator=torch.Generator().manual_seed(0))
OFFSETS_ON = {d: OFFSETS.to(d) for d in ("cpu", *["cuda"] * torch.cuda.is_available())}


def _offset(x, pad):
    offset = OFFSETS_ON[x.device.type][: len(x)]
    return offset if pad == 3 else offset.clamp(max=2 * pad)


def _pad(x):
    """3 pixels, as PAGAN's images of 32 x 32; fewer where that is more than the image has."""
    return min(3, *(n - 1 for n in x.shape[2:]))


def _cropped(x):
    draw = ops.Draw(_offset(x, _pad(x)))
    return (ops.augment_pair(x, pad=_pad(x), layout="width", draw=draw),)


def _given_blur(x):
    sample = torch.arange(len(x), device=x.device)
    draw = ops.Draw(flip=sample % 2 == 0, sigma=0.5 + 0.2 * sample.float())
    return (ops.augment_pair(x, kernel_size=3, draw=draw),)


def _eager_cropped(x):
    """Pad, take each image's window by advanced indexing, lay the pair out."""
    B, C, H, W = x.shape
    padded, offset = F.pad(x, (3, 3, 3, 3), mode="reflect"), _offset(x, 3)
    rows = offset[:, 0, None] + torch.arange(H, device=x.device)
    columns = offset[:, 1, None] + torch.arange(W, device=x.device)
    b, c = torch.arange(B, device=x.device), torch.arange(C, device=x.device)
    y = padded[b[:, None, None, None], c[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]
    return (torch.cat([x, y], 3),)


def _eager_given_blur(x):
    """Flip some, then a depthwise convolution along each side with each image's own taps."""
    B, C, H, W = x.shape
    sample = torch.arange(B, device=x.device)
    x = torch.where((sample % 2 == 0)[:, None, None, None], x.flip(3), x)
    taps = torch.exp(-0.5 * (torch.arange(-1, 2, device=x.device) / (0.5 + 0.2 * sample)[:, None]) ** 2)
    taps = (taps / taps.sum(1, keepdim=True)).to(x.dtype).repeat_interleave(C, 0)  # [B C, 3]
    y = F.pad(x, (1, 1, 1, 1), mode="reflect").view(1, B * C, H + 2, W + 2)
    y = F.conv2d(y, taps[:, None, :, None], groups=B * C)
    return (F.conv2d(y, taps[:, None, None, :], groups=B * C).view(x.shape),)


def _gather_pair(like, data, index):
    """PAGAN's batch: images mirrored or not, beside their crops."""
    data, index = data.to(torch.uint8), index.long()[:, 0]
    if min(data.shape[2:]) < 3 or not len(index):  # nothing to reflect
        return (ops.gather_images(data, index, dtype=like.dtype, scale=2 / 255, shift=-1.0),)
    pad = _pad(data)
    draw = ops.Draw(_offset(index, pad), mirror=index % 2 == 0)
    return (
        ops.gather_images(
            data, index, layout="width", pad=pad, draw=draw, dtype=like.dtype, scale=2 / 255, shift=-1.0
        ),
    )


def _eager_gather_pair(like, data, index):
    index = index[:, 0]
    x = data[index].to(like.dtype) * (2 / 255) - 1
    return _eager_cropped(torch.where((index % 2 == 0)[:, None, None, None], x.flip(3), x))


def _eager_gather(like, data, index):
    return (data[index[:, 0]].to(like.dtype) * (2 / 255) - 1,)


def _raw_how(device):
    """Everything at once, drawn: the pair along the width, pad 1, flip 1/2, 3 taps, contrast."""
    packed = augment_options(1, 0, True, torch.float32)
    return (seed(device), *[None] * 6, 7, packed, 1, 3, 2**31, 0, 0.5, 1.5, 0.5, 1.5, 2.0, 0.5)


CASES = [
    Case(
        "augment_pair",
        "given-crop",
        _images,
        _cropped,
        IMAGES,
        ELEMENT,
        bench=PICTURES,
        bytes=lambda s, n: 6 * math.prod(_size(s)) * n,  # image and pair, each way
        eager=_eager_cropped,
    ),
    Case(
        "augment_pair",
        "zero",
        _images,
        _augment(pad=2, mode="zero", flip=0.5, layout="apart", scale=2.0, shift=-0.5),
        IMAGES,
        ELEMENT,
    ),
    Case(
        "augment_pair",
        "filtered",
        _images,
        _augment(pad=1, flip=0.5, kernel_size=3, contrast=(0.5, 1.5), layout="channels", shift=0.5),
        FILTERED,
        ELEMENT,
        raw=lambda x: (x, *_raw_how(x.device)),
        passes=12,  # 9 taps, the mean, the image itself
    ),
    Case(
        "augment_pair",
        "given-blur",
        _images,
        _given_blur,
        FILTERED,
        ELEMENT,
        passes=10,
        bench=PICTURES,
        bytes=lambda s, n: 4 * math.prod(_size(s)) * n,
        eager=_eager_given_blur,
    ),
    Case(
        "gather_images",
        "image",
        _data,
        _gather(scale=2 / 255, shift=-1.0),
        IMAGES,
        ELEMENT,
        bench=PICTURES,
        bytes=lambda s, n: math.prod(_size(s)) * (1 + n),
        eager=_eager_gather,
        differentiable=False,
    ),
    Case(
        "gather_images",
        "pair",
        _data,
        _gather(mirror=0.5, pad=2, flip=0.5, layout="width", scale=2 / 255, shift=-1.0),
        IMAGES,
        ELEMENT,
        differentiable=False,
    ),
    Case(
        "gather_images",
        "given-pair",
        _data,
        _gather_pair,
        IMAGES,
        ELEMENT,
        bench=PICTURES,
        bytes=lambda s, n: math.prod(_size(s)) * (1 + 2 * n),
        eager=_eager_gather_pair,
        differentiable=False,
    ),
    Case(
        "gather_images",
        "filtered",
        _data,
        _gather(mirror=0.5, pad=1, kernel_size=3, contrast=(0.5, 1.5), layout="apart", scale=2 / 255),
        FILTERED,
        ELEMENT,
        raw=lambda like, data, index: (data, index[:, 0], *_raw_how(data.device)),
        passes=12,
        differentiable=False,
    ),
]
