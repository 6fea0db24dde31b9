"""EBGAN's step against its pseudocode, its settings, and what it refuses."""

import pytest
import torch
from step_comparison import compare, descend, descend_plainly, sse
from step_mutants import each, mutants, survivors

from bigan.systems import ebgan

CASES = {  # a margin that some of the generated images are beyond, and some not
    "norm": dict(),
    "squared": dict(energy="squared", margin=24.0),
    "pulling away": dict(w_pt=2.3),
}


def config(**changes):
    base = dict(channels=(2,), critic=(2,), z_dim=3, margin=4.6, lr=0.05)
    return ebgan.Config(**{**base, **changes})


def pseudocode(nets, x, draw, c):
    """Zhao et al., eq. 1 and 2."""
    G, enc, dec = nets["dec"], nets["critic_enc"], nets["critic_dec"]

    def energy(x):
        u = sse(dec(enc(x, kind="none"), kind="none"), x)
        return u if c.energy == "squared" else u**0.5

    x_p = G(draw(3))
    real, fake = energy(x), energy(x_p)
    loss_d = real.mean() + (c.margin - fake).clamp(min=0).mean()
    code = enc(x_p, kind="none")
    pull = torch.zeros((), dtype=torch.double)
    if c.w_pt:
        pairs = [(i, j) for i in range(len(x)) for j in range(len(x)) if i != j]
        cosine = [code[i] @ code[j] / (code[i] @ code[i] * (code[j] @ code[j])) ** 0.5 for i, j in pairs]
        pull = sum(t**2 for t in cosine) / len(pairs)
    loss_g = fake.mean() + c.w_pt * pull
    descend(loss_d, enc, dec)
    descend(loss_g, G)
    return {"loss_d": loss_d, "loss_g": loss_g, "real": real.mean(), "fake": fake.mean(), "pull": pull}


def run(case, steps=1):
    compare(ebgan, pseudocode, config(**CASES[case]), steps=steps)


@pytest.mark.parametrize("case", CASES)
def test_step_is_the_pseudocode(case, monkeypatch):
    descend_plainly(monkeypatch)
    run(case, steps=2)


def test_every_token_of_the_step_matters(monkeypatch):
    descend_plainly(monkeypatch)
    found = mutants(
        ebgan, ("step", "energy", "pulling_away"),
        exchanged={
            "loss_d": ["loss_g"], "loss_g": ["loss_d"], "real": ["fake"], "fake": ["real"], "x_p": ["x"],
            "dec": ["critic"], "critic": ["dec"], "critic_dec": ["dec"], "margin": ["w_pt"],
            '"squared"': ['"norm"'], "code": ["real"],
        },
        graphs={"x_p", "real", "fake", "code", "pull", "loss_d", "loss_g", "error", "unit"},
    )  # fmt: skip
    assert len(found) > 40
    assert survivors(found, each(run, CASES)) == []


def test_pulling_away_of_equal_and_of_orthogonal_codes():
    assert ebgan.pulling_away(torch.ones(5, 3)).item() == pytest.approx(1.0)
    assert ebgan.pulling_away(torch.eye(4)).item() == pytest.approx(0.0, abs=1e-6)


def test_settings_are_the_published_ones():
    rows = {n: (p.config.margin, p.config.w_pt, p.config.critic) for n, p in ebgan.PRESETS.items()}
    assert rows["celeba"] == (20.0, 0.0, (64, 128, 256)) and rows["lsun"][0] == 80.0
    assert rows["celeba-pt"][1] == 0.1


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(margin=-1.0), "ebgan: margin must not be negative, got -1.0"),
        (dict(critic=()), r"ebgan: critic must be one or more widths, got \(\)"),
        (dict(critic=(4, 4, 4)), "ebgan: 3 channels .* halve the side 3 times"),
        (dict(energy="kl"), "ebgan: energy must be 'norm' or 'squared', got 'kl'"),
    ],
)
def test_what_it_cannot_take_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        ebgan.build(config(**changes), (1, 8, 8))
