"""What every reader returns: all images in one uint8 tensor."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError


class DataError(UserError, ValueError):
    """The data cannot be found, read or used as asked; the message says which file and what to do."""


def shown(name: str) -> str:
    """A file name as it may be printed: names in archives can hold anything, terminal commands included."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


@dataclass(frozen=True)
class Want:
    """What the caller of `load` asked for; every format reader gets it."""

    size: int | None = None
    channels: int | None = None
    skip_bad: bool = False
    limit: int | None = None
    progress: Callable[[int, int], None] | None = None  # called with (images read, images in all)
    cache: Path | None = None  # folder that holds the decoded images, in place of the memory

    def __post_init__(self):
        if self.size is not None and self.size < 1:
            raise DataError(f"--size must be 1 or more pixels, got {self.size}")
        if self.channels not in (None, 1, 3):
            raise DataError(f"channels must be 1 (grey) or 3 (RGB), got {self.channels}")
        if self.limit is not None and self.limit < 1:
            raise DataError(f"limit must be 1 or more images, got {self.limit}")

    def pick(self, n: int) -> np.ndarray:
        """Which of `n` images to read: all, or `limit` spread evenly, so that every folder has its share."""
        if self.limit is None or self.limit >= n:
            return np.arange(n)
        return np.arange(self.limit) * n // self.limit


@dataclass(eq=False)
class Images:
    """A data set in memory.

    images: [N, C, H, W] uint8 on the CPU, C 1 or 3.  labels: [N] int64, or None.  attributes: [N, Y] uint8 of 0
    and 1 or float32, or None: what a system may be conditioned on (attributes.py).
    """

    images: Tensor
    labels: Tensor | None = None
    classes: list[str] | None = None
    name: str = ""
    skipped: int = 0  # unreadable images left out
    names: list[str] | None = field(default=None, kw_only=True)  # of the files, inside their folder or zip
    attributes: Tensor | None = field(default=None, kw_only=True)
    attribute_names: list[str] | None = field(default=None, kw_only=True)  # of the Y, where they have any

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        _, c, h, w = self.images.shape
        return c, h, w

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of SHA-256 over shape and bytes: the same pictures in the same order, or not."""
        return _digest(self.images)

    @property
    def attributes_fingerprint(self) -> str | None:
        """The same of the attributes."""
        return None if self.attributes is None else _digest(self.attributes)

    def take(self, index: Tensor) -> Tensor:
        """The pixels of the images at `index`, on the CPU.  [n] int64 -> [n, C, H, W] uint8"""
        return self.images.index_select(0, index)

    def conditions(self, index: Tensor) -> tuple[Tensor, ...]:
        """What a system is told of the images at `index` beside their pixels: (attributes [n, Y],), or nothing."""
        return () if self.attributes is None else (self.attributes.index_select(0, index),)

    def __getitem__(self, index: Tensor) -> "Images":
        """The images at `index` [n] int64, in that order."""
        return Images(self.images[index], **self._about(index))

    def _about(self, index: Tensor) -> dict[str, Any]:
        """All but the pixels of the images at `index`."""
        return {
            "labels": None if self.labels is None else self.labels[index],
            "classes": self.classes,
            "name": self.name,
            "skipped": self.skipped,
            "names": self.names and [self.names[i] for i in index.tolist()],
            "attributes": None if self.attributes is None else self.attributes[index],
            "attribute_names": self.attribute_names,
        }


def _digest(x: Tensor) -> str:
    digest = hashlib.sha256(repr(tuple(x.shape)).encode())
    digest.update(x.reshape(-1).numpy().data)
    return digest.hexdigest()[:16]


def split(images: Images, holdout: int | float, seed: int) -> tuple[Images, Images]:
    """(train, held out), a function of (len(images), holdout, seed) alone; both keep the original order.

    holdout: a number of images (int) or a fraction below 1 (float).
    """
    n = len(images)
    if holdout < 0 or (isinstance(holdout, float) and holdout >= 1):
        raise DataError(f"holdout must be a number of images, or a fraction below 1, got {holdout}")
    count = max(1, round(holdout * n)) if isinstance(holdout, float) and holdout > 0 else int(holdout)
    if count >= n:
        raise DataError(f"{images.name}: cannot hold out {count} of {n} images and train on the rest")
    if count == 0:
        return images, images[torch.empty(0, dtype=torch.int64)]
    held = np.sort(shuffled(n, seed, 0, purpose=SPLIT)[:count])
    train = np.delete(np.arange(n), held)
    return images[torch.from_numpy(train)], images[torch.from_numpy(held)]


# What a stream of random bits is for: streams of different purposes never meet.
SPLIT, ORDER, FLIP, LABELS = 1, 2, 3, 4


def random_bits(n: int, seed: int, index: int, purpose: int) -> np.ndarray:
    """[n] uint64, a pure function of the arguments (Philox-4x64, a bit stream that NumPy keeps stable)."""
    mask = (1 << 64) - 1
    key = np.array([seed & mask, index & mask], dtype=np.uint64)
    counter = np.array([0, 0, 0, purpose], dtype=np.uint64)
    return np.random.Philox(key=key, counter=counter).random_raw(n)


def shuffled(n: int, seed: int, index: int, purpose: int) -> np.ndarray:
    """A permutation of range(n), [n] int64: random keys sorted, for NumPy's own may change with a release."""
    return np.argsort(random_bits(n, seed, index, purpose), kind="stable")
