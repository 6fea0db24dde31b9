"""A run's directory: settings, log, pictures, checkpoints, and a lock on them.

config.json   log.jsonl   samples/*.png   checkpoints/step-*   events.out.tfevents.*   .lock
"""

import contextlib
import errno
import io
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from bigan.engine import checkpoint, files
from bigan.engine.config import FREE
from bigan.engine.events import Events
from bigan.engine.progress import tell
from bigan.errors import UserError

LOCK = ".lock"


class RunDir:
    """Opens a run's directory for training, new or to be resumed; nobody else can until it is closed.

    `record` is what config.json holds: system, preset, image_shape, config, run, data.  UserError where the
    directory is in use, or holds another run, or no run at all; it is then left as it was.
    """

    def __init__(self, path: Path, record: dict[str, Any], tensorboard: bool = True):
        self.path, self.record = Path(path), record
        self.checkpoints = self.path / "checkpoints"
        self._told: set[str] = set()
        self._tensorboard = tensorboard
        self._events: Events | None = None
        self._lock: int | None = None
        self._check()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self.path)
            fresh = self._check()  # again, now that nobody else can be writing it
            (self.path / "samples").mkdir(exist_ok=True)
            self.checkpoints.mkdir(exist_ok=True)
            self._log = open(self.path / "log.jsonl", "ab", buffering=0)  # noqa: SIM115 (closed by close)
            checkpoint.clean(self.checkpoints)
            if fresh:
                self.write_config()
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise UserError(f"cannot write to {self.path}: {error.strerror}") from error
            raise

    def _check(self) -> bool:
        """Whether the directory is new; UserError where it is not for this run."""
        saved = read_config(self.path)
        if saved is None and (other := _strangers(self.path)):
            raise UserError(
                f"{self.path} is no run directory (it holds {other}); give --out a new or empty one"
            )
        if saved:
            refuse_another_run(self.path, saved, self.record)
        return saved is None

    def write_config(self) -> None:
        files.write(self.path / "config.json", (json.dumps(self.record, indent=2) + "\n").encode())

    def latest(self) -> checkpoint.Checkpoint | None:
        return checkpoint.latest(self.checkpoints, tell)

    def save(self, step: int, tensors: dict[str, Tensor], meta: dict[str, Any], keep: int) -> None:
        """A checkpoint, which also knows how far the log went. Raises checkpoint.NotSaved."""
        with self._unless_full("log.jsonl"):
            os.fsync(self._log.fileno())
        checkpoint.save(self.checkpoints, step, tensors, {**meta, "log_bytes": self._log_bytes()}, keep)

    def rewind(self, log_bytes: int, images: int) -> None:
        """Forget log lines and events after the checkpoint that training goes on from."""
        if log_bytes < self._log_bytes():
            self._log.truncate(log_bytes)
        if self._tensorboard:
            self._events = Events(self.path, images)

    def log(self, line: dict[str, float], images: int) -> None:
        """One line of log.jsonl, and the same for TensorBoard. A number that is not finite is null."""
        text = json.dumps({k: v if math.isfinite(v) else None for k, v in line.items()}) + "\n"
        end = self._log_bytes()
        with self._unless_full("log.jsonl"):
            try:
                if self._log.write(text.encode()) < len(text):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                self._log.truncate(end)  # no torn line
                raise
        if self._events:
            self._events.scalars({k: v for k, v in line.items() if k not in ("step", "kimg")}, images)

    def picture(self, name: str, image: Image.Image, images: int) -> None:
        """samples/<images seen>-<name>.png"""
        path = self.path / "samples" / f"{images:010d}-{name}.png"
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        with self._unless_full("samples"):
            files.write(path, buffer.getvalue(), durable=False)
        if self._events:
            self._events.picture(name, image, images)

    def close(self) -> None:
        if self._events:
            self._events.close()
        if hasattr(self, "_log"):
            self._log.close()
        if self._lock is not None:
            os.close(self._lock)  # and with it the lock goes
            self._lock = None

    def __enter__(self) -> "RunDir":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _log_bytes(self) -> int:
        return os.fstat(self._log.fileno()).st_size

    @contextlib.contextmanager
    def _unless_full(self, what: str) -> Iterator[None]:
        """A line or a picture is not worth a training: say once that it is missing, and go on."""
        try:
            yield
        except OSError as error:
            if what not in self._told:
                self._told.add(what)
                tell(f"cannot write {what} in {self.path}: {error.strerror}; training goes on without")


class Elsewhere:
    """The run's directory for a process that is not the one that writes it (bigan/ranks.py): nothing happens."""

    def __init__(self, path: Path):
        self.path = Path(path)

    def nothing(self, *_: Any, **__: Any) -> None:
        return

    latest = save = log = picture = rewind = write_config = nothing

    def __enter__(self) -> "Elsewhere":
        return self

    def __exit__(self, *_: object) -> None:
        return


def read_config(path: Path) -> dict[str, Any] | None:
    """config.json of a run directory; None where there is none."""
    file = path / "config.json"
    try:
        record = json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise UserError(f"{file} is not readable as JSON: {error}") from None
    if not isinstance(record, dict) or {"system", "image_shape", "config", "run", "data"} - set(record):
        raise UserError(f"{file} is not that of a bigan run")
    return record


def refuse_another_run(path: Path, saved: dict[str, Any], record: dict[str, Any]) -> None:
    """UserError naming each setting in which the run in `path` is not this one."""
    there, here = _identity(saved), _identity(record)
    keys = ["system"] if there["system"] != here["system"] else list(there)
    unlike = [
        f"{key} is {_short(there[key])} there, {_short(here.get(key))} here"
        for key in keys
        if there[key] != here.get(key)
    ]
    if unlike:
        raise UserError(
            f"{path} holds another run: {'; '.join(unlike)}. "
            "Give the same settings to resume it, or another --out to start a new one."
        )


def _identity(record: dict[str, Any]) -> dict[str, Any]:
    """The settings that decide a run's numbers, flat, by the names the user types."""
    flat = {name: record.get(name) for name in ("system", "image_shape")}
    flat |= {f"--{k.replace('_', '-')}": v for k, v in record["run"].items() if k not in FREE}
    flat |= {f"--{k.replace('_', '-')}": v for k, v in record["config"].items()}
    flat |= {f"--init-from {k}": v for k, v in record.get("init", {}).items()}
    return flat | {f"data {k}": v for k, v in record["data"].items() if k not in ("name", "attributes")}


def _short(value: Any) -> str:
    return "not set" if value is None else json.dumps(value)


def _strangers(path: Path) -> str:
    """What a directory without config.json holds that is none of ours."""
    if path.exists() and not path.is_dir():
        return "a file, not a directory" if path.is_file() else "no directory"
    ours = {LOCK, "config.json" + files.TEMPORARY, "samples", "checkpoints", "log.jsonl"}
    others = sorted(p.name for p in path.iterdir() if p.name not in ours) if path.is_dir() else []
    return ", ".join(others[:3]) + (", ..." if len(others) > 3 else "")


def _lock(path: Path) -> int | None:
    """Hold the directory until this process ends, however it ends. Returns the descriptor that holds it."""
    try:
        import fcntl
    except ImportError:  # no flock on this system: nothing is held
        return None
    fd = os.open(path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
            tell(f"{path} cannot be locked ({error.strerror}): do not start a second training on it")
            return fd
        holder = os.pread(fd, 64, 0).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise UserError(
            f"{path} is in use by another training (process {holder}); wait for it, or give another --out"
        ) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd
