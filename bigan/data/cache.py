"""Decoded images in a file, for data larger than memory: decoded once, then read as they are needed.

    <key>.u8     the pixels, [N, C, H, W] uint8
    <key>.json   shape, labels, classes, fingerprint; written last: without it there is no entry

The key is a hash of the source's path, its files' names, sizes and times, and how they are decoded.
"""

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .images import DataError, Images, Want

log = logging.getLogger(__name__)
VERSION = 1  # of what decoding gives: another one, other pixels


class Mapped(Images):
    """Some of a file's images: nothing is read before it is asked for, and the system may forget it again.

    pixels: all of the file's, [M, C, H, W].  rows: which of them these are, [N] int64.  contents: the
    fingerprint of the whole file.  The rest as in Images; `images` reads them all into memory.
    """

    def __init__(self, pixels: Tensor, rows: Tensor, contents: str, **about: Any):
        self.pixels, self.rows, self.contents = pixels, rows, contents
        for name, value in about.items():
            setattr(self, name, value)

    @property
    def images(self) -> Tensor:  # type: ignore[override]
        return self.pixels.index_select(0, self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, int, int]:
        _, c, h, w = self.pixels.shape
        return c, h, w

    @property
    def fingerprint(self) -> str:
        """That of the same images in memory, if these are all of the file's, in its order."""
        if torch.equal(self.rows, torch.arange(len(self.pixels))):
            return self.contents
        return hashlib.sha256(self.contents.encode() + self.rows.numpy().tobytes()).hexdigest()[:16]

    def take(self, index: Tensor) -> Tensor:
        return self.pixels.index_select(0, self.rows[index])

    def __getitem__(self, index: Tensor) -> "Mapped":
        return Mapped(self.pixels, self.rows[index], self.contents, **self._about(index))


class Entry:
    """A place in the cache for what `gather` decodes from `names` of `where`."""

    def __init__(self, where: str, names: list[str], stamp: str, want: Want):
        assert want.cache is not None
        self.folder = Path(want.cache)
        parts = [VERSION, os.path.abspath(where), names, stamp, want.size, want.channels, want.skip_bad]
        self.key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
        self.pixels, self.about = (self.folder / f"{self.key}.{suffix}" for suffix in ("u8", "json"))
        self.where = where

    @contextmanager
    def held(self) -> Iterator[None]:
        """No other process fills or reads this entry meanwhile."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = open(self.folder / f"{self.key}.lock", "w")  # noqa: SIM115
        except OSError as error:
            raise DataError(f"--cache {self.folder}: {error.strerror}") from error
        with lock:
            try:
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX)
            except (ImportError, OSError):  # no locks here: at worst it is decoded twice
                pass
            yield

    def found(self) -> Mapped | None:
        """What an earlier process left here."""
        try:
            about = json.loads(self.about.read_bytes())
            shape = about["shape"]
            if self.pixels.stat().st_size != int(np.prod(shape)):
                raise ValueError("cut short")
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            log.warning("%s: the cache's %s is damaged and made anew", self.where, self.about)
            return None
        return self._map(about)

    def room(self, *shape: int) -> np.ndarray:
        """A new file for so many pixels; DataError where the disk has no room."""
        need, free = int(np.prod(shape)), shutil.disk_usage(self.folder).free
        if need > free:
            sizes = " x ".join(map(str, shape))
            raise DataError(
                f"--cache {self.folder}: {sizes} bytes are {need / 2**30:,.1f} GiB, and {free / 2**30:,.1f} "
                "GiB are free there; give another folder or a smaller --size"
            )
        self._writing = np.memmap(self._temporary, np.uint8, "w+", shape=shape)
        return self._writing

    def keep(self, images: Images) -> Mapped:
        """Give the decoded pixels, the first of `room`'s, their name."""
        shape = list(images.images.shape)
        about: dict[str, Any] = {
            "source": self.where,
            "shape": shape,
            "labels": None if images.labels is None else images.labels.tolist(),
            "classes": images.classes,
            "skipped": images.skipped,
            "names": images.names,
            "fingerprint": images.fingerprint,
        }
        self._writing.flush()
        del self._writing, images
        os.truncate(self._temporary, int(np.prod(shape)))
        os.replace(self._temporary, self.pixels)
        part = self.about.with_suffix(".json.tmp")
        part.write_text(json.dumps(about))
        os.replace(part, self.about)
        log.warning("%s: decoded into %s", self.where, self.pixels)
        return self._map(about)

    @property
    def _temporary(self) -> Path:
        return self.pixels.with_suffix(".u8.tmp")

    def _map(self, about: dict[str, Any]) -> Mapped:
        shape = about["shape"]
        pixels = torch.from_file(str(self.pixels), False, int(np.prod(shape)), dtype=torch.uint8)
        labels = None if about["labels"] is None else torch.tensor(about["labels"], dtype=torch.int64)
        return Mapped(
            pixels.view(shape), torch.arange(shape[0]), about["fingerprint"], labels=labels,
            classes=about["classes"], name=self.where, skipped=about["skipped"], names=about["names"],
        )  # fmt: skip


def through(
    where: str,
    names: list[str],
    stamp: str,
    want: Want,
    decode: Callable[[Callable[..., np.ndarray]], Images],
) -> Mapped:
    """The cache's entry, filled by decode(room) where it is not there yet."""
    entry = Entry(where, names, stamp, want)
    with entry.held():
        return entry.found() or entry.keep(decode(entry.room))
