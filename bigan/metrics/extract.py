"""Images -> features and logits, in batches; those of real images are kept on disk by content."""

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from bigan.metrics.checks import MetricError, eight_bit, finite
from bigan.metrics.extractors import Extractor

BATCH = {
    "cpu": 16,
    "cuda": 256,
}  # on a CPU the activations of 16 images stay in its cache: twice as fast as 64
KEPT = 4 * 2**30  # bytes of features on disk; the oldest go first


class Features(NamedTuple):
    features: Tensor  # [N, D] float32, on the CPU
    logits: Tensor  # [N, K] float32, on the CPU


def extract(
    extractor: Extractor,
    images: Tensor,
    *,
    batch: int = 0,
    keep: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Features:
    """images: [N, C, H, W] uint8, or floating point in [0, 1], which is rounded to 8 bits.

    batch: images at once; 0: what suits the device.
    keep: look in the cache of features first ($BIGAN_CACHE, else ~/.cache/bigan), and leave them there; the
    key is a hash of the pixels and of the extractor's weights.  progress: called with images done since.

    Raises MetricError for images of other shapes, NaN pixels, and an extractor that gives NaN.
    """
    images = eight_bit(images)
    if images.shape[1] > extractor.channels:
        raise MetricError(f"extractor {extractor.name}: it takes grey images, got RGB")
    path = _place(extractor, images) if keep else None
    if path is not None and (found := _read(path)) is not None:
        if progress:
            progress(len(images))
        return found
    features, logits = [], []
    device = next(extractor.parameters()).device
    with torch.inference_mode():
        for part in images.split(batch or BATCH.get(device.type, 64)):
            f, k = extractor(part.to(device, non_blocking=True))
            features.append(f.float().cpu())
            logits.append(k.float().cpu())
            if progress:
                progress(len(part))
    made = Features(torch.cat(features), torch.cat(logits))
    finite(f"extractor {extractor.name}", "features", made.features)
    if path is not None:
        _write(path, made)
    return made


def _place(extractor: Extractor, images: Tensor) -> Path:
    digest = hashlib.sha256(f"{extractor.name} {extractor.hash} {tuple(images.shape)}".encode())
    digest.update(images.contiguous().reshape(-1).numpy().data)
    root = Path(os.environ.get("BIGAN_CACHE") or Path.home() / ".cache" / "bigan")
    return root / "features" / f"{digest.hexdigest()[:32]}.safetensors"


def _read(path: Path) -> Features | None:
    try:
        found = Features(**safetensors.torch.load_file(path))
        os.utime(path)  # in use: not among the oldest
        return found
    except (OSError, SafetensorError, TypeError):  # none there, or not whole: made again
        return None


def _write(path: Path, made: Features) -> None:
    """A cache that cannot be written is only slower."""
    from bigan.engine import files

    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write(path, safetensors.torch.save(made._asdict()), durable=False)
        total = 0
        for old in sorted(path.parent.glob("*.safetensors"), key=lambda p: -p.stat().st_mtime):
            total += old.stat().st_size
            if total > KEPT:
                old.unlink(missing_ok=True)
