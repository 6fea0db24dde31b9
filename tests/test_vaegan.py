"""VAE/GAN's step against its pseudocode, its networks and settings, and what it refuses."""

import pytest
import torch
from step_comparison import compare, descend, descend_plainly, kl, sp, sse
from step_mutants import each, mutants, survivors
from torch.nn.functional import batch_norm, conv2d, linear

from bigan.systems import vaegan

CASES = {
    "official": dict(),
    "paper": dict(variant="paper"),
    "non-saturating": dict(generator="non_saturating"),
}


def config(**changes):
    base = dict(
        channels=(2,), hidden=(3,), dec_channels=(2,), stem=2, critic_hidden=(3,), z_dim=3, w=0.3, lr=0.05
    )
    return vaegan.Config(**{**base, **changes})


def critic(D, x):
    """Layer f and the logit: stem, strided convolution, batch normalisation, two fully connected layers."""
    p = iter(D.params.values())
    h = conv2d(x, next(p), next(p), padding=2).relu()
    f = conv2d(h, next(p), stride=2, padding=2)
    h = batch_norm(f, None, None, next(p), next(p), training=True).relu().flatten(1)
    h = batch_norm(linear(h, next(p)), None, None, next(p), next(p), training=True).relu()
    return f, linear(h, next(p), next(p))


def pseudocode(nets, x, draw, c):
    """Larsen et al., Algorithm 1."""
    E, G, D = nets["enc"], nets["dec"], nets["critic"]
    x_p = G(draw(3), kind="prior")
    mu, logvar = E(x).split(3, dim=1)
    x_r = G(mu + (logvar / 2).exp() * draw(3))
    (f, real), (f_r, fake_r), (_, fake) = critic(D, x), critic(D, x_r), critic(D, x_p)
    k, rec = kl(mu, logvar).mean(), sse(f, f_r).mean() / 2
    if c.variant == "paper":
        fake = torch.cat([fake, fake_r])
    loss_d = sp(-real).mean() + sp(fake).mean()
    gan = -sp(fake).mean() if c.generator == "saturating" else sp(-fake).mean()
    loss_enc, loss_dec = k + rec, c.w * rec + (1 - c.w) * gan
    for net, loss in ((E, loss_enc), (G, loss_dec), (D, loss_d)):
        descend(loss, net)
    right = {"right_real": (real > 0).double().mean(), "right_fake": (fake < 0).double().mean()}
    return {"loss_enc": loss_enc, "loss_dec": loss_dec, "loss_d": loss_d, "kl": k, "rec": rec, **right}


def run(case, steps=1):
    compare(vaegan, pseudocode, config(**CASES[case]), steps=steps)


@pytest.mark.parametrize("case", CASES)
def test_step_is_the_pseudocode(case, monkeypatch):
    descend_plainly(monkeypatch)
    run(case, steps=2)


def test_every_token_of_the_step_matters(monkeypatch):
    descend_plainly(monkeypatch)
    found = mutants(
        vaegan, ("step", "judge", "posterior"),
        exchanged={
            "loss_enc": ["loss_dec"], "loss_dec": ["loss_enc"], "loss_d": ["loss_dec"], "enc": ["dec"],
            "dec": ["enc"], "critic": ["dec"], "f_r": ["f_p"], "f_p": ["f_r"], "f": ["f_r"],
            "kl": ["rec"], "rec": ["kl"], "fool": ["loss_d"], "real": ["fake"], "fake": ["real"],
            '"paper"': ['"official"'], '"sum"': ['"mean"'], '"mean"': ['"sum"'],
        },
        graphs={"z", "kl", "rec", "f_r", "f_p", "real", "fake", "fool", "loss_enc", "loss_dec", "loss_d"},
    )  # fmt: skip
    assert len(found) > 50
    assert survivors(found, each(run, CASES)) == []


def test_networks_have_the_published_sizes():
    with torch.device("meta"):
        system = vaegan.build(vaegan.Config(), (3, 64, 64))
        x = torch.empty(2, 3, 64, 64)
    assert system.critic[: system.f](x).shape == (2, 256, 8, 8)
    assert system.dec[0].out_features == 16384 and system.enc(x).shape == (2, 256)
    with torch.device("meta"):
        system = vaegan.build(vaegan.PRESETS["cifar10"].config, (3, 32, 32))
    assert system.dec[0].out_features == 256 * 4 * 4


def test_settings_are_the_published_ones():
    c, p = vaegan.Config(), vaegan.PRESETS["celeba"]
    assert (c.w, c.z_dim, c.generator, c.variant, p.batch, p.size) == (
        1e-6,
        128,
        "saturating",
        "official",
        64,
        64,
    )
    assert (vaegan.PRESETS["cifar10"].config.w, vaegan.PRESETS["cifar10"].config.z_dim) == (1e-5, 256)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(w=1.5), "vaegan: w, a share .*, must be at most 1, got 1.5"),
        (dict(dec_channels=()), r"vaegan: dec_channels must be one or more widths, got \(\)"),
        (dict(dec_channels=(4, 4, 4)), "vaegan: 3 channels .* halve the side 3 times"),
    ],
)
def test_what_it_cannot_take_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        vaegan.build(config(**changes), (1, 8, 8))
