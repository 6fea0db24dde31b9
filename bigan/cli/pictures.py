"""`bigan sample`, `reconstruct`, `interpolate`: a run's networks at work, as PNG grids."""
# ruff: noqa: RUF009 (arg() makes a field, as dataclasses.field does)

import dataclasses
import difflib
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from torch import Tensor

from bigan import data
from bigan.cli import flags
from bigan.engine import files, grid
from bigan.engine.config import Run, from_json
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
    ema: bool = arg(True, "use the averaged weights, where the run has them")
    device: str = arg("auto", "auto (the GPU if there is one), cpu, cuda or cuda:N")


@dataclasses.dataclass(frozen=True)
class Sample(Common):
    """Draw codes from N(0, I) and decode them."""

    n: int = arg(64, "how many images")
    seed: int = arg(0, "decides the codes")
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
    system, _ = _load(c)
    noise = Noise(c.seed, next(system.parameters()).device).at(0)
    with system.inference():
        z = system.prior(c.n, noise)
        x = torch.cat([system.generate(part).cpu() for part in z.split(_chunk(system))])
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
    x, what = _images(system, record, c.data, c.n)
    with system.inference():
        x_r = torch.cat([system.reconstruct(part).cpu() for part in _parts(system, x)])
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
    x, _ = _images(system, record, c.data, 2 * c.n)
    if len(x) < 2:
        raise UserError("interpolate needs two images or more")
    n = len(x) // 2
    a, b = (
        x[:n],
        x[n : 2 * n],
    )  # images far apart in the data, so of different classes where it is sorted by class
    with system.inference():
        z = torch.cat([system.encode(part) for part in _parts(system, x[: 2 * n])])  # [2n, Z]
        codes = walk(z[:n], z[n:], c.steps, c.path)  # [n, steps, Z]
        between = torch.cat([system.decode(part).cpu() for part in codes.flatten(0, 1).split(_chunk(system))])
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


def _images(system: System, record: dict[str, Any], source: str | None, n: int) -> tuple[Tensor, str]:
    """Up to n real images in the system's range on the CPU, [n, C, H, W], and what they are."""
    channels, size, _ = system.image_shape
    if source is not None:
        images, what = data.load(source, size=size, channels=channels, limit=n), f"images of {source}"
    else:
        run = from_json(Run, record["run"])
        try:
            everything = data.load(run.data, size=run.size, skip_bad=run.skip_bad, cache=run.cache)
        except data.DataError as error:
            raise UserError(f"{error}\n(the run's own data; --data gives another name or path)") from error
        if everything.fingerprint != record["data"]["fingerprint"]:
            print(
                f"bigan: {run.data} has changed since the training: it may have seen some of these images",
                file=sys.stderr,
            )
        _, images = data.split(everything, run.held_out, run.seed)
        what = f"held-out images of {run.data}"
    if len(images) < n:
        print(f"bigan: there are only {len(images)} {what}", file=sys.stderr)
    index = torch.arange(min(n, len(images))) * len(images) // min(n, len(images))
    return data.scale(images.take(index), system.data_range), what


def _chunk(system: System) -> int:
    """Images that go through the networks at once."""
    _, h, w = system.image_shape
    return max(1, min(64, PIXELS // (h * w)))


def _parts(system: System, x: Tensor) -> list[Tensor]:
    device = next(system.parameters()).device
    return [part.to(device) for part in x.split(_chunk(system))]


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
