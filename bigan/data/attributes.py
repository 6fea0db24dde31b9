"""Attributes of images, Y numbers each: what conditions a system.  From a table beside the images, or their classes."""

import copy
import logging
from collections.abc import Iterable
from posixpath import basename, splitext

import numpy as np
import torch
from torch import Tensor

from ..errors import unknown
from .images import DataError, Images, shown

log = logging.getLogger(__name__)
# CelebA's: the number of images, a line of names, then a line an image.  Kaggle's: `image_id` and the names, ...
TABLES = ("list_attr_celeba.txt", "list_attr_celeba.csv")
_CODES = {"-1": 255, "0": 0, "1": 1}  # a byte each

Named = tuple[Tensor, list[str] | None]  # attributes [N, Y], and what the columns are called


def as_attributes(where: str, x: np.ndarray) -> Tensor:
    """[N, Y] of 0 and 1, or of -1 and 1 -> uint8 of 0 and 1.  Floating point stays what it is, as float32."""
    if x.ndim != 2 or not x.shape[1]:
        raise DataError(f"{where}: attributes must be [N, Y], got {list(x.shape)}")
    if x.dtype.kind == "f":
        with np.errstate(over="ignore"):
            numbers = x.astype(np.float32)
        if not np.isfinite(numbers).all():
            raise DataError(f"{where}: attributes must be finite numbers")
        return torch.from_numpy(numbers)
    found = np.unique(x).tolist() if x.dtype.kind in "biu" else [str(x.dtype)]
    if not any(set(found) <= pair for pair in ({0, 1}, {-1, 1})):
        got = ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
        raise DataError(f"{where}: attributes must be -1 and 1, or 0 and 1, or floating point, got {got}")
    return torch.from_numpy((x == 1).astype(np.uint8))


def by_table(where: str, text: bytes, names: list[str]) -> Named | None:
    """Attributes of the images `names` from a table like CelebA's; None if that is of other images altogether.

    Names agree whatever the suffix, for PNGs made of the JPEGs, and without their folders where no two are then alike.
    """
    comma = "," if where.endswith(".csv") else None  # None: any white space
    columns, rows = (_kaggles if comma else _celebas)(where, text.decode(errors="replace").splitlines())
    place = {splitext(line.split(comma, 1)[0])[0]: (number, line) for number, line in rows}
    full = [splitext(name)[0] for name in names]
    short = [basename(name) for name in full]
    keys = zip(full, short if len(set(short)) == len(short) else full, strict=True)
    found = [place.get(a) or place.get(b) for a, b in keys]
    lost = [name for name, row in zip(names, found, strict=True) if row is None]
    if len(lost) == len(names):
        log.warning("%s: has none of the images and is not used", where)
        return None
    if lost:
        raise DataError(f"{where}: lacks {len(lost)} of {len(names)} images, such as {shown(lost[0])}")
    codes = b"".join(_codes(where, row[0], row[1].split(comma)[1:], len(columns)) for row in found if row)
    values = np.frombuffer(codes, np.int8).reshape(len(names), len(columns))
    return as_attributes(where, values), columns


def _celebas(where: str, lines: list[str]) -> tuple[list[str], list[tuple[int, str]]]:
    """The columns' names; the lines of images, numbered."""
    columns = lines[1].split() if len(lines) > 1 else []
    if not columns or not lines[0].strip().isdecimal():
        raise DataError(f"{where}: must start with the number of images and a line of attributes' names")
    rows = [(number, line) for number, line in enumerate(lines[2:], 3) if line.strip()]
    if len(rows) != int(lines[0]):
        raise DataError(f"{where}: should have {int(lines[0])} images, and has {len(rows)}: copy it again")
    return columns, rows


def _kaggles(where: str, lines: list[str]) -> tuple[list[str], list[tuple[int, str]]]:
    first, *columns = lines[0].split(",") if lines else [""]
    if first != "image_id" or not columns:
        raise DataError(f"{where}: must start with image_id and the attributes' names, with commas between")
    return columns, [(number, line) for number, line in enumerate(lines[1:], 2) if line.strip()]


def _codes(where: str, number: int, values: list[str], columns: int) -> bytes:
    if len(values) != columns:
        raise DataError(f"{where}: line {number} has {len(values)} attributes, and {columns} have a name")
    if strange := [value for value in values if value not in _CODES]:
        raise DataError(
            f"{where}: line {number}: attributes must be -1 and 1, or 0 and 1, got {shown(strange[0])!r}"
        )
    return bytes(map(_CODES.__getitem__, values))


def conditioned(images: Images, count: int, like: list[str] | None = None) -> Images:
    """The images with the `count` attributes that a system is conditioned on; with none where that is 0.

    Classes are attributes too, one-hot, where they are as many.  like: what the attributes were called in the
    training of a system that is now used.  DataError where the images have others.
    """
    images = copy.copy(images)
    if not count:
        images.attributes = images.attribute_names = None
        return images
    have, classes = images.attributes, _classes(images)
    few = like is not None and images.classes is None and classes < count  # not every class need be there
    if have is not None and have.shape[1] == count:
        pass
    elif images.labels is not None and (classes == count or few):
        images.attributes = torch.zeros(len(images), count, dtype=torch.uint8)
        images.attributes.scatter_(1, images.labels[:, None], 1)
        images.attribute_names = images.classes
    else:
        kinds = [] if have is None else [f"{have.shape[1]} attributes"]
        kinds += [f"{classes} classes"] if classes else []
        whose = "--labels" if like is None else "the run's --labels"
        raise DataError(
            f"{images.name}: {whose} {count} asks for as many attributes or classes of the images, "
            f"which have {' and '.join(kinds) or 'neither'}"
        )
    _need_alike(images, like, count)
    images.attribute_names = images.attribute_names or numbered(count)
    return images


def having(names: list[str], words: Iterable[str]) -> Tensor:
    """1 for the attributes `words`, by name or number, 0 for the others.  -> [Y]; UserError for another word."""
    row = torch.zeros(len(names))
    for word in words:
        if word not in names and not (word.isdecimal() and int(word) < len(names)):
            raise unknown("attribute", word, names)
        row[names.index(word) if word in names else int(word)] = 1
    return row


def numbered(count: int) -> list[str]:
    """Names of attributes that have none."""
    return [str(i) for i in range(count)]


def _classes(images: Images) -> int:
    if images.labels is None or images.labels.min() < 0:  # what is below 0 is no class
        return 0
    return len(images.classes) if images.classes else int(images.labels.max().item()) + 1


def _need_alike(images: Images, like: list[str] | None, count: int) -> None:
    names = images.attribute_names
    if like and names and names != like and numbered(count) not in (names, like):
        unlike = next(i for i in range(count) if names[i] != like[i])
        raise DataError(
            f"{images.name}: attribute {unlike} is {shown(names[unlike])!r}, in the run {shown(like[unlike])!r}"
        )
