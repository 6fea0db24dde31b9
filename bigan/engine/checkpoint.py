"""Checkpoints that a kill at any moment, a full disk or a flipped bit cannot take away.

    step-00001200.safetensors   the tensors, flat
    step-00001200.json          {"step", "sha256" of the tensors' file, "meta", "seal" over the rest}

Both are written to temporary names and fsynced before either gets its name; the JSON file gets its name last,
and without it there is no checkpoint. Nothing is ever unpickled.
"""

import errno
import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from bigan import ranks
from bigan.engine import files
from bigan.errors import UserError


class Checkpoint(NamedTuple):
    path: Path  # of the JSON file
    step: int
    tensors: dict[str, Tensor]  # on the CPU
    meta: dict[str, Any]


class NotSaved(UserError):
    """The disk did not take a checkpoint; the ones before are untouched."""


class Damaged(Exception):
    """A checkpoint that is not what was written."""


def save(folder: Path, step: int, tensors: dict[str, Tensor], meta: dict[str, Any], keep: int = 2) -> Path:
    """Write the checkpoint of `step`, then delete all but the last `keep`. NotSaved if the disk refuses."""
    path = _json(folder, step)
    blob = safetensors.torch.save({name: t.contiguous() for name, t in tensors.items()})
    record = {"step": step, "sha256": hashlib.sha256(blob).hexdigest(), "meta": meta}
    record["seal"] = _seal(record)
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target, data in ((_tensors(path), blob), (path, json.dumps(record, indent=1).encode())):
            written.append(files.write_temporary(target, data))
        for temporary in written:
            os.replace(temporary, temporary.with_suffix(""))
        files.sync_folder(folder)
    except OSError as error:
        for temporary in written:
            temporary.unlink(missing_ok=True)
        full = (
            "the disk is full"
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else error.strerror or str(error)
        )
        raise NotSaved(f"the checkpoint of step {step} could not be written to {folder}: {full}") from error
    # Later ones were found damaged, or this step would not have been reached again.
    older = [s for s in steps(folder) if s <= step]
    for stale in set(steps(folder)) - set(older[-keep:]):
        _delete(_json(folder, stale))
    return path


def latest(folder: Path, tell: Callable[[str], None] | None = None) -> Checkpoint | None:
    """The newest checkpoint that is whole; None where there is none. Says which it had to pass over."""
    tell = tell or (lambda message: print(f"bigan: {message}", file=sys.stderr))
    found = steps(folder)
    for step in reversed(found):
        try:
            return load(_json(folder, step))
        except Damaged as damage:
            tell(f"checkpoint {_json(folder, step)} is damaged ({damage}); trying the one before it")
        except FileNotFoundError:  # a training in progress has just replaced it
            if steps(folder) != found:
                return latest(folder, tell)
            tell(f"checkpoint {_json(folder, step)} lacks its tensors; trying the one before it")
    if found:
        raise UserError(f"none of the checkpoints in {folder} can be used; move them away to start again")
    return None


def load(path: Path) -> Checkpoint:
    """Read a checkpoint by its JSON file. Damaged where a bit of either file is not as it was written."""
    try:
        record = json.loads(path.read_bytes())
        seal = record.pop("seal")
        step, sha256, meta = record["step"], record["sha256"], record["meta"]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Damaged("its JSON file is cut short or altered") from None
    if seal != _seal(record):
        raise Damaged("its JSON file is altered")
    try:
        blob = _tensors(path).read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:  # a bad sector
        raise Damaged(error.strerror) from error
    if hashlib.sha256(blob).hexdigest() != sha256:
        raise Damaged("the hash of its tensors does not match")
    try:
        return Checkpoint(path, step, safetensors.torch.load(blob), meta)
    except SafetensorError as error:
        raise Damaged(str(error)) from error


def shared(found: Checkpoint | None) -> Checkpoint | None:
    """What rank 0 found, on every rank: only that one needs to see the folder."""
    if ranks.count() == 1:
        return found
    head = None if found is None else {"path": str(found.path), "step": found.step, "meta": found.meta}
    head = json.loads(ranks.from_first(json.dumps(head).encode()))
    if head is None:
        return None
    blob = ranks.from_first(safetensors.torch.save(found.tensors) if found else b"")
    return Checkpoint(Path(head["path"]), head["step"], safetensors.torch.load(blob), head["meta"])


def steps(folder: Path) -> list[int]:
    """The steps of the checkpoints in a folder, in order."""
    return sorted(int(p.stem.removeprefix("step-")) for p in folder.glob("step-*.json"))


def clean(folder: Path) -> None:
    """Remove what a kill left half written. Only for the process that owns the run."""
    for path in folder.glob(f"*{files.TEMPORARY}"):
        path.unlink(missing_ok=True)
    for path in folder.glob("step-*.safetensors"):
        if not path.with_suffix(".json").exists():
            path.unlink(missing_ok=True)


def _seal(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _json(folder: Path, step: int) -> Path:
    return folder / f"step-{step:08d}.json"


def _tensors(path: Path) -> Path:
    return path.with_suffix(".safetensors")


def _delete(path: Path) -> None:
    path.unlink(missing_ok=True)  # first: from here on there is no such checkpoint
    _tensors(path).unlink(missing_ok=True)
