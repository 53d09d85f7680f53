"""Progress on the terminal, where it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = ["bar", "shown", "track"]


class bar:
    """A progress bar on the terminal, or nothing."""

    def __init__(self, title: str, total: int, show: bool) -> None:
        self.bar, self.title, self.total = None, title, total
        if show:
            from rich.console import Console
            from rich.progress import Progress

            self.bar = Progress(console=Console(stderr=True), transient=True)

    def __enter__(self):  # type: ignore[no-untyped-def]
        if self.bar is None:
            return lambda iteration: None
        self.bar.start()
        task = self.bar.add_task(f"learning ({self.title})", total=self.total)
        return lambda iteration: self.bar.update(task, completed=iteration)

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.stop()


def track(items: list[Any], text: str, show: bool) -> Iterator[Any]:
    """The items, with a bar that says `text` if asked."""
    if not show:
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    yield from track(items, text, console=Console(stderr=True), transient=True)


def shown(items: Iterator[Any], total: int, progress: bool) -> Iterator[Any]:
    """The items, with a progress bar on the terminal if asked."""
    from rich.console import Console
    from rich.progress import track

    yield from track(
        items, "calibrating", total, console=Console(stderr=True), transient=True, disable=not progress
    )
