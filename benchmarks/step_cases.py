"""A system and its textbook trainer with the same weights, and a check that they do the same."""

import contextlib
import importlib
import itertools
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from bigan import ops, systems
from bigan.engine import fast
from bigan.engine.config import Run
from bigan.engine.noise import Noise
from bigan.spectral_norm import SpectralNorm
from bigan.systems.base import System

NAMES = ("pagan", "ali", "introvae", "age")
SEED = 7
SHAPE = (3, 32, 32)
_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d)


def pair(name: str, seed: int = 0) -> tuple[System, Any]:
    """The system of the preset `cifar10` and the textbook trainer, from the same weights."""
    module, textbook = systems.load(name), importlib.import_module(f"textbook.{name}")
    config = module.PRESETS["cifar10"].config
    torch.manual_seed(seed)
    system = module.build(config, SHAPE)
    trainer = textbook.Trainer(config)
    ours = [net for net in system.children() if next(net.parameters(), None) is not None]
    for a, b in zip(ours, trainer.nets, strict=True):
        _copy(a, b)
    return system, trainer


def step(name: str, variant: str, batch: int, device: str) -> Callable[[], object]:
    """One training step on a batch of its own: of the system as it is, or "fast", or of the "textbook" trainer.

    "compiled": the textbook's, each network through torch.compile.
    """
    system, trainer = pair(name)
    low, high = system.data_range
    x = (low + (high - low) * torch.rand(batch, *SHAPE)).to(device)
    if variant in ("textbook", "compiled"):
        for net in trainer.nets:
            net.to(device)
            if variant == "compiled":
                net.compile(dynamic=False, mode="reduce-overhead" if device == "cuda" else None)
        return lambda: trainer.step(x)
    run = Run(fast=variant == "fast")
    place = torch.device(device)
    system.to(place)
    run = fast.resolve(run, system, place, lambda message: None)
    fast.prepare(run, system)
    players, noise = system.players(), Noise(SEED, place)
    fast.equip(run, players, place)
    x = fast.laid_out(run, x)
    done = 0

    def one():
        nonlocal done
        done += 1
        noise.at(done)
        with fast.autocast(run, place):
            return system.step(x, noise, kimg=1.0, **players)

    return one


def peak(name: str, variant: str, batch: int, device: str) -> tuple[float, float]:
    """Most memory beyond weights and images, MB: of the tensors of a step, and of the process in three steps.

    The second holds what the allocator keeps beside tensors; medians of three processes.
    """
    command = [sys.executable, __file__, name, variant, str(batch), device]
    folder = Path(__file__).parent
    outputs = (subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder) for _ in "123")
    tensors, process = zip(*(json.loads(done.stdout.splitlines()[-1]) for done in outputs), strict=True)
    return statistics.median(tensors), statistics.median(process)


def _measured_on_gpu(call: Callable[[], object]) -> tuple[float, float]:
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
    for _ in range(3):
        call()
    after = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    return (after[0] - before[0]) / 2**20, (after[1] - before[1]) / 2**20


def _measured_on_cpu(call: Callable[[], object]) -> tuple[float, float]:
    before = _resident(peak=False)
    for _ in range(3):
        call()
    process = _resident(peak=True) - before
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profiler:
        call()
    results = profiler.profiler.kineto_results  # the one place that has each allocation, in order
    changes = sorted((e.start_ns(), e.nbytes()) for e in results.events() if e.name() == "[memory]")
    return max(itertools.accumulate(n for _, n in changes)) / 2**20, process


def _resident(peak: bool) -> float:
    """Of this process, MB, on Linux; the peak is that since the last call for the present."""
    if not peak:
        Path("/proc/self/clear_refs").write_text("5")
    key = "VmHWM:" if peak else "VmRSS:"
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def check(name: str, batch: int = 8) -> None:
    """Raises AssertionError unless two steps of the two, on the same draws, have the same losses.

    In float64, without dropout and with the spectral norms' vectors held: there they draw, or iterate,
    in different ways.
    """
    system, trainer = pair(name)
    for net in (system.double(), *(net.double() for net in trainer.nets)):
        for m in net.modules():
            if isinstance(m, nn.Dropout):
                m.p = 0.0
            elif isinstance(m, SpectralNorm):
                m.training = False
            elif is_parametrized(m):
                m.parametrizations.eval()
    players, noise = system.players(), Noise(SEED, "cpu")
    low, high = system.data_range
    for k in range(2):
        x = low + (high - low) * torch.rand(batch, *SHAPE, dtype=torch.double)
        with _same_draws(name, trainer, system, k):
            want = trainer.step(x)
        got = system.step(x, noise.at(k), kimg=1.0, **players)
        for term, value in want.items():
            torch.testing.assert_close(got[term], value.detach(), rtol=1e-6, atol=1e-6, msg=f"{name}: {term}")


def _same_draws(name: str, trainer: Any, system: System, step: int):
    """torch.randn, and PAGAN's augmentation, draw what `Noise` draws for this step."""
    rng, streams = torch.tensor([SEED, step]), iter(range(100))

    def randn(n, dim, dtype):
        return ops.philox_normal(rng, n, dim, stream=next(streams), dtype=dtype)

    def augment(x, pad):
        return ops.augment_pair(x, pad=pad, layout="width", rng=rng, stream=2)[..., x.shape[3] :]

    stack = contextlib.ExitStack()
    stack.enter_context(
        mock.patch.multiple(torch, randn=randn, randn_like=lambda t: randn(*t.shape, t.dtype))
    )
    if name == "pagan":
        stack.enter_context(mock.patch("textbook.pagan.augment", augment))
    return stack


@torch.no_grad()
def _copy(ours: nn.Module, theirs: nn.Module) -> None:
    """Parameters layer by layer; both list their layers in the same order."""
    spectral = ours if isinstance(ours, SpectralNorm) else None
    a = [m for m in ours.modules() if isinstance(m, _LAYERS)]
    b = [m for m in theirs.modules() if isinstance(m, _LAYERS)]
    at = [0, 0]
    for source, target in zip(a, b, strict=True):
        if spectral is not None:
            weight = target.parametrizations.weight
            weight.original.copy_(source.weight)
            for i, name in enumerate(("u", "v")):
                vector = getattr(weight[0], f"_{name}")
                vector.copy_(getattr(spectral, name)[at[i] : at[i] + len(vector)])
                at[i] += len(vector)
        elif source.weight is not None:
            target.weight.copy_(source.weight)
        if source.bias is not None:
            target.bias.copy_(source.bias)
    biases = [p for n, p in theirs.named_parameters(recurse=False)]  # ALI's, of each pixel
    for p in biases:
        p.copy_(next(q for n, q in ours.named_parameters() if q.shape == p.shape and "untied" in n))


if __name__ == "__main__":
    name, variant, batch, device = sys.argv[1:]
    measured = _measured_on_gpu if device == "cuda" else _measured_on_cpu
    print(json.dumps(measured(step(name, variant, int(batch), device))))
