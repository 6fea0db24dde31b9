"""Triton kernels of `reparam_kl`: a program a row forward and backward, one more for the sum over rows."""

import torch
import triton
import triton.language as tl

from bigan.kernels import _philox
from bigan.kernels._rows import block, plain, wide
from bigan.ops.reparam_kl import unpacked

# the numbers of bigan/ops/reparam_kl.py
_MEAN = tl.constexpr(1)
_BATCH = tl.constexpr(1)
_SAMPLE = tl.constexpr(2)


@triton.jit
def _noise(
    eps_ptr, eps_stride, rng_ptr, sample_id_ptr, stream, row, j0, Z, ACC: tl.constexpr, BLOCK: tl.constexpr
):
    if eps_ptr is not None:
        j = j0 + tl.arange(0, BLOCK)
        return tl.load(eps_ptr + row * eps_stride + j, mask=j < Z, other=0.0).to(ACC)
    else:
        return _philox.normal(rng_ptr, sample_id_ptr, row, tl.cast(stream, tl.int64), j0, BLOCK).to(ACC)


@triton.jit
def _moments(mu_ptr, scale_ptr, j, Z, LOGSTD: tl.constexpr, ACC: tl.constexpr):
    """mu and log sigma of a row's elements j; 0 past its end."""
    mu = tl.load(mu_ptr + j, mask=j < Z, other=0.0).to(ACC)
    log_sigma = tl.load(scale_ptr + j, mask=j < Z, other=0.0).to(ACC)
    return mu, log_sigma if LOGSTD else 0.5 * log_sigma


