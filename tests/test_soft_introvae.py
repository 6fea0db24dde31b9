"""Soft-IntroVAE's step against its pseudocode, its numbers, its settings, and what it refuses."""

import pytest
import torch
from step_comparison import compare, descend, descend_plainly, kl, sse
from step_mutants import each, mutants, survivors

from bigan import nets
from bigan.engine.noise import Noise
from bigan.systems import soft_introvae

CASES = {  # weights apart from each other and from one, so that none can stand in for another
    "official": dict(),
    "paper": dict(variant="paper"),
    "warm-up": dict(warmup_kimg=2.0),
    "warm-up over": dict(warmup_kimg=1.0),
}


def config(**changes):
    base = dict(channels=(2,), z_dim=3, w_rec=1.3, w_kl=0.7, w_neg=2.5, gamma=0.6, lr=0.05)
    return soft_introvae.Config(**{**base, **changes})


def pseudocode(networks, x, draw, c):
    """The release's train_soft_intro_vae.py, in its order: everything once more for the decoder."""
    E, G = networks["enc"], networks["dec"]
    s = 1 / x[0].numel()

    def posterior(x, kind="none"):
        mu, logvar = E(x, kind=kind)
        return mu + (logvar / 2).exp() * draw(c.z_dim), kl(mu, logvar)

    if c.warmup_kimg > 1:
        z, kl_x = posterior(x, "data")
        rec, kl_x = sse(G(z), x).mean(), kl_x.mean()
        loss = c.w_rec * rec + c.w_kl * kl_x
        descend(loss, E, G, lr=c.lr)
        return dict(loss_enc=loss, loss_dec=loss, rec=rec, kl=kl_x)

    z_p = draw(c.z_dim)
    x_p = G(z_p, kind="prior")
    z, kl_x = posterior(x, "data")
    x_r = G(z)
    rec, kl_x = sse(x_r, x).mean(), kl_x.mean()

    def exp_elbo(fake, target):
        z, kl_f = posterior(fake.detach())
        return (-2 * s * (c.w_rec * sse(G(z, kind="none"), target) + c.w_neg * kl_f)).exp().mean()

    exp_r = exp_elbo(x_r, x_r if c.variant == "official" else x_r.detach())
    exp_p = exp_elbo(x_p, x_p)
    loss_e = s * (c.w_rec * rec + c.w_kl * kl_x) + 0.25 * (exp_r + exp_p)
    descend(loss_e, E)

    x_p, x_r = G(z_p, kind="none"), G(z.detach(), kind="none")
    z_r, kl_r = posterior(x_r)
    rec_r = sse(G(z_r.detach(), kind="none"), x_r.detach()).mean()
    z_f, kl_p = posterior(x_p)
    rec_p = sse(G(z_f.detach(), kind="none"), x_p.detach()).mean()
    kl_r, kl_p = kl_r.mean(), kl_p.mean()
    fool = 0.5 * c.w_kl * (kl_r + kl_p) + c.gamma * 0.5 * c.w_rec * (rec_r + rec_p)
    loss_d = s * (c.w_rec * sse(x_r, x).mean() + fool)
    descend(loss_d, G)
    return dict(
        loss_enc=loss_e, loss_dec=loss_d, rec=rec, kl=kl_x, kl_r=kl_r, kl_p=kl_p, exp_r=exp_r, exp_p=exp_p
    )


def run(case, steps=1):
    lr = dict(lr=1e-3) if case == "warm-up" else {}
    compare(soft_introvae, pseudocode, config(**CASES[case], **lr), steps=steps)


@pytest.mark.parametrize("case", CASES)
def test_step_is_the_pseudocode(case, monkeypatch):
    descend_plainly(monkeypatch)
    run(case, steps=2)


METHODS = ("step", "vae_step", "posterior", "exp_elbo", "rate", "sse")
MUTANTS = mutants(
    soft_introvae, METHODS,
    exchanged={
        "w_rec": ["w_kl", "w_neg"], "w_kl": ["w_rec", "w_neg"], "w_neg": ["w_kl"], "gamma": ["w_kl"],
        "x_r": ["x_p"], "x_p": ["x_r"], "kl_r": ["kl_p"], "kl_p": ["kl_r"], "exp_r": ["exp_p"],
        "exp_p": ["exp_r"], "again_r": ["again_p"], "again_p": ["again_r"], "rec": ["kl"], "kl": ["rec"],
        "loss_enc": ["loss_dec"], "loss_dec": ["loss_enc"], "enc": ["dec"], "dec": ["enc"],
        '"official"': ['"paper"'], '"mean"': ['"sum"'], '"none"': ['"mean"'],
    },
    graphs={
        "x_r", "z", "kl", "rec", "exp_r", "exp_p", "kl_r", "kl_p", "again_r", "again_p", "loss_enc",
        "loss_dec",
    },
)  # fmt: skip


