"""PEP 517/660 hooks: setuptools' own, plus what the native build of *this* machine needs.

torch is not among the static build requirements: a build under isolation would then fetch a second torch,
perhaps of another kind.  It is asked for only where none is installed and a compiler could make use of it.
"""

import os

from setuptools import build_meta
from setuptools.build_meta import (
    build_editable,
    build_sdist,
    build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

from . import tools

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

get_requires_for_build_sdist = build_meta.get_requires_for_build_sdist


def get_requires_for_build_wheel(config_settings=None) -> list[str]:
    return build_meta.get_requires_for_build_wheel(config_settings) + _missing()


def get_requires_for_build_editable(config_settings=None) -> list[str]:
    return build_meta.get_requires_for_build_editable(config_settings) + _missing()


def _missing() -> list[str]:
    try:
        return tools.missing_requirements(os.environ)
    except tools.BuildError as error:
        raise SystemExit(f"bigan: {error}") from None
