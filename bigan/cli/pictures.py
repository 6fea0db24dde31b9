"""`bigan sample`, `reconstruct`, `interpolate`: a run's networks at work, as PNG grids."""
# ruff: noqa: RUF009 (arg() makes a field, as dataclasses.field does)

import dataclasses
import difflib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from torch import Tensor

from bigan import data
from bigan.cli import flags
from bigan.data.images import LABELS, shuffled
from bigan.engine import files, grid
from bigan.engine.config import Run, from_json
from bigan.engine.gallery import parts, spread
from bigan.engine.loadrun import load_run
from bigan.engine.noise import Noise
from bigan.engine.walk import walk
from bigan.errors import UserError
from bigan.systems.base import System, arg

PIXELS = 2**22  # in one pass through the networks


def default(text: str, metavar: str) -> Any:
    """How --help shows a flag whose default is worked out later."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {text})")


Data = Annotated[str | None, default("what the run held out of its own data", "DATA")]


@dataclasses.dataclass(frozen=True)
class Common:
    """The flags of all three commands."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")] = arg(
        tyro.MISSING, "the run directory"
    )
    out: Annotated[Path | None, default("RUN/COMMAND.png", "PNG")] = arg(
        None, "the picture, overwritten if it is there"
    )
    attributes: Annotated[
        str | None, default("those of the images; of new ones, of held-out images", "NAMES")
    ] = arg(None, "of a conditional run: what is to be true of all images, names or numbers with commas")
    ema: bool = arg(True, "use the averaged weights, where the run has them")
    device: str = arg("auto", "auto (the GPU if there is one), cpu, cuda or cuda:N")


@dataclasses.dataclass(frozen=True)
class Sample(Common):
    """Draw codes from N(0, I) and decode them."""

    n: int = arg(64, "how many images")
    seed: int = arg(0, "decides the codes, and whose attributes are taken")
    npz: bool = arg(False, "also write the pixels beside the picture: NPZ, key images, uint8 [N, H, W, C]")


@dataclasses.dataclass(frozen=True)
class Reconstruct(Common):
    """Encode images and decode their codes: originals beside reconstructions, and the mean squared error."""

    data: Data = arg(None, "a name or path as for `bigan train`")
    n: int = arg(32, "how many images, spread evenly over the data")


@dataclasses.dataclass(frozen=True)
class Interpolate(Common):
    """Walk between the codes of two images; a row a pair, the two originals at its ends."""

    data: Data = arg(None, "a name or path as for `bigan train`")
    n: int = arg(8, "how many pairs of images, spread evenly over the data")
    steps: int = arg(8, "decoded codes in a row, both ends included")
    path: Literal["sphere", "line"] = arg(
        "sphere", "along the great circle, the length changing evenly; or straight"
    )


def sample(args: list[str]) -> int:
    """New images."""
    c = _parse(Sample, args)
    system, record = _load(c)
    noise = Noise(c.seed, next(system.parameters()).device).at(0)
    labels = _given(c, system, record, c.n)
    if labels is None:
        images, _ = _held_out(record, "--attributes NAMES needs no data")
        order = torch.from_numpy(shuffled(len(images), c.seed, 0, purpose=LABELS))
        labels = _labels(
            system, record, images, order[torch.arange(c.n) % len(images)]
        )  # the first for any n
    with system.inference():
        z = system.prior(c.n, noise)
        x = torch.cat([system.generate(*part).cpu() for part in _parts(system, z, *labels)])
    out = _write(c, grid.grid(x, system.data_range))
    if c.npz:
        import numpy as np

        path = out.with_suffix(".npz")
        np.savez_compressed(path, images=grid.to_uint8(x, system.data_range).numpy())
        print(f"pixels: {path}")
    return 0


def reconstruct(args: list[str]) -> int:
    """Originals beside reconstructions."""
    c = _parse(Reconstruct, args)
    system, record = _load_encoder(c)
    (x, *labels), what = _images(c, system, record, c.n)
    with system.inference():
        x_r = torch.cat([system.reconstruct(*part).cpu() for part in _parts(system, x, *labels)])
    low, high = system.data_range
    mse = (x_r - x).square().mean().item() / (high - low) ** 2
    _write(c, grid.pairs(x, x_r, system.data_range))
    print(f"mse:     {mse:.5f} ({len(x)} {what}; mean over images, channels and pixels, pixels in [0, 1])")
    return 0


def interpolate(args: list[str]) -> int:
    """From one image to another through the codes."""
    c = _parse(Interpolate, args)
    if c.steps < 2:
        raise UserError(f"--steps must be 2 or more, got {c.steps}")
    system, record = _load_encoder(c)
    (x, *labels), _ = _images(c, system, record, 2 * c.n)
    if len(x) < 2:
        raise UserError("interpolate needs two images or more")
    n = len(x) // 2
    a, b = (
        x[:n],
        x[n : 2 * n],
    )  # images far apart in the data, so of different classes where it is sorted by class
    with system.inference():
        known = [t[: 2 * n] for t in (x, *labels)]
        z = torch.cat([system.encode(*part) for part in _parts(system, *known)])  # [2n, Z]
        codes = [walk(z[:n], z[n:], c.steps, c.path)]  # [n, steps, Z]
        codes += [walk(t[:n].float(), t[n:].float(), c.steps, "line") for t in known[1:]]  # [n, steps, Y]
        flat = [t.flatten(0, 1) for t in codes]
        between = torch.cat([system.decode(*part).cpu() for part in _parts(system, *flat)])
    rows = torch.cat([a[:, None], between.unflatten(0, (n, c.steps)), b[:, None]], dim=1)
    _write(c, grid.grid(rows.flatten(0, 1), system.data_range, columns=c.steps + 2))
    return 0


