"""AAE's step against its pseudocode, its settings, and what it refuses."""

import pytest
import torch
from step_comparison import compare, descend, descend_plainly, sp, sse
from step_mutants import each, mutants, survivors

from bigan.systems import aae

CASES = {
    "bernoulli": dict(),
    "gaussian": dict(likelihood="gaussian", channels=(2,), hidden=(), norm="batch"),
}


def config(**changes):
    return aae.Config(**{**dict(hidden=(4,), critic=(4,), z_dim=3, sigma=1.6, lr=0.01), **changes})


def pseudocode(nets, x, draw, c):
    """Makhzani et al., section 2: the two phases."""
    E, G, D = nets["enc"], nets["dec"], nets["critic"]
    p = torch.sigmoid(G(E(x)))
    log_p = (x * p.log() + (1 - x) * (1 - p).log()).sum((1, 2, 3))
    nll = -log_p.mean() if c.likelihood == "bernoulli" else sse(p, x).mean() / 2
    descend(nll, E, G, lr=c.lr)

    z, e = c.sigma * draw(3), E(x)
    real, fake = D(z), D(e)
    loss_d = sp(-real).mean() + sp(fake).mean()
    descend(loss_d, D, lr=c.lr)
    loss_e = sp(-D(e)).mean()
    descend(loss_e, E, lr=c.lr)
    right = {"right_z": (real > 0).double().mean(), "right_e": (fake < 0).double().mean()}
    return {"nll": nll, "loss_d": loss_d, "loss_e": loss_e, **right}


def run(case, steps=1):
    compare(aae, pseudocode, config(**CASES[case]), steps=steps)


@pytest.mark.parametrize("case", CASES)
def test_step_is_the_pseudocode(case, monkeypatch):
    descend_plainly(monkeypatch)
    run(case, steps=2)


def test_every_token_of_the_step_matters(monkeypatch):
    descend_plainly(monkeypatch)
    found = mutants(
        aae, ("step", "nll", "prior"),
        exchanged={
            "nll": ["loss_e"], "loss_d": ["loss_e"], "loss_e": ["loss_d"], "enc": ["dec", "critic"],
            "dec": ["enc"], "critic": ["enc"], "z": ["e"], "e": ["z"],
            '"bernoulli"': ['"gaussian"'], '"sum"': ['"mean"'],
        },
        graphs={"e", "nll", "loss_d", "loss_e", "logits"},
    )  # fmt: skip
    # The critic's loss moves it alone, the encoder's does not look at z.
    equal = {("step: loss_d", "e -> e.detach()"), ("step: _, loss_e", "z -> e")}
    found = [m for m in found if (m.name.split(", _")[0], m.kind) not in equal]
    assert len(found) > 25
    assert survivors(found, each(run, CASES)) == []


def test_settings_are_the_published_ones():
    p = aae.PRESETS["mnist"]
    c = p.config
    assert (c.hidden, c.critic, c.z_dim, c.sigma, p.batch, p.size) == (
        (1000,) * 2,
        (1000,) * 2,
        8,
        5.0,
        100,
        28,
    )


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(sigma=0.0), "aae: sigma must be positive, got 0.0"),
        (dict(channels=(4, 4, 4)), "aae: 3 channels .* halve the side 3 times"),
        (dict(likelihood="laplace"), "aae: likelihood must be 'bernoulli' or 'gaussian', got 'laplace'"),
    ],
)
def test_what_it_cannot_take_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        aae.build(config(**changes), (1, 8, 8))
