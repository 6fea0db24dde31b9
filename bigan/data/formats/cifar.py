"""CIFAR-10 and CIFAR-100 as their authors give them out: binary or pickled batches in a folder, tar or file.

A folder or tar means its training set; a file alone means itself.  Pickles are read by `unpickle` and never
by pickle.
"""

import re
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from ..arrays import assemble
from ..images import DataError, Images, Want
from ..unpickle import loads
from . import head

TITLE = "CIFAR's batches"
ORDER = 2

# names of batches, training sets first
_KINDS = (r"data_batch_\d+(\.bin)?", r"train(\.bin)?", r"test_batch(\.bin)?", r"test(\.bin)?")
_NAMES = ("batches.meta", "meta", "batches.meta.txt", "fine_label_names.txt")  # files with the classes
_TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_MAX_FILE = 1 << 30  # CIFAR-100's 50,000 images in one file are 154 MB
_MAX_MEMBERS = 10_000

Files = dict[str, Callable[[], np.ndarray]]  # by name: reads the bytes, [n] uint8


def accepts(path: Path) -> bool:
    if path.is_dir():
        return _home(path) is not None
    name = path.name.lower()
    pickled = head(path, 1) == b"\x80" and path.suffix.lower() in ("", ".pkl", ".pickle")
    return path.is_file() and (name.endswith((".bin", *_TAR)) or _is_batch(path) or pickled)


def read(path: Path, want: Want) -> Images:
    if path.is_dir():
        files = _in_folder(_home(path) or path)
        names = _train(files)
    elif path.name.lower().endswith(_TAR):
        files = _in_tar(path)
        names = _train(files)
        if not names:
            raise DataError(
                f"{path}: no CIFAR batches and no images in it; of a compressed tar of images give the tar"
            )
    else:
        files = {name: get for name, get in _in_folder(path.parent).items() if name in _NAMES}
        files[path.name] = partial(_bytes, path)
        names = [path.name]
    parts, labels = [], []
    for name in names:
        where = str(path) if name == path.name else f"{path}: {name}"
        x, y = _batch(where, name, files[name]())
        parts.append(x.reshape(-1, 3, 32, 32))
        labels.append(y)
    tags = np.concatenate(labels)
    classes = _classes(path, files)
    if classes and tags.max(initial=0) >= len(classes):
        classes = None  # another data set's names
    return assemble(str(path), parts, tags, want, classes)


def _batch(where: str, name: str, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [n, 3072] uint8 and labels [n] of one batch."""
    if name.endswith(".bin"):
        return _binary(where, name, data)
    try:
        found = loads(data.tobytes())
    except ValueError as error:
        raise DataError(f"{where}: {error}") from error
    x, y = found.get("data"), found.get("labels", found.get("fine_labels"))
    if not isinstance(x, np.ndarray) or x.dtype != np.uint8 or x.ndim != 2 or x.shape[1] != 3072:
        raise DataError(f"{where}: no CIFAR batch: 'data' must be an array [N, 3072] of uint8")
    if isinstance(y, list) and all(type(label) is int for label in y):
        y = np.array(y, np.int64)
    if not isinstance(y, np.ndarray) or y.shape != (len(x),) or y.dtype.kind not in "iu":
        raise DataError(f"{where}: no CIFAR batch: 'labels' or 'fine_labels' must be {len(x)} integers")
    return x, y


def _binary(where: str, name: str, data: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Records of one label (CIFAR-10) or a coarse and a fine one (CIFAR-100), then three planes of pixels."""
    ten, hundred = len(data) % 3073 == 0, len(data) % 3074 == 0
    if not len(data) or not (ten or hundred):
        raise DataError(
            f"{where}: {len(data)} bytes are no whole number of CIFAR's records of 3073 or 3074 bytes"
        )
    if hundred and not (ten and name.startswith(("data_batch", "test_batch"))):
        rows, labels, classes = data.reshape(-1, 3074), 2, 100
    else:
        rows, labels, classes = data.reshape(-1, 3073), 1, 10
    y = np.array(rows[:, labels - 1])
    if y.max() >= classes:
        raise DataError(f"{where}: label {y.max()} in it: this is not CIFAR-{classes}'s format")
    return rows[:, labels:], y


def _classes(path: Path, files: Files) -> list[str] | None:
    for name in _NAMES:
        if name in files and name.endswith(".txt"):
            return files[name]().tobytes().decode("latin1").split()
        if name in files:
            try:
                found = loads(files[name]().tobytes())
            except ValueError as error:
                raise DataError(f"{path}: {name}: {error}") from error
            texts = found.get("label_names", found.get("fine_label_names"))
            if isinstance(texts, list) and all(isinstance(text, str | bytes) for text in texts):
                return [text.decode("latin1") if isinstance(text, bytes) else text for text in texts]
    return None


def _train(files: Files) -> list[str]:
    """The batches of the training set, or of the test set if that is all; `data_batch_10` after `_9`."""
    for kind in _KINDS:
        found = [name for name in files if re.fullmatch(kind, name)]
        if found:
            return sorted(found, key=lambda name: (len(name), name))
    return []


def _is_batch(path: Path) -> bool:
    """By name and first byte: a file called `train` may be anything."""
    if not any(re.fullmatch(kind, path.name) for kind in _KINDS) or not path.is_file():
        return False
    return path.suffix == ".bin" or head(path, 1) in (b"\x80", b"(", b"}")


def _home(folder: Path) -> Path | None:
    """The folder itself, or `cifar-10-batches-py` and the like in it."""
    homes = (folder, *sorted(p for p in folder.glob("cifar-10*") if p.is_dir()))
    return next((home for home in homes if any(_is_batch(p) for p in home.iterdir())), None)


def _in_folder(folder: Path) -> Files:
    files = (p for p in folder.iterdir() if p.is_file() and (p.name in _NAMES or _is_batch(p)))
    return {p.name: partial(_bytes, p) for p in files}


def _bytes(path: Path) -> np.ndarray:
    return np.memmap(path, np.uint8, "r") if path.stat().st_size else np.empty(0, np.uint8)


def _in_tar(path: Path) -> Files:
    """The batches in a tar, whatever folder they lie in; nothing is extracted."""
    files: Files = {}
    with tarfile.open(path) as tar:
        for count, member in enumerate(tar):
            name = member.name.rpartition("/")[2]
            if count == _MAX_MEMBERS or member.size > _MAX_FILE:
                raise DataError(
                    f"{path}: too much in it for CIFAR; of a compressed tar of images give the tar"
                )
            if member.isreg() and (name in _NAMES or any(re.fullmatch(kind, name) for kind in _KINDS)):
                stream = tar.extractfile(member)
                assert stream is not None
                files[name] = partial(np.frombuffer, stream.read(), np.uint8)
    return files
