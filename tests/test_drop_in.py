"""The loops of docs/drop-in.md run, before and after the change, and train the same parameters."""

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from bigan import ops

PAGE = Path(__file__).resolve().parents[1] / "docs/drop-in.md"
SIDE, Z = 8, 5


def loops():
    """Name -> (before, after), the two sides of each diff on the page."""
    found = re.findall(r"<!-- loop: (\w+) -->\n```diff\n(.*?)```", PAGE.read_text(), re.S)
    return {name: tuple(_side(diff, sign) for sign in "-+") for name, diff in found}


def _side(diff, sign):
    return "\n".join(line[1:] for line in diff.splitlines() if line[:1] in ("", " ", sign)) + "\n"


class Critic(nn.Module):
    """A logit and two layers of features."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1), nn.LeakyReLU(0.2))
        self.second = nn.Sequential(nn.Conv2d(4, 6, 3, 2, 1), nn.LeakyReLU(0.2))
        self.logit = nn.Sequential(nn.Flatten(), nn.Linear(6 * 4, 1))

    def forward(self, x):
        a = self.first(x)
        b = self.second(a)
        return self.logit(b), [a, b]


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 16), nn.ReLU(), nn.Linear(16, 2 * Z))

    def forward(self, x):
        return self.body(x).chunk(2, dim=1)


def decoder():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(Z, 16), nn.ReLU(), nn.Linear(16, SIDE**2), nn.Unflatten(1, (1, SIDE, SIDE))
    )


def networks():
    torch.manual_seed(3)
    nets = {
        "netG": decoder(),
        "netD": nn.Sequential(nn.Flatten(), nn.Linear(SIDE**2, 8), nn.ReLU(), nn.Linear(8, 1)),
    }
    return nets | {"encoder": Encoder(), "decoder": decoder(), "critic": Critic()}


def run(code):
    nets = networks()
    start = copy.deepcopy(nets)
    sgd = torch.optim.SGD
    names = {
        **nets,
        "loader": torch.rand(4, 6, 1, SIDE, SIDE),
        "nz": Z,
        "z_dim": Z,
        "dim": SIDE**2,
        "opt_e": sgd(nets["encoder"].parameters(), 0.01),
        "opt_g": sgd(nets["decoder"].parameters(), 0.01),
        "opt_d": sgd(nets["critic"].parameters(), 0.01),
    }
    if "critic" not in code:
        names["opt_d"] = sgd(nets["decoder"].parameters(), 0.01)
    torch.manual_seed(5)
    exec(compile(code, str(PAGE), "exec"), names)
    moved = {
        n
        for n in nets
        if any(
            not torch.equal(p, q) for p, q in zip(nets[n].parameters(), start[n].parameters(), strict=True)
        )
    }
    return {n: list(nets[n].parameters()) for n in sorted(moved)}


def the_kernels_noise(like):
    """What ops.reparam_kl draws where it is given none."""
    rng = torch.randint(-(2**63), 2**63 - 1, (2,), dtype=torch.int64)
    return ops.philox_normal(rng, *like.shape, dtype=like.dtype)


TRAINED = {
    "dcgan": ["netD", "netG"],
    "vaegan": ["critic", "decoder", "encoder"],
    "soft_introvae": ["decoder", "encoder"],
}


@pytest.mark.parametrize("name", TRAINED)
def test_loop_trains_the_same_with_the_drop_ins(name, monkeypatch):
    before, after = loops()[name]
    assert "bigan" in after and "bigan" not in before
    with monkeypatch.context() as patch:
        patch.setattr(torch, "randn_like", the_kernels_noise)
        want = run(before)
        got = run(after)
    assert list(want) == list(got) == TRAINED[name]
    for net in want:
        for a, b in zip(got[net], want[net], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_every_loop_of_the_page_is_run():
    assert set(loops()) == set(TRAINED)
