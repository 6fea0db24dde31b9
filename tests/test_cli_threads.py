"""How threads wait: bigan/cli/threads.py."""

import os

import pytest

from bigan.cli import threads

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_NUM_THREADS", "LOCAL_WORLD_SIZE")


@pytest.fixture(autouse=True)
def four_cores(monkeypatch, tmp_path):
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that what settle() sets is taken back
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(4), raising=False)
    monkeypatch.setattr(threads, "LOAD", tmp_path / "loadavg")
    return tmp_path / "loadavg"


@pytest.mark.parametrize(
    ("running", "env", "spins"),
    [
        (1, {}, True),
        (2, {}, False),  # another program
        (3, {"OMP_NUM_THREADS": "2"}, True),  # room for both
        (4, {"OMP_NUM_THREADS": "2"}, False),
        (1, {"OMP_NUM_THREADS": "2,1"}, False),
        (1, {"LOCAL_WORLD_SIZE": "2"}, False),
    ],
)
def test_threads_spin_where_each_has_a_core(four_cores, monkeypatch, running, env, spins):
    four_cores.write_text(f"0.50 0.30 0.20 {running}/345 6789\n")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    threads.settle()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert os.environ.get("GOMP_SPINCOUNT") == (threads.SPINS if spins else None)


def test_elsewhere_they_sleep(four_cores):
    threads.settle()  # no /proc/loadavg
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE" and "GOMP_SPINCOUNT" not in os.environ


@pytest.mark.parametrize("name", NAMES[:2])
def test_what_the_user_set_stays(four_cores, monkeypatch, name):
    four_cores.write_text("0.00 0.00 0.00 1/345 6789\n")
    monkeypatch.setenv(name, "7")
    threads.settle()
    assert {n: os.environ.get(n) for n in NAMES[:2]} == {**dict.fromkeys(NAMES[:2]), name: "7"}
