"""A step's terms between two lines of the log, without waiting for the device at each step."""

import math

import torch
from torch import Tensor

from bigan import ranks
from bigan.errors import UserError

FOLD = 1000  # steps kept on the device at most: how late a non-finite term can be noticed


class NonFinite(UserError):
    """Training went wrong at a step; `step` and `term` say where."""

    def __init__(self, step: int, term: str, value: float | str = "not finite"):
        super().__init__(f"step {step}: {term} is {value}")
        self.step, self.term, self.value = step, term, value


class Meter:
    """Keeps the terms on the device, step by step, until somebody asks, and all ranks do. Means over ranks."""

    def __init__(self) -> None:
        self.totals: dict[
            str, tuple[float, int]
        ] = {}  # term -> (sum, steps); with them a log line survives a resume
        self._rows: list[tuple[int, list[str], Tensor]] = []

    def update(self, step: int, terms: dict[str, Tensor]) -> None:
        self._rows.append((step, list(terms), torch.stack(tuple(terms.values()))))
        if len(self._rows) >= FOLD:
            self.fold()

    def fold(self) -> None:
        """Fetch what the device holds, in one copy. NonFinite at the first term that is NaN or infinite."""
        rows, self._rows = self._rows, []
        if not rows:
            return
        values = iter(ranks.mean(torch.cat([values for _, _, values in rows])).tolist())
        for step, names, _ in rows:
            for name in names:
                value = next(values)
                if not math.isfinite(value):
                    raise NonFinite(step, name, value)
                total, steps = self.totals.get(name, (0.0, 0))
                self.totals[name] = total + value, steps + 1

    def read(self) -> dict[str, float]:
        """The mean of each term since the last read."""
        self.fold()
        means = {name: total / steps for name, (total, steps) in self.totals.items()}
        self.totals = {}
        return means
