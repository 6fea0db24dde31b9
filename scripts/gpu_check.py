"""What only a GPU can show, in one go: builds, tests, sanitizes, benchmarks and trains on it.

    python scripts/gpu_check.py [--out gpu_check] [--data images.zip] [--kimg 200] [--skip STEP ...]

The steps, each with its log in --out and a line in --out/summary.json:

    build       pip install -e '.[test]', the kernels for this GPU alone
    test        the tests; with a GPU here they run the operators on it
    sanitize    compute-sanitizer (memcheck, racecheck) over the operators' values and gradients, where it is installed
    bench       pytest benchmarks/ --save: ratios to eager and torch.compile, into benchmarks/results/
    train       PAGAN with --fast, its pictures and, where the extractor is installed, metrics

A step that fails does not stop the others; the exit code is 1 if any did. Meant for under ten minutes on one H100.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTEST = [sys.executable, "-m", "pytest", "-q"]
BIGAN = [sys.executable, "-m", "bigan"]
OPERATORS = ["tests/test_ops.py", "-k", "matches_reference and native"]
# What runs the same without a GPU, and long: the emulation, compilers ahead of time, kills.
NOT_HERE = [
    "--ignore=tests/test_emulation.py",
    "--ignore=tests/emulation",
    "--ignore=tests/test_triton_aot.py",
]


def steps(args: argparse.Namespace) -> dict[str, list[list[str]]]:
    """Each step's commands."""
    run = str(args.out / "run")
    data = ["--data", str(args.data)] if args.data else []
    train = [
        *BIGAN,
        "train",
        "pagan",
        "--preset",
        "cifar10",
        *data,
        f"--kimg={args.kimg}",
        "--out",
        run,
        "--fast",
    ]
    sanitizer = shutil.which("compute-sanitizer")
    sanitized = [
        [sanitizer, f"--tool={tool}", "--error-exitcode=99", "--target-processes=all", *PYTEST, *OPERATORS]
        for tool in ("memcheck", "racecheck")
        if sanitizer
    ]
    return {
        "build": [[sys.executable, "-m", "pip", "install", "--no-build-isolation", "-e", f"{ROOT}[test]"]],
        "test": [[*PYTEST, *NOT_HERE]],
        "sanitize": sanitized,
        "bench": [[*PYTEST, "benchmarks/", "--save"]],
        "train": [train, [*BIGAN, "eval", run], [*BIGAN, "sample", run]],
    }


def main() -> int:
    args = arguments()
    import torch

    if not torch.cuda.is_available():
        print("gpu_check: PyTorch sees no GPU here", file=sys.stderr)
        return 2
    args.out.mkdir(parents=True, exist_ok=True)
    capability = "{}.{}".format(*torch.cuda.get_device_capability())
    env = {**os.environ, "TORCH_CUDA_ARCH_LIST": capability, "BIGAN_BUILD": "cuda"}
    summary = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "steps": {}}
    for name, commands in steps(args).items():
        if name in args.skip or not commands:
            summary["steps"][name] = "skipped" if name in args.skip else "compute-sanitizer is not installed"
            continue
        began = time.monotonic()
        with open(args.out / f"{name}.log", "w") as log:
            codes = [
                subprocess.run(words, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT).returncode
                for words in commands
            ]
        last = (args.out / f"{name}.log").read_text().strip().splitlines()[-1:]
        result = {"exit codes": codes, "seconds": round(time.monotonic() - began, 1), "last line": last}
        summary["steps"][name] = result
        print(f"{name}: {result}", flush=True)
        (args.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    failed = [n for n, r in summary["steps"].items() if isinstance(r, dict) and any(r["exit codes"])]
    print(f"failed: {', '.join(failed)}" if failed else "all steps passed")
    return int(bool(failed))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=Path("gpu_check").resolve(), help="where logs and the run go"
    )
    parser.add_argument("--data", type=Path, help="images to train on (the digits)")
    parser.add_argument("--kimg", type=float, default=200.0, help="length of the training")
    parser.add_argument("--skip", nargs="*", default=[], help="steps to leave out")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
