"""One backward for both players against the textbook's two, where it is refused, and what it costs the critic."""

import copy
import dataclasses

import pytest
import torch
from torch import nn

from bigan import systems
from bigan.engine.noise import Noise
from bigan.nets import MinibatchDiscrimination
from bigan.spectral_norm import SpectralNorm
from bigan.systems.base import Player
from bigan.systems.onepass import Game, coupling, refusal

CASES = {
    "pagan": ("pagan", {}),
    "pagan, identical pairs": ("pagan", dict(pairs="identical")),
    "pagan, l1": ("pagan", dict(pairs="l1", w_l1=3.0)),
    "ali": ("ali", dict(dropout=(0.1, 0.3))),
    "ali, labels": ("ali", dict(labels=3, embedding=4)),
    "bigan": ("bigan", dict(norm="none")),
    "gan": ("gan", dict(norm="none", updates="simultaneous")),
    "gan, saturating": ("gan", dict(norm="none", updates="simultaneous", generator="saturating")),
    "gan, hinge": ("gan", dict(norm="none", updates="simultaneous", form="hinge")),
    "gan, least squares": ("gan", dict(norm="none", updates="simultaneous", form="least_squares")),
    "gan, wasserstein": ("gan", dict(norm="none", updates="simultaneous", form="wasserstein")),
    "alpha_gan": ("alpha_gan", dict(norm="none")),
    "alpha_gan, ratio": ("alpha_gan", dict(norm="none", adversary="ratio", w_rec=3.0)),
}


def build(case, dtype):
    name, changes = CASES[case]
    module = systems.load(name)
    config = dataclasses.replace(module.PRESETS["cpu"].config, **changes)
    torch.manual_seed(1)
    system = module.build(config, (1, 16, 16) if name == "pagan" else (1, 32, 32)).to(dtype)
    for m in system.modules():
        if isinstance(m, SpectralNorm):
            m.training = (
                False  # two passes of a critic take two steps of power iteration, a merged one takes one
            )
    return system


def gradients(system, players):
    """By network, as one vector: a bias before a normalisation has none but rounding."""
    return {
        name: torch.cat([p.grad.flatten().double() for p in player.params])
        for name, player in players.items()
    }


def step(system, monkeypatch, one_pass, seed=3):
    """Terms and gradients of one step that moves nothing."""
    monkeypatch.setattr(Player, "move", lambda self: None)
    system.one_pass = one_pass
    low, high = system.data_range
    rand = torch.Generator().manual_seed(2)
    dtype = next(system.parameters()).dtype
    x = low + (high - low) * torch.rand(6, *system.image_shape, generator=rand, dtype=dtype)
    labels = (torch.randint(2, (6, system.labels), generator=rand),) if system.labels else ()
    players = system.players()
    terms = system.step(x, Noise(seed, "cpu").at(0), *labels, kimg=1.0, **players)
    return terms, gradients(system, players)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("dtype, close", [(torch.float64, 1e-10), (torch.float32, 1e-4)], ids=["f64", "f32"])
def test_gradients_are_those_of_two_backwards(case, dtype, close, monkeypatch):
    system = build(case, dtype)
    twin = copy.deepcopy(system)
    terms, want = step(system, monkeypatch, one_pass=False)
    terms_one, got = step(twin, monkeypatch, one_pass=True)
    for name in want:
        assert want[name].norm() > 0
        assert (got[name] - want[name]).norm() <= close * want[name].norm(), name
    torch.testing.assert_close(terms_one, terms, rtol=close, atol=close)


class Critic(nn.Module):
    """Sure of itself: logits of any size."""

    def __init__(self, dtype):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(5, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)).to(dtype)

    def forward(self, x):
        return self.net(x) + x.new_tensor(self.shift)[:, None]


SHIFTS = [0.0, 60.0, -60.0, 30.0, -30.0, 5.0]


@pytest.mark.parametrize("generator", ["non_saturating", "saturating", "swapped"])
@pytest.mark.parametrize("dtype, close", [(torch.float64, 1e-10), (torch.float32, 1e-4)], ids=["f64", "f32"])
@pytest.mark.parametrize("which", ["mixed", "critic sure", "critic fooled"])
def test_extreme_logits(which, generator, dtype, close):
    """Also where every sample is as extreme, so that no other hides its error."""
    from bigan import ops

    shift = {"mixed": SHIFTS, "critic sure": [-60.0] * 6, "critic fooled": [60.0] * 6}[which]
    real_shift = [-s for s in shift] if which != "mixed" else shift
    found = []
    for one_pass in (False, True):
        critic, source = Critic(dtype), nn.Linear(5, 5, dtype=dtype)
        torch.manual_seed(5)
        nn.init.normal_(source.weight)
        x, z = torch.randn(6, 5, dtype=dtype), torch.randn(6, 5, dtype=dtype)
        critic_player = Player("critic", [critic], 0.0)
        player = Player("source", [source], 0.0)
        game = Game(one_pass)
        real_in = source(x)  # with generator="swapped" the real half has a gradient as well
        if one_pass:
            critic.shift = real_shift + shift
            real, fake = game.judge(critic, real_in, source(z))
        else:
            critic.shift = real_shift
            real = critic(real_in)
            critic.shift = shift
            fake = critic(source(z))
        loss_d, loss_g, _ = ops.logistic_adversarial(real, fake, generator=generator)
        game.minimize_at_once((critic_player, loss_d), (player, loss_g))
        found.append(
            [torch.cat([p.grad.double().flatten() for p in pl.params]) for pl in (critic_player, player)]
        )
    for want, got in zip(*found, strict=True):
        assert want.norm() > 0
        assert (got - want).norm() <= close * want.norm()


