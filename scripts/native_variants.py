"""Builds the C++ library as other machines have it, or with sanitizers, and runs its tests so.

    python scripts/native_variants.py                  # all of them
    python scripts/native_variants.py plain -- -k latent_match

The library holds its loops for several instruction sets and takes the widest at hand, so that on a machine with
AVX-512 the tests say nothing of the others.

plain  x86-64 alone, or what another processor's compiler takes: the loops that every machine can run
avx2   x86-64-v3, under AddressSanitizer and UBSan: a read or write outside a tensor ends the run
"""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "build_backend"))
from bigan_build import native  # noqa: E402

SANITIZE = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1 -O2"
FLAGS = {"plain": "", "avx2": f"-march=x86-64-v3 {SANITIZE}"}
# Each operator forward and backward, all types; the convolutions.  What concerns Python alone needs no second run.
TESTS = ["tests/test_ops.py", "tests/test_quickconv.py"]
SELECT = "(native and matches_reference) or quickconv"


def packaged(folder: Path, flags: str) -> None:
    """bigan in `folder`, with a library of its own."""
    leave = shutil.ignore_patterns("__pycache__", "kernels", "lib")
    shutil.copytree(ROOT / "bigan", folder / "bigan", ignore=leave)
    (folder / "bigan/kernels").symlink_to(ROOT / "kernels")
    os.environ |= {"BIGAN_BUILD": "cpu", "CXXFLAGS": f"-DBIGAN_NO_CLONES {flags}"}
    native.build(ROOT, folder / "bigan", folder / "build")


def preloaded() -> str:
    """The sanitizers' runtime, and the C++ library: without it in time, exceptions are not intercepted."""
    names = ("libasan.so", "libubsan.so", "libstdc++.so")
    found = (subprocess.check_output(["g++", f"-print-file-name={name}"], text=True) for name in names)
    return " ".join(path.strip() for path in found)


def run(variant: str, arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        packaged(folder, FLAGS[variant])
        path = os.pathsep.join(filter(None, [name, os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path, "BIGAN_BACKEND": "native"}
        if variant == "avx2":
            environment |= {
                "LD_PRELOAD": preloaded(),
                "ASAN_OPTIONS": "detect_leaks=0:detect_odr_violation=0",
                "UBSAN_OPTIONS": "print_stacktrace=1",
            }
        command = [sys.executable, "-X", "faulthandler", "-m", "pytest", "-qx", "-r", "fE"]
        command += [
            "--dist=load",
            "-p",
            "no:cacheprovider",
            "-c",
            str(ROOT / "pyproject.toml"),
            "--rootdir",
            str(ROOT),
        ]
        command += [*(str(ROOT / test) for test in TESTS), *(arguments or ["-k", SELECT])]
        return subprocess.run(command, env=environment, cwd=folder).returncode


def main() -> int:
    split = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    variants, rest = sys.argv[1:split] or list(FLAGS), sys.argv[split + 1 :]
    if unknown := set(variants) - set(FLAGS):
        sys.exit(f"unknown variant: {', '.join(unknown)}; {' and '.join(FLAGS)} are known")
    failed = False
    for variant in variants:
        if variant == "avx2" and platform.machine() != "x86_64":
            print("avx2: nothing checked, this is no x86-64 processor")
            continue
        print(f"--- {variant}", flush=True)
        failed |= run(variant, rest) != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
