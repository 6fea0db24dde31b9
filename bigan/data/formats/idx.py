"""MNIST's idx files, gzipped or not: the images' file, or a folder with it; the labels lie beside it."""

import gzip
import struct
from pathlib import Path

import numpy as np

from ..arrays import assemble
from ..images import DataError, Images, Want
from ..pool import check_memory
from . import head

TITLE = "MNIST's idx files"
ORDER = 1
_PATTERNS = (
    "train-images*ubyte*",
    "raw/train-images*ubyte*",
    "MNIST/raw/train-images*ubyte*",
    "*images*ubyte*",
)


def accepts(path: Path) -> bool:
    if path.is_dir():
        return _inside(path) is not None
    return "ubyte" in path.name or head(path, 3) == b"\0\0\x08"


def read(path: Path, want: Want) -> Images:
    file = _inside(path) or path if path.is_dir() else path
    images = _array(file)
    if images.ndim == 1:
        raise DataError(f"{file}: these are labels; pass the file of the images")
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4:
        raise DataError(f"{file}: images must be [N, H, W], got {list(images.shape)}")
    beside = _labels_beside(file)
    return assemble(str(file), [images], None if beside is None else _array(beside), want)


def _inside(folder: Path) -> Path | None:
    return next(
        (file for pattern in _PATTERNS for file in sorted(folder.glob(pattern)) if file.is_file()), None
    )


def _labels_beside(file: Path) -> Path | None:
    stem = file.name.replace("images", "labels").replace("idx3", "idx1").removesuffix(".gz")
    if "images" not in file.name:
        return None
    return next((p for p in (file.with_name(stem), file.with_name(stem + ".gz")) if p.is_file()), None)


def _array(file: Path) -> np.ndarray:
    """The array of an idx file: 0, 0, type (8: uint8), number of axes; the axes, big-endian; the bytes."""
    with gzip.open(file) if head(file, 2) == b"\x1f\x8b" else open(file, "rb") as stream:
        zero, kind, axes = struct.unpack(">HBB", stream.read(4))
        if zero or kind != 8 or not axes:
            raise DataError(f"{file}: not an idx file of bytes (it should start with 0, 0, 8)")
        shape = struct.unpack(f">{axes}I", stream.read(4 * axes))
        check_memory(str(file), *shape)
        need = int(np.prod(shape, dtype=object))
        data = bytearray()
        while len(data) < need:  # by pieces: the header's word alone is no reason to reserve memory
            piece = stream.read(min(need - len(data), 1 << 24))
            if not piece:
                raise DataError(f"{file}: truncated: its header promises {need} bytes and it has {len(data)}")
            data += piece
        return np.frombuffer(data, np.uint8).reshape(shape)
