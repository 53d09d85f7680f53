"""One number for what data say, wherever they came from: by it a prior knows the data that it has learned from."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from metasci.data.tasks import TaskSet

__all__ = ["checksum", "content_checksum"]


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
    return str(tasks.dataset.attrs.get("checksum", "")) or content_checksum(tasks)


def content_checksum(tasks: TaskSet) -> str:
    """SHA-256 of every variable's name, unit, shape and values, and of the tasks' names.

    Examples
    --------
    >>> import metasci as ms
    >>> patients = ms.dataset("theophylline")
    >>> content_checksum(patients) == content_checksum(patients.select(range(12)))
    True
    >>> content_checksum(patients) == content_checksum(patients.select(range(11)))
    False
    """
    digest = hashlib.sha256("\0".join(tasks.names).encode())
    for name in sorted(str(name) for name in tasks.dataset.data_vars):
        variable = tasks.dataset[name]
        values = np.ascontiguousarray(variable.values)
        if values.dtype.kind in "fiub":
            values = values.astype("<f8")
            values = np.where(np.isnan(values), np.nan, values + 0.0)  # one NaN, and no negative zero
            content = values.tobytes()
        else:
            content = "\0".join(str(value) for value in values.ravel()).encode()
        digest.update(f"\0{name}\0{variable.attrs.get('units', '')}\0{values.shape}\0".encode())
        digest.update(content)
    return digest.hexdigest()
