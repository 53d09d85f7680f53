"""What a long comparison is doing, line by line: also where there is no terminal to draw a bar on."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Steps"]

_EVERY = 60.0  # seconds: seldom enough for a log, often enough to be seen alive


@dataclass(frozen=True)
class Steps:
    """Lines on standard error, or nothing.

    Attributes
    ----------
    shown : bool
    every : float
        Seconds after which a step that still runs says so again.

    Examples
    --------
    >>> with Steps(False).step("fold 1 of 3"):
    ...     pass
    """

    shown: bool
    every: float = _EVERY

    def say(self, text: str) -> None:
        """One line."""
        if self.shown:
            print(text, file=sys.stderr, flush=True)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Say what begins, and once a minute that it goes on."""
        if not self.shown:
            yield
            return
        self.say(text)
        began, done = time.monotonic(), threading.Event()

        def remind() -> None:
            while not done.wait(self.every):
                self.say(f"{text}: {(time.monotonic() - began) / 60.0:.0f} min so far")

        reminder = threading.Thread(target=remind, daemon=True)
        reminder.start()
        try:
            yield
        finally:
            done.set()
            reminder.join()
