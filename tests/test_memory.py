"""--recompute, the estimate of --dry-run, and the advice when memory is out."""

import copy
import json

import pytest
import torch
from engine_run import run, tiny_system, write_data  # noqa: F401

from bigan import systems
from bigan.cli import main
from bigan.engine import loop, memory, winograd
from bigan.engine.config import Run
from bigan.engine.noise import Noise
from bigan.errors import UserError

KEYS = {
    "parameters_millions",
    "weights_and_optimizer_gb",
    "activations_gb",
    "gflop_an_image",
    "images_per_s_about",
}


@pytest.mark.parametrize("name", ["introvae", "soft_introvae"])
def test_recomputing_changes_no_bit(name):
    module = systems.load(name)
    preset = module.PRESETS["cpu"]
    torch.manual_seed(0)
    system = module.build(preset.config, (1, 32, 32))
    twin = copy.deepcopy(system)
    memory.recompute(twin)
    x = torch.rand(4, 1, 32, 32)
    for k in range(2):
        terms, same = (s.step(x, Noise(3, "cpu").at(k), kimg=1e4, **s.players()) for s in (system, twin))
        assert all(torch.equal(terms[key], same[key]) for key in terms)
    state, other = system.state_dict(), twin.state_dict()
    assert not [key for key in state if not torch.equal(state[key], other[key])]


def test_recomputing_keeps_less():
    module = systems.load("introvae")
    config, settings = module.PRESETS["cpu"].config, {"size": 32, "batch": 16}
    plain, lean = (memory.estimate(module, config, Run(**settings, recompute=r), 3) for r in (False, True))
    assert lean["activations_gb"] < 0.5 * plain["activations_gb"]
    assert lean["gflop_an_image"] > plain["gflop_an_image"]


def test_recompute_is_refused_where_it_cannot_be():
    pagan = systems.load("pagan")
    with pytest.raises(UserError, match="PAGAN has no residual networks"):
        memory.recompute(pagan.build(pagan.PRESETS["cpu"].config, (1, 16, 16)))


@pytest.mark.parametrize("name", ["age", "ali", "introvae", "pagan", "gan"])
def test_systems_have_an_estimate(name):
    module = systems.load(name)
    preset = module.PRESETS["cpu"]
    found = memory.estimate(module, preset.config, Run(size=preset.size, batch=4), 1)
    assert found.keys() == KEYS and all(value >= 0 for value in found.values())
    with torch.device("meta"):
        system = module.build(preset.config, (1, preset.size, preset.size))
    assert found["parameters_millions"] == pytest.approx(
        sum(p.numel() for p in system.parameters()) / 1e6, abs=0.01
    )
    assert found["gflop_an_image"] > 0


def test_estimated_activations_are_those_that_autograd_keeps():
    """A chain that can be counted by hand: each of n layers keeps its input, beyond the weights."""
    kept = memory._Kept(torch.nn.Linear(1, 1))
    x = torch.randn(1000, 10, requires_grad=True)
    with kept.counting():
        a = x.exp()  # keeps its result
        b = a.sin()  # its input, the same storage
        c = b.square()  # its input, another
        assert (kept.now, kept.peak) == (80_000, 80_000)
        c.sum().backward()
        del a, b, c
    assert kept.now == 0 and kept.peak == 80_000


@pytest.mark.parametrize("flags", [[], ["--fast"]], ids=str)
def test_dry_run_prints_it(flags, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "introvae", "--dry-run", *flags]) == 0
    estimate = json.loads(capsys.readouterr().out)["estimate"]
    assert estimate.keys() == KEYS
    assert 0 < estimate["activations_gb"] < 0.1 and estimate["parameters_millions"] == 0.09


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory."), MemoryError(),
                                   RuntimeError("DefaultCPUAllocator: can't allocate memory")])  # fmt: skip
def test_out_of_memory_says_what_to_lower(error, tmp_path, monkeypatch):
    def burst(*_):
        raise error

    monkeypatch.setattr(loop.Training, "step", burst)
    with pytest.raises(
        UserError, match=r"out of memory: try a smaller --batch than 10, --recompute.* --size than 4"
    ):
        run(tmp_path / "run", write_data(tmp_path / "tiny.npz"))


def test_other_errors_stay_what_they_are(tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(loop.Training, "step", broken)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        run(tmp_path / "run", write_data(tmp_path / "tiny.npz"))


def test_a_command_for_another_machine_has_all_but_the_speed():
    module = systems.load("gan")
    found = memory.estimate(module, module.PRESETS["cpu"].config, Run(batch=2, device="cuda:99"), 1)
    assert found.keys() == KEYS - {"images_per_s_about"}


@pytest.mark.parametrize("name", systems.names())
def test_every_system_can_be_estimated_with_fast(name):
    module = systems.load(name)
    preset = module.PRESETS["cpu"]
    run = Run(batch=4, size=preset.size, device="cpu", fast=True)
    assert memory.estimate(module, preset.config, run, 1).keys() == KEYS


@pytest.mark.skipif(not winograd.available(), reason="the transforms are in the native library")
def test_fewer_products_are_seen():
    module = systems.load("introvae")
    config = module.PRESETS["cifar10"].config
    plain, fast = (
        memory.estimate(module, config, Run(batch=64, size=32, device="cpu", fast=f), 3)
        for f in (False, True)
    )
    assert fast["gflop_an_image"] < 0.4 * plain["gflop_an_image"]
