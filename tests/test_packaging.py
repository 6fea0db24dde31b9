"""What an installation must have; what the build decides.  Whole installs: scripts/packaging_matrix.py."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import bigan
from bigan import _native

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "build_backend"))

from bigan_build import native, tools  # noqa: E402


def python(code: str, cwd: Path, **env: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=120)


@pytest.fixture
def installed() -> list[importlib.metadata.PackagePath]:
    try:
        files = importlib.metadata.files("bigan") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("bigan is not installed, it runs from its source tree")
    names = {str(f) for f in files}
    if "bigan/__init__.py" not in names or not any(n.endswith(".dist-info/WHEEL") for n in names):
        pytest.skip("an editable install has no files of its own")
    return files


# --- what is installed


def test_one_version():
    assert re.search(
        r'^version = \{ attr = "bigan.__version__" \}', (ROOT / "pyproject.toml").read_text(), re.M
    )
    assert re.search(
        rf'^__version__ = "{bigan.__version__}"$', (ROOT / "bigan/__init__.py").read_text(), re.M
    )
    try:
        assert importlib.metadata.version("bigan") == bigan.__version__
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("bigan is not installed, it runs from its source tree")


def test_wheel_has_the_kernels_and_nothing_foreign(installed):
    names = {str(f) for f in installed if "__pycache__" not in str(f)}
    assert {"bigan/kernels/__init__.py", "bigan/lib/build_info.json", "bigan/_native.py"} <= names
    assert {
        n for n in names if n.split("/")[0] not in ("bigan", f"bigan-{bigan.__version__}.dist-info", "..")
    } == set()
    assert not [n for n in names if n.endswith((".cpp", ".cu", ".h"))]


def test_wheel_serves_every_python(installed):
    wheel = next(f for f in installed if f.name == "WHEEL").read_text()
    tag = re.search(r"^Tag: (.*)$", wheel, re.M)[1]
    built = any(str(f).endswith(".so") for f in installed)
    assert tag.startswith("py3-none-") and (tag == "py3-none-any") != built


def test_kernels_refuses_to_be_top_level():
    done = python("import kernels", ROOT)
    assert done.returncode and "ImportError" in done.stderr and "bigan.kernels" in done.stderr


def test_import_is_quick_and_lazy(tmp_path):
    code = """
import sys, time, torch
before = set(sys.modules); t = time.perf_counter(); import bigan; t = time.perf_counter() - t
print(t, *{m.partition(".")[0] for m in set(sys.modules) - before})"""
    path = os.pathsep.join(
        p for p in sys.path if p
    )  # whatever this process sees: installed, editable or source tree
    seconds, modules = [], set()
    for _ in range(3):
        took, *names = python(code, tmp_path, PYTHONPATH=path).stdout.split()
        seconds.append(float(took))
        modules |= set(names)
    assert min(seconds) < 0.3
    assert not modules & {"triton", "tyro", "sklearn", "PIL", "tensorboard", "tqdm", "safetensors"}


def test_readme_has_the_commands_that_ci_runs():
    readme = (ROOT / "README.md").read_text()
    for name in ("quickstart", "test"):
        block = re.search(rf"<!-- ci: {name} -->\n```(?:bash|sh)\n(.*?)```", readme, re.S)
        assert block and "pip install" in block[1], f"README.md: no command after <!-- ci: {name} -->"


# --- the libraries: usable, or a reason


def test_build_info_says_what_was_built():
    info = _native.build_info()
    for device in ("cpu", "cuda"):
        assert info[device] is None or ("\n" not in info[device] and info[device])
    if info["cpu"] is None:
        assert info["version"] == bigan.__version__ and info["torch_target"] == "2.11" and info["compiler"]
        assert (_native._FOLDER / "libbigan_cpu.so").is_file()
    if info["cuda"] is None:
        assert info["cuda_version"] and info["cuda_archs"]


def test_status_is_usable_or_a_reason():
    _native.load()
    info, status = _native.build_info(), _native.status()
    if info["cpu"] is None:
        assert status["cpu"] is None
    else:
        assert info["cpu"] in status["cpu"]
    if info["cuda"] is None:
        assert (status["cuda"] is None) == bool(torch.version.cuda)


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A bigan/lib of our own: library(**build_info) with one fake file a device."""

    def make(content=b"not a library", **info) -> None:
        told = {"cpu": None, "cuda": None, "cuda_version": "13.0", "torch_target": "2.11"} | info
        (tmp_path / "build_info.json").write_text(json.dumps(told))
        for device in ("cpu", "cuda"):
            (tmp_path / f"libbigan_{device}.so").write_bytes(content)
        monkeypatch.setattr(_native, "_FOLDER", tmp_path)
        monkeypatch.setattr(_native, "_loaded", False)
        monkeypatch.setattr(_native, "_status", {})
        _native.build_info.cache_clear()
        _native.load()

    yield make
    monkeypatch.undo()
    _native.build_info.cache_clear()


