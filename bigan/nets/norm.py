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
        y, mean, var = _Shared.apply(x, self.weight, self.bias, self.eps)
        self._track(mean, var, ranks.count() * x.numel() // x.shape[1])
        return y

    @torch.no_grad()
    def _track(self, mean: Tensor, var: Tensor, n: int) -> None:
        if not self.track_running_stats or self.running_mean is None or self.running_var is None:
            return
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        rate = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)  # type: ignore[arg-type]
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), rate)
        self.running_var.lerp_((var * (n / max(n - 1, 1))).to(self.running_var.dtype), rate)


class _Shared(torch.autograd.Function):
    """Normalise by the mean and variance over all ranks: one exchange of [2, C] numbers each way.

    The passes over x are PyTorch's own kernels: one for the moments, one for y; one for the gradient's sums and two
    for its map.  [B, C, ...], [C] or None, [C] or None -> [B, C, ...], mean [C], var [C]
    """

    @staticmethod
    def forward(ctx, x, weight, bias, eps):
        wide = x.new_zeros(
            x.shape[1], dtype=torch.promote_types(x.dtype, torch.float32)
        )  # asks for such moments
        own = torch.stack(torch.batch_norm_update_stats(x, wide, wide.clone(), 0.0))  # [2, C]
        means, variances = ranks.gathered(own[None]).unbind(1)  # [N, C] each, of equally many images
        mean = means.mean(0)
        var = (variances + (means - mean).square()).mean(0)
        y = torch.native_batch_norm(x, weight, bias, mean, var, False, 0.0, eps)[0]
        ctx.save_for_backward(x, weight, bias, mean, var)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, var)
        return y, mean, var

    @staticmethod
    def backward(ctx, dy, *_):
        x, weight, bias, mean, var = ctx.saved_tensors
        if torch.is_grad_enabled():  # to be differentiated again: by formulas that can be
            inputs = [
                t for t, wanted in zip((x, weight, bias), ctx.needs_input_grad[:3], strict=True) if wanted
            ]
            grads = iter(
                torch.autograd.grad(_shared(x, weight, bias, ctx.eps), inputs, dy, create_graph=True)
            )
            return *(next(grads) if wanted else None for wanted in ctx.needs_input_grad[:3]), None
        sums = torch.ops.aten.native_batch_norm_backward(
            dy, x, weight, mean, var, None, None, False, ctx.eps, [False, True, True]
        )[1:]  # of dy times normalised x, and of dy: [C] each
        dx = None
        if ctx.needs_input_grad[0]:
            scale = (var + ctx.eps).rsqrt() if weight is None else weight * (var + ctx.eps).rsqrt()
            pull, shift = ranks.mean(torch.stack(sums)) * (-scale * x.shape[1] / x.numel())
            dx = torch.native_batch_norm(x, pull, shift, mean, var, False, 0.0, ctx.eps)[0]
            dx.addcmul_(dy, scale.to(dy.dtype).view([1, -1] + [1] * (x.dim() - 2)))
        return (
            dx,
            *(s if wanted else None for s, wanted in zip(sums, ctx.needs_input_grad[1:3], strict=True)),
            None,
        )


def _shared(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """What _Shared computes, of operations that can be differentiated as often as you like."""
    dims = [d for d in range(x.dim()) if d != 1]
    shape = [1, -1] + [1] * (x.dim() - 2)
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    centred = wide - ranks.mean(wide.mean(dims)).view(shape)
    scale = (ranks.mean(centred.square().mean(dims)) + eps).rsqrt()  # [C]
    if weight is not None:
        scale = scale * weight
    y = centred * scale.view(shape)
    return (y if bias is None else y + bias.view(shape)).to(x.dtype)


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
