"""The emulated GPU as the tests see it: load kernels, choose a schedule, watch launches, read the errors."""

import contextlib
import ctypes as C
import functools
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import emu_build
import torch

from bigan.ops import _registry

SCHEDULES = {"forward": (0, 0), "reverse": (1, 0), "random 1": (2, 1), "random 2": (2, 2)}
VARIANT = os.environ.get("BIGAN_EMULATION", "host")  # "asan" and "tsan": set by scripts/emulation_sanitize.py


class _Traffic(C.Structure):  # Traffic in csrc/emulation/machine.h
    _fields_ = [(name, C.c_uint64) for name in ("begin", "bytes", "read", "written")]


_EXECUTOR = C.CFUNCTYPE(  # Executor in csrc/emulation/machine.h
    None, C.c_char_p, C.POINTER(C.c_uint), C.c_uint64, C.c_int, C.POINTER(C.c_void_p), C.POINTER(C.c_uint64)
)


@dataclass(frozen=True, order=True)
class Traffic:
    """Bytes of one tensor that a launch's threads asked for, added up; caches are not modelled."""

    bytes: int  # the tensor's own size
    read: int
    written: int


@dataclass(frozen=True)
class Launch:
    kernel: str  # mangled
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared: int  # bytes of dynamic shared memory
    traffic: list[Traffic]  # by size


def _source_lines(text: str) -> str:
    """`[library+0x1234]` -> `[csrc/cuda/x.cu:12]`, innermost inlined function first."""

    def line(match: re.Match) -> str:
        command = ["addr2line", "-i", "-e", match[1], match[2]]
        with contextlib.suppress(OSError):
            lines = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
            if known := [one.split(" (")[0] for one in lines if not one.startswith("?")]:
                return f"[{' < '.join(known)}]"
        return match[0]

    text = re.sub(r"\[(\S+)\+(0x[0-9a-f]+)\]", line, text)
    # Relative to the repository, whose copy a mutant may be.
    return re.sub(r"[^\s\[]*?/(csrc|tests/emulation)/(?:include/\.\./)?", r"\1/", text)


class Machine:
    """The machine inside one library of kernels."""

    def __init__(self, library: Path) -> None:
        self.library = lib = C.CDLL(str(library))
        lib.emu_error.restype = C.c_char_p
        lib.emu_launch_count.restype = C.c_uint64
        lib.emu_launch_kernel.restype = C.c_char_p
        lib.emu_launch_kernel.argtypes = [C.c_uint64, C.POINTER(C.c_uint), C.POINTER(C.c_uint64)]
        lib.emu_launch_traffic.restype = C.POINTER(_Traffic)
        lib.emu_launch_traffic.argtypes = [C.c_uint64, C.POINTER(C.c_uint64)]
        lib.emu_add_traffic.argtypes = [C.c_uint64] * 4
        lib.emu_schedule.argtypes = [C.c_int, C.c_uint64]
        lib.emu_last_blocks.argtypes = [C.c_uint64]
        lib.emu_arena.argtypes = [C.c_void_p] * 4
        lib.emu_set_error.argtypes = [C.c_char_p]
        lib.emu_executor.argtypes = [C.c_void_p]
        if VARIANT == "host":
            lib.emu_arena(*arena_table())

    def error(self) -> str:
        return _source_lines(self.library.emu_error().decode())

    def clear(self) -> None:
        self.library.emu_clear_error()

    def check(self) -> None:
        """Raise what the last launches did wrong; a binding only reports that they failed."""
        if text := self.error():
            self.clear()
            raise RuntimeError(text) from None

    @contextlib.contextmanager
    def schedule(self, name: str) -> Iterator[None]:
        """The order in which threads and blocks run; "random" also switches threads at memory accesses."""
        self.library.emu_schedule(*SCHEDULES[name])
        try:
            yield
        finally:
            self.library.emu_schedule(*SCHEDULES["forward"])

    @contextlib.contextmanager
    def last_blocks(self, count: int) -> Iterator[None]:
        """Of each grid run only so many blocks at its end: tests of huge tensors."""
        self.library.emu_last_blocks(count)
        try:
            yield
        finally:
            self.library.emu_last_blocks(2**64 - 1)

    @contextlib.contextmanager
    def executor(self, run: Callable | None) -> Iterator[None]:
        """Hand launches to run(kernel, grid, block, shared, arguments) -> (begin, bytes, read, written)s."""

        def call(kernel, dims, shared, count, arguments, sizes):
            try:
                values = [C.string_at(arguments[i], sizes[i]) for i in range(count)]
                for traffic in run(kernel.decode(), tuple(dims[:3]), tuple(dims[3:6]), shared, values):
                    self.library.emu_add_traffic(*traffic)
            except Exception as e:  # it cannot pass through the C frames
                self.library.emu_set_error(f"{type(e).__name__}: {e}".encode())

        callback = _EXECUTOR(call)
        self.library.emu_executor(C.cast(callback, C.c_void_p) if run else None)
        try:
            yield
        finally:
            self.library.emu_executor(None)

    @contextlib.contextmanager
    def launches(self) -> Iterator[list[Launch]]:
        """The launches made inside the block, filled in at its end."""
        found: list[Launch] = []
        self.library.emu_forget_launches()
        yield found
        for i in range(self.library.emu_launch_count()):
            dims, shared, count = (C.c_uint * 6)(), C.c_uint64(), C.c_uint64()
            kernel = self.library.emu_launch_kernel(i, dims, C.byref(shared)).decode()
            traffic = self.library.emu_launch_traffic(i, C.byref(count))[: count.value]
            by_size = sorted(Traffic(t.bytes, t.read, t.written) for t in traffic)
            found.append(Launch(kernel, tuple(dims[:3]), tuple(dims[3:]), shared.value, by_size))


