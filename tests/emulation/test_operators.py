"""The kernels of csrc/cuda, executed on the CPU: the tests that every backend passes (tests/test_ops.py), and
what only an emulated GPU can tell: launches, traffic, independence of the schedule."""

import zlib

import emu
import emu_build
import emu_ptx
import pytest
import torch
from op_cases import CASES
from test_ops import (  # noqa: F401  pytest collects them here as well, with this file's fixture
    contiguous,
    evaluate,
    relative_check,
    test_matches_reference,
    test_opcheck,
    test_same_bits_again,
    test_second_gradients,
)
from test_selfcheck import nvcc

from bigan import ops

host = pytest.mark.skipif(emu.VARIANT != "host", reason="bytes are counted by the ordinary build")


@pytest.fixture
def backend(request, case):
    """Each test under one of the schedules, always the same one."""
    if not (emu_build.SOURCES / f"csrc/cuda/{case.op}.cu").exists():
        pytest.skip(f"there is no csrc/cuda/{case.op}.cu")
    names = [getattr(value, "__name__", str(value)) for value in request.node.callspec.params.values()]
    schedule = list(emu.SCHEDULES)[zlib.crc32(" ".join(names).encode()) % len(emu.SCHEDULES)]
    with emu.guarded(), emu.operators().schedule(schedule), ops.use_backend("emulated"):
        yield "emulated"
    emu.operators().clear()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_schedule_gives_the_same_bits(case, backend):
    """Blocks and threads in any order: sums have one order, and nothing races."""
    inputs = case.inputs((6, 70), torch.float32, "cpu")
    first, up, grads = evaluate(case, inputs)
    for schedule in emu.SCHEDULES:
        with emu.operators().schedule(schedule):
            again, _, grads_again = evaluate(case, inputs, up)
        for a, b in zip((*first, *grads), (*again, *grads_again), strict=True):
            assert torch.equal(a, b), schedule


@pytest.mark.parametrize("case", CASES, ids=str)
def test_launches_each_way(case, backend):
    """One kernel each way, or as many as the case says; at most one memset, of a few bytes of scratch."""
    inputs = [t.requires_grad_(case.differentiable) for t in case.inputs((6, 70), torch.float32, "cpu")]
    with emu.operators().launches() as forward:
        outputs = case.call(*inputs)
    runs = [forward]
    if case.differentiable:
        with emu.operators().launches() as backward:
            graded = case.graded(outputs)
            torch.autograd.grad(graded, inputs, [torch.randn_like(o) for o in graded])
        runs.append(backward)
    for launches, count in zip(runs, case.launches, strict=False):
        kernels = [x for x in launches if x.kernel != "cudaMemsetAsync"]
        assert len(kernels) == count and len(launches) <= count + 1, launches


@host
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_tensor_is_read_or_written_once(case, dtype, backend):
    """No element of a large tensor moves twice; the sum is the least traffic, where the case tells it
    and elements are not read again, as a blur does."""
    if dtype not in case.dtypes:
        pytest.skip(f"{case.op} does not take {dtype}")
    shape = (16, 150)
    inputs = [t.requires_grad_(case.differentiable) for t in case.inputs(shape, dtype, "cpu")]
    with emu.operators().launches() as launches:
        outputs = case.call(*inputs)
        if case.differentiable:
            graded = case.graded(outputs)
            torch.autograd.grad(graded, inputs, [torch.randn_like(o) for o in graded])
    large = [t for x in launches for t in x.traffic if t.bytes >= 1024]  # not seeds, sums, tickets
    for t in large:
        assert t.read <= case.passes * t.bytes and t.written <= t.bytes and not (t.read and t.written), t
    if case.bytes and case.passes == 1:
        assert sum(t.read + t.written for t in large) == case.bytes(shape, inputs[0].itemsize)


def _ptx_runs():
    """Every case and type on sm_90; the other architectures where nvcc's PTX differs most, in bfloat16."""
    for case in CASES:
        for dtype in case.dtypes:
            for arch in emu_ptx.ARCHITECTURES if dtype == torch.bfloat16 else [90]:
                yield pytest.param(case, dtype, arch, id=f"{case}-{dtype}-sm_{arch}")


@nvcc
@pytest.mark.parametrize("case,dtype,arch", _ptx_runs())
def test_ptx_matches_reference(case, dtype, arch, backend):
    """The second executor: what nvcc made of the same sources."""
    with emu.operators().executor(emu_ptx.operators(arch)):
        test_matches_reference(case, (3, 37), dtype, contiguous, backend)


