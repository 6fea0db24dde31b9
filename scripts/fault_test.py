"""Injects every fault a training must survive, resumes it by the same command, and counts what was lost.

    python scripts/fault_test.py [--kills 100] [--signals 4] [--seed 0] [--kimg 8]

kill -9 at random moments (scripts/kill_test.py); SIGTERM and Ctrl-C; a disk that fills up in passing and at the end,
and one that turns read-only (a small tmpfs in a namespace of its own, by `unshare`, where the system allows it);
newest checkpoints cut short, with a flipped bit, without their tensors; a folder that cannot be written from the
start; two processes on one run. A fault is survived if the program said what it should, with the exit code it
should, and the same command then ended with the tensors, log and pictures of a run left alone, to the bit; it is
lost if that differs, or if training went back by more than an interval. Exit code 0 if none is.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import kill_test
from kill_test import command, newest, start

from bigan.engine import checkpoint

INSIDE = "BIGAN_FAULTS_IN_NAMESPACE"


class Fault(Exception):
    """A fault that was not survived; says why."""


class Bench:
    """The runs of one invocation: one that is left alone, and for each fault one that is not."""

    def __init__(self, folder: Path, kimg: float, seed: int):
        self.folder, self.kimg = folder, kimg
        self.draw = random.Random(seed)
        self.alone = folder / "alone"
        began = time.monotonic()
        self.finish(self.alone)
        self.interval = (time.monotonic() - began) * 0.2 / kimg  # seconds between checkpoints, at most

    def process(self, out: Path) -> subprocess.Popen:
        return start(command(out, self.kimg, []))

    def finish(self, out: Path, code: int = 0, says: str = "") -> None:
        """Run the command to its end, which is to have this exit code and this message."""
        self.ended(self.process(out), code, says)

    def ended(self, process: subprocess.Popen, code: int, says: str = "") -> None:
        _, errors = process.communicate(timeout=600)
        if process.returncode != code:
            raise Fault(f"exit code {process.returncode} instead of {code}: {errors[-500:]}")
        if says not in errors:
            raise Fault(f"did not say {says!r}: {errors[-500:]}")

    def training(self, out: Path, steps: int = 1) -> subprocess.Popen:
        """A process that has saved a checkpoint of `steps` or more, and some time more."""
        process = self.process(out)
        while (newest(out) or 0) < steps:
            if process.poll() is not None:
                raise Fault(f"ended too early: {process.communicate()[1][-500:]}")
            time.sleep(0.01)
        time.sleep(self.draw.uniform(0.0, 0.2))
        return process

    def compare(self, out: Path) -> None:
        if differences := kill_test.compare(self.alone, out):
            raise Fault("; ".join(differences[:3]))

    def logged(self, out: Path) -> int:
        return json.loads((out / "log.jsonl").read_text().splitlines()[-1])["step"]


def stopped_by(number: int, code: int) -> Callable[[Bench, Path], None]:
    def fault(bench: Bench, out: Path) -> None:
        process = bench.training(out)
        process.send_signal(number)
        bench.ended(process, code, "stopped and saved")
        if (newest(out) or 0) < bench.logged(out):
            raise Fault(f"stopped at step {bench.logged(out)}, saved {newest(out)}")
        bench.finish(out, says="resuming")

    return fault


def damaged(harm: Callable[[Path], None], says: str) -> Callable[[Bench, Path], None]:
    def fault(bench: Bench, out: Path) -> None:
        process = bench.training(out)
        while len(checkpoint.steps(out / "checkpoints")) < 2:  # one to fall back on
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        bench.ended(process, 0)
        steps = checkpoint.steps(out / "checkpoints")
        harm(out / "checkpoints" / f"step-{steps[-1]:08d}.json")
        process = bench.process(out)
        bench.ended(process, 0, says)

    return fault


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)


def tensors(path: Path) -> Path:
    return path.with_suffix(".safetensors")


def two_processes(bench: Bench, out: Path) -> None:
    first = bench.training(out)
    bench.finish(out, code=2, says=f"in use by another training (process {first.pid})")
    bench.ended(first, 0)


def unwritable(bench: Bench, out: Path) -> None:
    """A file where the folder should be: that stops root as well."""
    out.write_text("")
    bench.finish(out, code=2, says="a file, not a directory")
    out.unlink()
    bench.finish(out)


def full_in_passing(bench: Bench, out: Path) -> None:
    with small_disk(out) as ballast:
        process = bench.training(out)
        ballast.fill()
        time.sleep(3 * bench.interval)
        ballast.free()
        bench.ended(process, 0, "training goes on")
        # What could not be written is not there: the state alone is compared.
        compare_tensors(bench, out)


def full_at_the_end(bench: Bench, out: Path) -> None:
    with small_disk(out) as ballast:
        process = bench.training(out)
        ballast.fill()
        bench.ended(process, 2, "the disk is full")
        ballast.free()
        bench.finish(out, says="resuming")
        compare_tensors(bench, out)


def read_only(bench: Bench, out: Path) -> None:
    """Its checkpoints' folder while it trains, then all of it at a start."""
    process = bench.training(out)
    with mounted(out / "checkpoints", "ro"):
        bench.ended(process, 2, "Read-only file system")
    empty = out.with_name("empty")
    empty.mkdir()
    with mounted(empty, "ro"):
        bench.finish(empty, code=2, says="cannot write to")
    bench.finish(out, says="resuming")
    compare_tensors(bench, out)


