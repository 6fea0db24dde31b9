"""What `bigan info` prints: versions, devices, and the table of operators and backends."""

import importlib.metadata
import os
import platform
import sys
from collections.abc import Sequence

import torch

from bigan import __version__
from bigan.errors import UserError


def versions() -> dict[str, str]:
    """Name -> version, or why there is none."""
    cuda = f"built with CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
    return {
        "bigan": __version__,
        "python": f"{platform.python_version()} ({platform.system()} {platform.machine()})",
        "torch": f"{torch.__version__} ({cuda})",
        "triton": _package("triton"),
        "compiler": compiler(),
    }


def devices() -> dict[str, str]:
    """Device -> what it is."""
    found = {"cpu": f"{_cpu_name()}, {torch.get_num_threads()} threads"}
    for i in range(torch.cuda.device_count()):
        p = torch.cuda.get_device_properties(i)
        found[f"cuda:{i}"] = (
            f"{p.name}, {p.total_memory / 2**30:.0f} GiB, compute capability {p.major}.{p.minor}"
        )
    return found


def compiler() -> str:
    """What built the native libraries, or that none was built."""
    from bigan import _native

    return _native.compiler()


def operators() -> list[tuple[str, str, str, str]]:
    """Rows (operator, device, backend, "usable" or why not)."""
    from bigan import ops

    return [
        (name, device, backend, reason or "usable")
        for name in ops.names()
        for device in ("cpu", "cuda")
        for backend, reason in ops.backends(name, device).items()
    ]


def report() -> tuple[str, str | None]:
    """(the text, why BIGAN_BACKEND is refused or None). The table is shown even where it is refused."""
    given = os.environ.pop("BIGAN_BACKEND", None)  # importing the operators would already refuse
    wish = given or "auto"
    try:
        from bigan import ops

        refused = None
        try:
            with ops.use_backend(wish):
                pass
        except UserError as error:
            refused = str(error)
        rows = operators()
    finally:
        if given is not None:
            os.environ["BIGAN_BACKEND"] = given
    lines = [f"{key:<10}{value}" for key, value in (versions() | devices()).items()]
    lines += [
        f"{'backend':<10}{wish}" + (f": {refused}" if refused else ""),
        "",
        table([("op", "device", "backend", "usable or why not"), *rows]),
    ]
    return "\n".join(lines), refused


def table(rows: Sequence[tuple[str, ...]], indent: str = "") -> str:
    """Rows as text in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(indent + line for line in lines)


def _package(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _cpu_name() -> str:
    if sys.platform == "linux":
        try:
            with open("/proc/cpuinfo") as f:
                return next(line.partition(":")[2].strip() for line in f if line.startswith("model name"))
        except (OSError, StopIteration):
            pass
    return platform.processor() or platform.machine()
