"""Operands: registers, special registers, symbols and literals as functions of the active lanes.

`lanes` is slice(None) where all threads of the batch take part, else an array of lane numbers.
"""

import re
from collections.abc import Callable

import numpy as np

from .parse import NUMPY, SIZE, Kernel, PtxError

Get = Callable[..., np.ndarray]  # lanes -> values
Put = Callable[..., None]  # lanes, values

_FLOAT = re.compile(r"0[fF]([0-9A-Fa-f]{8})$")
_DOUBLE = re.compile(r"0[dD]([0-9A-Fa-f]{16})$")
_INTEGER = re.compile(r"-?(0x[0-9A-Fa-f]+|\d+)U?$")
_ADDRESS = re.compile(r"\[\s*([%\w$.#]+)\s*(?:\+\s*(-?\w+))?\s*\]$")


class Registers:
    def __init__(
        self, kernel: Kernel, special: dict[str, np.ndarray], symbols: dict[str, int], count: int
    ) -> None:
        self.special, self.symbols, self.count = special, symbols, count
        self.values = {}
        for name, kind in kernel.registers.items():
            width = SIZE[kind]
            # Bits; what was never written reads as NaN or -1.
            self.values[name] = (
                np.zeros(count, "?") if kind == "pred" else np.full(count, -1, f"i{width}").view(f"u{width}")
            )

    def get(self, operand: str, kind: str) -> Get:
        wanted = np.dtype(NUMPY[kind])
        if operand.startswith("!"):
            inner = self.get(operand[1:], kind)
            return lambda lanes: ~inner(lanes)
        if operand in self.values:
            register = self.values[operand]
            if register.dtype == bool:
                return lambda lanes: register[lanes]
            if register.itemsize == wanted.itemsize:
                view = register.view(wanted)
                return lambda lanes: view[lanes]
            return lambda lanes: register[lanes].astype(f"u{wanted.itemsize}").view(wanted)
        if operand in self.special:
            view = self.special[operand].astype(f"u{wanted.itemsize}").view(wanted)
            return lambda lanes: view[lanes]
        literal = self._literal(operand, wanted)
        return lambda lanes: literal

    def _literal(self, text: str, wanted: np.dtype) -> np.ndarray:
        text = {"WARP_SZ": "32"}.get(text, text)
        if text in self.symbols:
            text = str(self.symbols[text])
        if m := _FLOAT.match(text):
            value = np.array([int(m[1], 16)], "u4").view("f4")
        elif m := _DOUBLE.match(text):
            value = np.array([int(m[1], 16)], "u8").view("f8")
        elif _INTEGER.match(text):
            bits = int(text.rstrip("U"), 0) & ((1 << 8 * wanted.itemsize) - 1)
            value = np.array([bits], f"u{wanted.itemsize}")
        else:
            raise PtxError(f"operand {text}")
        return value.view(wanted) if value.itemsize == wanted.itemsize else value.astype(wanted)

    def put(self, destination: str, kind: str) -> Put:
        """Results narrower than their register are extended by the sign of `kind`."""
        if destination == "_":
            return lambda lanes, value: None
        register = self.values[destination]
        given = np.dtype(NUMPY[kind])
        if register.dtype == bool or register.itemsize == given.itemsize:
            view = register if register.dtype == bool else register.view(given)

            def put(lanes, value):
                view[lanes] = value
        else:
            extended = np.dtype(f"{'i' if kind[0] == 's' else 'u'}{register.itemsize}")

            def put(lanes, value):
                register[lanes] = np.asarray(value).astype(extended).view(register.dtype)

        return put

    def address(self, operand: str) -> Get:
        """The int64 address of each lane of a memory operand such as `[%rd1+8]`."""
        if not (m := _ADDRESS.match(operand)):
            raise PtxError(f"address {operand}")
        base, offset = m[1], int(m[2] or "0", 0)
        if base in self.values:
            register = self.values[base]
            return lambda lanes: register[lanes].astype("i8") + offset
        fixed = np.int64((self.symbols[base] if base in self.symbols else int(base, 0)) + offset)
        return lambda lanes: np.full(self.count if isinstance(lanes, slice) else len(lanes), fixed)