@triton.jit
def _forward(
    mu_ptr, scale_ptr, eps_ptr, rng_ptr, sample_id_ptr, z_ptr, rows_ptr,
    mu_stride, scale_stride, eps_stride, stream, Z, margin,
    LOGSTD: tl.constexpr, MEAN_DIMS: tl.constexpr, HINGE: tl.constexpr,
    ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    acc = tl.zeros([BLOCK], ACC)
    for j0 in range(0, Z, BLOCK):
        j = j0 + tl.arange(0, BLOCK)
        mu, log_sigma = _moments(mu_ptr + row * mu_stride, scale_ptr + row * scale_stride, j, Z, LOGSTD, ACC)
        sigma = tl.exp(log_sigma)
        acc += mu * mu + (sigma * sigma - 1 - 2 * log_sigma)  # 0 at (0, 0): masked lanes add nothing
        if z_ptr is not None:
            eps = _noise(eps_ptr, eps_stride, rng_ptr, sample_id_ptr, stream, row, j0, Z, ACC, BLOCK)
            tl.store(z_ptr + row * Z + j, mu + sigma * eps, mask=j < Z)
    kl = 0.5 * tl.sum(acc, axis=0)
    if MEAN_DIMS:
        kl /= Z
    if HINGE == _SAMPLE:
        kl = tl.where(margin - kl < 0, 0.0, margin - kl)  # not maximum: NaN stays
    tl.store(rows_ptr + row, kl)


@triton.jit
def _reduce(
    rows_ptr,
    loss_ptr,
    B,
    margin,
    MEAN: tl.constexpr,
    HINGE: tl.constexpr,
    ACC: tl.constexpr,
    BLOCK: tl.constexpr,
):
    acc = tl.zeros([BLOCK], ACC)
    for b0 in range(0, B, BLOCK):  # one program: a fixed order
        b = b0 + tl.arange(0, BLOCK)
        acc += tl.load(rows_ptr + b, mask=b < B, other=0.0)
    loss = tl.sum(acc, axis=0)
    if MEAN:
        loss /= B
    if HINGE == _BATCH:
        loss = tl.where(margin - loss < 0, 0.0, margin - loss)
    tl.store(loss_ptr, loss)


@triton.jit
def _gradient(
    grad_z_ptr, grad_rows_ptr, grad_loss_ptr, rows_ptr, loss_ptr,
    mu_ptr, scale_ptr, eps_ptr, rng_ptr, sample_id_ptr, grad_mu_ptr, grad_scale_ptr,
    grad_z_stride, mu_stride, scale_stride, eps_stride, stream, B, Z,
    LOGSTD: tl.constexpr, MEAN_DIMS: tl.constexpr, REDUCTION: tl.constexpr, HINGE: tl.constexpr,
    ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    c = tl.zeros([1], ACC)  # derivative by the KL of the row; the hinge passes where it is above 0, and NaN
    if grad_loss_ptr is not None and REDUCTION != 0:
        g = tl.load(grad_loss_ptr)
        if REDUCTION == _MEAN:
            g /= B
        if HINGE == _BATCH:
            g = tl.where(tl.load(loss_ptr) <= 0, 0.0, -g)
        c += g
    if grad_rows_ptr is not None:
        c += tl.load(grad_rows_ptr + row)
    if HINGE == _SAMPLE:
        c = tl.where(tl.load(rows_ptr + row) <= 0, 0.0, -c)
    if MEAN_DIMS:
        c /= Z
    for j0 in range(0, Z, BLOCK):
        j = j0 + tl.arange(0, BLOCK)
        mu, log_sigma = _moments(mu_ptr + row * mu_stride, scale_ptr + row * scale_stride, j, Z, LOGSTD, ACC)
        sigma = tl.exp(log_sigma)
        d_mu = c * mu
        d_scale = c * (sigma * sigma - 1)
        if grad_z_ptr is not None:
            grad_z = tl.load(grad_z_ptr + row * grad_z_stride + j, mask=j < Z, other=0.0).to(ACC)
            d_mu += grad_z
            d_scale += (
                grad_z
                * sigma
                * _noise(eps_ptr, eps_stride, rng_ptr, sample_id_ptr, stream, row, j0, Z, ACC, BLOCK)
            )
        if not LOGSTD:
            d_scale *= 0.5
        tl.store(grad_mu_ptr + row * Z + j, d_mu, mask=j < Z)
        tl.store(grad_scale_ptr + row * Z + j, d_scale, mask=j < Z)


def _maybe(t):
    return None if t is None else plain(t)


def _stride(t):
    return 0 if t is None else t.stride(0)


def reparam_kl(mu, scale, eps, rng, sample_id, stream, options, margin):
    logstd, mean_dims, reduction, hinge = unpacked(options)
    mu, scale, eps = plain(mu), plain(scale), _maybe(eps)
    rng, sample_id = _philox.plain_rng(rng, sample_id)
    B, Z = mu.shape
    dtype, ACC = wide(mu.dtype)
    sample = eps is not None or rng is not None
    z = torch.empty((B, Z) if sample else 0, dtype=mu.dtype, device=mu.device)
    rows = torch.empty(B, dtype=dtype, device=mu.device)
    if B:
        _forward[(B,)](
            mu, scale, eps, rng, sample_id, z if sample else None, rows,
            _stride(mu), _stride(scale), _stride(eps), stream, Z, margin,
            LOGSTD=logstd, MEAN_DIMS=mean_dims, HINGE=hinge, ACC=ACC, BLOCK=block(Z),
        )  # fmt: skip
    if reduction == 0:
        return z, rows, torch.zeros((), dtype=dtype, device=mu.device)
    loss = torch.empty((), dtype=dtype, device=mu.device)
    _reduce[(1,)](rows, loss, B, margin, MEAN=reduction == 1, HINGE=hinge, ACC=ACC, BLOCK=1024)
    return z, rows, loss


def reparam_kl_backward(
    grad_z, grad_rows, grad_loss, mu, scale, rows, loss, eps, rng, sample_id, stream, options, margin
):
    logstd, mean_dims, reduction, hinge = unpacked(options)
    mu, scale, eps, grad_z = plain(mu), plain(scale), _maybe(eps), _maybe(grad_z)
    rng, sample_id = _philox.plain_rng(rng, sample_id)
    B, Z = mu.shape
    grad_mu = torch.empty((B, Z), dtype=mu.dtype, device=mu.device)
    grad_scale = torch.empty_like(grad_mu)
    if grad_mu.numel():
        _gradient[(B,)](
            grad_z, None if grad_rows is None else grad_rows.contiguous(), grad_loss, rows, loss,
            mu, scale, eps, rng, sample_id, grad_mu, grad_scale,
            _stride(grad_z), _stride(mu), _stride(scale), _stride(eps), stream, B, Z,
            LOGSTD=logstd, MEAN_DIMS=mean_dims, REDUCTION=reduction, HINGE=hinge,
            ACC=wide(mu.dtype)[1], BLOCK=block(Z),
        )  # fmt: skip
    return grad_mu, grad_scale
