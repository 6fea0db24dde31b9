"""AS-VAE's step against its pseudocode, its settings, and what it refuses."""

import math

import pytest
import torch
from step_comparison import compare, descend, descend_plainly, kl, sse
from step_mutants import each, mutants, survivors
from torch.distributions import Normal

from bigan.systems import asvae

CASES = {"batch norm": dict(), "without": dict(norm="none", w_x=0.2)}


def config(**changes):
    base = dict(channels=(2, 2), hidden=(3,), z_dim=3, w_x=0.7, w_z=1.9, lr=0.05)
    return asvae.Config(**{**base, **changes})


def pseudocode(nets, x, draw, c):
    """Pu et al.: two bounds, their divergences by critics against the product of the marginals."""
    E, G, F1, F2 = (nets[name] for name in ("enc", "dec", "critic_q", "critic_p"))
    z = draw(3)
    mu, logvar = E(x).split(3, dim=1)
    e = mu + (logvar / 2).exp() * draw(3)
    x_p, x_r = G(z, kind="prior"), G(e)
    mu_p, logvar_p = E(x_p, kind="none").split(3, dim=1)

    of_q, of_p, product = F1(x, e), F2(x_p, z), (F1(x, z), F2(x, z))
    loss_q, loss_p = (
        -torch.sigmoid(pairs).log().mean() - torch.sigmoid(-others).log().mean()
        for pairs, others in zip((of_q, of_p), product, strict=True)
    )
    nll_x = sse(x, x_r).mean() / 2
    nll_z = -Normal(mu_p, (logvar_p / 2).exp()).log_prob(z).sum(1).mean() - 1.5 * math.log(2 * math.pi)
    bounds = -c.w_x * nll_x - of_q.mean() - c.w_z * nll_z - of_p.mean()
    descend(loss_q, F1)
    descend(loss_p, F2)
    descend(-bounds, E, G)
    right = [
        ((pairs > 0).double().mean() + (others < 0).double().mean()) / 2
        for pairs, others in zip((of_q, of_p), product, strict=True)
    ]
    return {
        "loss_q": loss_q, "loss_p": loss_p, "loss_eg": -bounds, "nll_x": nll_x, "nll_z": nll_z,
        "kl": kl(mu, logvar).mean(), "right_q": right[0], "right_p": right[1],
    }  # fmt: skip


def run(case, steps=1):
    compare(asvae, pseudocode, config(**CASES[case]), steps=steps, shape=(1, 8, 8))


@pytest.mark.parametrize("case", CASES)
def test_step_is_the_pseudocode(case, monkeypatch):
    descend_plainly(monkeypatch)
    run(case, steps=2)


def test_every_token_of_the_step_matters(monkeypatch):
    descend_plainly(monkeypatch)
    found = mutants(
        asvae, ("step", "posterior"),
        exchanged={
            "p": ["q"], "q": ["p"], "z": ["e"], "e": ["z"], "x": ["x_p"], "x_p": ["x", "x_r"],
            "x_r": ["x_p"], "dec": ["enc"], "enc": ["dec"], "generate": ["dec"], "critic_p": ["critic_q"],
            "critic_q": ["critic_p"], "loss_q": ["loss_p"], "loss_p": ["loss_q"], "loss_eg": ["loss_p"],
            "gen": ["critic"], "nll_x": ["nll_z"], "nll_z": ["nll_x"], "w_x": ["w_z"], "w_z": ["w_x"],
            "right_p": ["right_q"], '"batchmean"': ['"sum"'], '"mean"': ['"sum"'],
        },
        graphs={"p", "q", "e", "x_p", "x_r", "nll_x", "nll_z", "loss_p", "loss_q"},
    )  # fmt: skip
    assert len(found) > 50
    assert survivors(found, each(run, CASES)) == []


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(w_x=-1.0), "asvae: w_x must not be negative, got -1.0"),
        (dict(hidden=(0,)), "asvae: hidden must be positive widths"),
        (dict(channels=(4, 4, 4)), "asvae: 3 channels .* halve the side 3 times"),
    ],
)
def test_what_it_cannot_take_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        asvae.build(config(**changes), (1, 8, 8))
