"""An exported model's folder: model.safetensors, config.json, and a README.md for people and the hub."""

import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

import bigan
from bigan import systems
from bigan.engine import files
from bigan.engine.config import from_json
from bigan.errors import UserError
from bigan.systems.base import System

FORMAT = "bigan-model-1"
WEIGHTS = "model.safetensors"

CARD = """---
library_name: bigan
tags: [bigan, gan, autoencoder, image-generation]
---
# {system}, {side} px

Encoder and generator, trained with bigan {version} on {images:g} thousand images of
`{data}`.

```python
import bigan

model = bigan.load("path/or/hub-id")
{labels}images = model.sample(16{given})  # [16, {channels}, {side}, {side}], pixels in [0, 1]
{use}
```
"""
LABELS = "labels = model.having({name!r})  # of model.attributes, or [16, {labels}] for images one by one\n"
USE = (
    "codes = model.encode(images{given})  # [16, {z_dim}]\n"
    "again = model.decode(codes{given})  # or model.reconstruct(images{given})"
)


def describe(record: dict[str, Any]) -> dict[str, Any]:
    """config.json of the exported model of a run, from what `load_run` gives of the run."""
    kept = {name: record[name] for name in ("system", "preset", "image_shape", "config")}
    trained = {**record["trained"], "data": Path(record["data"]["name"]).name, "seed": record["run"]["seed"]}
    if names := record["data"].get("attributes"):
        kept["attributes"] = names
    return {"format": FORMAT, "bigan": bigan.__version__, **kept, "trained": trained}


def without_critics(system: System) -> System:
    """The system itself, less the networks that only training needs: those called critics."""
    for name in [name for name, _ in system.named_children() if "critic" in name]:
        delattr(system, name)
    return system


def write(path: Path, system: System, record: dict[str, Any]) -> None:
    """Write the folder, over one that is there."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in system.state_dict().items()}
    path.mkdir(parents=True, exist_ok=True)
    files.write(path / WEIGHTS, safetensors.torch.save(tensors, {"format": "pt"}))
    files.write(path / "config.json", (json.dumps(record, indent=2) + "\n").encode())
    channels, side, _ = system.image_shape
    given = ", labels=labels" if system.labels else ""
    card = CARD.format(
        system=record["system"], side=side, channels=channels, version=record["bigan"],
        images=record["trained"]["kimg"], data=record["trained"]["data"],
        use=USE.format(z_dim=system.z_dim, given=given) if system.has_encoder() else "# it has no encoder",
        labels=LABELS.format(name=record["attributes"][0], labels=system.labels) if system.labels else "",
        given=given,
    )  # fmt: skip
    files.write(path / "README.md", card.encode())


def read(path: Path) -> tuple[System, dict[str, Any]]:
    """(system without critics, config.json) of an exported folder; UserError where it is none, or is damaged."""
    try:
        record = json.loads((path / "config.json").read_bytes())
        tensors = safetensors.torch.load_file(path / WEIGHTS)
    except FileNotFoundError as error:
        raise UserError(f"{path} is no exported model: it has no {Path(error.filename).name}") from None
    except (ValueError, SafetensorError) as error:
        raise UserError(f"{path} is damaged: {error}") from error
    if record.get("format") != FORMAT:
        raise UserError(f"{path}: config.json must have format {FORMAT!r}, got {record.get('format')!r}")
    module = systems.load(record["system"])
    with torch.device("meta"):  # no memory, no time for weights that are replaced
        system = module.build(from_json(module.Config, record["config"]), tuple(record["image_shape"]))
    without_critics(system)
    try:
        system.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise UserError(f"{path}: the weights do not fit a {record['system']}: {error}") from error
    return system, record
