"""The operators' rows in short: for each operator the range over its rows and their geometric mean, then all.

    python benchmarks/summary.py benchmarks/results/cpu.json

An operator has a row for each form and shape.  Over all, each pair of operator and shape counts once, lest an
operator weigh more for having more forms; the mean over the rows is told as well.
"""

import json
import sys
from pathlib import Path
from statistics import geometric_mean

RIVALS = ("x eager", "x compile")


def table(rows: list[dict]) -> list[list[str]]:
    """A header, a line for each operator, and two for all of them; empty without rows of operators."""
    rows = [row for row in rows if "op" in row]
    if not rows:
        return []
    lines = [["operator", "rows", *RIVALS]]
    names = list(dict.fromkeys(_operator(row) for row in rows))
    for name in names:
        own = [row for row in rows if _operator(row) == name]
        lines.append([name, str(len(own)), *(_range([row[rival] for row in own]) for rival in RIVALS)])
    pairs: dict[tuple[str, str], list[dict]] = {}
    for row in rows:
        pairs.setdefault((_operator(row), row["shape"]), []).append(row)
    lines.append(
        ["all operators and shapes", str(len(pairs))]
        + [
            f"{geometric_mean(geometric_mean(row[rival] for row in same) for same in pairs.values()):.2f}"
            for rival in RIVALS
        ]
    )
    means = [f"{geometric_mean(row[rival] for row in rows):.2f}" for rival in RIVALS]
    return [*lines, ["all rows", str(len(rows)), *means]]


def _operator(row: dict) -> str:
    return row["op"].partition("-")[0]


def _range(ratios: list[float]) -> str:
    return f"{min(ratios):.3g} to {max(ratios):.3g}, {geometric_mean(ratios):.3g}"


def aligned(lines: list[list[str]]) -> list[str]:
    """The lines of a table, its columns right-aligned."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in lines]


if __name__ == "__main__":
    print(*aligned(table(json.loads(Path(sys.argv[1]).read_text())["rows"])), sep="\n")
