"""Kernels over images, for `augment_pair` and `gather_images`.

A program takes one block of the elements of one sample, in the order of memory.  Elements that it writes say
where they come from; the backward asks for the one or two places a dimension that a pixel went to.
"""

import torch
import triton
import triton.language as tl

from bigan.kernels._rows import wide
from bigan.ops._augment import How, empty, empty_gradient, is_channels_last

_BLOCK = 1024  # elements of a program
_TILE = 4096  # of their windows, where they are blurred


@triton.jit
def _inside(i, n):
    return (i >= 0) & (i < n)


@triton.jit
def _reflected(i, n):
    return n - 1 - tl.abs(n - 1 - tl.abs(i))


@triton.jit
def _element(e, C, H, W, LAST: tl.constexpr):
    """Channel, row and column of elements by their number."""
    if LAST:
        return e % C, e // (C * W), e // C % W
    else:
        return e // (H * W), e // W % H, e % W


@triton.jit
def _place(b, channel, row, column, s0, s1, s2, s3):
    return b * s0 + channel.to(tl.int64) * s1 + row.to(tl.int64) * s2 + column.to(tl.int64) * s3


@triton.jit
def _words(rng_ptr, sample_id_ptr, b, stream, group: tl.constexpr):
    sample = b
    if sample_id_ptr is not None:
        sample = tl.load(sample_id_ptr + b)
    zero = tl.zeros([1], tl.uint32)
    step = tl.load(rng_ptr + 1)
    return tl.philox(
        tl.load(rng_ptr), zero + group, sample.to(tl.uint32) + zero, step.to(tl.uint32) + zero,
        tl.cast(stream, tl.int64).to(tl.uint32) + zero,
    )  # fmt: skip


@triton.jit
def _geometry(
    rng_ptr, sample_id_ptr, offset_ptr, flip_ptr, mirror_ptr, b, stream, pad, flip_below, mirror_below
):
    """The crop's corner, from the image's own: down, right; flip, mirror; [1] each."""
    down = tl.zeros([1], tl.int32)
    right = tl.zeros([1], tl.int32)
    flip = tl.zeros([1], tl.int32) > 0
    mirror = tl.zeros([1], tl.int32) > 0
    if rng_ptr is not None:
        w0, w1, w2, w3 = _words(rng_ptr, sample_id_ptr, b, stream, 0)
        choices = tl.cast(2 * pad + 1, tl.uint64)
        down = ((w0.to(tl.uint64) * choices) >> 32).to(tl.int32) - pad
        right = ((w1.to(tl.uint64) * choices) >> 32).to(tl.int32) - pad
        flip = w2.to(tl.int64) < flip_below
        mirror = w3.to(tl.int64) < mirror_below
    else:
        if offset_ptr is not None:
            zero = tl.zeros([1], tl.int64)
            top = tl.cast(2 * pad, tl.int64)
            down = tl.minimum(tl.maximum(tl.load(offset_ptr + 2 * b) + zero, 0), top).to(tl.int32) - pad
            right = tl.minimum(tl.maximum(tl.load(offset_ptr + 2 * b + 1) + zero, 0), top).to(tl.int32) - pad
        if flip_ptr is not None:
            flip = (tl.load(flip_ptr + b).to(tl.int32) + tl.zeros([1], tl.int32)) > 0
        if mirror_ptr is not None:
            mirror = (tl.load(mirror_ptr + b).to(tl.int32) + tl.zeros([1], tl.int32)) > 0
    return down, right, flip, mirror


@triton.jit
def _filters(
    rng_ptr, sample_id_ptr, sigma_ptr, contrast_ptr, b, stream, sigma_low, sigma_span, contrast_low,
    contrast_span, ACC: tl.constexpr,
):  # fmt: skip
    """sigma and the contrast's factor, [1] each."""
    sigma = tl.zeros([1], tl.float32)
    contrast = tl.zeros([1], tl.float32) + 1
    if rng_ptr is not None:
        w0, w1, _, _ = _words(rng_ptr, sample_id_ptr, b, stream, 1)
        u = (w0 >> 8).to(tl.float32) * 5.9604644775390625e-08  # 2**-24
        v = (w1 >> 8).to(tl.float32) * 5.9604644775390625e-08
        sigma = (sigma_low + sigma_span * u.to(tl.float64)).to(tl.float32)
        contrast = (contrast_low + contrast_span * v.to(tl.float64)).to(tl.float32)
    else:
        if sigma_ptr is not None:
            sigma = tl.load(sigma_ptr + b) + tl.zeros([1], tl.float32)
        if contrast_ptr is not None:
            contrast = tl.load(contrast_ptr + b) + tl.zeros([1], tl.float32)
    return sigma.to(ACC), contrast.to(ACC)


