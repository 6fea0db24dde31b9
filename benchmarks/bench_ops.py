"""Every operator, forward and backward, against eager PyTorch and torch.compile, in one process, in turns.

    pytest benchmarks/ -k reparam_kl

`x eager`, `x compile`: how many times quicker bigan is; below 1 it loses.  GB/s counts the least traffic of a
perfect kernel, so it can be held against the memory's bandwidth.  Values are checked before they are timed.
"""

import pytest
import torch
from op_cases import CASES
from timing import in_turns, ratio

from bigan import ops

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
RUNS = [(case, shape) for case in CASES if case.eager for shape in case.bench]


def training_call(call, inputs, cotangents):
    """One forward and backward, as a training step would; without cotangents the forward alone."""

    def run():
        for t in inputs:
            t.grad = None
        if not cotangents:
            return call(*inputs)
        outputs = call(*inputs)
        outputs = [outputs] if isinstance(outputs, torch.Tensor) else outputs[: len(cotangents)]
        torch.autograd.backward(outputs, cotangents)

    return run


@pytest.mark.parametrize("case,shape", RUNS, ids=str)
def test_forward_backward(case, shape, rows):
    inputs = [t.requires_grad_(case.differentiable) for t in case.inputs(shape, torch.float32, DEVICE)]
    outputs = case.call(*inputs)
    if case.name != "drawn":  # the rivals draw other noise
        for got, want in zip(outputs, case.eager(*inputs), strict=True):
            torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
    cotangents = [torch.randn_like(o) for o in case.graded(outputs)] if case.differentiable else []
    torch._dynamo.reset()  # or a later shape would be compiled for any shape, which is slower
    compiled = torch.compile(case.eager, dynamic=False)
    times = in_turns(
        {
            name: training_call(call, inputs, cotangents)
            for name, call in {"bigan": case.call, "eager": case.eager, "compile": compiled}.items()
        },
        DEVICE,
    )
    rows.append(
        {
            "op": str(case),
            "shape": "x".join(map(str, shape)),
            "us": times["bigan"]["us"],
            "eager us": times["eager"]["us"],
            "compile us": times["compile"]["us"],
            "x eager": ratio(times, "eager"),
            "x compile": ratio(times, "compile"),
            "GB/s": case.bytes(shape, 4) / times["bigan"]["us"] / 1e3,
        }
    )


def test_reparam_kl_call_overhead(rows):
    """Forward and backward on 8 elements: the call itself, beside native ops of one input and of two."""
    mu, logvar = (torch.randn(2, 4, device=DEVICE, requires_grad=True) for _ in range(2))
    ones, one = torch.ones(2, 4, device=DEVICE), torch.ones((), device=DEVICE)
    rng = torch.tensor([1, 2], device=DEVICE)
    softplus = torch.nn.functional.softplus
    kl = torch.nn.functional.smooth_l1_loss
    times = in_turns(
        {
            "reparam_kl": training_call(lambda: ops.reparam_kl(mu, logvar, rng=rng), [], [ones, ones[:, 0]]),
            "gaussian_kl": training_call(lambda: ops.gaussian_kl(mu, logvar, reduction="mean"), [], [one]),
            "softplus": training_call(lambda: softplus(mu), [], [ones]),
            "smooth_l1_loss": training_call(lambda: kl(mu, logvar), [], [one]),
        },
        DEVICE,
    )
    for name in ("reparam_kl", "gaussian_kl"):
        rows.append(
            {
                "call": name,
                "us": times[name]["us"],
                "softplus us": times["softplus"]["us"],
                "of softplus": 1 / ratio(times, "softplus", name),
                "of smooth_l1_loss": 1 / ratio(times, "smooth_l1_loss", name),
            }
        )
