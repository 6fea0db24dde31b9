"""Every implementation of every operator has bugs to be caught; scripts/mutate_ops.py plants them."""

import op_mutants
import pytest

from bigan import ops


@pytest.mark.parametrize("source", op_mutants.SOURCES)
@pytest.mark.parametrize("op", ops.names())
def test_mutants_apply(op, source, tmp_path):
    found = op_mutants.of(op, source)
    assert len(found) >= 3, f"tests/op_mutants.py has {len(found)} bugs for {op} in {source}, not 3 or more"
    for i, mutant in enumerate(found):
        mutant.plant(tmp_path / str(i))
