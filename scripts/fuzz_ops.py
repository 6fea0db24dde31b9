"""Calls every operator with random good and bad arguments: no crash, no silent broadcast, no unclear error.

    python scripts/fuzz_ops.py                       # 1000 calls an operator
    python scripts/fuzz_ops.py --calls 10000 --op latent_match --seed 7
    python scripts/fuzz_ops.py --backend emulated    # the CUDA kernels, executed on the CPU: slow

A call is a good one, from tests/op_cases/, with up to two changes: a shape, a type, a layout, NaN and huge
values, a wrong option, something that is no tensor at all.  It must give what the reference gives, values and
gradients, and leave its arguments as they were; or raise an error that begins with the operator's name, names
an argument and is the same, word for word, from the reference.  Children run the calls, with each tensor
ending at a page that cannot be read: reading past it is a crash, reported with the call that made it.
An operator is found by itself, in bigan.ops and in the cases.
"""

import argparse
import contextlib
import dataclasses
import faulthandler
import functools
import inspect
import json
import math
import os
import random
import re
import subprocess
import sys
import typing
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/emulation")]

import torch  # noqa: E402
from op_cases import CASES, Case  # noqa: E402
from torch import Tensor  # noqa: E402

from bigan import ops  # noqa: E402
from bigan.ops._registry import accumulator  # noqa: E402

# Tensors whose size is their own: everywhere else one changed shape among several must be refused.
FREE = {
    "logistic_adversarial": {"real", "fake"},
    "gather_images": {"data", "index"},
    "ternary_adversarial": {"real", "reconstruction", "generated"},
}
# Of equal samples the variance is 0, or what rounding leaves of it: no values are compared.
ROUNDING = {"moment_kl": ("expanded", "overlapping", "filled")}
MANY = 20  # faults of an operator, after which a crash ends its calls
BATCH = 250  # calls that run under one backend before the other takes its turn
KNOWN_ERRORS = (ValueError, TypeError, RuntimeError, NotImplementedError)


# ---- calls ----


@dataclasses.dataclass
class Call:
    """A public function and its arguments by name; what was done to them."""

    op: str
    arguments: dict[str, Any]
    tol: dict[torch.dtype, float]
    notes: list[str] = dataclasses.field(default_factory=list)
    exact: bool = True  # whether its values can be compared
    reshaped: set[str] = dataclasses.field(default_factory=set)  # arguments whose shape was changed
    context: str = "plain"

    def __str__(self) -> str:
        text = ", ".join(f"{k}={form(v)}" for k, v in self.arguments.items())
        return f"{self.op}({text})  [{'; '.join([self.context, *self.notes])}]"


def form(value: Any) -> str:
    if isinstance(value, Tensor):
        kind = str(value.dtype).removeprefix("torch.")
        strides = (
            "" if value.layout != torch.strided or value.is_contiguous() else f" strides {value.stride()}"
        )
        return f"<{kind} {list(value.shape)}{strides}{'' if value.is_cpu else ' ' + str(value.device)}>"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(form, value))}]"
    return repr(value)[:60]


@functools.cache
def functions() -> dict[str, Callable]:
    """The public operators by name: what takes or gives a tensor."""
    named = {
        name: getattr(ops, name) for name in ops.__all__ if name != "augment_draw"
    }  # gives what others use
    return {n: f for n, f in named.items() if inspect.isfunction(f) and "Tensor" in str(signature(f))}


signature = functools.cache(inspect.signature)


@functools.cache
def cases_of(op: str) -> list[Case]:
    """The cases that call public function `op`."""
    return [c for c in CASES if any(x.op == op for x in record(c, c.shapes[0], c.dtypes[0]))]


def record(case: Case, shape: tuple[int, ...], dtype: torch.dtype) -> list[Call]:
    """The public calls that a case makes, without making them."""
    found: list[Call] = []

    class Recorded(Exception):
        pass

    def recorder(name, function):
        def call(*args, **kwargs):
            bound = signature(function).bind(*args, **kwargs)
            bound.apply_defaults()
            found.append(Call(name, dict(bound.arguments), case.tol))
            raise Recorded

        return call

    originals = functions()
    try:
        for name, function in originals.items():
            setattr(ops, name, recorder(name, function))
        with contextlib.suppress(Recorded):
            case.call(*case.inputs(shape, dtype, "cpu"))
    finally:
        for name, function in originals.items():
            setattr(ops, name, function)
    return found


