"""Compiles the .cu files for the CPU with g++, and to PTX with nvcc.

Variants: "host" (every access checked and counted, no sanitizer runtime), "asan" (AddressSanitizer and
UBSan), "tsan". Objects are cached by the hash of what they are made from, in build/emulation or
BIGAN_EMULATION_CACHE, which may be deleted at any time.
"""

import contextlib
import functools
import hashlib
import os
import re
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SOURCES = Path(
    os.environ.get("BIGAN_EMULATION_SOURCES") or ROOT
)  # a mutant's copy of csrc/: scripts/emulation_mutants.py
VARIANTS = ("host", "asan", "tsan")

BASE = [
    "-std=c++20", "-O2", "-g1", "-fPIC", "-Wall", "-Wextra", "-Werror", "-Wno-unknown-pragmas",
    "-ffp-contract=off",  # as PTX rounds: products are fused where the source says fma
    "-fno-strict-aliasing",  # nvcc lets a float4 alias floats
    "-fno-gnu-unique",  # two of these libraries in one process share nothing
]  # fmt: skip
MACHINE = {"host": ["-DEMU_TRACE"], "asan": ["-DEMU_ASAN"], "tsan": ["-DEMU_TSAN"]}
KERNEL = {
    "host": [
        "-fsanitize=thread", "-Wno-tsan",  # its instrumentation, not its runtime: csrc/emulation/trace.cpp
        "-fsanitize=alignment,bounds,shift,integer-divide-by-zero,signed-integer-overflow,float-cast-overflow",
        "-fno-tree-vectorize", "-fno-store-merging",  # one access of the source stays one access
    ],
    "asan": [
        "-O1", "-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all",
        "-fno-omit-frame-pointer",
    ],
    "tsan": ["-O1", "-fsanitize=thread", "-Wno-tsan", "-fno-omit-frame-pointer"],
}  # fmt: skip
LINK = {"host": [], "asan": ["-fsanitize=address,undefined"], "tsan": ["-fsanitize=thread"]}
TORCH = Path(torch.__file__).parent
BIND = [
    "-DBIGAN_CUDA=1", "-DBIGAN_NAMESPACE=bigan_emulated", "-DBIGAN_KEY=CPU", "-O0",
    "-DTORCH_TARGET_VERSION=0x020b000000000000", f"-isystem{TORCH}/include",
]  # fmt: skip


def cache() -> Path:
    return Path(os.environ.get("BIGAN_EMULATION_CACHE") or ROOT / "build" / "emulation")


@functools.cache
def missing(tool: str) -> str | None:
    """Why `tool` ("g++", "nvcc") cannot be used, or None."""
    return None if shutil.which(tool) else f"{tool} is not installed"


@functools.cache
def _version(tool: str) -> str:
    return subprocess.run([tool, "--version"], capture_output=True, text=True, check=True).stdout


def _cached(command: list[str], name: str) -> Path:
    """The file `name` of the cache, made by `command`; what nobody asked for in a week is deleted."""
    into, now = cache() / name, time.time()
    if into.exists():
        os.utime(into)
        return into
    cache().mkdir(parents=True, exist_ok=True)
    for old in cache().iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process deletes too
            if now - old.stat().st_mtime > 7 * 24 * 3600:
                old.unlink()
    return _run(command, into)


def _run(command: list[str], into: Path) -> Path:
    """Run a compiler that writes `into`, by way of a temporary name: nothing half done is left behind."""
    part = into.with_suffix(f".{os.getpid()}.part")
    done = subprocess.run([*command, "-o", str(part)], capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-4000:]}")
    part.replace(into)
    return into


def _closure(source: Path, root: Path) -> list[Path]:
    """The source and the repository's headers that it includes, directly or not."""
    found: list[Path] = []
    wanted = [source]
    while wanted:
        path = wanted.pop().resolve()
        if path in found:
            continue
        found.append(path)
        for name in re.findall(r'^\s*#\s*include "([^"]+)"', path.read_text(), re.M):
            near = [folder / name for folder in (path.parent, root / "csrc/include")]
            wanted += [p for p in near if p.exists()][:1]
    return sorted(found)


