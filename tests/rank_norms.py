"""Batch normalisation by one process or by several, with its gradients: `torchrun ... tests/rank_norms.py FILE`."""

import sys
from collections.abc import Iterator

import safetensors.torch
import torch
from torch import Tensor

from bigan import ranks
from bigan.nets.norm import BatchNorm1d, BatchNorm2d

CASES = {
    "map": (BatchNorm2d, (6, 3, 5, 4), {}, torch.float64),
    "channels_last": (BatchNorm2d, (6, 3, 5, 4), {}, torch.float64),
    "row": (BatchNorm1d, (8, 5), {}, torch.float64),
    "plain": (BatchNorm2d, (4, 3, 2, 2), {"affine": False}, torch.float64),
    "untracked": (BatchNorm2d, (4, 3, 2, 2), {"track_running_stats": False}, torch.float64),
    "bfloat16": (BatchNorm2d, (16, 3, 5, 4), {}, torch.bfloat16),
}


def run() -> Iterator[tuple[str, Tensor]]:
    """What each case gives: this rank's rows of the output and gradients, and the whole's of what is the layer's."""
    rank, n = ranks.index(), ranks.count()
    for name, (kind, shape, options, dtype) in CASES.items():
        torch.manual_seed(0)
        x, dy = (torch.randn(shape, dtype=torch.float64) * 3 + 5 for _ in range(2))
        norm = kind(shape[1], **options).to(torch.float64 if dtype is torch.float64 else torch.float32)
        for p in norm.parameters():
            torch.nn.init.uniform_(p, 0.5, 2.0)
        x, dy = (t[rank::n].to(dtype).contiguous().requires_grad_() for t in (x, dy))
        if name == "channels_last":
            x, dy = (t.to(memory_format=torch.channels_last) for t in (x, dy))
        y = norm(x)
        assert y.dtype == dtype and y.stride() == x.stride()
        first = torch.autograd.grad(y, [x, *norm.parameters()], dy, retain_graph=True)
        rows, layers = [y, first[0]], [*first[1:]]
        if dtype is torch.float64:
            again = torch.autograd.grad(y, [x, *norm.parameters()], dy, create_graph=True)
            for a, b in zip(first, again, strict=True):
                torch.testing.assert_close(a, b)
            of = [x, dy, *norm.parameters()]
            second = torch.autograd.grad(again[0].sin().sum(), of, allow_unused=True, materialize_grads=True)
            rows, layers = [*rows, *second[:2]], [*layers, *second[2:]]
        layers = [ranks.mean(t) * n for t in layers] + [t for t in norm.buffers() if t.is_floating_point()]
        for i, t in enumerate(rows):
            yield f"{name}.row{i}", ranks.gathered(t.detach().double())
        for i, t in enumerate(layers):
            yield f"{name}.layer{i}", t.detach().double()


if __name__ == "__main__":
    with ranks.joined(torch.device("cpu")):
        found = dict(run())
        if ranks.index() == 0:
            safetensors.torch.save_file(found, sys.argv[1])
