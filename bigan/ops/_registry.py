"""How an operator is declared, differentiated and given to one of its implementations.

An operator is a schema, a *reference* (its meaning, in plain PyTorch) and a fake; a differentiable one
adds its backward, an operator of its own.  Native libraries and Triton attach faster implementations
under the same schema: the dispatcher picks by device, `use_backend` overrides.

    @define("double(Tensor x) -> Tensor")
    def double(x): return x + x
"""

import contextlib
import functools
import importlib
import importlib.util
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.compiler import is_compiling

from bigan import _native
from bigan.errors import UserError, unknown

LIB = torch.library.Library("bigan", "DEF")
BACKENDS = ("reference", "native", "triton")
DEVICES = {"cpu": "CPU", "cuda": "CUDA"}  # device type -> dispatch key

_REFERENCES: dict[str, Callable] = {}
_STEMS: dict[str, str] = {}  # "reparam_kl_backward" -> "reparam_kl", the file that holds its kernels
_NATIVE: set[tuple[str, str]] = set()  # (operator, device type) with a kernel from a loaded library
_EXTRA: dict[
    str, Callable[[str, str], Callable | str]
] = {}  # further backends (tests): (name, device) -> kernel or reason


class BackendError(UserError, RuntimeError):
    """An explicitly chosen backend cannot be had; the message says why."""


def define(schema: str) -> Callable[[Callable], Callable]:
    """Declare `bigan::<schema>`; the decorated function is its reference: its meaning, on any device."""

    def register(reference: Callable) -> Callable:
        name = schema.partition("(")[0]

        @functools.wraps(reference)
        def exact(*inputs):
            with torch._C._DisableAutocast():  # types are the operator's own affair
                return reference(*inputs)

        LIB.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
        LIB.impl(name, exact, "CompositeExplicitAutograd")  # answers wherever nothing faster is attached
        _REFERENCES[name] = exact
        _STEMS[name] = reference.__module__.rpartition(".")[2]
        return reference

    return register


def fake(name: str) -> Callable[[Callable], Callable]:
    """Shapes, dtypes and devices of the outputs, without data: what torch.compile traces with."""
    return torch.library.register_fake(f"bigan::{name}", lib=LIB)


def _opened(values: Sequence) -> list:
    """The values, lists of tensors among them opened up."""
    return [one for v in values for one in (v if isinstance(v, (list, tuple)) else (v,))]


def _lengths(values: Sequence) -> list[int | None]:
    """Of the lists among the values; None for what is no list."""
    return [len(v) if isinstance(v, (list, tuple)) else None for v in values]


def _closed(opened: Sequence, lengths: Sequence[int | None]) -> tuple:
    """Undoes `_opened`."""
    rest = iter(opened)
    return tuple(next(rest) if n is None else [next(rest) for _ in range(n)] for n in lengths)


def _has_lists(schema: Any, wanted: int) -> bool:
    """Whether autograd would meet lists of tensors, which it does not see through."""
    return any(str(v.type).startswith("List") for v in (*schema.arguments[:wanted], *schema.returns))


def differentiable(name: str, wanted: int, save: Callable, backward: Callable) -> Callable:
    """Give operator `name` its gradient; returns the quickest way to call it.

    Its first `wanted` inputs can have one.  save(ctx, inputs, outputs) keeps what is needed; backward(ctx,
    *grads) returns one gradient for each of them and computes it with operators that are differentiable
    themselves (see `differentiable_by_reference`).  Gradients of unused outputs arrive as None.  This is
    torch.library.register_autograd without its argument trees: the same graph under torch.compile.

    A list of tensors, as input or output, has a list of gradients; ctx.needs_input_grad counts its tensors
    one by one.
    """
    op = getattr(torch.ops.bigan, name).default
    make = _kernel_with_lists if _has_lists(op._schema, wanted) else _kernel
    kernel = make(op, f"{name}_function", wanted, save, backward)
    LIB.impl(name, kernel, "Autograd")

    def call(*inputs):
        # what the dispatcher would do, without going through it twice; the compiler needs to see the operator
        if is_compiling():
            return op(*inputs)
        return kernel(*inputs)

    return call


def _function(name: str, forward: Callable, backward: Callable) -> Any:
    members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(name, (torch.autograd.Function,), members)


