"""Trains the tiny system of the tests: in process by `run`, or as a program with a command's exit codes.

python engine_run.py '{"out": ..., "data": ..., "kimg": 1}'
"""

import contextlib
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bigan import systems
from bigan.engine.config import Run
from bigan.engine.loop import train
from bigan.errors import UserError

HERE = Path(__file__).parent


@contextlib.contextmanager
def tiny_is_a_system() -> Iterator[None]:
    """`tiny` can be loaded by its name meanwhile, as if it were shipped."""
    systems.__path__.append(str(HERE / "engine_systems"))
    try:
        yield
    finally:
        systems.__path__.remove(str(HERE / "engine_systems"))


@pytest.fixture(autouse=True, scope="module")
def tiny_system():
    """For the modules that import this name, and for no other: elsewhere the shipped systems are counted."""
    with tiny_is_a_system():
        yield


def run(out: Path, data: Path, config: dict | None = None, **settings) -> Path:
    """1 kimg of the tiny system, unless `settings` say otherwise."""
    defaults = {"size": 4, "batch": 10, "kimg": 1.0, "checkpoint_every": 0.2, "tensorboard": False}
    settings = {**defaults, **settings, "out": out, "data": str(data)}
    tiny = systems.load("tiny")
    return train("tiny", dataclasses.replace(tiny.Config(), **(config or {})), Run(**settings), "cpu")


def write_data(path: Path, n: int = 60, shape: tuple[int, int] = (4, 4), seed: int = 0) -> Path:
    """n random grey images with a little structure, as .npz."""
    rng = np.random.default_rng(seed)
    basis = rng.random((3, *shape))
    pixels = np.tensordot(rng.random((n, 3)), basis, 1) / 3
    np.savez(path, images=(pixels * 255).astype(np.uint8)[..., None])
    return path


if __name__ == "__main__":
    try:
        settings = json.loads(sys.argv[1])
        with tiny_is_a_system():
            run(Path(settings.pop("out")), Path(settings.pop("data")), **settings)
    except UserError as error:
        print(f"bigan: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
