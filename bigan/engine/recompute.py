"""--recompute: activations are computed again in backward in place of being kept (Chen et al., arXiv:1604.06174).

A residual block keeps its input alone, and a stack of layers the inputs of about the square root of as many parts.
The numbers do not change, to the bit: dropout draws the same, and a normalisation's running statistics move once.
"""

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from bigan.nets.residual import Residual
from bigan.spectral_norm import SpectralNorm

# A part begins at one of these: what may come between writes over its input, which has to last.
HEADS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def use(system: nn.Module) -> int:
    """Have the system's networks do so in training; returns how many parts there are.

    What lies inside a SpectralNorm keeps its activations: its weights are there during its forward alone.
    """
    count = 0
    for net in system.children():
        for unit in _units(net):
            parts: list[nn.Module] = [unit] if isinstance(unit, Residual) else _parts(unit)
            for part in parts:
                _recomputed(part)
            if isinstance(unit, nn.Sequential):
                _in_turn(unit, parts)
            count += len(parts)
    return count


def _units(module: nn.Module) -> Iterator[nn.Module]:
    """Residual blocks, and stacks of layers."""
    if isinstance(module, SpectralNorm):
        return
    stack = isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
    if isinstance(module, Residual) or (stack and any(isinstance(m, HEADS) for m in module.children())):
        yield module
        return
    for child in module.children():
        yield from _units(child)


def _heads(stack: nn.Module) -> list[int]:
    return [i for i, layer in enumerate(stack.children()) if i and isinstance(layer, HEADS)]


def _parts(stack: nn.Module) -> list[nn.Module]:
    """The layers in about as many parts as each has layers."""
    layers, heads = list(stack.children()), _heads(stack)
    wanted = round(math.sqrt(len(layers)))
    cuts = sorted({heads[k * len(heads) // wanted] for k in range(wanted) if heads} | {len(layers)})
    return [nn.Sequential(*layers[i:j]) for i, j in zip([0, *cuts], cuts, strict=False)]


def _in_turn(stack: nn.Sequential, parts: list[nn.Module]) -> None:
    def forward(x):
        for part in parts:
            x = part(x)
        return x

    stack.forward = forward  # type: ignore[method-assign]


def _recomputed(part: nn.Module) -> None:
    plain = part.forward
    draws = any(isinstance(module, nn.Dropout) for module in part.modules())
    norms = [m for m in part.modules() if isinstance(m, _BatchNorm)]

    def forward(x):
        if not torch.is_grad_enabled():
            return plain(x)
        return checkpoint(
            plain, x, use_reentrant=False, preserve_rng_state=draws,
            context_fn=lambda: (contextlib.nullcontext(), _AsBefore(norms)),
        )  # fmt: skip

    part.forward = forward


class _AsBefore:
    """Inside, normalisations do what they do now, and their running statistics are put back afterwards."""

    def __init__(self, norms: list[_BatchNorm]):
        self.norms = norms
        self.tracked = [norm.track_running_stats for norm in norms]

    def __enter__(self) -> None:
        self._now = [norm.track_running_stats for norm in self.norms]
        self._stats = [[b.clone() for b in norm.buffers()] for norm in self.norms]
        self._track(self.tracked)

    def __exit__(self, *raised: object) -> None:
        self._track(self._now)
        for norm, stats in zip(self.norms, self._stats, strict=True):
            for buffer, then in zip(norm.buffers(), stats, strict=True):
                buffer.data.copy_(then)  # as if nothing had been written

    def _track(self, flags: list[bool]) -> None:
        for norm, flag in zip(self.norms, flags, strict=True):
            norm.track_running_stats = flag
