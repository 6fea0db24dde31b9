"""--fast: what it picks and refuses, and that no switch changes what a step computes."""

import copy
import json

import pytest
import torch
from engine_run import run, tiny_system, write_data  # noqa: F401
from test_engine_run import Stop, assert_same_run, stop_at
from torch import nn

from bigan import systems
from bigan.engine import fast, loop, winograd
from bigan.engine.config import Run
from bigan.engine.noise import Noise
from bigan.errors import UserError
from bigan.spectral_norm import SpectralNorm
from bigan.systems.base import Player

CPU = torch.device("cpu")


def build(name, dtype=torch.float32):
    module = systems.load(name)
    preset = module.PRESETS["cpu"]
    torch.manual_seed(1)
    system = module.build(preset.config, (1, preset.size, preset.size)).to(dtype)
    for m in system.modules():
        if isinstance(m, nn.Dropout):
            m.p = 0.0  # masks are drawn in the order of memory
        elif isinstance(m, SpectralNorm):
            m.training = False  # two steps of power iteration for two passes, one for a merged one
    return system


def take(system, settings, monkeypatch, step=0, batch=6):
    """Terms and gradients of one step, which moves nothing."""
    monkeypatch.setattr(Player, "move", lambda self: None)
    low, high = system.data_range
    dtype = next(system.parameters()).dtype
    shape = (batch, *system.image_shape)
    x = low + (high - low) * torch.rand(shape, generator=torch.Generator().manual_seed(2), dtype=dtype)
    fast.prepare(settings, system)
    players = system.players()
    fast.equip(settings, players, CPU)
    with fast.autocast(settings, CPU):
        terms = system.step(fast.laid_out(settings, x), Noise(3, CPU).at(step), kimg=1e4, **players)
    grads = {
        name: torch.cat(
            [p.grad.flatten().double() for p in player.params if p.grad is not None] or [x[:0, 0]]
        )
        for name, player in players.items()
    }
    return terms, grads


def resolved(name, **switches):
    told = []
    return fast.resolve(Run(**switches), build(name), CPU, told.append), "".join(told)


# --- what it picks


def test_it_picks_what_there_is_and_says_what_not():
    settings, told = resolved("pagan", fast=True)
    assert settings.one_pass and settings.channels_last and settings.fused
    assert not settings.cuda_graph and not settings.compile
    assert told.startswith("fast: one_pass, channels_last, fused") and "cuda_graph (no GPU)" in told


def test_it_leaves_out_what_a_system_cannot():
    settings, told = resolved("introvae", fast=True)
    assert settings.channels_last and not settings.one_pass
    assert "one_pass (its players do not move all at once" in told


def test_without_it_nothing_changes():
    assert resolved("pagan") == (Run(), "")


@pytest.mark.parametrize(
    "name, switch, reason",
    [
        ("introvae", "one_pass", "--one-pass cannot be had here: its players do not move all at once"),
        ("alpha_gan", "one_pass", "batch normalisation .* couples the samples that critic sees"),
        ("pagan", "cuda_graph", "--cuda-graph cannot be had here: no GPU"),
    ],
)
def test_what_cannot_be_had_is_refused_with_the_reason(name, switch, reason):
    with pytest.raises(UserError, match=reason):
        resolved(name, **{switch: True})


def test_clip_must_not_be_negative():
    with pytest.raises(UserError, match="--clip must be 0 or more, got -1"):
        Run(clip=-1.0)


# --- that it computes the same


@pytest.mark.parametrize("convs", ["chosen", "winograd"])
@pytest.mark.parametrize("name", systems.names())
def test_gradients_are_the_same_in_another_layout(name, convs, monkeypatch):
    """channels_last with its convolutions and, where there is one, the one pass, in float64."""
    if convs == "winograd":  # wherever the kernel fits, however small the layer
        if not winograd.available():
            pytest.skip("the transforms are in the native library")
        monkeypatch.setattr(winograd, "worth", lambda *_: True)
    system = build(name, torch.double)
    twin = copy.deepcopy(system)
    terms, want = take(system, Run(), monkeypatch)
    one_pass = not fast.unsupported("one_pass", twin, CPU)
    terms_fast, got = take(twin, Run(channels_last=True, fused=True, one_pass=one_pass), monkeypatch)
    torch.testing.assert_close(terms_fast, terms, rtol=1e-8, atol=1e-8)
    for key in want:
        assert (got[key] - want[key]).norm() <= 1e-8 * want[key].norm() + 1e-12, key


