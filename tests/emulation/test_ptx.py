"""The PTX executor itself: exact arithmetic, and the mistakes of broken.cu that it must report."""

import random
from fractions import Fraction

import emu
import emu_ptx
import numpy as np
import pytest
from ptx import numbers
from test_machine import machine, run
from test_selfcheck import nvcc


@pytest.fixture(autouse=True)
def clean():
    with emu.guarded():
        yield
    machine().clear()


def exact(a: float, b: float, c: float, mode: str, kind: type) -> float | None:
    """a * b + c rounded by way of rational numbers; None for 0, whose sign they do not have."""
    value = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    if value == 0:
        return None
    near = kind(float(value))
    around = [np.nextafter(near, kind(-np.inf)), near, np.nextafter(near, kind(np.inf))]
    if mode == "rm" or (mode == "rz" and value > 0):
        return max(x for x in around if Fraction(float(x)) <= value)
    if mode == "rp" or mode == "rz":
        return min(x for x in around if Fraction(float(x)) >= value)
    return min(around, key=lambda x: (abs(Fraction(float(x)) - value), int(x.view(f"u{x.itemsize}")) & 1))


@pytest.mark.parametrize("mode", ["rn", "rm", "rp", "rz"])
def test_fma32_is_correctly_rounded(mode):
    rnd = random.Random(mode)

    def number() -> np.float32:
        mantissa = (
            rnd.getrandbits(23) if rnd.random() < 0.5 else rnd.choice([0, 1, 0x7FFFFF, 0x400000, 0x3FFFFF])
        )
        bits = rnd.getrandbits(1) << 31 | rnd.randint(100, 150) << 23 | mantissa
        return np.array([bits], "u4").view("f4")[0]

    cases = []
    for _ in range(3000):
        a, b = number(), number()
        # Often a c that cancels the product, or stands at its last place.
        factor = rnd.choice([1, 2.0**-24, 2.0**-23, 2.0**24, 0.5])
        cases.append((a, b, number() if rnd.random() < 0.4 else np.float32(-float(a) * float(b) * factor)))
    got = numbers.fma32(*np.array(cases, "f4").T, mode)
    for case, value in zip(cases, got, strict=True):
        want = exact(*case, mode, np.float32)
        assert want is None or value == want, case


def test_fma64_is_rounded_once():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3000))
    c = np.where(rng.random(3000) < 0.5, -a * b, rng.normal(size=3000))
    for case in zip(a, b, c, numbers.fma64(a, b, c), strict=True):
        want = exact(*case[:3], "rn", np.float64)
        assert want is None or abs(case[3] - want) <= np.spacing(abs(want)), case


def test_integer_division_truncates():
    x = np.array([7, -7, 7, -7, -(2**31)], "i4")
    y = np.array([2, 2, -2, -2, 3], "i4")
    assert numbers.divide(x, y).tolist() == [3, -3, -3, 3, -715827882]
    assert numbers.divide(x, y, remainder=True).tolist() == [1, -1, 1, -1, -2]


ERRORS = {  # which of broken.cu: a piece of the message; its shared memory and fill
    0: ("threads meet at different barriers", 0, 0),
    1: ("barrier after 1 threads exited", 0, 0),
    3: ("the mask does not name the executing lane", 0, 0),
    4: ("deadlock", 0, 0),
    5: ("deadlock", 0, 0),
    8: ("read of 4 bytes of device memory in no tensor by block 0 thread 63", 0, 0),
    9: ("write of 4 bytes of device memory in no tensor by block 0 thread 0", 0, 0),
    10: ("read of 4 bytes of device memory in no tensor", 0, 0),
    11: ("write of 4 bytes of shared memory in no array by block 0 thread 31", 0, 1),
    12: ("write of 4 bytes of shared memory in no array by block 0 thread 63", 252, 0),
    15: ("misaligned 16-byte access", 0, 0),
    21: ("race in shared memory: read by", 0, 0),
}


@nvcc
@pytest.mark.parametrize("which", ERRORS)
def test_mistakes_are_reported(which):
    piece, shared, fill = ERRORS[which]
    with machine().executor(emu_ptx.load("broken", 90)):
        code, error, _ = run(which, fill=fill, shared=shared)
    assert code == 719 and piece in error


@nvcc
def test_block_size_is_held_against_launch_bounds():
    with machine().executor(emu_ptx.load("broken", 90)):
        code, error, _ = run(25)
    assert code == 719 and "128 threads, but __launch_bounds__ says at most 64" in error
