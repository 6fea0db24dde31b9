"""WAE-GAN's step against its pseudocode, its settings, and what it refuses."""

import math

import pytest
from step_comparison import compare, descend, descend_plainly, sp, sse
from step_mutants import each, mutants, survivors

from bigan.systems import wae_gan

CASES = {
    "official": dict(),
    "paper": dict(variant="paper", input_noise=0.0),
    "log-prior": dict(log_prior=True),
}


def config(**changes):
    base = dict(
        channels=(2,), dec_channels=(2,), stem=2, adversary=(4,), z_dim=3, sigma=1.6, w_rec=0.7, w_match=1.3,
        input_noise=0.4, lr=0.05, lr_adversary=0.03,
    )  # fmt: skip
    return wae_gan.Config(**{**base, **changes})


def pseudocode(nets, x, draw, c):
    """Tolstikhin et al., Algorithm 1, or the order of their code."""
    E, G, A = nets["enc"], nets["dec"], nets["critic"]
    z = c.sigma * draw(3)
    x_in = x + c.input_noise * draw(x[0].numel()).reshape(x.shape)

    def logit(z):
        log_p = -(z**2).sum(1) / (2 * c.sigma**2) - 3 * math.log(c.sigma * math.sqrt(2 * math.pi))
        return A(z) + (log_p[:, None] if c.log_prior else 0)

    def adversary(codes):
        loss = c.w_match * (sp(-logit(z)).mean() + sp(logit(codes)).mean())
        descend(loss, A, lr=c.lr_adversary)
        return loss

    e = E(x_in)
    if c.variant == "paper":
        loss_adv = adversary(e)
    rec, match = sse(G(e), x).mean(), sp(-logit(e)).mean()
    loss_ae = c.w_rec * rec + c.w_match * match
    descend(loss_ae, E, G, lr=c.lr)
    if c.variant == "official":
        loss_adv = adversary(E(x_in))
    return {"loss_ae": loss_ae, "loss_adv": loss_adv, "rec": rec, "match": match}


def run(case, steps=1):
    compare(wae_gan, pseudocode, config(**CASES[case]), steps=steps)


@pytest.mark.parametrize("case", CASES)
def test_step_is_the_pseudocode(case, monkeypatch):
    descend_plainly(monkeypatch)
    run(case, steps=2)


def test_every_token_of_the_step_matters(monkeypatch):
    descend_plainly(monkeypatch)
    found = mutants(
        wae_gan, ("step", "adversarial", "logit", "prior", "players"),
        exchanged={
            "w_rec": ["w_match"], "w_match": ["w_rec"], "loss_ae": ["loss_adv"], "loss_adv": ["loss_ae"],
            "ae": ["adv"], "adv": ["ae"], "enc": ["dec"], "seen": ["x"], "z": ["e"], "e": ["z"],
            "rec": ["match"], "match": ["rec"], '"official"': ['"paper"'], '"paper"': ['"official"'],
            '"sum"': ['"mean"'], "lr": ["lr_adversary"], "lr_adversary": ["lr"], "keepdim": ["unused"],
        },
        graphs={"e", "rec", "match", "loss_ae", "loss_adv", "log_p"}, leaves=["prior"],
    )  # fmt: skip
    equal = {  # the adversary's loss moves it alone, the encoder's does not look at z
        ("step: loss_adv = c.w_match * self.adversarial(z, e)[0]", "e -> e.detach()"),
        ("step: match = self.adversarial(z, e)[1]", "z -> e"),
    }
    found = [m for m in found if (m.name.split(" ::")[0], m.kind) not in equal and "betas" not in m.name]
    assert len(found) > 40
    assert survivors(found, each(run, CASES)) == []


def test_settings_are_the_published_ones():
    rows = {
        name: (p.config.z_dim, p.config.w_match, p.config.adversary, p.config.log_prior, p.batch, p.size)
        for name, p in wae_gan.PRESETS.items()
    }
    assert rows["mnist"] == (8, 10.0, (512,) * 4, False, 100, 28)
    assert rows["celeba"] == (64, 100.0, (1024,) * 4, True, 100, 64)
    c = wae_gan.Config()
    assert (c.w_rec, c.lr, c.lr_adversary, c.beta1, c.input_noise) == (0.05, 3e-4, 1e-3, 0.5, 0.01)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(sigma=0.0), "wae_gan: sigma must be positive, got 0.0"),
        (dict(dec_channels=(4, 4, 4)), "wae_gan: 3 channels .* halve the side 3 times"),
        (dict(channels=(4, 4, 4, 4)), r"wae_gan: 4 channels need a side of 2\^4 or more"),
        (dict(variant="code"), "wae_gan: variant must be 'official' or 'paper', got 'code'"),
    ],
)
def test_what_it_cannot_take_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        wae_gan.build(config(**changes), (1, 8, 8))
