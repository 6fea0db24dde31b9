"""--init-from: weights of another run, fresh optimisers, and a refusal where the networks do not fit."""

import json

import pytest
import torch
from engine_run import run, tiny_system, write_data  # noqa: F401

from bigan.engine import checkpoint
from bigan.errors import UserError


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data") / "images.npz")


@pytest.fixture(scope="module")
def first(images, tmp_path_factory):
    return run(tmp_path_factory.mktemp("runs") / "first", images, kimg=0.2)


def tensors(path):
    return checkpoint.latest(path / "checkpoints", pytest.fail).tensors


def test_it_starts_from_the_weights_and_from_nothing_else(first, images, tmp_path):
    out = run(tmp_path / "second", images, {"lr": 0.0}, init_from=str(first), kimg=0.01, ema=1.0)
    there, here = tensors(first), tensors(out)
    params = [name for name in there if name.startswith("model.") and "running" not in name]
    weights = [name for name in params if "num_batches" not in name]
    assert len(weights) == 8 and all(torch.equal(there[name], here[name]) for name in weights)
    assert all(torch.equal(here[name], here[name.replace("model.", "ema.")]) for name in weights)
    assert here["model.enc.2.num_batches_tracked"] == there["model.enc.2.num_batches_tracked"] + 1
    assert here["opt.enc.0.step"] == 1  # one step of this run
    config = json.loads((out / "config.json").read_text())
    assert config["run"]["init_from"] == str(first) and config["init"] == {"kimg": 0.2}


def test_it_resumes_without_looking_again(first, images, tmp_path):
    import shutil

    source = shutil.copytree(first, tmp_path / "source")
    start = {"init_from": str(source)}
    whole = tensors(run(tmp_path / "whole", images, **start, kimg=0.4))
    part = run(tmp_path / "part", images, **start, kimg=0.2)
    shutil.rmtree(source)
    again = tensors(run(part, images, **start, kimg=0.4))
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert json.loads((part / "config.json").read_text())["init"] == {"kimg": 0.2}


def test_another_start_is_another_run(first, images, tmp_path):
    out = run(tmp_path / "run", images, init_from=str(first), kimg=0.1)
    with pytest.raises(UserError, match="holds another run: --init-from is"):
        run(out, images, kimg=0.1)


def test_a_start_that_has_moved_on_is_another_start(first, images, tmp_path):
    """Of a run that was stopped before its first checkpoint."""
    out = run(tmp_path / "run", images, init_from=str(first), kimg=0.1)
    for file in (out / "checkpoints").iterdir():
        file.unlink()
    config = json.loads((out / "config.json").read_text())
    (out / "config.json").write_text(json.dumps({**config, "init": {"kimg": 0.1}}))
    with pytest.raises(UserError, match=r"--init-from kimg is 0.1 there, 0.2 here"):
        run(out, images, init_from=str(first), kimg=0.1)


def test_what_does_not_fit_is_refused_before_anything_is_written(first, images, tmp_path):
    out = tmp_path / "run"
    for source, settings, message in (
        (str(first), {"widths": (9,)}, r"tiny do not fit these: enc.1.weight is \[8, 16\] there, \[9, 16\] here"),
        (str(tmp_path / "no"), {}, "must be a run with a checkpoint, got .*no: no such folder"),
        (str(tmp_path), {}, "no config.json"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            run(out, images, settings, init_from=source)
    assert not out.exists()