@nvcc
@pytest.mark.parametrize("case", CASES, ids=str)
def test_ptx_is_the_same_launch_and_traffic(case, backend):
    found = []
    for executor in (None, emu_ptx.operators(90)):
        torch.manual_seed(0)
        with emu.operators().launches() as launches, emu.operators().executor(executor):
            evaluate(case, case.inputs((5, 24), torch.float32, "cpu"))
        found.append(launches)
    assert found[0] == found[1]


@host
def test_reparam_kl_offsets_beyond_32_bits():
    """2^32 elements: the address space is reserved, not used, and only the last blocks run."""
    batch, dim = 2**21 + 1, 2048
    rng, machine = torch.tensor([5, 1]), emu.operators()
    with emu.guarded(), ops.use_backend("emulated"), machine.last_blocks(2):
        mu, logvar = (torch.empty(batch, dim, dtype=torch.bfloat16) for _ in range(2))
        row_mu, row_logvar = (torch.randn(1, dim).bfloat16() for _ in range(2))
        mu[-1:], logvar[-1:] = row_mu, row_logvar
        z, kl = ops.reparam_kl(mu, logvar, rng=rng)
    with ops.use_backend("reference"):
        want_z, want_kl = ops.reparam_kl(row_mu, row_logvar, rng=rng, sample_id=torch.tensor([batch - 1]))
    relative_check(z[-1:], want_z, 1.6e-2)
    relative_check(kl[-1:], want_kl, 2e-5)


@host
def test_feature_l2_of_more_pairs_than_a_launch_takes():
    """feature_l2: a second launch adds to the first one's total."""
    machine = emu.operators()
    with emu.guarded(), ops.use_backend("emulated"), machine.launches() as launches:
        a, b = ([torch.randn(2, k + 1, requires_grad=True) for k in range(40)] for _ in range(2))
        total, values = ops.feature_l2(a, b, 0.5, reduction="sum")
        grads = torch.autograd.grad(total, a)
    want = torch.stack([(x - y).square().sum() for x, y in zip(a, b, strict=True)])
    relative_check(values, want, 2e-6)
    relative_check(total, want.sum() / 2, 2e-6)
    for grad, x, y in zip(grads, a, b, strict=True):
        relative_check(grad, x - y, 2e-6)
    assert len(launches) == 6, launches  # two forward, each with its memset, and two backward


@host
@pytest.mark.parametrize("schedule", ["reverse", "random 1"])
def test_spectral_sigma_in_many_blocks(schedule):
    """More rows than a block has threads, more columns than a tile, several chunks; channels_last."""
    weights = [torch.randn(300, 5), torch.randn(3, 700), torch.randn(6, 9, 3, 3), torch.randn(9, 310, 4)]
    weights[2] = weights[2].to(memory_format=torch.channels_last)
    dims = [0, 0, 0, 1]
    u, v = torch.randn(300 + 3 + 6 + 310), torch.randn(5 + 700 + 81 + 36)
    up = [torch.randn_like(w) for w in weights]
    found = []
    for backend in ("emulated", "reference"):
        with emu.guarded(), emu.operators().schedule(schedule), ops.use_backend(backend):
            leaves = [w.detach().requires_grad_() for w in weights]
            sigma, new_u, new_v, normalized = ops.spectral_sigma(leaves, u, v, dims=dims)
            grads = torch.autograd.grad([sigma, *normalized], leaves, [torch.ones(4), *up])
        found.append((sigma, new_u, new_v, *normalized, *grads))
    for got, want in zip(*found, strict=True):
        relative_check(got, want, 1e-5)
        assert got.stride() == want.stride()


@host
def test_images_out_of_range_are_clamped():
    """Looking at them first would wait for the GPU."""
    how = (*[None] * 3, 0, 1 << 5, 3, 1, 0, 0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0)  # from mirror on
    emu.operators()
    with emu.guarded(), ops.use_backend("emulated"):
        data, far = torch.randint(0, 256, (3, 1, 4, 4), dtype=torch.uint8), torch.tensor([-(10**12), 10**12])
        offset = torch.stack([far, far])
        got, _ = torch.ops.bigan.gather_images(data, far, None, None, offset, None, *how)
    draw = ops.Draw(torch.tensor([[0, 6], [0, 6]]))
    want = ops.gather_images(data, torch.tensor([0, 2]), pad=3, layout="augmented", draw=draw)
    assert torch.equal(got, want)
