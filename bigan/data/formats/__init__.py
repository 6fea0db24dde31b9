"""One file a format, found by its name.  Each has

TITLE: str                               what it reads, for messages
ORDER: int                               who is asked first; 0 unless it would take what is another's
accepts(path: Path) -> bool              quick, reads a few bytes at most, never raises on strange content
read(path: Path, want: Want) -> Images   may raise anything on damaged files: `load` names file and format
"""

import importlib
import os
import pkgutil
from functools import cache
from pathlib import Path
from types import ModuleType


@cache
def formats() -> tuple[ModuleType, ...]:
    """All formats, in the order in which they are asked."""
    found = [importlib.import_module(f"{__name__}.{info.name}") for info in pkgutil.iter_modules(__path__)]
    return tuple(sorted(found, key=lambda module: module.ORDER))


def find(path: Path) -> ModuleType | None:
    """The format that reads `path`."""
    return next((module for module in formats() if module.accepts(path)), None)


def head(path: Path, n: int = 8) -> bytes:
    """The first bytes of a file; none if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read(n)
    except OSError:
        return b""


def stamp(*paths: Path) -> str:
    """Sizes and times of files: when one is replaced, this changes."""
    return " ".join(f"{s.st_size}:{s.st_mtime_ns}" for s in map(os.stat, paths))
