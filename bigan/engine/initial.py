"""`--init-from RUN`: a training that starts from another run's weights."""

from pathlib import Path
from typing import Any

from torch import Tensor

from bigan.engine import checkpoint
from bigan.engine.config import Run
from bigan.engine.rundir import read_config
from bigan.engine.state import part
from bigan.errors import UserError
from bigan.systems.base import System


def start_from(system: System, run: Run) -> dict[str, Any]:
    """Give `system` the trained (not averaged) weights and statistics of `run.init_from`'s newest checkpoint.

    Optimisers, averages and time start anew. A run that has a checkpoint of its own is left alone.
    Returns what config.json says of it. UserError where there are no such weights, or the networks do not fit.
    """
    saved = read_config(run.out)
    if saved and checkpoint.steps(run.out / "checkpoints"):
        return saved.get("init", {})
    path = Path(run.init_from)
    record = read_config(path)
    found = checkpoint.latest(path / "checkpoints") if record else None
    if record is None or found is None:
        lacks = "checkpoint yet" if record else "config.json" if path.exists() else "such folder"
        raise UserError(f"--init-from must be a run with a checkpoint, got {path}: no {lacks}")
    weights = part(found.tensors, "model")
    if misfit := _misfit(weights, system.state_dict()):
        raise UserError(
            f"--init-from {path}: the networks of that {record['system']} do not fit these: {misfit}. "
            "Give the system, --size and network settings of that run."
        )
    system.load_state_dict(weights)
    return {"kimg": found.meta["images"] / 1000}


def _misfit(there: dict[str, Tensor], here: dict[str, Tensor]) -> str | None:
    """The first tensor that differs in name or shape."""
    for name in [*here, *(set(there) - set(here))]:
        shapes = [str(list(side[name].shape)) if name in side else "missing" for side in (there, here)]
        if shapes[0] != shapes[1]:
            return f"{name} is {shapes[0]} there, {shapes[1]} here"
    return None
