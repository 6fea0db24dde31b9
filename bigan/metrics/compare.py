"""Two sets of images, from whatever made them: how alike are they?"""

from collections.abc import Callable

import torch
from torch import Tensor

from bigan.metrics.checks import MetricError, eight_bit, need
from bigan.metrics.extract import Features, extract
from bigan.metrics.extractors import Extractor
from bigan.metrics.frechet import frechet_distance
from bigan.metrics.inception_score import inception_score
from bigan.metrics.kernel import kernel_distance
from bigan.metrics.neighbours import neighbours
from bigan.metrics.pixels import pixel_errors
from bigan.metrics.report import Number, number
from bigan.metrics.rid import rid

LEAST = 10  # images in a set: fewer have no splits, no neighbours, no covariance worth the name


def compare(
    real: Tensor,
    fake: Tensor,
    extractor: Extractor,
    *,
    paired: bool = False,
    splits: int = 10,
    keep: bool = False,
    progress: Callable[[int], None] | None = None,
) -> list[Number]:
    """FID, KID, IS, precision, recall, density and coverage; where `paired`, RID and pixel errors too.

    real, fake: images [N, C, H, W], [M, C, H', W'], as `extract` takes them.  paired: fake[i] is made from
    real[i], as a reconstruction is.  splits: of IS and RID.  keep: cache the features of `real`.
    """
    for name, images in (("real", real), ("fake", fake)):
        need(len(images) >= LEAST, "compare", f"{name} must be {LEAST} images or more", len(images))
    if paired and real.shape != fake.shape:
        raise MetricError(f"compare: pairs must match, got {list(real.shape)} and {list(fake.shape)}")
    real, fake = eight_bit(real, "real"), eight_bit(fake, "fake")
    found = pixels(real, fake) if paired else []
    a = extract(extractor, real, keep=keep, progress=progress)
    b = extract(extractor, fake, progress=progress)
    return (
        found
        + (dissimilarity(a, b, extractor, splits) if paired else [])
        + distances(a, b, extractor, splits)
    )


def pixels(real: Tensor, rec: Tensor) -> list[Number]:
    """Errors of reconstructions."""
    found = pixel_errors(real, rec)
    notes = {
        "rmse": "mean Euclidean norm of an image's error, pixels in [0, 1]",
        "rms": "root mean square over pixels in [0, 1]",
        "mse": "mean over pixels in [0, 1]",
        "l1": "mean over pixels in [0, 1]",
    }
    names = {"rmse": "RMSE", "rms": "pixel RMS", "mse": "pixel MSE", "l1": "pixel L1"}
    about = {"real": len(real), "fake": len(rec)}
    return [
        number(names[key], value, "lower", note=notes[key], **about) for key, value in found._asdict().items()
    ]


def dissimilarity(real: Features, rec: Features, extractor: Extractor, parts: int = 10) -> list[Number]:
    """RID, of features of pairs."""
    about = {"real": len(real.logits), "fake": len(rec.logits), "extractor": extractor.label}
    return [number("RID", rid(real.logits, rec.logits, parts), "lower", **about)]


def distances(real: Features, fake: Features, extractor: Extractor, splits: int = 10) -> list[Number]:
    """What compares two sets, of their features."""
    device = next(extractor.parameters()).device
    x, y = (
        f.features.to(device if device.type == "cuda" else "cpu") for f in (real, fake)
    )  # float64 is needed
    n, m = len(x), len(y)
    about = {"real": n, "fake": m, "extractor": extractor.label}
    few = (
        ""
        if min(n, m) > extractor.dim
        else f"fewer images than the {extractor.dim} features: compare at this n"
    )
    shuffled = torch.randperm(m, generator=torch.Generator().manual_seed(0))  # files may lie class by class
    found = [
        number("FID", frechet_distance(x, y), "lower", note=few, **about),
        number("KID", kernel_distance(x, y), "lower", **about),
        number("IS", inception_score(fake.logits[shuffled], splits), "higher", **{**about, "real": None}),
    ]
    if min(n, m) > 5:
        k = neighbours(x, y)
        notes = {"precision": "k = 3", "recall": "k = 3", "density": "k = 5", "coverage": "k = 5"}
        for key, value in k._asdict().items():
            found.append(number(key, value, "higher", note=notes[key], **about))
    return found
