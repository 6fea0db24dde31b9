"""Builds the native libraries through CMakeLists.txt, and writes down what was built, or why not."""

import hashlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from .tools import MIN_CMAKE, BuildError, Torch, find_compiler, find_tool, find_torch, mode

LIBRARIES = ("cpu", "cuda")


def build(source: Path, package: Path, scratch: Path) -> list[str]:
    """Fill `package`/lib with what this machine can build, and build_info.json; return the libraries' names.

    source: the folder of CMakeLists.txt.  scratch: where object files may stay for the next build.
    In mode auto a failure leaves a reason and a slower package; in mode cpu or cuda it raises BuildError.
    """
    wanted = mode(os.environ)
    lib = package / "lib"
    shutil.rmtree(lib, ignore_errors=True)
    lib.mkdir(parents=True)
    info: dict = {"mode": wanted}
    try:
        if wanted == "off":
            raise BuildError("switched off (BIGAN_BUILD=off)")
        torch, cmake, ninja = _find_tools()
        info |= _configure_and_build(source, lib, scratch, wanted, torch, cmake, ninja)
    except BuildError as e:
        if wanted not in ("auto", "off"):
            raise
        info |= {name: str(e) for name in LIBRARIES}
    (lib / "build_info.json").write_text(json.dumps(info, indent=2) + "\n")
    for line in summary(info):
        print(line, file=sys.stderr, flush=True)
    return [name for name in LIBRARIES if info[name] is None]


def summary(info: dict) -> list[str]:
    """One line for what was built, one for what was not and why."""
    built = [name for name in LIBRARIES if info[name] is None]
    lines = []
    if built:
        made = f"torch {info['torch']}, {info['compiler']}"
        if "cuda" in built:
            made += f", CUDA {info['cuda_version']} for {info['cuda_archs']}"
        lines.append(f"bigan: built {' and '.join(built)} kernels ({made})")
    if info["cpu"] is not None:
        lines.append(f"bigan: no native kernels, pure Python: {info['cpu']}")
    elif info["cuda"] is not None:
        lines.append(f"bigan: no CUDA kernels: {info['cuda']}")
    return lines


def _find_tools() -> tuple[Torch, str, str | None]:
    compiler, reason = find_compiler()
    if not compiler:
        raise BuildError(reason)
    cmake = find_tool("cmake", MIN_CMAKE)
    if not cmake:
        raise BuildError(f"no cmake >= {'.'.join(map(str, MIN_CMAKE))} found: pip install cmake ninja")
    torch, reason = find_torch()
    if not torch:
        raise BuildError(f"{reason}: install torch first, or name one with BIGAN_TORCH")
    return torch, cmake, find_tool("ninja", (1, 5))


def jobs() -> int:
    """MAX_JOBS, else the cores this process may use, held to one for 2 GiB of memory."""
    if given := os.environ.get("MAX_JOBS"):
        return max(1, int(given))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return cores
    return max(1, min(cores, memory // 2**31))


def _configure_and_build(
    source: Path, lib: Path, scratch: Path, wanted: str, torch: Torch, cmake: str, ninja: str | None
) -> dict:
    folder = _object_folder(scratch, cmake)
    options = [
        f"-DBIGAN_TORCH_DIR={torch.path}",
        f"-DBIGAN_CUDA={ {'auto': 'AUTO', 'cpu': 'OFF', 'cuda': 'ON'}[wanted] }",
        f"-DBIGAN_JOBS={jobs()}",
        "-DCMAKE_BUILD_TYPE=Release",
    ]
    if os.environ.get("BIGAN_WERROR"):
        options.append(f"-DBIGAN_WERROR={os.environ['BIGAN_WERROR']}")
    if ninja:
        options += ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    configure = [cmake, "-S", str(source), "-B", str(folder), *options]
    kept = folder.exists()
    failed = _run(configure)
    if failed and kept:  # objects of an earlier build that no longer fit: another compiler, a moved tool
        shutil.rmtree(folder)
        failed = _run(configure)
    if failed:
        raise BuildError(f"cmake failed: {failed}")
    info = json.loads((folder / "build_info.json").read_text())
    for name in LIBRARIES:
        if info[name] is None:
            info[name] = _build_one(cmake, folder, name, lib)
        if info[name] is not None and (wanted == name or (wanted == "cuda" and name == "cpu")):
            raise BuildError(f"BIGAN_BUILD={wanted}: no {name} library: {info[name]}")
    return {"mode": wanted} | info


def _build_one(cmake: str, folder: Path, name: str, lib: Path) -> str | None:
    """Build and install one library; the reason where that fails."""
    target = ["--build", str(folder), "--target", f"bigan_{name}", "--parallel", str(jobs())]
    if failed := _run([cmake, *target]):
        return f"its build failed: {failed}"
    failed = _run(
        [cmake, "--install", str(folder), "--component", name, "--prefix", str(lib.parent.resolve())]
    )
    return f"its install failed: {failed}" if failed else None


def _object_folder(scratch: Path, cmake: str) -> Path:
    """A folder that outlives this build, so that a second `pip install .` compiles only what changed."""
    names = ("CXX", "CXXFLAGS", "CUDACXX", "CUDAFLAGS", "CUDAHOSTCXX", "CUDA_HOME", "CUDA_PATH", "LDFLAGS")
    key = [cmake, *(os.environ.get(name, "") for name in names)]
    folder = scratch / f"native-{hashlib.sha256(repr(key).encode()).hexdigest()[:8]}"
    for other in scratch.glob("native-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder


def _run(command: list[str]) -> str | None:
    """Run, with the output passed on; None, or the line of it that says best what went wrong."""
    print("+", " ".join(command), flush=True)
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    lines = []
    assert process.stdout
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line.strip())
    if process.wait() == 0:
        return None
    return _complaint(lines) or f"exit status {process.returncode}"


def _complaint(lines: list[str]) -> str:
    """The first error of a build log, in one line."""
    for i, line in enumerate(lines):
        if line.startswith("CMake Error"):  # CMake says it below the place
            after = itertools.takewhile(lambda s: not s.startswith(_END), lines[i + 1 :])
            return " ".join(filter(None, after))[:300] or line
        if re.search(r"\berror\b", line, re.I):
            return line[:300]
    return lines[-1][:300] if lines else ""


_END = ("Call Stack", "It fails with", "CMake will not be able", "-- ")
