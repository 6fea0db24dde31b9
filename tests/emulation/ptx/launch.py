"""Runs a grid: batches of blocks in lock step, with divergence, barriers and warp collectives."""

import numpy as np

from . import arithmetic, instructions, warps
from .memory import DeviceMemory, Spaces
from .parse import Instruction, Module, PtxError
from .registers import Registers

MAX_LANES = 16384  # of a batch: registers are arrays of this length


def _up(n: int, align: int) -> int:
    return -(-n // align) * align


def _words(data: bytes) -> np.ndarray:
    """Bytes as an array that can be viewed in words of 8."""
    return np.frombuffer(data + bytes(_up(len(data) + 1, 8) - len(data)), "u1")


class Grid:
    """One launch of a kernel; run() returns what it asked of each tensor: (begin, bytes, read, written)."""

    def __init__(
        self,
        module: Module,
        name: str,
        memory: DeviceMemory,
        grid,
        block,
        arguments: list[bytes],
        dynamic_shared: int = 0,
    ) -> None:
        self.kernel, self.memory, self.grid, self.block = module.kernels[name], memory, grid, block
        self.threads, self.blocks = int(np.prod(block)), int(np.prod(grid))
        k = self.kernel
        if k.max_threads and self.threads > k.max_threads:
            raise PtxError(
                f"{name}: {self.threads} threads, but __launch_bounds__ says at most {k.max_threads}"
            )
        if len(arguments) != len(k.parameters):
            raise PtxError(f"{name}: {len(k.parameters)} parameters, {len(arguments)} given")
        self.symbols: dict[str, int] = {}
        raw = bytearray(k.parameter_bytes)
        for (parameter, offset, size), value in zip(k.parameters, arguments, strict=True):
            if len(value) != size:
                raise PtxError(f"{name}: parameter {parameter} has {size} bytes, {len(value)} given")
            raw[offset : offset + size] = value
            self.symbols[parameter] = offset
        self.parameters = _words(bytes(raw))
        self._place_variables(module, dynamic_shared)

    def _place_variables(self, module: Module, dynamic_shared: int) -> None:
        text = " ".join(i.text for i in self.kernel.code)
        used = {n: v for n, v in module.variables.items() if n in text} | self.kernel.variables
        top = {"shared": 0, "local": 0, "const": 0}
        constants, self.arrays = bytearray(), []
        for name, v in used.items():
            if v.size is None:
                continue
            space = "const" if v.space == "global" else v.space
            offset = _up(top[space], v.align)
            self.symbols[name], top[space] = offset, offset + v.size
            if space == "shared":
                self.arrays.append((offset, v.size))
            elif space == "const":
                constants += bytes(offset - len(constants)) + (v.data or bytes(v.size))
        dynamic = _up(top["shared"], 16)
        self.symbols.update((name, dynamic) for name, v in used.items() if v.size is None)
        self.arrays.append((dynamic, dynamic_shared))
        self.shared_bytes, self.local_bytes = dynamic + dynamic_shared, top["local"]
        self.constants = _words(bytes(constants))

    def run(self) -> list[tuple[int, int, int, int]]:
        self.traffic: dict[tuple[int, int], list[int]] = {}  # of the tensor from begin to end
        step = max(1, MAX_LANES // self.threads)
        with np.errstate(all="ignore"):
            for first in range(0, self.blocks, step):
                batch = _Batch(self, np.arange(first, min(self.blocks, first + step)))
                batch.run()
        return [(begin, end - begin, *moved) for (begin, end), moved in self.traffic.items()]


class _Batch:
    """The threads of some blocks, numbered one after another."""

    def __init__(self, grid: Grid, blocks: np.ndarray) -> None:
        self.grid, self.code, self.labels = grid, grid.kernel.code, grid.kernel.labels
        self.parameters, self.constants = grid.parameters, grid.constants
        self.block_numbers, self.blocks_here, threads = blocks, len(blocks), grid.threads
        self.lanes_here = len(blocks) * threads
        number = np.arange(self.lanes_here)
        self.thread, self.block = number % threads, number // threads  # block: index in the batch
        self.lane = self.thread % 32
        self.warp = self.block * 32 + self.thread // 32
        self.spaces = Spaces(grid, self)
        self.registers = Registers(grid.kernel, self._special(), grid.symbols, self.lanes_here)
        self.interval = np.ones(len(blocks), "i8")  # counts a block's barriers
        self.alive, self.arrived = np.full(len(blocks), threads), np.zeros(len(blocks), int)
        self.waiting: dict[int, list[np.ndarray]] = {}  # at barriers, by instruction
        self.pending: dict[int, np.ndarray] = {}  # in warp collectives
        self.groups: dict[int, list[np.ndarray]] = {}  # lanes that may run, by instruction

    def _special(self) -> dict[str, np.ndarray]:
        (bx, by, _), (gx, gy, _) = self.grid.block, self.grid.grid
        t, b = self.thread, self.block_numbers[self.block]
        special = {
            "%tid.x": t % bx, "%tid.y": t // bx % by, "%tid.z": t // (bx * by),
            "%ctaid.x": b % gx, "%ctaid.y": b // gx % gy, "%ctaid.z": b // (gx * gy),
            "%laneid": self.lane, "%warpid": t // 32,
        }  # fmt: skip
        for i, axis in enumerate("xyz"):
            special[f"%ntid.{axis}"] = np.full(len(t), self.grid.block[i])
            special[f"%nctaid.{axis}"] = np.full(len(t), self.grid.grid[i])
        return {name: values.astype("u4") for name, values in special.items()}

    def numbers(self, lanes) -> np.ndarray:
        return np.arange(self.lanes_here) if isinstance(lanes, slice) else lanes

    def who(self, number: int) -> str:
        return f"block {self.block_numbers[self.block[number]]} thread {self.thread[number]}"

    # ---- compilation: an instruction becomes (kind, function) ----
    def compile(self, i: Instruction):
        operation, r = i.parts[0], self.registers
        if operation == "bra":
            return "branch", None
        if operation in ("ret", "exit"):
            return "exit", None
        if operation in ("bar", "barrier") and "warp" not in i.parts:
            if len(i.arguments) > (1 if "sync" in i.parts else 3):
                raise PtxError("a barrier of some warps is not implemented")
            return "barrier", None
        if operation in ("membar", "fence", "prefetch"):  # memory is not reordered here
            return "alone", lambda lanes: None
        if operation in instructions.ALONE:
            return "alone", instructions.ALONE[operation](r, i.parts, i.arguments)
        if operation in instructions.IN_MEMORY:
            return "alone", instructions.IN_MEMORY[operation](r, i.parts, i.arguments, self)
        if operation == "activemask":
            return "alone", warps.active_mask(r, i.arguments, self)
        if operation in warps.OPERATIONS or operation == "bar":
            return "warp", warps.compile_collective(r, i.parts, i.arguments, self)
        return "alone", arithmetic.compile_arithmetic(r, i.parts, i.arguments)

    def _at(self, i: Instruction, error: Exception) -> PtxError:
        return PtxError(f"{self.grid.kernel.name}, PTX line {i.line}: {i.text}: {error}")

    # ---- execution ----
    def run(self) -> None:
        compiled = []
        for i in self.code:
            try:
                compiled.append(self.compile(i))
            except (PtxError, KeyError, ValueError, IndexError) as e:
                raise self._at(i, e) from e
        self._go(0, np.arange(self.lanes_here))
        while self.groups:
            pc = min(self.groups)
            parts = self.groups.pop(pc)
            self._run_group(pc, parts[0] if len(parts) == 1 else np.sort(np.concatenate(parts)), compiled)
        if waits := {
            **{pc: sum(map(len, w)) for pc, w in self.waiting.items()},
            **{p: len(w) for p, w in self.pending.items()},
        }:
            where = (
                f"{n} threads at PTX line {self.code[pc].line}: {self.code[pc].text}"
                for pc, n in waits.items()
            )
            raise PtxError(f"{self.grid.kernel.name}: deadlock: {'; '.join(where)}")

    def _go(self, pc: int, lanes: np.ndarray) -> None:
        if len(lanes):
            self.groups.setdefault(pc, []).append(lanes)

    def _run_group(self, pc: int, lanes: np.ndarray, compiled: list) -> None:
        """Run one group until it branches, ends, waits, or comes to where another group stands."""
        stop = min(self.groups, default=len(self.code) + 1)
        while pc < len(self.code):
            i, (kind, function) = self.code[pc], compiled[pc]
            chosen, others = lanes, lanes[:0]
            if i.predicate:
                p = self.registers.values[i.predicate][lanes] ^ i.negated
                if not p.all():
                    chosen, others = lanes[p], lanes[~p]
            try:
                if kind == "alone":
                    if len(chosen):
                        function(slice(None) if len(chosen) == self.lanes_here else chosen)
                else:
                    self._go(pc + 1, others)
                    self._leave(kind, function, pc, i, chosen)
                    return
            except PtxError as e:
                raise self._at(i, e) from None
            pc += 1
            if pc >= stop:
                return self._go(pc, lanes)
        self._exit(lanes)

    def _leave(self, kind: str, function, pc: int, i: Instruction, lanes: np.ndarray) -> None:
        """The instructions after which a group does not simply go on."""
        if not len(lanes):
            return
        if kind == "branch":
            self._go(self.labels[i.arguments[0]], lanes)
        elif kind == "exit":
            self._exit(lanes)
        elif kind == "barrier":
            np.add.at(self.arrived, self.block[lanes], 1)
            self.waiting.setdefault(pc, []).append(lanes)
            self._release_barriers()
        else:
            if pc in self.pending:
                lanes = np.sort(np.concatenate([self.pending.pop(pc), lanes]))
            complete = warps.ready(self.registers, i.arguments, self, lanes)
            if not complete.all():
                self.pending[pc] = lanes[~complete]
            if complete.any():
                function(lanes[complete])
                self._go(pc + 1, lanes[complete])

    def _exit(self, lanes: np.ndarray) -> None:
        np.subtract.at(self.alive, self.block[lanes], 1)
        self._release_barriers()

    def _release_barriers(self) -> None:
        done = (self.arrived > 0) & (self.arrived == self.alive)
        if not done.any():
            return
        released = np.zeros(self.blocks_here, bool)
        for pc in list(self.waiting):
            lanes = np.concatenate(self.waiting.pop(pc))
            free = done[self.block[lanes]]
            blocks = np.unique(self.block[lanes[free]])
            if released[blocks].any():
                raise PtxError(f"block {self.block_numbers[blocks[0]]}: threads meet at different barriers")
            gone = self.grid.threads - self.alive[blocks]
            if gone.any():
                block = self.block_numbers[blocks[gone > 0][0]]
                raise PtxError(f"block {block}: barrier after {gone.max()} threads exited")
            released[blocks] = True
            if free.any():
                self._reduce(self.code[pc], lanes[free])
                self._go(pc + 1, np.sort(lanes[free]))
            if not free.all():
                self.waiting[pc] = [lanes[~free]]
        self.arrived[done] = 0
        self.interval[done] += 1

    def _reduce(self, i: Instruction, lanes: np.ndarray) -> None:
        """bar.red: __syncthreads_count, _or, _and."""
        if "red" not in i.parts:
            return
        mode = next(p for p in i.parts if p in ("popc", "or", "and"))
        true = np.zeros(self.blocks_here, "u4")
        np.add.at(true, self.block[lanes], self.registers.get(i.arguments[-1], "pred")(lanes).astype("u4"))
        result = {"popc": true, "or": true > 0, "and": true == self.grid.threads}[mode]
        put = self.registers.put(i.arguments[0], "u32" if mode == "popc" else "pred")
        put(lanes, result[self.block[lanes]])