def good(op: str, case: Case, choose: random.Random) -> Call:
    """The case's call of public function `op`."""
    shape, dtype = choose.choice(case.shapes), choose.choice(case.dtypes)
    return next(c for c in record(case, shape, dtype) if c.op == op)


# ---- changes ----

Change = Callable[[random.Random, Tensor], Tensor]


def other_dim(choose: random.Random, t: Tensor) -> Tensor:
    """One dimension longer, shorter, 1 or empty."""
    if t.dim() == 0:
        return t[None]
    dim = choose.randrange(t.dim())
    size = max(0, choose.choice([t.shape[dim] - 1, t.shape[dim] + 1, 0, 1, 2 * t.shape[dim]]))
    sizes = [size if d == dim else n for d, n in enumerate(t.shape)]
    if size <= t.shape[dim]:
        return t.narrow(dim, 0, size)
    return torch.randn(sizes, dtype=torch.float64).mul(2).to(t.dtype)


def other_rank(choose: random.Random, t: Tensor) -> Tensor:
    kinds: list[Change] = [
        lambda c, t: t.unsqueeze(c.randrange(t.dim() + 1)),
        lambda c, t: t.flatten(),
        lambda c, t: t.select(0, 0) if t.dim() and len(t) else t.flatten(),
        lambda c, t: torch.ones((), dtype=t.dtype),
        lambda c, t: t[..., None, None],
        lambda c, t: t[(None,) * 30],
    ]
    return choose.choice(kinds)(choose, t)


def other_type(choose: random.Random, t: Tensor) -> Tensor:
    types = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
             torch.uint8, torch.bool, torch.complex64, torch.float8_e4m3fn]  # fmt: skip
    return t.real.to(choose.choice(types)) if t.is_complex() else t.to(choose.choice(types))


