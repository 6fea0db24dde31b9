"""Compiles every csrc/cuda/*.cu for three generations of GPUs and writes docs/kernels_ptxas.md: registers,
shared memory, spills.

    python scripts/ptxas_report.py            # write the table
    python scripts/ptxas_report.py --check    # also fail where the table in docs/ is not what this nvcc makes

No GPU is needed.  Fails on a spill, a stack frame (an array indexed at run time: its accesses go to memory)
or a warning.  Another nvcc makes other numbers: --check compares it only where the version is the same.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs/kernels_ptxas.md"
ARCHS = ("80", "90", "100")

_ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\w+)'")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")


@dataclass
class Use:
    """What one kernel takes on one architecture; shared memory without the dynamic part."""

    registers: int = 0
    shared: int = 0
    stack: int = 0
    spills: int = 0


def parse(log: str) -> Iterator[tuple[str, Use]]:
    """(mangled name, use) of each kernel in what `ptxas -v` printed."""
    name, use = "", Use()
    for line in log.splitlines():
        if m := _ENTRY.search(line):
            name, use = m[1], Use()
        elif m := _STACK.search(line):
            use.stack, use.spills = int(m[1]), int(m[2]) + int(m[3])
        elif name and (m := _USED.search(line)):
            use.registers = int(m[1])
            use.shared = int(shared[1]) if (shared := _SHARED.search(line)) else 0
            yield name, use
            name = ""


def readable(mangled: list[str]) -> list[str]:
    """`kernel<float, true>` where c++filt is at hand."""
    if not (tool := shutil.which("c++filt")):
        return mangled
    text = subprocess.run([tool], input="\n".join(mangled), capture_output=True, text=True, check=True).stdout
    return [
        re.sub(r"^void |bigan::|\(anonymous namespace\)::|\(bool\)", "", n).split("(")[0]
        for n in text.splitlines()
    ]


def compile_one(nvcc: str, source: Path, arch: str, folder: str) -> str:
    command = [nvcc, "-cubin", f"-arch=sm_{arch}", "-O3", "-std=c++17", "-Xptxas=-v", "-Werror=all-warnings"]
    command += [f"-I{ROOT / 'csrc/include'}", str(source), "-o", f"{folder}/{source.stem}-{arch}.cubin"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{source.relative_to(ROOT)} for sm_{arch}:\n{done.stdout}")
    return done.stdout


def measure(nvcc: str) -> dict[str, dict[str, dict[str, Use]]]:
    """file -> kernel -> architecture -> use"""
    tasks = [(s, a) for s in sorted((ROOT / "csrc/cuda").glob("*.cu")) for a in ARCHS]
    uses: dict[str, dict[str, dict[str, Use]]] = {}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        logs = pool.map(lambda task: compile_one(nvcc, *task, folder), tasks)
        for (source, arch), log in zip(tasks, logs, strict=True):
            found = dict(parse(log))
            for name, use in zip(readable(list(found)), found.values(), strict=True):
                uses.setdefault(source.name, {}).setdefault(name, {})[arch] = use
    return uses


def table(uses: dict[str, dict[str, dict[str, Use]]], version: str) -> str:
    lines = [
        "# Registers and shared memory of the kernels",
        "",
        f"Made by `python scripts/ptxas_report.py` with nvcc {version}. No kernel spills or has a stack",
        "frame: the script, and with it CI, fails otherwise.",
        "",
        f"| file | kernel | {' | '.join(f'sm_{a} registers' for a in ARCHS)} | static shared, bytes |",
        f"|---|---|{'---:|' * (len(ARCHS) + 1)}",
    ]
    for file, kernels in sorted(uses.items()):
        for name, by_arch in sorted(kernels.items()):
            registers = " | ".join(str(by_arch[a].registers) for a in ARCHS)
            lines.append(f"| {file} | `{name}` | {registers} | {max(u.shared for u in by_arch.values())} |")
    return "\n".join(lines) + "\n"


def spilling(uses: dict[str, dict[str, dict[str, Use]]]) -> list[str]:
    return [
        f"{file}: {name} on sm_{arch}: {use.spills} bytes spilled, {use.stack} bytes of stack"
        for file, kernels in uses.items()
        for name, by_arch in kernels.items()
        for arch, use in by_arch.items()
        if use.spills or use.stack
    ]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="compare with docs/kernels_ptxas.md, do not write it"
    )
    args = parser.parse_args()
    nvcc = os.environ.get("CUDACXX") or shutil.which("nvcc")
    if not nvcc:
        print("no nvcc found: nothing checked")
        return 1
    said = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"V(\d+\.\d+\.\d+)", said)[1]
    uses = measure(nvcc)
    text = table(uses, version)
    print(text)
    if bad := spilling(uses):
        print(*bad, sep="\n")
        return 1
    if not args.check:
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(text)
    elif f"nvcc {version}. " in (stored := TABLE.read_text()) and stored != text:
        print(
            "docs/kernels_ptxas.md is not this table: run python scripts/ptxas_report.py, look at what grew"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
