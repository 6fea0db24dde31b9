"""csrc/cuda/common.cuh: any length and alignment, all types, every schedule; sums with one order."""

import ctypes as C

import emu
import emu_ptx
import pytest
import torch
from test_selfcheck import nvcc

DTYPES = {torch.float32: 6, torch.float64: 7, torch.float16: 5, torch.bfloat16: 15}
SHAPES = [(1, 1), (3, 7), (2, 64), (5, 256), (4, 1030)]


@pytest.fixture(autouse=True)
def guarded():
    with emu.guarded():
        yield


def run(x: torch.Tensor, machine: emu.Machine | None = None) -> tuple[torch.Tensor, ...]:
    """x + 1, sums of rows, total; x: [rows, dim], rows may be strided."""
    rows, dim = x.shape
    stride = x.stride(0) if rows > 1 else dim
    out = torch.empty((rows - 1) * stride + dim, dtype=x.dtype)
    acc = torch.float64 if x.dtype == torch.float64 else torch.float32
    sums, total, ticket = (
        torch.empty(rows, dtype=acc),
        torch.empty(1, dtype=acc),
        torch.zeros(1, dtype=torch.int32),
    )
    pointers = [C.c_void_p(t.data_ptr()) for t in (x, out, sums, total, ticket)]
    machine = machine or emu.load("helpers")
    machine.library.helpers_rows(DTYPES[x.dtype], *pointers, *(C.c_int64(v) for v in (rows, dim, stride)))
    machine.check()
    return out.as_strided((rows, dim), (stride, 1)), sums, total


def data(shape, dtype, layout) -> torch.Tensor:
    """Rows one after another; or with gaps; or with gaps of whole vectors, but from an odd address on."""
    torch.manual_seed(0)
    rows, dim = shape
    if layout == "plain":
        return torch.randn(shape).to(dtype)
    stride, offset = (dim + 3, 0) if layout == "gaps" else (-(-dim // 4) * 4 + 4, 1)
    buffer = torch.randn(offset + rows * stride).to(dtype)
    return buffer.as_strided(shape, (stride, 1), offset)


def check(x: torch.Tensor, machine: emu.Machine | None = None) -> None:
    plus_one, sums, total = run(x, machine)
    wide = sums.dtype
    assert torch.equal(plus_one, (x.to(wide) + 1).to(x.dtype))
    # float32 keeps 24 bits; a tree of sums loses about one for each level
    torch.testing.assert_close(sums, x.double().sum(1).to(wide), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(total, sums.sum().view(1), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("layout", ["plain", "gaps", "shifted"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows(shape, dtype, layout):
    check(data(shape, dtype, layout))


@pytest.mark.parametrize("schedule", emu.SCHEDULES)
def test_sums_have_one_order(schedule):
    x = data((5, 1030), torch.float32, "plain")
    want = run(x)
    with emu.load("helpers").schedule(schedule):
        got = run(x)
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)


@nvcc
@pytest.mark.parametrize("arch", emu_ptx.ARCHITECTURES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_ptx(dtype, arch):
    for shape, layout in (((3, 7), "shifted"), ((5, 256), "plain")):
        x = data(shape, dtype, layout)
        with emu.load("helpers").executor(emu_ptx.load("helpers", arch)):
            check(x)
            got = run(x)
        for a, b in zip(got, run(x), strict=True):  # sums in the same order: the same bits
            assert torch.equal(a, b)
