"""`bigan train SYSTEM`: the defaults come from the system's preset, each flag overrides one."""

import argparse
import dataclasses
import json
import re
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

from bigan.cli import flags
from bigan.errors import UserError, unknown

USAGE = """usage: bigan train SYSTEM [--preset PRESET] [--data DATA] [--out RUN] [--kimg K] [flags]

systems: {systems}  (`bigan list` shows their presets)

  bigan train SYSTEM --help                  all flags, with their defaults for the digits
  bigan train SYSTEM --preset P --help       the same, with the defaults of preset P
  bigan train SYSTEM --dry-run               print the resolved settings, write nothing
"""

AFTERWARDS = {
    "reconstruct": "held-out images beside their reconstructions",
    "sample": "new images",
    "interpolate": "from one image to another",
}


def train(args: list[str]) -> int:
    """Train, or go on with the run that the same command started."""
    from bigan import systems

    name = args[0] if args else ""
    if not name or name in ("-h", "--help"):
        print(
            USAGE.format(systems=", ".join(systems.names())), end="", file=sys.stdout if name else sys.stderr
        )
        return 0 if name else 2
    if name.startswith("-"):
        later = [word for word in args if word in systems.names()] or ["introvae"]
        rest = " ".join(word for word in args if word not in later)
        raise UserError(f"train: the system comes first: bigan train {later[0]} {rest}")
    if name not in systems.names():
        raise unknown("system", name, systems.names())

    from bigan.engine.config import to_json

    preset, config, run, dry_run = resolve(name, args[1:])
    if dry_run:
        from bigan.engine.memory import estimate

        module, channels = systems.load(name), 1 if run.data == "digits" else 3
        settings = {"system": name, "preset": preset, "run": to_json(run), "config": to_json(config)}
        settings["estimate"] = estimate(module, config, run, channels)
        print(json.dumps(settings, indent=2))
        return 0
    _caution(preset, run)

    from bigan.engine.loop import train as engine_train

    out = shlex.quote(str(engine_train(name, config, run, preset)))
    print(f"pictures: {out}/samples")
    for i, after in enumerate(AFTERWARDS if systems.load(name).build.has_encoder() else ["sample"]):
        print(f"{'' if i else 'next:':<10}{f'bigan {after} {out}':<50}  # {AFTERWARDS[after]}")
    return 0


def resolve(name: str, args: list[str]) -> tuple[str, Any, Any, bool]:
    """(preset, the system's Config, Run, dry run) that a command line after SYSTEM means."""
    from bigan import systems
    from bigan.engine.config import Run

    module = systems.load(name)
    preset, data = preset_and_data(args, module.PRESETS, Run().data)
    chosen = module.PRESETS[preset]
    out = default_out(name, data, preset)
    run = Run(out=out, data=data, size=chosen.size, batch=chosen.batch, kimg=chosen.kimg)
    about = f"{flags.headline(module)}\n\nPreset {preset}: {chosen.note}"
    read: Any = flags.parse(command(preset, module.PRESETS, run), args, f"bigan train {name}", about)
    return preset, read.config, read.run, read.dry_run


def command(preset: str, presets: dict[str, Any], run: Any) -> type:
    """The flags of `bigan train` as a dataclass: --preset, --dry-run, and those of Run and Config."""
    import tyro

    from bigan.systems.base import arg

    config = presets[preset].config
    which = arg(preset, "settings to start from; the flags below override them")
    dry = arg(False, "print the resolved settings and an estimate of memory and speed, write nothing")
    fields: list[tuple[str, Any, Any]] = [
        ("preset", Literal[tuple(presets)], which),
        ("dry_run", Annotated[bool, tyro.conf.FlagCreatePairsOff], dry),  # no --no-dry-run
        ("run", type(run), run),
        ("config", type(config), config),
    ]
    return dataclasses.make_dataclass("Train", fields, frozen=True)


def preset_and_data(args: list[str], presets: dict[str, Any], default_data: str) -> tuple[str, str]:
    """--preset and --data, read before the other flags because these change the defaults."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", nargs="?")
    first.add_argument("--data", nargs="?")
    given, _ = first.parse_known_args(args)
    data = given.data or default_data
    preset = given.preset or ("digits" if data == "digits" and "digits" in presets else "cpu")
    if preset not in presets:
        raise unknown("preset", preset, presets)
    return preset, data


def default_out(system: str, data: str, preset: str) -> Path:
    """runs/<system>-<data>-<preset>: the same command finds the same run again."""
    path = Path(data)
    stem = path.resolve().name if path.is_dir() else path.name.partition(".")[0]
    return Path("runs", f"{system}-{re.sub(r'[^A-Za-z0-9_-]+', '_', stem) or 'data'}-{preset}")


def _caution(preset: str, run: Any) -> None:
    if run.data == "digits" and preset not in ("digits", "cpu"):
        print(
            f"bigan: preset {preset} on the built-in digits (8x8 pixels); --data PATH trains on your images",
            file=sys.stderr,
        )