@functools.cache
def _arena() -> C.CDLL:
    lib = C.CDLL(str(emu_build.arena()))
    for name in ("arena_base", "arena_bytes", "arena_begins", "arena_ends"):
        getattr(lib, name).restype = C.c_size_t
    return lib


def arena_table() -> list[int]:
    with guarded():  # the first time reserves the address space
        lib = _arena()
        return [lib.arena_base(), lib.arena_bytes(), lib.arena_begins(), lib.arena_ends()]


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Every CPU tensor made inside has its bounds watched (arena.cpp); a sanitizer does that itself."""
    if VARIANT != "host":
        yield
        return
    if _arena().arena_install():
        raise MemoryError("128 GiB of address space cannot be reserved")
    try:
        yield
    finally:
        _arena().arena_uninstall()


@functools.cache
def load(name: str) -> Machine:
    """The kernels of tests/emulation/<name>.cu."""
    return Machine(emu_build.kernels_of_tests(name, VARIANT))


_DECLARED = []  # keeps the operators declared


@functools.cache
def operators() -> Machine:
    """Load the kernels of csrc/cuda as the backend "emulated" of bigan's operators on CPU tensors."""
    path = emu_build.operators(VARIANT)
    library = torch.library.Library("bigan_emulated", "DEF")
    for name in _registry._REFERENCES:
        library.define(str(getattr(torch.ops.bigan, name).default._schema).removeprefix("bigan::"))
    _DECLARED.append(library)
    torch.ops.load_library(path)  # attaches the kernels
    machine = Machine(path)

    def find(name: str, device: str) -> Callable | str:
        if device != "cpu":
            return "the emulation works on CPU tensors"
        if not torch._C._dispatch_has_kernel_for_dispatch_key(f"bigan_emulated::{name}", "CPU"):
            return f"there is no csrc/cuda/{_registry._STEMS[name]}.cu"
        op = getattr(torch.ops.bigan_emulated, name).default

        def kernel(*args):
            try:
                out = op(*args)
            except RuntimeError:
                machine.check()  # says what happened, where the binding says that a launch failed
                raise
            machine.check()
            return out

        return kernel

    _registry._EXTRA["emulated"] = find
    return machine
