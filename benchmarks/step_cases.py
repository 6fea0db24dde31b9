"""A system and its textbook trainer with the same weights, and a check that they do the same."""

import importlib
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from bigan import ops, systems
from bigan.engine.noise import Noise
from bigan.spectral_norm import SpectralNorm
from bigan.systems.base import System

NAMES = ("pagan", "ali", "introvae", "age")
SEED = 7
SHAPE = (3, 32, 32)
_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d)


def pair(name: str, seed: int = 0) -> tuple[System, Any]:
    """The system of the preset `cifar10` and the textbook trainer, from the same weights."""
    module, textbook = systems.load(name), importlib.import_module(f"textbook.{name}")
    config = module.PRESETS["cifar10"].config
    torch.manual_seed(seed)
    system = module.build(config, SHAPE)
    trainer = textbook.Trainer(config)
    ours = [net for net in system.children() if next(net.parameters(), None) is not None]
    for a, b in zip(ours, trainer.nets, strict=True):
        _copy(a, b)
    return system, trainer


def check(name: str, batch: int = 8) -> None:
    """Raises AssertionError unless two steps of the two, on the same draws, have the same losses.

    In float64, without dropout and with the spectral norms' vectors held: there they draw, or iterate,
    in different ways.
    """
    system, trainer = pair(name)
    for net in (system.double(), *(net.double() for net in trainer.nets)):
        for m in net.modules():
            if isinstance(m, nn.Dropout):
                m.p = 0.0
            elif isinstance(m, SpectralNorm):
                m.training = False
            elif is_parametrized(m):
                m.parametrizations.eval()
    players, noise = system.players(), Noise(SEED, "cpu")
    low, high = system.data_range
    for k in range(2):
        x = low + (high - low) * torch.rand(batch, *SHAPE, dtype=torch.double)
        with _same_draws(name, trainer, system, k):
            want = trainer.step(x)
        got = system.step(x, noise.at(k), kimg=1.0, **players)
        for term, value in want.items():
            torch.testing.assert_close(got[term], value.detach(), rtol=1e-6, atol=1e-6, msg=f"{name}: {term}")


def _same_draws(name: str, trainer: Any, system: System, step: int):
    """torch.randn, and PAGAN's augmentation, draw what `Noise` draws for this step."""
    rng, streams = torch.tensor([SEED, step]), iter(range(100))

    def randn(n, dim, dtype):
        return ops.philox_normal(rng, n, dim, stream=next(streams), dtype=dtype)

    def augment(x, pad):
        return ops.augment_pair(x, pad=pad, layout="width", rng=rng, stream=2)[..., x.shape[3] :]

    replaced = mock.patch.multiple(torch, randn=randn, randn_like=lambda t: randn(*t.shape, t.dtype))
    if name != "pagan":
        return replaced
    stack = __import__("contextlib").ExitStack()
    stack.enter_context(replaced)
    stack.enter_context(mock.patch("textbook.pagan.augment", augment))
    return stack


@torch.no_grad()
def _copy(ours: nn.Module, theirs: nn.Module) -> None:
    """Parameters layer by layer; both list their layers in the same order."""
    spectral = ours if isinstance(ours, SpectralNorm) else None
    a = [m for m in ours.modules() if isinstance(m, _LAYERS)]
    b = [m for m in theirs.modules() if isinstance(m, _LAYERS)]
    at = [0, 0]
    for source, target in zip(a, b, strict=True):
        if spectral is not None:
            weight = target.parametrizations.weight
            weight.original.copy_(source.weight)
            for i, name in enumerate(("u", "v")):
                vector = getattr(weight[0], f"_{name}")
                vector.copy_(getattr(spectral, name)[at[i] : at[i] + len(vector)])
                at[i] += len(vector)
        elif source.weight is not None:
            target.weight.copy_(source.weight)
        if source.bias is not None:
            target.bias.copy_(source.bias)
    biases = [p for n, p in theirs.named_parameters(recurse=False)]  # ALI's, of each pixel
    for p in biases:
        p.copy_(next(q for n, q in ours.named_parameters() if q.shape == p.shape and "untied" in n))
