"""alpha-GAN's step against its pseudocode, its settings, and what it refuses."""

import pytest
import torch
from step_comparison import compare, descend, descend_plainly, sp
from step_mutants import each, mutants, survivors

from bigan.systems import alpha_gan

CASES = {"non_saturating": dict(), "ratio": dict(adversary="ratio")}


def config(**changes):
    return alpha_gan.Config(
        **{**dict(channels=(2,), code_critic=(4,), z_dim=3, w_rec=1.7, lr=0.05), **changes}
    )


def pseudocode(nets, x, draw, c):
    """Rosca et al., Algorithm 1, with version 1's misprint mended."""
    E, G, D, C = nets["enc"], nets["dec"], nets["critic"], nets["code_critic"]

    def f(a):
        p = 1 / (1 + torch.exp(-a))
        return (-p.log() + ((1 - p).log() if c.adversary == "ratio" else 0)).mean()

    z, e = draw(3), E(x)
    x_r, x_p = G(e), G(z, kind="prior")
    rec = c.w_rec * (x - x_r).abs().mean()
    loss_e = rec + f(C(e))
    loss_g = rec + f(D(x_r)) + f(D(x_p))
    loss_d = sp(-D(x)).mean() + (sp(D(x_r)).mean() + sp(D(x_p)).mean()) / 2
    loss_c = sp(-C(z)).mean() + sp(C(e)).mean()
    for net, loss in ((E, loss_e), (G, loss_g), (D, loss_d), (C, loss_c)):
        descend(loss, net)
    return {"loss_e": loss_e, "loss_g": loss_g, "loss_d": loss_d, "loss_c": loss_c, "rec": rec}


def run(case, steps=1):
    compare(alpha_gan, pseudocode, config(**CASES[case]), steps=steps)


@pytest.mark.parametrize("case", CASES)
def test_step_is_the_pseudocode(case, monkeypatch):
    descend_plainly(monkeypatch)
    run(case, steps=2)


def test_every_token_of_the_step_matters(monkeypatch):
    descend_plainly(monkeypatch)
    found = mutants(
        alpha_gan, ("step", "adversarial"),
        exchanged={
            "loss_d": ["loss_c", "loss_g"], "loss_e": ["loss_g"], "loss_g": ["loss_e"], "loss_c": ["loss_d"],
            "enc": ["dec"], "dec": ["enc"], "critic": ["code_critic"], "code_critic": ["critic"],
            "x_r": ["x_p"], "x_p": ["x_r"], "z": ["e"], "e": ["z"], "fool_c": ["fool_d"],
            "fool_d": ["fool_c"],
            '"ratio"': ['"non_saturating"'], '"l1"': ['"l2"'], "real": ["fake"], "fake": ["real"],
        },
        graphs={"e", "x_r", "x_p", "rec", "fool_c", "fool_d", "loss_e", "loss_g", "loss_d", "loss_c", "fake"},
    )  # fmt: skip
    assert len(found) > 50
    assert survivors(found, each(run, CASES)) == []


def test_step_size_and_decay_rates_are_the_published_ones():
    c = alpha_gan.PRESETS["cifar10"].config
    assert (c.lr, c.beta1, c.beta2) == (8e-4, 0.5, 0.9)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(w_rec=-1.0), "alpha_gan: w_rec must not be negative, got -1.0"),
        (dict(channels=(4, 4, 4)), "alpha_gan: 3 channels .* halve the side 3 times"),
        (dict(adversary="linear"), "alpha_gan: adversary must be 'non_saturating' or 'ratio', got 'linear'"),
    ],
)
def test_what_it_cannot_take_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        alpha_gan.build(config(**changes), (1, 8, 8))
