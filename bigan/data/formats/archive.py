"""A zip of images, read in place and never extracted; labels and attributes as in a folder."""

import posixpath
import threading
import zipfile
from pathlib import Path

from ..attributes import TABLES, by_table
from ..decode import MAX_BYTES, SUFFIXES, BadImage
from ..encoded import gather
from ..images import DataError, Images, Want
from ..labels import by_folder, by_json
from . import head, stamp
from .folder import beside, no_images

TITLE = "a zip of images"
ORDER = 5  # .npz is a zip too


def accepts(path: Path) -> bool:
    return path.is_file() and (path.suffix.lower() == ".zip" or head(path, 4) == b"PK\x03\x04")


def read(path: Path, want: Want) -> Images:
    where = str(path)
    with zipfile.ZipFile(path) as archive:
        members = _members(archive)
        names = [name for name in members if name.lower().endswith(SUFFIXES)]
        if not names:
            raise DataError(f"{where}: {no_images(list(members))}")
        labels, classes, attributes = None, None, None
        tables = [name for name in members if name.endswith("dataset.json")]
        table = min(
            (name for name in tables if posixpath.basename(name) == "dataset.json"), key=len, default=None
        )
        if table is not None:
            base = table.removesuffix("dataset.json")
            inside = [name.removeprefix(base) for name in names]
            labels, attributes = by_json(where, _read(archive, members[table]), inside)
        else:
            names, labels, classes = by_folder(where, names)
        inside = [name for name in members if posixpath.basename(name) in TABLES]
        texts = [(f"{where}: {name}", _read(archive, members[name])) for name in inside]
        for which, text in (texts or [(str(file), file.read_bytes()) for file in beside(path)])[:1]:
            attributes = by_table(which, text, names) or attributes
        lock = threading.Lock()

        def read_one(i: int) -> bytes:
            with lock:  # one file handle for all threads
                return _read(archive, members[names[i]])

        return gather(where, names, read_one, labels, classes, want, stamp(path), attributes)


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Files by name, sorted; hidden ones, macOS's shadows and names that climb out (`../x`) left out."""
    members = {}
    for info in archive.infolist():
        name = posixpath.normpath(info.filename.replace("\\", "/")).lstrip("/")
        parts = name.split("/")
        if not info.is_dir() and "__MACOSX" not in parts and not any(part.startswith(".") for part in parts):
            members[name] = info  # of a name that occurs twice the last counts, as for unzip
    return dict(sorted(members.items()))


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > MAX_BYTES:
        raise BadImage(f"more than {MAX_BYTES >> 20} MiB")
    with archive.open(info) as file:
        return file.read(info.file_size)  # a bound, for a member may inflate to more than it says