@pytest.mark.parametrize("name", systems.names())
def test_bf16_is_near(name, monkeypatch):
    system = build(name)
    twin = copy.deepcopy(system)
    terms, _ = take(system, Run(), monkeypatch)
    terms_bf16, grads = take(twin, Run(bf16=True), monkeypatch)
    for key, value in terms.items():
        assert terms_bf16[key].isfinite(), key
        if not key.startswith("right"):  # accuracies of six samples
            assert abs(terms_bf16[key] - value) <= 0.1 * abs(value) + 0.1, key
    assert all(g.isfinite().all() for g in grads.values())
    assert {p.dtype for p in twin.parameters()} == {torch.float32}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_fused_adam_is_adam(layout):
    torch.manual_seed(0)
    nets = [nn.Conv2d(3, 5, 3).to(memory_format=layout)]
    nets.append(copy.deepcopy(nets[0]))
    x = torch.randn(4, 3, 8, 8).contiguous(memory_format=layout)
    for net, fused in zip(nets, (False, True), strict=True):
        player = Player("net", [net], 1e-2, betas=(0.5, 0.9), weight_decay=0.1)
        fast.equip(Run(fused=fused), {"net": player}, CPU)
        for _ in range(5):
            player.minimize(net(x).square().mean())
    torch.testing.assert_close(*[dict(net.named_parameters()) for net in nets], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("limit, want", [(1e-3, 1e-3), (1e9, None)])
def test_clip_is_the_players_norm(limit, want):
    net = nn.Linear(4, 3)
    player = Player("net", [net], 0.0)
    fast.equip(Run(clip=limit), {"net": player}, CPU)
    player.minimize((7 * net(torch.ones(2, 4))).sum())
    norm = torch.cat([p.grad.flatten() for p in net.parameters()]).norm().item()
    whole = 14 * 15**0.5  # 12 weights and 3 biases
    assert norm == pytest.approx(want or whole, rel=1e-4)


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # the tracer's own
@pytest.mark.parametrize("name", ["introvae"])
def test_compiled_networks_compute_the_same(name, monkeypatch):
    """Through the tracer: statistics by kind of code, and passes that leave them untouched."""
    system = build(name, torch.double)
    twin = copy.deepcopy(system)
    fast.compile_networks(twin, backend="eager")
    for step in range(2):
        terms, want = take(system, Run(), monkeypatch, step)
        compiled, got = take(twin, Run(), monkeypatch, step)
        torch.testing.assert_close(compiled, terms, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(dict(twin.named_buffers()), dict(system.named_buffers()))


# --- whole runs


SWITCHES = {"fast": True, "clip": 0.5, "ema": 0.3}


def test_a_fast_run_resumes_to_the_same_bits(tmp_path, monkeypatch, capfd):
    images = write_data(tmp_path / "tiny.npz")
    whole = run(tmp_path / "whole", images, **SWITCHES)
    assert "fast: channels_last, fused" in capfd.readouterr().err
    with monkeypatch.context() as patch:
        stop_at(patch, loop.Training, "step", 47)
        with pytest.raises(Stop):
            run(tmp_path / "cut", images, **SWITCHES)
    run(tmp_path / "cut", images, **SWITCHES)
    assert_same_run(whole, tmp_path / "cut")
    settings = json.loads((whole / "config.json").read_text())["run"]
    assert settings["fused"] and settings["channels_last"] and not settings["one_pass"]
    with pytest.raises(UserError, match="--fused is true there, false here"):
        run(whole, images, **{**SWITCHES, "fast": False}, kimg=2.0)


def test_a_profile_is_written(tmp_path, capfd):
    images = write_data(tmp_path / "tiny.npz")
    out = run(tmp_path / "run", images, kimg=0.2, ema=0.1, profile=True)
    table = (out / "profile" / "table.txt").read_text()
    rows = {line.split()[0]: line.split() for line in table.splitlines()[1:7] if line}
    assert {"forward", "backward", "optimizer", "data", "average"} <= rows.keys()
    assert sum(float(row[2].rstrip("%")) for row in rows.values() if row[2].endswith("%")) == pytest.approx(
        100, abs=0.5
    )
    assert "mean of 5" in table
    names = {
        event.get("name") for event in json.loads((out / "profile" / "trace.json").read_text())["traceEvents"]
    }
    assert {"bigan: step", "bigan: backward"} <= names
    assert f"{out}/profile/table.txt" in capfd.readouterr().err
