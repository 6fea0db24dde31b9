"""WebDataset shards: tar files of samples, `<key>.jpg` beside `<key>.cls` or `<key>.json`; read in place."""

import contextlib
import itertools
import json
import os
import tarfile
import threading
from pathlib import Path

from ..decode import MAX_BYTES, SUFFIXES, BadImage
from ..encoded import gather
from ..images import DataError, Images, Want
from . import stamp

TITLE = "WebDataset shards"
ORDER = 1  # before CIFAR's, which takes other tars
BLOCK = 512
LOOK = 100  # members of a tar among which there is to be an image


def accepts(path: Path) -> bool:
    return bool(shards(path))


def shards(path: Path) -> list[Path]:
    """The tar file, or those of a folder that holds no images beside them, sorted by name."""
    if path.is_dir():
        names = sorted(os.listdir(path))
        tars = [path / name for name in names if name.endswith(".tar") and not name.startswith(".")]
        beside = any(name.lower().endswith(SUFFIXES) for name in names)
        return tars if tars and not beside and _has_images(tars[0]) else []
    return [path] if path.suffix == ".tar" and _has_images(path) else []


def _need_end(tar: Path) -> None:
    """A tar ends in a block of zeros; one cut short would only seem to have fewer images."""
    with open(tar, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - BLOCK))
        if size % BLOCK or any(file.read()):
            raise DataError(f"{tar}: is cut short ({size} bytes); copy it again")


def _has_images(tar: Path) -> bool:
    try:
        with tarfile.open(tar, "r:") as archive:
            return any(member.name.lower().endswith(SUFFIXES) for member in itertools.islice(archive, LOOK))
    except (OSError, tarfile.TarError):
        return False


def read(path: Path, want: Want) -> Images:
    tars = shards(path)
    samples: dict[str, dict[str, tuple[int, int, int]]] = {}  # key -> suffix -> (shard, offset, bytes)
    for k, tar in enumerate(tars):
        _need_end(tar)
        with tarfile.open(tar, "r:") as archive:
            for member in archive:
                folder, _, name = member.name.rpartition("/")
                key, dot, suffix = name.partition(".")
                if member.isreg() and not member.issparse() and key and dot:
                    place = k, member.offset_data, member.size
                    samples.setdefault(f"{tar.name}/{folder}/{key}", {})[f".{suffix.lower()}"] = place
    pictures = {key: _image(files) for key, files in samples.items()}
    keys = [key for key, picture in pictures.items() if picture]
    with _Files(tars) as shared:
        numbers = [_label(shared, samples[key]) for key in keys]
        known = [n for n in numbers if n is not None]
        labels = known if len(known) == len(keys) else None
        places = [place for place in pictures.values() if place]
        return gather(str(path), keys, lambda i: shared.read(places[i]), labels, None, want, stamp(*tars))


class _Files(contextlib.ExitStack):
    """Shards opened once each, for all threads."""

    def __init__(self, paths: list[Path]):
        super().__init__()
        self._files = [self.enter_context(open(path, "rb")) for path in paths]  # noqa: SIM115
        self._locks = [threading.Lock() for _ in paths]

    def read(self, place: tuple[int, int, int]) -> bytes:
        shard, offset, size = place
        if size > MAX_BYTES:
            raise BadImage(f"more than {MAX_BYTES >> 20} MiB")
        with self._locks[shard]:
            self._files[shard].seek(offset)
            return self._files[shard].read(size)


def _image(files: dict[str, tuple[int, int, int]]) -> tuple[int, int, int] | None:
    return next((place for suffix, place in files.items() if suffix.endswith(SUFFIXES)), None)


def _label(shared: _Files, files: dict[str, tuple[int, int, int]]) -> int | None:
    """The class in `.cls`, or under "label" in `.json`; None where there is none."""
    try:
        if ".cls" in files:
            return int(shared.read(files[".cls"]))
        if ".json" in files:
            found = json.loads(shared.read(files[".json"]))["label"]
            return found if isinstance(found, int) else None
    except (ValueError, KeyError, TypeError):
        return None
    return None
