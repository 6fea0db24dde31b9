"""Plants every bug of tests/emulation/mutants.py and prints which check notices it, and how.

    python scripts/emulation_mutants.py                 # each bug under the check that must notice it
    python scripts/emulation_mutants.py --all           # under every check: the table in docs/emulation.md
    python scripts/emulation_mutants.py --only ticket   # the bugs whose name contains `ticket`

Fails where a bug goes unnoticed by the check that is to see it.  About half a minute a bug and check.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests/emulation"), str(ROOT / "scripts")]
import emu_build  # noqa: E402
import emulation_sanitize  # noqa: E402
import mutants  # noqa: E402

CHECKS = ("host", "tsan", "asan", "ptx")


def pytest(check: str, mutant: mutants.Mutant, sources: Path) -> tuple[int, str]:
    """Exit code and all that was said."""
    changed = {"BIGAN_EMULATION_SOURCES": str(sources)}
    kind = "ptx" if check == "ptx" else "not ptx"
    both = f"({mutant.select}) and {kind}" if mutant.select and check != "ptx" else kind
    arguments = ["-x", mutant.tests, "-k", both]
    if check in ("asan", "tsan"):
        return emulation_sanitize.run(check, arguments, quiet=True, **changed)
    command = [sys.executable, "-m", "pytest", "-n0", "-q", "-p", "no:cacheprovider", *arguments]
    environment = {**os.environ, **changed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def verdict(code: int, said: str) -> str | None:
    """How a bug was noticed, or None."""
    if "g++ -std" in said or "nvcc -std" in said:
        return "DOES NOT COMPILE"
    if code == 0 and "Sanitizer" not in said and "runtime error" not in said:
        return None
    for pattern in (
        r"ThreadSanitizer: ([\w -]+?) \(",
        r"AddressSanitizer: ([\w-]+)",
        r"runtime error: ([^\n]{0,50})",
        r"PtxError: .*: ([^:\n]+)",
        r"RuntimeError: ([^:\n]{0,60})",
    ):
        if m := re.search(pattern, said):
            return m[1]
    if code < 0 or "Fatal Python error" in said:
        return "crash"
    return "wrong result" if "AssertionError" in said else f"exit code {code}"


def examine(mutant: mutants.Mutant, checks: list[str]) -> dict[str, str | None]:
    with tempfile.TemporaryDirectory() as folder:
        sources = mutant.plant(Path(folder))
        return {c: verdict(*pytest(c, mutant, sources)) for c in checks}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="under every check, although one has noticed it")
    parser.add_argument("--only", default="", help="bugs whose name contains this")
    args = parser.parse_args()
    usable = [c for c in CHECKS if c != "ptx" or not emu_build.missing("nvcc")]
    chosen = [m for m in mutants.ALL if args.only in m.name]
    missed = []
    print(f"| bug | {' | '.join(usable)} |\n|---|{'---|' * len(usable)}", flush=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = pool.map(lambda m: examine(m, usable if args.all else [m.by]), chosen)
        for mutant, found in zip(chosen, jobs, strict=True):
            if found[mutant.by] in (None, "DOES NOT COMPILE"):
                missed.append(mutant.name)
            cells = ((found[c] or "-") if c in found else "" for c in usable)
            print(f"| {mutant.name} | {' | '.join(cells)} |", flush=True)
    print(f"\n{len(chosen) - len(missed)} of {len(chosen)} bugs noticed where they must be")
    if missed:
        print("unnoticed:", *missed, sep="\n  ")
    return int(bool(missed or not chosen))


if __name__ == "__main__":
    sys.exit(main())