def test_old_torch_is_not_tried(library, monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.10.1")
    library()
    assert "needs torch >= 2.11, this is 2.10.1" in _native.status()["cpu"]


def test_cuda_library_needs_torch_with_the_same_cuda(library, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    library()
    assert "has no CUDA" in _native.status()["cuda"]
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    library()
    assert _native.status()["cuda"] == "built with CUDA 13.0, this torch has 12.8: reinstall bigan"


def test_broken_library_is_a_reason_not_an_error(library):
    library()
    assert "cannot be loaded" in _native.status()["cpu"] and "libbigan_cpu.so" in _native.status()["cpu"]


def test_missing_library_is_a_reason(library, tmp_path):
    library()
    (tmp_path / "libbigan_cpu.so").unlink()
    assert "missing" in _native._misfit("cpu")


@pytest.mark.parametrize("content", [None, "{", "[1]", "{}"])
def test_missing_or_broken_build_info_is_a_reason(library, tmp_path, content):
    library()
    (tmp_path / "build_info.json").unlink()
    if content is not None:
        (tmp_path / "build_info.json").write_text(content)
    _native.build_info.cache_clear()
    assert "nstall" in _native._misfit("cpu") and _native.compiler().startswith("none: ")


# --- what the build decides


def test_without_compiler_nothing_is_asked_for_and_the_reason_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("CXX", "BIGAN_BUILD"):
        monkeypatch.delenv(name, raising=False)
    assert tools.missing_requirements(os.environ) == []
    assert native.build(ROOT, tmp_path / "bigan", tmp_path) == []
    info = json.loads((tmp_path / "bigan/lib/build_info.json").read_text())
    assert info["cpu"] == info["cuda"] and info["cpu"].startswith("no C++ compiler found")
    assert capsys.readouterr().err.count("\n") == 1


def test_what_was_asked_for_by_name_fails_where_it_cannot_be_had(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    for wanted in ("cpu", "cuda"):
        monkeypatch.setenv("BIGAN_BUILD", wanted)
        with pytest.raises(tools.BuildError, match="no C\\+\\+ compiler"):
            native.build(ROOT, tmp_path / "bigan", tmp_path)
    monkeypatch.setenv("BIGAN_BUILD", "gpu")
    with pytest.raises(tools.BuildError, match="expected one of auto, off, cpu, cuda"):
        tools.missing_requirements(os.environ)


def test_a_script_that_does_not_run_is_no_tool(tmp_path):
    for folder, body in (
        ("a", "exit 1"),
        ("b", "echo cmake version 3.1"),
        ("c", "echo cmake version 3.25.1"),
    ):
        script = tmp_path / folder / "cmake"
        script.parent.mkdir()
        script.write_text(f"#!/bin/sh\n{body}\n")
        script.chmod(0o755)
    path = os.pathsep.join(str(tmp_path / f) for f in "abc")
    assert tools.find_tool("cmake", tools.MIN_CMAKE, {"PATH": path}) == str(tmp_path / "c" / "cmake")


def fake_torch(folder: Path, version: str, cuda: str | None) -> Path:
    (folder / "torch/include/torch/headeronly").mkdir(parents=True)
    (folder / "torch/version.py").write_text(f"__version__ = '{version}'\ncuda: Optional[str] = {cuda!r}\n")
    return folder


def test_torch_is_the_one_named_and_new_enough(tmp_path):
    new = fake_torch(tmp_path / "new", "2.14.1+cu130", "13.0")
    old = fake_torch(tmp_path / "old", "2.10.0+cpu", None)
    found, _ = tools.find_torch({"BIGAN_TORCH": str(new)})
    assert found == tools.Torch(new / "torch", "2.14.1+cu130", "13.0")
    assert tools.find_torch({"BIGAN_TORCH": str(new / "torch")})[0] == found
    assert tools.find_torch({"BIGAN_TORCH": str(old)}) == (
        None,
        f"torch 2.10.0+cpu in {old} is older than 2.11",
    )
    assert tools.find_torch({"BIGAN_TORCH": str(tmp_path)})[0] is None


def test_torch_of_the_target_is_found_under_isolation(monkeypatch):
    """pip's temporary environment hides site-packages from sys.path; sysconfig still names it."""
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delenv("BIGAN_TORCH", raising=False)
    found, reason = tools.find_torch(os.environ)
    if found is None:
        pytest.skip(f"this torch is not in site-packages: {reason}")
    assert found.path == Path(torch.__file__).resolve().parent


def test_jobs_are_limited(monkeypatch):
    monkeypatch.setenv("MAX_JOBS", "3")
    assert native.jobs() == 3
    monkeypatch.delenv("MAX_JOBS")
    assert 1 <= native.jobs() <= (os.cpu_count() or 1)


def archs(tmp_path: Path, wish: str, made: str, gpus: str | None) -> list[str]:
    """(archs, CMake's numbers, reason) with an nvcc that makes `made`, on a machine with `gpus`."""
    cmake = tools.find_tool("cmake", tools.MIN_CMAKE)
    if not cmake:
        pytest.skip("no cmake here")
    scripts = {"nvcc": "".join(f"echo compute_{m}\n" for m in made.split()), "nvidia-smi": "exit 9"}
    if gpus is not None:
        scripts["nvidia-smi"] = "".join(f"echo {g}\n" for g in gpus.split())
    for name, body in scripts.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "try.cmake").write_text(f"""
set(BIGAN_CUDA OFF)
include({ROOT}/cmake/BiganCuda.cmake)
bigan_choose_archs({tmp_path}/nvcc archs reason)
bigan_cmake_archs("${{archs}}" numbers)
message("|${{archs}}|${{numbers}}|${{reason}}|")
""")
    env = os.environ | {"TORCH_CUDA_ARCH_LIST": wish, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        [cmake, "-P", tmp_path / "try.cmake"], env=env, capture_output=True, text=True, timeout=60
    )
    return done.stderr.split("|")[1:4]


CUDA13 = "75 80 86 87 88 89 90 100 103 110 120 121"


@pytest.mark.parametrize(
    ("wish", "made", "gpus", "chosen", "numbers"),
    [
        ("", CUDA13, None, "8.0;9.0;10.0+PTX", "80-real;90-real;100"),  # no GPU: the default list
        ("", "50 60 70 80 86 90", None, "8.0;9.0+PTX", "80-real;90"),  # an nvcc that has no 10.0 yet
        ("", CUDA13, "9.0 8.6 9.0", "8.6;9.0+PTX", "86-real;90"),  # the GPUs of the machine
        ("", CUDA13, "6.1 9.0", "9.0+PTX", "90"),  # one of them too old for this nvcc
        (
            "",
            CUDA13,
            "15.0",
            "8.0;9.0;10.0+PTX",
            "80-real;90-real;100",
        ),  # newer than nvcc: PTX of the highest
        ("8.0;9.0+PTX", CUDA13, "8.6", "8.0;9.0+PTX", "80-real;90"),  # what the user says, whatever is there
        ("8.0 9.0a", CUDA13, None, "8.0;9.0a", "80-real;90a-real"),
        ("Ampere Hopper", CUDA13, None, "8.0;8.6+PTX;9.0+PTX", "80-real;86;90"),
    ],
)
def test_architectures(tmp_path, wish, made, gpus, chosen, numbers):
    assert archs(tmp_path, wish, made, gpus) == [chosen, numbers, ""]


@pytest.mark.parametrize(
    ("wish", "made", "reason"),
    [
        ("fast", CUDA13, "'fast' is not understood, expected as '8.0;9.0+PTX'"),
        ("7.0", CUDA13, "asks for 7.0, which this nvcc"),
        ("", "30 35", "makes none of 8.0;9.0;10.0: set TORCH_CUDA_ARCH_LIST"),
    ],
)
def test_architectures_that_cannot_be_had(tmp_path, wish, made, reason):
    assert reason in archs(tmp_path, wish, made, None)[2]


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (
            "CMake Error at a.cmake:63 (message):\nThe C++ compiler\n\n"
            '"/bin/broken"\n\nis not able to compile a simple test program.\n\nIt fails with the following:',
            'The C++ compiler "/bin/broken" is not able to compile a simple test program.',
        ),
        (
            "CMake Error at b:1 (message):\nno nvcc found\nCall Stack (most recent call first):\nc:2",
            "no nvcc found",
        ),
        (
            "[1/2] Building\nx.cu:1:10: fatal error: y.h: No such file\ncompilation terminated.",
            "x.cu:1:10: fatal error",
        ),
        ("Killed", "Killed"),
    ],
)
def test_a_failed_build_is_told_in_one_line(log, said):
    assert native._complaint(log.splitlines()).startswith(said)
