"""TensorBoard's events, where tensorboard is installed."""

import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bigan.engine.progress import tell

NO_TENSORBOARD = "no TensorBoard events: tensorboard is not installed (pip install tensorboard)"


class Events:
    """Writes until something fails; then says so once and writes no more. The axis is images seen."""

    def __init__(self, path: Path, images: int):
        self.path = path
        self._writer: Any = None
        self._hook: Any = None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # its own, at import
                from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            tell(NO_TENSORBOARD)
            return
        self._hook, threading.excepthook = threading.excepthook, self._on_thread_error
        after = images + (images > 0)  # what a killed process wrote after its last checkpoint is hidden
        self._try(lambda: setattr(self, "_writer", SummaryWriter(str(path), purge_step=after)))

    def scalars(self, values: dict[str, float], images: int) -> None:
        def write() -> None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, images)
            self._writer.flush()

        if self._writer:
            self._try(write)

    def picture(self, name: str, image: Image.Image, images: int) -> None:
        if self._writer:
            pixels = np.atleast_3d(np.asarray(image))  # [H, W, 1 or 3]
            self._try(lambda: self._writer.add_image(name, pixels, images, dataformats="HWC"))

    def close(self) -> None:
        if self._writer:
            self._try(self._writer.close)
            self._writer = None
        if self._hook:
            for thread in filter(_is_writer, threading.enumerate()):
                thread.join(1.0)  # one that failed may not have told its error yet
            threading.excepthook, self._hook = self._hook, None

    def _try(self, write: Callable[[], Any]) -> None:
        try:
            write()
        except OSError as error:
            self._writer = None
            tell(f"no more TensorBoard events in {self.path}: {error.strerror or error}")

    def _on_thread_error(self, error: threading.ExceptHookArgs) -> None:
        # The writer's own thread hands its error on to our next call: no traceback for a full disk.
        if not (isinstance(error.exc_value, OSError) and _is_writer(error.thread)):
            self._hook(error)


def _is_writer(thread: threading.Thread | None) -> bool:
    return type(thread).__module__.startswith("tensorboard.")
