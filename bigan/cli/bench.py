"""`bigan bench SYSTEM`: images a second of its training on this machine, plain and with --fast."""

import dataclasses
import sys
from typing import Any, Literal

from bigan.cli import flags
from bigan.errors import UserError, unknown

USAGE = """usage: bigan bench SYSTEM [--preset PRESET] [--batch B] [--size S] [--seconds T] [flags]

systems: {systems}  (`bigan list` shows their presets)
"""


def bench(args: list[str]) -> int:
    """A table: a row each for the plain training, for --fast and, if asked for, for --fast --compile."""
    from bigan import systems

    name = args[0] if args else ""
    if not name or name in ("-h", "--help"):
        names = ", ".join(systems.names())
        print(USAGE.format(systems=names), end="", file=sys.stdout if name else sys.stderr)
        return 0 if name else 2
    if name not in systems.names():
        raise unknown("system", name, systems.names())

    from bigan.cli.train import preset_and_data
    from bigan.engine.bench import rates
    from bigan.engine.config import Run
    from bigan.engine.loop import exact, machine
    from bigan.info import table

    module = systems.load(name)
    preset, _ = preset_and_data(args[1:], module.PRESETS, "")
    chosen = module.PRESETS[preset]
    about = f"Images a second that {name} trains on here, on random images, plain and with --fast."
    wanted: Any = flags.parse(_command(preset, module.PRESETS), args[1:], f"bigan bench {name}", about)
    if wanted.seconds <= 0:
        raise UserError(f"--seconds must be more than 0, got {wanted.seconds}")
    run = Run(size=wanted.size, batch=wanted.batch, kimg=chosen.kimg, device=wanted.device)
    device, channels = run.torch_device, 1 if wanted.grey else 3
    with exact(device):
        found = rates(module, wanted.config, run, channels, wanted.seconds, wanted.compile)
    rows = [("flags", "images/s", "most of them", "gain", "switches")]
    for r in found:
        spread, gain = f"{r.low:.4g} to {r.high:.4g}", f"{r.median / found[0].median:.2f}x"
        rows.append((r.flags or "none", f"{r.median:.4g}", spread, gain, ", ".join(r.switches)))
    shape = f"batch {run.batch}, {channels} x {run.size} x {run.size}"
    print(f"{name}, preset {preset}, {shape}; {machine(device)}\n{table(rows, indent='  ')}")
    return 0


def _command(preset: str, presets: dict[str, Any]) -> type:
    from bigan.engine.config import Run
    from bigan.systems.base import arg

    chosen, about = presets[preset], {f.name: f.metadata["help"] for f in dataclasses.fields(Run)}
    compiled = arg(False, "measure --fast --compile as well: compiling takes a minute or more")
    fields: list[tuple[str, Any, Any]] = [
        ("preset", Literal[tuple(presets)], arg(preset, "settings to start from")),
        ("batch", int, arg(chosen.batch, about["batch"])),
        ("size", int, arg(chosen.size, "side of the images in pixels")),
        ("grey", bool, arg(False, "images of one channel, not of three")),
        ("device", str, arg("auto", about["device"])),
        ("seconds", float, arg(10.0, "how long to measure each row")),
        ("compile", bool, compiled),
        ("config", type(chosen.config), chosen.config),
    ]
    return dataclasses.make_dataclass("Bench", fields, frozen=True)
