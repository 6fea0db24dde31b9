"""A system's step beside the pseudocode's, from one start, by plain gradient descent: all must be equal."""

import torch
from introvae_pseudocode import Net, step, vae_step

from bigan import ops
from bigan.engine.noise import Noise
from bigan.systems import introvae
from bigan.systems.base import Player

CASES = {  # weights apart from each other and from one, so that none can stand in for another
    "official": dict(variant="official"),
    "paper": dict(variant="paper"),
    "sample": dict(hinge="sample", m=1.1),  # some images beyond the margin, some within
    "beyond": dict(m=0.5),  # the batch beyond it: no hinge left
    "warm-up": dict(warmup_kimg=0.5),
    "warm-up over": dict(warmup_kimg=0.25),
}
KIMG = 0.25
BATCH, STEPS, SHAPE = 4, 2, (2, 8, 8)


def config(**changes):
    base = dict(channels=(2,), z_dim=3, m=5.0, w_rec=0.3, w_kl=0.7, w_neg=0.4, lr=0.02)
    return introvae.Config(**{**base, **changes})


def start(build, c):
    torch.manual_seed(1)
    system = build(c, SHAPE).double()
    with torch.no_grad():
        system.enc[-1].weight *= 2  # posteriors at some distance from the prior
    return system


def compare(build, case):
    """Raises AssertionError unless `build`'s step is the pseudocode's on parameters, statistics and terms."""
    c = config(**CASES[case])
    system, expansions = start(build, c), []
    E, G = Net.like(system.enc), Net.like(system.dec)
    players = system.players()
    noise = Noise(7, "cpu")
    stopped = []
    system.enc.register_forward_pre_hook(lambda _, inputs: stopped.append(not inputs[0].requires_grad))
    data = torch.rand(STEPS, BATCH, *SHAPE, dtype=torch.double, generator=torch.Generator().manual_seed(2))
    for k, x in enumerate(data):
        terms = system.step(x, noise.at(k), kimg=KIMG, **players)
        rng = torch.tensor([7, k])
        draws = [ops.philox_normal(rng, BATCH, c.z_dim, stream=s, dtype=torch.double) for s in range(2)]
        if c.warmup_kimg > KIMG:
            E, G, want = vae_step(E, G, x, draws[0], expansions, c)
        else:
            E, G, want = step(E, G, x, *draws, expansions, c)
            assert stopped == [True] * 3 + [False] * 2  # x, sg[x_r], sg[x_p]; x_r, x_p
        stopped.clear()
        assert terms.keys() == want.keys() and not any(t.requires_grad for t in terms.values())
        same(terms, {name: term.detach() for name, term in want.items()})
        for net, bare in ((system.enc, E), (system.dec, G)):
            same(list(net.parameters()), bare.params)
            same(statistics(net), bare.stats["data"])
        same(statistics(system.dec_prior), G.stats["prior"])


def statistics(net):
    norms = [m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    return [(m.running_mean, m.running_var) for m in norms]


def same(got, want):
    torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-10)


def descend_plainly(monkeypatch):
    """Gradient descent for every player: Adam's first step hides a wrong factor."""
    monkeypatch.setattr(Player, "optimizer", lambda params, lr, betas: torch.optim.SGD(params, lr=lr))
