"""A folder of images; class folders are labels, or StyleGAN's dataset.json has them; attributes from a table."""

import os
from collections import Counter
from pathlib import Path

from ..attributes import TABLES, by_table
from ..decode import MAX_BYTES, SUFFIXES, BadImage
from ..encoded import gather
from ..images import DataError, Images, Want
from ..labels import by_folder, by_json
from . import stamp

TITLE = "a folder of images"
ORDER = 9  # after the formats that have a folder of their own kind


def accepts(path: Path) -> bool:
    return path.is_dir()


def read(path: Path, want: Want) -> Images:
    files = _files(path)
    names = [name for name in files if name.lower().endswith(SUFFIXES)]
    if not names:
        packed = [name for name in files if name.lower().endswith((".zip", ".npz", ".mat", ".tar.gz"))][:3]
        hint = f"; did you mean {' or '.join(repr(str(path / name)) for name in packed)}?" if packed else ""
        raise DataError(f"{path}: {no_images(files)}{hint}")
    labels, classes, attributes = None, None, None
    told = ["dataset.json"] if "dataset.json" in files else []  # of labels, which a cache of the images keeps
    if told:
        labels, attributes = by_json(str(path), (path / "dataset.json").read_bytes(), names)
    else:
        names, labels, classes = by_folder(str(path), names)
    inside = [path / name for name in files if name.rpartition("/")[2] in TABLES]
    for table in (inside or beside(path))[:1]:
        attributes = by_table(str(table), table.read_bytes(), names) or attributes

    def read_one(i: int) -> bytes:
        with open(path / names[i], "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise BadImage(f"more than {MAX_BYTES >> 20} MiB")
        return data

    seen = stamp(*(path / name for name in [*names, *told])) if want.cache else ""
    return gather(str(path), names, read_one, labels, classes, want, seen, attributes)


def beside(path: Path) -> list[Path]:
    """CelebA's table of attributes next to its folder or zip."""
    tables = (path.absolute().parent / name for name in TABLES)
    return [table for table in tables if table.is_file()]


def no_images(files: list[str]) -> str:
    """What to say of a folder or zip without images."""
    if not files:
        return "no images in it: it is empty"
    kinds = Counter(
        os.path.splitext(name)[1].lower() or "files without suffix" for name in files
    ).most_common(3)
    found = ", ".join(f"{n} {kind}" for kind, n in kinds)
    return f"no images in it ({', '.join(SUFFIXES)}); it has {found}"


def _files(root: Path) -> list[str]:
    """All files below `root`, as sorted posix paths, no hidden ones; links are followed, not in circles."""
    found: list[str] = []
    folders, seen = [(root, "")], set()
    while folders:
        folder, prefix = folders.pop()
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            continue
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name == "__MACOSX":
                    continue
                if entry.is_dir():
                    folders.append((folder / entry.name, f"{prefix}{entry.name}/"))
                elif entry.is_file():
                    found.append(prefix + entry.name)
    return sorted(found)
