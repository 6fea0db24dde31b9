"""The second executor: launches of a Machine run as the PTX that nvcc made of the same sources."""

import functools
from pathlib import Path

import emu
import emu_build
import ptx

ARCHITECTURES = (80, 90, 100)  # nvcc makes different PTX for each, bfloat16 conversions above all


class Executor:
    """For Machine.executor: finds the kernel by its mangled name among the PTX of `sources`."""

    def __init__(self, sources: list[Path], arch: int, root: Path = emu_build.SOURCES) -> None:
        self.modules = {}
        for source in sources:
            module = ptx.Module(emu_build.ptx(source, arch, root).read_text())
            self.modules.update(dict.fromkeys(module.kernels, module))
        self.memory = ptx.DeviceMemory(*emu.arena_table())

    def __call__(self, kernel, grid, block, shared, arguments) -> list[tuple[int, int, int, int]]:
        if kernel not in self.modules:
            raise ptx.PtxError(f"{kernel} is in no PTX file: is it static, or in an anonymous namespace?")
        return ptx.Grid(self.modules[kernel], kernel, self.memory, grid, block, arguments, shared).run()


@functools.cache
def load(name: str, arch: int) -> Executor:
    """The PTX of tests/emulation/<name>.cu."""
    return Executor([emu_build.SOURCES / "tests/emulation" / f"{name}.cu"], arch)


@functools.cache
def operators(arch: int) -> Executor:
    return Executor(sorted((emu_build.SOURCES / "csrc/cuda").glob("*.cu")), arch)
