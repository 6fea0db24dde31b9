"""Whole runs on a tiny system: exact resume, faults, and a run directory that refuses what is not its own."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from engine_run import HERE, run, tiny_system, write_data  # noqa: F401

import bigan
from bigan import data
from bigan.engine import checkpoint, events, files, loop, rundir
from bigan.engine.loadrun import load_run
from bigan.errors import UserError

SETTINGS = {"ema": 0.3}  # so that everything there is has to be restored


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "tiny.npz")


@pytest.fixture(scope="module")
def whole(tmp_path_factory, images):
    """A run that nothing interrupted."""
    return run(tmp_path_factory.mktemp("whole") / "run", images, **SETTINGS)


def log(out: Path) -> list[dict]:
    """The log without what a clock wrote."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "images_per_s")} for line in lines]


def assert_same_run(a: Path, b: Path) -> None:
    """Tensors, log and pictures, to the bit."""
    x, y = (checkpoint.latest(out / "checkpoints", pytest.fail) for out in (a, b))
    assert x.step == y.step
    assert x.tensors.keys() == y.tensors.keys()
    unlike = [name for name in x.tensors if not torch.equal(x.tensors[name], y.tensors[name])]
    assert not unlike
    assert x.meta["meter"] == y.meta["meter"]
    assert log(a) == log(b)
    pictures = [{p.name: p.read_bytes() for p in (out / "samples").iterdir()} for out in (a, b)]
    assert pictures[0] == pictures[1]


class Stop(Exception):
    """Stands for whatever ends a process."""


def stop_at(monkeypatch, place, name: str, call: int) -> None:
    """The `call`th call of place.name does not come back."""
    real, calls = getattr(place, name), []

    def stopping(*args, **kwargs):
        calls.append(1)
        if len(calls) == call:
            raise Stop
        return real(*args, **kwargs)

    monkeypatch.setattr(place, name, stopping)


# --- what a run leaves


def test_a_run_leaves_log_pictures_and_checkpoints(whole):
    lines = log(whole)
    assert (lines[0]["step"], lines[-1]["step"], lines[-1]["kimg"]) == (0, 100, 1.0)
    assert {"loss", "prior", "late", "val_mse"} <= lines[-1].keys()
    assert "late" not in lines[2]
    vals = {line["step"]: line["val_mse"] for line in lines if "val_mse" in line}
    assert list(vals) == [0, 1, *range(5, 101, 5)]  # the start, 1 %, at intervals, the end
    assert vals[100] < vals[0]
    assert checkpoint.steps(whole / "checkpoints") == [80, 100]
    names = {p.name for p in (whole / "samples").iterdir()}
    assert {"0000000000-samples.png", "0000001000-reconstructions.png"} <= names
    assert not list(whole.rglob("*.tmp"))


def test_step_sizes_are_the_systems(whole):
    """Half from 0.5 kimg on: the last step's are in the checkpoint, and a resume is held to them below."""
    assert checkpoint.latest(whole / "checkpoints", pytest.fail).meta["lr"] == {
        "enc": [0.005],
        "dec": [0.005],
    }


def test_weights_may_start_from_the_training_images(tmp_path, images):
    out = run(tmp_path / "run", images, {"lr": 0.0}, kimg=0.01)
    bias = checkpoint.latest(out / "checkpoints", pytest.fail).tensors["model.dec.0.bias"]
    seen, _ = data.split(data.load(str(images), size=4), 0.1, 0)
    torch.testing.assert_close(bias, data.scale(seen.images, (-1.0, 1.0)).flatten(1).mean(0))


def test_val_mse_is_that_of_the_held_out_images(whole, images):
    system, record = load_run(whole)
    from bigan import data

    held_out = data.split(data.load(str(images), size=4), 0.1, 0)[1]
    x = data.scale(held_out.images, system.data_range)
    with torch.no_grad():
        mse = ((system.reconstruct(x) - x) / 2).square().mean()  # [-1, 1] is two wide
    assert log(whole)[-1]["val_mse"] == pytest.approx(mse.item(), rel=1e-5)
    assert record["system"] == "tiny"


