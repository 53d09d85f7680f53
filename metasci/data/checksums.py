"""What data say in one number, and what each task says: by these a prior knows what it has learned from."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from metasci.data.batch import Batch
    from metasci.data.tasks import TaskSet

__all__ = ["SUMS", "checksum", "task_checksums"]

SUMS = "task_checksums"  # among what is told of the learning

# units that were converted on different ways differ in the last digits
_DIGITS = 9


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


def task_checksums(batch: Batch) -> list[str]:
    """Of each task, what its label, its conditions, its measurements and its covariates say together.

    Parameters
    ----------
    batch : Batch

    Returns
    -------
    list of str
        16 hexadecimal digits a task. Neither the other tasks nor padding count, and of numbers nine digits.

    Examples
    --------
    >>> import metasci as ms
    >>> prior, tasks = ms.load("theophylline"), ms.dataset("theophylline")
    >>> whole, few = task_checksums(prior.batch(tasks)), task_checksums(prior.batch(tasks.select(["3", "1"])))
    >>> [whole.index(each) for each in few]
    [2, 0]
    """
    mask = batch.mask.cpu().numpy()
    values = {name: tensor.cpu().numpy() for name, tensor in batch.inputs.items()}
    output = batch.output.cpu().numpy()
    below = np.zeros_like(mask) if batch.censored is None else batch.censored.cpu().numpy()
    upper = np.full_like(output, np.nan) if batch.upper is None else batch.upper.cpu().numpy()
    covariates = batch.covariates.cpu().numpy()
    sums = []
    for task, name in enumerate(batch.names):
        rows = mask[task]
        own = [each[task][rows] for each in (output, below, upper)]
        for _, tensor in sorted(values.items()):
            conditions = tensor[task]
            own.append(conditions[rows] if conditions.shape == rows.shape else conditions[conditions != 0.0])
        told = hashlib.sha256(name.encode())
        for part in (*own, covariates[task]):
            told.update(_digits(np.asarray(part, np.float64)) + b";")
        sums.append(told.hexdigest()[:16])
    return sums


def _digits(numbers: np.ndarray) -> bytes:
    return ",".join(f"{number:.{_DIGITS}g}" for number in numbers.ravel().tolist()).encode()
