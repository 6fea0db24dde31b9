"""A system's step with one token changed: every sign, weight, stop and name must matter to some comparison.

    found = mutants(module, ("step", "kl"), exchanged={"x_r": ["x_p"]}, graphs={"x_r"})
    assert survivors(found, [compare_one_case, compare_another]) == []

A comparison raises unless the system does what its paper says. A mutant is put in the place of the function
it came from, so a comparison finds it in the module and costs what one small step costs.
"""

import contextlib
import inspect
import io
import sys
import textwrap
import tokenize
from dataclasses import dataclass
from types import CodeType
from typing import Any

SIGNS = {
    "+": "-", "-": "+", "*": "/", "/": "*", "%": "+", "//": "*", "**": "*",
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==",
    "and": "or", "or": "and", "True": "False", "False": "True",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    name: str  # the function, its line, the column and the change
    owner: Any  # the class or module that has the function
    function: str
    code: CodeType
    namespace: dict[str, Any]  # the module's

    @property
    def kind(self) -> str:
        return self.name.split(": ")[-1]

    @contextlib.contextmanager
    def in_place(self):
        before, made = self.owner.__dict__[self.function], {}
        exec(self.code, self.namespace, made)
        setattr(self.owner, self.function, made[self.function])
        try:
            yield
        finally:
            setattr(self.owner, self.function, before)


def mutants(module, functions, *, exchanged=None, graphs=(), leaves=()) -> list[Mutant]:
    """All mutants of these methods of `module.build`, its own or inherited, or functions of the module, that compile.

    exchanged: a name or string -> what might stand there by mistake.  graphs: names whose value may lose its
    gradient, except in the functions `leaves`, whose values have none.
    """
    found = []
    for function in functions:
        owner = next((c for c in module.build.__mro__ if function in c.__dict__), module)
        text = textwrap.dedent(inspect.getsource(owner.__dict__[function]))
        lines = text.splitlines(keepends=True)
        for row, column, old, new in _changes(text, exchanged or {}, () if function in leaves else graphs):
            line = lines[row - 1]
            mutated = [*lines[: row - 1], line[:column] + new + line[column + len(old) :], *lines[row:]]
            name = f"{function}: {line.split('#')[0].strip()[:70]} :: {column}: {old} -> {new}"
            with contextlib.suppress(SyntaxError):
                code = compile("".join(mutated), name, "exec")
                home = module if owner is module else sys.modules[owner.__module__]
                found.append(Mutant(name, owner, function, code, vars(home)))
    return found


def _changes(text, exchanged, graphs):
    """(row, column, token, what takes its place) in the body of the one function that `text` defines."""
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    first = next(i for i, t in enumerate(tokens) if t.type == tokenize.INDENT)
    logged = False  # in the terms handed out, which have no graph anyway
    for before, t, after in zip(tokens[first:], tokens[first + 1 :], tokens[first + 2 :], strict=False):
        logged = (logged or t.string == "detached") and t.type != tokenize.NEWLINE
        new = [SIGNS[t.string]] if t.string in SIGNS and t.type in (tokenize.OP, tokenize.NAME) else []
        if t.type == tokenize.NUMBER:
            new.append(f"2 * {t.string}" if float(t.string) else "1")
        if after.string != "=" or before.string == ",":
            new += exchanged.get(t.string, [])
        if t.string == "detach":
            new.append("clone")
        value = t.type == tokenize.NAME and before.string != "." and after.string not in ("(", "=", ".")
        if value and t.string in graphs and not logged:
            new.append(f"{t.string}.detach()")
        for changed in new:
            yield *t.start, t.string, changed


def survivors(found, comparisons) -> list[str]:
    """The names of the mutants that no comparison raises for. The program itself must pass them all."""
    comparisons = list(comparisons)
    for compare in comparisons:
        compare()
    alive = []
    for mutant in found:
        with mutant.in_place():
            for i, compare in enumerate(comparisons):
                try:
                    compare()
                except Exception:  # of whatever kind: a user would see it
                    comparisons.insert(0, comparisons.pop(i))  # its like tends to be caught there too
                    break
            else:
                alive.append(mutant.name)
    return alive


def kinds(found) -> set[str]:
    return {mutant.kind for mutant in found}


def each(compare, cases):
    """A comparison for each case: compare(case)."""
    return [lambda case=case: compare(case) for case in cases]