@pytest.mark.parametrize("function", METHODS)
def test_every_token_of_the_step_matters(function, monkeypatch):
    descend_plainly(monkeypatch)
    found = [m for m in MUTANTS if m.function == function]
    assert survivors(found, each(run, CASES)) == []


def test_the_variants_differ_in_the_target_alone(monkeypatch):
    """The first step's terms are equal, the encoders after it are not."""
    descend_plainly(monkeypatch)
    ends = []
    for variant in ("official", "paper"):
        torch.manual_seed(0)
        system = soft_introvae.build(config(variant=variant, w_neg=0.0), (1, 8, 8)).double()
        x = torch.rand(4, 1, 8, 8, dtype=torch.double, generator=torch.Generator().manual_seed(3))
        terms = system.step(x, Noise(0, "cpu").at(0), kimg=0.0, **system.players())
        ends.append((terms["loss_enc"], system.enc[-1].weight.detach()))
    assert ends[0][0] == ends[1][0]
    assert (ends[0][1] - ends[1][1]).abs().max() > 1e-9


def test_a_perfect_autoencoder_of_the_prior():
    """x_r = x and every posterior the prior: each exponential is 1, so L_E = 1/2."""
    system = soft_introvae.build(config(), (1, 8, 8))
    for layer, value in ((system.enc[-1], 0.0), (system.dec[-1], 0.25)):
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.constant_(layer.bias, value)
    x = torch.full((4, 1, 8, 8), 0.25)
    terms = system.step(x, Noise(0, "cpu").at(0), kimg=0.0, **system.players())
    assert terms["exp_r"] == terms["exp_p"] == 1 and terms["loss_enc"] == 0.5 and terms["loss_dec"] == 0


def test_networks_are_introvaes_with_the_normalisation_moved():
    with torch.device("meta"):
        system = soft_introvae.build(soft_introvae.Config(), (3, 32, 32))
    counts = [round(sum(p.numel() for p in net.parameters()) / 1e6, 2) for net in (system.enc, system.dec)]
    assert counts == [3.38, 2.38]
    torch.manual_seed(0)
    block = nets.Residual(2, 2, norm="before").double()
    x = torch.rand(3, 2, 4, 4, dtype=torch.double)
    lrelu = torch.nn.functional.leaky_relu
    y = lrelu(block.norm1(block.conv1(x)), 0.2)
    torch.testing.assert_close(block(x), lrelu(block.norm2(block.conv2(y)) + x, 0.2))


def test_settings_are_the_published_ones():
    def row(p):
        c = p.config
        return c.w_kl, c.w_rec, c.w_neg, c.z_dim, p.batch, p.size, c.gamma, c.lr

    rows = {name: row(p) for name, p in soft_introvae.PRESETS.items()}
    assert rows["cifar10"] == rows["svhn"] == (1, 1, 256, 128, 32, 32, 1e-8, 2e-4)
    assert rows["mnist"] == (1, 1, 256, 32, 128, 28, 1e-8, 2e-4)
    assert rows["monsters"] == (0.2, 0.2, 256, 128, 16, 128, 1e-8, 2e-4)
    assert rows["celeba-hq"] == (1, 0.5, 1024, 256, 8, 256, 1e-8, 2e-4)
    assert soft_introvae.PRESETS["mnist"].config.channels == (64, 128)


@pytest.mark.parametrize(
    "changes, shape, message",
    [
        (dict(channels=(2, 2)), (1, 30, 30), "soft_introvae: 2 channels .*halve the side 2 times.*side 30"),
        (dict(channels=()), (1, 8, 8), r"channels must be one or more widths, got \(\)"),
        (dict(w_neg=-1.0), (1, 8, 8), "w_neg must not be negative, got -1.0"),
        (dict(variant="papr"), (1, 8, 8), "variant must be 'official' or 'paper', got 'papr'"),
    ],
)
def test_what_it_cannot_take_is_refused(changes, shape, message):
    with pytest.raises(ValueError, match=message):
        soft_introvae.build(config(**changes), shape)
