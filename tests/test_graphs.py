"""A recorded step is the step: on a CPU all but the recording, on a GPU to the bit for a hundred steps."""

import dataclasses

import pytest
import torch

from bigan import systems
from bigan.engine import fast
from bigan.engine.config import Run
from bigan.engine.graphs import WARM_UP, GraphedStep
from bigan.engine.noise import Noise

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="CUDA graphs need a GPU")


def trained(name, device, graphed, steps, batch=8, labels=0, **switches):
    """(terms of each step, parameters and buffers) after some steps of a falling step size."""
    module = systems.load(name)
    preset = module.PRESETS["cpu"]
    torch.manual_seed(1)
    device = torch.device(device)
    config = dataclasses.replace(preset.config, labels=labels) if labels else preset.config
    system = module.build(config, (1, preset.size, preset.size)).to(device)
    settings = Run(cuda_graph=True, **switches)  # the same kernels of the optimiser for both
    fast.prepare(settings, system)
    players, noise = system.players(), Noise(3, device)
    fast.equip(settings, players, device)
    low, high = system.data_range
    rand = torch.Generator().manual_seed(2)

    def step(x, kimg, *y):
        noise.rewind()
        with fast.autocast(settings, device):
            return system.step(x, noise, *y, kimg=kimg, **players)

    recorded = GraphedStep(step, device)
    terms = []
    for k in range(steps):
        x = (low + (high - low) * torch.rand(batch, *system.image_shape, generator=rand)).to(device)
        y = (torch.randint(2, (batch, labels), generator=rand).to(device),) if labels else ()
        kimg = k * batch / 1000
        for player in players.values():
            player.scale_lr(1 / (1 + k))
        noise.at(k)
        found = recorded(x, kimg, system.kind(kimg, batch), *y) if graphed else step(x, kimg, *y)
        terms.append({key: value.clone() for key, value in found.items()})
    return terms, {key: value.clone() for key, value in system.state_dict().items()}


def assert_same(a, b):
    for got, want in zip(a[0], b[0], strict=True):
        assert got.keys() == want.keys()
        assert all(torch.equal(got[key], want[key]) for key in want)
    unlike = [key for key in a[1] if not torch.equal(a[1][key], b[1][key])]
    assert not unlike


@pytest.mark.parametrize("name", ["pagan", "ali", "ian"])
def test_on_a_cpu_all_but_the_recording(name):
    steps = 2 * (WARM_UP + 2) + 1  # for IAN's two kinds of step
    assert_same(trained(name, "cpu", True, steps), trained(name, "cpu", False, steps))


def test_labels_change_between_replays():
    assert_same(trained("ali", "cpu", True, 8, labels=5), trained("ali", "cpu", False, 8, labels=5))


@GPU
@pytest.mark.parametrize("switches", [{}, {"bf16": True, "channels_last": True}])
def test_labels_of_recorded_steps(switches):
    with fast_exact():
        switches = {"labels": 5, "one_pass": True, "fused": True, **switches}
        assert_same(
            trained("ali", "cuda", True, 30, **switches), trained("ali", "cuda", False, 30, **switches)
        )


@GPU
@pytest.mark.parametrize("name", systems.names())
def test_a_hundred_recorded_steps(name):
    one_pass = name in ("pagan", "ali")
    with fast_exact():
        got = trained(name, "cuda", True, 100, one_pass=one_pass, fused=True)
        assert_same(got, trained(name, "cuda", False, 100, one_pass=one_pass, fused=True))


@GPU
def test_recorded_in_bf16():
    with fast_exact():
        switches = dict(one_pass=True, fused=True, bf16=True, channels_last=True)
        assert_same(
            trained("pagan", "cuda", True, 100, **switches), trained("pagan", "cuda", False, 100, **switches)
        )


def fast_exact():
    from bigan.engine.loop import exact

    return exact(torch.device("cuda"))


def test_each_kind_of_step_is_warmed_up_and_recorded_for_itself():
    calls = []

    def step(x, kimg):
        calls.append(kimg)
        return {"sum": x.sum()} if kimg < 5 else {"mean": x.mean()}

    recorded = GraphedStep(step, torch.device("cpu"))
    for k in range(12):
        terms = recorded(torch.full((2, 3), float(k)), float(k), "early" if k < 5 else "late")
        assert {key: value.item() for key, value in terms.items()} == (
            {"sum": 6.0 * k} if k < 5 else {"mean": k}
        )
    # recorded at the step after the warm-up, with what Python knew then
    assert calls == [0, 1, 2, 3, 3, 5, 6, 7, 8, 8, 8, 8]


def test_a_batch_of_another_size_is_refused():
    recorded = GraphedStep(lambda x, kimg: {"sum": x.sum()}, torch.device("cpu"))
    recorded(torch.ones(4, 2), 0.0, "")
    with pytest.raises(ValueError, match=r"batches of \[4, 2\] only, got \[3, 2\]"):
        recorded(torch.ones(3, 2), 0.0, "")


def test_terms_keep_their_place():
    recorded = GraphedStep(lambda x, kimg: {"sum": x.sum()}, torch.device("cpu"))
    places = [recorded(torch.ones(2), 0.0, "")["sum"] for _ in range(WARM_UP + 3)][WARM_UP:]
    assert len({t.data_ptr() for t in places}) == 1
