"""The engine's parts: settings, noise, average, terms, schedule, pictures."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from engine_run import systems, tiny_is_a_system
from PIL import Image

from bigan.engine import config, ema, grid
from bigan.engine.meter import Meter, NonFinite
from bigan.engine.noise import Noise
from bigan.engine.schedule import Schedule
from bigan.engine.state import State, first_non_finite
from bigan.errors import UserError

with tiny_is_a_system():
    tiny = systems.load("tiny")

# --- settings


def test_config_round_trip():
    run = config.Run(out=Path("a/b"), kimg=12.5, flip=True)
    assert config.from_json(config.Run, json.loads(json.dumps(config.to_json(run)))) == run
    nested = tiny.Config(widths=(8, 16))
    assert config.from_json(tiny.Config, json.loads(json.dumps(config.to_json(nested)))) == nested


def test_config_of_another_version_is_refused_by_name():
    with pytest.raises(UserError, match="no setting colour"):
        config.from_json(tiny.Config, {"colour": 3})


def test_every_field_has_help():
    assert all(field.metadata["help"] for field in dataclasses.fields(config.Run))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch": 0}, "--batch must be 1 or more, got 0"),
        ({"kimg": -1.0}, "--kimg must be more than 0"),
        ({"kimg": float("nan")}, "--kimg must be more than 0, got nan"),
        ({"ema": -1.0}, "--ema must be 0 or more"),
        ({"checkpoint_every": -0.1}, "--checkpoint-every must be"),
        ({"seed": 2**63}, "--seed must fit 64 bits"),
    ],
)
def test_bad_settings_name_the_flag(settings, message):
    with pytest.raises(UserError, match=message):
        config.Run(**settings)


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_bad_device(device):
    with pytest.raises(UserError, match=f"--device.*{device}"):
        config.Run(device=device).torch_device  # noqa: B018


# --- noise


def test_noise_is_a_function_of_seed_step_and_order():
    a, b = Noise(7, "cpu"), Noise(7, "cpu")
    first, second = a.at(3).normal(4, 5), a.normal(4, 5)
    b.at(9).normal(2, 2)
    assert torch.equal(b.at(3).normal(4, 5), first)
    assert torch.equal(b.normal(4, 5), second)
    assert not torch.equal(first, second)
    assert not torch.equal(a.at(4).normal(4, 5), first)
    assert not torch.equal(Noise(8, "cpu").at(3).normal(4, 5), first)


def test_draws_are_numbered_and_the_step_stays_in_its_tensor():
    noise = Noise(7, "cpu")
    rng = noise.rng
    assert [noise.at(5).draw(1)["stream"], noise.draw(1)["stream"]] == [0, 1]
    assert noise.at(6).rng is rng  # a CUDA graph goes on reading it
    assert rng.tolist() == [7, 6]


def test_noise_also_settles_pytorchs_own_generator():
    noise = Noise(2**40, "cpu")
    noise.at(3)
    first = torch.rand(3)
    assert not torch.equal(noise.at(4) and torch.rand(3), first)
    noise.at(3)
    assert torch.equal(torch.rand(3), first)


# --- moving average


def test_ema_formula():
    system = tiny.build(tiny.Config(), (1, 4, 4))
    average = ema.EMA(system, half_life=2.0)
    weight, mean = system.dec[0].weight, system.enc[2].running_mean
    start = weight.detach().clone()
    with torch.no_grad():
        weight.add_(1.0)
        mean.add_(3.0)
    average.update(kimg=1000.0, n=2.0)  # one half-life
    torch.testing.assert_close(average.system.dec[0].weight, start + 0.5)
    assert torch.equal(average.system.enc[2].running_mean, mean)
    assert not average.system.dec[0].weight.requires_grad


@pytest.mark.parametrize(("kimg", "n", "half_life", "want"), [
    (1000.0, 0.064, 10.0, 2 ** (-0.064 / 10)),
    (20.0, 0.064, 10.0, 2 ** (-0.064 / 1)),  # still ramping up: a twentieth of what was seen
    (0.064, 0.064, 10.0, 2**-20),
])  # fmt: skip
def test_ema_ramp(kimg, n, half_life, want):
    assert ema.beta(kimg, n, half_life) == pytest.approx(want)


# --- terms


def test_meter_means():
    meter = Meter()
    meter.update(0, {"a": torch.tensor(1.0), "b": torch.tensor(4.0)})
    meter.update(1, {"a": torch.tensor(2.0)})
    assert meter.read() == {"a": 1.5, "b": 4.0}
    assert meter.read() == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_meter_names_the_first_bad_term(value):
    meter = Meter()
    meter.update(5, {"a": torch.tensor(1.0), "b": torch.tensor(1.0)})
    meter.update(6, {"a": torch.tensor(1.0), "b": torch.tensor(value)})
    meter.update(7, {"a": torch.tensor(value), "b": torch.tensor(value)})
    with pytest.raises(NonFinite) as bad:
        meter.read()
    assert (bad.value.step, bad.value.term) == (6, "b")


def test_meter_folds_alike_at_any_moment():
    whole, halves = Meter(), Meter()
    for step, value in enumerate(torch.rand(100)):
        whole.update(step, {"a": value})
        halves.update(step, {"a": value})
        if step % 7 == 0:
            halves.fold()
            halves.totals = {k: tuple(v) for k, v in json.loads(json.dumps(halves.totals)).items()}
    assert whole.read() == halves.read()


# --- schedule


def test_schedule_counts_images():
    when = Schedule.of(
        config.Run(kimg=64.0, log_every=0.64, sample_every=6.4, checkpoint_every=32.0), batch=64
    )
    assert (when.total, when.log, when.sample, when.save) == (1000, 10, 100, 500)
    assert [s for s in range(1001) if when.sample_due(s)] == [
        0,
        10,
        *range(100, 1001, 100),
    ]  # 10: the first 1 %
    assert [s for s in range(1001) if when.save_due(s)] == [500, 1000]
    assert when.kimg(1000) == 64.0


def test_schedule_sees_no_image_less_than_asked_for():
    assert Schedule.of(config.Run(kimg=100.0), batch=64).total == 1563
    assert Schedule.of(config.Run(kimg=0.3), batch=10).total == 30


def test_schedule_of_a_run_shorter_than_its_intervals():
    when = Schedule.of(config.Run(kimg=0.01, log_every=99.0, checkpoint_every=99.0), batch=64)
    assert when.total == 1
    assert when.log_due(1) and when.save_due(1) and when.sample_due(1) and not when.save_due(0)


# --- state


def test_state_restores_layout_and_learning_rate():
    system = tiny.build(tiny.Config(), (1, 4, 4))
    state = State(system, half_life=1.0)
    for player in state.players.values():
        player.minimize(sum(p.square().sum() for p in player.params))
    state.players["enc"].opt.param_groups[0]["lr"] = 0.125
    tensors, settings = state.tensors(), json.loads(json.dumps(state.settings()))
    other = State(tiny.build(tiny.Config(), (1, 4, 4)), half_life=1.0)
    other.load(tensors, settings)
    assert other.players["enc"].opt.param_groups[0]["lr"] == 0.125
    again = other.tensors()
    assert tensors.keys() == again.keys()
    assert all(torch.equal(tensors[k], again[k]) for k in tensors)


def test_state_names_what_is_not_finite():
    assert (
        first_non_finite({"a": torch.ones(2), "n": torch.tensor(1), "b": torch.tensor([1.0, torch.inf])})
        == "b"
    )
    assert first_non_finite({"a": torch.ones(2)}) is None


# --- pictures


def test_grid_layout():
    x = torch.zeros(5, 3, 64, 64)
    x[4, 0] = 1.0  # the fifth is red
    picture = grid.grid(x, (0.0, 1.0), columns=3)
    assert (picture.mode, picture.size) == ("RGB", (3 * 66 + 2, 2 * 66 + 2))
    pixels = np.asarray(picture)
    assert (pixels[2 + 66, 2 + 66] == (255, 0, 0)).all()  # second row, second column
    assert (pixels[2, 2] == 0).all() and (pixels[0] == 255).all()
    assert (pixels[2 + 66, 2 + 132] == 255).all()  # no sixth


def test_small_images_are_enlarged_and_grey_stays_grey():
    picture = grid.grid(torch.full((4, 1, 8, 8), 0.0), (-1.0, 1.0))
    assert (picture.mode, picture.size) == ("L", (2 * 66 + 2, 2 * 66 + 2))
    assert np.asarray(picture)[10, 10] == 128


def test_pairs_show_the_original_on_the_left():
    x, x_r = torch.ones(2, 1, 64, 64), torch.zeros(2, 1, 64, 64)
    pixels = np.asarray(grid.pairs(x, x_r, (0.0, 1.0), columns=1))
    assert pixels.shape == (2 * 66 + 2, 130 + 2)
    assert pixels[10, 10] == 255 and pixels[10, 2 + 64 + 10] == 0


def test_out_of_range_and_nan_do_not_wrap():
    x = torch.tensor([2.0, -3.0, float("nan"), float("inf")]).view(1, 1, 2, 2)
    assert grid.to_uint8(x, (0.0, 1.0)).flatten().tolist() == [255, 0, 0, 255]
    same = torch.randint(256, (2, 3, 4, 4), dtype=torch.uint8)
    assert torch.equal(grid.to_uint8(same, (-1.0, 1.0)), same.permute(0, 2, 3, 1))
    assert isinstance(grid.grid(same, (0.0, 1.0)), Image.Image)
