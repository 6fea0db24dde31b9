"""What the user sees while training: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import time
from types import TracebackType

from tqdm import tqdm

from bigan import ranks

PLAIN_SECONDS = 30.0  # between plain lines at most
SHOWN = 4  # terms that fit beside the bar
NOT_TERMS = ("step", "kimg", "images_per_s", "val_mse", "seconds")


def tell(message: str) -> None:
    """A line for the user, above the bar if there is one; of several processes the first speaks."""
    if ranks.index() == 0:
        tqdm.write(f"bigan: {message}", file=sys.stderr)


class Progress:
    """Counts images from `start` to `total`; beside them stand the terms of the newest log line."""

    def __init__(self, title: str, total: int, start: int):
        self.title, self.total, self.start, self.done = title, total, start, start
        self.terminal = sys.stderr.isatty() and ranks.index() == 0
        self.bar = tqdm(
            total=total, initial=start, desc=title, unit="img", unit_scale=True, file=sys.stderr,
            disable=not self.terminal, dynamic_ncols=True, smoothing=0.05,
        )  # fmt: skip
        self._began = self._said = time.monotonic()
        self._terms = self._val = ""

    def advance(self, images: int) -> None:
        self.done += images
        self.bar.update(images)

    def show(self, line: dict[str, float]) -> None:
        """The newest log line."""
        terms = [f"{name} {line[name]:.4g}" for name in line if name not in NOT_TERMS][:SHOWN]
        if terms:
            self._terms = "  ".join(terms)
        if "val_mse" in line:
            self._val = f"  val_mse {line['val_mse']:.4g}"
        self.bar.set_postfix_str(self._terms + self._val, refresh=False)
        if not self.terminal and ("val_mse" in line or time.monotonic() - self._said >= PLAIN_SECONDS):
            self._said = time.monotonic()
            tell(self.plain())

    def plain(self) -> str:
        """`introvae 12.8/100.0 kimg, 820 img/s, 01:46 left: rec 12.3  kl 4.56  val_mse 0.0123`"""
        rate = (self.done - self.start) / max(time.monotonic() - self._began, 1e-9)
        left = tqdm.format_interval((self.total - self.done) / rate) if rate > 0 else "?"
        seen = f"{self.title} {self.done / 1000:.1f}/{self.total / 1000:.1f} kimg"
        return f"{seen}, {rate:.0f} img/s, {left} left: {self._terms}{self._val}"

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.close()
