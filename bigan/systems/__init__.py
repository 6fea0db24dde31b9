"""The systems, one file each: a new one is found by its file's name."""

import importlib
import pkgutil
from types import ModuleType

from bigan.errors import unknown


def names() -> list[str]:
    """The systems' names, sorted."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name not in ("base", "onepass"))


def load(name: str) -> ModuleType:
    """The module of a system: its Config, its PRESETS and `build`, the class itself."""
    if name not in names():
        raise unknown("system", name, names())
    return importlib.import_module(f"{__name__}.{name}")
