"""Winograd's convolutions on the CPU, forward and backward, against oneDNN's and torch.compile's, in turns.

    pytest benchmarks/ -k conv

Layers of the papers' CIFAR-10 networks, batch 64, float32, channels innermost for all. `x nchw`: against PyTorch's
default layout.  `error`: of the output, relative to float64; `direct error`: oneDNN's.  `taken`: whether
bigan.engine.quickconv would choose it.
"""

import copy

import pytest
import torch
from timing import in_turns, ratio
from torch import nn

from bigan.engine import winograd
from bigan.engine.quickconv import use_quick_convs

LAYERS = [  # transposed, kernel, inputs, outputs, side of the input
    (False, 3, 64, 64, 32), (False, 3, 128, 128, 16), (False, 3, 256, 256, 8), (False, 3, 512, 512, 4),
    (False, 4, 64, 128, 32), (False, 4, 128, 256, 16), (False, 4, 256, 512, 8),
    (True, 4, 512, 256, 4), (True, 4, 256, 128, 8), (True, 4, 128, 64, 16),
    (False, 3, 32, 32, 32), (False, 3, 16, 16, 32),
]  # fmt: skip
BATCH = 64


@pytest.mark.skipif(not winograd.available(), reason="the transforms are in the native library")
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_conv(layer, rows, request, monkeypatch):
    transposed, kernel, inputs, outputs, side = layer
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    nchw = kind(inputs, outputs, kernel, winograd.STRIDE[kernel], 1)
    direct = copy.deepcopy(nchw).to(memory_format=torch.channels_last)
    quick = copy.deepcopy(direct)
    use_quick_convs(quick)
    x = torch.randn(BATCH, inputs, side, side)
    exact = copy.deepcopy(nchw).double()(x.double()).detach()
    tiles = BATCH * winograd.count_tiles((x if transposed else exact).shape[2:])
    taken = winograd.worth(
        kernel, tiles, tiles * winograd.TILE**2, *((outputs, inputs) if transposed else (inputs, outputs))
    )
    monkeypatch.setattr(winograd, "worth", lambda *_: True)
    nets = {
        "bigan": quick,
        "direct": direct,
        "compile": torch.compile(copy.deepcopy(direct), dynamic=False),
        "nchw": nchw,
    }
    cotangent = torch.randn_like(exact, dtype=torch.float32)

    def training(net, x, cotangent):
        x = x.requires_grad_()

        def run():
            net.zero_grad()
            x.grad = None
            net(x).backward(cotangent)

        return run

    last = [t.contiguous(memory_format=torch.channels_last) for t in (x, cotangent)]
    calls = {
        name: training(net, *((x, cotangent) if name == "nchw" else (t.clone() for t in last)))
        for name, net in nets.items()
    }
    times = in_turns(calls, "cpu", budget=1.0, cpu_time=request.config.getoption("--cpu-time"))
    error, usual = (((nets[n](last[0]) - exact).norm() / exact.norm()).item() for n in ("bigan", "direct"))
    shape = f"{'T ' if transposed else ''}{kernel}x{kernel} {inputs}->{outputs}, {side} px"
    rows.append(
        {"conv": shape, "ms": times["bigan"]["us"] / 1e3, "direct ms": times["direct"]["us"] / 1e3}
        | {f"x {n}": ratio(times, n) for n in ("direct", "compile", "nchw")}
        | {"error": f"{error:.1e}", "direct error": f"{usual:.1e}", "taken": str(taken)}
    )
