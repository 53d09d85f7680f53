"""Progress on standard error: a bar where there is a terminal, a line a minute where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["bar", "shown", "track"]

T = TypeVar("T")

_EVERY = 60.0  # seconds between lines: a log of an hour stays readable


@contextmanager
def bar(title: str, total: int, show: bool) -> Iterator[Callable[[int], None]]:
    """What to call with the number of iterations that are done; draws nothing unless asked.

    Examples
    --------
    >>> with bar("a line", 3, show=False) as advance:
    ...     advance(1)
    """
    with _drawn(f"learning ({title})", total, show) as advance:
        yield advance


def track(items: list[T], text: str, show: bool) -> Iterator[T]:
    """The items, with a bar that says `text` if asked.

    Examples
    --------
    >>> list(track([1, 2], "counting", show=False))
    [1, 2]
    """
    yield from _tracked(items, text, len(items), show)


def shown(items: Iterator[T], total: int, progress: bool) -> Iterator[T]:
    """The items, of which there are `total`, with a bar if asked."""
    yield from _tracked(items, "calibrating", total, progress)


def _tracked(items: Iterable[T], text: str, total: int, show: bool) -> Iterator[T]:
    with _drawn(text, total, show) as advance:
        for done, item in enumerate(items, 1):
            yield item
            advance(done)


@contextmanager
def _drawn(text: str, total: int, show: bool) -> Iterator[Callable[[int], None]]:
    if not show:
        yield lambda done: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task(text, total=total)
            yield lambda done: progress.update(task, completed=done)
    else:
        yield _lines(text, total)


def _lines(text: str, total: int) -> Callable[[int], None]:
    """A line after each minute; work of less than a minute says nothing."""
    began = last = time.monotonic()

    def advance(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _EVERY:
            last = now
            print(
                f"{text}: {done} of {total} after {(now - began) / 60.0:.0f} min", file=sys.stderr, flush=True
            )

    return advance
