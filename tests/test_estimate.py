"""--dry-run's estimate: counted right where it can be counted by hand, and for every system."""

import pytest
import torch
from torch import nn

from bigan import systems
from bigan.engine import estimate as estimates
from bigan.engine.config import Run
from bigan.engine.estimate import Peak, estimate


def test_peak_counts_what_lives_at_once():
    with Peak() as peak:
        x = torch.empty(1000, dtype=torch.uint8, device="meta")
        y = x + 1
        view = y.view(10, 100)  # no bytes of its own
        del y
        assert (peak.now, peak.most) == (2000, 2000)
        del view
        z = x + 2
        assert (peak.now, peak.most) == (2000, 2000)
        del x, z
    assert (peak.now, peak.most) == (0, 2000)


def test_activations_are_kept_until_backward():
    net = nn.Sequential(*(nn.Tanh() for _ in range(5))).to("meta")
    with Peak() as peak:
        loss = net(torch.empty(1000, device="meta", requires_grad=True)).sum()
        assert peak.now == 6 * 4000 + 4
        del loss
        assert peak.now == 0


def test_of_a_vae_by_hand(monkeypatch):
    monkeypatch.setattr(estimates, "measured", lambda device: 1e9)
    vae = systems.load("vae")
    config = vae.Config(hidden=(8,), z_dim=3, likelihood="gaussian")
    found = estimate(vae, config, Run(batch=10, device="cpu"), (1, 4, 4))
    sizes = [16 * 8 + 8 + 8 * 6 + 6, 3 * 8 + 8 + 8 * 16 + 16]
    assert found["parameters"] == {"enc": sizes[0], "dec": sizes[1]}
    forward = 2 * 10 * (16 * 8 + 8 * 6 + 3 * 8 + 8 * 16)
    backward = 2 * forward - 2 * 10 * 16 * 8  # no gradient of the images
    assert found["gflop_per_step"] == pytest.approx((forward + backward) / 1e9, rel=5e-3)
    assert found["images_per_s_at_most"] == pytest.approx(10 * 1e9 / (forward + backward), rel=5e-3)
    assert found["peak_gib"] * 2**30 > 4 * 4 * sum(sizes)  # weights, gradients, two moments


@pytest.mark.parametrize("name", ["introvae", "ali"])
def test_recomputing_is_counted(name, monkeypatch):
    monkeypatch.setattr(estimates, "measured", lambda device: 1e9)
    module = systems.load(name)
    preset = module.PRESETS["cpu"]
    plain, again = (
        estimate(
            module, preset.config, Run(batch=64, recompute=r, device="cpu"), (3, preset.size, preset.size)
        )
        for r in (False, True)
    )
    assert again["gflop_per_step"] > plain["gflop_per_step"]
    if name == "introvae":
        assert again["peak_gib"] < 0.95 * plain["peak_gib"]


def test_the_device_is_measured():
    assert estimates.measured(torch.device("cpu")) > 1e8
