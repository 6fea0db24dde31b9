"""Arrays of pixels (CIFAR, MNIST, .npz, ...) -> Images."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .images import DataError, Images, Want
from .pool import check_memory, chunks
from .resize import fit


def assemble(
    where: str,
    parts: Sequence[np.ndarray],
    labels: Iterable[int] | np.ndarray | None,
    want: Want,
    classes: list[str] | None = None,
    attributes: Tensor | None = None,
) -> Images:
    """Put the images of `parts`, each [n, C, H, W] uint8 of any strides, one after the other.

    The parts are read chunk by chunk into the final tensor, so memory maps cost nothing.
    """
    shape = parts[0].shape[1:] if parts else ()
    if any(part.shape[1:] != shape for part in parts):
        raise DataError(f"{where}: images of different shapes: {sorted({part.shape[1:] for part in parts})}")
    c, h, w = shape
    if c not in (1, 3) or not h or not w:
        raise DataError(f"{where}: images must have 1 or 3 channels and some pixels, got {c} x {h} x {w}")
    starts = np.cumsum([0] + [len(part) for part in parts])
    total = int(starts[-1])
    if not total:
        raise DataError(f"{where}: no images in it")
    tags = None if labels is None else np.asarray(labels)
    if tags is not None and tags.shape != (total,):
        raise DataError(f"{where}: {total} images, but labels of shape {tags.shape}")
    if attributes is not None and len(attributes) != total:
        raise DataError(f"{where}: {total} images, but attributes of {len(attributes)}")
    picks = want.pick(total)
    channels = want.channels or c
    height, width = (want.size, want.size) if want.size else (h, w)
    check_memory(where, len(picks), channels, height, width)
    out = np.empty((len(picks), channels, height, width), np.uint8)

    def fill(i: int, j: int) -> None:
        for part, start in zip(parts, starts, strict=False):
            lo, hi = np.searchsorted(picks[i:j], (start, start + len(part))) + i
            if lo < hi:
                out[lo:hi] = _to(part[picks[lo:hi] - start], channels, want.size)

    for _ in chunks(len(picks), fill, want.progress):
        pass
    chosen = None if tags is None else torch.from_numpy(tags[picks].astype(np.int64))
    kept = None if attributes is None else attributes[torch.from_numpy(picks)]
    return Images(torch.from_numpy(out), chosen, classes, where, attributes=kept)


def _to(x: np.ndarray, channels: int, size: int | None) -> np.ndarray:
    """[n, C, H, W] uint8 -> [n, channels, size, size]."""
    if x.shape[1] == 3 and channels == 1:  # ITU-R 601-2 luma in fixed point, as PIL has it
        weights = np.array([19595, 38470, 7471], np.uint32)[:, None, None]
        x = ((x * weights).sum(1, keepdims=True) + 0x8000 >> 16).astype(np.uint8)
    if size is not None and x.shape[2:] != (size, size):
        x = np.stack([_fit(image, size) for image in x])
    return x  # one channel is broadcast to three by the assignment


def _fit(image: np.ndarray, size: int) -> np.ndarray:
    """[C, H, W] uint8 -> [C, size, size]."""
    if len(image) == 1:
        return np.asarray(fit(Image.fromarray(image[0]), size))[None]
    rgb = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    return np.asarray(fit(rgb, size)).transpose(2, 0, 1)
