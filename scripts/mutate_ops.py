"""Plants one-token errors in every implementation of every operator, and runs the operator's tests on them.

    python scripts/mutate_ops.py                        # all: about 20 minutes on two cores
    python scripts/mutate_ops.py --op moment_kl --source cpu

Prints how many were caught and fails where one was not; the table of errors is tests/op_mutants.py.  CUDA
kernels run on the CPU (docs/emulation.md), C++ ones are built by CMake as ever, Triton's are interpreted.
"""

import argparse
import contextlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("tests", "tests/emulation", "build_backend")]
import mutants  # noqa: E402
import op_mutants  # noqa: E402
from bigan_build import native  # noqa: E402
from mutants import Mutant  # noqa: E402

from bigan import ops  # noqa: E402

BUILD = ROOT / "build/mutants"  # sources and objects of the C++ library: only what differs is compiled anew
_building = threading.Lock()


def package(sources: Path, source: str) -> None:
    """bigan with the kernels of `sources`/kernels, or built from `sources`/csrc, as `sources`/bigan."""
    leave = shutil.ignore_patterns("__pycache__", "kernels", "lib")
    shutil.copytree(ROOT / "bigan", sources / "bigan", ignore=leave)
    shutil.copytree(sources / "kernels", sources / "bigan/kernels")
    if source != "cpu":
        return
    with _building, contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        tree = BUILD / "tree"
        shutil.copytree(ROOT / "cmake", tree / "cmake", dirs_exist_ok=True)
        for name in ("CMakeLists.txt", "bigan/__init__.py"):
            update(ROOT / name, tree / name)
        for path in sources.glob("csrc/**/*.*"):
            update(path, tree / path.relative_to(sources))
        for path in tree.glob("csrc/**/*.*"):
            if not (sources / path.relative_to(tree)).exists():
                path.unlink()
        native.build(tree, sources / "bigan", BUILD)


def update(path: Path, into: Path) -> None:
    """Copy a file that has changed; one that has not keeps its time."""
    if not into.exists() or into.read_bytes() != path.read_bytes():
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, into)


def commands(op: str, source: str, mutant: Mutant | None) -> list[list[str]]:
    """Arguments of pytest: the tests of values in one type, then all that concern the operator."""
    if source == "cuda":
        file, select = "tests/emulation/test_operators.py", f"{op} and not ptx"
    else:
        file, select = "tests/test_ops.py", f"{op} and {'native' if source == 'cpu' else 'triton'}"
    own = [str(ROOT / f"tests/test_{op}.py")] if source == "cpu" else []
    file = str(ROOT / file)
    if mutant and mutant.select:
        return [[file, "-k", f"({mutant.select}) and not ptx"]] * 2
    return [[file, "-k", f"{select} and test_matches_reference and float32"], [file, *own, "-k", select]]


def caught(mutant: Mutant | None, op: str, source: str) -> bool:
    """Whether the operator's tests fail with this bug; without one, whether those of values do."""
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder)
        mutant.plant(sources) if mutant else mutants.copy_sources(sources)
        environment = {**os.environ, "BIGAN_BUILD": "cpu", "BIGAN_BACKEND": "", "PYTHONPATH": folder}
        if source == "cuda":
            environment |= {"BIGAN_EMULATION_SOURCES": folder, "PYTHONPATH": str(ROOT)}
        else:
            package(sources, source)
        for arguments in commands(op, source, mutant)[: 2 if mutant else 1]:
            command = [sys.executable, "-m", "pytest", "-n0", "-q", "-x", "-p", "no:cacheprovider"]
            command += ["-c", str(ROOT / "pyproject.toml"), "--rootdir", str(ROOT), *arguments]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
            if mutant and done.returncode < 0:  # by a signal: it read or wrote where it may not
                return True
            said = done.stdout + done.stderr
            tested = " passed" in said or " failed" in said
            if done.returncode not in (0, 1) or not tested or "g++ -std" in said:
                raise RuntimeError(
                    f"{mutant.name if mutant else 'unchanged'}: nothing tested\n{said[-3000:]}"
                )
            if done.returncode:
                return True
    return False


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--op", action="append", choices=ops.names(), help="only this; may be repeated")
    parser.add_argument("--source", action="append", choices=op_mutants.SOURCES, help="only these")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="bugs at a time")
    args = parser.parse_args()
    names, sources = args.op or ops.names(), args.source or op_mutants.SOURCES
    alive = []
    print(f"| operator | {' | '.join(sources)} |\n|---|{'---|' * len(sources)}", flush=True)
    with ThreadPoolExecutor(args.jobs) as pool:
        for op in names:
            cells = []
            for source in sources:
                planted = op_mutants.of(op, source)
                unchanged, *found = pool.map(lambda m: caught(m, op, source), [None, *planted])  # noqa: B023
                if unchanged:
                    raise RuntimeError(f"{op} in {source}: the tests fail without any bug")
                alive += [m.name for m, seen in zip(planted, found, strict=True) if not seen]
                cells.append(f"{sum(found)} of {len(found)}")
            print(f"| `{op}` | {' | '.join(cells)} |", flush=True)
    if alive:
        print("\nnot caught:", *alive, sep="\n  ")
    return int(bool(alive))


if __name__ == "__main__":
    sys.exit(main())
