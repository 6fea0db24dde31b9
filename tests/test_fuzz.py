"""A few hundred random calls of each operator; scripts/fuzz_ops.py makes as many as one likes."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import fuzz_ops

from bigan import ops
from bigan.ops import _checks


def test_every_operator():
    names = list(fuzz_ops.functions())
    assert set(ops.names()) <= set(names)
    native = not any(ops.backends(op, "cpu")["native"] for op in ops.names())
    results = fuzz_ops.fuzz(names, calls=300, seed=1, backend="native" if native else "reference")
    for op, result in results.items():
        assert not result.faults, "\n".join(result.faults)
        assert result.accepted > 50 and result.refused > 50, (op, result)


def faults(capsys, op="latent_match"):
    fuzz_ops.turn(op, 0, range(150), "reference")
    return [line for line in capsys.readouterr().out.splitlines() if '"fault"' in line]


@pytest.mark.parametrize(
    "name,says",
    [
        ("same", "one shape of several was changed"),
        ("choice", "match is not of the type that the signature says"),
    ],
)
def test_a_missing_check_is_found(monkeypatch, capsys, name, says):
    assert not faults(capsys)
    monkeypatch.setattr(_checks, name, lambda *_: 3)
    assert any(says in line for line in faults(capsys))


def test_a_wrong_value_and_a_changed_argument_are_found(monkeypatch):
    call = fuzz_ops.make("sphere_normalize", 0, 3)
    call.arguments["x"] = torch.randn(3, 5, requires_grad=True)
    want = fuzz_ops.perform(call)
    assert fuzz_ops.fault(call, want, want) is None
    for i, says in ((0, "output or gradient 0: "), (1, "output or gradient 1: ")):
        outputs = [t.clone() for t in want.outputs]
        outputs[i][1, 2] += 1e-4
        assert says in fuzz_ops.fault(call, fuzz_ops.Outcome(outputs, graded=1), want)
    monkeypatch.setitem(fuzz_ops.functions(), "sphere_normalize", lambda x: x.data.mul_(2))
    assert fuzz_ops.fault(call, fuzz_ops.perform(call), want) == "an argument was changed"


CRASH = """
import ctypes, sys
sys.path.insert(0, {scripts!r})
import fuzz_ops
real = fuzz_ops.perform
def perform(call):
    if call.notes == ["missing x"]:
        ctypes.string_at(0)
    return real(call)
fuzz_ops.perform = perform
sys.exit(fuzz_ops.main())
"""


def test_a_crash_is_reported(monkeypatch, tmp_path):
    """A child that dies at some calls; another one makes the rest."""
    script = tmp_path / "crashing.py"
    script.write_text(CRASH.format(scripts=str(Path(fuzz_ops.__file__).parent)))
    monkeypatch.setattr(fuzz_ops, "__file__", str(script))
    result = fuzz_ops.fuzz(["sphere_normalize"], calls=120, backend="reference")["sphere_normalize"]
    assert result.faults and all("missing x" in f and "CRASH (signal 11)" in f for f in result.faults)
    assert result.accepted + result.refused > 50
