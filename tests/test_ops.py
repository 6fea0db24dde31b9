"""Every operator, backend, type and layout against the float64 reference: values, gradients, second
gradients, opcheck, compilation, determinism, copies.  The inputs are declared in op_cases/."""

import contextlib
import importlib
import warnings

import pytest
import torch
import torch._dynamo.testing
from op_cases import CASES, Case

from bigan import ops
from bigan.ops import _registry

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DIFFERENTIABLE = [case for case in CASES if case.differentiable]
RAW = [case for case in CASES if case.raw]


@pytest.fixture(params=["native", "triton", "reference"])
def backend(request, case):
    if reason := _registry.backends(case.op, DEVICE)[request.param]:
        pytest.skip(f"{request.param} on {DEVICE}: {reason}")
    with warnings.catch_warnings(), ops.use_backend(request.param):
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="triton")  # NumPy's, on 0 / 0
        yield request.param


def contiguous(t):
    return t.contiguous()


def strided(t):
    """As `chunk(2, dim=1)` leaves it: rows apart, elements together."""
    return torch.cat([t, t], dim=-1)[..., t.shape[-1] :]


def transposed(t):
    """Elements of a row apart."""
    return t.mT.contiguous().mT


def channels_last(t):
    """Images with their channels together."""
    return t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t


def relative_check(got, want, tol):
    assert got.shape == want.shape
    torch.testing.assert_close(
        got.double(), want.double(), rtol=tol, atol=tol * max(1.0, _scale(want)), equal_nan=True
    )


def _scale(t):
    """Sums cancel: what counts is the size of what was summed."""
    finite = t.detach()[t.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 1.0


def evaluate(case: Case, inputs, cotangents=None):
    """Outputs, cotangents and gradients."""
    inputs = [t.detach().requires_grad_(case.differentiable) for t in inputs]
    outputs = case.call(*inputs)
    if not case.differentiable:
        return outputs, None, ()
    graded = case.graded(outputs)
    if cotangents is None:  # not ones: a backward that drops its upstream factor must fail
        cotangents = [torch.randn(o.shape, dtype=torch.float64, device=o.device).to(o.dtype) for o in graded]
    return outputs, cotangents, torch.autograd.grad(graded, inputs, cotangents)


def name(value):
    return value.__name__ if callable(value) and not isinstance(value, Case) else str(value)


def layouts(case):
    """Every shape as it is; an odd and a long one also with rows, elements or channels apart."""
    return [
        (case, shape, layout)
        for shape in case.shapes
        for layout in (contiguous, strided, transposed, *[channels_last] * (len(shape) == 4))
        if layout is contiguous or (min(shape) > 1 and any(n % 4 for n in shape))
    ]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case,shape,layout", [item for case in CASES for item in layouts(case)], ids=name)
def test_matches_reference(case, shape, dtype, layout, backend):
    if dtype not in case.dtypes:
        pytest.skip(f"{case.op} does not take {dtype}")
    inputs = [layout(t) for t in case.inputs(shape, dtype, DEVICE)]
    outputs, cotangents, grads = evaluate(case, inputs)
    with ops.use_backend("reference"):
        up = None if cotangents is None else [c.double() for c in cotangents]
        wants, _, want_grads = evaluate(case, [t.double() for t in inputs], up)
    for got, want in zip((*outputs, *grads), (*wants, *want_grads), strict=True):
        relative_check(got, want, case.tol[dtype])
    for grad, given in zip(grads, inputs, strict=False):
        assert grad.dtype == given.dtype


@contextlib.contextmanager
def composite(op):
    """Call the reference itself, so that autograd sees the plain PyTorch inside."""
    module = importlib.import_module(f"bigan.ops.{op}")
    original, module._forward = module._forward, _registry.reference(op)
    try:
        yield
    finally:
        module._forward = original


@pytest.mark.parametrize("backend", ["reference"], indirect=True)
@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=str)
def test_reference_gradient_is_autograds(case, backend):
    """The reference's own backward, written by hand, against autograd through the reference's forward."""
    inputs = case.inputs((3, 37), torch.float64, DEVICE)
    _, cotangents, grads = evaluate(case, inputs)
    leaves = [t.detach().requires_grad_() for t in inputs]
    with composite(case.op):
        want = torch.autograd.grad(case.graded(case.call(*leaves)), leaves, cotangents)
    for got, exp in zip(grads, want, strict=True):
        relative_check(got, exp, 1e-12)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=str)
