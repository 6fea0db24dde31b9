"""csrc/emulation/half.h against torch's conversions."""

import ctypes as C

import emu
import numpy as np
import torch


def convert(bits: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """float32 bits [n] -> bfloat16, float16."""
    n = len(bits)
    bf16, half = np.empty(n, np.uint16), np.empty(n, np.uint16)
    pointers = [C.c_void_p(a.ctypes.data) for a in (bits, bf16, half)]
    emu.load("selfcheck").library.selfcheck_narrow(*pointers, C.c_int64(n))
    return torch.from_numpy(bf16.view(np.int16)).view(torch.bfloat16), torch.from_numpy(
        half.view(np.int16)
    ).view(torch.float16)


def check(bits: np.ndarray) -> None:
    x = torch.from_numpy(bits.view(np.float32))
    for got, want in zip(convert(bits), (x.bfloat16(), x.half()), strict=True):
        same = (got.view(torch.int16) == want.view(torch.int16)) | (got.isnan() & want.isnan())
        assert same.all(), (x[~same][:5], got[~same][:5], want[~same][:5])


def test_floats_sampled():
    """Every sign and exponent with the mantissas at which rounding turns, and a million at random."""
    upper = np.arange(512, dtype=np.uint32)[:, None] << 23
    turning = [
        0,
        1,
        0x7FFFFF,
        *(base + d for shift in range(23) for base in [1 << shift] for d in (-1, 0, 1)),
    ]
    both = [
        m | 1 << bit for m in turning for bit in (13, 16)
    ] + turning  # an odd last place rounds the other way
    mantissas = np.unique(np.array(both, np.uint32) & np.uint32(0x7FFFFF))
    check((upper | mantissas[None]).ravel())
    check(np.random.default_rng(0).integers(0, 2**32, 1 << 20, dtype=np.uint64).astype(np.uint32))


def test_halves_all():
    bits = np.arange(65536, dtype=np.uint16)
    out = [np.empty(65536, np.float32) for _ in range(2)]
    emu.load("selfcheck").library.selfcheck_widen(
        *(C.c_void_p(a.ctypes.data) for a in (bits, *out)), C.c_int64(65536)
    )
    signed = torch.from_numpy(bits.view(np.int16))
    for got, kind in zip(out, (torch.bfloat16, torch.float16), strict=True):
        want = signed.view(kind).float().numpy()
        assert np.array_equal(got, want, equal_nan=True)
