"""`bigan reproduce TABLE`: trains and measures the rows of a paper's table, and writes both beside each other."""
# ruff: noqa: RUF009 (arg() makes a field, as dataclasses.field does)

import dataclasses
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import torch

from bigan import data, ops, systems
from bigan.cli import flags
from bigan.cli.pictures import default
from bigan.engine import files
from bigan.engine.config import Run, to_json
from bigan.engine.gallery import spread
from bigan.engine.loadrun import load_run
from bigan.engine.noise import PICTURES, Noise
from bigan.errors import UserError, unknown
from bigan.metrics import compare, extractors, report
from bigan.metrics.extractors import Extractor
from bigan.metrics.markdown import markdown, provenance
from bigan.metrics.published import MIXTURE, TABLES, Row, Table
from bigan.systems.base import arg

USAGE = """usage: bigan reproduce TABLE [--scale cpu|paper] [--data DATA] [--out DIR] [flags]

Trains and evaluates each row, one after the other, and writes DIR/table.md: published beside measured. Started
again, it goes on where it was. With --scale cpu the networks and the training are small: the order of the rows
may be compared, the numbers not.

tables:
{tables}
"""


@dataclasses.dataclass(frozen=True)
class Reproduce:
    """The rows of a paper's table, trained and measured."""

    scale: Literal["cpu", "paper"] = arg("cpu", "small networks and short training, or the paper's settings")
    data: Annotated[str | None, default("the paper's: cifar10 or svhn", "DATA")] = arg(
        None, "a name or path as for `bigan train`"
    )
    test: Annotated[str | None, default("held out of --data", "DATA")] = arg(None, "images to measure with")
    out: Annotated[Path | None, default("runs/reproduce/TABLE-SCALE", "DIR")] = arg(
        None, "where all of it goes"
    )
    rows: Annotated[tuple[str, ...], default("all", "ROW")] = arg((), "these rows alone")
    kimg: float = arg(0.0, "length of each training, thousands of images; 0: what the scale says")
    n: int = arg(0, "real images used; 0: 2000 at cpu scale, all at paper scale")
    samples: int = arg(0, "images drawn from each prior; 0: 2000 at cpu scale, 50,000 at paper scale")
    extractor: str = arg(extractors.DEFAULT, "efficientnet-lite0, inception, or a file of weights")
    fast: bool = arg(False, "train as `bigan train --fast` does")
    seed: int = arg(0, "of all rows")
    device: str = arg("auto", "auto (the GPU if there is one), cpu, cuda or cuda:N")

    def __post_init__(self) -> None:
        for name in ("kimg", "n", "samples"):
            if getattr(self, name) < 0:
                raise UserError(f"--{name} must be 0 or more, got {getattr(self, name)}")


def reproduce(args: list[str]) -> int:
    """Row by row; the table is written after each."""
    name = args[0] if args else ""
    if not name or name in ("-h", "--help"):
        tables = "\n".join(f"  {key:<20}{table.title}" for key, table in TABLES.items())
        print(USAGE.format(tables=tables), end="", file=sys.stdout if name else sys.stderr)
        return 0 if name else 2
    if name not in TABLES:
        raise unknown("table", name, TABLES)
    table = TABLES[name]
    c = flags.parse(Reproduce, args[1:], f"bigan reproduce {name}", table.title)
    rows = [row.name for row in table.rows]
    for wanted in c.rows:
        if wanted not in rows:
            raise unknown("row", wanted, rows)
    out = c.out or Path("runs", "reproduce", f"{name}-{c.scale}")
    points = table.data == MIXTURE
    extractor = None if points else extractors.load(c.extractor, Run(device=c.device).torch_device)
    command = _command(name, c)
    found = {row.name: _kept(out, row, settings(c, table, row, extractor)) for row in table.rows}
    for row in table.rows:
        if c.rows and row.name not in c.rows:
            continue
        if why := missing(c, table, row):
            print(f"bigan: {row.name} is left out: {why}", file=sys.stderr)
        elif found[row.name] is None:
            print(f"bigan: {row.name}", file=sys.stderr)
            found[row.name] = measure(c, table, row, extractor, out)
            if found[row.name] is None:  # stopped by SIGTERM, and saved
                return 0
            _write(out / "table.md", markdown(table, found, provenance(command, found)))
    text = markdown(table, found, provenance(command, found))
    _write(out / "table.md", text)
    print(f"{text}\ntable: {out / 'table.md'}")
    return 0


def _command(name: str, c: Reproduce) -> str:
    """What makes the table again, wherever it is put."""
    words = ["bigan", "reproduce", name, "--scale", c.scale]
    for field in dataclasses.fields(c):
        value = getattr(c, field.name)
        if field.name in ("scale", "out", "rows") or value == field.default:
            continue
        words += [f"--{field.name}"] + (
            [] if value is True else [f"{value:g}" if field.name == "kimg" else str(value)]
        )
    return shlex.join(words)


