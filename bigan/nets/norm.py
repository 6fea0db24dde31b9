"""Normalisation: the unit sphere, and whose running statistics a pass through batch normalisation moves."""

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bigan import ops


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
