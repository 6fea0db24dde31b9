"""The functions behind add, mul, fma, shl, ex2 and their like."""

from collections.abc import Callable

import numpy as np

from .numbers import divide, fma32, fma64, multiply_high, top_bit
from .parse import NUMPY, SIZE, PtxError
from .registers import Registers

_PREDICATE = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor, "not": np.logical_not}
_WIDE = {"u16": "u32", "s16": "s32", "u32": "u64", "s32": "s64"}


def _in_double(function: Callable) -> Callable:
    """A float32 function computed in float64 and rounded."""
    return lambda *values: function(*(np.asarray(v, "f8") for v in values)).astype("f4")


def _float(operation: str, parts: list[str]) -> Callable | None:
    rounding = next((r for r in parts if r in ("rz", "rm", "rp")), "rn")
    one, zero = np.ones(1, "f4"), np.zeros(1, "f4")

    def fma(x, y, z):
        return fma32(x, y, z, rounding)

    directed = {"add": lambda x, y: fma(x, one, y), "mul": lambda x, y: fma(x, y, zero)}
    if rounding != "rn" and operation in directed:
        return directed[operation]
    return {
        "add": np.add, "sub": np.subtract, "mul": np.multiply, "fma": fma, "mad": fma,
        "div": _in_double(np.divide), "rcp": _in_double(np.reciprocal), "sqrt": np.sqrt,
        "rsqrt": _in_double(lambda x: 1 / np.sqrt(x)), "ex2": _in_double(np.exp2), "lg2": _in_double(np.log2),
        "sin": _in_double(np.sin), "cos": _in_double(np.cos), "tanh": _in_double(np.tanh),
        "neg": np.negative, "abs": np.abs, "min": np.fmin, "max": np.fmax,
        "copysign": lambda sign, magnitude: np.copysign(magnitude, sign),
    }.get(operation)  # fmt: skip


_DOUBLE = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "fma": fma64, "div": np.divide, "sqrt": np.sqrt,
    "rcp": np.reciprocal, "rsqrt": lambda x: 1 / np.sqrt(x), "neg": np.negative, "abs": np.abs,
    "min": np.fmin, "max": np.fmax, "copysign": lambda sign, magnitude: np.copysign(magnitude, sign),
}  # fmt: skip


def _integer(operation: str, parts: list[str], kind: str) -> Callable | None:
    numpy_kind, bits = np.dtype(NUMPY[kind]), 8 * SIZE[kind]
    unsigned, signed = np.dtype(f"u{bits // 8}"), kind[0] == "s"

    def constant(v):
        return np.array(v, numpy_kind)

    if "wide" in parts:
        wide = np.dtype(NUMPY[_WIDE[kind]])

        def multiply(x, y):
            return x.astype(wide) * y.astype(wide)
    elif "hi" in parts:

        def multiply(x, y):
            return multiply_high(x, y, bits)
    else:

        def multiply(x, y):
            return x * y

    def shift_left(x, n):
        return np.where(n >= bits, constant(0), x << np.minimum(n, bits - 1).astype(numpy_kind))

    def shift_right(x, n):
        beyond = x >> constant(bits - 1) if signed else constant(0)
        return np.where(n >= bits, beyond, x >> np.minimum(n, bits - 1).astype(numpy_kind))

    def ones(n):
        """The lowest n bits."""
        some = (np.array(1, unsigned) << np.minimum(n, bits - 1).astype(unsigned)) - np.array(1, unsigned)
        return np.where(n >= bits, ~np.array(0, unsigned), some)

    def extract(x, position, n):  # bfe
        position, n = position & 255, n & 255
        value = shift_right(x, position).view(unsigned) & ones(n)
        if signed:
            sign = np.array(1, unsigned) << (np.clip(n, 1, bits) - 1).astype(unsigned)
            value = np.where((n > 0) & (n < bits), (value ^ sign) - sign, value)
        return value.view(numpy_kind)

    def insert(value, into, position, n):  # bfi
        mask = shift_left(ones(n & 255), position & 255)
        return (into & ~mask) | (shift_left(value, position & 255) & mask)

    def funnel(low, high, n):  # shf
        n = n & 31 if "wrap" in parts else np.minimum(n, 32)
        both = high.astype("u8") << np.uint64(32) | low.astype("u8")
        moved = both << n.astype("u8") >> np.uint64(32) if "l" in parts else both >> n.astype("u8")
        return moved.astype("u4")

    def logic(x, y, z, table):  # lop3
        result, table = np.zeros(1, unsigned), int(np.asarray(table).flat[0])
        for i in range(8):
            if table >> i & 1:
                result = result | (x if i & 4 else ~x) & (y if i & 2 else ~y) & (z if i & 1 else ~z)
        return result

    def permute(low, high, selectors):  # prmt
        both, result = low.astype("u8") | high.astype("u8") << np.uint64(32), np.zeros(1, "u8")
        for i in range(4):
            s = (selectors >> np.uint32(4 * i)).astype("u8") & np.uint64(15)
            byte = both >> ((s & np.uint64(7)) * np.uint64(8)) & np.uint64(255)
            sign = np.where(byte & np.uint64(128), np.uint64(255), np.uint64(0))
            result = result | np.where(s & np.uint64(8), sign, byte) << np.uint64(8 * i)
        return result.astype("u4")

    def reverse(x):  # brev
        result = np.zeros_like(x)
        for i in range(bits):
            result = result | ((x >> constant(i)) & constant(1)) << constant(bits - 1 - i)
        return result

    def count(x):  # popc
        ones_of = [(x.view(unsigned) >> np.array(i, unsigned)) & np.array(1, unsigned) for i in range(bits)]
        return np.sum(ones_of, axis=0).astype("u4")

    def find(x):  # bfind
        top = top_bit(np.where(x < 0, ~x, x) if signed else x, bits)
        found = bits - 1 - top if "shiftamt" in parts else top
        return np.where(top < 0, 0xFFFFFFFF, found).astype("u4")

    return {
        "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": multiply,
        "mad": lambda x, y, z: multiply(x, y) + z, "neg": lambda x: -x, "abs": np.abs,
        "div": divide, "rem": lambda x, y: divide(x, y, remainder=True), "min": np.minimum, "max": np.maximum,
        "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "not": np.invert,
        "cnot": lambda x: (x == 0).astype(numpy_kind), "shl": shift_left, "shr": shift_right,
        "popc": count, "clz": lambda x: (bits - 1 - top_bit(x, bits)).astype("u4"),
        "bfe": extract, "bfi": insert, "shf": funnel, "lop3": logic, "prmt": permute,
        "brev": reverse, "bfind": find,
    }.get(operation)  # fmt: skip


