"""What a run is, apart from its system: the flags that every `bigan train` has."""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bigan.errors import UserError
from bigan.systems.base import arg

# What may change from one start of a run to the next; all else decides the numbers, and must not.
# `data` may move: its fingerprint is compared instead.
FREE = {
    "out", "data", "kimg", "device", "skip_bad", "log_every", "sample_every", "checkpoint_every",
    "checkpoint_minutes", "keep", "tensorboard", "cache", "profile", "recompute", "eval_every", "eval_images",
    "extractor",
}  # fmt: skip

OUT = Path("runs/run")


@dataclass(frozen=True)
class Run:
    """Time is counted in images: 1 kimg is a thousand images seen, whatever the batch."""

    out: Path = arg(OUT, "run directory; the same command resumes it")  # noqa: RUF009 (a Path never changes)
    data: str = arg("digits", "a name (digits, cifar10, ...), a folder or zip of images, .npz, ...")
    cache: Path | None = arg(None, "folder for decoded images, in place of the memory: for larger data")  # noqa: RUF009
    size: int = arg(32, "side of the images in pixels; others are cropped to a square and resized")
    batch: int = arg(64, "images in a training step, of all processes together")
    kimg: float = arg(100.0, "length of the training, thousands of images; a larger value continues a run")
    init_from: str = arg("", "run whose weights to start from, with fresh optimisers; its networks must fit")
    seed: int = arg(0, "decides weights, data order, held-out images and noise: same seed, same run")
    device: str = arg("auto", "auto (the GPU if there is one), cpu, cuda or cuda:N")
    holdout: float = arg(0.1, "images never trained on: a fraction below 1, or how many")
    flip: bool = arg(False, "mirror each training image with probability 1/2")
    ema: float = arg(0.0, "half-life of the weights' average, kimg; 0: none. Pictures and val_mse use it")
    log_every: float = arg(0.0, "kimg between lines of log.jsonl; 0: 200 in a run")
    sample_every: float = arg(0.0, "kimg between pictures and val_mse; 0: 20 in a run")
    eval_every: float = arg(0.0, "kimg between metrics (FID and its like, RID, code errors); 0: none")
    eval_images: int = arg(1000, "held-out images, and as many samples, that these metrics look at")
    extractor: str = arg(
        "efficientnet-lite0", "that they use: efficientnet-lite0, inception, a file of weights, none"
    )
    checkpoint_every: float = arg(0.0, "kimg between checkpoints; 0: 20 in a run")
    checkpoint_minutes: float = arg(10.0, "and one at the latest after so many minutes")
    keep: int = arg(2, "checkpoints kept")
    skip_bad: bool = arg(False, "leave out images that cannot be read, instead of stopping")
    tensorboard: bool = arg(True, "write TensorBoard events, if tensorboard is installed")
    clip: float = arg(0.0, "largest norm of a player's gradient, longer ones are scaled down to it; 0: any")
    fast: bool = arg(False, "turn on those of the following six that device and system support; says which")
    one_pass: bool = arg(False, "one backward for both players of an adversarial game: exact up to rounding")
    channels_last: bool = arg(False, "images and weights with their channels innermost")
    fused: bool = arg(False, "the optimiser's step in one kernel")
    bf16: bool = arg(False, "convolutions and matrix products in bfloat16 (autocast)")
    compile: bool = arg(False, "torch.compile the networks")
    cuda_graph: bool = arg(False, "record a step once as a CUDA graph, and replay it")
    recompute: bool = arg(False, "keep fewer activations, compute them again in the backward: less memory")
    profile: bool = arg(False, "write a trace of a few steps and a table of their phases to RUN/profile")

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", Path(self.out))
        object.__setattr__(self, "cache", None if self.cache is None else Path(self.cache))
        for name in ("size", "batch", "keep", "eval_images"):
            _need(getattr(self, name) >= 1, name, "must be 1 or more", getattr(self, name))
        for name in ("kimg", "holdout", "checkpoint_minutes"):
            _need(getattr(self, name) > 0, name, "must be more than 0", getattr(self, name))
        for name in ("ema", "log_every", "sample_every", "checkpoint_every", "clip", "eval_every"):
            _need(getattr(self, name) >= 0, name, "must be 0 or more", getattr(self, name))
        _need(-(2**63) <= self.seed < 2**63, "seed", "must fit 64 bits", self.seed)

    @property
    def held_out(self) -> int | float:
        """`holdout` as the data's split takes it: a fraction, or a whole number of images."""
        return self.holdout if self.holdout < 1 else int(self.holdout)

    @property
    def torch_device(self) -> torch.device:
        """The device to train on; UserError where it is not to be had."""
        name = self.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cuda" and "LOCAL_RANK" in os.environ:  # torchrun: a GPU each
            name = f"cuda:{os.environ['LOCAL_RANK']}"
        try:
            device = torch.device(name)
        except RuntimeError:
            raise UserError(f"--device must be auto, cpu, cuda or cuda:N, got {name!r}") from None
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            have = f"{torch.cuda.device_count()} usable" if torch.cuda.is_available() else "no usable GPU"
            raise UserError(
                f"--device {name}: PyTorch {torch.__version__} sees {have} here; --device cpu works"
            )
        return device


def _need(ok: bool, name: str, form: str, got: Any) -> None:
    if not ok:
        raise UserError(f"--{name.replace('_', '-')} {form}, got {got}")


def to_json(config: Any) -> dict[str, Any]:
    """A config dataclass as config.json holds it."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def from_json(cls: type, values: dict[str, Any]) -> Any:
    """The dataclass that `to_json` wrote down. Fields it did not know yet take their default."""
    known = {f.name for f in dataclasses.fields(cls)}
    if strange := sorted(set(values) - known):
        raise UserError(
            f"{cls.__module__} has no setting {', '.join(strange)}: written by another version of bigan?"
        )
    return cls(**{name: _tuples(value) for name, value in values.items()})


def _tuples(value: Any) -> Any:
    """JSON knows lists alone; a frozen config holds tuples alone."""
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
