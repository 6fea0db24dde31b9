"""Activations computed again: the same bits, in less memory."""

import pytest
import torch
from test_relatives import TINY
from torch import nn

from bigan import systems
from bigan.engine import recompute
from bigan.engine.noise import Noise

DEEP = dict(channels=(4, 4, 4), z_dim=3)
CASES = {
    **{name: TINY[name] for name in ("ian", "pagan", "vaegan")},
    "age": dict(width=4, z_dim=3, drop_lr=0),
    "alice": {**TINY["alice"], "channels": (4, 4)},
    "gan": {**TINY["gan"], "channels": (4, 4)},
    "introvae": dict(DEEP, m=20.0, w_neg=0.5),
    "soft_introvae": DEEP,
    "ali": dict(
        enc=((3, 1, 3), (4, 2, 4), (2, 1, 3)), dec=((2, 1, 3), (4, 2, 4), (3, 1, 3)),
        critic_x=((3, 1, 4), (3, 1, 4), (2, 2, 6), (2, 1, 4)), critic_z=(4, 2), critic_xz=(6, 4),
        z_dim=3, init_std=0.3,
    ),
}  # fmt: skip


def trained(name, again):
    """(state after three steps, bytes kept for backward, parts) on the same images."""
    torch.manual_seed(0)
    side = 32 if "intro" in name or name == "age" else 8
    system = systems.load(name).build(systems.load(name).Config(**CASES[name]), (1, side, side))
    players, noise = system.players(), Noise(0, "cpu")
    parts = recompute.use(system) if again else 0
    kept: dict[int, int] = {}

    def keep(t):
        kept[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    generator = torch.Generator().manual_seed(1)
    for k in range(3):
        x = 2 * torch.rand(4, 1, side, side, generator=generator) - 1
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
            system.step(x, noise.at(k), kimg=1.0, **players)
    return system.state_dict(), sum(kept.values()), parts


@pytest.mark.parametrize("name", CASES)
def test_the_same_bits(name):
    plain, _, _ = trained(name, False)
    again, _, parts = trained(name, True)
    assert parts and plain.keys() == again.keys()
    assert all(torch.equal(t, again[key]) for key, t in plain.items())


def test_less_is_kept():
    net = nn.Sequential(*(m for _ in range(9) for m in (nn.Conv2d(4, 4, 3, padding=1), nn.Tanh())))
    system = nn.ModuleDict({"net": net})
    x = torch.rand(2, 4, 16, 16, requires_grad=True)

    def kept():
        found = {}
        with torch.autograd.graph.saved_tensors_hooks(lambda t: found.setdefault(id(t), t), lambda t: t):
            y = system["net"](x)
        return len({t.untyped_storage().data_ptr() for t in found.values() if t.shape == x.shape}), y

    many, y = kept()
    assert recompute.use(system) == 5  # parts of the 18 layers
    few, y_again = kept()
    assert torch.equal(y, y_again) and few <= many / 2
    with torch.no_grad():
        assert torch.equal(system["net"](x), y)