def test_second_gradients(case, backend):
    if not case.numeric:
        pytest.skip("what the gradient holds constant moves with the inputs")
    inputs = [t.requires_grad_() for t in case.inputs(case.small, torch.float64, DEVICE)]
    fast = backend == "triton" and DEVICE == "cpu"  # one random direction: the interpreter takes 30 ms a call
    assert torch.autograd.gradcheck(case.call, inputs, nondet_tol=0.0, fast_mode=fast)
    assert torch.autograd.gradgradcheck(case.call, inputs, nondet_tol=0.0, fast_mode=fast)


@pytest.mark.parametrize("case", RAW, ids=str)
def test_opcheck(case, backend):
    inputs = [t.requires_grad_(case.differentiable) for t in case.inputs((3, 5), torch.float32, DEVICE)]
    warnings.filterwarnings("ignore", message="The .grad attribute of a Tensor that is not a leaf")  # its own
    torch.library.opcheck(getattr(torch.ops.bigan, case.op).default, case.raw(*inputs))


@pytest.mark.parametrize("backend", ["native"], indirect=True)
@pytest.mark.parametrize("case", RAW, ids=str)
def test_compiles_whole_and_once(case, backend):
    """No graph break, equal results, and one graph for every batch size after the second."""
    torch._dynamo.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend("inductor")
    compiled = torch.compile(lambda *t: tuple(o * 1 for o in case.call(*t)), fullgraph=True, backend=counter)
    for batch in (4, 5, 7, 12):
        inputs = [
            t.requires_grad_(case.differentiable) for t in case.inputs((batch, 6), torch.float32, DEVICE)
        ]
        got, want = compiled(*inputs), case.call(*inputs)
        for g, w in zip(got, want, strict=True):
            torch.testing.assert_close(g, w)
        if case.differentiable:
            got, want = case.graded(got), case.graded(want)
            up = [torch.randn_like(w) for w in want]
            pairs = zip(
                torch.autograd.grad(got, inputs, up), torch.autograd.grad(want, inputs, up), strict=True
            )
            for g, w in pairs:
                torch.testing.assert_close(g, w)
    assert counter.frame_count <= 2


@pytest.mark.parametrize("case", CASES, ids=str)
def test_same_bits_again(case, backend):
    if backend == "reference":
        pytest.skip("PyTorch's own sums depend on the number of threads")
    rows = {"triton": 12, "emulated": 64}.get(backend, 256)  # both are slow
    inputs = case.inputs((rows, 300), torch.float32, DEVICE)
    first, up, grads = evaluate(case, inputs)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        again, _, grads_again = evaluate(case, inputs, up)
    finally:
        torch.set_num_threads(threads)
    for a, b in zip((*first, *grads), (*again, *grads_again), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("backend", ["native"], indirect=True)
@pytest.mark.parametrize("layout", [contiguous, strided, channels_last])
@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=str)
def test_no_hidden_copies(case, layout, backend):
    """Rows that stand apart are read where they stand, if the operator can; so are channels together."""
    if layout is strided and not case.rows_apart:
        pytest.skip(f"{case.op} copies rows that stand apart")
    inputs = [layout(t).detach().requires_grad_() for t in case.inputs((8, 16), torch.float32, DEVICE)]
    up = [torch.randn_like(o) for o in case.graded(case.call(*inputs))]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        torch.autograd.grad(case.graded(case.call(*inputs)), inputs, up)
    names = {e.key for e in profile.key_averages()}
    copies = names & {"aten::copy_", "aten::clone", "aten::contiguous"}
    assert not copies or case.name.startswith("given")  # that case builds its eps with PyTorch
