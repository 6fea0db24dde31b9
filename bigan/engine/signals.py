"""SIGTERM and Ctrl-C as a question the loop asks between two steps."""

import signal
import threading
from types import TracebackType

from bigan import ranks
from bigan.engine.progress import tell


class Signals:
    """While entered, the first SIGTERM or SIGINT is noted in `caught`; a second acts as it did before.

    Of several ranks each gets a terminal's Ctrl-C twice, from torchrun too, and does not count: torchrun kills
    those that take too long.
    """

    def __init__(self) -> None:
        self.caught = 0
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        while self._before:
            number, handler = self._before.popitem()
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: object) -> None:
        if ranks.count() > 1 and self.caught:
            return
        self.caught = number
        if ranks.count() == 1:
            self.__exit__(None, None, None)
        quit = "; once more to quit without" if ranks.count() == 1 else ""
        tell(f"{signal.Signals(number).name}: saving a checkpoint{quit}")
