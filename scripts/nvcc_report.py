"""Compiles every csrc/cuda/*.cu for three generations of GPUs; reports registers, shared memory, spills.

    python scripts/nvcc_report.py [--archs 80,90,100] [--all]

No GPU is needed.  Fails (exit code 1) on a spill, a local stack frame or a warning.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENTRY = re.compile(r"Compiling entry function '(?P<name>\w+)' for 'sm_(?P<arch>\w+)'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")


def compile_one(nvcc: str, source: Path, arch: str, folder: Path) -> tuple[int, str]:
    command = [nvcc, "-cubin", f"-arch=sm_{arch}", "-O3", "-std=c++17", "-Xptxas=-v", "-DBIGAN_CUDA=1"]
    command += ["-Werror=all-warnings", f"-I{ROOT / 'csrc/include'}", str(source)]
    command += ["-o", str(folder / f"{source.stem}-{arch}.cubin")]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.returncode, done.stdout


def kernels(log: str) -> list[dict]:
    """One row a kernel: name (mangled), registers, shared memory, stack and spills in bytes."""
    rows: list[dict] = []
    for line in log.splitlines():
        if found := ENTRY.search(line):
            rows.append({"name": found["name"], "registers": 0, "shared": 0, "stack": 0, "spills": 0})
        elif rows and (found := STACK.search(line)):
            rows[-1] |= {"stack": int(found[1]), "spills": int(found[2]) + int(found[3])}
        elif rows and (found := USED.search(line)):
            shared = SHARED.search(line)
            rows[-1] |= {"registers": int(found[1]), "shared": int(shared[1]) if shared else 0}
    return rows


def demangle(names: list[str]) -> list[str]:
    if not (tool := shutil.which("c++filt")):
        return names
    text = subprocess.run([tool, "-p"], input="\n".join(names), capture_output=True, text=True).stdout
    return [re.sub(r"\(anonymous namespace\)::|\bbigan::", "", name) for name in text.splitlines()]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--archs", default="80,90,100")
    parser.add_argument("--all", action="store_true", help="a line for every kernel, not one a file")
    args = parser.parse_args()
    nvcc = os.environ.get("CUDACXX") or shutil.which("nvcc")
    if not nvcc:
        print("no nvcc found")
        return 1
    tasks = [(s, a) for s in sorted((ROOT / "csrc/cuda").glob("*.cu")) for a in args.archs.split(",")]
    bad = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(lambda t: compile_one(nvcc, *t, Path(folder)), tasks)
        for (source, arch), (code, log) in zip(tasks, done, strict=True):
            rows = kernels(log)
            spilling = [r for r in rows if r["spills"] or r["stack"]]
            most = max((r["registers"] for r in rows), default=0)
            bad += bool(code or spilling or not rows)
            verdict = "FAILED" if code else f"{len(rows)} kernels, at most {most} registers"
            print(
                f"{source.relative_to(ROOT)} sm_{arch}: {verdict}, {len(spilling)} with spills or stack",
                flush=True,
            )
            if code:
                print(log)
            shown = rows if args.all else spilling
            for row, name in zip(shown, demangle([r["name"] for r in shown]), strict=True):
                row = {k: v for k, v in row.items() if k != "name"}
                print("   ", ", ".join(f"{k} {v}" for k, v in row.items()), name)
    return 1 if bad or not tasks else 0


if __name__ == "__main__":
    sys.exit(main())
