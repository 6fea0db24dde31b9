"""A run's log as curves over images seen: RUN/plots.png."""

import io
import json
from pathlib import Path
from typing import Any

from bigan.engine import files
from bigan.errors import UserError

NO_MATPLOTLIB = "plots need matplotlib: pip install matplotlib"
SKIP = {"step", "kimg", "seconds", "images_per_s", "eval_images"}  # axes and speeds, not results
COLUMNS = 4


def plot(run: Path, out: Path | None = None) -> Path:
    """Draw each term and metric of log.jsonl in a panel of its own; returns the picture's path.

    UserError where there is nothing to draw, or matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise UserError(NO_MATPLOTLIB) from None
    curves = read(run)
    if not curves:
        raise UserError(f"{run / 'log.jsonl'} has no numbers yet")
    rows = -(-len(curves) // COLUMNS)
    figure = Figure(figsize=(3.2 * COLUMNS, 2.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for i, (name, points) in enumerate(curves.items()):
        axes: Any = figure.add_subplot(rows, COLUMNS, i + 1)
        axes.plot(*zip(*points, strict=True), marker="." if len(points) < 30 else None, linewidth=1)
        axes.set_title(name.replace("[", "\n["), fontsize=8)  # the extractor on a line of its own
        axes.tick_params(labelsize=7)
        axes.grid(alpha=0.3)
        axes.set_xlabel("kimg", fontsize=7)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    path = out or run / "plots.png"
    files.write(path, buffer.getvalue(), durable=False)
    return path


def read(run: Path) -> dict[str, list[tuple[float, float]]]:
    """name -> [(kimg, value), ...] of what log.jsonl holds; losses first, metrics after them."""
    try:
        lines = (run / "log.jsonl").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{run} has no log.jsonl: it is no run directory") from None
    curves: dict[str, list[tuple[float, float]]] = {}
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:  # being written at this moment
            continue
        for name, value in record.items():
            if name not in SKIP and isinstance(value, int | float):
                curves.setdefault(name, []).append((record.get("kimg", 0.0), value))
    return dict(sorted(curves.items(), key=lambda curve: _is_metric(curve[0])))


def _is_metric(name: str) -> bool:
    """val_mse and what --eval-every adds, against the terms of a step: identifiers in lower case."""
    return name.startswith("val_") or " " in name or "[" in name or name.isupper()
