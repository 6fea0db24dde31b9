"""All that can be measured of a trained system: samples, reconstructions, codes."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from bigan import data
from bigan.engine import grid
from bigan.engine.gallery import parts, spread, spread_over
from bigan.engine.noise import PICTURES, Noise
from bigan.engine.walk import walk
from bigan.metrics import compare
from bigan.metrics.checks import finite, need
from bigan.metrics.extract import extract
from bigan.metrics.extractors import Extractor
from bigan.metrics.path_length import path_length
from bigan.metrics.probe import linear_probe, svm_error
from bigan.metrics.report import Number, number
from bigan.systems.base import System

STEP = 0.05  # along a walk between two codes, of its length
LABELS = 1000  # of the SVM
PROBED = 10_000  # training images whose codes a probe sees, at most


@dataclasses.dataclass(frozen=True)
class How:
    """What decides the numbers beside the images."""

    samples: int = 0  # images from the prior; 0: as many as real ones
    seed: int = 0
    splits: int = 10  # of IS and RID
    bn: Literal["running", "batch"] = "running"  # statistics of batch normalisation
    code: Literal["mean", "sampled"] = "mean"  # of the posterior, for reconstructions and probes
    walks: int = 0  # of the path length
    batch: int = 64  # images through the system at once
    keep: bool = False  # cache the features of the real images

    def __post_init__(self) -> None:
        for name in ("samples", "walks"):
            need(getattr(self, name) >= 0, "evaluate", f"{name} must be 0 or more", getattr(self, name))
        for name in ("splits", "batch"):
            need(getattr(self, name) >= 1, "evaluate", f"{name} must be 1 or more", getattr(self, name))
        for name, choices in (("bn", ("running", "batch")), ("code", ("mean", "sampled"))):
            value = getattr(self, name)
            need(value in choices, "evaluate", f"{name} must be {' or '.join(choices)}", repr(value))


def evaluate(
    system: System,
    real: Tensor,
    extractor: Extractor | None,
    how: How = How(),
    progress: Callable[[int], None] | None = None,
    labels: Sequence[Tensor] = (),
) -> list[Number]:
    """The numbers of samples, and where there is an encoder of reconstructions and codes.

    real: [N, C, H, W] uint8, images that the system was not trained on.  extractor: None for the numbers that
    need none.  labels: of a conditional system, ([N, Y],) of the images; its samples have them too, spread evenly.
    Every image is rounded to 8 bits first, as if it had been saved.
    """
    need(len(real) >= compare.LEAST, "evaluate", f"images must be {compare.LEAST} or more", len(real))
    runner = Runner(system, how)
    n = how.samples or len(real)
    drawn = [t[spread_over(len(t), n)] for t in labels]  # of the samples
    z, fake = runner.sample(n, *drawn)
    found: list[Number] = []
    rec = None
    if system.has_encoder():
        rec = runner.reconstruct(real, *labels)
        found += [*compare.pixels(real, rec), *runner.latent_errors(z, *drawn)]
    if extractor is not None:
        features = [extract(extractor, real, keep=how.keep, progress=progress)]
        features += [extract(extractor, x, progress=progress) for x in (fake, rec) if x is not None]
        made = compare.distances(features[0], features[1], extractor, how.splits)
        if rec is not None:
            made += compare.dissimilarity(features[0], features[2], extractor, how.splits)
        if how.walks:
            made.append(smoothness(runner, extractor, *labels))
        found += made
    return [dataclasses.replace(n, mode=runner.mode) for n in found]


def probes(system: System, seen: data.Images, held_out: data.Images, how: How = How()) -> list[Number]:
    """What linear classifiers read from the codes of labelled images: error of an L2-SVM, accuracy of a probe.

    Nothing of a conditional system, whose encoder is told what they would look for.
    """
    if seen.labels is None or held_out.labels is None or not system.has_encoder() or system.labels:
        return []
    if len(seen.labels.unique()) < 2:
        return []
    runner = Runner(system, how)
    pick, every = spread(len(seen), PROBED), torch.arange(len(held_out))
    x, y = runner.codes(seen.take(pick)), runner.codes(held_out.take(every))
    tags, test = seen.labels[pick], held_out.labels
    about = {"real": len(y), "note": f"codes of {len(x)} training images", "mode": runner.mode}
    found = [number("linear probe accuracy", linear_probe(x, tags, y, test), "higher", **about)]
    counts = tags.unique(return_counts=True)[1]
    if len(x) > LABELS and counts.min() >= -(-LABELS // len(counts)):  # as many of each class
        error = svm_error(x, tags, y, test, labels=LABELS, seed=how.seed)
        found.append(number("L2-SVM error, 1000 labels", error, "lower", **about))
    return found


def smoothness(runner: "Runner", extractor: Extractor, *labels: Tensor) -> Number:
    """Path length between random codes from the prior; of a conditional system with the same labels at both."""
    n, noise = runner.how.walks, runner.noise
    a, b = runner.system.prior(2 * n, noise.at(PICTURES - 1)).chunk(2)  # [n, Z] each
    t = torch.rand(n, generator=torch.Generator().manual_seed(runner.how.seed)).to(a)
    steps = round(1 / STEP)
    path = walk(a, b, steps + 1)  # [n, steps + 1, Z]
    at = (t * steps).long().clamp(max=steps - 1)  # [n]
    rows = torch.arange(n, device=a.device)
    drawn = [t[spread_over(len(t), n)] for t in labels]
    ends = [runner.decode(path[rows, i], *drawn) for i in (at, at + 1)]
    near, far = (extract(extractor, x).features for x in ends)
    return number(
        "path length", path_length(near, far, STEP), "lower", fake=2 * n, extractor=extractor.label,
        note=f"features over steps of {STEP:g} on great circles",
    )  # fmt: skip


class Runner:
    """A system at work in batches, always in the same way: the same noise for the same seed."""

    def __init__(self, system: System, how: How):
        self.system, self.how = system, how
        self.device = next(system.parameters()).device
        self.noise = Noise(how.seed, self.device)
        kinds = [f"batch norm: {how.bn} statistics"] if any(map(_is_norm, system.modules())) else []
        stochastic = type(system).infer is not System.infer
        kinds += [f"{how.code} code"] if stochastic else []
        self.mode = ", ".join(
            kinds + (["conditioned on the real images' attributes"] if system.labels else [])
        )

    def sample(self, n: int, *labels: Tensor) -> tuple[Tensor, Tensor]:
        """(codes [n, Z], their images [n, C, H, W] uint8)"""
        z = self.system.prior(n, self.noise.at(PICTURES))
        return z, self.decode(z, *labels, by=self.system.generate)

    def decode(self, z: Tensor, *labels: Tensor, by: Callable[..., Tensor] | None = None) -> Tensor:
        """[n, Z] -> [n, C, H, W] uint8 on the CPU"""
        with self.inference():
            return torch.cat([self.saved((by or self.system.decode)(*p)) for p in self.parts(z, *labels)])

    def codes(self, images: Tensor, *labels: Tensor) -> Tensor:
        """[N, C, H, W] uint8 -> [N, Z] on the CPU"""
        with self.inference():
            return torch.cat([code.cpu() for code, *_ in self._codes(images, *labels)])

    def reconstruct(self, images: Tensor, *labels: Tensor) -> Tensor:
        """[N, C, H, W] uint8 -> the same"""
        with self.inference():
            return torch.cat([self.saved(self.system.decode(*p)) for p in self._codes(images, *labels)])

    def latent_errors(self, z: Tensor, *labels: Tensor) -> list[Number]:
        """How far E(G(z)) is from z."""
        system = self.system
        with self.inference():
            pairs = [(p, system.encode(system.generate(p, *y), *y)) for p, *y in self.parts(z, *labels)]
        a, b = (torch.cat(side).double() for side in zip(*pairs, strict=True))
        cosine = torch.nn.functional.cosine_similarity(a, b).mean().item()
        about = {"fake": len(z)}
        return [
            number(
                "latent MSE", (a - b).square().mean().item(), "lower", note="E(G(z)) - z, z ~ prior", **about
            ),
            number("latent cosine", cosine, "higher", note="of E(G(z)) and z, z ~ prior", **about),
        ]

    def saved(self, x: Tensor) -> Tensor:
        """In the system's range -> uint8, [B, C, H, W] on the CPU.  NaN is an error: a picture would show black."""
        finite("evaluate", "the system's images", x)
        return grid.to_uint8(x, self.system.data_range).permute(0, 3, 1, 2)

    @contextlib.contextmanager
    def inference(self) -> Iterator[None]:
        """The system without gradients; with how.bn = "batch", each batch normalised by itself."""
        with self.system.inference(), contextlib.ExitStack() as stack:
            if self.how.bn == "batch":
                for module in filter(_is_norm, self.system.modules()):
                    stack.callback(setattr, module, "momentum", module.momentum)
                    module.momentum = 0.0  # type: ignore[assignment]  # running statistics stay as they are
                    module.train()
            yield

    def parts(self, *tensors: Tensor) -> Iterator[list[Tensor]]:
        """Batches of tensors [N, ...] in step, on the device."""
        return ([t.to(self.device) for t in part] for part in parts(self.how.batch, *tensors))

    def _codes(self, images: Tensor, *labels: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """(codes, their labels if any)"""
        noise, system = self.noise.at(PICTURES), self.system
        for part, *y in self.parts(images, *labels):
            x = data.scale(part, system.data_range)
            yield (system.encode(x, *y) if self.how.code == "mean" else system.infer(x, noise, *y), *y)


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, nn.modules.batchnorm._BatchNorm)
