"""ALI on 25 Gaussians in the plane: the paper's toy (Dumoulin et al. 2016, arXiv:1606.00704, sec. 4)."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from bigan.engine import files
from bigan.engine.noise import PICTURES, Noise
from bigan.engine.progress import tell
from bigan.metrics.modes import GRID, STD, modes
from bigan.metrics.published import MODES, NEAR
from bigan.metrics.report import Estimate, Number, number
from bigan.systems import ali

MEANS = GRID  # [25, 2]
POINTS, SAMPLES, BATCH = 100_000, 10_000, 100


def points(seed: int) -> Tensor:
    """-> [POINTS, 2, 1, 1]"""
    rand = torch.Generator().manual_seed(seed)
    which = torch.randint(len(MEANS), (POINTS,), generator=rand)
    return (MEANS[which] + STD * torch.randn(POINTS, 2, generator=rand))[:, :, None, None]


def covered(x: Tensor) -> tuple[int, float]:
    """(modes that a sample is nearest to, share of the samples within 3 deviations of one).  [N, 2]"""
    found = modes(x)
    return found.covered, found.near


def train(seed: int, kimg: float, lr: float, device: str, fast: bool = False) -> tuple[ali.ALI, Tensor]:
    """-> the system, its training data.  fast: as `bigan train --fast` does"""
    torch.manual_seed(seed)
    system = ali.build(dataclasses.replace(ali.MIXTURE, lr=lr), (2, 1, 1)).to(device)
    system.one_pass = fast  # its critic couples no points
    players: dict[str, Any] = system.players()
    for player in players.values():
        player.opt.param_groups[0].update(fused=fast)
    noise = Noise(seed, device)
    data, rand = points(seed).to(device), torch.Generator().manual_seed(seed)
    for step in range(round(1000 * kimg / BATCH)):
        k = step % (POINTS // BATCH)
        if k == 0:
            order = torch.randperm(POINTS, generator=rand).to(device)
        x = data[order[k * BATCH : (k + 1) * BATCH]]
        system.step(x, noise.at(step), kimg=step * BATCH / 1000, **players)
    return system, data


def drawn(system: ali.ALI, data: Tensor, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Some of the data, their reconstructions, and samples.  -> [SAMPLES, 2] each, on the CPU"""
    with system.inference():
        x = data[:SAMPLES]
        samples = system.sample(SAMPLES, Noise(seed, str(data.device)).at(PICTURES))
        real, again, new = (t.flatten(1).cpu() for t in (x, system.reconstruct(x), samples))
    return real, again, new


def error(x: Tensor, again: Tensor) -> float:
    """The root of the mean squared distance.  [N, 2], [N, 2]"""
    return (again - x).square().sum(1).mean().sqrt().item()


def picture(*clouds: Tensor, side: int = 320, reach: float = 6.0) -> Image.Image:
    """Each cloud of points as a square of the plane, [-reach, reach]^2, dark where they are many.  [N, 2] each"""
    squares = []
    for cloud in clouds:
        at = ((cloud / reach + 1) * side / 2).long()
        at = at[((at >= 0) & (at < side)).all(1)]
        count = torch.bincount((side - 1 - at[:, 1]) * side + at[:, 0], minlength=side * side)
        grey = 255 * (1 - (count.double() / 4).clamp(max=1).sqrt())
        squares.append(torch.nn.functional.pad(grey.view(side, side), (4, 4, 4, 4), value=160.0))
    return Image.fromarray(torch.cat(squares, 1).byte().numpy())


def measured(
    seeds: Sequence[int], kimg: float, device: str, folder: Path, fast: bool = False
) -> list[Number]:
    """`train` for each seed, its result kept in `folder`, so that a seed is never trained twice."""
    runs = []
    for seed in seeds:
        path = folder / f"seed-{seed}-{kimg:g}-kimg{'-fast' if fast else ''}.json"
        if not path.is_file():
            tell(f"seed {seed}")
            real, again, new = drawn(*train(seed, kimg, ali.MIXTURE.lr, device, fast), seed)
            modes, near = covered(new)
            folder.mkdir(parents=True, exist_ok=True)
            picture(real, new, again).save(path.with_suffix(".png"))
            told = {"modes": modes, "near": near, "error": error(real, again)}
            files.write(path, json.dumps(told).encode())
        runs.append(json.loads(path.read_bytes()))
    found = torch.tensor([[run["modes"], run["near"], run["error"]] for run in runs], dtype=torch.float64)
    spread = found.std(0) if len(runs) > 1 else torch.zeros(3)
    names = (MODES, "higher"), (NEAR, "higher"), ("reconstruction error", "lower")
    return [
        number(name, Estimate(value, off, f"standard deviation of {len(runs)} seeds"), better, fake=SAMPLES)
        for (name, better), value, off in zip(names, found.mean(0).tolist(), spread.tolist(), strict=True)
    ]
