"""Data sets that are known by name and read from a local copy: where such copies are looked for."""

import os
from pathlib import Path

from . import formats
from .decode import SUFFIXES
from .formats import folder
from .images import DataError

# name -> (how files and folders of it usually begin, what to put there)
_COPIES = {
    "celeba": (
        ("celeba", "img_align_celeba"),
        "the folder or zip img_align_celeba (and list_attr_celeba.txt or .csv, for attributes)",
    ),
    "cifar10": (
        ("cifar10", "cifar-10-batches", "cifar-10-python", "cifar-10-binary"),
        "cifar-10-python.tar.gz, cifar-10-binary.tar.gz, or a zip of images in class folders",
    ),
    "cifar100": (
        ("cifar100", "cifar-100-python", "cifar-100-binary"),
        "cifar-100-python.tar.gz, cifar-100-binary.tar.gz, or a zip of images in class folders",
    ),
    "mnist": (("mnist", "train-images"), "train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz"),
    "svhn": (("svhn", "train_32x32"), "train_32x32.mat"),
}
NAMES = ("digits", *_COPIES)
_DEPTH = 2  # folders below a place that are looked into: data/mnist/MNIST/raw


def find(name: str) -> Path:
    """The local copy of the data set `name`: the first thing in the places below that can be read."""
    starts, wanted = _COPIES[name]
    for place in _places():
        for path in _candidates(place, starts):
            found = _packed(path, _DEPTH) or (path if path.is_dir() and _has_images(path) else None)
            if found is not None:
                return found
    looked = ", ".join(f"{place}/{name}*" for place in _places())
    raise DataError(
        f"no local copy of {name} (nothing is downloaded): put {wanted} into {_places()[-1]}/{name}/, "
        f"or pass its path. Looked for {looked}"
        + ("" if os.environ.get("BIGAN_DATA") else "; $BIGAN_DATA, another place to look, is not set")
    )


def _places() -> list[Path]:
    own = os.environ.get("BIGAN_DATA")
    return [*([Path(own)] if own else []), Path("data"), Path.home() / ".cache" / "bigan"]


def _candidates(place: Path, starts: tuple[str, ...]) -> list[Path]:
    """Entries whose name begins as the data set's, its very name and training sets first, no test sets."""
    if not place.is_dir():
        return []
    other = "cifar100" if starts[0] == "cifar10" else None  # which begins with cifar10 as well
    found = [p for p in place.iterdir() if p.name.lower().startswith(starts) and _is_train(p)]
    found = [p for p in found if not (other and p.name.lower().startswith(other))]
    return sorted(found, key=lambda p: (p.name.lower() != starts[0], *_train_first(p)))


def _packed(path: Path, depth: int) -> Path | None:
    """`path`, or what is up to `depth` folders below it, if a format other than the plain folder reads it."""
    form = formats.find(path)
    if form is not folder:
        return path if form else None
    if not depth:
        return None
    below = [p for p in path.iterdir() if not p.name.startswith(".") and _is_train(p)]
    below = [p for p in below if not p.name.lower().endswith(SUFFIXES)]
    return next(filter(None, (_packed(p, depth - 1) for p in sorted(below, key=_train_first))), None)


def _has_images(path: Path) -> bool:
    return any(name.lower().endswith(SUFFIXES) for _, _, names in os.walk(path) for name in names)


def _is_train(path: Path) -> bool:
    return "train" in path.name.lower() or "test" not in path.name.lower()


def _train_first(path: Path) -> tuple[bool, str]:
    return "train" not in path.name.lower(), path.name
