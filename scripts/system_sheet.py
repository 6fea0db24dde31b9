"""Trains every system at its cpu preset and shows them on one sheet: docs/systems.png, docs/systems.md.

python scripts/system_sheet.py                 all of `bigan list`, about 40 minutes on two cores
python scripts/system_sheet.py gan vae --kimg 1

One after the other. Stopped and started again it goes on where it was; what is finished is not trained again.
A non-finite loss ends that system's training; the others go on, and the exit code is 1.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

from bigan import data, systems
from bigan.engine import grid
from bigan.engine.config import Run, from_json
from bigan.engine.gallery import spread
from bigan.engine.loadrun import load_run
from bigan.engine.loop import machine, train
from bigan.engine.noise import PICTURES, Noise
from bigan.errors import UserError

LEAST = 20.0  # kimg, where the preset asks for less
SAMPLES, PAIRS = 8, 6
LABEL, GAP, HEAD = 190, 24, 34  # pixels
DOCS = Path(__file__).parent.parent / "docs"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("systems", nargs="*", default=systems.names(), help="all, unless named")
    parser.add_argument("--kimg", type=float, help=f"thousand images each (the preset's, at least {LEAST:g})")
    parser.add_argument("--runs", type=Path, default=Path("runs/sheet"), help="where the runs are kept")
    parser.add_argument("--docs", type=Path, default=DOCS, help="where systems.png and systems.md go")
    args = parser.parse_args(argv)
    rows, failed = [], []
    for name in args.systems:
        try:
            rows.append(row(name, trained(name, args.runs / name, args.kimg)))
        except UserError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed.append(name)
    args.docs.mkdir(parents=True, exist_ok=True)
    if rows:
        sheet(rows).save(args.docs / "systems.png")
        (args.docs / "systems.md").write_text(table([numbers for numbers, _ in rows]))
        print(f"{args.docs / 'systems.png'}, {args.docs / 'systems.md'}: {len(rows)} systems")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def trained(name: str, out: Path, kimg: float | None) -> Path:
    """The run of a system's cpu preset, trained or resumed."""
    preset = systems.load(name).PRESETS["cpu"]
    kimg = kimg or max(preset.kimg, LEAST)
    run = Run(out=out, size=preset.size, batch=preset.batch, kimg=kimg, tensorboard=False)
    return train(name, preset.config, run, "cpu")


def row(name: str, out: Path) -> tuple[dict, list[Image.Image]]:
    """(what the table says, samples and, where there is an encoder, reconstructions) of a finished run."""
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    for line in lines:
        if bad := [term for term, value in line.items() if value is None]:
            raise UserError(f"{', '.join(bad)} not finite after {line['kimg']:g} kimg")
    images, seconds = 1000 * lines[-1]["kimg"], lines[-1]["seconds"]
    mse = next((line["val_mse"] for line in reversed(lines) if "val_mse" in line), None)
    numbers = {"system": name, "images": images, "seconds": seconds, "val_mse": mse}

    system, record = load_run(out)
    run = from_json(Run, record["run"])
    with system.inference():
        noise = Noise(run.seed, "cpu").at(PICTURES)
        pictures = [grid.grid(system.sample(SAMPLES, noise), system.data_range, SAMPLES)]
        if system.has_encoder():
            _, held_out = data.split(data.load(run.data, size=run.size), run.held_out, run.seed)
            x = data.scale(held_out.take(spread(len(held_out), PAIRS)), system.data_range)
            pictures.append(grid.pairs(x, system.reconstruct(x), system.data_range, PAIRS))
    return numbers, pictures


def sheet(rows: list[tuple[dict, list[Image.Image]]]) -> Image.Image:
    """A row a system: its name and numbers, samples, held-out images each beside its reconstruction."""
    large, small = ImageFont.load_default(20), ImageFont.load_default(13)
    columns = [max(p[k].width for _, p in rows if len(p) > k) for k in range(max(len(p) for _, p in rows))]
    lefts = [LABEL + k * GAP + sum(columns[:k]) for k in range(len(columns))]
    height = max(picture.height for _, pictures in rows for picture in pictures) + 6
    made = Image.new("RGB", (lefts[-1] + columns[-1] + 8, HEAD + height * len(rows)), "white")
    draw = ImageDraw.Draw(made)
    for left, title in zip(lefts, ("samples", "held-out images, each with its reconstruction"), strict=False):
        draw.text((left, 8), title, "black", small)
    for k, (numbers, pictures) in enumerate(rows):
        top = HEAD + k * height
        draw.text((8, top + 10), numbers["system"], "black", large)
        mse = f", val_mse {numbers['val_mse']:.4f}" if numbers["val_mse"] is not None else ""
        draw.text((8, top + 38), f"{numbers['images'] / 1000:g} kimg{mse}", "dimgray", small)
        for left, picture in zip(lefts, pictures, strict=False):
            made.paste(picture.convert("RGB"), (left, top))
    return made


def table(rows: list[dict]) -> str:
    """The numbers as Markdown."""
    where = machine(torch.device("cpu"))
    text = [
        "# Every system on the digits",
        "",
        f"Made by `python scripts/system_sheet.py`: each system's `cpu` preset, seed 0 ({where}).",
        "`val_mse` is the mean squared error of held-out reconstructions, pixels in [0, 1]; seconds are those of",
        "training, without pictures and checkpoints.",
        "",
        "![A row a system: samples, held-out images beside their reconstructions](systems.png)",
        "",
        "| system | images | seconds | images/s | val_mse |",
        "|---|---|---|---|---|",
    ]
    for r in rows:
        mse = "no encoder" if r["val_mse"] is None else f"{r['val_mse']:.4f}"
        rate = r["images"] / r["seconds"]
        text.append(f"| `{r['system']}` | {r['images']:,.0f} | {r['seconds']:.0f} | {rate:.0f} | {mse} |")
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    sys.exit(main())
