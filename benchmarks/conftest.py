"""Collects rows from the benchmarks, prints them as a table and writes benchmarks/results/<device>.json."""

import json
import platform
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest
import summary
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))  # op_cases/: the inputs, declared once

ROWS: list[dict] = []
RESULTS = Path(__file__).parent / "results"
SUFFIXES = {"system": "-steps", "conv": "-convs"}  # by a row's first column


def pytest_xdist_auto_num_workers(config):
    return 0  # one after the other, whatever the tests do: these are timed


def pytest_addoption(parser):
    parser.addoption(
        "--save",
        action="store_true",
        help="write benchmarks/results/<device>.json, steps and convolutions apart",
    )
    parser.addoption(
        "--cpu-time",
        action="store_true",
        help="steps by this process's time on the CPU: for a machine that others use; with OMP_NUM_THREADS=1",
    )
    parser.addoption(
        "--compiled", action="store_true", help="steps beside the textbook's with torch.compile as well"
    )
    parser.addoption("--json", default=None, help="write the rows to this file")


@pytest.fixture
def rows():
    """Append a dict: op, shape, then numbers."""
    return ROWS


def device_name() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        model = platform.processor() or platform.machine()
    return f"{model}, {torch.get_num_threads()} threads"


def conditions() -> dict:
    import bigan

    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent
    )
    return {
        "device": device_name(),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "bigan": bigan.__version__,
        "commit": commit.stdout.strip(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def pytest_terminal_summary(terminalreporter, config):
    if not ROWS:
        return
    terminalreporter.section(f"benchmarks on {device_name()}")
    groups: dict[tuple, list[dict]] = {}
    for row in ROWS:
        groups.setdefault(tuple(row), []).append(row)
    for columns, members in groups.items():
        cells = [list(columns)] + [[_cell(row[c]) for c in columns] for row in members]
        for line in [*summary.aligned(cells), ""]:
            terminalreporter.write_line(line)
    for line in [*summary.aligned(summary.table(ROWS)), ""]:
        terminalreporter.write_line(line)
    targets: list[tuple[Path, list[dict]]] = []
    if config.getoption("--json"):
        targets.append((Path(config.getoption("--json")), ROWS))
    if config.getoption("--save"):
        kind = torch.cuda.get_device_name().replace(" ", "-").lower() if torch.cuda.is_available() else "cpu"
        RESULTS.mkdir(exist_ok=True)
        named: dict[str, list[dict]] = {}
        for row in ROWS:
            named.setdefault(SUFFIXES.get(next(iter(row)), ""), []).append(row)
        targets += [(RESULTS / f"{kind}{suffix}.json", rows) for suffix, rows in named.items()]
    for target, rows in targets:
        target.write_text(json.dumps({"conditions": conditions(), "rows": rows}, indent=1) + "\n")
        terminalreporter.write_line(f"written to {target}")


def _cell(value) -> str:
    if isinstance(value, float):
        return f"{value:.2f}" if value < 10 else f"{value:.0f}"
    return str(value)
