"""Kills a training with -9 again and again, resumes it by the same command, compares it with one left alone.

    python scripts/kill_test.py [--kills 20] [--seed 0] [--kimg 8] [-- flags of `bigan train introvae`]

Of four kills, one falls at a random moment of start-up (imports, data, reading a checkpoint), two at random
moments of training, and one waits for a checkpoint to be half written, which its temporary file proves
afterwards. In the end the tensors of the last checkpoint, the log (without clock readings) and the pictures
must agree to the bit. Exit code 0 if they do and no kill is missing.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from bigan.engine import checkpoint

CLOCK = ("seconds", "images_per_s")
WRITING = "writing a checkpoint"
WHERE = ("start-up", "training", WRITING)
AIMS = ("training", "start-up", "training", WRITING)


def command(out: Path, kimg: float, flags: list[str]) -> list[str]:
    every = ["--log-every", "0.1", "--sample-every", "1", "--checkpoint-every", "0.2"]
    train = ["train", "introvae", "--preset", "digits", "--out", str(out), "--kimg", str(kimg)]
    return [sys.executable, "-m", "bigan", *train, *every, "--no-tensorboard", *flags]


def main() -> int:
    args = arguments()
    folder = Path(tempfile.mkdtemp(prefix="bigan-kill-"))
    alone, killed = folder / "alone", folder / "killed"
    began = time.monotonic()
    reference = start(command(alone, args.kimg, args.flags))
    while not (alone / "log.jsonl").exists():
        if reference.poll() is not None:
            return fail(reference)
        time.sleep(0.01)
    start_up = time.monotonic() - began
    if reference.wait():
        return fail(reference)
    training = time.monotonic() - began - start_up
    print(f"left alone: start-up {start_up:.1f} s, training {training:.1f} s", flush=True)

    draw = random.Random(args.seed)
    kills = [0] * len(WHERE)
    resumed = 0
    while sum(kills) < args.kills:
        process = start(command(killed, args.kimg, args.flags))
        resumed += sum(kills) > 0
        aim = AIMS[sum(kills) % len(AIMS)]
        # Two kills use up 2 / kills of the training at most, so there is always some left to kill.
        delay = draw.uniform(0.0, start_up if aim == "start-up" else 2 * training / args.kills)
        if not await_moment(process, killed, aim, delay):
            print("the run ended before its kills were spent: give a larger --kimg")
            break
        process.kill()
        process.wait()
        where = int(began_training(killed)) * (1 + writing_cut(killed))
        kills[where] += 1
        print(f"kill {sum(kills)}: {WHERE[where]}, newest checkpoint {newest(killed)}", flush=True)
    last = start(command(killed, args.kimg, args.flags))
    resumed += sum(kills) > 0
    if last.wait():
        return fail(last)
    differences = compare(alone, killed)
    for line in differences[:5]:
        print(line)
    print("  ".join(f"{name} {n}" for name, n in zip(WHERE, kills, strict=True)))
    print(f"kills {sum(kills)}, resumed {resumed}, identical {not differences}")
    if not differences:
        shutil.rmtree(folder)
    return int(bool(differences) or sum(kills) < args.kills)


def await_moment(process: subprocess.Popen, out: Path, aim: str, delay: float) -> bool:
    """Wait for the moment to kill; False where the process ends before."""
    if (out / "log.jsonl").exists():
        os.utime(out / "log.jsonl", (0, 0))  # training, once begun, touches it
    began = time.monotonic() if aim == "start-up" else None
    while process.poll() is None:
        if began is None and began_training(out):
            began = time.monotonic()
        if began is not None and (writing_cut(out) if aim == WRITING else time.monotonic() - began >= delay):
            return True
        time.sleep(0.0002 if aim == WRITING else 0.001)
    return False


def began_training(out: Path) -> bool:
    log = out / "log.jsonl"
    return log.exists() and log.stat().st_mtime > 0


def writing_cut(out: Path) -> bool:
    return any((out / "checkpoints").glob("*.tmp"))


def compare(a: Path, b: Path) -> list[str]:
    """What two finished runs do not have in common, but for times of day."""
    x, y = (checkpoint.latest(out / "checkpoints") for out in (a, b))
    if x is None or y is None or x.step != y.step or x.tensors.keys() != y.tensors.keys():
        return ["the last checkpoints do not hold the same tensors"]
    found = [f"tensor {name} differs" for name, t in x.tensors.items() if not torch.equal(t, y.tensors[name])]
    if log(a) != log(b):
        found.append("log.jsonl differs")
    pictures = [{p.name: p.read_bytes() for p in (out / "samples").glob("*.png")} for out in (a, b)]
    if pictures[0] != pictures[1]:
        found.append("pictures differ")
    return found


def log(out: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name not in CLOCK} for line in lines]


def newest(out: Path) -> int | None:
    return max(checkpoint.steps(out / "checkpoints"), default=None)


def start(words: list[str]) -> subprocess.Popen:
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    # Waiting threads sleep instead of spinning: the same bits, and ten times as fast on a busy machine.
    env = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, "PYTHONPATH": path}
    return subprocess.Popen(words, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def fail(process: subprocess.Popen) -> int:
    print(f"training ended with exit code {process.returncode}:\n{process.communicate()[1]}")
    return 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--kimg", type=float, default=8.0, help="length of the training")
    parser.add_argument("flags", nargs="*", help="after --: more flags of `bigan train introvae`")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
