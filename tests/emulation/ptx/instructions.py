"""Everything else a thread does alone: moves, conversions, comparisons, memory and atomics."""

from collections.abc import Callable

import numpy as np

from . import numbers
from .memory import WINDOWS
from .parse import NUMPY, SIZE, PtxError, split
from .registers import Registers

FLOATS = ("f16", "bf16", "f32", "f64")


def _kinds(parts: list[str]) -> list[str]:
    return [p for p in parts[1:] if p in SIZE]


def _vector(operand: str) -> list[str]:
    return split(operand.strip("{}")) if operand.startswith("{") else [operand]


def space_of(parts: list[str]) -> str | None:
    """The memory space that an instruction names; None: generic addresses."""
    return next((s for p in parts if (s := p.split("::")[0]) in WINDOWS), None)


def move(r: Registers, parts: list[str], arguments: list[str]) -> Callable:
    kind = _kinds(parts)[0]
    bits = 8 * SIZE[kind]
    if arguments[0].startswith("{"):  # unpack
        names = _vector(arguments[0])
        width = bits // len(names)
        source, puts = r.get(arguments[1], f"u{bits}"), [r.put(n, f"u{width}") for n in names]

        def unpack(lanes):
            value = source(lanes)
            for i, put in enumerate(puts):
                put(lanes, (value >> np.array(i * width, value.dtype)).astype(f"u{width // 8}"))

        return unpack
    if arguments[1].startswith("{"):  # pack
        names = _vector(arguments[1])
        width, kind_all = bits // len(names), np.dtype(f"u{bits // 8}")
        gets, put_all = [r.get(n, f"u{width}") for n in names], r.put(arguments[0], f"u{bits}")

        def pack(lanes):
            value = gets[0](lanes).astype(kind_all)
            for i, get in enumerate(gets[1:], 1):
                value = value | get(lanes).astype(kind_all) << np.array(i * width, kind_all)
            put_all(lanes, value)

        return pack
    get, put = r.get(arguments[1], kind), r.put(arguments[0], kind)
    return lambda lanes: put(lanes, get(lanes))


def convert_address(r: Registers, parts: list[str], arguments: list[str]) -> Callable:  # cvta
    window = WINDOWS[space_of(parts)]
    put = r.put(arguments[0], "s64")
    get = r.get(arguments[1], "s64")
    shift = np.int64(-window if "to" in parts else window)
    return lambda lanes: put(lanes, get(lanes) + shift)


def convert(r: Registers, parts: list[str], arguments: list[str]) -> Callable:  # cvt
    to, source = (_kinds(parts) * 2)[:2]
    put, kind = r.put(arguments[0], to), np.dtype(NUMPY[to])
    if to in ("bf16x2", "f16x2"):  # two floats, the first into the upper half
        narrow = numbers.float_to_bf16 if to == "bf16x2" else numbers.float_to_half
        high, low = r.get(arguments[1], source), r.get(arguments[2], source)
        return lambda lanes: put(
            lanes, narrow(high(lanes)).astype("u4") << np.uint32(16) | narrow(low(lanes)).astype("u4")
        )
    get = r.get(arguments[1], source)
    widen = {"bf16": numbers.bf16_to_float, "f16": numbers.half_to_float}.get(source, lambda v: v)
    to_whole = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}
    whole = next((to_whole[p] for p in parts if p in to_whole), None)
    saturate = "sat" in parts

    def run(lanes):
        value = widen(get(lanes))
        if whole:
            value = whole(value)
        if source in FLOATS and to not in FLOATS:
            value = numbers.to_integer(value, kind)
        elif to == "bf16":
            value = numbers.float_to_bf16(np.asarray(value, "f4"))
        elif to == "f16":
            value = numbers.float_to_half(np.asarray(value))
        elif to in FLOATS:
            value = value.astype(kind)
            if saturate:
                value = np.clip(np.nan_to_num(value, nan=0.0), 0, 1)
        elif saturate:
            value = np.clip(value.astype("i8"), np.iinfo(kind).min, np.iinfo(kind).max).astype(kind)
        else:
            value = value.astype(kind)
        put(lanes, value)

    return run


_COMPARE = {
    "eq": np.equal, "ne": np.not_equal,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal,
}  # fmt: skip
_COMBINE = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}


