"""BiGAN's step against its pseudocode, its settings, and what it refuses."""

import pytest
import torch
from step_comparison import compare, descend, descend_plainly, sp
from step_mutants import each, mutants, survivors

from bigan.systems import bigan

CASES = {
    "perceptrons": dict(channels=(), prior="uniform", decay=0.1),
    "convolutions": dict(prior="normal"),
}


def config(**changes):
    return bigan.Config(
        **{
            **dict(
                channels=(2,), hidden=(3,), dec_hidden=(2,), critic_hidden=(4,), z_dim=3, decay=0.0, lr=0.05
            ),
            **changes,
        }
    )


def pseudocode(nets, x, draw, c):
    """Donahue et al., section 3.4."""
    E, G, D = nets["enc"], nets["dec"], nets["critic"]
    z = draw(3) if c.prior == "normal" else torch.erf(draw(3) / 2**0.5)
    real, fake = D(x, E(x)), D(G(z), z)
    loss_d = sp(-real).mean() + sp(fake).mean()
    loss_eg = sp(real).mean() + sp(-fake).mean()
    descend(loss_d, D, decay=c.decay)
    descend(loss_eg, E, G, decay=c.decay)
    right = {"right_x": (real > 0).double().mean(), "right_z": (fake < 0).double().mean()}
    return {"loss_d": loss_d, "loss_eg": loss_eg, **right}


def run(case, steps=1):
    compare(bigan, pseudocode, config(**CASES[case]), steps=steps)


@pytest.mark.parametrize("case", CASES)
def test_step_is_the_pseudocode(case, monkeypatch):
    descend_plainly(monkeypatch)
    run(case, steps=2)


def test_every_token_of_the_step_matters(monkeypatch):
    descend_plainly(monkeypatch)
    found = mutants(
        bigan, ("step", "prior", "players"),
        exchanged={
            "loss_d": ["loss_eg"], "loss_eg": ["loss_d"], "enc": ["dec"], "dec": ["enc"], "gen": ["critic"],
            "real": ["fake"], "fake": ["real"], '"swapped"': ['"non_saturating"', '"saturating"'],
            "uniform": ["normal"], "normal": ["uniform"], "z": ["x"], "x": ["z"],
        },
        graphs={"real", "fake", "loss_d", "loss_eg"},
    )  # fmt: skip
    found = [m for m in found if "betas" not in m.name]  # Adam's: gradient descent has none
    assert len(found) > 20
    assert survivors(found, each(run, CASES)) == []


def test_step_size_falls_to_a_hundredth():
    system = bigan.build(config(constant_kimg=10.0, fall_kimg=4.0), (1, 4, 4))
    scales = [system.lr_scale(kimg) for kimg in (0.0, 10.0, 12.0, 14.0, 20.0)]
    assert scales == pytest.approx([1, 1, 0.1, 0.01, 0.01])
    assert bigan.build(config(fall_kimg=0.0), (1, 4, 4)).lr_scale(1e9) == 1


def test_settings_are_the_published_ones():
    p = bigan.PRESETS["mnist"]
    c = p.config
    assert c.hidden == c.dec_hidden == c.critic_hidden == (1024, 1024)
    assert (c.channels, c.z_dim, c.prior) == ((), 50, "uniform")
    assert (c.lr, c.beta1, c.decay, p.batch, p.size) == (2e-4, 0.5, 2.5e-5, 128, 28)
    assert (c.constant_kimg, c.fall_kimg) == (200 * 60, 200 * 60)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(channels=(4, 4, 4)), "bigan: 3 channels .* halve the side 3 times"),
        (dict(decay=-1.0), "bigan: decay must not be negative, got -1.0"),
        (dict(prior="cube"), "bigan: prior must be 'uniform' or 'normal', got 'cube'"),
        (dict(hidden=(0,)), "bigan: hidden must be positive widths"),
    ],
)
def test_what_it_cannot_take_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        bigan.build(config(**changes), (1, 8, 8))
