"""Installs bigan in every way the README promises, in fresh virtual environments, and prints a table.

    python scripts/packaging_matrix.py                  # all of it: about half an hour and 20 GB on two cores
    python scripts/packaging_matrix.py --only cpu       # the cases whose name contains `cpu`

Two environments are made: one with a torch without CUDA (--torch-cpu, where one can be had), one that begins
empty, so that `pip install .` itself must bring torch.  Every case works on a copy of the tree made for it,
and is probed from an empty folder: import, the libraries' status, a gradient against the reference, the
Triton package, `bigan info`.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

PROBE = """
import json, time, torch
t = time.perf_counter(); import bigan; t = time.perf_counter() - t
from bigan import _native, ops
import bigan.kernels
g = torch.Generator().manual_seed(0)
def grads(backend):
    mu, logvar = (torch.randn(5, 37, generator=g.manual_seed(i)).requires_grad_() for i in (1, 2))
    with ops.use_backend(backend):
        ops.gaussian_kl(mu, logvar).square().sum().backward()
    return mu.grad, logvar.grad
auto, reference = grads("auto"), grads("reference")
same = all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(auto, reference))
info = _native.build_info()
print(json.dumps({"torch": torch.__version__, "against": info.get("torch"), "import": round(t, 3),
                  "right": same, "status": _native.status()}))
