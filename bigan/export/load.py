"""A trained model from wherever it is."""

import re
from pathlib import Path

import torch

from bigan.engine.loadrun import load_run
from bigan.errors import UserError
from bigan.export import folder
from bigan.export.hub import fetch
from bigan.export.model import Model

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def load(
    source: Path | str, *, ema: bool = True, device: torch.device | str = "cpu", revision: str | None = None
) -> Model:
    """The model in a run directory, in an exported folder, or of a Hugging Face id such as "user/name".

    ema: the averaged weights, where a run has them (an export has one kind).
    revision: branch, tag or commit on the hub.

    UserError where there is no such model, or none that this version of bigan can read; nothing is unpickled.
    """
    path = Path(source)
    if not path.exists():
        if not HUB_ID.fullmatch(str(source)):
            raise UserError(f"{str(source)!r} is neither a folder nor a hub id such as 'user/name'")
        path = fetch(str(source), revision=revision)
    if not (path / "config.json").is_file():
        raise UserError(f"{path} is neither a run directory nor an exported model: it has no config.json")
    if (path / folder.WEIGHTS).is_file():
        return Model(*folder.read(path)).to(device)
    system, record = load_run(path, ema, device)
    return Model(system, folder.describe(record))
