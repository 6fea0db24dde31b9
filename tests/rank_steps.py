"""A few steps of every system, by one process or by several: `torchrun ... tests/rank_steps.py FILE`.

Plain descent in float64, so that what differs between one process and several is not hidden by Adam.
"""

import sys
from collections.abc import Iterator

import safetensors.torch
import torch
from test_relatives import TINY
from torch import Tensor

from bigan import ranks, systems
from bigan.engine.noise import Noise
from bigan.systems.base import Player

STEPS, BATCH, SHAPE = 2, 8, (1, 8, 8)
SYSTEMS = {
    **TINY,
    "age": dict(width=4, z_dim=3, drop_lr=0, e_updates="1;KL_fake:1,KL_real:1,match_z:1,match_x:10"),
    "ali": dict(  # without dropout: its draws are a rank's own
        enc=((3, 1, 3), (4, 2, 4), (2, 1, 3)), dec=((2, 1, 3), (4, 2, 4), (3, 1, 3)),
        critic_x=((3, 1, 4), (3, 1, 4), (2, 2, 6), (2, 1, 4)), critic_z=(4, 2), critic_xz=(6, 4),
        z_dim=3, init_std=0.3, dropout=(0.0, 0.0),
    ),
    "ian": {**TINY["ian"], "updates": "alternating"},  # by the number of the step, made of batch and kimg
    "introvae": dict(channels=(4,), z_dim=3, m=32.0, w_neg=0.5),  # between the ranks' own means
}  # fmt: skip
SIDES = {"age": 32}


def run(names) -> Iterator[tuple[str, Tensor]]:
    """(name, parameters and statistics after STEPS, then the terms) for each system."""
    rank, n = ranks.index(), ranks.count()
    Player.optimizer = lambda params, lr, betas=None, **rest: torch.optim.SGD(params, lr=lr, **rest)
    for name in names:
        torch.manual_seed(0)
        shape = (1, SIDES.get(name, 8), SIDES.get(name, 8))
        config = systems.load(name).Config(**{"lr": 0.05, **SYSTEMS[name]})
        system = systems.load(name).build(config, shape).double()
        system.one_pass = name == "pagan"  # the others by the textbook's step
        for p in system.parameters():
            torch.nn.init.normal_(p, 1.0 if p.ndim == 1 else 0.0, 0.3 if p.ndim == 1 else 0.2)
        players, noise = system.players(), Noise(0, "cpu", rank, n)
        data = torch.rand(STEPS, BATCH, *shape, generator=torch.Generator().manual_seed(1)).double()
        low, high = system.data_range
        terms = []
        for k, x in enumerate(data):
            kimg = 1.0 + k * BATCH / 1000
            step = system.step(low + (high - low) * x[rank::n], noise.at(k), kimg=kimg, **players)
            terms.append(ranks.mean(torch.stack(tuple(step.values()))))
        state = [t.double().flatten() for t in system.state_dict().values()]
        yield name, torch.cat([*state, *terms])


if __name__ == "__main__":
    with ranks.joined(torch.device("cpu")):
        found = dict(run(SYSTEMS))
        alike = {name: ranks.gathered(t[None]) for name, t in found.items()}
        if ranks.index() == 0:
            found |= {f"{name}.spread": t.std(0, correction=0).max() for name, t in alike.items()}
            safetensors.torch.save_file(found, sys.argv[1])
