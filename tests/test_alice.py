"""ALICE's step against its pseudocode, its settings, and what it refuses."""

import pytest
import torch
from step_comparison import compare, descend, descend_plainly, sp
from step_mutants import each, mutants, survivors

from bigan.systems import alice

CASES = {
    "explicit": dict(),
    "implicit": dict(cycle="implicit"),
    "official": dict(variant="official"),
}


def config(**changes):
    base = dict(channels=(2,), hidden=(3,), z_dim=3, w_x=0.7, w_z=1.9, lr=0.05)
    return alice.Config(**{**base, **changes})


def pseudocode(nets, x, draw, c):
    """Li et al.: ALI's losses and two cycles."""
    E, G, D = nets["enc"], nets["dec"], nets["critic"]

    def code(x):
        mu, logvar = E(x).split(3, dim=1)
        return mu + (logvar / 2).exp() * draw(3)

    z = draw(3)
    e = code(x)
    x_p = G(z)
    x_r, z_r = G(e), code(x_p)
    real, fake = D(x, e), D(x_p, z)
    loss_d = sp(-real).mean() + sp(fake).mean()
    loss_eg = sp(real).mean() + sp(-fake).mean()
    if c.variant == "official":  # D's probability that a pair is the decoder's, label 1 there
        p = [1 - torch.sigmoid(a) for a in (real, fake)]
        loss_eg = -p[0].mean() + p[1].mean()
    critics = [D]
    if c.cycle == "explicit":
        cycle_x, cycle_z = (x - x_r).abs().mean(), (z - z_r).abs().mean()
    else:
        X, Z = nets["critic_x"], nets["critic_z"]
        critics += [X, Z]
        xx, xr = X(torch.cat([x, x], 1)), X(torch.cat([x, x_r], 1))
        zz, zr = Z(torch.cat([z, z], 1)), Z(torch.cat([z, z_r], 1))
        loss_d = loss_d + sum(sp(-same).mean() + sp(other).mean() for same, other in ((xx, xr), (zz, zr)))
        cycle_x, cycle_z = sp(-xr).mean(), sp(-zr).mean()
    loss_eg = loss_eg + c.w_x * cycle_x + c.w_z * cycle_z
    descend(loss_d, *critics)
    descend(loss_eg, E, G)
    right = {"right_x": (real > 0).double().mean(), "right_z": (fake < 0).double().mean()}
    return {"loss_d": loss_d, "loss_eg": loss_eg, "cycle_x": cycle_x, "cycle_z": cycle_z, **right}


def run(case, steps=1):
    compare(alice, pseudocode, config(**CASES[case]), steps=steps)


@pytest.mark.parametrize("case", CASES)
def test_step_is_the_pseudocode(case, monkeypatch):
    descend_plainly(monkeypatch)
    run(case, steps=2)


def test_every_token_of_the_step_matters(monkeypatch):
    descend_plainly(monkeypatch)
    found = mutants(
        alice, ("step", "posterior", "pairs"),
        exchanged={
            "loss_d": ["loss_eg"], "loss_eg": ["loss_d"], "dec": ["enc"], "gen": ["critic"],
            "real": ["fake"], "fake": ["real"], "w_x": ["w_z"], "w_z": ["w_x"], "z": ["e"], "e": ["z"],
            "x_p": ["x_r"], "x_r": ["x_p"], "cycle_x": ["cycle_z"], "cycle_z": ["cycle_x"], "a": ["b"],
            "b": ["a"], "loss_dx": ["loss_dz"], "critic_x": ["critic_z"], "fool": ["loss_d"],
            '"swapped"': ['"non_saturating"'], '"official"': ['"paper"'], '"explicit"': ['"implicit"'],
            '"l1"': ['"l2"'],
        },
        graphs={
            "real", "fake", "fool", "cycle_x", "cycle_z", "x_p", "x_r", "z_r", "e",
            "loss_dx", "loss_dz", "b",
        },
    )  # fmt: skip
    assert len(found) > 60
    assert survivors(found, each(run, CASES)) == []


def test_settings_are_the_published_ones():
    for name, weight, size in (("mnist", 1.0, 28), ("cifar10", 1e-6, 32)):
        p = alice.PRESETS[name]
        assert (p.config.w_x, p.config.w_z, p.batch, p.size) == (weight, weight, 64, size)
        assert (p.config.lr, p.config.beta1, p.config.z_dim) == (1e-4, 0.5, 256)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(w_x=-1.0), "alice: w_x must not be negative, got -1.0"),
        (dict(cycle="both"), "alice: cycle must be 'explicit' or 'implicit', got 'both'"),
        (dict(channels=(4, 4, 4)), "alice: 3 channels .* halve the side 3 times"),
    ],
)
def test_what_it_cannot_take_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        alice.build(config(**changes), (1, 8, 8))
