"""Runs of a conditional system: its images and their attributes stay together, from the data to what is exported."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from engine_run import HERE
from PIL import Image
from test_ali import SMALL
from test_engine_run import assert_same_run
from test_ranks import torchrun

import bigan
from bigan import data
from bigan.cli import main
from bigan.data import Images, batches
from bigan.engine import checkpoint
from bigan.engine.config import Run
from bigan.engine.gallery import Gallery
from bigan.engine.loadrun import load_run
from bigan.engine.loop import train
from bigan.engine.noise import Noise
from bigan.errors import UserError
from bigan.metrics.evaluate import How, Runner, probes
from bigan.metrics.evaluate import evaluate as measure
from bigan.systems import ali

BY_CLASS = dataclasses.replace(SMALL, labels=10, embedding=5, lr=1e-3)
SETTINGS = dict(
    size=8, batch=16, ema=0.02, kimg=0.16, checkpoint_every=0.048, sample_every=0.08, tensorboard=False
)


def settings(out, **changes) -> Run:
    return Run(**{**SETTINGS, "out": out, **changes})


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A run on the digits, told their classes."""
    return train("ali", BY_CLASS, settings(tmp_path_factory.mktemp("conditional") / "run"), "cpu")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return train(
        "ali", dataclasses.replace(BY_CLASS, labels=0), settings(tmp_path_factory.mktemp("plain") / "run")
    )


# Training


