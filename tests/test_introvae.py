"""IntroVAE's step against independent pseudocode, its numbers, and what it refuses."""

import dataclasses

import pytest
import torch
from introvae_comparison import CASES, SHAPE, compare, config, descend_plainly, start

from bigan.engine.noise import Noise
from bigan.systems import introvae
from bigan.systems.base import Player


@pytest.mark.parametrize("case", CASES)
def test_step_is_the_pseudocode(case, monkeypatch):
    descend_plainly(monkeypatch)
    compare(introvae.IntroVAE, case)


def test_cases_lie_on_both_sides_of_their_margins():
    system = start(introvae.build, config())
    with torch.no_grad():
        batches = system.sample(64, Noise(0, "cpu").at(0)).split(4)
        kls = torch.stack([introvae.ops.gaussian_kl(*system.enc(x)) for x in batches])  # [16, 4]
    assert (kls.mean(1) < config().m).all()
    assert (kls.mean(1) > config(**CASES["beyond"]).m).all()
    past = kls > config(**CASES["sample"]).m
    assert past.any() and not past.all()


def test_five_encoder_and_two_decoder_passes(monkeypatch):
    system = start(introvae.build, config())
    passes = []
    for name in ("enc", "dec"):
        getattr(system, name).register_forward_hook(lambda *_, name=name: passes.append(name))
    system.step(torch.rand(4, *SHAPE, dtype=torch.double), Noise(0, "cpu").at(0), kimg=1, **system.players())
    assert sorted(passes) == ["dec"] * 2 + ["enc"] * 5


@pytest.mark.parametrize(
    "m, w_kl, w_neg, loss", [(120, 1.0, 0.5, 60.0), (500, 1.0, 1.0, 500.0), (20, 0.3, 2.0, 12.0)]
)
@pytest.mark.parametrize("hinge", ["batch", "sample"])
def test_loss_at_perfect_reconstruction_and_posterior(m, w_kl, w_neg, loss, hinge):
    """x_r = x and every posterior the prior: L_E = w_kl w_neg m; 60 for the authors' 256 px script."""
    system = introvae.build(config(m=m, w_kl=w_kl, w_neg=w_neg, hinge=hinge), (3, 8, 8))
    for layer, value in ((system.enc[-1], 0.0), (system.dec[-1], 0.25)):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.constant_(layer.bias, value)
    x = torch.full((4, 3, 8, 8), 0.25)
    terms = system.step(x, Noise(0, "cpu").at(0), kimg=0.0, **system.players())
    assert terms["rec"] == 0 and terms["kl"] == 0
    torch.testing.assert_close(terms["loss_enc"], torch.tensor(loss))


def test_the_decoder_descends_reconstruction_and_both_kls():
    """No term is lost on the way to the decoder: the traps of the published ports."""
    torch.manual_seed(0)
    system = introvae.build(config(w_rec=0.0), (1, 8, 8))
    dec = system.players()["dec"]
    noise = Noise(0, "cpu").at(0)
    x_p = system.dec(system.prior(4, noise))
    system.kl(x_p).backward(inputs=dec.params)
    assert all(p.grad is not None and p.grad.any() for p in dec.params if p.ndim == 4)


def test_training_keeps_a_digit_sized_network_finite_and_learning():
    torch.manual_seed(0)
    system = introvae.build(introvae.PRESETS["digits"].config, (1, 16, 16))
    players, noise = system.players(), Noise(0, "cpu")
    x = torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0)).round()
    terms = [system.step(x, noise.at(k), kimg=0.0, **players) for k in range(20)]
    assert all(torch.isfinite(t) for step in terms for t in step.values())
    assert terms[-1]["rec"] < 0.7 * terms[0]["rec"]


