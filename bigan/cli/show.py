"""`bigan list` and `bigan info`: what there is, and what of it works here."""

import dataclasses

from bigan.cli import flags
from bigan.errors import unknown


@dataclasses.dataclass(frozen=True)
class Nothing:
    """A command without flags."""


def list_systems(args: list[str]) -> int:
    """Each system in a line, and its presets."""
    from bigan import systems

    wanted = [word for word in args if not word.startswith("-")]
    for word in wanted:
        if word not in systems.names():
            raise unknown("system", word, systems.names())
    about = "The systems and their presets; `bigan list SYSTEM` shows one."
    flags.parse(Nothing, [word for word in args if word not in wanted], "bigan list", about)
    print("\n\n".join(_described(name) for name in wanted or systems.names()))
    return 0


def _described(name: str) -> str:
    from bigan import systems
    from bigan.info import table

    module = systems.load(name)
    rows = [("preset", "size", "batch", "kimg", "note")]
    for preset, p in module.PRESETS.items():
        rows.append((preset, f"{p.size} px", str(p.batch), f"{p.kimg:g}", p.note))
    return f"{name} - {flags.headline(module)}\n{table(rows, indent='  ')}"


def info(args: list[str]) -> int:
    """Versions, devices and the operators' backends; 2 where BIGAN_BACKEND asks for what cannot be had."""
    from bigan import info as about

    flags.parse(Nothing, args, "bigan info", "Versions, devices, and which operator backends work here.")
    text, refused = about.report()
    print(text)
    return 2 if refused else 0
