"""Choosing a backend: strict, restored afterwards, with the reason in every refusal."""

import os
import subprocess
import sys

import pytest
import torch

from bigan import ops
from bigan.errors import UserError


def call():
    return ops.gaussian_kl(torch.ones(2, 3), torch.zeros(2, 3))


def kernel_calls(monkeypatch, name):
    """Counts the calls of the reference."""
    from bigan.ops import _registry

    calls = []
    original = _registry._REFERENCES[name]
    monkeypatch.setitem(_registry._REFERENCES, name, lambda *a: (calls.append(1), original(*a))[1])
    return calls


def test_a_choice_ends_with_its_block(monkeypatch):
    calls = kernel_calls(monkeypatch, "reparam_kl")
    before = call()
    with ops.use_backend("reference"):
        call()
        assert len(calls) == 1
        with ops.use_backend("auto"):
            call()
        assert len(calls) == 2  # auto changes nothing
    assert torch.equal(call(), before) and len(calls) == 2


def test_unknown_backend_suggests():
    with (
        pytest.raises(UserError, match="unknown backend 'tritn'; did you mean 'triton'"),
        ops.use_backend("tritn"),
    ):
        pass


def test_names_and_reasons():
    assert "reparam_kl" in ops.names() and "reparam_kl_backward" not in ops.names()
    table = ops.backends("reparam_kl", "cpu")
    assert list(table) == ["reference", "native", "triton"] and table["reference"] is None


def run(code, **env):
    variables = {k: v for k, v in os.environ.items() if k not in ("BIGAN_BACKEND", "TRITON_INTERPRET")}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=variables | env, timeout=120
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="Triton can be used where there is a GPU")
def test_environment_refuses_with_the_reason():
    result = run("import bigan.ops", BIGAN_BACKEND="triton")
    assert result.returncode != 0 and "BackendError" in result.stderr
    assert "backend 'triton' was asked for and cannot be used here" in result.stderr
    assert "GPU" in result.stderr or "not installed" in result.stderr


def test_environment_chooses():
    result = run(
        "from bigan import ops; print(ops._registry._PERMANENT is not None)", BIGAN_BACKEND="reference"
    )
    assert result.stdout.strip() == "True", result.stderr