@triton.jit
def _tap(sigma, t):
    """Not yet normalised; sigma 0 leaves the image as it is."""
    ratio = t.to(sigma.dtype) / tl.where(sigma < 1e-18, 1e-18, sigma)
    return tl.exp(-0.5 * ratio * ratio)


@triton.jit
def _taps(sigma, TAPS: tl.constexpr, K: tl.constexpr):
    """The taps, one after another, 0 after the last: [K], a power of 2."""
    t = tl.arange(0, K)
    taps = tl.where(t < TAPS, _tap(sigma, t - TAPS // 2), 0.0)
    return taps / tl.sum(taps, axis=0)


@triton.jit
def _blurred_into(sigma, taps, u, n, TAPS: tl.constexpr, K: tl.constexpr):
    """The blurred pixels i of n that pixels u [BLOCK] enter, and with which weight: [BLOCK, K]."""
    t = tl.arange(0, K)[None, :]
    radius = TAPS // 2
    u = u[:, None]
    i = u + t - radius
    near, mirrored, over = tl.abs(t - radius), u + i, 2 * (n - 1) - u - i
    weight = tl.where(near <= radius, _tap(sigma, near), 0.0)
    weight += tl.where((u > 0) & (mirrored <= radius), _tap(sigma, mirrored), 0.0)
    weight += tl.where((u < n - 1) & (over <= radius), _tap(sigma, over), 0.0)
    there = _inside(i, n) & (t < TAPS)
    middle = tl.sum(tl.where(tl.arange(0, K) == radius, taps, 0.0), axis=0)  # 1 before it was normalised
    return i, there, tl.where(there, weight * middle, 0.0)


@triton.jit
def _grey(channel, C, ACC: tl.constexpr):
    one = tl.zeros(channel.shape, ACC) + 1
    rgb = tl.where(channel == 0, 0.2989 * one, tl.where(channel == 1, 0.587 * one, 0.114 * one))
    return tl.where(C == 3, rgb, one / C)


@triton.jit
def _source(
    x_ptr, image, channel, row, column, down, right, flip, mirror, H, W, x0, x1, x2, x3, mask,
    ZERO: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Pixels of the crop, after the flip."""
    row = row + down
    column = tl.where(flip, W - 1 - column, column) + right
    if ZERO:
        mask = mask & _inside(row, H) & _inside(column, W)
    row, column = _reflected(row, H), _reflected(column, W)
    column = tl.where(mirror, W - 1 - column, column)
    return tl.load(x_ptr + _place(image, channel, row, column, x0, x1, x2, x3), mask=mask, other=0.0).to(ACC)


@triton.jit
def _forward(
    x_ptr, index_ptr, out_ptr, original_ptr, rng_ptr, sample_id_ptr, offset_ptr, flip_ptr, mirror_ptr,
    sigma_ptr, contrast_ptr, images, C, H, W, x0, x1, x2, x3, o0, o1, o2, o3, r0, r1, r2, r3,
    stream, pad, flip_below, mirror_below, sigma_low, sigma_span, contrast_low, contrast_span,
    SCALE: tl.constexpr, SHIFT: tl.constexpr, ZERO: tl.constexpr, LAST: tl.constexpr,
    FILTERED: tl.constexpr, TAPS: tl.constexpr, CONTRAST: tl.constexpr,
    ACC: tl.constexpr, BLOCK: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(0).to(tl.int64)
    image = b
    if index_ptr is not None:  # out of range: the first or the last
        image = tl.minimum(tl.maximum(tl.load(index_ptr + b), 0), images - 1)
    down, right, flip, mirror = _geometry(
        rng_ptr, sample_id_ptr, offset_ptr, flip_ptr, mirror_ptr, b, stream, pad, flip_below, mirror_below
    )
    size = C * H * W
    factor = tl.zeros([1], ACC) + SCALE
    bias = tl.zeros([1], ACC) + SHIFT
    if FILTERED:
        sigma, contrast = _filters(
            rng_ptr, sample_id_ptr, sigma_ptr, contrast_ptr, b, stream, sigma_low, sigma_span, contrast_low,
            contrast_span, ACC,
        )  # fmt: skip
        taps = _taps(sigma, TAPS, K)
        around = tl.arange(0, K) - TAPS // 2
        if CONTRAST:  # one program a sample
            acc = tl.zeros([BLOCK], ACC)
            for start in range(0, size, BLOCK):
                e = start + tl.arange(0, BLOCK)
                channel, row, column = _element(e, C, H, W, LAST)
                _, _, down_weight = _blurred_into(sigma, taps, row, H, TAPS, K)
                _, _, right_weight = _blurred_into(sigma, taps, column, W, TAPS, K)
                weight = tl.sum(down_weight, axis=1) * tl.sum(right_weight, axis=1) * _grey(channel, C, ACC)
                acc += weight * _source(
                    x_ptr, image, channel, row, column, down, right, flip, mirror, H, W, x0, x1, x2, x3,
                    e < size, ZERO, ACC,
                )  # fmt: skip
            bias += (1 - contrast) * (tl.sum(acc, axis=0) / (H * W)) * SCALE
            factor = contrast * SCALE
    first = tl.program_id(1) * BLOCK
    for start in range(first, size, tl.num_programs(1) * BLOCK):
        e = start + tl.arange(0, BLOCK)
        mask = e < size
        channel, row, column = _element(e, C, H, W, LAST)
        if out_ptr is not None:
            if FILTERED:
                rows = _reflected(row[:, None] + around[None, :], H)
                columns = _reflected(column[:, None] + around[None, :], W)
                window_mask = mask[:, None, None] & (around <= TAPS // 2)[:, None] & (around <= TAPS // 2)
                window = _source(
                    x_ptr, image, channel[:, None, None], rows[:, :, None], columns[:, None, :], down, right,
                    flip, mirror, H, W, x0, x1, x2, x3, window_mask, ZERO, ACC,
                )  # fmt: skip
                value = tl.sum(taps[None, :] * tl.sum(taps[None, None, :] * window, axis=2), axis=1)
            else:
                value = _source(
                    x_ptr, image, channel, row, column, down, right, flip, mirror, H, W, x0, x1, x2, x3,
                    mask, ZERO, ACC,
                )  # fmt: skip
            value = value * factor + bias
            tl.store(out_ptr + _place(b, channel, row, column, o0, o1, o2, o3), value, mask=mask)
        if original_ptr is not None:
            at = _place(image, channel, row, tl.where(mirror, W - 1 - column, column), x0, x1, x2, x3)
            value = tl.load(x_ptr + at, mask=mask, other=0.0).to(ACC) * SCALE + SHIFT
            tl.store(original_ptr + _place(b, channel, row, column, r0, r1, r2, r3), value, mask=mask)


@triton.jit
def _own_place(s, shift, n, flip):
    """Where in the crop source s is, and whether it is."""
    i = s - shift
    return tl.where(flip, n - 1 - i, i), _inside(i, n)


@triton.jit
def _padding_place(s, shift, n, flip):
    """Where in the crop the reflection of source s is, and whether it is."""
    i = tl.where(shift < 0, -s, 2 * (n - 1) - s) - shift
    there = ((shift < 0) & (s > 0)) | ((shift > 0) & (s < n - 1))
    return tl.where(flip, n - 1 - i, i), there & _inside(i, n)


@triton.jit
def _from_window(
    out_ptr, b, channel, i, i_there, i_weight, j, j_there, j_weight, o0, o1, o2, o3, ACC: tl.constexpr
):
    """Weights [BLOCK, K] down and right, times the gradient there."""
    at = _place(b, channel[:, None, None], i[:, :, None], j[:, None, :], o0, o1, o2, o3)
    g = tl.load(out_ptr + at, mask=i_there[:, :, None] & j_there[:, None, :], other=0.0).to(ACC)
    return tl.sum(i_weight * tl.sum(j_weight[:, None, :] * g, axis=2), axis=1)


@triton.jit
def _from_place(out_ptr, b, channel, row, column, there, o0, o1, o2, o3, ACC: tl.constexpr):
    at = _place(b, channel, row, column, o0, o1, o2, o3)
    return tl.load(out_ptr + at, mask=there, other=0.0).to(ACC)


@triton.jit
def _window(sigma, taps, u, there, n, TAPS: tl.constexpr, K: tl.constexpr):
    """As _blurred_into, with no weight where `there` is not."""
    i, inside, weight = _blurred_into(sigma, taps, u, n, TAPS, K)
    return i, inside & there[:, None], tl.where(there[:, None], weight, 0.0)


@triton.jit
def _gradient(
    out_ptr, original_ptr, grad_x_ptr, rng_ptr, sample_id_ptr, offset_ptr, flip_ptr, sigma_ptr, contrast_ptr,
    C, H, W, o0, o1, o2, o3, r0, r1, r2, r3, x0, x1, x2, x3,
    stream, pad, flip_below, sigma_low, sigma_span, contrast_low, contrast_span,
    SCALE: tl.constexpr, ZERO: tl.constexpr, LAST: tl.constexpr,
    FILTERED: tl.constexpr, TAPS: tl.constexpr, CONTRAST: tl.constexpr,
    ACC: tl.constexpr, BLOCK: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    b = tl.program_id(0).to(tl.int64)
    down, right, flip, _ = _geometry(
        rng_ptr, sample_id_ptr, offset_ptr, flip_ptr, None, b, stream, pad, flip_below, 0
    )
    size = C * H * W
    if FILTERED:
        sigma, contrast = _filters(
            rng_ptr, sample_id_ptr, sigma_ptr, contrast_ptr, b, stream, sigma_low, sigma_span, contrast_low,
            contrast_span, ACC,
        )  # fmt: skip
        taps = _taps(sigma, TAPS, K)
        factor = tl.zeros([1], ACC) + 1
        if CONTRAST:
            acc = tl.zeros([BLOCK], ACC)
            for start in range(0, size, BLOCK):
                e = start + tl.arange(0, BLOCK)
                channel, row, column = _element(e, C, H, W, LAST)
                acc += _from_place(out_ptr, b, channel, row, column, e < size, o0, o1, o2, o3, ACC)
            by_mean = (1 - contrast) * (tl.sum(acc, axis=0) / (H * W))
            factor = contrast
    first = tl.program_id(1) * BLOCK
    for start in range(first, size, tl.num_programs(1) * BLOCK):
        e = start + tl.arange(0, BLOCK)
        mask = e < size
        channel, row, column = _element(e, C, H, W, LAST)
        value = tl.zeros([BLOCK], ACC)
        if out_ptr is not None:
            i, i_there = _own_place(row, down, H, False)
            j, j_there = _own_place(column, right, W, flip)
            k, k_there = _padding_place(row, down, H, False)
            m, m_there = _padding_place(column, right, W, flip)
            if ZERO:
                k_there, m_there = k_there & (k < 0), m_there & (m < 0)  # nowhere
            i_there, k_there = i_there & mask, k_there & mask
            if FILTERED:
                i, i_in, i_weight = _window(sigma, taps, i, i_there, H, TAPS, K)
                j, j_in, j_weight = _window(sigma, taps, j, j_there, W, TAPS, K)
                k, k_in, k_weight = _window(sigma, taps, k, k_there, H, TAPS, K)
                m, m_in, m_weight = _window(sigma, taps, m, m_there, W, TAPS, K)
                value += _from_window(
                    out_ptr, b, channel, i, i_in, i_weight, j, j_in, j_weight, o0, o1, o2, o3, ACC
                )
                if not ZERO:
                    value += _from_window(
                        out_ptr, b, channel, i, i_in, i_weight, m, m_in, m_weight, o0, o1, o2, o3, ACC
                    )
                    value += _from_window(
                        out_ptr, b, channel, k, k_in, k_weight, j, j_in, j_weight, o0, o1, o2, o3, ACC
                    )
                    value += _from_window(
                        out_ptr, b, channel, k, k_in, k_weight, m, m_in, m_weight, o0, o1, o2, o3, ACC
                    )
                value *= factor
                if CONTRAST:
                    share = tl.sum(i_weight + k_weight, axis=1) * tl.sum(j_weight + m_weight, axis=1)
                    value += by_mean * share * _grey(channel, C, ACC)
            else:
                value += _from_place(out_ptr, b, channel, i, j, i_there & j_there, o0, o1, o2, o3, ACC)
                if not ZERO:
                    value += _from_place(out_ptr, b, channel, i, m, i_there & m_there, o0, o1, o2, o3, ACC)
                    value += _from_place(out_ptr, b, channel, k, j, k_there & j_there, o0, o1, o2, o3, ACC)
                    value += _from_place(out_ptr, b, channel, k, m, k_there & m_there, o0, o1, o2, o3, ACC)
        if original_ptr is not None:
            at = _place(b, channel, row, column, r0, r1, r2, r3)
            value += tl.load(original_ptr + at, mask=mask, other=0.0).to(ACC)
        tl.store(grad_x_ptr + _place(b, channel, row, column, x0, x1, x2, x3), value * SCALE, mask=mask)


def _halves(out, original, how):
    """Both images of a pair, from one tensor or two; None for one that is not there."""
    if out is not None and how.layout in (1, 2):
        original, out = out.chunk(2, 3 if how.layout == 1 else 1)
    return out, original


def _strides(t):
    return (0, 0, 0, 0) if t is None else t.stride()


def _ranges(how):
    return (
        how.sigma_low,
        how.sigma_high - how.sigma_low,
        how.contrast_low,
        how.contrast_high - how.contrast_low,
    )


def _plan(how, batch, size, filtered):
    """The grid and the constants; one program a sample where the mean of a whole image is needed."""
    taps = how.kernel_size if filtered and (how.rng is not None or how.sigma is not None) else 1
    K, contrast = triton.next_power_of_2(taps), how.contrasted and filtered
    block = min(max(1, (_TILE if K > 1 else _BLOCK) // K**2), triton.next_power_of_2(size))
    constants = {"FILTERED": taps > 1 or contrast, "TAPS": taps, "CONTRAST": contrast, "BLOCK": block, "K": K}
    return (batch, 1 if contrast else triton.cdiv(size, block)), constants | {"ZERO": how.zero}


def _accumulator(a, b):
    return wide(torch.float64 if torch.float64 in (a, b) else torch.float32)[1]


def forward(x, index, how: How):
    batch = len(x) if index is None else len(index)
    out, original = empty(x, how, batch)
    C, H, W = x.shape[1:]
    if not batch * C * H * W:
        return out, original
    to, first = _halves(out if out.numel() else None, original if original.numel() else None, how)
    grid, constants = _plan(how, batch, C * H * W, to is not None)
    _forward[grid](
        x, index, to, first, *how[:7], len(x), C, H, W, *x.stride(), *_strides(to), *_strides(first),
        how.stream, how.pad, how.flip_below, how.mirror_below, *_ranges(how), SCALE=how.scale,
        SHIFT=how.shift, LAST=is_channels_last(x), ACC=_accumulator(x.dtype, how.dtype), **constants,
    )  # fmt: skip
    return out, original


def backward(grad_out, grad_original, how: How):
    grad_x = empty_gradient(grad_out, grad_original, how)
    B, C, H, W = grad_x.shape
    if not grad_x.numel():
        return grad_x
    to, first = _halves(grad_out, grad_original, how)
    grid, constants = _plan(how, B, C * H * W, to is not None)
    given = (grad_original if grad_out is None else grad_out).dtype
    _gradient[grid](
        to, first, grad_x, how.rng, how.sample_id, how.offset, how.flip, how.sigma, how.contrast, C, H, W,
        *_strides(to), *_strides(first), *grad_x.stride(), how.stream, how.pad, how.flip_below, *_ranges(how),
        SCALE=how.scale, LAST=how.channels_last, ACC=_accumulator(given, how.dtype), **constants,
    )  # fmt: skip
    return grad_x
