"""Timing two or more ways to do the same thing on a machine that is not quiet: in turns, medians, ratios."""

import gc
import statistics
import time
from collections.abc import Callable

import torch

_L2_FLUSH = 256 << 20  # bytes: more than any GPU's second-level cache


class Clock:
    """Seconds of one call, by the clock, as time of this process on the CPU, or between CUDA events."""

    def __init__(self, device: str, cpu_time: bool = False):
        self.cuda = device == "cuda"
        self.now = time.process_time if cpu_time else time.perf_counter
        self.flush = torch.empty(_L2_FLUSH, dtype=torch.uint8, device="cuda") if self.cuda else None

    def seconds(self, call: Callable[[], object], repeat: int) -> float:
        """Mean of `repeat` calls on the CPU; on a GPU each starts with a cold cache."""
        if not self.cuda:
            start = self.now()
            for _ in range(repeat):
                call()
            return (self.now() - start) / repeat
        total = 0.0
        for _ in range(repeat):
            assert self.flush is not None
            self.flush.zero_()
            start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            start.record()
            call()
            end.record()
            end.synchronize()
            total += start.elapsed_time(end) / 1e3
        return total / repeat


def in_turns(
    calls: dict[str, Callable[[], object]],
    device: str,
    budget: float = 2.0,
    least: int = 9,
    cpu_time: bool = False,
) -> dict[str, dict]:
    """Name -> median, 20 % and 80 % quantiles in microseconds.

    Every round times each call once, one after another, so that a change of the machine's speed meets all;
    rounds go on for `budget` seconds a call, at least `least` and at most 101.
    """
    clock = Clock(device, cpu_time)
    repeat = {}
    for name, call in calls.items():
        call()  # compiles, fills caches
        if clock.seconds(call, 1) > 0.1:
            repeat[name] = 1
            continue
        call()
        repeat[name] = max(1, min(1000, int(0.005 / clock.seconds(call, 2))))
    samples: dict[str, list[float]] = {name: [] for name in calls}
    gc.disable()
    try:
        stop = time.perf_counter() + budget * len(calls)
        while (rounds := len(next(iter(samples.values())))) < least or (
            time.perf_counter() < stop and rounds < 101
        ):
            for name, call in calls.items():
                samples[name].append(clock.seconds(call, repeat[name]))
    finally:
        gc.enable()
    result = {}
    for name, values in samples.items():
        low, *_, high = statistics.quantiles(values, n=5)
        result[name] = {"us": statistics.median(values) * 1e6, "q20": low * 1e6, "q80": high * 1e6}
    return result


def ratio(times: dict[str, dict], rival: str, ours: str = "bigan") -> float:
    """How many times quicker than `rival`: above 1 is a win."""
    return times[rival]["us"] / times[ours]["us"]
