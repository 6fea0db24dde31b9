"""Triton kernels of `ternary_adversarial`: a program 512 rows of each group; one more adds up."""

import torch
import triton
import triton.language as tl

from bigan.kernels import _groups
from bigan.kernels._rows import plain, wide

_BLOCK = 512


@triton.jit
def _load(ptr, stride, N, ACC: tl.constexpr, BLOCK: tl.constexpr):
    """The row numbers of this program, and the three logits of each."""
    b = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row = ptr + b * stride
    l0 = tl.load(row, mask=b < N, other=0.0).to(ACC)
    l1 = tl.load(row + 1, mask=b < N, other=0.0).to(ACC)
    l2 = tl.load(row + 2, mask=b < N, other=0.0).to(ACC)
    return b, l0, l1, l2


@triton.jit
def _larger(x, y):  # together with _smaller keeps NaN: one of the two is it
    return tl.where(x > y, x, y)


@triton.jit
def _smaller(x, y):
    return tl.where(x > y, y, x)


@triton.jit
def _sums(ptr, stride, N, partial_ptr, programs, OWN: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr):
    """Own, to class 0, uniform, right of one block of group OWN into partial sums 4 * OWN and on."""
    b, l0, l1, l2 = _load(ptr, stride, N, ACC, BLOCK)
    high = _larger(l0, l1)
    top = _larger(high, l2)
    above = _groups.log1p(tl.exp(_smaller(l0, l1) - top) + tl.exp(_smaller(high, l2) - top))
    c0 = above + (top - l0)
    c1 = above + (top - l1)
    c2 = above + (top - l2)
    if OWN == 0:
        own = c0
        right = (l0 > l1) & (l0 > l2)
    elif OWN == 1:
        own = c1
        right = (l1 > l0) & (l1 > l2)
    else:
        own = c2
        right = (l2 > l0) & (l2 > l1)
    out = partial_ptr + 4 * OWN * programs + tl.program_id(0)
    tl.store(out, tl.sum(tl.where(b < N, own, 0.0), axis=0))
    tl.store(out + programs, tl.sum(tl.where(b < N, c0, 0.0), axis=0))
    tl.store(out + 2 * programs, tl.sum(tl.where(b < N, (c0 + c1 + c2) / 3, 0.0), axis=0))
    tl.store(out + 3 * programs, tl.sum(tl.where((b < N) & right, 1.0, 0.0), axis=0))


