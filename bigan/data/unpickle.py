"""Reads the pickles that CIFAR comes in, without pickle's power to call anything.

Python's own parser (pickletools) takes the file apart, and the small machine below knows only the opcodes
that put plain data together.  No name in the file is imported: the few that NumPy writes (NumPy 1 and 2, from
Python 2 and 3) stand for inert classes that keep bytes; any other name is an error.
"""

import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

from .images import shown


class PickleError(ValueError):
    """Not the plain data that it should be."""


class _DType:
    """numpy.dtype(spec, align, copy), then its state: version, byte order, ..."""

    def __init__(self, spec: Any = "", *_: Any):
        self.spec, self.order = _text(spec), "="

    def set_state(self, state: Any) -> None:
        self.order = _text(state[1])

    def real(self) -> np.dtype:
        if self.spec not in ("b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"):
            raise PickleError(f"arrays of type {shown(self.spec[:20])} are not read")
        return np.dtype(self.spec).newbyteorder(">" if self.order == ">" else "<")


class _Array:
    """numpy's _reconstruct(ndarray, (0,), b"b"), then its state: version, shape, dtype, is_fortran, bytes."""

    def __init__(self, *_: Any):
        self.array: np.ndarray | None = None

    def set_state(self, state: Any) -> None:
        _, shape, dtype, fortran, raw = state
        self.array = _array(raw, dtype, shape, fortran is True)


class _Marker:
    """numpy.ndarray, where it is only handed on."""


def _text(s: Any) -> str:
    if isinstance(s, bytes):
        return s.decode("latin1")
    if not isinstance(s, str):  # str() of what a hostile file nests could take for ever
        raise PickleError(f"a {type(s).__name__} where text belongs")
    return s


def _array(raw: Any, dtype: Any, shape: Any, fortran: bool) -> np.ndarray:
    raw = raw.encode("latin1") if isinstance(raw, str) else raw
    return np.frombuffer(raw, dtype.real()).reshape(shape, order="F" if fortran else "C")


def _frombuffer(raw: Any, dtype: Any, shape: Any, order: Any, *_: Any) -> _Array:
    if order not in ("C", "F"):
        raise PickleError("an array that was not contiguous")
    made = _Array()
    made.array = _array(raw, dtype, shape, order == "F")
    return made


def _scalar(dtype: Any, raw: Any) -> Any:
    return _array(raw, dtype, (), False).item()


def _encode(text: Any, encoding: Any) -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise PickleError("text that is not latin1")
    return text.encode("latin1")


_STAND_INS: dict[str, Callable] = {"numpy dtype": _DType, "numpy ndarray": _Marker, "_codecs encode": _encode}
for _core in ("numpy.core", "numpy._core"):  # NumPy 1 and 2
    _STAND_INS[f"{_core}.multiarray _reconstruct"] = _Array
    _STAND_INS[f"{_core}.multiarray scalar"] = _scalar
    _STAND_INS[f"{_core}.numeric _frombuffer"] = _frombuffer

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
    *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}


class _Machine:
    """The stack that a pickle's opcodes work on."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[Any, Any] = {}

    def run(self, data: bytes) -> Any:
        for op, arg, _ in pickletools.genops(data):
            if op.name in _LITERALS:
                self.stack.append(arg)
            elif op.name in _CONSTANTS:
                self.stack.append(_CONSTANTS[op.name])
            elif op.name in ("PUT", "BINPUT", "LONG_BINPUT"):
                self.memo[arg] = self.stack[-1]
            elif op.name in ("GET", "BINGET", "LONG_BINGET"):
                self.stack.append(self.memo[arg])
            elif op.name not in ("PROTO", "FRAME", "STOP"):
                getattr(self, f"_{op.name.lower()}", self._refuse)(op.name, arg)
        return self.stack.pop()

    def _refuse(self, name: str, arg: Any) -> None:
        what = f"{name} {shown(arg[:80])}" if isinstance(arg, str) else name
        raise PickleError(f"it holds more than arrays, lists and text ({what})")

    def _since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def _top(self, *kinds: type) -> Any:
        if type(self.stack[-1]) not in kinds:
            raise PickleError(f"it wants to change a {type(self.stack[-1]).__name__}")
        return self.stack[-1]

    def _mark(self, *_: Any) -> None:
        self.marks.append(len(self.stack))

    def _memoize(self, *_: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _empty_list(self, *_: Any) -> None:
        self.stack.append([])

    def _list(self, *_: Any) -> None:
        self.stack.append(self._since_mark())

    def _append(self, *_: Any) -> None:
        value = self.stack.pop()
        self._top(list).append(value)

    def _appends(self, *_: Any) -> None:
        values = self._since_mark()
        self._top(list).extend(values)

    def _empty_tuple(self, *_: Any) -> None:
        self.stack.append(())

    def _tuple(self, *_: Any) -> None:
        self.stack.append(tuple(self._since_mark()))

    def _tuple1(self, name: str, arg: Any) -> None:
        n = int(name[-1])
        self.stack[-n:] = [tuple(self.stack[-n:])]

    _tuple2 = _tuple3 = _tuple1

    def _empty_dict(self, *_: Any) -> None:
        self.stack.append({})

    def _dict(self, *_: Any) -> None:
        items = self._since_mark()
        self.stack.append({})
        self._update(items)

    def _setitem(self, *_: Any) -> None:
        items = self.stack[-2:]
        del self.stack[-2:]
        self._update(items)

    def _setitems(self, *_: Any) -> None:
        self._update(self._since_mark())

    def _update(self, items: list[Any]) -> None:
        # other keys, tuples nested deep or 2^60 times, would crash hash() or never end
        keys = [key if isinstance(key, int) else _text(key) for key in items[::2]]
        self._top(dict).update(zip(keys, items[1::2], strict=True))

    def _global(self, name: str, arg: str) -> None:
        if arg not in _STAND_INS:
            raise PickleError(
                f"it wants to call {shown(arg[:80].replace(' ', '.'))}, and only plain data is read"
            )
        self.stack.append(_STAND_INS[arg])

    def _inst(self, name: str, arg: str) -> None:
        self._global(name, arg)
        self._refuse(name, arg)

    def _stack_global(self, name: str, arg: Any) -> None:
        module, attribute = _text(self.stack[-2]), _text(self.stack[-1])
        del self.stack[-2:]
        self._global(name, f"{module} {attribute}")

    def _reduce(self, *_: Any) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        if not any(function is known for known in _STAND_INS.values()):
            raise PickleError(f"it wants to call a {type(function).__name__}")
        self.stack.append(function(*args))

    def _build(self, *_: Any) -> None:
        state = self.stack.pop()
        self._top(_DType, _Array).set_state(state)


def loads(data: bytes) -> dict[str, Any]:
    """The dictionary that a data set's pickle holds, keys as str and arrays as ndarray; else PickleError."""
    try:
        found = _Machine().run(data)
    except PickleError:
        raise
    except Exception as error:  # a damaged stream ends in any error there is
        raise PickleError(f"damaged pickle ({type(error).__name__}: {shown(str(error)[:200])})") from error
    if not isinstance(found, dict):
        raise PickleError(f"it holds a {type(found).__name__} and not a dictionary")
    return {key: getattr(value, "array", value) for key, value in found.items() if isinstance(key, str)}
