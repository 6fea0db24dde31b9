"""A system's step beside one written anew in plain PyTorch: from one start, by plain descent, all is equal.

    def step(nets, x, draw, c):  # the paper's algorithm: nets are called, and moved by descend
        ...
        return {"loss": loss}

    compare(module, step, config)

The networks' own layers are taken as they are (tests/test_nets.py holds them); who is called with what, whose
gradient goes where, when a network moves and whose running statistics a batch enters is all written anew.
"""

import copy

import torch
from torch import nn
from torch.func import functional_call

from bigan import ops
from bigan.engine.noise import Noise
from bigan.nets import Statistics
from bigan.systems.base import Player

LR = 0.05
SEED, BATCH, SHAPE = 7, 4, (2, 4, 4)


class Net:
    """A copy of a network: parameters that `descend` replaces, running statistics by kind of input."""

    def __init__(self, module):
        self.module = copy.deepcopy(module)
        self.params = {name: p.detach().clone().requires_grad_() for name, p in module.named_parameters()}
        self.kinds = {kind: dict(copy.deepcopy(module).named_buffers()) for kind in ("data", "prior", "none")}

    def __call__(self, *inputs, kind="data"):
        return functional_call(self.module, {**self.params, **self.kinds[kind]}, inputs)


def descend(loss, *nets, lr=LR, decay=0.0):
    """Move these networks alone, by the gradient at the point where `loss` was computed."""
    for net in nets:
        grads = torch.autograd.grad(loss, list(net.params.values()), retain_graph=True)
        moved = [p - lr * (g + decay * p) for p, g in zip(net.params.values(), grads, strict=True)]
        net.params = {name: p.detach().requires_grad_() for name, p in zip(net.params, moved, strict=True)}


def descend_plainly(monkeypatch):
    """Gradient descent for every player: Adam's first step hides a wrong factor."""
    monkeypatch.setattr(
        Player, "optimizer",
        lambda params, lr, betas, **rest: torch.optim.SGD(params, lr=lr, **rest),
    )  # fmt: skip


def start(module, c, shape=SHAPE):
    """A system in float64 whose every layer matters."""
    torch.manual_seed(1)
    system = module.build(c, shape).double()
    for name, p in system.named_parameters():
        scale = name.endswith("weight") and p.ndim == 1  # of a normalisation
        nn.init.normal_(p, 1.0 if scale else 0.0, 0.3 if p.ndim == 1 else 0.8 / (p[0].numel() ** 0.5))
    return system


def compare(module, step, c, *, kimg=1.0, steps=1, shape=SHAPE):
    """Raises AssertionError unless the system does `step`: its terms, parameters and running statistics."""
    system = start(module, c, shape)
    names = [name for name, child in system.named_children() if not isinstance(child, Statistics)]
    nets = {name: Net(getattr(system, name)) for name in names}
    players, noise = system.players(), Noise(SEED, "cpu")
    low, high = system.data_range
    data = torch.rand(steps, BATCH, *shape, dtype=torch.double, generator=torch.Generator().manual_seed(2))
    for k, x in enumerate(data * (high - low) + low):
        streams = iter(range(100))

        def draw(dim, k=k, streams=streams):
            rng = torch.tensor([SEED, k])
            return ops.philox_normal(rng, BATCH, dim, stream=next(streams), dtype=torch.double)

        terms = system.step(x, noise.at(k), kimg=kimg, **players)
        want = step(nets, x, draw, c)
        assert terms.keys() == want.keys() and not any(t.requires_grad for t in terms.values())
        same(terms, {name: term.detach() for name, term in want.items()})
        for name, net in nets.items():
            module_ = getattr(system, name)
            same(dict(module_.named_parameters()), {n: p.detach() for n, p in net.params.items()})
            if name != "critic":  # nobody asks a critic for its running statistics
                same(statistics(module_), list(net.kinds["data"].values()))
        if hasattr(system, "dec_prior"):
            same(statistics(system.dec_prior), list(nets["dec"].kinds["prior"].values()))


def statistics(net):
    return list(dict(net.named_buffers()).values())


def same(got, want):
    torch.testing.assert_close(got, want, rtol=1e-8, atol=1e-10)


def sp(a):
    """softplus, from its definition"""
    return torch.log1p(torch.exp(a))


def kl(mu, logvar):
    """KL(N(mu, sigma^2) || N(0, I)) of each sample."""
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(1)


def sse(a, b):
    """Squared error of each sample."""
    return ((a - b) ** 2).reshape(len(a), -1).sum(1)
