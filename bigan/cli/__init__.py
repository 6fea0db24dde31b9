"""The `bigan` command: finds the subcommand, turns errors into messages and exit codes.

Nothing heavy is imported here: each command imports what it needs, so `bigan --help` is quick.
Exit codes: 0 done, 1 a fault of ours or of the machine, 2 something the user can mend, 130 Ctrl-C.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

from bigan.cli import threads
from bigan.errors import UserError, unknown

# command -> (module and function, arguments, what it does)
COMMANDS = {
    "train": ("train.train", "SYSTEM", "train a system on images; the same command resumes"),
    "sample": ("pictures.sample", "RUN", "a grid of new images from a run's generator"),
    "reconstruct": ("pictures.reconstruct", "RUN", "images beside their reconstructions, and the error"),
    "interpolate": ("pictures.interpolate", "RUN", "walks between the codes of pairs of images"),
    "eval": ("evaluate.evaluate", "RUN", "FID and its like, RID, reconstruction errors, probes of codes"),
    "plot": ("evaluate.plot", "RUN", "losses and metrics over images, as a picture"),
    "reproduce": ("reproduce.reproduce", "TABLE", "train and measure the rows of a paper's table"),
    "classifier": ("classifier.classifier", "train", "an extractor of one's own, from labelled images"),
    "export": ("export.export", "RUN", "a run's encoder and generator alone, for `bigan.load`, ONNX, ..."),
    "bench": ("bench.bench", "SYSTEM", "images a second of a training here, plain and with --fast"),
    "list": ("show.list_systems", "", "the systems and their presets"),
    "info": ("show.info", "", "versions, devices, and which operator backends work here"),
}

HELP = """usage: bigan COMMAND [flags]

Train and use bidirectional GANs: an encoder E: x -> z beside a generator G: z -> x.

commands:
{commands}

  bigan COMMAND --help      the flags of a command
  bigan --version           the version

start here: bigan train introvae
"""


def usage() -> str:
    rows = (f"  bigan {f'{name} {args}':<20}{text}" for name, (_, args, text) in COMMANDS.items())
    return HELP.format(commands="\n".join(rows))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; never raises for what a user can do wrong."""
    args = list(sys.argv[1:] if argv is None else argv)
    threads.settle()
    try:
        code = _dispatch(args)
        sys.stdout.flush()  # a closed pipe is noticed here, not when Python exits
        return code
    except SystemExit as stop:  # --help, or tyro's own message on a bad value
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") == "0":
            print("bigan: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `bigan list | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        message = explain(error)
        if message is None:
            traceback.print_exc()
            print("bigan: this is a fault in bigan, not in what you typed", file=sys.stderr)
            return 1
        if os.environ.get("BIGAN_TRACEBACK", "0") not in ("", "0"):
            traceback.print_exc()
        rank = os.environ.get("RANK", "0")
        print(f"bigan: {'' if rank == '0' else f'[rank {rank}] '}{message}", file=sys.stderr)
        return 2 if isinstance(error, UserError) else 1


def explain(error: Exception) -> str | None:
    """The one line a user needs, or None where the error is a fault of ours."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:  # a full disk, no permission, a missing file
        where = f"{error.filename}: " if error.filename else ""
        return where + error.strerror
    memory = "out of memory", "can't allocate memory", "not enough memory"
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in memory):
        less = (
            "try --recompute (the same numbers; a run may go on with it), a smaller --batch, or fewer pixels"
        )
        return f"out of memory: {less}; --dry-run estimates what a training takes ({error})"
    return None


def _dispatch(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage(), end="")
        return 0 if args else 2
    if args[0] in ("-V", "--version"):
        from bigan import __version__

        print(f"bigan {__version__}")
        return 0
    name, rest = args[0], args[1:]
    if name.startswith("-"):
        raise UserError(f"unknown flag {name!r}: a command comes first, as in `bigan train introvae {name}`")
    if name not in COMMANDS:
        raise unknown("command", name, COMMANDS)
    module, _, function = COMMANDS[name][0].partition(".")
    return getattr(importlib.import_module(f"bigan.cli.{module}"), function)(rest)
