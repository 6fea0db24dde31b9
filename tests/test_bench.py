"""`bigan bench`: what a training's steps take, without data."""

import dataclasses
import re

import pytest
import test_relatives
import torch

from bigan import systems
from bigan.cli import flags, main
from bigan.cli.bench import _command
from bigan.engine import bench
from bigan.engine.config import Run

SMALL = ["--preset", "cpu", "--batch", "4", "--seconds", "0.01"]


def test_a_row_for_each_way(capsys):
    assert main(["bench", "ali", *SMALL]) == 0
    head, names, plain, fast = capsys.readouterr().out.splitlines()
    assert head.startswith("ali, preset cpu, batch 4, 3 x 32 x 32; bigan ")
    assert names.split() == ["flags", "images/s", "most", "of", "them", "gain", "switches"]
    assert re.fullmatch(r"  none +[\d.]+ +[\d.]+ to [\d.]+ +1\.00x", plain)
    assert re.fullmatch(
        r"  --fast +[\d.]+ +[\d.]+ to [\d.]+ +[\d.]+x +one_pass, channels_last, fused.*", fast
    )


@pytest.mark.parametrize("name", sorted(test_relatives.TINY))
def test_every_kind_of_system(name):
    """The steps are whole ones: weights move, and by the same numbers as in a training."""
    module, config = systems.load(name), systems.load(name).Config(**test_relatives.TINY[name])
    timed = bench._Steps(module, config, Run(batch=4, size=8, device="cpu"), 1)
    before = [p.detach().clone() for p in timed.system.parameters()]
    assert next(timed) > 0 and timed.done == 2
    moved = [not torch.equal(a, b) for a, b in zip(before, timed.system.parameters(), strict=True)]
    assert any(moved)


def test_seconds_and_steps_make_images_a_second(monkeypatch):
    class Steps:
        def __init__(self, module, config, run, channels):
            self.run, self.taken = run, iter([0.5, 0.25, 0.5] if run.fast else [1.0, 2.0, 1.0])

        def __next__(self):
            return next(self.taken)

    monkeypatch.setattr(bench, "_Steps", Steps)
    plain, fast = bench.rates(systems.load("vae"), None, Run(batch=8), 1, seconds=1e-9)
    assert (plain.flags, plain.median, fast.flags, fast.median) == ("", 8.0, "--fast", 16.0)
    assert plain.low < plain.median <= plain.high and fast.switches == ()


def test_a_conditional_system_gets_labels(capsys):
    assert main(["bench", "ali", *SMALL, "--labels", "3"]) == 0
    assert "--fast" in capsys.readouterr().out


@pytest.mark.parametrize("name", systems.names())
def test_no_flag_has_two_meanings(name):
    names = flags.names(_command("cpu", systems.load(name).PRESETS))
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "words, message",
    [
        (["intro"], "unknown system 'intro'; did you mean"),
        (["vae", "--seconds", "0"], "--seconds must be more than 0, got 0"),
        (["vae", "--batch", "0"], "--batch must be 1 or more, got 0"),
        (["vae", "--preset", "huge"], "unknown preset 'huge'"),
        (["vae", "--second", "1"], "did you mean --seconds"),
        (["vae", "--device", "tpu9"], "--device must be auto, cpu, cuda or cuda:N, got 'tpu9'"),
    ],
)
def test_what_cannot_be_is_refused(words, message, capsys):
    assert main(["bench", *words]) == 2
    assert message in capsys.readouterr().err


def test_compile_is_a_row_of_its_own(monkeypatch):
    """Asked for with --compile; here without the compiler's minutes."""
    asked = []

    class Steps:
        def __init__(self, module, config, run, channels):
            asked.append(run)
            self.run = dataclasses.replace(run, channels_last=run.fast)

        def __next__(self):
            return 1.0

    monkeypatch.setattr(bench, "_Steps", Steps)
    rows = bench.rates(systems.load("vae"), None, Run(), 1, 1e-9, compiled=True)
    assert [r.flags for r in rows] == ["", "--fast", "--fast --compile"]
    assert [(r.fast, r.compile) for r in asked] == [(False, False), (True, False), (True, True)]
    assert rows[2].switches == ("channels_last", "compile")
