"""NONMEM's final estimates, as its ``.ext`` file has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from metasci.errors import InputError
from metasci.regular_files import bytes_of

__all__ = ["Estimates", "final_estimates"]

_FINAL = -1000000000
"""The iteration under which NONMEM writes the final estimates."""


@dataclass(frozen=True)
class Estimates:
    """Fixed effects θ in their order, Ω, Σ, and the objective function's value."""

    fixed: Sequence[float]
    between: NDArray[np.float64]
    within: NDArray[np.float64]
    objective: float


def final_estimates(path: Path, fixed: int, between: int, within: int) -> Estimates | None:
    """The estimates of the last table in the ``.ext`` file beside a control stream; None where there is no such file.

    Parameters
    ----------
    path : Path
        The control stream.
    fixed, between, within : int
        How many θ, η and ε it has.

    Raises
    ------
    InputError
        If the file lacks what the control stream has.
    """
    beside = path.with_suffix(".ext")
    if not beside.is_file():
        return None
    names: list[str] = []
    values: dict[str, float] = {}
    for line in bytes_of(beside).decode("utf-8", "replace").splitlines():
        cells = line.split()
        if cells[:1] == ["ITERATION"]:
            names = cells
        elif names and len(cells) == len(names) and _is_final(cells[0]):
            values = dict(zip(names, (float(cell) for cell in cells), strict=True))
    objective = next((values[name] for name in ("OBJ", *reversed(names)) if name in values), float("nan"))

    def value(name: str) -> float:
        if name not in values:
            raise InputError(f"{beside}: there is no final estimate of {name}, which {path.name} has.")
        return values[name]

    def matrix(kind: str, size: int) -> NDArray[np.float64]:
        lower = np.array(
            [[value(f"{kind}({i + 1},{j + 1})") if j <= i else 0.0 for j in range(size)] for i in range(size)]
        ).reshape(size, size)
        return lower + np.tril(lower, -1).T

    return Estimates(
        [value(f"THETA{place + 1}") for place in range(fixed)],
        matrix("OMEGA", between),
        matrix("SIGMA", within),
        objective,
    )


def _is_final(cell: str) -> bool:
    try:
        return int(cell) == _FINAL
    except ValueError:
        return False
