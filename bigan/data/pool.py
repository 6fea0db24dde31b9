"""A loop over many images on all cores, by threads: PIL and NumPy release the interpreter as they work."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from .images import DataError

T = TypeVar("T")
CHUNK = 64  # images a task: long enough to hide the hand-over, short enough to share


def chunks(
    n: int, task: Callable[[int, int], T], progress: Callable[[int, int], None] | None = None
) -> Iterator[T]:
    """Yield task(i, j) for consecutive ranges that cover range(n), in order; the first error is raised."""
    ranges = [(i, min(i + CHUNK, n)) for i in range(0, n, CHUNK)]
    pool = ThreadPoolExecutor(min(_cores(), len(ranges) or 1), thread_name_prefix="bigan-data")
    try:
        for (_, end), result in zip(ranges, pool.map(lambda r: task(*r), ranges), strict=True):
            if progress:
                progress(end, n)
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return min(16, len(os.sched_getaffinity(0)))
    return min(16, os.cpu_count() or 1)


def check_memory(what: str, *shape: int, encoded: bool = False) -> None:
    """Raise if that many bytes are more than the machine's memory: better than being killed.

    encoded: whether they come from encoded images, which a cache on disk takes.
    """
    need = 1
    for n in shape:
        need *= n
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 1 << 40
    if need > have:
        sizes = " x ".join(map(str, shape))
        on_disk = "--cache FOLDER to hold the images on disk"
        less = (
            f"or {on_disk}" if encoded else f"fewer images, or a folder, zip or shards of them with {on_disk}"
        )
        raise DataError(
            f"{what}: {sizes} bytes are {need / 2**30:,.0f} GiB, and this machine has "
            f"{have / 2**30:,.0f} GiB of memory; pass a smaller --size, {less}"
        )
