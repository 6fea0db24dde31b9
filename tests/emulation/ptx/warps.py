"""Warp collectives: shfl, vote, redux, activemask, bar.warp."""

from collections.abc import Callable

import numpy as np

from .parse import NUMPY, SIZE, PtxError
from .registers import Registers

OPERATIONS = ("shfl", "vote", "redux", "match")


class _Table:
    """Values of the given lanes, arranged by warp and lane."""

    def __init__(self, batch, numbers: np.ndarray) -> None:
        self.warp, self.lane = batch.warp[numbers], batch.lane[numbers]
        self.shape = (int(self.warp.max()) + 1, 32)

    def of(self, values, fill) -> np.ndarray:
        values = np.broadcast_to(values, len(self.warp))
        table = np.full(self.shape, fill, values.dtype)
        table[self.warp, self.lane] = values
        return table


def _ballot(table: _Table, values) -> np.ndarray:
    bits = table.of(np.asarray(values).astype("u4"), 0) << np.arange(32, dtype="u4")
    return bits.sum(1).astype("u4")[table.warp]


def shuffle(r: Registers, parts: list[str], arguments: list[str], batch) -> Callable:
    mode = parts[2]
    destinations = [d.strip() for d in arguments[0].split("|")]
    value, distance, clamp = (r.get(a, "u32") for a in arguments[1:4])
    put = r.put(destinations[0], "u32")
    put_valid = r.put(destinations[1], "pred") if len(destinations) > 1 else None

    def run(numbers):
        table = _Table(batch, numbers)
        values = table.of(value(numbers), 0xFFFFFFFF)
        here = table.of(np.ones(len(numbers), "?"), False)
        lane, b, c = table.lane, distance(numbers).astype("i8") & 31, clamp(numbers).astype("i8")
        segment, limit = c >> 8 & 31, c & 31
        last, first = (lane & segment) | (limit & ~segment), lane & segment
        source = {"up": lane - b, "down": lane + b, "bfly": lane ^ b, "idx": first | (b & ~segment)}[mode]
        valid = source >= last if mode == "up" else source <= last
        source = np.where(valid, source, lane)
        if not here[table.warp, source].all():
            raise PtxError("shuffle reads a lane that does not take part")
        put(numbers, values[table.warp, source])
        if put_valid:
            put_valid(numbers, valid)

    return run


def vote(r: Registers, parts: list[str], arguments: list[str], batch) -> Callable:
    mode = parts[2]
    get, mask = r.get(arguments[1], "pred"), r.get(arguments[2], "u32")
    put = r.put(arguments[0], "pred" if mode in ("any", "all") else "u32")

    def run(numbers):
        votes = _ballot(_Table(batch, numbers), get(numbers))
        put(numbers, {"ballot": votes, "any": votes != 0, "all": votes == mask(numbers)}[mode])

    return run


def reduce(r: Registers, parts: list[str], arguments: list[str], batch) -> Callable:
    kind = next(p for p in parts[1:] if p in SIZE)
    info = np.iinfo(NUMPY[kind])
    functions = {
        "add": (np.add, 0), "min": (np.minimum, info.max), "max": (np.maximum, info.min),
        "and": (np.bitwise_and, -1), "or": (np.bitwise_or, 0), "xor": (np.bitwise_xor, 0),
    }  # fmt: skip
    function, neutral = functions[parts[2]]
    get, put = r.get(arguments[1], kind), r.put(arguments[0], kind)

    def run(numbers):
        table = _Table(batch, numbers)
        values = table.of(get(numbers), np.array(neutral).astype(NUMPY[kind]))
        put(numbers, function.reduce(values, axis=1)[table.warp].astype(NUMPY[kind]))

    return run


def active_mask(r: Registers, arguments: list[str], batch) -> Callable:
    put = r.put(arguments[0], "u32")

    def run(lanes):
        numbers = batch.numbers(lanes)
        put(lanes, _ballot(_Table(batch, numbers), np.ones(len(numbers), "?")))

    return run


def compile_collective(r: Registers, parts: list[str], arguments: list[str], batch) -> Callable:
    if parts[0] == "bar":  # bar.warp.sync: meeting is all it does
        return lambda numbers: None
    known = {"shfl": shuffle, "vote": vote, "redux": reduce}
    if parts[0] not in known:
        raise PtxError("not implemented")
    return known[parts[0]](r, parts, arguments, batch)


def ready(r: Registers, arguments: list[str], batch, numbers: np.ndarray) -> np.ndarray:
    """Which of the waiting lanes have all lanes of their mask beside them."""
    mask = np.broadcast_to(r.get(arguments[-1], "b32")(numbers), len(numbers))
    bit = np.uint32(1) << batch.lane[numbers].astype("u4")
    here = np.zeros(int(batch.warp[numbers].max()) + 1, "u4")
    np.bitwise_or.at(here, batch.warp[numbers], bit)
    if not (mask & bit).all():
        raise PtxError("the mask does not name the executing lane")
    return (mask & ~here[batch.warp[numbers]]) == 0