def _kernel(op: Callable, name: str, wanted: int, save: Callable, backward: Callable) -> Callable:
    below_autograd, grad_enabled = torch._C._AutoDispatchBelowAutograd, torch.is_grad_enabled

    def forward(ctx, *args):
        inputs = args[-1]
        ctx.set_materialize_grads(False)
        with below_autograd():
            outputs = op(*inputs)
        save(ctx, inputs, outputs)
        return outputs

    def gradients(ctx, *grads):
        return *backward(ctx, *grads), None

    apply = _function(name, forward, gradients).apply

    def kernel(*inputs):
        if grad_enabled():
            tensors = inputs[:wanted]
            for value in tensors:
                if value is not None and value.requires_grad:
                    return apply(*tensors, inputs)  # all once more, in one: autograd looks at every argument
        with below_autograd():
            return op(*inputs)

    return kernel


def _kernel_with_lists(op: Any, name: str, wanted: int, save: Callable, backward: Callable) -> Callable:
    """As `_kernel`; autograd is given the tensors one by one, and the lists' lengths beside them."""
    single = len(op._schema.returns) == 1

    def forward(ctx, *tensors):
        lengths, others, returned = tensors[-1]
        inputs = (*_closed(tensors[:-1], lengths), *others)
        ctx.set_materialize_grads(False)
        with torch._C._AutoDispatchBelowAutograd():
            outputs = op(*inputs)
        save(ctx, inputs, outputs)
        outputs = (outputs,) if single else outputs
        returned += _lengths(outputs)
        ctx.input_lengths, ctx.output_lengths = lengths, returned
        return tuple(_opened(outputs))

    def gradients(ctx, *grads):
        found = backward(ctx, *_closed(grads, ctx.output_lengths))
        pairs = zip(found, ctx.input_lengths, strict=True)
        return *_opened([[None] * n if f is None and n is not None else f for f, n in pairs]), None

    apply = _function(name, forward, gradients).apply

    def kernel(*inputs):
        if torch.is_grad_enabled():
            tensors = _opened(inputs[:wanted])
            if any(isinstance(t, Tensor) and t.requires_grad for t in tensors):
                returned: list[int | None] = []
                outputs = apply(*tensors, (_lengths(inputs[:wanted]), inputs[wanted:], returned))
                outputs = _closed(outputs, returned)
                return outputs[0] if single else outputs
        with torch._C._AutoDispatchBelowAutograd():
            return op(*inputs)

    return kernel


def differentiable_by_reference(name: str, wanted: int) -> Callable:
    """Give operator `name`, a backward usually, the gradient of its reference by its first `wanted` inputs.

    Plain PyTorch under autograd, so derivatives of every further order are right; slower than a kernel,
    which only gradient penalties notice.
    """
    reference = _REFERENCES[name]

    def save(ctx, inputs, outputs):
        opened, ctx.lengths = _opened(inputs), _lengths(inputs)
        ctx.tensors = [i for i, value in enumerate(opened) if isinstance(value, Tensor)]
        ctx.save_for_backward(*(opened[i] for i in ctx.tensors))
        ctx.others = [None if isinstance(value, Tensor) else value for value in opened]

    def backward(ctx, *grads):
        inputs, again = list(ctx.others), torch.is_grad_enabled()
        lengths = ctx.lengths[:wanted]
        asked = [i for i, needed in enumerate(ctx.needs_input_grad[:-1]) if needed]
        with torch.enable_grad():
            for i, saved in zip(ctx.tensors, ctx.saved_tensors, strict=True):
                inputs[i] = saved if again else saved.detach().requires_grad_(i in asked)
            outputs = reference(*_closed(inputs, ctx.lengths))
        outputs = _opened(outputs if isinstance(outputs, tuple) else (outputs,))
        both = zip(outputs, _opened(grads), strict=True)
        pairs = [(o, g) for o, g in both if g is not None and o.requires_grad]
        result: list[Tensor | None] = [None] * sum(1 if n is None else n for n in lengths)
        if pairs and asked:
            outs, cotangents = zip(*pairs, strict=True)
            found = torch.autograd.grad(
                outs, [inputs[i] for i in asked], cotangents, create_graph=again, allow_unused=True
            )
            for i, grad in zip(asked, found, strict=True):
                result[i] = grad
        return _closed(result, lengths)

    return differentiable(name, wanted, save, backward)