"""


@dataclass
class Case:
    """`pip install ARGS` in an environment; then each library is usable, or the reason holds these words."""

    name: str
    venv: str  # "cpu" or "cuda"
    cpu: str = ""  # "" = usable
    cuda: str = ""
    args: tuple[str, ...] = (".",)
    env: dict[str, str] = field(default_factory=dict)
    how: str = (
        "tree"  # tree, again (the tree of the case before), sdist, wheel (of the other environment), cmake
    )
    fails: str = ""  # the installation must fail, with these words


NO_CUDA_TORCH = "has no CUDA"
CASES = [
    # The environment `cuda` begins empty.
    Case("no torch: resolves one", "cuda"),
    Case("torch with CUDA, isolated", "cuda"),
    Case(
        "torch with CUDA, nvcc of another major",
        "cuda",
        cuda="does not fit torch",
        env={"CUDACXX": "{bin}/nvcc12"},
    ),
    Case("torch with CUDA, editable", "cuda", args=("-e", ".")),
    Case("wheel built against torch-cpu, here", "cuda", how="wheel"),
    Case("torch-cpu, isolated", "cpu", cuda=NO_CUDA_TORCH),
    Case("torch-cpu, no isolation", "cpu", cuda=NO_CUDA_TORCH, args=("--no-build-isolation", ".")),
    Case("torch-cpu, no cmake, no ninja", "cpu", cuda=NO_CUDA_TORCH, env={"PATH": "{bin}/compilers"}),
    Case("torch-cpu, no nvcc", "cpu", cuda="no nvcc found", env={"CUDACXX": "{bin}/nowhere"}),
    Case("torch-cpu, no compiler", "cpu", *["no C++ compiler found"] * 2, env={"PATH": "{bin}/nothing"}),
    Case("torch-cpu, broken compiler", "cpu", *["cmake failed"] * 2, env={"CXX": "{bin}/broken"}),
    Case("torch-cpu, from the sdist", "cpu", cuda=NO_CUDA_TORCH, how="sdist"),
    Case("torch-cpu, editable", "cpu", cuda=NO_CUDA_TORCH, args=("-e", ".")),
    Case("torch-cpu, editable again", "cpu", cuda=NO_CUDA_TORCH, args=("-e", "."), how="again"),
    Case("wheel built against torch with CUDA, here", "cpu", cuda=NO_CUDA_TORCH, how="wheel"),
    Case(
        "plain cmake, editable off",
        "cpu",
        cuda=NO_CUDA_TORCH,
        how="cmake",
        args=("-e", "."),
        env={"BIGAN_BUILD": "off"},
    ),
    Case("BIGAN_BUILD=off", "cpu", *["switched off"] * 2, env={"BIGAN_BUILD": "off"}),
    Case("BIGAN_BUILD=cpu", "cpu", cuda="switched off", env={"BIGAN_BUILD": "cpu"}),
    Case(
        "BIGAN_BUILD=cuda, no nvcc",
        "cpu",
        env={"BIGAN_BUILD": "cuda", "CUDACXX": "none"},
        fails="no nvcc found",
    ),
]


class Matrix:
    def __init__(self, work: Path, torch_cpu: str):
        self.work, self.torch_cpu = work, torch_cpu
        self.bin = work / "bin"
        self.wheels: dict[str, Path] = {}  # environment -> the wheel made in it
        self.tree = work  # of the last case
        self._fake_tools()

    def _fake_tools(self) -> None:
        for folder in ("nothing", "compilers"):
            (self.bin / folder).mkdir(parents=True, exist_ok=True)
        for name, body in {"nvcc12": "echo 'release 12.4, V12.4.131'", "broken": "exit 1"}.items():
            (self.bin / name).write_text(f"#!/bin/sh\n{body}\n")
            (self.bin / name).chmod(0o755)
        for name in (
            "c++",
            "g++",
            "gcc",
            "cc",
            "as",
            "ld",
            "ar",
            "ranlib",
            "nvcc",
            "sh",
            "env",
            "uname",
            "cat",
            "rm",
        ):
            link = self.bin / "compilers" / name
            if (found := shutil.which(name)) and not link.exists():
                link.symlink_to(Path(found).resolve() if name == "nvcc" else found)

    def python(self, venv: str) -> Path:
        folder = self.work / f"venv-{venv}"
        python = folder / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
            if venv == "cpu":
                self.run([python, "-m", "pip", "install", self.torch_cpu, "setuptools>=77"])
        return python

    def run(self, command: list, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
        """The output; RuntimeError with its end if the command fails."""
        done = subprocess.run(
            [str(c) for c in command],
            cwd=cwd or self.work,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        with (self.work / "log.txt").open("a") as log:
            log.write(f"\n$ {' '.join(map(str, command))}\n{done.stdout}")
        if done.returncode:
            raise RuntimeError(done.stdout[-3000:])
        return done.stdout

    def copy(self, name: str) -> Path:
        """The files git knows or would take, in a folder of their own."""
        folder = self.work / "trees" / re.sub(r"\W+", "-", name)
        shutil.rmtree(folder, ignore_errors=True)
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"],
            cwd=ROOT,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        return folder

    def check(self, case: Case) -> tuple[bool, float, str]:
        """(as it should be, seconds of the installation, what was seen)."""
        python = self.python(case.venv)
        self.run([python, "-m", "pip", "uninstall", "-y", "bigan"])
        before = self.torch(python)
        self.tree = tree = self.tree if case.how == "again" else self.copy(case.name)
        env = {k: v for k, v in os.environ.items() if not k.startswith(("BIGAN_", "CUDA", "TORCH_"))}
        env |= {key: value.format(bin=self.bin) for key, value in case.env.items()}
        empty = Path(tempfile.mkdtemp(dir=self.work))
        args, cwd = list(case.args), tree
        if case.how == "sdist":
            self.run([python, "-m", "pip", "install", "build"])
            self.run([python, "-m", "build", "--sdist", "--outdir", empty / "dist", tree])
            shutil.rmtree(tree)
            args, cwd = [str(next((empty / "dist").glob("*.tar.gz")))], empty
        elif case.how == "wheel":
            args, cwd = ["--no-deps", str(self.wheel("cpu" if case.venv == "cuda" else "cuda"))], empty
        start = time.perf_counter()
        try:
            log = self.run([python, "-m", "pip", "install", "-v", *args], cwd, env)
        except RuntimeError as error:
            last = [line.strip() for line in str(error).splitlines() if "bigan: " in line]
            return (
                bool(case.fails) and case.fails in " ".join(last),
                time.perf_counter() - start,
                (last or ["?"])[-1],
            )
        took = time.perf_counter() - start
        if case.fails:
            return False, took, "installed, though it must not"
        if case.how == "cmake":
            took += self.cmake(python, tree)
        return self.probe(case, python, empty, took, before, log)

    def probe(
        self, case: Case, python: Path, empty: Path, took: float, before: str, log: str
    ) -> tuple[bool, float, str]:
        try:
            seen = json.loads(self.run([python, "-c", PROBE], empty).splitlines()[-1])
            self.run([python.with_name("bigan"), "info"], empty)
        except RuntimeError as error:
            return False, took, str(error).strip().splitlines()[-1]
        good = seen["right"] and seen["import"] < 0.3
        notes = []
        for device, wanted in (("cpu", case.cpu), ("cuda", case.cuda)):
            said = seen["status"][device]
            good &= said is None if not wanted else said is not None and wanted in said
            notes.append(f"{device}: {'usable' if said is None else said[:70]}")
        if before and seen["torch"] != before:
            good = False
            notes.append(f"torch was {before}!")
        build_torch = re.search(
            r"Collecting torch\b", log.split("Installing backend dependencies")[-1].split("Preparing")[0]
        )
        if before and build_torch:
            good = False
            notes.append("a second torch was downloaded!")
        against = f", built against {seen['against']}" if seen["against"] else ""
        return good, took, f"torch {seen['torch']}{against}; {'; '.join(notes)}; import {seen['import']} s"

    def cmake(self, python: Path, tree: Path) -> float:
        """What the comment at the top of CMakeLists.txt says."""
        start = time.perf_counter()
        self.run(["cmake", "-B", "build", f"-DPython_EXECUTABLE={python}"], tree)
        self.run(["cmake", "--build", "build", "--parallel"], tree)
        self.run(["cmake", "--install", "build", "--prefix", "bigan"], tree)
        return time.perf_counter() - start

    def torch(self, python: Path) -> str:
        code = "import torch; print(torch.__version__)"
        done = subprocess.run([python, "-c", code], capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    def wheel(self, venv: str) -> Path:
        """A wheel made in the environment, for use in the other."""
        if venv not in self.wheels:
            python = self.python(venv)
            if not self.torch(python):
                self.run([python, "-m", "pip", "install", "torch"])
            folder = self.work / f"wheel-{venv}"
            self.run(
                [python, "-m", "pip", "wheel", "--no-deps", "-w", folder, "."], self.copy(f"wheel {venv}")
            )
            self.wheels[venv] = next(folder.glob("*.whl"))
        return self.wheels[venv]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, help="folder for environments and logs (default: a temporary one)"
    )
    parser.add_argument("--only", default="", help="run the cases whose name contains this")
    parser.add_argument(
        "--torch-cpu", default="torch==2.13.0", help="what pip is asked for a torch without CUDA"
    )
    args = parser.parse_args()
    work = args.work or Path(tempfile.mkdtemp(prefix="bigan-packaging-"))
    work.mkdir(parents=True, exist_ok=True)
    matrix = Matrix(work.resolve(), args.torch_cpu)
    print(f"environments and log.txt in {work}\n")
    print("| case | as it should be | install, s | seen |\n|---|---|---|---|", flush=True)
    failed = passed = 0
    for case in CASES:
        if args.only in case.name:
            try:
                good, took, seen = matrix.check(case)
            except RuntimeError as error:
                good, took, seen = False, 0.0, str(error).strip().splitlines()[-1]
            passed, failed = passed + good, failed + (not good)
            print(f"| {case.name} | {'yes' if good else '**NO**'} | {took:.0f} | {seen} |", flush=True)
    print(f"\n{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
