"""What this machine has for a native build: the torch to build against, a C++ compiler, cmake and ninja."""

import os
import re
import shlex
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MIN_TORCH = (2, 11)  # the stable ABI that csrc/bind is written for; TORCH_TARGET_VERSION in CMakeLists.txt
MIN_CMAKE = (3, 20)
MODES = ("auto", "off", "cpu", "cuda")


class BuildError(Exception):
    """The native build cannot be done; the message says why in one line."""


@dataclass(frozen=True)
class Torch:
    path: Path  # the folder `torch`, with include/ and lib/
    version: str
    cuda: str | None


def mode(env: Mapping[str, str]) -> str:
    """BIGAN_BUILD: auto (what can be built), off, cpu or cuda (these two fail if they cannot be honoured)."""
    value = env.get("BIGAN_BUILD", "").lower() or "auto"
    if value not in MODES:
        raise BuildError(f"BIGAN_BUILD={value!r}: expected one of {', '.join(MODES)}")
    return value


def version_tuple(text: str) -> tuple[int, ...]:
    """(2, 14) of `2.14.1+cu130`."""
    return tuple(int(n) for n in re.findall(r"\d+", text)[:2])


def _site_packages(env: Mapping[str, str]) -> Iterator[Path]:
    if named := env.get(
        "BIGAN_TORCH"
    ):  # a site-packages folder, the folder torch in it, or a virtual environment
        path = Path(named).expanduser()
        yield from (path, path.parent, *path.glob("lib*/python3*/site-packages"))
        return
    yield from (Path(entry) for entry in sys.path if entry)
    # Under pip's build isolation sys.path is the temporary environment, but the interpreter is the one that
    # pip installs for, and sysconfig still names its real folders.
    base = {"base": sys.base_prefix, "platbase": sys.base_prefix}
    yield from (Path(sysconfig.get_path(key)) for key in ("purelib", "platlib"))
    if _sees_base(Path(sys.prefix, "pyvenv.cfg")):
        yield from (Path(p) for p in site.getsitepackages([sys.base_prefix]))
        yield from (Path(sysconfig.get_path(key, vars=base)) for key in ("purelib", "platlib"))
        yield Path(site.getusersitepackages())


def _sees_base(config: Path) -> bool:
    """Whether packages outside the virtual environment count: there is none, or it was made to see them."""
    return not config.is_file() or bool(
        re.search(r"(?im)^include-system-site-packages\s*=\s*true", config.read_text())
    )


def find_torch(env: Mapping[str, str] = os.environ) -> tuple[Torch | None, str]:
    """The first installed torch that is new enough, or None and the reason."""
    reason = (
        f"no torch under BIGAN_TORCH={env['BIGAN_TORCH']}" if env.get("BIGAN_TORCH") else "no torch found"
    )
    for folder in _site_packages(env):
        version_file = folder / "torch" / "version.py"
        if not (version_file.is_file() and (folder / "torch" / "include" / "torch" / "headeronly").is_dir()):
            if version_file.is_file():
                reason = (
                    f"the torch in {folder} is older than {'.'.join(map(str, MIN_TORCH))} or has no headers"
                )
            continue
        text = version_file.read_text()
        found = re.search(r"^__version__ *= *['\"]([^'\"]+)", text, re.M)
        cuda = re.search(r"^cuda\b[^=]*= *['\"]([^'\"]+)", text, re.M)
        version = found[1] if found else "0"
        if version_tuple(version) >= MIN_TORCH:
            return Torch((folder / "torch").resolve(), version, cuda[1] if cuda else None), ""
        reason = f"torch {version} in {folder} is older than {'.'.join(map(str, MIN_TORCH))}"
    return None, reason


def find_tool(name: str, least: tuple[int, ...], env: Mapping[str, str] = os.environ) -> str | None:
    """The first `name` on PATH that really runs here and is new enough.

    A console script of the target environment does not: under isolation its own package is out of sight.
    """
    for folder in env.get("PATH", os.defpath).split(os.pathsep):
        if not (tool := shutil.which(name, path=folder)):
            continue
        try:
            done = subprocess.run([tool, "--version"], capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.SubprocessError):
            continue
        if done.returncode == 0 and (version_tuple(done.stdout) or (0,)) >= least:
            return tool
    return None


def find_compiler(env: Mapping[str, str] = os.environ) -> tuple[str | None, str]:
    """The C++ compiler CMake will take, or None and the reason."""
    if os.name == "nt":
        return None, "native kernels are not built on Windows"
    path = env.get("PATH", os.defpath)
    if named := env.get("CXX"):
        if shutil.which(shlex.split(named)[0], path=path):
            return named, ""
        return None, f"no C++ compiler found (CXX={named} is not there)"
    for name in ("c++", "g++", "clang++"):
        if found := shutil.which(name, path=path):
            return found, ""
    return None, "no C++ compiler found (looked for c++, g++, clang++ and $CXX)"


def missing_requirements(env: Mapping[str, str]) -> list[str]:
    """What pip should add to the build environment so that the native build can run."""
    if mode(env) == "off" or not find_compiler(env)[0]:
        return []
    needed = []
    if not find_tool("cmake", MIN_CMAKE, env):
        needed.append(f"cmake>={'.'.join(map(str, MIN_CMAKE))}")
    if not find_tool("ninja", (1, 5), env):
        needed.append("ninja")
    if not find_torch(env)[0]:
        needed.append(f"torch>={'.'.join(map(str, MIN_TORCH))}")
    return needed
