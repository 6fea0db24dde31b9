"""The emulated machine: a test for each mistake it must report, and its promises about sound kernels."""

import ctypes as C

import emu
import pytest
import torch

trace = pytest.mark.skipif(
    emu.VARIANT != "host", reason="a sanitizer reports this itself and ends the process"
)


def machine() -> emu.Machine:
    return emu.load("broken")


@pytest.fixture(autouse=True)
def clean():
    with emu.guarded():
        yield
    machine().clear()


def run(which: int, fill: int = 0, grid: int = 1, shared: int = 0) -> tuple[int, str, torch.Tensor]:
    """Error code, message, output [64] int32."""
    out = torch.full((64,), fill, dtype=torch.int32)
    code = machine().library.broken_run(which, C.c_void_p(out.data_ptr()), grid, C.c_long(shared))
    return code, machine().error(), out


ERRORS = {  # which: pieces of the message
    0: [
        "divergent __syncthreads(): block (0,0,0) thread (32,0,0) at tests/",
        "thread (0,0,0) waits at tests/",
    ],
    1: ["__syncthreads() after 1 of 64 threads of the block have exited: block (0,0,0) thread (4,0,0) at"],
    2: ["deadlock in block (0,0,0): from thread 0 on: __shfl_sync at", "from thread 1 on: __syncthreads at"],
    3: ["__shfl_xor_sync with mask 0000ffff that does not name the calling lane 16: "],
    4: ["__shfl_xor_sync mask ffffffff names lane 5, which has exited: block (0,0,0) thread (6,0,0) at"],
    5: ["__shfl_xor_sync mask ffffffff names lane 16, which does not exist: "],
    6: [
        "lanes disagree: __shfl_xor_sync mask ffffffff, block (0,0,0) thread (31,0,0)",
        "lane 0 waits in __shfl_xor",
    ],
    8: [
        "read of 4 bytes that reaches 4 bytes past the end of a tensor of 256 bytes: ",
        "block (0,0,0) thread (63,0,0) [tests/emulation/broken.cu:",
    ],
    9: [
        "write of 4 bytes that reaches 4 bytes before the start of a tensor of 256 bytes: ",
        "[tests/emulation/broken",
    ],
    10: ["read of 4 bytes in no tensor: "],
    15: ["misaligned vector access: block (0,0,0) thread (0,0,0) at tests/emulation/broken.cu:"],
    16: ["shift by the width or more: "],
    18: ["float too large for the integer type: "],
    24: ["host code reads or writes device memory [", "broken.cu:"],
}


@trace
@pytest.mark.parametrize("which", ERRORS)
def test_mistakes_are_reported(which):
    code, error, _ = run(which)
    assert code == 719
    for piece in ERRORS[which]:
        assert piece in error


@trace
def test_shared_overrun():
    code, error, _ = run(11, fill=1)
    assert code == 719
    assert "write of 4 bytes past the end of shared array 'buffer' (128 bytes), at byte 128" in error
    assert "at byte 128: block (0,0,0) thread (31,0,0) [tests/emulation/broken.cu:" in error


@trace
def test_dynamic_shared_overrun():
    code, error, _ = run(12, shared=64 * 4 - 4)
    assert code == 719
    assert "write of 4 bytes past the end of shared array 'dynamic' (252 bytes), at byte 252" in error
    machine().clear()
    assert run(12, shared=64 * 4)[:2] == (0, "")


@trace
def test_array_bound_and_signed_overflow():
    assert "array index out of bounds: block (0,0,0) thread (0,0,0)" in run(13, fill=4)[1]
    machine().clear()
    assert "signed overflow in +" in run(17, fill=1)[1]


@trace
def test_stack_overflow():
    code, error, _ = run(19)
    assert code == 719 and "the stack of 65536 bytes overflowed: block (0,0,0) thread (0,0,0)" in error


def test_lane_outside_the_mask_gives_no_value():
    _, error, out = run(7)
    assert error == "" and out[:16].tolist() == [-1] * 16


def test_shared_memory_starts_undefined():
    _, error, out = run(14)
    assert error == "" and out.tolist() == [0] * 32 + [-1] * 32


@pytest.mark.parametrize("which,shared", [(23, 0), (22, 48 * 1024 + 4)])
def test_invalid_configuration(which, shared):
    code, error, out = run(which, fill=7, shared=shared)
    assert code == 9 and "invalid launch: grid (1,1,1) block (" in error
    assert out.tolist() == [7] * 64
    machine().clear()


def test_empty_grid_is_invalid():
    assert run(22, grid=0)[0] == 9


@trace
def test_failure_is_sticky_until_cleared():
    run(8)
    assert run(22)[0] == 719
    with pytest.raises(RuntimeError, match="past the end of a tensor"):
        machine().check()
    assert run(22)[0] == 0


@trace
def test_schedules_expose_what_depends_on_order():
    """Blocks that add to one cell, and a missing barrier, give other bits under another schedule."""
    for which, grid in ((20, 4), (21, 1)):
        results = set()
        for name in emu.SCHEDULES:
            with machine().schedule(name):
                results.add(tuple(run(which, grid=grid)[2].tolist()))
        assert len(results) > 1


def test_launches_and_bytes_are_counted():
    with machine().launches() as launches:
        run(22, grid=3)
        run(22)
    assert [(x.kernel, x.grid, x.block) for x in launches] == [
        ("_ZN6broken4fineEPi", (3, 1, 1), (64, 1, 1)),
        ("_ZN6broken4fineEPi", (1, 1, 1), (64, 1, 1)),
    ]
    if emu.VARIANT == "host":
        assert [x.traffic for x in launches] == [[emu.Traffic(256, 0, 256)]] * 2


def test_only_some_blocks_run():
    with machine().last_blocks(1):
        assert run(22, grid=5)[2].tolist() == [5 if i % 5 == 4 else 0 for i in range(64)]


@trace
def test_tensors_are_guarded():
    x = torch.empty(5)  # 20 bytes
    assert x.isnan().all()
    assert x.data_ptr() % 16 == 0 and (x.data_ptr() + 32) % 4096 == 0


@trace
def test_the_allocator_is_put_back():
    """Also after nested use: the fixture's guarded() is the outer one here."""
    with emu.guarded(), emu.guarded():
        pass
    inside = torch.empty(5)
    assert inside.isnan().all()
    base, size, *_ = emu.arena_table()
    assert base <= inside.data_ptr() < base + size
    emu._arena().arena_uninstall()
    outside = torch.empty(5)
    emu._arena().arena_install()
    assert not base <= outside.data_ptr() < base + size
