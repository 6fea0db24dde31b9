"""The tests of tests/emulation, each file in a process of its own: they run kernels on switched stacks and
replace torch's allocator, and a kernel that goes wrong there must not take the other tests with it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import verified

FOLDER = Path(__file__).parent / "emulation"


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("test_*.py")))
def test_emulation(name, tmp_path, record_property):
    counts = tmp_path / "verified.json"
    result = subprocess.run(
        [
            sys.executable,
            "-X",
            "faulthandler",
            "-m",
            "pytest",
            "-n0",
            "-q",
            "-rs",
            str(FOLDER / f"{name}.py"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, verified.HAND_UP: str(counts)},
        cwd=FOLDER,  # not the checkout, whose bigan would be taken for the installed one
    )
    record_property("verified by child", verified.from_child(counts))
    summary = result.stdout.strip().splitlines()[-1] if result.stdout.strip() else ""
    if result.returncode == 0 and "passed" not in summary:  # no g++: all skipped, with the reason
        reasons = [line for line in result.stdout.splitlines() if line.startswith("SKIPPED")]
        pytest.skip(reasons[0] if reasons else summary)
    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-3000:]
    print(summary)