def _comparison(name: str, is_float: bool) -> Callable:
    def unordered(x, y):
        return np.isnan(x) | np.isnan(y)

    if name == "num":
        return lambda x, y: ~unordered(x, y)
    if name == "nan":
        return unordered
    if name == "ne" and is_float:
        return lambda x, y: (x != y) & ~unordered(x, y)
    if name in _COMPARE:
        return _COMPARE[name]
    compare = _COMPARE[name[:2]]  # equ neu ltu leu gtu geu: true where unordered
    return lambda x, y: compare(x, y) | unordered(x, y)


def compare(r: Registers, parts: list[str], arguments: list[str]) -> Callable:  # setp
    kind = _kinds(parts)[-1]
    compare_ = _comparison(parts[1], kind[0] == "f")
    x, y = r.get(arguments[1], kind), r.get(arguments[2], kind)
    combine = next((_COMBINE[p] for p in parts[2:] if p in _COMBINE), None)
    other = r.get(arguments[3], "pred") if combine else None
    puts = [r.put(name.strip(), "pred") for name in arguments[0].split("|")]

    def run(lanes):
        results = [compare_(x(lanes), y(lanes))]
        results.append(~results[0])
        for put, result in zip(puts, results, strict=False):
            put(lanes, combine(result, other(lanes)) if combine else result)

    return run


def select(r: Registers, parts: list[str], arguments: list[str]) -> Callable:  # selp
    kind = _kinds(parts)[0]
    put, x, y = r.put(arguments[0], kind), r.get(arguments[1], kind), r.get(arguments[2], kind)
    condition = r.get(arguments[3], "pred")
    return lambda lanes: put(lanes, np.where(condition(lanes), x(lanes), y(lanes)))


def load(r: Registers, parts: list[str], arguments: list[str], batch) -> Callable:
    kind, address, space = _kinds(parts)[-1], r.address(arguments[1]), space_of(parts)
    puts = [r.put(name, kind) for name in _vector(arguments[0])]

    def run(lanes):
        values = batch.spaces.load(
            space, address(lanes), batch.numbers(lanes), np.dtype(NUMPY[kind]), len(puts)
        )
        for put, value in zip(puts, values, strict=True):
            put(lanes, value)

    return run


def store(r: Registers, parts: list[str], arguments: list[str], batch) -> Callable:
    kind, address, space = _kinds(parts)[-1], r.address(arguments[0]), space_of(parts)
    gets = [r.get(name, kind) for name in _vector(arguments[1])]
    return lambda lanes: batch.spaces.store(
        space, address(lanes), batch.numbers(lanes), np.dtype(NUMPY[kind]), [g(lanes) for g in gets]
    )


def atomic(r: Registers, parts: list[str], arguments: list[str], batch) -> Callable:  # atom, red
    kind, space = _kinds(parts)[-1], space_of(parts)
    numpy_kind = np.dtype(NUMPY[kind])
    if parts[0] == "red":
        arguments = ["_", *arguments]
    put, address = r.put(arguments[0], kind), r.address(arguments[1])
    gets = [r.get(a, kind) for a in arguments[2:]]
    functions = {
        "add": lambda o, v: o + v, "exch": lambda o, v: v, "min": min, "max": max,
        "and": lambda o, v: o & v, "or": lambda o, v: o | v, "xor": lambda o, v: o ^ v,
        "inc": lambda o, v: numpy_kind.type(0) if o >= v else o + numpy_kind.type(1),
        "cas": lambda o, expected, v: v if o == expected else o,
    }  # fmt: skip
    function = next((functions[p] for p in parts if p in functions), None)
    if function is None:
        raise PtxError("not implemented")

    def run(lanes):
        numbers_, addresses = batch.numbers(lanes), address(lanes)
        values = [np.broadcast_to(g(lanes), len(numbers_)) for g in gets]
        old = np.zeros(len(numbers_), numpy_kind)
        batch.spaces.atomic = True
        for i in range(len(numbers_)):  # one after another, in the order of the threads
            one = slice(i, i + 1)
            old[i] = batch.spaces.load(space, addresses[one], numbers_[one], numpy_kind, 1)[0][0]
            new = np.array([function(old[i], *(v[i] for v in values))], numpy_kind)
            batch.spaces.store(space, addresses[one], numbers_[one], numpy_kind, [new])
        batch.spaces.atomic = False
        put(lanes, old)

    return run


ALONE = {"mov": move, "cvta": convert_address, "cvt": convert, "setp": compare, "selp": select}
IN_MEMORY = {"ld": load, "ldu": load, "st": store, "atom": atomic, "red": atomic}
