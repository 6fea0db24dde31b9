"""A NumPy file: images [N, H, W], [N, H, W, C] or [N, C, H, W], uint8 or float in [0, 1].

Where it has them, also labels [N] and attributes [N, Y].
"""

import zipfile
from pathlib import Path

import numpy as np

from ..arrays import assemble
from ..attributes import as_attributes
from ..images import DataError, Images, Want
from ..pool import check_memory

TITLE = "a NumPy file (.npz, .npy)"
ORDER = 0

_IMAGES = ("images", "image", "imgs", "x_train", "x", "data", "arr_0")
_LABELS = ("labels", "label", "y_train", "y", "targets", "arr_1")
_BLOCK = 1024  # images converted from float at a time


def accepts(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in (".npz", ".npy")


def read(path: Path, want: Want) -> Images:
    where = str(path)
    if path.suffix.lower() == ".npy":
        return assemble(where, [_images(where, np.lib.format.open_memmap(path, mode="r"))], None, want)
    with zipfile.ZipFile(path) as archive:  # its directory has the sizes before anything is inflated
        for info in archive.infolist():
            check_memory(f"{where}: {info.filename}", info.file_size)
    with np.load(path, allow_pickle=False) as file:
        names = {name.lower(): name for name in file.files}
        found = next((names[name] for name in _IMAGES if name in names), None)
        if found is None and len(names) == 1:
            found = file.files[0]
        if found is None:
            raise DataError(
                f"{where}: no array named 'images' in it; it has {', '.join(file.files) or 'none at all'}"
            )
        tags = next((names[name] for name in _LABELS if name in names and names[name] != found), None)
        labels = None if tags is None else _labels(where, file[tags])
        given = names.get("attributes")
        attributes = None if given is None else as_attributes(where, file[given])
        return assemble(where, [_images(where, file[found])], labels, want, attributes=attributes)


def _labels(where: str, labels: np.ndarray) -> np.ndarray:
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"{where}: labels must be [N] integers, got {labels.dtype} {list(labels.shape)}")
    return labels


def _images(where: str, x: np.ndarray) -> np.ndarray:
    """Any accepted layout and type -> [N, C, H, W] uint8."""
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    elif x.ndim != 4 or x.shape[1] not in (1, 3):
        forms = "[N, H, W], [N, H, W, C] or [N, C, H, W] with C = 1 or 3"
        raise DataError(f"{where}: images must be {forms}, got {list(x.shape)}")
    if x.dtype == np.uint8:
        return x
    if x.dtype.kind != "f":
        raise DataError(f"{where}: images must be uint8, or float in [0, 1], got {x.dtype}")
    out = np.empty(x.shape, np.uint8)
    for i in range(0, len(x), _BLOCK):
        block = x[i : i + _BLOCK].astype(np.float32)
        if not (block.min(initial=0) >= 0 and block.max(initial=0) <= 1):  # written so that NaN fails too
            span = f"{block.min():.4g} to {block.max():.4g}"
            raise DataError(
                f"{where}: float images must lie in [0, 1], got {span}; save them as uint8 0 to 255"
            )
        out[i : i + _BLOCK] = np.rint(block * 255)
    return out
