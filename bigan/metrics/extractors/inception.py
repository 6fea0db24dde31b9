"""FID's own Inception network, through torch-fidelity, from weights that are already on this machine."""

from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn

from bigan.metrics.checks import MetricError
from bigan.metrics.extractors import Extractor, sha256

FILE = "weights-inception-2015-12-05-6726825d.pth"  # the name ends in the first digits of its SHA-256
WHERE = "https://github.com/toshas/torch-fidelity/releases/tag/v0.2.0"
LAYERS = ["2048", "logits_unbiased"]  # of the pool for FID and KID; for the score without bias, as published


def load(path: Path | None = None) -> Extractor:
    """From `path`, or from where torch.hub keeps downloads; never from the network."""
    try:
        from torch_fidelity import feature_extractor_inceptionv3 as source
    except ImportError as error:
        raise MetricError(
            f"the extractor inception needs torch-fidelity: pip install torch-fidelity ({error})"
        ) from None
    cached = Path(torch.hub.get_dir(), "checkpoints", FILE)
    if path is None and not cached.is_file():
        raise MetricError(
            f"no Inception weights on this machine (nothing is downloaded unasked): fetch {FILE} from {WHERE} "
            f"and put it to {cached}, or pass its path as the extractor"
        )
    path = path or cached
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        # it would download, or unpickle whatever a file holds
        with mock.patch.object(source, "load_state_dict_from_url", lambda *_, **__: state):
            net = source.FeatureExtractorInceptionV3("inception-v3-compat", LAYERS)
    except Exception as error:  # unpickling and load_state_dict raise all kinds
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MetricError(f"{path} does not hold the weights of torch-fidelity's Inception ({why})") from None
    return Inception(net, sha256(path))


class Inception(Extractor):
    """TensorFlow's network of 2015 at 299 px with its own resize: what published FIDs are made with."""

    dim, classes = 2048, 1008

    def __init__(self, net: nn.Module, hash: str):
        super().__init__()
        published = hash.startswith(FILE.rpartition("-")[2].removesuffix(".pth"))
        self.name = "inception-2015" if published else "inception-other-weights"
        self.hash, self.net = hash, net

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features, logits = self.net(x.expand(-1, 3, -1, -1))
        return features, logits