def compare_tensors(bench: Bench, out: Path) -> None:
    differences = [line for line in kill_test.compare(bench.alone, out) if line.startswith(("tensor", "the"))]
    if differences:
        raise Fault("; ".join(differences[:3]))
    raise Survived


class Survived(Exception):
    """A fault whose comparison is done."""


class Ballast:
    def __init__(self, folder: Path):
        self.file = folder / "samples" / "ballast"

    def fill(self) -> None:
        with contextlib.suppress(OSError), open(self.file, "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        self.file.unlink()


@contextlib.contextmanager
def small_disk(out: Path) -> Iterator[Ballast]:
    out.mkdir()
    with mounted(out, "size=64m"):
        yield Ballast(out)


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system in memory over a folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


FAULTS: dict[str, Callable[[Bench, Path], None]] = {
    "SIGTERM": stopped_by(signal.SIGTERM, 0),
    "Ctrl-C": stopped_by(signal.SIGINT, 130),
    "tensors cut short": damaged(lambda p: cut(tensors(p)), "is damaged"),
    "a bit of the tensors flipped": damaged(lambda p: flip(tensors(p)), "is damaged"),
    "checkpoint's JSON cut short": damaged(cut, "is damaged"),
    "a bit of its JSON flipped": damaged(flip, "is damaged"),
    "tensors gone": damaged(lambda p: tensors(p).unlink(), "lacks its tensors"),
    "two processes on one run": two_processes,
    "a folder that cannot be": unwritable,
}
DISKS: dict[str, Callable[[Bench, Path], None]] = {
    "disk full in passing": full_in_passing,
    "disk full at the end": full_at_the_end,
    "disk turns read-only": read_only,
}


def inject(bench: Bench, name: str, fault: Callable[[Bench, Path], None]) -> bool:
    """Whether the fault was survived."""
    out = Path(tempfile.mkdtemp(dir=bench.folder)) / "run"
    try:
        with contextlib.suppress(Survived):
            fault(bench, out)
            bench.compare(out)
    except (Fault, subprocess.TimeoutExpired) as lost:
        print(f"{name}: LOST: {lost}", flush=True)
        return False
    print(f"{name}: survived", flush=True)
    return True


def can_mount() -> bool:
    if INSIDE in os.environ:
        return True
    words = ["unshare", "-rm", "true"]
    with contextlib.suppress(OSError):
        if subprocess.run(words, stderr=subprocess.DEVNULL).returncode == 0:
            os.environ[INSIDE] = "1"
            os.execvp("unshare", ["unshare", "-rm", sys.executable, *sys.argv])
    return False


def main() -> int:
    args = arguments()
    disks = DISKS if can_mount() else {}
    folder = Path(tempfile.mkdtemp(prefix="bigan-faults-"))
    bench = Bench(folder, args.kimg, args.seed)
    print(f"left alone: done, a checkpoint every {bench.interval:.1f} s", flush=True)
    faults = [(name, f) for name, f in FAULTS.items() for _ in range(args.signals if f in signals() else 1)]
    survived = [inject(bench, name, fault) for name, fault in [*faults, *disks.items()]]
    if args.kills:
        words = [sys.executable, kill_test.__file__, f"--kills={args.kills}", f"--kimg={args.kimg}"]
        kills = subprocess.run([*words, f"--seed={args.seed}"], stdout=subprocess.PIPE, text=True)
        print("".join(f"{line}\n" for line in kills.stdout.splitlines()[-2:]), end="")
        survived += [kills.returncode == 0] * args.kills
    if not disks:
        print(f"not injected, for no file system can be mounted here: {', '.join(DISKS)}")
    lost = survived.count(False)
    print(f"faults injected {len(survived)}, survived {sum(survived)}, lost {lost}")
    if not lost:
        shutil.rmtree(folder)
    return int(lost > 0)


def signals() -> list[Callable[[Bench, Path], None]]:
    return [FAULTS["SIGTERM"], FAULTS["Ctrl-C"]]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="with -9")
    parser.add_argument("--signals", type=int, default=4, help="of SIGTERM and of Ctrl-C each")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--kimg", type=float, default=8.0, help="length of each training")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
