"""Normalisation: the unit sphere, and whose running statistics a pass through batch normalisation moves."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bigan import ops, ranks


class _AcrossRanks(_BatchNorm):
    """Batch normalisation by the whole batch's mean and variance where several processes share it."""

    def forward(self, x: Tensor) -> Tensor:
        if ranks.count() == 1 or not self.training:
            return super().forward(x)
        self._check_input_dim(x)
        dims = [d for d in range(x.dim()) if d != 1]
        shape = [1, -1] + [1] * (x.dim() - 2)
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        mean = ranks.mean(wide.mean(dims))  # [C]
        centred = wide - mean.view(shape)
        var = ranks.mean(centred.square().mean(dims))
        self._track(mean.detach(), var.detach(), ranks.count() * x.numel() // x.shape[1])
        scale = (var + self.eps).rsqrt()
        if self.weight is not None:
            scale = scale * self.weight
        y = centred * scale.view(shape)
        return (y if self.bias is None else y + self.bias.view(shape)).to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor, n: int) -> None:
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        rate = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)  # type: ignore[arg-type]
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
        self.running_var.lerp_((var * (n / max(n - 1, 1))).to(self.running_var.dtype), rate)


class BatchNorm1d(_AcrossRanks, nn.BatchNorm1d):
    """nn.BatchNorm1d, in training over the batch of all ranks (bigan/ranks.py)."""


class BatchNorm2d(_AcrossRanks, nn.BatchNorm2d):
    """nn.BatchNorm2d, in training over the batch of all ranks (bigan/ranks.py)."""


class SphereNormalize(nn.Module):
    """Codes onto the unit sphere, for an encoder's end.  [B, ...] -> [B, ...]"""

    def forward(self, z: Tensor) -> Tensor:
        return ops.sphere_normalize(z)


@contextlib.contextmanager
def untracked(net: nn.Module) -> Iterator[None]:
    """Passes through `net` leave its running statistics as they are; in training they normalise as ever."""
    norms = [m for m in net.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True


class Again:
    """Inside `with again:` passes through `net` do what they did when this was made, and move no statistics."""

    def __init__(self, net: nn.Module):
        norms = [m for m in net.modules() if isinstance(m, _BatchNorm)]
        self._norms = [(norm, norm.track_running_stats) for norm in norms]

    def __enter__(self) -> None:
        self._before = [(norm.track_running_stats, norm.momentum) for norm, _ in self._norms]
        for norm, tracked in self._norms:
            norm.track_running_stats, norm.momentum = tracked, 0.0

    def __exit__(self, *raised: object) -> None:
        for (norm, tracked), before in zip(self._norms, self._before, strict=True):
            if tracked and norm.training and norm.num_batches_tracked is not None:
                norm.num_batches_tracked.sub_(1)
            norm.track_running_stats, norm.momentum = before


class Statistics(nn.Module):
    """Running statistics of `net` for one more kind of input: inside `with statistics:` it has these.

    In training a batch is normalised by itself, whatever it is made of; at inference inputs that differ,
    as codes of images and codes from the prior do, each need their own.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self._norms = [m for m in net.modules() if isinstance(m, _BatchNorm)]  # in a list: net owns them
        self.own = nn.ModuleList(type(m)(m.num_features, affine=False) for m in self._norms)

    def _swap(self) -> None:
        for a, b in zip(self._norms, self.own, strict=True):
            a._buffers, b._buffers = b._buffers, a._buffers

    def __enter__(self) -> None:
        self._swap()

    def __exit__(self, *raised) -> None:
        self._swap()
