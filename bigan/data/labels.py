"""Labels of image files: from class folders, or from StyleGAN's dataset.json."""

import json
import logging
from typing import Any

import numpy as np

from .attributes import Named, as_attributes
from .images import DataError, shown

log = logging.getLogger(__name__)
_TRAIN = {"train", "training"}
_SPLITS = _TRAIN | {"test", "testing", "val", "valid", "validation", "dev", "eval"}


def by_folder(where: str, names: list[str]) -> tuple[list[str], list[int] | None, list[str] | None]:
    """(the names to use, their labels, the classes) from paths such as `cat/grey/1.png`.

    The class is the first folder, once folders that hold everything are passed over.  Images outside any
    folder, or all in one, have no labels.  Of `train/` and `test/` side by side only `train/` is used.
    """
    base = ""
    while True:
        tops = [_top(name, len(base)) for name in names]
        kinds = set(tops)
        if "" in kinds or not kinds:
            return names, None, None
        train = [top for top in kinds if top.lower() in _TRAIN]
        if len(kinds) == 1:
            base += f"{tops[0]}/"
        elif len(train) == 1 and {top.lower() for top in kinds} <= _SPLITS:
            others = ", ".join(f"{base}{top}/" for top in sorted(kinds) if top != train[0])
            base += f"{train[0]}/"
            log.warning("%s: using the images of %s and not those of %s", where, base, others)
            names = [name for name in names if name.startswith(base)]
        else:
            classes = sorted(kinds)
            number = {name: i for i, name in enumerate(classes)}
            return names, [number[top] for top in tops], classes


def _top(name: str, skip: int) -> str:
    """The first folder of name[skip:], or "" if it is in none."""
    end = name.find("/", skip)
    return name[skip:end] if end > 0 else ""


def by_json(where: str, text: bytes, names: list[str]) -> tuple[list[int] | None, Named | None]:
    """Labels from `{"labels": [["00000/0.png", 6], ...]}`, or that as an object; where they are vectors, attributes."""
    try:
        table = json.loads(text)["labels"]
        pairs = table.items() if isinstance(table, dict) else table or ()
        labels = {str(name).replace("\\", "/"): label for name, label in pairs}
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        why = f"{type(error).__name__}: {str(error)[:200]}"
        raise DataError(f'{where}: dataset.json is not {{"labels": [["name", 0], ...]}} ({why})') from error
    if not labels:
        return None, None
    vectors = all(map(_is_vector, labels.values()))
    if not vectors and not all(type(label) is int and 0 <= label < 1 << 31 for label in labels.values()):
        log.warning("%s: the labels in dataset.json are not class numbers and are not used", where)
        return None, None
    lost = [name for name in names if name not in labels]
    if lost:
        raise DataError(
            f"{where}: dataset.json lacks {len(lost)} of {len(names)} images, such as {shown(lost[0])}"
        )
    found = [labels[name] for name in names]
    if not vectors:
        return found, None
    if len(sizes := {len(vector) for vector in found}) > 1:
        raise DataError(f"{where}: dataset.json has vectors of {min(sizes)} to {max(sizes)} numbers")
    return None, (as_attributes(f"{where}: dataset.json", np.array(found, np.float32)), None)


def _is_vector(label: Any) -> bool:
    return isinstance(label, list) and bool(label) and all(type(number) in (int, float) for number in label)
