"""Tiny data sets in every format bigan reads, for the tests of bigan.data."""

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

LABELS = [1, 0, 2, 1, 0, 2]


def pixels(n: int = 6, size: int = 32, channels: int = 3, seed: int = 0) -> np.ndarray:
    """[n, channels, size, size] uint8 noise."""
    return np.random.default_rng(seed).integers(0, 256, (n, channels, size, size), dtype=np.uint8)


def picture(x: np.ndarray) -> Image.Image:
    """[C, H, W] uint8 -> an image in mode L or RGB."""
    return Image.fromarray(x[0] if len(x) == 1 else np.ascontiguousarray(x.transpose(1, 2, 0)))


def encode(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(x: np.ndarray) -> bytes:
    return encode(picture(x))


def write_folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def write_zip(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def in_classes(x: np.ndarray) -> dict[str, bytes]:
    """Images in folders a, b, c by LABELS; in the order in which bigan reads them."""
    files = {
        f"{'abc'[label]}/{i}.png": png(image) for i, (label, image) in enumerate(zip(LABELS, x, strict=True))
    }
    return dict(sorted(files.items()))


def stylegan_json(pairs) -> bytes:
    return json.dumps({"labels": pairs}).encode()


def cifar10_binary(x: np.ndarray, labels=LABELS) -> bytes:
    return b"".join(bytes([label]) + image.tobytes() for label, image in zip(labels, x, strict=True))


def cifar100_binary(x: np.ndarray, labels=LABELS) -> bytes:
    return b"".join(
        bytes([label // 5, label]) + image.tobytes() for label, image in zip(labels, x, strict=True)
    )


def cifar_pickle(x: np.ndarray, labels=LABELS, protocol: int = 2, key: str = "labels") -> bytes:
    return pickle.dumps({"data": x.reshape(len(x), -1), key: list(labels), "batch_label": "one"}, protocol)


def python2_pickle(x: np.ndarray, labels=LABELS) -> bytes:
    """Byte for byte what Python 2 and NumPy 1 wrote: protocol 2, strings of bytes, numpy.core."""

    def short(text: bytes) -> bytes:
        return b"U" + bytes([len(text)]) + text

    raw = x.tobytes()
    dtype = (
        b"cnumpy\ndtype\n"
        + short(b"u1")
        + b"K\x00K\x01\x87R(K\x03"
        + short(b"|")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    shape = b"M" + struct.pack("<H", len(x)) + b"M" + struct.pack("<H", x[0].size) + b"\x86"
    state = b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<I", len(raw)) + raw + b"tb"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85"
        + short(b"b")
        + b"\x87R"
        + state
    )
    tags = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    items = short(b"batch_label") + short(b"one") + short(b"labels") + tags + short(b"data") + array
    return b"\x80\x02}q\x01(" + items + b"u."


def idx(x: np.ndarray, zipped: bool = False) -> bytes:
    data = struct.pack(f">HBB{x.ndim}I", 0, 8, x.ndim, *x.shape) + x.tobytes()
    return gzip.compress(data) if zipped else data


def npz(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def mat(**arrays: np.ndarray) -> bytes:
    """A MATLAB 5 file of uint8 matrices."""

    def element(kind: int, data: bytes) -> bytes:
        return struct.pack("<II", kind, len(data)) + data + bytes(-len(data) % 8)

    blob = b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\1IM"
    for name, x in arrays.items():
        parts = element(6, struct.pack("<II", 9, 0)) + element(5, np.array(x.shape, "<i4").tobytes())
        blob += element(14, parts + element(1, name.encode()) + element(2, x.tobytes(order="F")))
    return blob