def test_codes_are_the_posterior_means_and_images_go_both_ways():
    system = introvae.build(config(), SHAPE)
    x = torch.rand(3, *SHAPE)
    with system.inference():
        z = system.encode(x)
        torch.testing.assert_close(z, system.enc(x)[0], rtol=0, atol=0)
        torch.testing.assert_close(system.reconstruct(x), system.decode(z), rtol=0, atol=0)
        assert system.sample(5, Noise(0, "cpu").at(3)).shape == (5, *SHAPE)
    assert system.training and system.data_range == (0.0, 1.0) and system.z_dim == 3


def test_running_statistics_are_of_one_kind_of_input_each():
    """Images, their codes and the prior's: inference then sees each as training did."""
    system, alone = start(introvae.build, config()), start(introvae.build, config())
    x = torch.rand(4, *SHAPE, dtype=torch.double)
    system.step(x, Noise(0, "cpu").at(0), kimg=1, **system.players())
    noise = Noise(0, "cpu").at(0)
    alone.sample(4, noise)
    alone.dec(alone.posterior(x, noise)[0])
    torch.testing.assert_close(dict(system.named_buffers()), dict(alone.named_buffers()), rtol=0, atol=0)


def test_presets_are_the_published_settings():
    def row(p):
        c = p.config
        return c.m, c.w_rec, c.w_kl, c.w_neg, c.warmup_kimg, p.batch, c.lr, c.z_dim, p.kimg

    rows = {name: row(p) for name, p in introvae.PRESETS.items()}
    assert rows["256"] == (120, 0.05, 1, 0.5, 0, 16, 2e-4, 512, 14500)
    assert rows["256-second"] == (1000, 1.0, 1, 0.5, 10 * 29, 16, 2e-4, 512, 14500)
    assert rows["1024"] == (500, 0.01, 1, 1.0, 4 * 29, 12, 2e-4, 512, 14500)
    # the paper's alpha 0.25 and beta 0.5, which is on the halved error
    assert rows["128"][:8] == (110, 0.25, 1, 0.5, 0, 8, 2e-4, 256)
    assert introvae.PRESETS["128"].config.variant == "paper"
    assert introvae.PRESETS["cifar10"].config.channels == (64, 128, 256)
    assert rows["cifar10"][7] == 128
    assert introvae.Config() == introvae.PRESETS["256"].config


@pytest.mark.parametrize(
    "changes, shape, message",
    [
        ({}, (3, 28, 28), r"1 channels \(2,\) take .* side 4 \* 2\^1 = 8, got 28 x 28. Resize them to 8\."),
        ({}, (3, 32, 32), r"got 32 x 32. Resize them to 8, or give 3 widths"),
        ({}, (3, 8, 16), r"got 8 x 16"),
        ({}, (0, 8, 8), r"one channel or more, got \(0, 8, 8\)"),
        ({"channels": ()}, (3, 4, 4), r"one or more widths, got \(\)"),
        ({"channels": (8, 0)}, (3, 8, 8), r"one or more widths, got \(8, 0\)"),
        ({"z_dim": 0}, (3, 8, 8), "z_dim must be positive, got 0"),
        ({"m": -1.0}, (3, 8, 8), "must not be negative, got -1.0"),
        ({"w_neg": -0.5}, (3, 8, 8), "w_neg must not be negative, got -0.5"),
        ({"m": float("nan")}, (3, 8, 8), "m, .* got nan"),
        ({"lr": float("nan")}, (3, 8, 8), "lr must not be negative, got nan"),
        ({"variant": "oficial"}, (3, 8, 8), "variant must be 'official' or 'paper', got 'oficial'"),
        ({"hinge": "mean"}, (3, 8, 8), "hinge must be 'batch' or 'sample', got 'mean'"),
    ],
)
def test_what_it_cannot_take_is_refused_before_training(changes, shape, message):
    with pytest.raises(ValueError, match=message):
        introvae.build(config(**changes), shape)


def test_config_fields_are_documented_and_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        introvae.Config().m = 1.0
    assert issubclass(introvae.build, introvae.System) and Player.optimizer is torch.optim.Adam
