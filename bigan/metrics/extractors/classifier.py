"""A small residual network of one's own, as an extractor for data that ImageNet knows nothing of."""

import itertools
import json
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from bigan.metrics.checks import MetricError
from bigan.metrics.extractors import Extractor, sha256

FORMAT = "bigan-classifier-1"


class Net(nn.Module):
    """conv - [conv, pool, residual pair] x stages - max over pixels - linear.  [B, C, S, S] -> [B, D], [B, K]"""

    def __init__(self, channels: int, classes: int, widths: tuple[int, ...]):
        super().__init__()
        self.stem = _block(channels, widths[0])
        pairs = list(itertools.pairwise(widths))
        self.down = nn.ModuleList(nn.Sequential(_block(a, b), nn.MaxPool2d(2)) for a, b in pairs)
        self.residual = nn.ModuleList(nn.Sequential(_block(b, b), _block(b, b)) for _, b in pairs)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x)
        for down, residual in zip(self.down, self.residual, strict=True):
            x = down(x)
            x = x + residual(x)
        features = x.mean((2, 3))
        return features, self.head(features)


def _block(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))


class Classifier(Extractor):
    """`Net` on images resized to the side that it was trained at, pixels normalised as in its training."""

    def __init__(self, net: Net, settings: dict, hash: str):
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)
        self.size, self.channels = settings["size"], settings["channels"]
        self.dim, self.classes = net.head.in_features, net.head.out_features
        self.name, self.hash = f"classifier-{settings['data']}-{self.size}px", hash

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.contiguous(memory_format=torch.channels_last).float()
        if x.shape[2:] != (self.size, self.size):
            shrinks = x.shape[-1] > self.size
            x = F.interpolate(x, size=(self.size, self.size), mode="bilinear", antialias=shrinks)
        features, logits = self.net(normalise(x).expand(-1, self.channels, -1, -1))
        return features, logits


def normalise(x: Tensor) -> Tensor:
    """Pixels 0 to 255 -> about unit variance; in place."""
    return x.sub_(127.5).div_(64)


def save(path: Path, net: Net, settings: dict) -> None:
    """settings: data (a name), size, channels, widths, classes (how many), and what else to keep."""
    meta = {"format": FORMAT, "settings": json.dumps(settings)}
    state = {name: t.detach().cpu().contiguous() for name, t in net.state_dict().items()}
    from bigan.engine import files

    files.write(path, safetensors.torch.save(state, meta))


def load(path: Path) -> Extractor:
    wrong = f"{path} is no classifier that `bigan classifier train` made"
    try:
        with safe_open(path, "pt") as file:
            meta = file.metadata() or {}
        if meta.get("format") != FORMAT:
            raise MetricError(f"{wrong}: its format is {meta.get('format', 'not given')}, not {FORMAT}")
        settings = json.loads(meta["settings"])
        net = Net(settings["channels"], settings["classes"], tuple(settings["widths"]))
        net.load_state_dict(safetensors.torch.load_file(path))
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        if isinstance(error, MetricError):
            raise
        raise MetricError(f"{wrong} ({str(error).splitlines()[0]})") from None
    return Classifier(net, settings, sha256(path))