def test_a_run_leaves_what_others_leave_and_knows_its_attributes(digits):
    record = json.loads((digits / "config.json").read_text())
    assert record["data"]["attributes"] == list("0123456789")
    last = json.loads((digits / "log.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 10 and last["loss_d"] > 0 and 0 < last["val_mse"] < 1
    names = {p.name.partition("-")[2] for p in (digits / "samples").iterdir()}
    assert names == {"samples.png", "reconstructions.png"}


@pytest.mark.parametrize("ahead", [False, True])
def test_resume_is_exact(digits, tmp_path, monkeypatch, ahead):
    """Stopped after seven steps and gone on with, from memory or with batches read ahead by threads."""
    calls = []
    step = ali.ALI.step

    def counted(self, *args, **kwargs):
        calls.append(0)
        if len(calls) == 8:
            raise InterruptedError
        return step(self, *args, **kwargs)

    how = settings(tmp_path / "run")
    monkeypatch.setattr(ali.ALI, "step", counted)
    if ahead:
        monkeypatch.setattr(batches, "fits", lambda *_: False)
    with pytest.raises(InterruptedError):
        train("ali", BY_CLASS, how, "cpu")
    train("ali", BY_CLASS, how, "cpu")
    assert len(calls) == 8 + 10 - 6  # from the checkpoint after step 6
    assert_same_run(tmp_path / "run", digits)


def test_each_step_is_told_of_its_own_images(tmp_path, monkeypatch):
    """Mirrored or not; the grey of an image is its attribute."""
    n = 40
    values = np.linspace(0, 255, n).astype(np.uint8)
    x = values[:, None, None] * np.ones((n, 8, 8), np.uint8)
    np.savez(tmp_path / "x.npz", images=x, attributes=np.stack([values / 255, 1 - values / 255], 1))
    told = []

    def step(self, x, noise, labels, *, kimg, critic, coders):
        told.append((x.mean((1, 2, 3)), labels))
        return {"loss_d": x.mean().detach()}

    monkeypatch.setattr(ali.ALI, "step", step)
    how = settings(tmp_path / "run", data=str(tmp_path / "x.npz"), flip=True)
    train("ali", dataclasses.replace(BY_CLASS, labels=2), how)
    assert len(told) == 10
    for grey, labels in told:
        torch.testing.assert_close(torch.stack([grey, 1 - grey], 1), labels, rtol=0, atol=1e-6)
    assert len({float(grey[0]) for grey, _ in told}) > 5


def test_two_ranks_are_told_what_one_is(tmp_path):
    """Parameters after a few steps, without dropout, whose draws are a rank's own."""
    ends = []
    program = (
        f"import sys; sys.path.insert(0, {str(HERE)!r}); import test_conditional as t; t.by_rank(sys.argv[1])"
    )
    (tmp_path / "program.py").write_text(program)
    torchrun(tmp_path / "program.py", tmp_path / "two")
    by_rank(tmp_path / "one")
    ends = [checkpoint.latest(tmp_path / name / "checkpoints").tensors for name in ("one", "two")]
    moved = [key for key in ends[0] if key.startswith("model.") and "bias" not in key]
    assert moved
    for key in moved:
        torch.testing.assert_close(ends[1][key], ends[0][key], rtol=1e-3, atol=1e-4)


def by_rank(out):
    train("ali", dataclasses.replace(BY_CLASS, dropout=(0.0, 0.0)), settings(out, kimg=0.048))


@pytest.mark.parametrize(
    "labels, message",
    [(3, "digits: --labels 3 asks for as many attributes or classes of the images, which have 10 classes"),
     (40, "--labels 40")],
)  # fmt: skip
def test_another_number_of_labels_is_refused_before_anything_is_written(tmp_path, labels, message):
    with pytest.raises(UserError, match=message):
        train("ali", dataclasses.replace(BY_CLASS, labels=labels), settings(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_run_whose_attributes_changed_is_refused(tmp_path):
    def save(bits):
        np.savez(tmp_path / "x.npz", images=np.zeros((40, 8, 8), np.uint8), attributes=bits)

    how = settings(tmp_path / "run", data=str(tmp_path / "x.npz"), kimg=0.032)
    config = dataclasses.replace(BY_CLASS, labels=2)
    save(np.eye(40, 2, dtype=int))
    train("ali", config, how)
    save(np.eye(40, 2, 1, dtype=int))
    with pytest.raises(UserError, match="data attributes_fingerprint is"):
        train("ali", config, how)


def test_an_unconditional_run_hears_nothing_of_attributes(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.zeros((40, 8, 8), np.uint8), attributes=np.eye(40, 2, dtype=int))
    run = settings(tmp_path / "run", data=str(tmp_path / "x.npz"), kimg=0.032)
    out = train("ali", dataclasses.replace(BY_CLASS, labels=0), run)
    assert set(json.loads((out / "config.json").read_text())["data"]) == {"name", "fingerprint"}


# Pictures and numbers


def spied(system, name):
    """What a method of the system is called with."""
    calls, method = [], getattr(system, name)

    def call(*args):
        calls.append(args)
        return method(*args)

    setattr(system, name, call)
    return calls


def held_out() -> Images:
    """Thirty grey images; what they are told is their own grey, spelt."""
    grey = torch.arange(30, dtype=torch.uint8)
    bits = ((grey[:, None].long() >> torch.arange(10)) & 1).to(torch.uint8)
    return Images(grey[:, None, None, None].expand(30, 1, 8, 8).contiguous(), attributes=bits)


def spelt(x, labels):
    grey = (x[:, 0, 0, 0] * 255).round().long()
    return torch.equal((labels.long() << torch.arange(10)).sum(1), grey)


def test_pictures_are_of_held_out_attributes(digits):
    system, _ = load_run(digits)
    gallery = Gallery(held_out(), torch.device("cpu"))
    sampled, rebuilt = spied(system, "sample"), spied(system, "reconstruct")
    gallery.look(system, Noise(0, "cpu"), batch=7)
    (_, _, labels) = sampled[0]
    want = held_out().attributes[torch.arange(64) * 30 // 64]
    assert torch.equal(labels, want)
    gallery.val_mse(system, batch=7)
    assert len(rebuilt) == 2 * 5 and all(spelt(*call) for call in rebuilt)


def test_numbers_are_of_the_images_attributes(digits):
    system, _ = load_run(digits)
    real = held_out()
    encoded, generated = spied(system, "encode"), spied(system, "generate")
    labels = real.conditions(torch.arange(30))
    found = measure(system, real.images, None, How(samples=12, batch=8), labels=labels)
    assert {n.metric for n in found} >= {"RMSE", "latent MSE"} and all(
        "conditioned on" in n.mode for n in found
    )
    assert all(spelt(*call) for call in encoded[:4])
    drawn = torch.cat([y for _, y in generated[:2]])
    assert torch.equal(drawn, labels[0][torch.arange(12) * 30 // 12])
    for (_, a), (_, b) in zip(generated[2:], encoded[4:], strict=True):  # E(G(z, y), y)
        assert torch.equal(a, b)
    runner = Runner(system, How(code="sampled", batch=8))
    assert not torch.equal(runner.codes(real.images, *labels), runner.codes(real.images, 1 - labels[0]))


def test_codes_that_were_told_the_class_are_not_probed(digits):
    system, _ = load_run(digits)
    seen, out = data.split(data.conditioned(data.load("digits", size=8), 10), 0.1, 0)
    assert probes(system, seen, out) == []


def test_metrics_while_training(tmp_path):
    how = settings(tmp_path / "run", eval_every=0.08, eval_images=20, extractor="none")
    lines = (train("ali", BY_CLASS, how) / "log.jsonl").read_text().splitlines()
    assert {"RMSE", "latent MSE"} < set(json.loads(lines[-1]))


# Commands


@pytest.mark.parametrize(
    "line, words",
    [
        ("sample RUN --n 6", ""),
        ("sample RUN --n 6 --attributes 3", ""),
        ("reconstruct RUN --n 5", "held-out images of digits"),
        ("reconstruct RUN --n 5 --attributes 3", "held-out images of digits"),
        ("reconstruct RUN --n 4 --data digits", "4 images of digits"),
        ("reconstruct RUN --data PHOTOS --attributes 1,2", "2 images of"),
        ("interpolate RUN --n 3 --steps 4", ""),
        ("eval RUN --extractor none --n 20", "conditioned on the real images' attributes"),
        ("export RUN --out NEW --torch-export", "generator.pt2"),
    ],
)
def test_commands(digits, tmp_path, capsys, line, words):
    (tmp_path / "photos").mkdir()
    for i in range(2):
        Image.new("L", (8, 8), 90 * i).save(tmp_path / "photos" / f"{i}.png")
    names = {"RUN": str(digits), "PHOTOS": str(tmp_path / "photos"), "NEW": str(tmp_path / "new")}
    args = [names.get(word, word) for word in line.split()]
    assert main(args) == 0, capsys.readouterr().err
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    "line, answer",
    [
        ("train ali --labels 3 --out NEW", "digits: --labels 3 asks for as many attributes or classes"),
        ("sample RUN --attributes nine", "unknown attribute 'nine'"),
        ("sample RUN --attributes 10", "unknown attribute '10'"),
        ("sample PLAIN --attributes 1", "was trained without any (--labels 0)"),
        ("reconstruct RUN --data PHOTOS", "which have neither; --attributes NAMES gives the same to all"),
        ("interpolate RUN --data PHOTOS", "the run's --labels 10 asks for"),
        ("eval RUN --data PHOTOS --extractor none", "the run's --labels 10 asks for"),
        ("sample MOVED", "(the run's own data; --attributes NAMES needs no data)"),
    ],
)
def test_what_cannot_be_had_is_said(digits, plain, tmp_path, capsys, line, answer):
    (tmp_path / "photos").mkdir()
    for i in range(2):
        Image.new("L", (8, 8), 90 * i).save(tmp_path / "photos" / f"{i}.png")
    record = json.loads((digits / "config.json").read_text())
    record["run"]["data"] = "gone.zip"
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "config.json").write_text(json.dumps(record))
    (tmp_path / "moved" / "checkpoints").symlink_to(digits / "checkpoints")
    names = {"RUN": digits, "PLAIN": plain, "PHOTOS": tmp_path / "photos", "MOVED": tmp_path / "moved"}
    names["NEW"] = tmp_path / "new"
    assert main([str(names.get(word, word)) for word in line.split()]) == 2
    assert answer in capsys.readouterr().err and not names["NEW"].exists()


def test_samples_have_the_attributes_asked_for(digits, tmp_path):
    def sampled(*words):
        out = tmp_path / "s.png"
        assert main(["sample", str(digits), "--npz", "--out", str(out), *words]) == 0
        with np.load(out.with_suffix(".npz")) as arrays:
            return arrays["images"].astype(int)

    system, _ = load_run(digits)
    with system.inference():
        z = system.prior(5, Noise(0, "cpu").at(0))
        want = (system.generate(z, torch.eye(10)[[7] * 5]) * 255).round().int()[:, 0, :, :, None].numpy()
    got = sampled("--n", "5", "--attributes", "7")
    assert np.abs(got - want).max() <= 1
    assert np.abs(got - sampled("--n", "5", "--attributes", "2, 4")).max() > 1
    few, many = sampled("--n", "3"), sampled("--n", "70")  # of held-out images: the same first ones
    assert np.abs(few - many[:3]).max() <= 1


# Models


def test_an_exported_model_takes_labels(digits, tmp_path):
    assert main(["export", str(digits), "--out", str(tmp_path / "m"), "--torch-export"]) == 0
    system, _ = load_run(digits)
    x, y = torch.rand(3, 1, 8, 8), torch.eye(10)[:3]
    for source in (tmp_path / "m", digits):
        model = bigan.load(source)
        assert (model.labels, model.attributes) == (10, list("0123456789"))
        assert torch.equal(model.encode(x, y), system.encode(x, y))
        assert torch.equal(model(x, y), system.reconstruct(x, y))
        assert torch.equal(model.decode(system.encode(x, y), y), model.reconstruct(x, y))
        seven = model.sample(3, seed=1, labels=model.having("7"))
        assert torch.equal(seven, model.sample(3, seed=1, labels=torch.eye(10)[[7] * 3]))
        assert not torch.equal(seven, model.sample(3, seed=1, labels=model.having("7", "8")))
        for labels in (None, torch.eye(10)[:2], torch.eye(9)[0]):
            with pytest.raises(ValueError, match=r"generate: labels must be \[3, 10\] or \[10\], got"):
                model.sample(3, labels=labels)
        with pytest.raises(UserError, match="unknown attribute 'seven'"):
            model.having("seven")
    program = torch.export.load(tmp_path / "m" / "encoder.pt2").module()
    torch.testing.assert_close(program(x, y), system.encode(x, y))


def test_the_card_s_lines_run(digits, tmp_path):
    bigan.load(digits).save_pretrained(tmp_path)
    code = (tmp_path / "README.md").read_text().split("```python\n")[1].split("```")[0]
    exec(code.replace("path/or/hub-id", str(tmp_path)), found := {})
    assert found["again"].shape == found["images"].shape == (16, 1, 8, 8)


def test_an_unconditional_model_takes_none(plain):
    model = bigan.load(plain)
    assert model.labels == 0 and model.attributes == [] and model.sample(2).shape == (2, 1, 8, 8)
    with pytest.raises(
        ValueError, match=r"encode: labels are for conditional models, and this is none; got \[10\]"
    ):
        model.encode(torch.rand(2, 1, 8, 8), torch.zeros(10))


def test_onnx_takes_labels(digits, tmp_path):
    session = pytest.importorskip("onnxruntime").InferenceSession
    for module in ("onnx", "onnxscript"):
        pytest.importorskip(module)
    assert main(["export", str(digits), "--out", str(tmp_path), "--onnx"]) == 0
    x, y = torch.rand(4, 1, 8, 8), torch.eye(10)[:4]
    (codes,) = session(tmp_path / "encoder.onnx").run(["codes"], {"images": x.numpy(), "labels": y.numpy()})
    torch.testing.assert_close(torch.from_numpy(codes), bigan.load(digits).encode(x, y), rtol=1e-4, atol=1e-5)
