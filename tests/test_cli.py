"""The command line without a training: flags, presets, help, errors that tell what to type instead."""

import dataclasses
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import bigan
from bigan import systems
from bigan.cli import COMMANDS, explain, flags, main
from bigan.cli.train import default_out, resolve
from bigan.engine.config import Run

HERE = str(Path(bigan.__file__).parent.parent)  # of the bigan under test, installed or not
TRAIN_FLAGS = """
    --preset --dry-run
    --out --data --cache --size --batch --kimg --init-from --seed --device --holdout --flip --no-flip --ema
    --log-every --sample-every --eval-every --eval-images --extractor --checkpoint-every --checkpoint-minutes
    --keep --skip-bad --no-skip-bad --tensorboard --no-tensorboard --clip --fast --no-fast
    --one-pass --no-one-pass --channels-last --no-channels-last --fused --no-fused --bf16 --no-bf16
    --compile --no-compile --cuda-graph --no-cuda-graph --recompute --no-recompute --profile --no-profile
"""
INTROVAE_FLAGS = """
    --channels --z-dim --m --w-rec --w-kl --w-neg --variant --hinge --warmup-kimg --lr
    --published-shortcut --no-published-shortcut
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Every test in an empty directory of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BIGAN_TRACEBACK", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    return tmp_path


def python(*args: str, stdout=subprocess.PIPE, **env: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join(filter(None, [HERE, os.environ.get("PYTHONPATH")]))
    clean = {k: v for k, v in os.environ.items() if k not in ("TRITON_INTERPRET", "BIGAN_BACKEND")}
    clean |= {"PYTHONPATH": path, **env}
    return subprocess.run(
        [sys.executable, *args], env=clean, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=120
    )


# What must not change without a thought: people's commands and scripts stand on it.


def test_commands():
    assert list(COMMANDS) == [
        "train",
        "sample",
        "reconstruct",
        "interpolate",
        "eval",
        "plot",
        "reproduce",
        "classifier",
        "export",
        "bench",
        "list",
        "info",
    ]


def test_train_flags(capsys):
    assert main(["train", "introvae", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = [flag for line in lines for flag in re.findall(r"--[a-z][\w-]*", line[:52])]
    assert [flag for flag in shown if flag != "--help"] == (TRAIN_FLAGS + INTROVAE_FLAGS).split()


@pytest.mark.parametrize("name", systems.names())
def test_no_flag_has_two_meanings(name):
    names = flags.names(Run) + flags.names(systems.load(name).Config) + ["--preset", "--dry-run"]
    assert len(names) == len(set(names))
    assert not {"run", "config"} & {f.name for f in dataclasses.fields(systems.load(name).Config)}


# Presets and defaults.


def test_the_default_preset_is_the_data_sets_own():
    preset, config, run, dry_run = resolve("introvae", [])
    chosen = systems.load("introvae").PRESETS["digits"]
    assert (preset, run.data, dry_run) == ("digits", "digits", False)
    assert (config, run.size, run.batch, run.kimg) == (chosen.config, chosen.size, chosen.batch, chosen.kimg)
    assert run.out == Path("runs/introvae-digits-digits")


def test_other_data_means_the_preset_for_two_cores():
    preset, _, run, _ = resolve("introvae", ["--data=some/photos.zip"])
    assert (preset, run.data, run.out) == ("cpu", "some/photos.zip", Path("runs/introvae-photos-cpu"))


def test_a_flag_overrides_the_preset():
    args = [
        "--preset",
        "256",
        "--m",
        "90",
        "--batch=4",
        "--channels",
        "8",
        "16",
        "--flip",
        "--hinge",
        "sample",
    ]
    preset, config, run, _ = resolve("introvae", args)
    chosen = systems.load("introvae").PRESETS["256"]
    assert preset == "256"
    assert config == dataclasses.replace(chosen.config, m=90.0, channels=(8, 16), hinge="sample")
    assert (run.batch, run.flip, run.size, run.kimg) == (4, True, 256, chosen.kimg)


@pytest.mark.parametrize("name", systems.names())
def test_every_preset_resolves(name):
    for preset in systems.load(name).PRESETS:
        assert resolve(name, ["--preset", preset])[0] == preset


def test_default_out(here):
    (here / "my photos.d").mkdir()
    assert default_out("age", "my photos.d", "cpu") == Path("runs/age-my_photos_d-cpu")
    assert default_out("age", "/a/cifar-10-python.tar.gz", "cpu") == Path("runs/age-cifar-10-python-cpu")
    assert default_out("age", "/", "cpu") == Path("runs/age-data-cpu")


def test_dry_run_prints_the_settings_and_writes_nothing(here, capsys):
    assert main(["train", "introvae", "--dry-run", "--kimg", "7", "--z-dim", "9", "--out", "x"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["system"], shown["preset"]) == ("introvae", "digits")
    assert (shown["run"]["kimg"], shown["run"]["out"], shown["config"]["z_dim"]) == (7, "x", 9)
    assert not any(here.iterdir())


# Help, and how quick it is.


def test_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"bigan {name}" in out for name in COMMANDS)
    assert main([]) == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(name, capsys, here):
    assert main([name, "--help"]) == 0
    assert f"usage: bigan {name}" in capsys.readouterr().out
    assert not any(here.iterdir())


def test_train_help_shows_the_presets_defaults(capsys):
    assert main(["train", "introvae", "--preset", "1024", "--help"]) == 0
    out = capsys.readouterr().out
    chosen = systems.load("introvae").PRESETS["1024"]
    assert f"(default: {chosen.batch})" in out and f"(default: {chosen.config.m})" in out
    assert "IntroVAE" in out and chosen.note in " ".join(out.split())


def test_help_is_quick():
    code = "import sys; from bigan.cli import main; main(['--help']); sys.exit('torch' in sys.modules)"
    assert python("-c", code).returncode == 0

    def seconds() -> float:
        start = time.monotonic()
        python("-m", "bigan", "--help")
        return time.monotonic() - start

    assert min(seconds() for _ in range(3)) < 1


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"bigan {bigan.__version__}\n"


# Bad input: what to type instead, exit code 2, nothing written.

BAD = [
    ("trian introvae", "'train'"),
    ("--preset cpu", "a command comes first"),
    ("train introvea", "'introvae'"),
    ("train stargan", "introvae"),
    ("train --kimg 1 introvae", "bigan train introvae --kimg 1"),
    ("train introvae --preset cfiar10", "'cifar10'"),
    ("train introvae --preset nonsense", "cpu, digits"),
    ("train introvae --kmig 3", "--kimg?"),
    ("train introvae --z_dmi=3", "--z-dim?"),
    ("train introvae --frobnicate", "bigan train introvae --help"),
    ("train introvae cpu", "'cpu'"),
    ("train introvae --data digit", "'digits'"),
    ("train introvae --data ./no/such/folder", "./no/such/folder"),
    ("train introvae --kimg -1", "--kimg must be more than 0"),
    ("train introvae --size 24", "Resize them to 16"),
    ("train introvae --holdout 5000", "5000"),
    ("train introvae --device gpu", "cuda"),
    ("train introvae --device cuda:99", "--device cpu"),
    ("list introvea", "'introvae'"),
    ("list --all", "bigan list --help"),
    ("info --verbose", "bigan info --help"),
    ("sample nowhere", "bigan train introvae"),
    ("sample . --n 0", "--n must be 1 or more"),
    ("sample . --sed 1", "--seed?"),
    ("sample . --out x.jpg", "--out x.png"),
    ("sample .", "config.json"),
    ("interpolate . --steps 1", "--steps must be 2 or more"),
    ("reconstruct . --npz", "bigan reconstruct --help"),
]


@pytest.mark.parametrize("line,answer", BAD, ids=[line for line, _ in BAD])
def test_bad_input(line, answer, here, capsys):
    assert main(line.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("bigan: ") and answer in captured.err
    assert "Traceback" not in captured.err
    assert not any(here.iterdir())


BAD_VALUES = [  # answered by tyro
    ("train introvae --kimg many", "--kimg"),
    ("train introvae --kimg", "--kimg"),
    ("train introvae --hinge bacth", "'batch'"),
    ("train introvae --preset", "--preset"),
    ("train introvae --channels 8 x", "--channels"),
    ("sample", "RUN"),
]


@pytest.mark.parametrize("line,answer", BAD_VALUES, ids=[line for line, _ in BAD_VALUES])
def test_bad_value(line, answer, here, capsys):
    assert main(line.split()) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and answer in captured.err
    assert not any(here.iterdir())


def test_a_mistyped_run_is_answered_with_those_that_exist(here, capsys):
    for name in ("introvae-digits-digits", "age-photos-cpu"):
        (here / "runs" / name).mkdir(parents=True)
        (here / "runs" / name / "config.json").touch()
    assert main(["sample", "introvae-digits"]) == 2
    assert "did you mean runs/introvae-digits-digits?" in capsys.readouterr().err
    for wrong in ("zzz", "runs"):
        assert main(["sample", wrong]) == 2
        assert "there are: runs/age-photos-cpu, runs/introvae-digits-digits" in capsys.readouterr().err
    assert main(["sample", "runs/age-photos-cpu/config.json"]) == 2
    assert "did you mean runs/age-photos-cpu?" in capsys.readouterr().err


def test_a_directory_that_is_no_run_is_left_alone(here, capsys):
    (here / "thesis.tex").write_text("x")
    assert main(["train", "introvae", "--out", "."]) == 2
    assert "thesis.tex" in capsys.readouterr().err
    assert [p.name for p in here.iterdir()] == ["thesis.tex"]


# Exit codes and tracebacks.


def test_traceback_on_request(monkeypatch, capsys):
    monkeypatch.setenv("BIGAN_TRACEBACK", "1")
    assert main(["train", "introvea"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error,code,words",
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device", "x.png"), 1, "bigan: x.png: No space left on device"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 1, "smaller --batch"),
        (ZeroDivisionError("oops"), 1, "Traceback"),
    ],
)
def test_exit_codes(error, code, words, monkeypatch, capsys):
    def fail(args):
        raise error

    monkeypatch.setattr("bigan.cli.show.info", fail)
    assert main(["info"]) == code
    assert words in capsys.readouterr().err


def test_only_a_fault_of_ours_has_no_explanation():
    assert explain(ValueError("bug")) is None
    assert explain(MemoryError()).startswith("out of memory")


# list and info.


def test_list(capsys):
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    for name in systems.names():
        assert name in out and flags.headline(systems.load(name)) in out
        for preset, p in systems.load(name).PRESETS.items():
            assert any(line.split()[:1] == [preset] and p.note in line for line in out.splitlines())
    assert main(["list", "introvae"]) == 0


def test_a_closed_pipe_is_no_error():
    read, write = os.pipe()
    os.close(read)
    done = python("-m", "bigan", "--help", stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_info(capsys):
    from bigan import ops

    assert main(["info"]) == 0
    out = capsys.readouterr().out
    for word in ("bigan", "python", "torch", "triton", "compiler", "cpu"):
        assert any(line.split()[:1] == [word] for line in out.splitlines())
    rows = [tuple(line.split()[:3]) for line in out.splitlines()]
    for name in ops.names():
        for device in ("cpu", "cuda"):
            for backend in ops.backends(name, device):
                assert (name, device, backend) in rows


@pytest.fixture(params=["tritn", "triton"])
def impossible(request, monkeypatch):
    """(a wrong BIGAN_BACKEND, words of the reason)"""
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("BIGAN_BACKEND", request.param)
    from bigan import ops

    reason = ops.backends("reparam_kl", "cpu")["triton"]
    if request.param == "triton" and ops.backends("reparam_kl", "cuda")["triton"] is None:
        pytest.skip("Triton can be used here")
    return request.param, "did you mean 'triton'?" if request.param == "tritn" else reason


def test_a_backend_that_cannot_be_had(impossible, here):
    done = python("-m", "bigan", "train", "introvae", BIGAN_BACKEND=impossible[0])
    assert done.returncode == 2 and done.stderr.startswith("bigan: ") and impossible[1] in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(here.iterdir())


def test_info_shows_the_table_even_then(impossible, capsys):
    assert main(["info"]) == 2
    out = capsys.readouterr().out
    assert impossible[1] in out and "reparam_kl" in out
    assert os.environ["BIGAN_BACKEND"] == impossible[0]
