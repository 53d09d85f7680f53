"""A direction among parameters as people read it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["named_combination"]


def named_combination(direction: Sequence[float] | np.ndarray, names: Sequence[str], most: int = 4) -> str:
    """The parameters of a direction with their weights, the greatest first and made 1; small ones are left out.

    Parameters
    ----------
    direction : array, (parameter,)
        In scaled coordinates.
    names : sequence of str
    most : int
        So many terms at most.

    Examples
    --------
    >>> named_combination([0.7, -0.69, 0.01], ["rate", "size", "noise"])
    'rate × 1.00 − size × 0.99'
    """
    weights = np.asarray(direction, float)
    order = np.argsort(-np.abs(weights), kind="stable")
    weights = weights / weights[order[0]]
    kept = [at for at in order[:most] if abs(weights[at]) >= 0.05]
    text = f"{names[kept[0]]} × 1.00"
    for at in kept[1:]:
        text += f" {'+' if weights[at] > 0 else '−'} {names[at]} × {abs(weights[at]):.2f}"
    return text
