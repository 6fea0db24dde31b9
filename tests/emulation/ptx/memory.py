"""Device memory shared with torch, and the memory spaces of a batch of blocks; every access is checked."""

import ctypes

import numpy as np

from .parse import PtxError

# Generic addresses: everything below is device memory.
WINDOWS = {"global": 0, "shared": 1 << 52, "local": 1 << 53, "param": 1 << 54, "const": 1 << 55}
_END = 1 << 62


def _view(address: int, bytes_: int, kind: str) -> np.ndarray:
    return np.frombuffer((ctypes.c_uint8 * bytes_).from_address(address), kind)


class DeviceMemory:
    """The arena of torch's tensors (arena.cpp); begins and ends are those of the tensor that owns a page."""

    def __init__(self, base: int, size: int, begins: int, ends: int) -> None:
        self.base, self.size = base, size
        self.data = _view(base, size, "u1")
        self.begins = _view(begins, size // 4096 * 8, "i8")
        self.ends = _view(ends, size // 4096 * 8, "i8")

    def bad(self, address: np.ndarray, size: int) -> np.ndarray:
        """Which accesses are not wholly inside one tensor."""
        page = np.clip(address - self.base, 0, self.size - 1) >> 12
        return (address < self.begins[page]) | (address + size > self.ends[page])


class Spaces:
    """Memory as the threads of a batch of blocks see it. Lanes are numbered through the batch."""

    def __init__(self, grid, batch) -> None:
        self.device, self.traffic, self.batch = grid.memory, grid.traffic, batch
        self.shared_bytes, self.local_bytes = -(-grid.shared_bytes // 16) * 16, -(-grid.local_bytes // 8) * 8
        self.shared = np.full(batch.blocks_here * self.shared_bytes + 8, 0xFF, "u1")
        self.local = np.full(batch.lanes_here * self.local_bytes + 8, 0xFF, "u1")
        self.in_array = np.zeros(self.shared_bytes + 16, "?")
        for offset, size in grid.arrays:
            self.in_array[offset : offset + size] = True
        words = len(self.shared) // 4 + 2
        self.writer, self.reader = np.full(words, -1, "i8"), np.full(words, -1, "i8")  # warps
        self.written_in, self.read_in = np.zeros(words, "i8"), np.zeros(words, "i8")  # barrier intervals
        self.atomic = False

    def load(self, space: str | None, address, lanes, kind: np.dtype, count: int) -> list[np.ndarray]:
        """`count` consecutive values for every lane."""
        out = [np.zeros(len(lanes), kind) for _ in range(count)]
        for name, where, local_address in self._split(space, address):
            data, offset = self._locate(name, local_address, lanes[where], kind.itemsize * count, False)
            first = offset // kind.itemsize
            for i in range(count):
                out[i][where] = data.view(kind)[first + i]
        return out

    def store(self, space: str | None, address, lanes, kind: np.dtype, values: list[np.ndarray]) -> None:
        for name, where, local_address in self._split(space, address):
            data, offset = self._locate(name, local_address, lanes[where], kind.itemsize * len(values), True)
            first = offset // kind.itemsize
            for i, value in enumerate(values):
                data.view(kind)[first + i] = np.broadcast_to(value, len(lanes))[where]

    def _split(self, space: str | None, address):
        """(space, lanes, address in it); one part, but for generic addresses (space None)."""
        if space:
            yield space, slice(None), address
            return
        starts = [*WINDOWS.values(), _END]
        for i, (name, start) in enumerate(WINDOWS.items()):
            where = (address >= start) & (address < starts[i + 1])
            if where.any():
                yield name, where, address[where] - start

    def _locate(self, space: str, address, lanes, size: int, write: bool):
        """The bytes of the space, in whole words of 8, and the offset of each lane's access in them."""
        if (address & (size - 1)).any():
            first = np.flatnonzero(address & (size - 1))[0]
            raise PtxError(f"misaligned {size}-byte access by {self.batch.who(lanes[first])}")
        verb = "write" if write else "read"
        if space == "global":
            self._refuse(
                self.device.bad(address, size), f"{verb} of {size} bytes of device memory in no tensor", lanes
            )
            self._count(address, size, write)
            return self.device.data, address - self.device.base
        if space == "shared":
            bad = (address < 0) | (address + size > self.shared_bytes)
            if not bad.any():
                bad = ~(self.in_array[address] & self.in_array[address + size - 1])
            self._refuse(bad, f"{verb} of {size} bytes of shared memory in no array", lanes)
            offset = address + self.batch.block[lanes] * self.shared_bytes
            if not self.atomic:
                self._check_race(offset, lanes, size, write)
            return self.shared[: len(self.shared) // 8 * 8], offset
        data = {"local": self.local, "param": self.batch.parameters, "const": self.batch.constants}[space]
        limit = self.local_bytes if space == "local" else len(data)
        self._refuse((address < 0) | (address + size > limit), f"{verb} outside of {space} memory", lanes)
        return data[: len(data) // 8 * 8], address + (lanes * self.local_bytes if space == "local" else 0)

    def _count(self, address, size: int, write: bool) -> None:
        begins, counts = np.unique(self.device.begins[(address - self.device.base) >> 12], return_counts=True)
        for begin, count in zip(begins.tolist(), counts.tolist(), strict=True):
            end = int(self.device.ends[(begin - self.device.base) >> 12])
            self.traffic.setdefault((begin, end), [0, 0])[write] += size * count

    def _refuse(self, bad, what: str, lanes) -> None:
        if bad.any():
            raise PtxError(f"{what} by {self.batch.who(lanes[np.flatnonzero(bad)[0]])}")

    def _check_race(self, offset, lanes, size: int, write: bool) -> None:
        """Two warps touch one word between two barriers, one of them writing."""
        interval = self.batch.interval[self.batch.block[lanes]]
        warp = self.batch.warp[lanes]
        for o in range(0, max(size, 4), 4):
            word = (offset + o) // 4
            hit = (self.written_in[word] == interval) & (self.writer[word] != warp)
            if write:
                hit |= (self.read_in[word] == interval) & (self.reader[word] != warp)
            self._refuse(hit, f"race in shared memory: {'write' if write else 'read'}", lanes)
            if write:
                self.writer[word], self.written_in[word] = warp, interval
                self._refuse(
                    self.writer[word] != warp,
                    "race in shared memory: one instruction, two warps write",
                    lanes,
                )
            else:  # a reader of another warp must not be forgotten: -2 stands for several
                several = (self.read_in[word] == interval) & (self.reader[word] != warp)
                self.reader[word], self.read_in[word] = np.where(several, -2, warp), interval
                lost = self.reader[word] != np.where(several, -2, warp)
                self.reader[word[lost]] = -2
