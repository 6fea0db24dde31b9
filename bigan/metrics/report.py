"""Numbers, each with all that decides it: the extractor and its hash, sample counts, splits, modes."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


class Estimate(NamedTuple):
    """A number and how far it may be off; `of` says in what sense."""

    value: float
    spread: float
    of: str


@dataclass(frozen=True)
class Number:
    """One metric's value, as it is printed and kept."""

    metric: str
    value: float
    better: str  # "lower", "higher" or ""
    spread: float | None = None
    spread_is: str = ""
    extractor: str = ""  # name and hash, where the metric has one
    real: int | None = None  # images
    fake: int | None = None
    note: str = ""  # its definition, where the name does not say it
    mode: str = ""  # of the system that made the images

    @property
    def name(self) -> str:
        """The metric, never without its extractor: FID[efficientnet-lite0-128px#57934424]"""
        return f"{self.metric}[{self.extractor}]" if self.extractor else self.metric

    @property
    def text(self) -> str:
        value = f"{self.value:.4g}" if abs(self.value) < 1000 else f"{self.value:.0f}"
        return value if self.spread is None else f"{value} ± {self.spread:.2g}"


def number(metric: str, value: float | Estimate, better: str, **about: Any) -> Number:
    if isinstance(value, Estimate):
        about |= {"spread": value.spread, "spread_is": value.of}
        value = value.value
    return Number(metric, float(value), better, **about)


def table(numbers: Sequence[Number]) -> str:
    """For people: one line a number, below them the modes of the system."""
    from bigan.info import table as aligned

    rows = [("metric", "value", "better", "images", "how")]
    for n in numbers:
        count = "" if n.real is None and n.fake is None else f"{_count(n.real)} real, {_count(n.fake)} fake"
        rows.append((n.name, n.text, n.better, count, "; ".join(filter(None, (n.spread_is, n.note)))))
    modes = sorted({n.mode for n in numbers} - {""})
    return "\n".join([aligned(rows), *modes])


def to_json(numbers: Iterable[Number], **about: Any) -> str:
    """For programs: the numbers by name, beside `about`."""
    found = {n.name: {k: v for k, v in asdict(n).items() if v not in (None, "")} for n in numbers}
    return json.dumps({**about, "metrics": found}, indent=2) + "\n"


def _count(n: int | None) -> str:
    return "no" if n is None else f"{n}"
