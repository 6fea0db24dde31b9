"""PD-WGAN's step against its pseudocode, its penalty's known values, and what it refuses."""

import pytest
import torch
from step_comparison import compare, descend, descend_plainly, sp, sse
from step_mutants import each, mutants, survivors
from torch import nn
from torch.func import grad, vmap

from bigan.engine import fast
from bigan.engine.config import Run
from bigan.engine.noise import Noise
from bigan.systems import pd_wgan

CASES = {
    "direction": dict(),
    "mixed": dict(critic_steps=2, w_mix=0.3),
    "norm": dict(penalty="norm"),
}


def config(**changes):
    base = dict(channels=(2, 2), code_critic=(3,), z_dim=3, w_match=0.7, w_penalty=1.9, critic_steps=1)
    return pd_wgan.Config(**{**base, "lr": 0.05, **changes})


def pseudocode(nets, x, draw, c):
    """Gemici et al.: a coupling by E, a critic that is held to it, and a decoder that follows the critic."""
    E, G, F, C = (nets[name] for name in ("enc", "dec", "critic", "code_critic"))
    z = draw(3)
    e = E(x)
    x_r, x_p = G(e), G(z, kind="prior")
    length = sse(x, x_r).sqrt()
    for _ in range(c.critic_steps):
        t = ((1 + torch.erf(draw(1) / 2**0.5)) / 2).reshape(-1, 1, 1, 1)
        end = x_r if c.penalty == "direction" else x_p
        slope = vmap(grad(lambda image: F(image[None]).sum()))(t * x + (1 - t) * end).flatten(1)
        if c.penalty == "direction":
            penalty = ((slope - (x - x_r).flatten(1) / length[:, None]) ** 2).sum(1).mean()
        else:
            penalty = ((slope.norm(dim=1) - 1) ** 2).mean()
        distance = F(x).mean() - F(x_p).mean()
        descend(-distance + c.w_penalty * penalty, F)
    rec = length.mean()
    loss_c = sp(-C(z)).mean() + sp(C(e)).mean()
    match = sp(-C(e)).mean()
    loss_e, loss_g = rec + c.w_match * match, c.w_mix * rec - F(x_p).mean()
    descend(loss_e, E)
    descend(loss_g, G)
    descend(loss_c, C)
    return {
        "loss_e": loss_e, "loss_g": loss_g, "loss_c": loss_c, "rec": rec, "match": match,
        "distance": distance, "penalty": penalty,
    }  # fmt: skip


def run(case, steps=1):
    compare(pd_wgan, pseudocode, config(**CASES[case]), steps=steps, shape=(1, 8, 8))


@pytest.mark.parametrize("case", CASES)
def test_step_is_the_pseudocode(case, monkeypatch):
    descend_plainly(monkeypatch)
    run(case, steps=2)


def test_every_token_of_the_step_matters(monkeypatch):
    descend_plainly(monkeypatch)
    found = mutants(
        pd_wgan, ("step", "penalty"),
        exchanged={
            "x_r": ["x_p"], "x_p": ["x_r"], "z": ["e"], "e": ["z"], "enc": ["dec"], "dec": ["enc"],
            "generate": ["dec"], "loss_e": ["loss_g"], "loss_g": ["loss_e"], "loss_c": ["loss_e"],
            "rec": ["match"], "match": ["rec"], "w_match": ["w_mix"], "w_mix": ["w_match"],
            "distance": ["penalty"], "fake": ["x"], '"norm"': ['"direction"'],
            '"direction"': ['"norm"'], "critic": ["code_critic"], "code_critic": ["critic"],
        },
        graphs={"rec", "match", "distance", "grad", "e", "penalty"},
    )  # fmt: skip
    assert len(found) > 60
    assert survivors(found, each(run, CASES)) == []


def test_penalty_of_known_critics():
    """The distance from a point has slope 1 away from it: along that line nothing is to be punished."""
    end = torch.randn(1, 1, 4, 4, dtype=torch.double)
    towards = torch.randn(5, 1, 4, 4, dtype=torch.double)
    fake = (end + 2 * towards).requires_grad_()
    x = end + 3 * towards

    class Distance(nn.Module):
        def __init__(self, sign):
            super().__init__()
            self.sign = sign

        def forward(self, image):
            return self.sign * (image - end).flatten(1).norm(dim=1)

    for kind, right, opposite in (("direction", 0.0, 4.0), ("norm", 0.0, 0.0)):
        system = pd_wgan.build(config(penalty=kind, channels=(2,)), (1, 4, 4)).double()
        for sign, want in ((1, right), (-1, opposite)):
            system.critic = Distance(sign)
            assert system.penalty(x, fake, Noise(0, "cpu").at(0)).item() == pytest.approx(want, abs=1e-12)


def test_an_image_that_is_its_own_reconstruction_breaks_nothing():
    system = pd_wgan.build(config(channels=(2,)), (1, 4, 4))
    x = torch.rand(3, 1, 4, 4, requires_grad=True)
    penalty = system.penalty(x, x, Noise(0, "cpu").at(0))
    penalty.backward()
    assert penalty.isfinite() and all(p.grad.isfinite().all() for p in list(system.critic.parameters())[:1])


def test_the_engine_keeps_to_what_has_second_derivatives():
    system = pd_wgan.build(pd_wgan.PRESETS["cpu"].config, (1, 32, 32))
    assert "gradient of a network" in fast.unsupported("compile", system, torch.device("cpu"))
    fast.prepare(Run(channels_last=True), system)
    terms = system.step(torch.rand(4, 1, 32, 32), Noise(0, "cpu").at(0), kimg=0.0, **system.players())
    assert all(t.isfinite() for t in terms.values())


def test_settings_are_those_of_the_gradient_penalty():
    c = pd_wgan.Config()
    assert (c.w_penalty, c.critic_steps, c.lr, c.beta1, c.beta2) == (10.0, 5, 1e-4, 0.0, 0.9)
    assert pd_wgan.PRESETS["cifar10"].config.w_mix == 0  # the row that PAGAN quotes
    critic = pd_wgan.build(c, (3, 32, 32)).critic
    assert not any(isinstance(m, nn.BatchNorm2d) for m in critic)


@pytest.mark.parametrize(
    "changes, message",
    [
        (dict(penalty="both"), "pd_wgan: penalty must be 'direction' or 'norm', got 'both'"),
        (dict(critic_steps=0), "pd_wgan: critic_steps must be positive, got 0"),
        (dict(channels=(4, 4, 4)), "pd_wgan: 3 channels .* halve the side 3 times"),
    ],
)
def test_what_it_cannot_take_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        pd_wgan.build(config(**changes), (1, 8, 8))
