"""Spectral normalisation of a whole network in one call a forward.

    critic = SpectralNorm(critic)

Miyato et al. 2018 (arXiv:1802.05957). The same values as torch.nn.utils.parametrizations.spectral_norm on
every convolution and linear layer, from one call of `bigan.ops.spectral_sigma` for all of them.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from bigan import ops
from bigan.ops import _checks
from bigan.ops._registry import accumulator

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)


class SpectralNorm(nn.Module):
    """`net` with the weight of each convolution and linear layer divided by its spectral norm.

    net: any module; its layers keep their weights as parameters, under their names, and see the normalised
    ones during this module's forward alone. A layer that occurs twice, or shares its weight, has one norm.
    eps: least length that a singular vector is divided by.
    start: steps of power iteration from random vectors before the first forward.

    forward(*args, **kwargs) -> net's. In training each makes one step of power iteration; in evaluation none.
    The vectors are the buffers `u` and `v`, of all layers one after another in the order of `net.modules()`;
    they are float32 (float64 for float64 weights) and go with state_dict, deepcopy and pickle. Optimisers,
    EMA and checkpoints see the plain weights, prefixed with `net.`.
    """

    u: Tensor
    v: Tensor

    def __init__(self, net: nn.Module, eps: float = 1e-12, start: int = 15) -> None:
        super().__init__()
        if not isinstance(net, nn.Module):
            raise TypeError(f"SpectralNorm: net must be a torch.nn.Module, got {_checks.form(net)}")
        self.net, self.eps = net, eps
        layers = self._layers()
        if not layers:
            raise ValueError(
                f"SpectralNorm: net must have a convolution or linear layer, got {type(net).__name__}"
            )
        weights, dims = _weights(layers)
        acc = accumulator(weights[0].dtype)
        rows = [w.shape[dim] for w, dim in zip(weights, dims, strict=True)]
        columns = [w.numel() // n for w, n in zip(weights, rows, strict=True)]
        for name, sizes in (("u", rows), ("v", columns)):
            parts = [torch.randn(n, dtype=acc, device=weights[0].device) for n in sizes]
            self.register_buffer(name, torch.cat([nn.functional.normalize(x, dim=0, eps=eps) for x in parts]))
        with torch.no_grad():
            for _ in range(start):
                self._step(weights, dims, iterate=True, normalize=False)

    def _layers(self) -> dict[str, nn.Module]:
        """By name; those that share a weight are there once."""
        found: dict[int, tuple[str, nn.Module]] = {}
        for name, module in self.net.named_modules():
            if isinstance(module, LAYERS):
                found.setdefault(id(module.weight), (name, module))
        return dict(found.values())

    def _step(
        self, weights: list[Tensor], dims: list[int], iterate: bool, normalize: bool = True
    ) -> list[Tensor]:
        u, v = self.u, self.v
        if not iterate and torch.is_grad_enabled():  # kept for backward; a later step writes into the buffers
            u, v = u.clone(), v.clone()
        _, u, v, normalized = ops.spectral_sigma(
            weights, u, v, dims=dims, iterate=iterate, normalize=normalize, eps=self.eps
        )
        if iterate:
            self.u.copy_(u)
            self.v.copy_(v)
        return normalized

    def forward(self, *args, **kwargs):
        layers = self._layers()
        names = [f"{name}.weight" if name else "weight" for name in layers]
        normalized = self._step(*_weights(layers), iterate=self.training)
        return functional_call(self.net, dict(zip(names, normalized, strict=True)), args, kwargs)

    def extra_repr(self) -> str:
        return f"eps={self.eps}"


def _weights(layers: dict[str, nn.Module]) -> tuple[list[Tensor], list[int]]:
    """The weights and their output dimensions."""
    weights: list[Any] = [layer.weight for layer in layers.values()]
    return weights, [1 if isinstance(layer, _TRANSPOSED) else 0 for layer in layers.values()]
