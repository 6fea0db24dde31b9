"""Errors meant for the person at the keyboard."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend: the command line prints its message alone and exits with 2."""


def unknown(kind: str, got: str, choices: Iterable[str]) -> UserError:
    """`unknown preset 'cfiar10'; did you mean 'cifar10'? Choices: cifar10, cpu, digits`"""
    choices = sorted(choices)
    near = difflib.get_close_matches(got, choices, n=2, cutoff=0.5)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else "."
    return UserError(f"unknown {kind} {got!r}{hint} Choices: {', '.join(choices)}")
