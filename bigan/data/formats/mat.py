"""SVHN's cropped digits: train_32x32.mat with X [32, 32, 3, N] uint8 and y [N, 1], 10 for the digit 0.

Read here and not by SciPy, which crashes on damaged files.  The format is that of "MAT-File Format", The
MathWorks: elements of tag (type, bytes) and data; a matrix is an element made of elements: flags, dimensions
(column-major), name, numbers.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..arrays import assemble
from ..images import DataError, Images, Want
from ..pool import check_memory

TITLE = "SVHN's .mat file"
ORDER = 1
_NUMBERS = {
    1: "i1",
    2: "u1",
    3: "<i2",
    4: "<u2",
    5: "<i4",
    6: "<u4",
    7: "<f4",
    9: "<f8",
    12: "<i8",
    13: "<u8",
}
_MATRIX, _COMPRESSED = 14, 15


def accepts(path: Path) -> bool:
    return path.suffix.lower() == ".mat" and path.is_file()


def read(path: Path, want: Want) -> Images:
    found = dict(_matrices(path))
    if "X" not in found:
        raise DataError(f"{path}: no X [H, W, C, N] in it: this is not one of SVHN's files of cropped digits")
    x = found["X"]
    if x.ndim != 4 or x.dtype != np.uint8:
        raise DataError(f"{path}: X must be [H, W, C, N] uint8, got {list(x.shape)} {x.dtype}")
    labels = found["y"].ravel().astype(np.int64) % 10 if "y" in found else None
    return assemble(str(path), [x.transpose(3, 2, 0, 1)], labels, want, classes=list("0123456789"))


def _matrices(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The matrices X and y of a file, by name."""
    with open(path, "rb") as file:
        header = file.read(128)
    if header.startswith(b"MATLAB 7.3"):
        raise DataError(f"{path}: saved as MATLAB 7.3 (HDF5); save it with -v7")
    if len(header) < 128 or header[124:128] != b"\0\1IM":
        raise DataError(f"{path}: not a MATLAB 5 file")
    data = np.memmap(path, np.uint8, "r").data
    at = 128
    while at < len(data):
        kind, body, at = _element(data, at)
        if kind == _COMPRESSED:
            kind, body = _inflate(path, body)
        if kind == _MATRIX:
            yield from _matrix(body)


def _element(data: memoryview, at: int) -> tuple[int, memoryview, int]:
    """(type, data, where the next one begins) of the element at `at`."""
    kind, n = struct.unpack_from("<II", data, at)
    if kind >> 16:  # up to four bytes, in the tag itself
        kind, n, start = kind & 0xFFFF, kind >> 16, at + 4
        end = at + 8
    else:
        start = at + 8
        end = start + (n if kind == _COMPRESSED else (n + 7) // 8 * 8)
    if start + n > len(data):
        raise ValueError(f"truncated: {n} bytes promised, {max(len(data) - start, 0)} there")
    return kind, data[start : start + n], end


def _inflate(path: Path, body: memoryview) -> tuple[int, memoryview]:
    """The element in a compressed one; never more of it than its tag says."""
    stream = zlib.decompressobj()
    kind, n = struct.unpack("<II", stream.decompress(body, 8))
    check_memory(str(path), n)
    data = stream.decompress(stream.unconsumed_tail, n) if n else b""
    if len(data) < n:
        raise ValueError(f"truncated: {n} bytes promised, {len(data)} there")
    return kind, memoryview(data)


def _matrix(body: memoryview) -> Iterator[tuple[str, np.ndarray]]:
    _, _, at = _element(body, 0)  # flags
    _, shape, at = _element(body, at)
    _, name, at = _element(body, at)
    if bytes(name) in (b"X", b"y"):
        kind, numbers, _ = _element(body, at)
        if kind not in _NUMBERS:
            raise ValueError(f"{bytes(name).decode()} is not a matrix of numbers")
        shape = np.frombuffer(shape, "<i4").tolist()
        yield bytes(name).decode(), np.frombuffer(numbers, _NUMBERS[kind]).reshape(shape, order="F")
