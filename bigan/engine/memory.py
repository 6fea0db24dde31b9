"""How much memory and time a run will take, before it starts; and what to do when memory was not enough."""

import contextlib
import time
import weakref
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from bigan import nets
from bigan.engine import fast
from bigan.engine.config import Run
from bigan.engine.loadrun import build
from bigan.engine.noise import Noise
from bigan.errors import UserError
from bigan.systems.base import System

GB = 1e9
WINOGRAD = (torch.ops.aten.bmm, torch.ops.aten.baddbmm)  # what engine/winograd.py multiplies by
SHARE = 0.7  # of the rate of a convolution alone, that a step reaches


def recompute(system: System) -> None:
    """Have the networks keep the inputs of their parts alone, and compute the rest again in the backward."""
    found = [m for m in system.modules() if isinstance(m, nets.Stack)]
    if not found:
        raise UserError(f"--recompute: {type(system).__name__} has no residual networks, which alone have it")
    for net in found:
        net.recompute = True


def estimate(module: ModuleType, config: Any, run: Run, channels: int) -> dict[str, float]:
    """From one step on tensors without data: parameters in millions, GB, images/s where the device is here.

    The activations are those kept for the backward, at their peak; a convolution's workspace is not in it.
    """
    try:
        device = run.torch_device
    except UserError:  # a command for another machine
        device = None
    with FakeTensorMode():
        system = build(module, config, (channels, run.size, run.size))
        if device is not None:
            run = fast.resolve(run, system, device, lambda message: None)
        fast.prepare(run, system)
        if run.recompute:
            recompute(system)
        players = system.players()
        for player in players.values():
            player.move = lambda: None  # type: ignore[method-assign]
        x = fast.laid_out(run, torch.rand(run.batch, channels, run.size, run.size))
        labels = (torch.zeros(run.batch, system.labels),) if system.labels else ()
        kept = _Kept(system)
        with FlopCounterMode(display=False) as counter, kept.counting():
            system.step(x, Noise(run.seed, "cpu"), *labels, kimg=run.kimg, **players)
        parameters = sum(p.numel() for p in system.parameters())
    copies = 4 + bool(run.ema)  # weights, gradients, Adam's two moments, the average
    flops = counter.get_total_flops()
    counts = counter.get_flop_counts()["Global"]
    transforms = sum(counts.get(op, 0) for op in WINOGRAD)  # take about as long as the products they save
    found = {
        "parameters_millions": round(parameters / 1e6, 2),
        "weights_and_optimizer_gb": round(4 * copies * parameters / GB, 3),
        "activations_gb": round(kept.peak / GB, 3),
        "gflop_an_image": round(flops / run.batch / GB, 3),
    }
    if device is not None:
        found["images_per_s_about"] = float(
            f"{SHARE * _rate(device) * run.batch / max(flops + transforms, 1):.2g}"
        )
    return found


class _Kept:
    """Bytes that autograd keeps for the backward, each storage once, weights left out."""

    def __init__(self, system: nn.Module):
        self._system = system  # alive, lest its addresses be used again
        self._weights = {p.untyped_storage()._cdata for p in system.parameters()}
        self._users: dict[int, int] = {}
        self.now = self.peak = 0

    @contextlib.contextmanager
    def counting(self) -> Iterator[None]:
        with saved_tensors_hooks(self._pack, lambda held: held.tensor):
            yield

    def _pack(self, t: Tensor) -> Any:
        held = _Held(t.detach())  # not the graph that keeps it
        storage = t.untyped_storage()
        if storage._cdata not in self._weights:
            self._count(storage._cdata, storage.nbytes(), 1)
            weakref.finalize(held, self._count, storage._cdata, storage.nbytes(), -1)
        return held

    def _count(self, key: int, size: int, by: int) -> None:
        before = self._users.get(key, 0)
        self._users[key] = before + by
        self.now += size * ((before + by > 0) - (before > 0))
        self.peak = max(self.peak, self.now)


class _Held:
    def __init__(self, tensor: Tensor):
        self.tensor = tensor


def _rate(device: torch.device) -> float:
    """FLOP/s of one convolution, forward and backward, here and now."""
    conv = nn.Conv2d(128, 128, 3, padding=1).to(device)
    x = torch.randn(16, 128, 16, 16, device=device, requires_grad=True)
    flops = 3 * 2 * conv.weight.numel() * 16 * 16 * 16
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        conv(x).sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return flops / best


@contextlib.contextmanager
def advice(run: Run) -> Iterator[None]:
    """Out of memory as a UserError that says what to lower."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError)
        if not known and "can't allocate memory" not in str(error):
            raise
        ways = [f"a smaller --batch than {run.batch}"] if run.batch > 1 else []
        ways += [] if run.recompute else ["--recompute, where the system has it"]
        ways += [f"a smaller --size than {run.size}", "narrower networks"]
        raise UserError(
            f"out of memory: try {', '.join(ways[:-1])} or {ways[-1]} "
            "(batch and networks make another run: give another --out)"
        ) from error
