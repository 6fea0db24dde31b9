"""Extractors small enough for tests, and images."""

from pathlib import Path

import torch
from torch import nn

from bigan.metrics.extractors import Extractor, classifier


class Linear(Extractor):
    """Features and logits linear in the pixels, grey or RGB; counts the images it has seen."""

    name, hash, dim, classes = "linear", "0123456789abcdef" * 4, 6, 5

    def __init__(self, pixels: int = 64, channels: int = 3):
        super().__init__()
        self.channels, self.seen = channels, 0
        rand = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(
            torch.randn(pixels * channels, 11, generator=rand) / 8, requires_grad=False
        )

    def forward(self, x):
        self.seen += len(x)
        y = x.float().div(255).expand(-1, self.channels, -1, -1).flatten(1) @ self.weight
        return y[:, :6], y[:, 6:]


def tiny_classifier(path: Path, size: int = 16, channels: int = 3, classes: int = 4) -> Path:
    """The file of an untrained classifier, which serves `--extractor`."""
    torch.manual_seed(0)
    net = classifier.Net(channels, classes, (4, 8))
    settings = {"data": "noise", "size": size, "channels": channels, "widths": [4, 8], "classes": classes}
    classifier.save(path, net, settings)
    return path


def images(n: int, size: int = 8, channels: int = 3, seed: int = 0) -> torch.Tensor:
    """[n, C, S, S] uint8 noise"""
    rand = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, channels, size, size), dtype=torch.uint8, generator=rand)
