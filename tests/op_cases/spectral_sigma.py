"""Spectral norms."""

import torch
import torch.nn.functional as F
from torch import Tensor

from bigan import ops
from op_cases.case import Case

# PAGAN's critic (spec 7.1); (512, 4608) stands for it among the benchmark's shapes
PAGAN = (64, 27), (128, 1024), (128, 1152), (256, 2048), (256, 2304), (512, 4096), (512, 4608), (1, 8192)


def _critic(shape, dtype, device):
    """A linear layer, a convolution and a transposed one, from a size."""
    o, n = (max(size, 1) for size in shape)
    sizes = PAGAN if shape == (512, 4608) else ((o, n), (3, o, 2, 2), (2, o, 3))
    return [torch.randn(s, dtype=torch.float64).to(device, dtype) for s in sizes]


def _dims(weights):
    return [1 if w.dim() == 3 else 0 for w in weights]


def _vectors(weights):
    """u and v of length 1, without gradient."""
    acc = torch.float64 if weights[0].dtype == torch.float64 else torch.float32
    flat: tuple[list[Tensor], list[Tensor]] = ([], [])
    for w, dim in zip(weights, _dims(weights), strict=True):
        for into, size in zip(flat, (w.shape[dim], w.numel() // w.shape[dim]), strict=True):
            x = torch.arange(size, dtype=acc, device=w.device).cos()
            into.append(x / x.norm())
    return [torch.cat(parts) for parts in flat]


def _spectral(name, iterate=True, normalize=True, **more):
    def call(*weights):
        sigma, u, v, normalized = ops.spectral_sigma(
            weights, *_vectors(weights), dims=_dims(weights), iterate=iterate, normalize=normalize
        )
        return (sigma, *normalized, u, v)

    return Case(
        "spectral_sigma",
        name,
        _critic,
        call,
        ((4, 8), (3, 37), (1, 1), (6, 1500)),
        # sigma and, from it, everything is as exact as a sum that cancels
        {torch.float64: 1e-11, torch.float32: 1e-4, torch.float16: 2e-3, torch.bfloat16: 1.6e-2},
        constants=2,
        rows_apart=False,
        numeric=not iterate,  # u and v move with the weights there, but are constants for the gradient
        **more,
    )


def _eager_spectral(*weights):
    """torch.nn.utils.parametrizations.spectral_norm, layer by layer."""
    sigmas, normalized, us, vs = [], [], [], []
    u, v = _vectors(weights)
    ws = [w.flatten(1) for w in weights]
    for w, u_l, v_l in zip(ws, u.split([len(w) for w in ws]), v.split([w.shape[1] for w in ws]), strict=True):
        with torch.no_grad():
            u_l = F.normalize(w @ v_l, dim=0, eps=1e-12)
            v_l = F.normalize(w.T @ u_l, dim=0, eps=1e-12)
        sigmas.append(torch.vdot(u_l, w @ v_l))
        normalized.append(w / sigmas[-1])
        us.append(u_l)
        vs.append(v_l)
    return torch.stack(sigmas), *normalized, torch.cat(us), torch.cat(vs)


CASES = [
    _spectral(
        "iterated",
        launches=(3, 2),
        bench=((512, 4608),),
        # three reads and a write each way; what fits into any cache is not counted
        bytes=lambda s, n: (
            8 * n * sum(w.numel() for w in _critic(s, torch.float32, "meta") if w.numel() >= 512)
        ),
        eager=_eager_spectral,
        raw=lambda *w: (w, _dims(w), *_vectors(w), 3, 1e-12),
    ),
    _spectral("step-sigma", normalize=False, launches=(2, 1)),
    _spectral("evaluation", iterate=False, launches=(2, 2)),
    _spectral("evaluation-sigma", iterate=False, normalize=False, launches=(1, 1)),
]
