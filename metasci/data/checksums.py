"""One number for what data say, wherever they came from: by it a prior knows the data that it has learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metasci.data.tasks import TaskSet

__all__ = ["checksum"]


def checksum(tasks: TaskSet) -> str:
    """SHA-256 of the file that tasks were read from, or of their content where they came from none.

    Parameters
    ----------
    tasks : TaskSet

    Returns
    -------
    str
        64 hexadecimal digits; never empty, so that two data sets are the same by it only where they are.

    Examples
    --------
    >>> import metasci as ms
    >>> checksum(ms.dataset("theophylline"))[:8]
    'fcae6e05'
    """
    return str(tasks.dataset.attrs.get("checksum", "")) or tasks.checksum
