"""Planted bugs are caught: a few here, all of them, under every check, by scripts/emulation_mutants.py."""

import emu
import emu_build
import mutants
import pytest
import test_helpers
import torch

# Of each kind one: a barrier, a lane, an index, a mask, an alignment.
QUICK = [
    "sum: no barrier before the partial sums are read",
    "sum: wrong lane",
    "read: off by one at the end of a row",
    "sum: shared array too small",
    "vectors at any address",
]

pytestmark = pytest.mark.skipif(emu.VARIANT != "host", reason="the script plants bugs under the sanitizers")


def noticed(machine: emu.Machine) -> bool:
    for name in emu.SCHEDULES:
        for shape, layout in (
            ((3, 7), "gaps"),
            ((3, 8), "shifted"),
            ((5, 256), "plain"),
            ((2, 1030), "plain"),
        ):
            try:
                with machine.schedule(name):
                    test_helpers.check(test_helpers.data(shape, torch.float32, layout), machine)
            except (AssertionError, RuntimeError):
                machine.clear()
                return True
    return False


def test_the_unchanged_helpers_pass():
    with emu.guarded():
        assert not noticed(emu.load("helpers"))


@pytest.mark.parametrize("name", QUICK)
def test_bug_is_noticed(name, tmp_path):
    mutant = next(m for m in mutants.HELPERS if m.name == name)
    library = emu_build.kernels_of_tests("helpers", root=mutant.plant(tmp_path))
    with emu.guarded():
        assert noticed(emu.Machine(library))


@pytest.mark.parametrize("mutant", mutants.ALL, ids=lambda m: m.name)
def test_mutants_still_apply(mutant, tmp_path):
    mutant.plant(tmp_path)
