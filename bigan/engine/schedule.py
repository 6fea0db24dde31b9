"""When things are due, counted in steps, and how long they took."""

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bigan.engine.config import Run


@dataclass(frozen=True)
class Schedule:
    """A run's times, in steps of `batch` images."""

    batch: int
    total: int
    log: int
    sample: int
    save: int
    evaluate: int = 0  # 0: never

    @classmethod
    def of(cls, run: Run, batch: int) -> "Schedule":
        def steps(kimg: float) -> int:
            return max(1, round(kimg * 1000 / batch))

        log, sample, save = run.log_every, run.sample_every, run.checkpoint_every
        k = run.kimg
        total = max(1, math.ceil(k * 1000 / batch - 1e-9))  # no image less than asked for
        return cls(batch, total, steps(log or k / 200), steps(sample or k / 20), steps(save or k / 20),
                   steps(run.eval_every) if run.eval_every else 0)  # fmt: skip

    def kimg(self, steps: int) -> float:
        return steps * self.batch / 1000

    def log_due(self, done: int) -> bool:
        return done > 0 and (done % self.log == 0 or done == self.total)

    def sample_due(self, done: int) -> bool:
        """At the start, after the first hundredth, at intervals, at the end."""
        return done % self.sample == 0 or done in (max(1, round(self.total / 100)), self.total)

    def eval_due(self, done: int) -> bool:
        return bool(self.evaluate) and (done % self.evaluate == 0 or done == self.total)

    def save_due(self, done: int) -> bool:
        return done > 0 and (done % self.save == 0 or done == self.total)


class Clock:
    """Seconds since a run began, summed over its processes; images a second; minutes unsaved."""

    def __init__(self, before: float):
        now = time.monotonic()
        self._began, self._mark, self._saved, self._images = now - before, now, now, 0

    def count(self, images: int) -> None:
        self._images += images

    def rate(self) -> float:
        """Images a second since the last call, by the time that was not `stopped`."""
        now = time.monotonic()
        rate = round(self._images / max(now - self._mark, 1e-9), 2)
        self._mark, self._images = now, 0
        return rate

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        self._mark += time.monotonic() - began

    def saved(self) -> None:
        self._saved = time.monotonic()

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self._began, 3)

    @property
    def minutes_unsaved(self) -> float:
        return (time.monotonic() - self._saved) / 60