def spread(choose: random.Random, t: Tensor) -> Tensor:
    """Equal values, other strides, at an address that fits no vector."""
    if t.dim() > 5:
        return t
    sizes = [n * choose.choice([1, 1, 2, 3]) for n in t.shape]
    order = list(range(t.dim()))
    choose.shuffle(order)
    offset = choose.randrange(4)
    count = offset + (torch.empty(sizes).numel() if sizes else 1)
    base = t.new_empty(count)[offset:].view([sizes[d] for d in order])
    view = base.permute([order.index(d) for d in range(t.dim())])
    view = view[tuple(slice(None, None, s // n if n else 1) for s, n in zip(sizes, t.shape, strict=True))]
    return view.copy_(t)


def expanded(choose: random.Random, t: Tensor) -> Tensor:
    """One dimension of stride 0."""
    if not t.numel() or not t.dim():
        return t
    dim = choose.randrange(t.dim())
    return t.narrow(dim, 0, 1).expand(t.shape)


def overlapping(choose: random.Random, t: Tensor) -> Tensor:
    """Rows that share elements."""
    if t.dim() < 2 or not t.numel():
        return t
    flat = t.flatten()
    return flat.as_strided(t.shape, [1] * t.dim()) if sum(t.shape) - t.dim() < flat.numel() else t


def negative_view(choose: random.Random, t: Tensor) -> Tensor:
    return torch._neg_view(-t) if t.is_floating_point() and t.dtype.itemsize > 1 else t


LAYOUTS: list[Change] = [spread, spread, expanded, overlapping, negative_view]
EXTREMES = (math.nan, math.inf, -math.inf, 1e300, -3e38, 6e4, 1e-300, 1e-40, 0.0, -0.0)


def special_values(choose: random.Random, t: Tensor) -> Tensor:
    if not t.is_floating_point() or not t.numel() or t.dtype.itemsize == 1:
        return t
    t = t.clone(memory_format=torch.contiguous_format)
    value = torch.tensor(choose.choice(EXTREMES), dtype=torch.float64).to(t.dtype)
    for _ in range(choose.choice([1, 1, 3])):
        t.view(-1)[choose.randrange(t.numel())] = value
    return t


def filled(choose: random.Random, t: Tensor) -> Tensor:
    """The same value everywhere."""
    if not t.is_floating_point() or t.dtype.itemsize == 1:
        return t
    value = torch.tensor(choose.choice([*EXTREMES, 1.0, -0.3]), dtype=torch.float64)
    return torch.full_like(t, 0).copy_(value)


def overflows(t: Tensor) -> bool:
    """Has finite values whose square is not: what becomes of it depends on the order of operations."""
    if not t.is_cpu or not t.is_floating_point() or t.dtype.itemsize == 1:
        return False
    return bool(((t.abs() > torch.finfo(accumulator(t.dtype)).max ** 0.5) & t.isfinite()).any())


def scaled(choose: random.Random, t: Tensor) -> Tensor:
    return t * choose.choice([0, 1e-3, 5]) if t.is_floating_point() and t.dtype.itemsize > 1 else t


STRANGE: list[Callable[[], Any]] = [
    *(lambda value=value: value for value in (
        None, 0, 1, -1, 2.5, 2j, True, "mean", "", b"x", math.nan, math.inf, 2**31, 2**63, 2**64, -(2**70),
        [], [1.0, 2.0], (), {}, object, torch.float32,
    )),
    lambda: torch.tensor(0.5), lambda: torch.tensor([1, 2]), lambda: torch.randn(3, 3),
    lambda: torch.empty(2, 3, device="meta"), lambda: torch.randn(3, 3).numpy(), lambda: [torch.randn(2, 2)],
]  # fmt: skip
SIZES = {"batch", "dim"}  # a large one is no mistake, only more memory than there is


def words(op: str) -> list[str]:
    """The words that options of an operator may have."""
    module = sys.modules[functions()[op].__module__]
    tuples = [v for v in vars(module).values() if isinstance(v, tuple) and all(isinstance(x, str) for x in v)]
    return sorted({word for t in tuples for word in t} | {"none", "mean", "sum", "batch", "sample"})


def is_tensors(value: Any) -> bool:
    return isinstance(value, Tensor) or (
        isinstance(value, (list, tuple)) and len(value) > 0 and all(is_tensors(v) for v in value)
    )


def on_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """A tensor changed, or each of a list of them."""
    return change(value) if isinstance(value, Tensor) else type(value)(on_tensors(v, change) for v in value)


def on_one(value: Any, change: Callable[[Tensor], Tensor], choose: random.Random) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    at = choose.randrange(len(value))
    return type(value)(on_one(v, change, choose) if i == at else v for i, v in enumerate(value))


STEPS: dict[str, list[Change]] = {
    "shape": [other_dim, other_dim, other_rank],
    "type": [other_type],
    "layout": LAYOUTS,
    "values": [special_values, special_values, filled, scaled],
    "device": [lambda choose, t: t.to("meta")],
}
KINDS = {
    "shape": 3,
    "type": 2,
    "layout": 3,
    "values": 3,
    "device": 1,
    "option": 3,
    "strange": 2,
    "missing": 0.2,
}


def change(call: Call, choose: random.Random) -> None:
    """Change one argument, or all tensors alike."""
    tensors = [name for name, value in call.arguments.items() if is_tensors(value)]
    (kind,) = choose.choices(list(KINDS), list(KINDS.values()))
    if kind in STEPS and tensors:
        step, seed = choose.choice(STEPS[kind]), choose.random()
        together = kind != "shape" and choose.random() < 0.4
        for name in tensors if together else [choose.choice(tensors)]:
            before = call.arguments[name]

            def same(t: Tensor) -> Tensor:
                return step(random.Random(seed), t)

            after = on_tensors(before, same) if together else on_one(before, same, choose)
            call.arguments[name] = after
            call.exact &= step.__name__ not in ROUNDING.get(call.op, ()) and not any(
                map(overflows, flat(after))
            )
            if kind == "shape" and isinstance(before, Tensor) and before.shape != after.shape:
                call.reshaped.add(name)
            call.notes.append(f"{kind} of {name}")
        return
    optional = [name for name in call.arguments if name not in tensors] if kind == "option" else []
    name = choose.choice(optional or list(call.arguments))
    call.notes.append(f"{kind} {name}")
    if kind == "missing":
        del call.arguments[name]
    elif optional and choose.random() < 0.7:
        call.arguments[name] = plausible(call.op, name, call.arguments[name], choose)
    else:
        strange = choose.choice(STRANGE)()
        large = name in SIZES and isinstance(strange, (int, float)) and 100 < strange < 2**32
        call.arguments[name] = 3 if large else strange


def plausible(op: str, name: str, value: Any, choose: random.Random) -> Any:
    """Something of the option's own kind, allowed or not."""
    annotation = str(signature(functions()[op]).parameters[name].annotation)
    if "bool" in annotation:
        return choose.choice([True, False])
    if "str" in annotation:
        return choose.choice(words(op))
    if "float" in annotation:
        return choose.choice([0.0, 0.1, 0.5, 1.0, 3, -0.1, 1e-30, 1e30, float("nan"), float("inf"), None])
    if "int" in annotation:
        return choose.choice([0, 1, 2, 7, -1] + ([] if name in SIZES else [2**31, 2**32 - 1, 2**32]))
    if "dtype" in annotation:
        return choose.choice([torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.complex64])
    if "Tensor" in annotation:
        like = choose.choice(
            [torch.tensor([3, 4]), torch.arange(4), torch.randn(4, 8), torch.randn(3, 37), None]
        )
        return like
    return value


CONTEXTS: dict[str, Callable[[], Any]] = {
    "plain": contextlib.nullcontext,
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


def make(op: str, seed: int, index: int) -> Call:
    """Call number `index`: always the same."""
    choose = random.Random(f"{seed}/{op}/{index}")
    cases = cases_of(op)  # draws, the first time
    torch.default_generator.manual_seed(choose.randrange(2**31))
    call = good(op, choose.choice(cases), choose)
    for _ in range(choose.choice([0, 1, 1, 1, 1, 2])):
        if call.arguments:
            change(call, choose)
    call.context = choose.choice(["plain"] * 7 + ["no_grad", "inference", "autocast"])
    share = choose.choice([0, 0.5, 1, 1])

    def leaf(t: Tensor) -> Tensor:
        return t.detach().requires_grad_(
            (t.is_floating_point() or t.is_complex()) and choose.random() < share
        )

    for name, value in call.arguments.items():
        if is_tensors(value):
            call.arguments[name] = on_tensors(value, leaf)
    return call


# ---- outcomes ----


@dataclasses.dataclass
class Outcome:
    outputs: list[Tensor] = dataclasses.field(default_factory=list)  # and after them the gradients
    error: str = ""  # type and message
    known: bool = True
    changed: bool = False  # an argument
    graded: int = 0  # how many of the outputs have a gradient


def flat(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [t for v in value for t in flat(v)] if isinstance(value, (list, tuple)) else []


def perform(call: Call) -> Outcome:
    given = flat(list(call.arguments.values()))
    before = [(t, t.detach().clone()) for t in given if t.is_cpu]
    torch.default_generator.manual_seed(5)
    outcome = Outcome()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with CONTEXTS[call.context]():
                outputs = flat(functions()[call.op](**call.arguments))
            outcome.outputs = [o.detach().clone() if o.is_cpu else o for o in outputs]
            graded, leaves = [o for o in outputs if o.requires_grad], [t for t in given if t.requires_grad]
            outcome.graded = len(graded)
            if graded:
                up = [
                    torch.linspace(-1, 2, max(o.numel(), 1))
                    .to(o.dtype)[: o.numel()]
                    .view(o.shape)
                    .to(o.device)
                    for o in graded
                ]
                grads = torch.autograd.grad(graded, leaves, up, allow_unused=True)
                outcome.outputs += [torch.zeros(()) if g is None else g for g in grads]
    except Exception as error:
        outcome.error = f"{type(error).__name__}: {error}"
        outcome.known = isinstance(error, KNOWN_ERRORS)
    with torch.no_grad():
        outcome.changed = any(not torch.equal(as_bytes(t), as_bytes(old)) for t, old in before)
    return outcome


def as_bytes(t: Tensor) -> Tensor:
    return t.detach().resolve_neg().clone(memory_format=torch.contiguous_format).reshape(-1).view(torch.uint8)


def fault(call: Call, got: Outcome, want: Outcome) -> str | None:
    """What is wrong with `got`, the reference having given `want`."""
    if got.changed or want.changed:
        return "an argument was changed"
    if got.error or want.error:
        return wrong_error(call, got, want)
    if name := misfit(call):
        return f"accepted: {name} is not of the type that the signature says"
    several = len([v for v in call.arguments.values() if is_tensors(v)]) > 1
    if several and call.reshaped - FREE.get(call.op, set()) and not same_again(call):
        return "accepted: one shape of several was changed"
    if [(o.shape, o.dtype, o.device) for o in got.outputs] != [
        (o.shape, o.dtype, o.device) for o in want.outputs
    ]:
        return f"gives {form(got.outputs)}, the reference {form(want.outputs)}"
    if got.graded != want.graded:
        return f"{got.graded} differentiable outputs, the reference {want.graded}"
    for i, (g, w) in enumerate(zip(got.outputs, want.outputs, strict=True)):
        if call.exact and g.is_cpu and (problem := differs(call, g.double(), w.double())):
            return f"output or gradient {i}: {problem}"
    return None


def misfit(call: Call) -> str | None:
    """An option whose value is not of its declared type."""
    for name, hint in typing.get_type_hints(functions()[call.op]).items():
        kinds = typing.get_args(hint) or (hint,)
        if name in call.arguments and set(kinds) <= {str, bool, int, float, type(None)}:
            kinds += (int,) if float in kinds else ()
            if not isinstance(call.arguments[name], kinds):
                return name
    return None


def same_again(call: Call) -> bool:
    """A second change made the shapes fit again."""
    shapes = {
        tuple(v.shape) for v in call.arguments.values() if isinstance(v, Tensor) and v.is_floating_point()
    }
    return len(shapes) == 1


def wrong_error(call: Call, got: Outcome, want: Outcome) -> str | None:
    if got.error != want.error:
        return (
            f"raises {got.error!r}, the reference {want.error!r}" if want.error else f"raises {got.error!r}"
        )
    if not got.known:
        return f"raises {got.error!r}"
    message = got.error.partition(": ")[2]
    names = [*signature(functions()[call.op]).parameters]
    if not re.match(rf"{call.op}(: |\(\) )", message):
        return f"an error that does not begin with the operator: {got.error!r}"
    if not re.search(rf"\b({'|'.join(names)})\b", message.removeprefix(call.op)):
        return f"an error that names no argument: {got.error!r}"
    return None


def differs(call: Call, got: Tensor, want: Tensor) -> str | None:
    """Where, if further than rounding explains; what is not finite need only not be finite."""
    if got.numel() == 0:
        return None
    values = call.arguments.values()
    tensors = flat(list(values))
    dtypes = [t.dtype for t in tensors] + [v for v in values if isinstance(v, torch.dtype)]
    dtypes += [torch.bfloat16] if call.context == "autocast" else []
    tol = 4 * max((call.tol[d] for d in dtypes if d in call.tol), default=call.tol[torch.float32])
    sizes = [size for t in tensors if t.dtype in call.tol and t.is_cpu and (size := largest(t))]
    scale = max(1.0, largest(want), 1 / min(sizes, default=1))  # gradients of small numbers are large
    close = (got - want).abs() <= tol * (want.abs() + scale)
    close |= ~got.isfinite() & ~want.isfinite()
    if bool(close.all()):
        return None
    at = int((~close).reshape(-1).nonzero()[0])
    return f"{float(got.reshape(-1)[at])!r} in place of {float(want.reshape(-1)[at])!r} (tolerance {tol:g})"


def largest(t: Tensor) -> float:
    """Magnitude, of what is finite; 0 for nothing."""
    finite = t.detach()[t.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0


# ---- processes ----


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Tensors whose ends cannot be passed, where there is a compiler."""
    import emu
    import emu_build

    if emu_build.missing("g++"):
        yield
        return
    with emu.guarded():
        yield


def child(jobs: list[str], seed: int, calls: int, backend: str) -> None:
    """Run calls op:first..calls; a line before each step, so that a crash can be told."""
    faulthandler.enable()
    torch.set_num_threads(1)
    if backend == "emulated":
        import emu

        emu.operators()
    with guarded():
        for job in jobs:
            op, first = job.split(":")
            for start in range(int(first), calls, BATCH):
                turn(op, seed, range(start, min(start + BATCH, calls)), backend)


def turn(op: str, seed: int, indices: range, backend: str) -> None:
    """Some calls, under the one backend and then under the reference."""
    calls = {i: make(op, seed, i) for i in indices}
    outcomes: dict[str, dict[int, Outcome]] = {}
    for name in (backend, "reference"):
        outcomes[name] = {}
        with ops.use_backend(name):
            for i, call in calls.items():
                print(json.dumps({"op": op, "at": i, "backend": name}), flush=True)
                outcomes[name][i] = perform(call)
    for i, call in calls.items():
        if problem := fault(call, outcomes[backend][i], outcomes["reference"][i]):
            print(json.dumps({"op": op, "fault": problem, "index": i, "call": str(call)}), flush=True)
    refused = sum(bool(o.error) for o in outcomes["reference"].values())
    print(json.dumps({"op": op, "accepted": len(calls) - refused, "refused": refused}), flush=True)


@dataclasses.dataclass
class Result:
    accepted: int = 0
    refused: int = 0
    faults: list[str] = dataclasses.field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.accepted:>7} accepted {self.refused:>7} refused {len(self.faults):>5} faults"


def fuzz(names: list[str], calls: int, seed: int = 0, backend: str = "native") -> dict[str, Result]:
    results, jobs = {op: Result() for op in names}, [f"{op}:0" for op in names]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TRITON_INTERPRET": "1"}
    command = [sys.executable, __file__, "--seed", str(seed), "--backend", backend, "--calls", str(calls)]
    while jobs:
        done = subprocess.run([*command, "--child", *jobs], capture_output=True, text=True, env=environment)
        last: dict[str, Any] = {}
        for line in done.stdout.splitlines():
            said = json.loads(line)
            result = results[said["op"]]
            if "at" in said:
                last = said
            elif "fault" in said:
                result.faults.append(f"{said['call']}\n    call {said['index']}: {said['fault']}")
            else:
                result.accepted += said["accepted"]
                result.refused += said["refused"]
        if done.returncode == 0:
            break
        if done.returncode > 0 or not last:  # raised: a fault of this script
            raise RuntimeError(done.stderr[-3000:])
        op, index = last["op"], last["at"]
        why = f"CRASH (signal {-done.returncode}) in {last['backend']}\n{done.stderr[-1500:]}"
        results[op].faults.append(f"{make(op, seed, index)}\n    call {index}: {why}")
        at = next(i for i, job in enumerate(jobs) if job.startswith(f"{op}:"))
        again = [f"{op}:{index + 1}"] if len(results[op].faults) < MANY else []
        jobs = [*again, *jobs[at + 1 :]]
    return results


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calls", type=int, default=1000, help="of each operator")
    parser.add_argument("--op", action="append", choices=list(functions()), help="only this; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backend", default="native", choices=["native", "reference", "emulated", "triton"])
    parser.add_argument("--show", type=int, default=10, help="faults to print of each operator")
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.child, args.seed, args.calls, args.backend)
        return 0
    failed = 0
    for op in args.op or functions():
        result = fuzz([op], args.calls, args.seed, args.backend)[op]
        print(f"{op:<28} {result}", flush=True)
        for text in result.faults[: args.show]:
            print(f"  {text}")
        failed += len(result.faults)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
