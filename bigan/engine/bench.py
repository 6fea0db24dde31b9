"""How many images a second a system trains on here: as it is, and with the switches of --fast.

Steps of each kind in turns, on random images that lie on the device, so that a change of the machine's speed meets all
of them; reading data, pictures and checkpoints are left out.
"""

import dataclasses
import statistics
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from bigan.data import scale
from bigan.engine import fast
from bigan.engine.config import Run
from bigan.engine.graphs import WARM_UP, GraphedStep
from bigan.engine.loadrun import build
from bigan.engine.noise import Noise

LEAST = 3  # rounds, however long they take


@dataclasses.dataclass(frozen=True)
class Rate:
    """Images a second of one way to train: the median, and between which lie three fifths of the steps."""

    flags: str
    switches: tuple[str, ...]
    median: float
    low: float
    high: float


def rates(
    module: ModuleType, config: Any, run: Run, channels: int, seconds: float, compiled: bool = False
) -> list[Rate]:
    """Plain, with --fast, and if wanted with --fast --compile, for `seconds` each.

    Raises UserError where torch.compile cannot be had.
    """
    ways = {"": run, "--fast": dataclasses.replace(run, fast=True)}
    if compiled:
        ways["--fast --compile"] = dataclasses.replace(run, fast=True, compile=True)
    steps = {flags: _Steps(module, config, way, channels) for flags, way in ways.items()}
    taken: dict[str, list[float]] = {flags: [] for flags in steps}
    stop = time.perf_counter() + seconds * len(steps)
    while time.perf_counter() < stop or len(taken[""]) < LEAST:
        for flags, timed in steps.items():
            taken[flags].append(next(timed))
    return [_rate(flags, steps[flags].run, taken[flags]) for flags in steps]


def _rate(flags: str, run: Run, taken: list[float]) -> Rate:
    low, *_, high = statistics.quantiles(taken, n=5)
    on = tuple(name for name in fast.SWITCHES if getattr(run, name))
    return Rate(flags, on, run.batch / statistics.median(taken), run.batch / high, run.batch / low)


class _Steps(Iterator[float]):
    """A training without data; each `next` is a step, and its seconds."""

    def __init__(self, module: ModuleType, config: Any, run: Run, channels: int):
        self.device = run.torch_device
        self.system = build(module, config, (channels, run.size, run.size), run.seed).to(self.device)
        self.run = fast.resolve(run, self.system, self.device, lambda message: None)
        fast.prepare(self.run, self.system)
        pixels = torch.randint(256, (run.batch, channels, run.size, run.size), dtype=torch.uint8)
        self.x = fast.laid_out(self.run, scale(pixels, self.system.data_range).to(self.device))
        self.labels = (self.x.new_ones(run.batch, self.system.labels),) if self.system.labels else ()
        with torch.no_grad():
            self.system.prepare(self.x)
        self.players = self.system.players()
        fast.equip(self.run, self.players, self.device)
        self.noise, self.done = Noise(run.seed, self.device), 0
        if self.run.compile:
            fast.compile_networks(self.system)
        self.call: Callable[..., Any] = lambda x, kimg, kind, *labels: self._step(x, kimg, *labels)
        if self.run.cuda_graph:
            self.call = GraphedStep(self._step, self.device)
        for _ in range(WARM_UP + 1 if self.run.cuda_graph else 1):  # and what is recorded or compiled once
            next(self)

    def __next__(self) -> float:
        start = time.perf_counter()
        kimg = self.run.kimg + self.done * self.run.batch / 1000  # beyond a warm-up, the algorithm whole
        self.noise.at(self.done)
        self.call(self.x, kimg, self.system.kind(kimg, self.run.batch), *self.labels)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.done += 1
        return time.perf_counter() - start

    def _step(self, x: Tensor, kimg: float, *labels: Tensor) -> dict[str, Tensor]:
        self.noise.rewind()
        with fast.autocast(self.run, self.device):
            return self.system.step(x, self.noise, *labels, kimg=kimg, **self.players)