def test_load_run_gives_the_averaged_weights_or_the_trained(whole, tmp_path):
    found = checkpoint.latest(whole / "checkpoints")
    averaged, trained = load_run(whole)[0], load_run(whole, ema=False)[0]
    assert not averaged.training
    assert torch.equal(averaged.dec[0].weight, found.tensors["ema.dec.0.weight"])
    assert torch.equal(trained.dec[0].weight, found.tensors["model.dec.0.weight"])
    with pytest.raises(UserError, match="does not exist"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(UserError, match="is no run directory"):
        load_run(tmp_path)


def test_same_seed_same_run_another_seed_another(whole, images, tmp_path):
    assert_same_run(run(tmp_path / "again", images, **SETTINGS), whole)
    other = run(tmp_path / "other", images, seed=1, **SETTINGS)
    assert log(other)[-1]["loss"] != log(whole)[-1]["loss"]


# --- resume


@pytest.mark.parametrize(
    ("place", "name", "call"),
    [
        (loop.Meter, "update", 1),  # in the first step
        (loop.Meter, "update", 77),  # between two checkpoints
        (loop.RunDir, "log", 9),
        (loop.RunDir, "picture", 15),
        (checkpoint.files, "write_temporary", 4),  # between the two files of the second checkpoint
        (checkpoint.os, "replace", 44),
        (checkpoint, "_delete", 1),
        (rundir.RunDir, "write_config", 1),
    ],
)
def test_resume_is_exact(whole, images, tmp_path, monkeypatch, place, name, call):
    stop_at(monkeypatch, place, name, call)
    with pytest.raises(Stop):
        run(tmp_path / "run", images, **SETTINGS)
    monkeypatch.undo()
    assert_same_run(run(tmp_path / "run", images, **SETTINGS), whole)


def test_a_longer_kimg_continues_and_is_the_longer_run(images, tmp_path, capsys):
    every = {"log_every": 0.1, "sample_every": 0.5, "checkpoint_every": 0.2}
    run(tmp_path / "run", images, kimg=0.6, **every)
    run(tmp_path / "run", images, kimg=0.6, **every)
    assert "is finished, at 0.6 kimg; a larger --kimg continues it" in capsys.readouterr().err
    run(tmp_path / "run", images, kimg=1.0, **every)
    long = run(tmp_path / "long", images, kimg=1.0, **every)
    x, y = (checkpoint.latest(out / "checkpoints").tensors for out in (tmp_path / "run", long))
    assert all(torch.equal(x[name], y[name]) for name in y)
    assert rundir.read_config(tmp_path / "run")["run"]["kimg"] == 1.0


def test_a_damaged_checkpoint_costs_an_interval_and_the_user_is_told(
    whole, images, tmp_path, capsys, monkeypatch
):
    stop_at(monkeypatch, loop.Meter, "update", 77)
    with pytest.raises(Stop):
        run(tmp_path / "run", images, **SETTINGS)
    monkeypatch.undo()
    newest = tmp_path / "run/checkpoints/step-00000060.safetensors"
    newest.write_bytes(newest.read_bytes()[:-9])
    run(tmp_path / "run", images, **SETTINGS)
    told = capsys.readouterr().err
    assert "step-00000060.json is damaged (the hash" in told
    assert "resuming" in told and "at 0.4 kimg" in told
    assert_same_run(tmp_path / "run", whole)


def test_another_machine_is_mentioned(images, tmp_path, capsys, monkeypatch):
    run(tmp_path / "run", images, kimg=0.2)
    monkeypatch.setattr(loop, "machine", lambda device: "an abacus")
    run(tmp_path / "run", images, kimg=0.3)
    assert "now with an abacus: exact up to rounding" in capsys.readouterr().err


# --- signals and kills: other processes


def run_signalled(out: Path, images: Path, number: int, kimg: float) -> subprocess.CompletedProcess:
    """A training as a program, which gets the signal while in the step that begins at `kimg`."""
    settings = json.dumps({"out": str(out), "data": str(images), **SETTINGS})
    path = os.pathsep.join([str(Path(bigan.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, str(HERE / "engine_run.py"), settings],
        env={**os.environ, "PYTHONPATH": path, "TINY_SIGNAL": f"{kimg}:{int(number)}"},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_signals_and_a_kill_lose_nothing(whole, images, tmp_path):
    """One run, ended three times and resumed by the same command, is the run that was never ended."""
    out = tmp_path / "run"
    for number, kimg, code, saved, told in (
        (signal.SIGTERM, 0.22, 0, 23, "SIGTERM: saving a checkpoint"),  # when asked, after the step
        (signal.SIGINT, 0.47, 130, 48, "SIGINT: saving a checkpoint"),
        (signal.SIGKILL, 0.75, -9, 60, ""),  # the last interval's
    ):
        done = run_signalled(out, images, number, kimg)
        assert done.returncode == code, done.stderr
        assert told in done.stderr
        assert ("the same command goes on" in done.stderr) == (number != signal.SIGKILL)
        assert checkpoint.steps(out / "checkpoints")[-1] == saved
    assert_same_run(run(out, images, **SETTINGS), whole)


# --- faults


def test_full_disk_in_passing(whole, images, tmp_path, capsys, monkeypatch):
    """Checkpoints fail while the disk is full; training goes on, and later ones succeed."""
    real, failures = files.write_temporary, []

    def full(path, data, durable=True):
        if path.name in ("step-00000020.safetensors", "step-00000040.json"):
            failures.append(path)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, data, durable)

    monkeypatch.setattr(files, "write_temporary", full)
    run(tmp_path / "run", images, **SETTINGS)
    told = capsys.readouterr().err
    assert len(failures) == 2
    assert "the checkpoint of step 20 could not be written" in told
    assert "the disk is full; training goes on and tries again" in told
    assert_same_run(tmp_path / "run", whole)


def test_full_disk_at_the_end_is_an_error_and_keeps_the_last(images, tmp_path, monkeypatch):
    real = files.write_temporary

    def full(path, data, durable=True):
        if "00000100" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, data, durable)

    monkeypatch.setattr(files, "write_temporary", full)
    message = "the disk is full; once that is mended, the same command goes on from 0.8 kimg"
    with pytest.raises(UserError, match=message):
        run(tmp_path / "run", images)
    assert checkpoint.latest(tmp_path / "run/checkpoints").step == 80


def test_log_and_pictures_on_a_full_disk_do_not_stop_training(images, tmp_path, capsys, monkeypatch):
    class Full:
        """A disk that takes half a line."""

        def __init__(self, file):
            self.file = file

        def write(self, data):
            return self.file.write(data[: len(data) // 2])

        def __getattr__(self, name):
            return getattr(self.file, name)

    real = rundir.RunDir.rewind

    def rewind(self, *args):
        real(self, *args)
        self._log = Full(self._log)

    monkeypatch.setattr(rundir.RunDir, "rewind", rewind)
    run(tmp_path / "run", images, kimg=0.2)
    assert capsys.readouterr().err.count("cannot write log.jsonl") == 1
    assert (tmp_path / "run/log.jsonl").read_text() == ""  # no torn line
    assert checkpoint.latest(tmp_path / "run/checkpoints").step == 20


def test_a_non_finite_term_stops_at_its_step_with_the_checkpoint_before(images, tmp_path):
    with pytest.raises(UserError) as stopped:
        run(tmp_path / "run", images, {"nan_from": 0.53}, log_every=0.25)
    assert "prior is nan at step 53 (0.53 kimg); last good checkpoint: 0.4 kimg" in str(stopped.value)
    assert checkpoint.latest(tmp_path / "run/checkpoints").step == 40
    assert "NaN" not in (tmp_path / "run/log.jsonl").read_text()


def test_a_non_finite_weight_is_never_saved(images, tmp_path):
    """The step that spoils the weights still has finite terms: only the weights themselves can tell."""
    with pytest.raises(
        UserError, match=r"model.dec.0.weight is not finite at step 59 .*last good checkpoint: 0.4 kimg"
    ):
        run(tmp_path / "run", images, {"poison_from": 0.59}, log_every=9.0, sample_every=9.0)
    assert checkpoint.latest(tmp_path / "run/checkpoints").step == 40


# --- refusals


def test_two_processes_on_one_directory(whole, images, tmp_path):
    record = rundir.read_config(whole)
    with (
        rundir.RunDir(tmp_path / "run", record),
        pytest.raises(UserError, match=f"is in use by another training .process {os.getpid()}."),
    ):
        rundir.RunDir(tmp_path / "run", record)
    rundir.RunDir(tmp_path / "run", record).close()


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        ({"z_dim": 2}, {}, "--z-dim is 3 there, 2 here"),
        ({}, {"batch": 20}, "--batch is 10 there, 20 here"),
        ({"lr": 0.1}, {"seed": 5}, "--seed is 0 there, 5 here; --lr is 0.01 there, 0.1 here"),
        ({"widths": (9,)}, {}, r"--widths is \[8\] there, \[9\] here"),
        ({}, {"ema": 0.0}, "--ema is 0.3 there, 0.0 here"),
    ],
)
def test_a_run_of_other_settings_is_refused(whole, images, config, settings, message):
    before = {p: p.stat().st_mtime_ns for p in whole.rglob("*") if p.is_file()}
    with pytest.raises(UserError, match=f"holds another run: {message}. Give the same settings"):
        run(whole, images, config, **{**SETTINGS, **settings})
    assert {p: p.stat().st_mtime_ns for p in whole.rglob("*") if p.is_file()} == before


def test_other_data_shape_or_system_is_refused(whole, images, tmp_path):
    other = write_data(tmp_path / "other.npz", seed=1)
    with pytest.raises(UserError, match=r"data fingerprint is .* there"):
        run(whole, other, **SETTINGS)
    record = rundir.read_config(whole)
    with pytest.raises(UserError, match=r"image_shape is \[1, 4, 4\] there, \[3, 4, 4\] here"):
        rundir.RunDir(whole, {**record, "image_shape": [3, 4, 4]})
    with pytest.raises(UserError, match=r'holds another run: system is "tiny" there, "age" here. Give'):
        rundir.RunDir(whole, {**record, "system": "age", "config": {}})


def test_moved_data_resumes(whole, images, tmp_path):
    moved = tmp_path / "moved.npz"
    moved.write_bytes(images.read_bytes())
    assert run(whole, moved, **SETTINGS) == whole


def test_a_directory_of_something_else_is_refused_and_left_alone(images, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match=r"is no run directory.*thesis\.tex"):
        run(tmp_path, images)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(UserError, match="is no run directory"):
        run(tmp_path / "thesis.tex", images)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/config.json").write_text("{}")
    with pytest.raises(UserError, match="is not that of a bigan run"):
        run(tmp_path / "run", images)


def test_bad_settings_write_nothing(images, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(UserError, match="4 pixels high, got 5"):
        run(out, images, size=5)
    with pytest.raises(UserError, match="cannot hold out"):
        run(out, images, holdout=60)
    with pytest.raises(UserError, match="--holdout must be more than 0"):
        run(out, images, holdout=-1)
    assert not out.exists()


def test_a_folder_that_cannot_be_written(images, tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(rundir.files, "write", refuse)
    with pytest.raises(UserError, match=r"cannot write to .*: Permission denied"):
        run(tmp_path / "run", images)
    monkeypatch.undo()
    run(tmp_path / "run", images, kimg=0.1)  # the lock was given back


# --- TensorBoard


def test_tensorboard_events(images, tmp_path):
    pytest.importorskip("tensorboard")
    run(tmp_path / "run", images, kimg=0.2, tensorboard=True)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert {"loss", "val_mse"} <= set(events.Tags()["scalars"])
    assert {"samples", "reconstructions"} <= set(events.Tags()["images"])
    assert events.Scalars("loss")[-1].step == 200  # images seen


def test_events_on_a_full_disk_are_given_up_in_one_line(tmp_path, capsys):
    pytest.importorskip("tensorboard")
    before = threading.excepthook
    written = events.Events(tmp_path, 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))  # stands for the full disk
        for step in range(100):
            written.scalars({"loss": 1.0}, step)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    written.close()
    assert capsys.readouterr().err == f"bigan: no more TensorBoard events in {tmp_path}: File too large\n"
    assert threading.excepthook is before


def test_without_tensorboard_the_user_is_told_once(images, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    run(tmp_path / "run", images, kimg=0.1, tensorboard=True)
    assert capsys.readouterr().err.count("tensorboard is not installed") == 1
    assert not list((tmp_path / "run").glob("events*"))