def _packed(operation: str) -> Callable | None:
    """Two floats in 64 bits (sm_100)."""
    function = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "fma": fma32}.get(operation)
    if function is None:
        return None

    def both(*values):
        def half(shift):
            parts = [(v >> np.uint64(shift)).astype("u4").view("f4") for v in values]
            return function(*parts).astype("f4").view("u4").astype("u8")

        return half(0) | half(32) << np.uint64(32)

    return both


def _operand_kind(operation: str, index: int, kind: str, wide: bool) -> str:
    """The type of the index-th source operand where it is not the instruction's."""
    if operation in ("shl", "shr") and index == 1:
        return "u32"
    if (
        (operation == "bfe" and index >= 1)
        or (operation == "bfi" and index >= 2)
        or (operation == "shf" and index == 2)
    ):
        return "u32"
    return _WIDE[kind] if wide and index == 2 else kind


def compile_arithmetic(registers: Registers, parts: list[str], arguments: list[str]) -> Callable:
    operation, kind = parts[0], next((p for p in reversed(parts) if p in SIZE), None)
    if kind is None:
        raise PtxError("not implemented")
    wide = "wide" in parts
    if kind == "pred":
        function = _PREDICATE.get(operation)
    elif kind == "f32x2":
        function = _packed(operation)
    elif kind == "f32":
        function = _float(operation, parts)
    elif kind == "f64":
        function = _DOUBLE.get(operation)
    elif kind in ("f16", "bf16", "f16x2", "bf16x2"):
        function = None  # kernels compute in float
    else:
        function = _integer(operation, parts, kind)
    if function is None:
        raise PtxError("not implemented")
    result = "u32" if operation in ("clz", "popc", "bfind") else _WIDE[kind] if wide else kind
    put = registers.put(arguments[0], result)
    get = [registers.get(a, _operand_kind(operation, i, kind, wide)) for i, a in enumerate(arguments[1:])]
    if operation in ("div", "rem") and kind[0] in "us":

        def check(lanes):
            if (get[1](lanes) == 0).any():
                raise PtxError("integer division by zero")
            put(lanes, function(get[0](lanes), get[1](lanes)))

        return check
    if "sat" in parts and kind[0] == "f":
        return lambda lanes: put(
            lanes, np.clip(np.nan_to_num(function(*(g(lanes) for g in get)), nan=0.0), 0, 1)
        )
    return lambda lanes: put(lanes, function(*(g(lanes) for g in get)))
