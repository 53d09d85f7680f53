"""Small symmetric systems solved by elimination written out: no library is needed where the program runs.

Gauss and Jordan's elimination without pivots, which a positive definite matrix does not need.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["determinant", "inverse", "solved"]


def eliminated(matrix: Any, right: Any) -> tuple[Any, list[Any]]:
    """(…, n, m) with matrix · x = right, and the pivots, (…) each."""
    size = matrix.shape[-1]
    rows = np.concatenate([matrix, np.broadcast_to(right, (*matrix.shape[:-1], right.shape[-1]))], -1)
    identity, pivots = np.eye(size), []
    for place in range(size):
        row = rows[..., place : place + 1, :]
        pivot = row[..., place : place + 1]
        pivots.append(pivot[..., 0, 0])
        rows = rows - (rows[..., place : place + 1] - identity[:, place : place + 1]) @ (row / pivot)
    return rows[..., size:], pivots


def solved(matrix: Any, right: Any) -> Any:
    """x of matrix · x = right, (…, n), of a positive definite matrix (…, n, n).

    Examples
    --------
    >>> solved(np.array([[4.0, 1.0], [1.0, 3.0]]), np.array([1.0, 2.0])).round(6).tolist()
    [0.090909, 0.636364]
    """
    return eliminated(matrix, right[..., None])[0][..., 0]


def inverse(matrix: Any) -> Any:
    """Of a positive definite matrix (…, n, n)."""
    found = eliminated(matrix, np.eye(matrix.shape[-1]))[0]
    axes = (*range(found.ndim - 2), found.ndim - 1, found.ndim - 2)
    return 0.5 * (found + np.transpose(found, axes))


def determinant(pivots: list[Any]) -> Any:
    """Logarithm of the determinant, from the pivots of `eliminated`."""
    total = 0.0
    for pivot in pivots:
        total = total + np.log(pivot)
    return total
