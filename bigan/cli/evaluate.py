"""`bigan eval RUN`: numbers for a trained system; `bigan eval --real A --fake B`: for images of any origin."""
# ruff: noqa: RUF009 (arg() makes a field, as dataclasses.field does)

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import torch
import tyro

from bigan import data
from bigan.cli import flags
from bigan.cli.pictures import Data, default
from bigan.engine import files
from bigan.engine.config import Run, from_json
from bigan.engine.gallery import spread
from bigan.errors import UserError
from bigan.metrics import MetricError, extractors, report
from bigan.metrics.checks import need
from bigan.systems.base import System, arg


@dataclasses.dataclass(frozen=True)
class Eval:
    """Measure a run (samples, reconstructions, codes), or images of any origin against real ones."""

    run: Annotated[Path | None, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = arg(
        None, "a run directory; leave it out with --real and --fake"
    )
    real: Annotated[str | None, default("none", "DATA")] = arg(None, "real images, a name or path")
    fake: Annotated[str | None, default("none", "DATA")] = arg(None, "images to compare with --real")
    data: Data = arg(None, "the run's real images, a name or path as for `bigan train`")
    n: int = arg(0, "real images used, spread evenly over the data; 0: all")
    samples: int = arg(0, "images drawn from the run's prior; 0: as many as there are real ones")
    extractor: str = arg(
        extractors.DEFAULT,
        "efficientnet-lite0, inception, a file of weights, or none: what needs no extractor",
    )
    splits: int = arg(10, "parts of IS and RID")
    seed: int = arg(0, "decides the codes that are drawn")
    bn: Literal["running", "batch"] = arg("running", "statistics that batch normalisation uses")
    code: Literal["mean", "sampled"] = arg("mean", "code of an image, where the encoder is stochastic")
    pair: Literal["auto", "order", "no"] = arg(
        "auto",
        "whether --fake are reconstructions of --real, for RMSE and RID: auto, if their file names agree",
    )
    walks: int = arg(0, "walks between codes, for the path length")
    probe: bool = arg(True, "linear classifiers on the codes, where the data has labels")
    size: Annotated[int | None, default("as they are", "PIXELS")] = arg(
        None, "resize the images of --real and --fake to a square"
    )
    ema: bool = arg(True, "use the averaged weights, where the run has them")
    cache: bool = arg(True, "keep features of real images on disk, for the next time")
    device: str = arg("auto", "auto (the GPU if there is one), cpu, cuda or cuda:N")
    out: Annotated[Path | None, default("RUN/eval.json; for --real and --fake none", "JSON")] = arg(
        None, "file to write the numbers to"
    )

    def __post_init__(self) -> None:
        if self.n < 0:
            raise UserError(f"--n must be 0 or more, got {self.n}")
        if self.size is not None and self.size < 1:
            raise UserError(f"--size must be 1 or more pixels, got {self.size}")


def evaluate(args: list[str]) -> int:
    """Print the numbers as a table, and write them as JSON."""
    c = flags.parse(Eval, args, "bigan eval", Eval.__doc__ or "")
    sets = c.real is not None or c.fake is not None
    if sets == (c.run is not None) or (c.real is None) != (c.fake is None):
        raise UserError("eval: give a run directory, or both --real and --fake: `bigan eval --help`")
    device = Run(device=c.device).torch_device
    extractor = None if c.extractor == "none" else extractors.load(c.extractor, device)
    found, about = _images(c, extractor) if sets else _run(c, extractor, device)
    print(report.table(found))
    out = c.out or (c.run / "eval.json" if c.run else None)
    if out is not None:
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            files.write(out, report.to_json(found, **about).encode(), durable=False)
        except OSError as error:
            raise UserError(f"cannot write {out}: {error.strerror}; --out names another place") from error
        print(f"\nnumbers: {out}")
    return 0


@dataclasses.dataclass(frozen=True)
class Plot:
    """The curves of a run's log, during the training or after it."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = arg(
        tyro.MISSING, "the run directory"
    )
    out: Annotated[Path | None, default("RUN/plots.png", "PNG")] = arg(
        None, "the picture, overwritten if it is there"
    )


def plot(args: list[str]) -> int:
    """Losses and metrics as a PNG."""
    from bigan.engine import plots

    c = flags.parse(Plot, args, "bigan plot", Plot.__doc__ or "")
    if c.out is not None and c.out.suffix.lower() != ".png":
        raise UserError(f"--out must end in .png, got {c.out}")
    print(f"picture: {plots.plot(c.run, c.out)}")
    return 0


def _images(c: Eval, extractor: Any) -> tuple[list[report.Number], dict[str, Any]]:
    """Two sets of images."""
    from bigan.metrics.compare import compare, pixels

    assert c.real is not None and c.fake is not None
    real, fake = (data.load(source, size=c.size, limit=c.n or None) for source in (c.real, c.fake))
    if real.shape[0] != fake.shape[0]:  # grey beside RGB
        real, fake = (data.load(s, size=c.size, limit=c.n or None, channels=3) for s in (c.real, c.fake))
    paired = c.pair == "order"
    if c.pair == "auto":
        order = matched(real, fake)
        paired = order is not None
        if order is not None:
            fake = fake[torch.tensor(order)]
        else:
            print("bigan: the file names do not agree one by one: no RMSE, no RID", file=sys.stderr)
    if paired and (real.shape, len(real)) != (fake.shape, len(fake)):
        shapes = " and ".join(f"{len(x)} of {x.shape[2]}x{x.shape[1]}" for x in (real, fake))
        raise UserError(
            f"pairs must be as many images of one size, got {shapes}; --size N resizes, --pair no"
        )
    about = {"real": c.real, "fake": c.fake, **_about(c, extractor)}
    if extractor is None:
        need(paired, "eval", "without an extractor --real and --fake must be pairs", "other file names")
        return pixels(real.images, fake.images), about
    with _bar(len(real) + len(fake)) as advance:
        found = compare(
            real.images,
            fake.images,
            extractor,
            paired=paired,
            splits=c.splits,
            keep=c.cache,
            progress=advance,
        )
    return found, about


def matched(real: data.Images, fake: data.Images) -> list[int] | None:
    """For each real image the index of the fake one with its name, folders included; None if they do not agree.

    Suffixes, and folders that hold everything, do not count: a/cat/1.jpg is b/cat/1.png.
    """
    if real.names is None or fake.names is None or len(real) != len(fake):
        return None
    place = {name: i for i, name in enumerate(_stems(fake.names))}
    order = [place.get(name) for name in _stems(real.names)]
    return None if None in order or len(place) < len(fake) else [i for i in order if i is not None]


def _stems(names: list[str]) -> list[tuple[str, ...]]:
    parts = [PurePosixPath(name).with_suffix("").parts for name in names]
    while all(len(p) > 1 for p in parts) and len({p[0] for p in parts}) == 1:
        parts = [p[1:] for p in parts]
    return parts


def _run(c: Eval, extractor: Any, device: torch.device) -> tuple[list[report.Number], dict[str, Any]]:
    """A trained system."""
    from bigan.engine import checkpoint
    from bigan.engine.loadrun import load_run
    from bigan.metrics.evaluate import How, probes
    from bigan.metrics.evaluate import evaluate as measure

    assert c.run is not None
    system, record = load_run(c.run, c.ema, device)
    seen, held_out, what = _real(c, system, record)
    index = spread(len(held_out), c.n or len(held_out))
    real, labels = held_out.take(index), held_out.conditions(index)
    how = How(c.samples, c.seed, c.splits, c.bn, c.code, c.walks, keep=c.cache)
    total = (how.samples or len(real)) + len(real) * (1 + system.has_encoder())
    with _bar(total) if extractor is not None else contextlib.nullcontext() as advance:
        found = measure(system, real, extractor, how, advance, labels)
    if c.probe and seen is not None:
        try:
            found += probes(system, seen, held_out, how)
        except MetricError as error:
            print(f"bigan: no probes of the codes: {error}", file=sys.stderr)
    newest = checkpoint.latest(c.run / "checkpoints")
    images = newest.meta["images"] if newest else None
    about = {
        "run": str(c.run), "system": record["system"], "preset": record["preset"], "kimg": (images or 0) / 1000,
        "real": what, "data": held_out.fingerprint, "weights": "ema" if c.ema and record["run"]["ema"] else "last",
        **_about(c, extractor),
        "seed": c.seed, "batch_norm": c.bn, "code": c.code,
    }  # fmt: skip
    return found, about


def _real(c: Eval, system: System, record: dict[str, Any]) -> tuple[data.Images | None, data.Images, str]:
    """(images trained on, if they are at hand; images to measure with; what these are)"""
    channels, size, _ = system.image_shape
    run = from_json(Run, record["run"])

    def conditioned(images: data.Images) -> data.Images:
        return data.conditioned(images, system.labels, record["data"].get("attributes"))

    try:
        everything = data.load(
            run.data, size=run.size, channels=channels, skip_bad=run.skip_bad, cache=run.cache
        )
    except data.DataError as error:
        if c.data is None:
            raise UserError(f"{error}\n(the run's own data; --data gives another name or path)") from error
        return None, conditioned(data.load(c.data, size=size, channels=channels)), c.data
    if c.data is not None:
        other = conditioned(data.load(c.data, size=size, channels=channels))
        alike = other.classes == everything.classes  # not labels of another kind
        return data.split(everything, run.held_out, run.seed)[0] if alike else None, other, c.data
    if everything.fingerprint != record["data"]["fingerprint"]:
        print(
            f"bigan: {run.data} has changed since the training: it may have seen some of these images",
            file=sys.stderr,
        )
    return *data.split(conditioned(everything), run.held_out, run.seed), f"held out of {run.data}"


def _about(c: Eval, extractor: Any) -> dict[str, Any]:
    import bigan

    named = extractor and {"name": extractor.name, "sha256": extractor.hash}
    return {"bigan": bigan.__version__, "torch": torch.__version__, "extractor": named, "splits": c.splits}


@contextlib.contextmanager
def _bar(total: int) -> Iterator[Any]:
    """A progress bar of images, where somebody watches."""
    from tqdm import tqdm

    with tqdm(total=total, unit="img", desc="features", disable=not sys.stderr.isatty(), leave=False) as bar:
        yield bar.update
