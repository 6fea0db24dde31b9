"""Arithmetic as PTX defines it where numpy has another idea of it."""

import numpy as np


def two_sum(a, b):
    """a + b in float64 and its rounding error, exactly."""
    s = a + b
    bb = s - a
    return s, np.where(np.isfinite(s), (a - (s - bb)) + (b - bb), 0.0)


def two_product(a, b):
    """a * b in float64 and its rounding error, exactly where nothing over- or underflows (Dekker)."""
    p = a * b
    a_high = a * 134217729.0
    a_high = a_high - (a_high - a)
    b_high = b * 134217729.0
    b_high = b_high - (b_high - b)
    a_low, b_low = a - a_high, b - b_high
    error = ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low
    return p, np.where(np.isfinite(error), error, 0.0)


def fma64(a, b, c):
    """a * b + c, correct to well below an ulp (the last rounding is of a sum of two doubles)."""
    p, product_error = two_product(a, b)
    s, sum_error = two_sum(p, c)
    return s + (product_error + sum_error)


def fma32(a, b, c, mode="rn"):
    """a * b + c, correctly rounded: the product is exact in float64, the sum is rounded to odd first."""
    s, error = two_sum(a.astype("f8") * b.astype("f8"), c.astype("f8"))
    s, error = np.atleast_1d(s), np.atleast_1d(error)
    if mode == "rn":
        bits = s.view("i8").copy()
        inexact = error != 0
        bits -= inexact & ((error > 0) != (s > 0))  # truncate towards zero ...
        bits |= inexact  # ... and make the last bit sticky
        return bits.view("f8").astype("f4")
    nearest = s.astype("f4")
    wide = nearest.astype("f8")
    if mode == "rm":
        return np.where(
            (wide > s) | ((wide == s) & (error < 0)), np.nextafter(nearest, np.float32(-np.inf)), nearest
        )
    if mode == "rp":
        return np.where(
            (wide < s) | ((wide == s) & (error > 0)), np.nextafter(nearest, np.float32(np.inf)), nearest
        )
    outside = (np.abs(wide) > np.abs(s)) | ((wide == s) & (error * np.sign(s) < 0))  # rz
    return np.where(outside, np.nextafter(nearest, np.float32(0)), nearest)


def float_to_bf16(x):
    bits = x.astype("f4").view("u4")
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(x), np.uint16(0x7FFF), rounded.astype("u2"))


def bf16_to_float(bits):
    return (bits.astype("u4") << np.uint32(16)).view("f4")


def float_to_half(x):
    return np.where(np.isnan(x), np.uint16(0x7FFF), x.astype("f2").view("u2"))


def half_to_float(bits):
    return bits.view("f2").astype("f4")


def to_integer(x, kind):
    """Saturating; NaN gives 0."""
    info = np.iinfo(kind)
    x = np.nan_to_num(x.astype("f8"), nan=0.0)
    above = x >= float(info.max)
    # The largest double below 2^63 where the type's maximum is no double.
    largest = np.nextafter(float(info.max), 0) if info.bits == 64 else float(info.max)
    return np.where(above, info.max, np.clip(x, float(info.min), largest).astype(kind)).astype(kind)


def multiply_high(x, y, bits):
    """The upper half of the product of two integers of `bits` bits."""
    kind = x.dtype
    if bits < 64:
        wide = "i8" if kind.kind == "i" else "u8"
        return ((x.astype(wide) * y.astype(wide)) >> np.array(bits, wide)).astype(kind)
    return np.array([(int(a) * int(b)) >> 64 for a, b in np.broadcast(x, y)], kind)


def top_bit(x, bits):
    """Index of the highest set bit, -1 for 0."""
    unsigned = x.view(f"u{bits // 8}")
    result = np.full(unsigned.shape, -1, "i8")
    for i in range(bits):
        result = np.where(unsigned >> np.array(i, unsigned.dtype) & np.array(1, unsigned.dtype), i, result)
    return result


def divide(x, y, remainder=False):
    """Truncating, as C and PTX; numpy floors."""
    if x.dtype.kind == "u":
        return x % y if remainder else x // y
    with np.errstate(over="ignore"):
        quotient = np.abs(x).view(f"u{x.itemsize}") // np.abs(y).view(f"u{y.itemsize}")
        quotient = np.where((x < 0) != (y < 0), -quotient.view(x.dtype), quotient.view(x.dtype))
        return x - quotient * y if remainder else quotient
