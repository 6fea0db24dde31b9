"""Every sign, weight, stop and name of the step matters: change one token, and the comparison fails."""

import inspect
import io
import tokenize

import pytest
from introvae_comparison import CASES, compare, descend_plainly

from bigan.systems import introvae

METHODS = ("step", "vae_step", "posterior", "kl", "hinge", "generate")
SIGNS = {"+": "-", "-": "+", "*": "/", "/": "*", "<": "<=", "==": "!="}
OTHERS = {  # a name -> what might stand there by mistake
    "w_rec": ["w_kl", "w_neg"], "w_kl": ["w_rec", "w_neg"], "w_neg": ["w_kl", "w_rec"], "m": ["w_neg"],
    "x_r": ["x_p"], "x_p": ["x_r"], "kl_r": ["kl_p"], "kl_p": ["kl_r"],
    "hinge_r": ["hinge_p"], "hinge_p": ["hinge_r"],
    "rec": ["kl"], "kl": ["rec", "hinge"], "hinge": ["kl"],
    "loss_enc": ["loss_dec"], "loss_dec": ["loss_enc"], "enc": ["dec"], "dec": ["enc"],
    "True": ["False"], "prior": ["posterior"],
    '"official"': ['"paper"'], '"mean"': ['"sum"', '"none"'], '"sum"': ['"mean"'],
}  # fmt: skip
GRAPHS = {  # what may lose its gradient
    "x_p", "x_r", "z", "kl", "rec", "hinge_r", "hinge_p", "kl_r", "kl_p", "loss", "loss_enc", "loss_dec",
}  # fmt: skip


def source():
    return inspect.getsource(introvae)


def body(function):
    """Its line numbers."""
    block, first = inspect.getsourcelines(function)
    return set(range(first + 1, first + len(block)))


def mutants():
    """(what is changed, mutated source), each a program that compiles."""
    text = source()
    inside = set().union(body(introvae.sse), *(body(getattr(introvae.IntroVAE, name)) for name in METHODS))
    leaves = body(introvae.IntroVAE.generate)  # a code of the prior has no gradient to lose
    lines = text.splitlines(keepends=True)
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    logged = False  # in the terms handed out, which have no graph anyway
    for i, t in enumerate(tokens):
        row, column = t.start
        if row not in inside or t.type in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE):
            logged &= t.type != tokenize.NEWLINE
            continue
        after, before = tokens[i + 1].string, tokens[i - 1].string
        logged |= t.string == "detached"
        changed = [SIGNS[t.string]] if t.type == tokenize.OP and t.string in SIGNS else []
        if t.type == tokenize.NUMBER:
            changed.append(f"2 * {t.string}")
        if after != "=" or before == ",":
            changed += OTHERS.get(t.string, [])
        if t.string == "detach":
            changed.append("clone")
        value = t.type == tokenize.NAME and before != "." and after not in ("(", "=", ".")
        if value and t.string in GRAPHS and not logged and row not in leaves:
            changed.append(f"{t.string}.detach()")
        for new in changed:
            line = lines[row - 1]
            mutated = [*lines[: row - 1], line[:column] + new + line[t.end[1] :], *lines[row:]]
            try:
                code = compile("".join(mutated), f"line {row}", "exec")
            except SyntaxError:
                continue
            yield pytest.param(code, id=f"{line.split('#')[0].strip()[:70]} :: {column}: {t.string} -> {new}")


MUTANTS = list(mutants())


def test_the_source_itself_passes(monkeypatch):
    """So that a mutant fails by its mutation, not by the way it is run."""
    descend_plainly(monkeypatch)
    module = {"__name__": "unmutated"}
    exec(compile(source(), "introvae", "exec"), module)
    for case in CASES:
        compare(module["build"], case)


def test_there_are_mutants_of_every_kind():
    kinds = {m.id.split(": ")[-1] for m in MUTANTS}
    assert kinds >= {
        "+ -> -", "* -> /", "/ -> *", "< -> <=", "== -> !=", "0.5 -> 2 * 0.5", "w_rec -> w_kl",
        "w_neg -> w_rec", "m -> w_neg", "detach -> clone", "x_r -> x_r.detach()", "x_p -> x_p.detach()",
        "z -> z.detach()", "rec -> rec.detach()", "kl -> kl.detach()", "x_r -> x_p",
        "enc -> dec", "True -> False",
    }  # fmt: skip
    assert len(MUTANTS) > 100


@pytest.mark.parametrize("code", MUTANTS)
def test_is_caught(code, monkeypatch):
    descend_plainly(monkeypatch)
    module = {"__name__": "mutant"}
    exec(code, module)
    with pytest.raises((AssertionError, RuntimeError, TypeError, ValueError, AttributeError, NameError)):
        for case in CASES:
            compare(module["build"], case)
