"""The two executors against each other, instruction by instruction: the emulated machine and nvcc's PTX."""

import ctypes as C

import emu
import emu_build
import emu_ptx
import numpy as np
import pytest
import torch

nvcc = pytest.mark.skipif(
    bool(emu_build.missing("nvcc") or emu.VARIANT != "host"),
    reason=f"PTX: {emu_build.missing('nvcc') or emu.VARIANT}",
)
BLOCKS, THREADS = 4, 128


@pytest.fixture(autouse=True)
def guarded():
    with emu.guarded():
        yield


def run(which: int, executor=None) -> tuple[torch.Tensor, ...]:
    """words, floats, doubles, cells; and the launch."""
    n = BLOCKS * THREADS
    generator = torch.Generator().manual_seed(which)
    x = torch.randint(-(2**31), 2**31 - 1, (n,), dtype=torch.int32, generator=generator)
    words, cells = torch.zeros(64, n, dtype=torch.int32), torch.zeros(192, dtype=torch.int32)
    floats, doubles = torch.zeros(16, n), torch.zeros(8, n, dtype=torch.float64)
    machine = emu.load("selfcheck")
    pointers = [C.c_void_p(t.data_ptr()) for t in (x, words, floats, doubles, cells)]
    with machine.launches() as launches, machine.executor(executor):
        machine.library.selfcheck_instructions(*pointers, which, BLOCKS)
    machine.check()
    return words, floats, doubles, cells, launches[0], x


def ulps(a: torch.Tensor, b: torch.Tensor) -> int:
    integer = torch.int32 if a.dtype == torch.float32 else torch.int64
    return int((a.view(integer).long() - b.view(integer).long()).abs().max())


@nvcc
@pytest.mark.parametrize("arch", emu_ptx.ARCHITECTURES)
@pytest.mark.parametrize("which", range(4))
def test_executors_agree(which, arch):
    here, there = run(which), run(which, emu_ptx.load("selfcheck", arch))
    assert torch.equal(here[0], there[0]) and torch.equal(here[3], there[3])  # integers, bits, conversions
    # libm against CUDA's own functions, whose documented errors are 1 to 4 ulp
    assert ulps(here[1], there[1]) <= 4 and ulps(here[2], there[2]) <= 2
    assert here[4] == there[4]  # the same launch, the same bytes


@pytest.mark.parametrize("schedule", emu.SCHEDULES)
def test_words_do_not_depend_on_the_schedule(schedule):
    for which in range(4):
        with emu.load("selfcheck").schedule(schedule):
            got = run(which)
        for a, b in zip(got[:4], run(which)[:4], strict=True):
            assert torch.equal(a, b)


def test_shuffles_are_what_the_programming_guide_says():
    words, *_, x = run(0)
    lanes = x.view(-1, 32)
    lane = torch.arange(32)
    for row, width in zip(range(0, 24, 6), (32, 16, 8, 4), strict=True):
        got = words[row : row + 6].view(6, -1, 32)
        base, last = lane // width * width, lane // width * width + width - 1
        assert torch.equal(got[1], lanes[:, base + 3 % width])  # idx
        assert torch.equal(got[2], lanes[:, torch.where(lane - 3 < base, lane, lane - 3)])  # up
        assert torch.equal(got[3], lanes[:, torch.where(lane + 5 > last, lane, lane + 5)])  # down
        assert torch.equal(got[4], lanes[:, lane ^ 1])  # xor
        assert torch.equal(got[5], lanes[:, torch.where((lane ^ 17) > last, lane, lane ^ 17)])


def test_atomics_and_conversions():
    *_, cells, _, x = run(1)
    unsigned = x.view(BLOCKS, THREADS).numpy().view(np.uint32)
    assert np.array_equal(cells[:BLOCKS].numpy().view(np.uint32), unsigned.sum(1, dtype=np.uint32))
    assert np.array_equal(cells[64 : 64 + BLOCKS].numpy().view(np.uint32), unsigned.max(1))
    words, *_, x = run(2)
    f = (x.float() * torch.tensor(1e-7)).float()
    for row, scale in enumerate((1.0, 1e-6, 3e2, 3e36)):
        scaled = f * torch.tensor(scale, dtype=torch.float32)
        assert torch.equal(words[2 * row].view(torch.float32), scaled.bfloat16().float())
        assert torch.equal(words[2 * row + 1].view(torch.float32), scaled.half().float())