def settings(c: Reproduce, table: Table, row: Row, extractor: Extractor | None) -> dict[str, Any]:
    """All that decides a row's numbers; a row measured with other settings is measured again."""
    cpu = c.scale == "cpu"
    how: dict[str, Any] = {
        "scale": c.scale, "data": c.data or table.data, "test": c.test, "seed": c.seed, "fast": c.fast,
        "size": table.size, "n": c.n or (2000 if cpu else 0), "samples": c.samples or (2000 if cpu else 50_000),
        "extractor": extractor.label if extractor else "none", "system": row.system, "preset": row.preset,
    }  # fmt: skip
    if table.data == MIXTURE:
        from bigan.metrics.mixture import SAMPLES

        seeds, kimg = (5, table.kimg) if cpu else (10, 20_000)  # 200 epochs of 100,000 points
        sizes = {"data": MIXTURE, "n": 0, "samples": SAMPLES, "size": 1, "extractor": "none"}
        return {**how, **sizes, "seeds": seeds, "kimg": c.kimg or kimg}
    if row.system and missing(c, table, row) is None:
        preset, config, run = plan(c, table, row, Path())
        how |= {"preset": preset, "kimg": run.kimg, "batch": run.batch, "size": run.size}
        how["config"] = to_json(config)
    return how


def missing(c: Reproduce, table: Table, row: Row) -> str | None:
    """Why a row cannot be trained here."""
    if table.data == MIXTURE:
        return None if row.system else row.note
    if row.system and row.system not in systems.names():
        return f"this version has no system {row.system}"
    presets = systems.load(row.system).PRESETS if row.system else {}
    wanted = row.preset if c.scale == "paper" else "cpu"
    if row.system and wanted not in presets:
        return (
            f"{row.system} has no preset {wanted}: the paper's settings are not known, or not of these images"
        )
    return None


def plan(c: Reproduce, table: Table, row: Row, out: Path) -> tuple[str, Any, Run]:
    """(preset, Config, Run) of a row's training."""
    preset = "cpu" if c.scale == "cpu" else row.preset
    p = systems.load(row.system).PRESETS[preset]
    small = c.scale == "cpu"
    config = dataclasses.replace(p.config, **row.changes) if small else p.config
    own_size = p.size if small and not row.changes else table.size  # networks whose layers fix the size
    run = Run(
        out=out,
        data=c.data or table.data,
        size=own_size if small else p.size,
        batch=table.batch if small else p.batch,
        kimg=c.kimg or (table.kimg if small else p.kimg),
        seed=c.seed,
        device=c.device,
        fast=c.fast,
        sample_every=(c.kimg or table.kimg) / 4 if small else 0.0,
    )
    return preset, config, run


def measure(
    c: Reproduce, table: Table, row: Row, extractor: Extractor | None, out: Path
) -> dict[str, Any] | None:
    """Train a row, or go on with it, measure it, and keep the numbers beside the run; None if stopped before."""
    from bigan.engine.loop import train
    from bigan.metrics.evaluate import How, evaluate, probes

    how = settings(c, table, row, extractor)
    numbers: list[report.Number] = []
    if table.data == MIXTURE:
        from bigan.metrics.mixture import measured

        seeds = range(c.seed, c.seed + how["seeds"])
        device = str(Run(device=c.device).torch_device)
        numbers = measured(seeds, how["kimg"], device, out / _slug(row), c.fast)
    elif row.system:
        preset, config, run = plan(c, table, row, out / _slug(row))
        train(row.system, config, run, preset)
        system, record = load_run(run.out, device=run.torch_device)
        if record["trained"]["kimg"] < run.kimg:
            return None
        seen, real = _data(c, run)
        real = _spread(real, how["n"])
        numbers = evaluate(
            system, real.images, extractor, How(samples=how["samples"], keep=True, seed=c.seed)
        )
        if any(metric not in {n.metric for n in numbers} for metric in table.metrics):
            numbers += probes(system, seen, real, How(seed=c.seed))
    else:
        _, real = _data(c, Run(data=how["data"], size=how["size"], seed=c.seed))
        real = _spread(real, how["n"])
        pad = round(0.1 * how["size"])
        rng = Noise(c.seed, "cpu").at(PICTURES).draw(len(real))
        shifted = ops.augment_pair(real.images, pad=pad, dtype=torch.float32, **rng).round().to(torch.uint8)
        assert extractor is not None
        numbers = compare.compare(real.images, shifted, extractor, paired=True, keep=True)
    found = json.loads(report.to_json(numbers, settings=how))
    _write(out / _slug(row) / "numbers.json", json.dumps(found, indent=2) + "\n")
    return found


def _data(c: Reproduce, run: Run) -> tuple[data.Images, data.Images]:
    """(images trained on, images to measure with)"""
    everything = data.load(run.data, size=run.size)
    seen, held_out = data.split(everything, run.held_out, run.seed)
    if c.test is not None:
        held_out = data.load(c.test, size=run.size, channels=everything.shape[0])
    return seen, held_out


def _spread(images: data.Images, n: int) -> data.Images:
    return images[spread(len(images), n or len(images))]


def _kept(out: Path, row: Row, how: dict[str, Any]) -> dict[str, Any] | None:
    """The numbers of a row that was measured before, with these very settings."""
    try:
        found = json.loads((out / _slug(row) / "numbers.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("settings") == json.loads(json.dumps(how)) else None


def _slug(row: Row) -> str:
    return re.sub(r"[^a-z0-9.]+", "-", row.name.lower())


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, text.encode(), durable=False)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; --out names another place") from error
