"""Runs the tests of the emulated kernels under AddressSanitizer with UBSan, and under ThreadSanitizer.

    python scripts/emulation_sanitize.py [asan] [tsan] [-- pytest arguments]

The same tests, the same .cu files, compiled with the sanitizer, whose runtime is preloaded into python.
Under ThreadSanitizer every CUDA thread is a thread of its own to it, and only CUDA's synchronisation orders
memory: a missing barrier or fence is reported whatever the schedule was.  Fails on any report.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/emulation"))
import emu_build  # noqa: E402

OPTIONS = {
    "asan": {"ASAN_OPTIONS": "detect_leaks=0:log_path={log}", "UBSAN_OPTIONS": "log_path={log}"},
    "tsan": {"TSAN_OPTIONS": "report_signal_unsafe=0 history_size=4 log_path={log}"},
}


def run(variant: str, arguments: list[str], quiet: bool = False, **variables: str) -> tuple[int, str]:
    """pytest's exit code and the sanitizer's reports; quiet: with pytest's output, which is not printed."""
    with tempfile.TemporaryDirectory() as folder:
        options = {k: v.format(log=f"{folder}/log") for k, v in OPTIONS[variant].items()}
        environment = {
            **os.environ,
            **options,
            **variables,
            "BIGAN_EMULATION": variant,
            "LD_PRELOAD": emu_build.preload(variant),
            "OMP_NUM_THREADS": "1",  # torch's own threads are not the subject
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        }
        # sys.executable is the real binary: a shell wrapper, as pyenv's, crashes under libtsan.
        command = [sys.executable, "-X", "faulthandler", "-m", "pytest", "-n0", "-q", "-r", "fE"]
        command += ["-p", "no:cacheprovider", *arguments]
        if variant == "asan":
            command.append("-s")  # UBSan ends the process with its report in pytest's capture
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=quiet, text=True)
        reports = "".join(p.read_text(errors="replace") for p in sorted(Path(folder).glob("log*")))
    return done.returncode, reports + (done.stdout + done.stderr if quiet else "")


def main() -> int:
    arguments = sys.argv[1:]
    split = arguments.index("--") if "--" in arguments else len(arguments)
    variants, rest = arguments[:split] or ["asan", "tsan"], arguments[split + 1 :]
    if unknown := set(variants) - set(OPTIONS):
        sys.exit(f"unknown sanitizer: {', '.join(unknown)}; asan and tsan are known")
    if reason := emu_build.missing("g++"):
        print(f"nothing checked: {reason}")
        return 1
    failed = False
    for variant in variants:
        print(f"--- {variant}", flush=True)
        code, reports = run(variant, ["tests/emulation", *rest])
        summaries = re.findall(r"^SUMMARY: .*|.*runtime error: .*", reports, re.M)
        print(*sorted(set(summaries)), sep="\n")
        failed |= bool(code or reports)
        if reports and not summaries:
            print(reports[:4000])
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
