"""SVHN's cropped digits: train_32x32.mat with X [32, 32, 3, N] uint8 and y [N, 1], 10 for the digit 0."""

from pathlib import Path

import numpy as np

from ..arrays import assemble
from ..images import DataError, Images, Want

TITLE = "SVHN's .mat file"
ORDER = 1


def accepts(path: Path) -> bool:
    return path.suffix.lower() == ".mat" and path.is_file()


def read(path: Path, want: Want) -> Images:
    try:
        from scipy.io import loadmat
    except ImportError:
        raise DataError(f"{path}: reading .mat files needs SciPy: pip install scipy") from None
    found = loadmat(path, variable_names=("X", "y"))
    if "X" not in found:
        raise DataError(f"{path}: no X [H, W, C, N] in it: this is not one of SVHN's files of cropped digits")
    x = np.asarray(found["X"])
    if x.ndim != 4 or x.dtype != np.uint8:
        raise DataError(f"{path}: X must be [H, W, C, N] uint8, got {list(x.shape)} {x.dtype}")
    labels = None
    if "y" in found:
        labels = np.asarray(found["y"]).ravel().astype(np.int64) % 10
    return assemble(str(path), [x.transpose(3, 2, 0, 1)], labels, want, classes=list("0123456789"))