def accumulator(dtype: torch.dtype) -> torch.dtype:
    """The type sums are kept in, and scalars returned in."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def names() -> list[str]:
    """The operators, backwards left out."""
    return sorted(stem for stem in set(_STEMS.values()) if stem in _REFERENCES)


def reference(name: str) -> Callable:
    """The plain PyTorch meaning of `bigan::<name>`."""
    return _REFERENCES[name]


def _triton(name: str, device: str) -> Callable | str:
    """The Triton implementation, or why it cannot be used."""
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed"
    if device == "cuda" and not torch.cuda.is_available():
        return "no GPU here (torch.cuda.is_available() is False)"
    if device == "cpu" and not interpreted:
        return "Triton needs a GPU; on a CPU it only runs interpreted (set TRITON_INTERPRET=1)"
    module = f"bigan.kernels.{_STEMS[name]}"
    if importlib.util.find_spec("bigan.kernels") is None:
        return "bigan is not installed, only a source tree: pip install -e ."
    if importlib.util.find_spec(module) is None:
        return f"there is no kernels/{_STEMS[name]}.py"
    return getattr(importlib.import_module(module), name, f"kernels/{_STEMS[name]}.py has no {name}")


def _native_reason(name: str, device: str) -> str | None:
    if (name, device) in _NATIVE:
        return None
    return (
        _native.status()[device]
        or f"the {device} library has no {name}: it is older than the Python files, reinstall bigan"
    )


def backends(name: str, device: str) -> dict[str, str | None]:
    """Backend -> None where operator `name` can use it on `device` ("cpu", "cuda"), else the reason."""
    triton = _triton(name, device)
    gone = (
        "no GPU here (torch.cuda.is_available() is False)"
        if device == "cuda" and not torch.cuda.is_available()
        else None
    )
    return {
        "reference": gone,
        "native": _native_reason(name, device) or gone,
        "triton": triton if isinstance(triton, str) else None,
    }


def _implementation(name: str, device: str, backend: str) -> Callable | str | None:
    """The Python callable that answers for `backend`, None for the kernel already attached, or the reason."""
    if backend in _EXTRA:
        return _EXTRA[backend](name, device)
    if reason := backends(name, device)[backend]:
        return reason
    return {"reference": _REFERENCES[name], "triton": _triton(name, device), "native": None}[backend]


def _refuse(name: str, device: str, backend: str, reason: str) -> Callable:
    def refuse(*_):
        raise BackendError(f"{name}: backend {backend!r} was asked for and cannot run on {device}: {reason}")

    return refuse


def _override(backend: str) -> torch.library.Library:
    """Answer every operator with `backend`; on a device where it cannot be had, raise when called there."""
    if backend not in BACKENDS and backend not in _EXTRA:
        raise unknown("backend", backend, ["auto", *BACKENDS])
    chosen = {(n, d): _implementation(n, d, backend) for n in _REFERENCES for d in DEVICES}
    if reasons := [r for r in chosen.values() if isinstance(r, str)]:
        usable = {d for d in DEVICES if not any(isinstance(chosen[n, d], str) for n in _REFERENCES)}
        if not usable:
            raise BackendError(f"backend {backend!r} was asked for and cannot be used here: {reasons[0]}")
    lib = torch.library.Library("bigan", "IMPL")
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message="(?s).*[Oo]verrid"
        )  # torch says once that a kernel is replaced: it is the purpose
        for (name, device), kernel in chosen.items():
            if isinstance(kernel, str):
                kernel = _refuse(name, device, backend, kernel)
            if kernel is not None:
                lib.impl(name, kernel, DEVICES[device], allow_override=True)
    return lib


@contextlib.contextmanager
def use_backend(backend: str) -> Iterator[None]:
    """Answer every operator with "reference", "native" or "triton" inside the block ("auto": as outside).

    Strict: raises BackendError with the reason if the choice cannot be honoured.  Not for use from
    several threads at once: the choice is the process's.
    """
    if backend == "auto":
        yield
        return
    lib = _override(backend)
    try:
        yield
    finally:
        lib._destroy()


def attach(modules: Sequence[str]) -> None:
    """Import the operators, attach the libraries and, where one lacks, Triton; then obey BIGAN_BACKEND."""
    for module in modules:
        importlib.import_module(module)
    _native.load()
    for device, key in DEVICES.items():
        if _native.status()[device] is None:
            _NATIVE.update(
                (n, device)
                for n in _REFERENCES
                if torch._C._dispatch_has_kernel_for_dispatch_key(f"bigan::{n}", key)
            )
    if torch.cuda.is_available():
        for name in _REFERENCES:
            if (name, "cuda") not in _NATIVE and callable(kernel := _triton(name, "cuda")):
                LIB.impl(name, kernel, "CUDA")
    global _PERMANENT
    wish = os.environ.get("BIGAN_BACKEND") or "auto"
    _PERMANENT = None if wish == "auto" else _override(wish)  # kept alive: the override ends with the object


_PERMANENT: torch.library.Library | None = None
