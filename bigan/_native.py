"""The native libraries: where they are, whether they can be used here, and why not.

They hold no Python module, only kernels for the operators that bigan.ops declares, and are loaded through
torch.  Nothing here raises: without them bigan is complete, only slower, and `status` keeps the reasons.
"""

import functools
import json
from pathlib import Path

import torch

_FOLDER = Path(__file__).parent / "lib"
_DEVICES = ("cpu", "cuda")

_status: dict[str, str | None] = {device: "not loaded yet" for device in _DEVICES}
_loaded = False


@functools.cache
def build_info() -> dict:
    """What the installation wrote down; under "cpu" and "cuda" None where built, else why not."""
    try:
        info = json.loads((_FOLDER / "build_info.json").read_text())
        return info | {device: info[device] for device in _DEVICES}
    except FileNotFoundError:
        reason = "bigan was not installed: this is a bare source tree (pip install -e .)"
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = f"{_FOLDER / 'build_info.json'} cannot be read ({error}): reinstall bigan"
    return dict.fromkeys(_DEVICES, reason)


def load() -> None:
    """Attach the kernels of every library that can be used with this torch; once a process."""
    global _loaded
    if not _loaded:
        _loaded = True
        for device in _DEVICES:
            _status[device] = _misfit(device) or _load(device)


def status() -> dict[str, str | None]:
    """Device -> None where its library is attached, else the reason."""
    return dict(_status)


def compiler() -> str:
    """What built the libraries, in a line for people."""
    info = build_info()
    if "compiler" not in info:
        return f"none: {info['cpu']}"
    cuda = (
        f", nvcc {info['cuda_version']} for {info['cuda_archs'].replace(';', ' ')}"
        if info["cuda"] is None
        else ""
    )
    return f"{info['compiler']}{cuda}; torch {info['torch']}, stable ABI {info['torch_target']}"


def _misfit(device: str) -> str | None:
    """Why the library for `device` must not even be tried, or None."""
    info = build_info()
    if info[device] is not None:
        return f"not built: {info[device]}"
    if not _library(device).is_file():
        return f"{_library(device)} is missing: reinstall bigan"
    least = info.get("torch_target", "2.11")
    if _version(torch.__version__) < _version(least):
        return f"needs torch >= {least}, this is {torch.__version__}"
    if device == "cuda":
        if not torch.version.cuda:
            return f"this torch ({torch.__version__}) has no CUDA"
        built, here = info["cuda_version"], torch.version.cuda
        if _version(built)[0] != _version(here)[0]:
            return f"built with CUDA {built}, this torch has {here}: reinstall bigan"
    return None


def _load(device: str) -> str | None:
    try:
        torch.ops.load_library(str(_library(device)))
    except OSError as error:  # what dlopen says: a missing symbol or library
        return f"cannot be loaded ({error.__cause__ or error}): reinstall bigan"
    except Exception as error:  # e.g. a kernel that this torch refuses to register
        return f"cannot be attached ({type(error).__name__}: {error})"
    return None


def _library(device: str) -> Path:
    return _FOLDER / f"libbigan_{device}.so"


def _version(text: str) -> tuple[int, ...]:
    """(2, 14) of `2.14.1+cu130`."""
    return tuple(int("".join(filter(str.isdigit, part)) or 0) for part in text.split("+")[0].split(".")[:2])
