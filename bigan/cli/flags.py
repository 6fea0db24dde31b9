"""Flags from dataclasses, by tyro; an unknown flag is answered with the nearest known one."""

import dataclasses
import difflib
from types import ModuleType
from typing import Any, TypeVar

from bigan.errors import UserError

T = TypeVar("T")


def names(cls: Any) -> list[str]:
    """The flags of a dataclass and of those within it, in order; a switch has two: --flip, --no-flip."""
    found = []
    for f in dataclasses.fields(cls):
        if dataclasses.is_dataclass(f.type):
            found += names(f.type)
        else:
            flag = f.name.replace("_", "-")
            found += [f"--{flag}"] + ([f"--no-{flag}"] if f.type is bool else [])
    return found


def headline(module: ModuleType) -> str:
    """The first line of a system's docstring."""
    return (module.__doc__ or module.__name__).strip().splitlines()[0]


def parse(cls: type[T], args: list[str], prog: str, description: str) -> T:
    """Read `args` into a `cls`; --help and bad values end in SystemExit, unknown flags in UserError."""
    import tyro

    flat = (tyro.conf.OmitArgPrefixes, tyro.conf.HelptextFromCommentsOff)
    value, rest = tyro.cli(
        cls, args=args, prog=prog, description=description, config=flat, return_unknown_args=True
    )
    if rest:
        raise _unknown(rest, names(cls), prog)
    return value


def _unknown(rest: list[str], known: list[str], prog: str) -> UserError:
    flags = [word.partition("=")[0] for word in rest if word.startswith("-")]
    if not flags:
        return UserError(f"unexpected argument {rest[0]!r}; the flags are shown by `{prog} --help`")
    word = flags[0].strip("-").replace("_", "-")
    near = difflib.get_close_matches(word, [name.strip("-") for name in known], n=2, cutoff=0.6)
    hint = f"; did you mean {' or '.join(f'--{name}' for name in near)}?" if near else "."
    return UserError(f"unknown flag {flags[0]}{hint} All flags: {prog} --help")
