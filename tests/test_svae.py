"""S-VAE's step against its pseudocode, its settings, and what it refuses."""

import math

import pytest
import torch
from step_comparison import compare, descend, descend_plainly, kl, sse
from step_mutants import each, mutants, survivors
from torch.distributions import Normal

from bigan.systems import svae
from bigan.systems.base import gaussian_nll

CASES = {"s-vae": dict(), "s-vae-r": dict(w_rec=0.7), "without batch norm": dict(w_rec=0.2, norm="none")}


def config(**changes):
    return svae.Config(**{**dict(channels=(2, 2), hidden=(3,), z_dim=3, lr=0.05), **changes})


def pseudocode(nets, x, draw, c):
    """Chen et al.: symmetric KL by a critic of pairs, and two likelihoods."""
    E, G, F = nets["enc"], nets["dec"], nets["critic"]
    z = draw(3)
    mu, logvar = E(x).split(3, dim=1)
    e = mu + (logvar / 2).exp() * draw(3)
    x_p = G(z)
    p, q = F(x_p, z), F(x, e)
    loss_f = -torch.sigmoid(p).log().mean() - (1 - torch.sigmoid(q)).log().mean()
    loss_eg = -(q.mean() - p.mean())
    if c.w_rec:
        mu_p, logvar_p = E(x_p, kind="none").split(3, dim=1)
        log_q = Normal(mu_p, (logvar_p / 2).exp()).log_prob(z).sum(1).mean() + 1.5 * math.log(2 * math.pi)
        loss_eg = loss_eg + c.w_rec * (sse(G(e), x).mean() / 2 - log_q)
    descend(loss_f, F)
    descend(loss_eg, E, G)
    right = {"right_p": (p > 0).double().mean(), "right_q": (q < 0).double().mean()}
    return {"loss_f": loss_f, "loss_eg": loss_eg, "kl": kl(mu, logvar).mean(), **right}


def run(case, steps=1):
    compare(svae, pseudocode, config(**CASES[case]), steps=steps, shape=(1, 8, 8))


@pytest.mark.parametrize("case", CASES)
def test_step_is_the_pseudocode(case, monkeypatch):
    descend_plainly(monkeypatch)
    run(case, steps=2)


def test_every_token_of_the_step_matters(monkeypatch):
    descend_plainly(monkeypatch)
    found = mutants(
        svae, ("step", "posterior", "gaussian_nll"),
        exchanged={
            "p": ["q"], "q": ["p"], "z": ["e"], "e": ["z"], "x": ["x_p"], "x_p": ["x"], "dec": ["enc"], "enc": ["dec"],
            "loss_f": ["loss_eg"], "loss_eg": ["loss_f"], "gen": ["critic"], "nll_x": ["nll_z"],
            "nll_z": ["nll_x"], "mu": ["logvar"], "logvar": ["mu"], '"batchmean"': ['"sum"'],
            '"mean"': ['"sum"'],
        },
        graphs={"p", "q", "e", "x_p", "nll_x", "nll_z", "loss_eg", "mu", "logvar"},
    )  # fmt: skip
    assert len(found) > 50
    assert survivors(found, each(run, CASES)) == []


def test_the_optimum_is_the_symmetric_divergence():
    """With f = log p - log q the generators' loss is KL(q || p) + KL(p || q): of N(a, 1) and N(b, 1), (a - b)^2."""
    x = torch.linspace(-12, 12, 4001, dtype=torch.double)
    p, q = Normal(0.3, 1.0), Normal(-0.9, 1.0)
    f = p.log_prob(x) - q.log_prob(x)
    gap = (p.log_prob(x).exp() * f).sum() - (q.log_prob(x).exp() * f).sum()  # f(p) - f(q), as the step has it
    assert (gap * (x[1] - x[0])).item() == pytest.approx(1.2**2, rel=1e-6)


def test_likelihood_of_codes():
    z = torch.tensor([[1.0, -2.0]])
    assert gaussian_nll(z, torch.zeros(1, 2), torch.zeros(1, 2)).item() == 2.5
    assert gaussian_nll(z, z, torch.full((1, 2), 0.7)).item() == pytest.approx(0.7)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(w_rec=-1.0), "svae: w_rec must not be negative, got -1.0"),
        (dict(norm="spectral"), "svae: norm must be 'batch' or 'none', got 'spectral'"),
        (dict(channels=(4, 4, 4)), "svae: 3 channels .* halve the side 3 times"),
    ],
)
def test_what_it_cannot_take_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        svae.build(config(**changes), (1, 8, 8))
