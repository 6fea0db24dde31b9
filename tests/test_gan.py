"""GAN's step against its pseudocode, its settings, and what it refuses."""

import pytest
import torch
from step_comparison import compare, descend, descend_plainly, sp
from step_mutants import each, mutants, survivors

from bigan.systems import gan

CASES = {
    "alternating": dict(),
    "simultaneous": dict(updates="simultaneous", prior="normal"),
    "saturating": dict(generator="saturating"),
    "hinge": dict(form="hinge", updates="simultaneous"),
}


def config(**changes):
    return gan.Config(**{**dict(channels=(2,), z_dim=3, kernel=4, lr=0.05), **changes})


def pseudocode(nets, x, draw, c):
    """Goodfellow et al., Algorithm 1, k = 1."""
    G, D = nets["dec"], nets["critic"]

    def z():
        return draw(3) if c.prior == "normal" else torch.erf(draw(3) / 2**0.5)

    def critic(real, fake):
        if c.form == "hinge":
            return (1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean()
        return sp(-real).mean() + sp(fake).mean()

    def generator(fake):
        if c.form == "hinge":
            return -fake.mean()
        return -sp(fake).mean() if c.generator == "saturating" else sp(-fake).mean()

    x_p = G(z())
    real, fake = D(x), D(x_p)
    loss_d = critic(real, fake)
    if c.updates == "simultaneous":
        loss_g = generator(fake)
        descend(loss_g, G)
        descend(loss_d, D)
    else:
        descend(loss_d, D)
        loss_g = generator(D(G(z())))
        descend(loss_g, G)
    right = {"right_real": (real > 0).double().mean(), "right_fake": (fake < 0).double().mean()}
    return {"loss_d": loss_d, "loss_g": loss_g, **right}


def run(case, steps=1):
    compare(gan, pseudocode, config(**CASES[case]), steps=steps)


@pytest.mark.parametrize("case", CASES)
def test_step_is_the_pseudocode(case, monkeypatch):
    descend_plainly(monkeypatch)
    run(case, steps=2)


def test_every_token_of_the_step_matters(monkeypatch):
    descend_plainly(monkeypatch)
    found = mutants(
        gan, ("step", "losses", "prior"),
        exchanged={
            "loss_d": ["loss_g"], "loss_g": ["loss_d"], "dec": ["critic"], "critic": ["dec"],
            "uniform": ["normal"], "normal": ["uniform"], "simultaneous": ["alternating"],
            "form": ["generator"], "generator": ["form"], "real": ["fake"], "fake": ["real"],
        },
        graphs={"loss_d", "loss_g", "fake"},
    )  # fmt: skip
    assert len(found) > 20
    assert survivors(found, each(run, CASES)) == []


def test_settings_are_the_published_ones():
    p = gan.PRESETS["dcgan"]
    c = p.config
    assert (c.channels, c.z_dim, c.prior, c.kernel) == ((128, 256, 512, 1024), 100, "uniform", 5)
    assert (c.lr, c.beta1, p.batch, p.size) == (2e-4, 0.5, 128, 64)


@pytest.mark.parametrize(
    "changes, shape, message",
    [
        (
            dict(channels=(4, 4, 4)),
            (3, 28, 28),
            r"gan: 3 channels \(4, 4, 4\) halve the side 3 times.*side 28",
        ),
        (dict(z_dim=0), (3, 8, 8), "gan: z_dim must be positive, got 0"),
        (dict(lr=float("nan")), (3, 8, 8), "gan: lr must not be negative, got nan"),
        (dict(form="log"), (3, 8, 8), "gan: form must be 'logistic' or .*, got 'log'"),
        (dict(channels=(4, 0)), (3, 8, 8), "gan: channels must be positive widths"),
        ({}, (3, 8, 16), "gan: images must be squares"),
    ],
)
def test_what_it_cannot_take_is_refused(changes, shape, message):
    with pytest.raises(ValueError, match=message):
        gan.build(config(**changes), shape)