def _parse(cls: type[Any], args: list[str]) -> Any:
    name = cls.__name__.lower()
    c = flags.parse(cls, args, f"bigan {name}", cls.__doc__ or name)
    if c.n < 1:
        raise UserError(f"--n must be 1 or more, got {c.n}")
    if c.out is not None and c.out.suffix.lower() != ".png":
        raise UserError(f"--out must end in .png, got {c.out}; try --out {c.out.with_suffix('.png')}")
    return c


def _load(c: Any) -> tuple[System, dict[str, Any]]:
    return load_model(c.run, c.ema, Run(device=c.device, seed=getattr(c, "seed", 0)).torch_device)


def load_model(
    run: Path, ema: bool = True, device: torch.device | str = "cpu"
) -> tuple[System, dict[str, Any]]:
    """`load_run`, which names the runs that may have been meant where `run` is none."""
    if not (run / "config.json").is_file():
        wrong = "is no run directory: it has no config.json" if run.is_dir() else "is no run directory"
        raise UserError(f"{str(run)!r} {wrong}{_near(run)}")
    return load_run(run, ema, device)


def _load_encoder(c: Any) -> tuple[System, dict[str, Any]]:
    system, record = _load(c)
    if not system.has_encoder():
        name = type(c).__name__.lower()
        raise UserError(
            f"{name}: a {record['system']} has no encoder, no codes of images; `bigan sample {c.run}` works"
        )
    return system, record


def _near(path: Path) -> str:
    """The run directories that may have been meant: of those around `path`, in it, and in ./runs."""
    places = (path, path.parent, path.parent.parent, Path("runs"))
    runs = sorted({file.parent for place in places for file in place.glob("*/config.json")})
    if path.parent in runs:
        return f"; did you mean {path.parent}?"
    near = difflib.get_close_matches(path.name, [run.name for run in runs], n=2, cutoff=0.5)
    if near:
        return f"; did you mean {' or '.join(str(run) for run in runs if run.name in near)}?"
    return f"; there are: {', '.join(map(str, runs[:5]))}" if runs else "; `bigan train introvae` makes one"


def _images(c: Any, system: System, record: dict[str, Any], n: int) -> tuple[list[Tensor], str]:
    """Up to n real images in the system's range on the CPU, [n, C, H, W], and their labels, if any; what they are."""
    channels, size, _ = system.image_shape
    if c.data is not None:
        images, what = data.load(c.data, size=size, channels=channels, limit=n), f"images of {c.data}"
    else:
        images, what = _held_out(record, "--data gives another name or path")
    if len(images) < n:
        print(f"bigan: there are only {len(images)} {what}", file=sys.stderr)
    index = spread(len(images), n)
    labels = _given(c, system, record, len(index))
    if labels is None:
        labels = _labels(system, record, images, index)
    return [data.scale(images.take(index), system.data_range), *labels], what


def _held_out(record: dict[str, Any], instead: str) -> tuple[data.Images, str]:
    """What the run held out of its own data, and what to call that."""
    run = from_json(Run, record["run"])
    try:
        everything = data.load(run.data, size=run.size, skip_bad=run.skip_bad, cache=run.cache)
    except data.DataError as error:
        raise UserError(f"{error}\n(the run's own data; {instead})") from error
    if everything.fingerprint != record["data"]["fingerprint"]:
        print(
            f"bigan: {run.data} has changed since the training: it may have seen some of these images",
            file=sys.stderr,
        )
    return data.split(everything, run.held_out, run.seed)[1], f"held-out images of {run.data}"


def _given(c: Any, system: System, record: dict[str, Any], n: int) -> tuple[Tensor, ...] | None:
    """The labels that --attributes names, ([n, Y],); () for a system without any; None where images are to tell."""
    if not system.labels:
        if c.attributes is not None:
            raise UserError(f"--attributes: {c.run} was trained without any (--labels 0)")
        return ()
    if c.attributes is None:
        return None
    words = filter(None, map(str.strip, c.attributes.split(",")))
    return (data.having(record["data"]["attributes"], words).expand(n, -1),)


def _labels(system: System, record: dict[str, Any], images: data.Images, index: Tensor) -> tuple[Tensor, ...]:
    """([n, Y],), what a conditional system is told of the images at `index`."""
    try:
        return data.conditioned(images, system.labels, record["data"]["attributes"]).conditions(index)
    except data.DataError as error:
        raise UserError(f"{error}; --attributes NAMES gives the same to all") from error


def _chunk(system: System) -> int:
    """Images that go through the networks at once."""
    _, h, w = system.image_shape
    return max(1, min(64, PIXELS // (h * w)))


def _parts(system: System, *tensors: Tensor) -> Iterator[list[Tensor]]:
    """Batches of tensors [n, ...] in step, on the system's device."""
    device = next(system.parameters()).device
    return ([t.to(device) for t in part] for part in parts(_chunk(system), *tensors))


def _write(c: Any, picture: Any) -> Path:
    import io

    out = c.out or c.run / f"{type(c).__name__.lower()}.png"
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        files.write(out, buffer.getvalue(), durable=False)
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}; --out names another place") from error
    print(f"picture: {out}")
    return out
