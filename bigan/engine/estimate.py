"""What a training will take, before it is begun: for `bigan train --dry-run`.

A step is played through without numbers, on PyTorch's meta device, and its operations are counted; only how many of
them the device does in a second is measured, by one convolution.
"""

import time
import weakref
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from bigan.engine import recompute
from bigan.engine.config import Run
from bigan.engine.noise import Noise

SECONDS = 0.3  # of measuring the device
SHAPES = (64, 64, 32, 32)  # of its convolution: batch, channels, pixels


def estimate(module: ModuleType, config: Any, run: Run, image_shape: tuple[int, int, int]) -> dict[str, Any]:
    """Parameters by network, GFLOP of a step, GiB at its peak, and images/s at most, by these. Rounded.

    The peak counts weights, gradients, Adam's two moments and every tensor while a reference to it lives; not
    what libraries set aside. Images/s are what convolutions alone would allow, in float32: a training is slower.
    """
    batch = run.batch
    with torch.device("meta"):
        system = module.build(config, image_shape)
        if run.recompute:
            recompute.use(system)
        players, noise = system.players(), Noise(0, "meta")
        labels = [torch.empty(batch, system.labels)] if system.labels else []
        with FlopCounterMode(display=False) as flops, Peak() as peak:
            system.step(torch.empty(batch, *image_shape), noise.at(0), *labels, kimg=1e9, **players)
    own = sum(t.nbytes for t in system.state_dict().values())
    rate = measured(run.torch_device)
    return {
        "parameters": {name: _size(net) for name, net in system.named_children() if _size(net)},
        "gflop_per_step": _rounded(flops.get_total_flops() / 1e9),
        "peak_gib": _rounded((own + peak.most) / 2**30),
        "device_gflop_per_s": _rounded(rate / 1e9),
        "images_per_s_at_most": _rounded(batch * rate / max(flops.get_total_flops(), 1)),
    }


class Peak(TorchDispatchMode):
    """The most bytes that tensors made inside hold at one time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for t in tree_leaves(out):
            if isinstance(t, Tensor):
                self._count(t)
        self.most = max(self.most, self.now)
        return out

    def _count(self, t: Tensor) -> None:
        storage = t.untyped_storage()
        key = storage._cdata
        if key in self._seen:
            return
        size = storage.nbytes()
        self._seen.add(key)
        self.now += size

        def gone() -> None:
            self._seen.discard(key)
            self.now -= size

        weakref.finalize(storage, gone)


def measured(device: torch.device) -> float:
    """Operations a second of a convolution, forward and backward."""
    n, c, side, _ = SHAPES
    conv = nn.Conv2d(c, c, 3, padding=1).to(device)
    x = torch.rand(n, c, side, side, device=device, requires_grad=True)

    def once() -> None:
        conv(x).sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    once()
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        once()
        calls += 1
    return calls * 3 * 2 * n * c * c * 9 * side * side / (time.perf_counter() - began)


def _size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def _rounded(x: float) -> float:
    return float(f"{x:.3g}")
