"""A table of a paper in Markdown: published beside measured, and whether the rows come in the same order."""

import datetime
import itertools
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bigan.metrics.published import Row, Table

Measured = dict[str, Any]  # what eval.json holds: settings, and "metrics" by name


def markdown(table: Table, found: dict[str, Measured | None], about: Sequence[str]) -> str:
    """found: by row name; None for a row not measured yet.  about: lines on how this was made."""
    heads = ["row"] + [
        head for m in table.metrics for head in (f"{m}, published", f"{_name(m, found)}, measured")
    ]
    lines = [f"# {table.title}", "", *about, "", _line(heads), _line("---" for _ in heads)]
    for row in table.rows:
        cells = [row.name]
        for metric in table.metrics:
            cells += [row.published.get(metric, "–"), _measured(metric, found.get(row.name))]
        lines.append(_line(cells))
    lines += ["", "Order of the rows, best first:", ""]
    lines += [
        line for metric, better in table.metrics.items() for line in _order(table, metric, better, found)
    ]
    notes = [f"- {row.name}: {row.note}" for row in table.rows if row.note]
    return "\n".join([*lines, *(["", "Notes:", "", *notes] if notes else []), ""])


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _number(metric: str, measured: Measured | None) -> dict[str, Any] | None:
    """The metric of a row, whatever its extractor."""
    numbers = (measured or {}).get("metrics", {}).values()
    return next((n for n in numbers if n["metric"] == metric), None)


def _name(metric: str, found: dict[str, Measured | None]) -> str:
    """With its extractor, if it has one: never the bare word FID for another network."""
    labels = {n.get("extractor", "") for measured in found.values() if (n := _number(metric, measured))}
    return f"{metric}[{' or '.join(sorted(labels))}]" if labels - {""} else metric


def _measured(metric: str, measured: Measured | None) -> str:
    if measured is None:
        return "not run"
    number = _number(metric, measured)
    if number is None:
        return "–"
    value = f"{number['value']:.4g}"
    return f"{value} ± {number['spread']:.2g}" if "spread" in number else value


def _order(table: Table, metric: str, better: str, found: dict[str, Measured | None]) -> list[str]:
    """Two rankings of the rows that have both numbers, and how many pairs of them agree."""
    both: list[tuple[Row, float, float]] = []
    for row in table.rows:
        number = _number(metric, found.get(row.name))
        if number is not None and metric in row.published:
            both.append((row, float(row.published[metric].split()[0]), number["value"]))
    if len(both) < 2:
        return [f"- {metric}: fewer than two rows to compare"]
    sign = 1 if better == "lower" else -1
    by = [sorted(both, key=lambda b: sign * b[1]), sorted(both, key=lambda b: sign * b[2])]
    published, measured = (", ".join(row.name for row, *_ in ranked) for ranked in by)
    pairs = list(itertools.combinations(both, 2))
    agree = sum((a[1] - b[1]) * (a[2] - b[2]) > 0 for a, b in pairs)
    return [f"- {metric}: published {published}; measured {measured} ({agree} of {len(pairs)} pairs agree)"]


def provenance(command: str, found: dict[str, Measured | None]) -> list[str]:
    """How the rows were made: lines for the head of the table."""
    import bigan
    from bigan.info import devices

    how = next((f["settings"] for f in found.values() if f and "kimg" in f["settings"]), None)
    commit = _commit()
    made = f"`{command}`, {datetime.date.today()}, bigan {bigan.__version__}"
    made += (f", commit {commit}" if commit else "") + f", torch {torch.__version__}."
    lines = [made, "", f"Machine: {'; '.join(f'{k} {v}' for k, v in devices().items())}."]
    if how:
        points = "seeds" in how
        trained = f", {how['seeds']} seeds" if points else f" at {how['size']} px, seed {how['seed']}"
        real = "" if points else f"{how['n'] or 'all'} {'test' if how['test'] else 'held-out'} images and "
        lines.append(
            f"Each row: {how['kimg']:g} kimg of {Path(how['data']).name}{trained}; measured with {real}"
            f"{how['samples']} samples."
        )
        if how["scale"] == "cpu":
            lines.append(
                "Small networks, short training: the order of the rows may be compared, the numbers not."
            )
    return lines


def _commit() -> str:
    """Of the checkout that this package lies in, if it lies in one."""
    here = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "--short", "HEAD"],
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
