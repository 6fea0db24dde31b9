"""A trained system from its run directory: what sample, reconstruct and interpolate start from."""

from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from bigan import systems
from bigan.engine import checkpoint
from bigan.engine.config import from_json
from bigan.engine.rundir import read_config
from bigan.engine.state import part
from bigan.errors import UserError
from bigan.systems.base import System


def load_run(
    path: Path | str, ema: bool = True, device: torch.device | str = "cpu"
) -> tuple[System, dict[str, Any]]:
    """(system in eval mode, config.json), by the newest whole checkpoint; only reads, also during training.

    To config.json it adds "trained": kimg of the checkpoint, and whether the weights are averaged.
    ema: the averaged weights, where the run has them.
    """
    path = Path(path)
    record = read_config(path)
    if record is None:
        why = "is no run directory: it has no config.json" if path.exists() else "does not exist"
        raise UserError(f"{path} {why}")
    found = checkpoint.latest(path / "checkpoints")
    if found is None:
        raise UserError(f"{path} has no checkpoint yet; train longer, or with a smaller --checkpoint-every")
    module = systems.load(record["system"])
    system = build(module, from_json(module.Config, record["config"]), tuple(record["image_shape"]))
    averaged = part(found.tensors, "ema") if ema else {}
    system.load_state_dict(averaged or part(found.tensors, "model"))
    record["trained"] = {"kimg": found.meta["images"] / 1000, "ema": bool(averaged)}
    return system.to(device).eval(), record


def build(module: ModuleType, config: Any, image_shape: tuple[int, int, int], seed: int = 0) -> System:
    """The system with the initial weights of `seed`: made on the CPU, so the same for every device."""
    try:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            return module.build(config, image_shape)
    except ValueError as error:
        raise UserError(str(error)) from error
