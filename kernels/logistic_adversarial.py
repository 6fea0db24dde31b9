"""Triton kernels of `logistic_adversarial`: a program 1024 logits of each group; one more adds up."""

import torch
import triton
import triton.language as tl

from bigan.kernels import _groups
from bigan.kernels._rows import plain, wide
from bigan.ops.logistic_adversarial import unpacked

# the numbers of bigan/ops/logistic_adversarial.py
_LOGISTIC = tl.constexpr(0)
_HINGE = tl.constexpr(1)
_LEAST_SQUARES = tl.constexpr(2)
_SATURATING = tl.constexpr(1)
_SWAPPED = tl.constexpr(2)
_BLOCK = 1024


@triton.jit
def _load(ptr, stride, C, e, N, ACC: tl.constexpr):
    return tl.load(ptr + e // C * stride + e % C, mask=e < N, other=0.0).to(ACC)


@triton.jit
def _sums(
    ptr, stride, C, N, partial_ptr, programs, FIRST: tl.constexpr,
    REAL: tl.constexpr, FORM: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Own, other, right of one block of one group into partial sums FIRST .. FIRST + 2."""
    e = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    a = _load(ptr, stride, C, e, N, ACC)
    y = a if REAL else -a
    middle: tl.constexpr = 0.5 if FORM == _LEAST_SQUARES else 0.0
    right = a > middle if REAL else a < middle
    if FORM == _LOGISTIC:
        rest = _groups.log1p(tl.exp(tl.where(y < 0, y, -y)))
        own = tl.where(y < 0, -y, 0.0) + rest
        other = tl.where(y > 0, y, 0.0) + rest
    elif FORM == _HINGE:
        own = tl.where(1 - y < 0, 0.0, 1 - y)  # not maximum: NaN stays
        other = y
    elif FORM == _LEAST_SQUARES:
        to_one = 0.5 * (a - 1) * (a - 1)
        to_zero = 0.5 * a * a
        own = to_one if REAL else to_zero
        other = to_zero if REAL else to_one
    else:
        own = -y
        other = y
    out = partial_ptr + FIRST * programs + tl.program_id(0)
    tl.store(out, tl.sum(tl.where(e < N, own, 0.0), axis=0))
    tl.store(out + programs, tl.sum(tl.where(e < N, other, 0.0), axis=0))
    tl.store(out + 2 * programs, tl.sum(tl.where((e < N) & right, 1.0, 0.0), axis=0))


@triton.jit
def _forward(
    real_ptr, fake_ptr, partial_ptr, real_stride, fake_stride, real_C, fake_C, real_N, fake_N, programs,
    FORM: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    _sums(real_ptr, real_stride, real_C, real_N, partial_ptr, programs, 0, True, FORM, ACC, BLOCK)
    _sums(fake_ptr, fake_stride, fake_C, fake_N, partial_ptr, programs, 3, False, FORM, ACC, BLOCK)


@triton.jit
def _finish(
    partial_ptr, loss_d_ptr, loss_g_ptr, accuracy_ptr, real_N, fake_N, programs,
    GENERATOR: tl.constexpr, SMOOTHING: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    own = _groups.mean(_groups.total(partial_ptr, 0, programs, ACC, BLOCK), real_N)
    swapped = _groups.mean(_groups.total(partial_ptr, 1, programs, ACC, BLOCK), real_N)
    fake_own = _groups.mean(_groups.total(partial_ptr, 3, programs, ACC, BLOCK), fake_N)
    fooled = _groups.mean(_groups.total(partial_ptr, 4, programs, ACC, BLOCK), fake_N)
    if SMOOTHING > 0:
        own = (1 - SMOOTHING) * own + SMOOTHING * swapped
    loss_g = -fake_own if GENERATOR == _SATURATING else fooled
    if GENERATOR == _SWAPPED:
        loss_g += swapped
    tl.store(loss_d_ptr, own + fake_own)
    tl.store(loss_g_ptr, loss_g)
    tl.store(accuracy_ptr, _groups.share(_groups.total(partial_ptr, 2, programs, ACC, BLOCK), real_N))
    tl.store(accuracy_ptr + 1, _groups.share(_groups.total(partial_ptr, 5, programs, ACC, BLOCK), fake_N))


@triton.jit
def _write(
    ptr, stride, C, N, grad_ptr, by_own, by_other,
    REAL: tl.constexpr, FORM: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    e = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    a = _load(ptr, stride, C, e, N, ACC)
    sign: tl.constexpr = 1.0 if REAL else -1.0
    y = sign * a
    if FORM == _LOGISTIC:
        small = tl.exp(tl.where(y < 0, y, -y))
        inv = 1 / (1 + small)
        own = -sign * tl.where(y < 0, inv, small * inv)
        other = sign * tl.where(y < 0, small * inv, inv)
    elif FORM == _HINGE:
        own = tl.where(y >= 1, 0.0, -sign)
        other = sign
    elif FORM == _LEAST_SQUARES:
        own = a - 1 if REAL else a
        other = a if REAL else a - 1
    else:
        own = -sign
        other = sign
    tl.store(grad_ptr + e, by_own * own + by_other * other, mask=e < N)


@triton.jit
def _gradient(
    grad_d_ptr, grad_g_ptr, real_ptr, fake_ptr, grad_real_ptr, grad_fake_ptr,
    real_stride, fake_stride, real_C, fake_C, real_N, fake_N,
    FORM: tl.constexpr, GENERATOR: tl.constexpr, SMOOTHING: tl.constexpr,
    ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    d = tl.zeros([1], ACC)
    g = tl.zeros([1], ACC)
    if grad_d_ptr is not None:
        d += tl.load(grad_d_ptr)
    if grad_g_ptr is not None:
        g += tl.load(grad_g_ptr)
    real_d = d / tl.maximum(real_N, 1)
    real_g = g / tl.maximum(real_N, 1)
    by_other = SMOOTHING * real_d
    if GENERATOR == _SWAPPED:
        by_other += real_g
    _write(
        real_ptr, real_stride, real_C, real_N, grad_real_ptr, (1 - SMOOTHING) * real_d, by_other,
        True, FORM, ACC, BLOCK,
    )  # fmt: skip
    fake_d = d / tl.maximum(fake_N, 1)
    fake_g = g / tl.maximum(fake_N, 1)
    if GENERATOR == _SATURATING:
        fake_d -= fake_g
        fake_g = tl.zeros([1], ACC)
    _write(fake_ptr, fake_stride, fake_C, fake_N, grad_fake_ptr, fake_d, fake_g, False, FORM, ACC, BLOCK)


def logistic_adversarial(real, fake, options, smoothing):
    form, generator = unpacked(options)
    real, fake = plain(real), plain(fake)
    loss_d, loss_g, accuracy, ACC = _groups.outputs(real, 2)
    programs = triton.cdiv(max(real.numel(), fake.numel()), _BLOCK)
    partial = loss_d.new_empty(6 * programs)
    if programs:
        _forward[(programs,)](
            real, fake, partial, real.stride(0), fake.stride(0), real.shape[1], fake.shape[1],
            real.numel(), fake.numel(), programs, FORM=form, ACC=ACC, BLOCK=_BLOCK,
        )  # fmt: skip
    _finish[(1,)](
        partial, loss_d, loss_g, accuracy, real.numel(), fake.numel(), programs,
        GENERATOR=generator, SMOOTHING=smoothing, ACC=ACC, BLOCK=_BLOCK,
    )  # fmt: skip
    return loss_d, loss_g, accuracy


def logistic_adversarial_backward(grad_d, grad_g, real, fake, options, smoothing):
    form, generator = unpacked(options)
    grads = [torch.empty(t.shape, dtype=t.dtype, device=t.device) for t in (real, fake)]
    real, fake = plain(real), plain(fake)
    if programs := triton.cdiv(max(real.numel(), fake.numel()), _BLOCK):
        _gradient[(programs,)](
            grad_d, grad_g, real, fake, *grads, real.stride(0), fake.stride(0), real.shape[1], fake.shape[1],
            real.numel(), fake.numel(), FORM=form, GENERATOR=generator, SMOOTHING=smoothing,
            ACC=wide(real.dtype)[1], BLOCK=_BLOCK,
        )  # fmt: skip
    return tuple(grads)
