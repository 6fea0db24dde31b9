"""VAE's step against its pseudocode, its settings, and what it refuses."""

import math

import pytest
import torch
from step_comparison import compare, descend, descend_plainly, kl, sse
from step_mutants import each, mutants, survivors

from bigan.engine.noise import Noise
from bigan.systems import vae

CASES = {
    "gaussian": dict(likelihood="gaussian", channels=(2,), hidden=(), norm="batch", act="relu"),
    "bernoulli": dict(likelihood="bernoulli", beta=0.3),
}


def config(**changes):
    return vae.Config(**{**dict(hidden=(4,), z_dim=3, beta=1.7, lr=0.002), **changes})


def pseudocode(nets, x, draw, c):
    """Kingma & Welling, Algorithm 1, with one sample."""
    E, G = nets["enc"], nets["dec"]
    mu, logvar = E(x)[:, :3], E(x, kind="none")[:, 3:]
    p = 1 / (1 + torch.exp(-G(mu + (logvar / 2).exp() * draw(3))))
    log_p = (x * p.log() + (1 - x) * (1 - p).log()).sum((1, 2, 3))
    nll = -log_p.mean() if c.likelihood == "bernoulli" else sse(p, x).mean() / 2
    k = kl(mu, logvar).mean()
    loss = nll + c.beta * k
    descend(loss, E, G, lr=c.lr)
    return {"loss": loss, "nll": nll, "kl": k}


def run(case, steps=1):
    compare(vae, pseudocode, config(**CASES[case]), steps=steps)


@pytest.mark.parametrize("case", CASES)
def test_step_is_the_pseudocode(case, monkeypatch):
    descend_plainly(monkeypatch)
    run(case, steps=2)


def test_every_token_of_the_step_matters(monkeypatch):
    descend_plainly(monkeypatch)
    found = mutants(
        vae, ("step", "posterior", "nll"),
        exchanged={"nll": ["kl"], "kl": ["nll"], "x": ["z"], '"sum"': ['"mean"'], '"mean"': ['"sum"']},
        graphs={"nll", "kl", "z", "loss", "logits"},
    )  # fmt: skip
    assert len(found) > 15
    assert survivors(found, each(run, CASES)) == []


def test_the_bound_of_a_code_that_says_nothing():
    """q = p and a flat decoder of 1/2: log 2 nats a pixel, and no KL."""
    system = vae.build(config(), (1, 4, 4))
    for p in system.parameters():
        torch.nn.init.zeros_(p)
    terms = system.step(torch.rand(5, 1, 4, 4), Noise(0, "cpu").at(0), kimg=0.0, **system.players())
    assert terms["kl"] == 0 and terms["loss"].item() == pytest.approx(16 * math.log(2), rel=1e-6)


def test_settings_are_the_published_ones():
    p = vae.PRESETS["mnist"]
    assert (p.config.hidden, p.config.act, p.config.beta, p.batch, p.size) == ((500,), "tanh", 1.0, 100, 28)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(beta=-1.0), "vae: beta must not be negative, got -1.0"),
        (dict(likelihood="normal"), "vae: likelihood must be 'gaussian' or 'bernoulli', got 'normal'"),
        (dict(channels=(4, 4, 4)), "halve the side 3 times, to 2 or more"),
    ],
)
def test_what_it_cannot_take_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        vae.build(config(**changes), (1, 8, 8))
