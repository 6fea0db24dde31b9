"""How threads wait for each other's next loop: asleep, or for a moment awake where the cores have nothing else to do.

Waking a thread takes some 50 us, as long as many a loop of a small network: with two threads on two idle cores a
training is twice as quick if they spin for a moment. Beside another program the same spinning makes it half as quick,
and OpenMP's default ten times as slow.
"""

import os
import time
from pathlib import Path

SPINS = "10000"  # some tens of microseconds
LOAD = Path("/proc/loadavg")


def settle() -> None:
    """Before torch loads; what the user has set stays."""
    if "OMP_WAIT_POLICY" in os.environ or "GOMP_SPINCOUNT" in os.environ:
        return
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    if free():
        os.environ["GOMP_SPINCOUNT"] = SPINS


def free() -> bool:
    """Whether this process's threads have a core each, as far as one can tell."""
    if int(os.environ.get("LOCAL_WORLD_SIZE", "1")) > 1:  # torchrun: the ranks share the cores
        return False
    try:
        cores = len(os.sched_getaffinity(0))
        threads = int(os.environ.get("OMP_NUM_THREADS") or cores)
        others = min(_running() for _ in range(3)) - 1  # this process among them
    except (AttributeError, OSError, ValueError, IndexError):  # not Linux, or OMP_NUM_THREADS is a list
        return False
    return others + threads <= cores


def _running() -> int:
    """Threads of the whole machine that run or could, now."""
    time.sleep(0.003)
    return int(LOAD.read_text().split()[3].split("/")[0])