@pytest.mark.parametrize("logit", [-200.0, -1e4, 1e4])
def test_beyond_the_types_range_the_generator_still_learns(logit):
    """exp(-200) is 0 in float32: the critic learns nothing from such a sample, the generator as much as ever."""
    from bigan import ops

    critic, source = Critic(torch.float32), nn.Linear(5, 5)
    critic.shift = [logit] * 12
    game = Game(True)
    x, z = torch.randn(6, 5), torch.randn(6, 5)
    fakes = source(z)
    fakes.retain_grad()
    real, fake = game.judge(critic, x, fakes)
    loss_d, loss_g, _ = ops.logistic_adversarial(real, fake)
    players = Player("critic", [critic], 0.0), Player("source", [source], 0.0)
    want = torch.autograd.grad(-critic.net(fakes).sum() / 6, source.weight, retain_graph=True)[0]
    game.minimize_at_once((players[0], loss_d), (players[1], loss_g))
    slope = torch.sigmoid(torch.tensor(-logit)).item()  # of L_G, times minus one
    torch.testing.assert_close(source.weight.grad, want * slope, rtol=1e-4, atol=1e-30)
    assert all(p.grad.isfinite().all() for p in critic.parameters())


def test_a_critic_passes_its_batch_once(monkeypatch):
    calls = []
    system = build("pagan", torch.float32)
    for net in system.critics():
        net.register_forward_hook(lambda net, i, y: calls.append((id(net), len(i[0]))))
    step(system, monkeypatch, one_pass=True)
    assert sorted(calls) == sorted((id(net), 12) for net in system.critics())


def test_each_weight_gradient_is_computed_once(monkeypatch):
    """Nothing is taken back for a player that does not want it."""
    system = build("gan", torch.float32)
    hits = []
    for name, p in system.named_parameters():
        p.register_hook(lambda g, name=name: hits.append(name))
    step(system, monkeypatch, one_pass=True)
    assert sorted(hits) == sorted(name for name, _ in system.named_parameters())


def test_a_penalty_on_the_critics_weights_counts():
    critic, source = nn.Linear(3, 1), nn.Linear(3, 3)
    found = []
    for one_pass in (False, True):
        game = Game(one_pass)
        real, fake = game.judge(critic, torch.ones(2, 3), source(torch.ones(2, 3)))
        loss_d = (real - fake).mean() + 10 * critic.weight.square().sum()
        players = Player("critic", [critic], 0.0), Player("source", [source], 0.0)
        game.minimize_at_once((players[0], loss_d), (players[1], fake.mean()))
        found.append(critic.weight.grad.clone())
    torch.testing.assert_close(*found)


def test_a_critic_with_several_logits_is_refused():
    with pytest.raises(ValueError, match=r"one logit a sample, got \[4, 3\] for 4 samples"):
        Game(True).judge(nn.Linear(2, 3), torch.ones(2, 2), torch.ones(2, 2))


def test_coupling_is_found():
    assert coupling(nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.LayerNorm(2))) == ""
    assert coupling(SpectralNorm(nn.Linear(2, 2))) == ""
    assert coupling(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))) == "batch normalisation (1)"
    assert "minibatch discrimination" in coupling(nn.Sequential(MinibatchDiscrimination(2, 3, 2)))


@pytest.mark.parametrize(
    "name, preset, reason",
    [
        ("pagan", "cifar10", ""), ("ali", "cifar10", ""), ("ali", "cpu", ""),
        ("ali", "svhn", "batch normalisation"), ("bigan", "mnist", "batch normalisation"),
        ("alpha_gan", "cifar10", "batch normalisation"), ("ian", "celeba", "do not move all at once"),
        ("gan", "dcgan", "do not move all at once"), ("introvae", "cifar10", "do not move all at once"),
        ("wae_gan", "mnist", "do not move all at once"),
    ],
)  # fmt: skip
def test_who_can(name, preset, reason):
    module = systems.load(name)
    p = module.PRESETS[preset]
    with torch.device("meta"):
        system = module.build(p.config, (3, p.size, p.size))
    assert (reason in refusal(system)) if reason else refusal(system) == ""