def _artifact(command: list[str], source: Path, suffix: str, root: Path, also: str = "") -> Path:
    """The output of `command`, from the cache where nothing it depends on has changed."""
    # Without the root: a mutant's copy of the sources shares what it leaves unchanged.
    key = hashlib.sha256((_version(command[0]) + also + "\0".join(command).replace(str(root), "")).encode())
    for path in _closure(source, root):
        key.update(path.name.encode() + b"\0" + path.read_bytes())
    return _cached(command, f"{source.stem}-{key.hexdigest()[:20]}{suffix}")


def _object(source: Path, flags: list[str], root: Path) -> Path:
    paths = [f"-I{root}/csrc/include", f"-fdebug-prefix-map={root}=.", f"-ffile-prefix-map={root}/="]
    command = ["g++", *BASE, *flags, *paths, "-x", "c++", "-c", str(source)]
    return _artifact(command, source, ".o", root, torch.__version__)


def _link(objects: list[Path], flags: list[str], name: str) -> Path:
    command = ["g++", "-shared", *map(str, objects), *flags, "-ldl"]
    return _cached(command, f"lib{name}-{hashlib.sha256(' '.join(command).encode()).hexdigest()[:20]}.so")


Job = tuple[Path, list[str]]  # a source and its flags


def _library(name: str, sources: list[Job], variant: str, root: Path, link: list[str]) -> Path:
    machine = [(p, MACHINE[variant]) for p in sorted((root / "csrc/emulation").glob("*.cpp"))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(lambda job: _object(*job, root), sources + machine))
    return _link(objects, LINK[variant] + link, f"{name}-{variant}")


def operators(variant: str = "host", root: Path = SOURCES) -> Path:
    """csrc/cuda/*.cu and their bindings; attaches kernels to `bigan_emulated::<op>` on CPU tensors."""
    kernels = sorted((root / "csrc/cuda").glob("*.cu"))
    stems = {p.stem for p in kernels}
    binds = [p for p in sorted((root / "csrc/bind").glob("*.cpp")) if p.stem in stems]
    sources = [(p, ["-DBIGAN_EMULATED", *MACHINE[variant], *KERNEL[variant]]) for p in kernels]
    sources += [(p, ["-DBIGAN_EMULATED", *BIND]) for p in binds]
    return _library("operators", sources, variant, root, [f"-L{TORCH}/lib", "-ltorch_cpu", "-lc10"])


def kernels_of_tests(name: str, variant: str = "host", root: Path = SOURCES) -> Path:
    """tests/emulation/<name>.cu, which has C functions."""
    source = root / "tests/emulation" / f"{name}.cu"  # beside csrc/, whose headers it includes
    flags = ["-DBIGAN_EMULATED", *MACHINE[variant], *KERNEL[variant]]
    return _library(source.stem, [(source, flags)], variant, root, [])


def arena() -> Path:
    """The CPU allocator under which every tensor ends at a guard page (arena.cpp)."""
    abi = f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"
    source = HERE / "arena.cpp"
    command = [
        "g++",
        *BASE,
        f"-isystem{TORCH}/include",
        abi,
        "-shared",
        f"-L{TORCH}/lib",
        str(source),
        "-lc10",
    ]
    return _artifact(command, source, ".so", ROOT, torch.__version__)


def ptx(source: Path, arch: int, root: Path = SOURCES) -> Path:
    """What nvcc makes of a .cu file, before ptxas."""
    command = ["nvcc", "-std=c++17", "-O3", f"-I{root}/csrc/include", f"-arch=compute_{arch}"]
    command += ["-ptx", str(source)]
    return _artifact(command, source, ".ptx", root)


def preload(variant: str) -> str:
    """The sanitizer's runtime, for LD_PRELOAD; and libstdc++, whose throw it intercepts and so must find."""

    def find(name: str) -> str:
        done = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
        return str(Path(done.stdout.strip()).resolve())

    return f"{find(f'lib{variant}.so')} {find('libstdc++.so.6')}"