@triton.jit
def _forward(
    real_ptr, rec_ptr, gen_ptr, partial_ptr, real_stride, rec_stride, gen_stride, real_N, rec_N, gen_N,
    programs, ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    _sums(real_ptr, real_stride, real_N, partial_ptr, programs, 0, ACC, BLOCK)
    _sums(rec_ptr, rec_stride, rec_N, partial_ptr, programs, 1, ACC, BLOCK)
    _sums(gen_ptr, gen_stride, gen_N, partial_ptr, programs, 2, ACC, BLOCK)


@triton.jit
def _finish(
    partial_ptr, loss_d_ptr, loss_g_ptr, accuracy_ptr, real_N, rec_N, gen_N, programs,
    SMOOTHING: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    loss_d = tl.zeros([], ACC)
    loss_g = tl.zeros([], ACC)
    for k in tl.static_range(3):
        N = real_N if k == 0 else (rec_N if k == 1 else gen_N)
        own = _groups.mean(_groups.total(partial_ptr, 4 * k, programs, ACC, BLOCK), N)
        if SMOOTHING > 0:
            uniform = _groups.mean(_groups.total(partial_ptr, 4 * k + 2, programs, ACC, BLOCK), N)
            own = (1 - SMOOTHING) * own + SMOOTHING * uniform
        loss_d += own
        if k > 0:
            loss_g += _groups.mean(_groups.total(partial_ptr, 4 * k + 1, programs, ACC, BLOCK), N)
        right = _groups.total(partial_ptr, 4 * k + 3, programs, ACC, BLOCK)
        tl.store(accuracy_ptr + k, _groups.share(right, N))
    tl.store(loss_d_ptr, loss_d)
    tl.store(loss_g_ptr, loss_g)


@triton.jit
def _write(
    ptr, stride, N, grad_ptr, d, g, OWN: tl.constexpr, SMOOTHING: tl.constexpr,
    ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    b, l0, l1, l2 = _load(ptr, stride, N, ACC, BLOCK)
    top = _larger(_larger(l0, l1), l2)
    e0 = tl.exp(l0 - top)
    e1 = tl.exp(l1 - top)
    e2 = tl.exp(l2 - top)
    inv = 1 / (e0 + e1 + e2)
    p0 = e0 * inv
    p1 = e1 * inv
    p2 = e2 * inv
    share = 1 / tl.maximum(N, 1).to(ACC)
    by_own = (1 - SMOOTHING) * (share * d)
    by_uniform = SMOOTHING * (share * d)
    # p - 1 as minus the sum of the others: exact where p is near 1
    d0 = by_own * (-(p1 + p2) if OWN == 0 else p0) + by_uniform * (p0 - 1 / 3)
    d1 = by_own * (-(p0 + p2) if OWN == 1 else p1) + by_uniform * (p1 - 1 / 3)
    d2 = by_own * (-(p0 + p1) if OWN == 2 else p2) + by_uniform * (p2 - 1 / 3)
    if OWN > 0:
        by_real = share * g
        d0 += by_real * -(p1 + p2)
        d1 += by_real * p1
        d2 += by_real * p2
    out = grad_ptr + 3 * b
    tl.store(out, d0, mask=b < N)
    tl.store(out + 1, d1, mask=b < N)
    tl.store(out + 2, d2, mask=b < N)


@triton.jit
def _gradient(
    grad_d_ptr, grad_g_ptr, real_ptr, rec_ptr, gen_ptr, grad_real_ptr, grad_rec_ptr, grad_gen_ptr,
    real_stride, rec_stride, gen_stride, real_N, rec_N, gen_N,
    SMOOTHING: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    d = tl.zeros([1], ACC)
    g = tl.zeros([1], ACC)
    if grad_d_ptr is not None:
        d += tl.load(grad_d_ptr)
    if grad_g_ptr is not None:
        g += tl.load(grad_g_ptr)
    _write(real_ptr, real_stride, real_N, grad_real_ptr, d, g, 0, SMOOTHING, ACC, BLOCK)
    _write(rec_ptr, rec_stride, rec_N, grad_rec_ptr, d, g, 1, SMOOTHING, ACC, BLOCK)
    _write(gen_ptr, gen_stride, gen_N, grad_gen_ptr, d, g, 2, SMOOTHING, ACC, BLOCK)


def ternary_adversarial(real, reconstruction, generated, smoothing):
    groups = [plain(t) for t in (real, reconstruction, generated)]
    loss_d, loss_g, accuracy, ACC = _groups.outputs(real, 3)
    sizes = [len(t) for t in groups]
    programs = triton.cdiv(max(sizes), _BLOCK)
    partial = loss_d.new_empty(12 * programs)
    if programs:
        _forward[(programs,)](
            *groups, partial, *(t.stride(0) for t in groups), *sizes, programs, ACC=ACC, BLOCK=_BLOCK
        )
    _finish[(1,)](
        partial, loss_d, loss_g, accuracy, *sizes, programs, SMOOTHING=smoothing, ACC=ACC, BLOCK=_BLOCK
    )
    return loss_d, loss_g, accuracy


def ternary_adversarial_backward(grad_d, grad_g, real, reconstruction, generated, smoothing):
    groups = [plain(t) for t in (real, reconstruction, generated)]
    grads = [torch.empty(t.shape, dtype=t.dtype, device=t.device) for t in groups]
    sizes = [len(t) for t in groups]
    if programs := triton.cdiv(max(sizes), _BLOCK):
        _gradient[(programs,)](
            grad_d, grad_g, *groups, *grads, *(t.stride(0) for t in groups), *sizes,
            SMOOTHING=smoothing, ACC=wide(real.dtype)[1], BLOCK=_BLOCK,
        )  # fmt: skip
    return tuple(grads)
