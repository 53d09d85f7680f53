"""How parameters scatter between patients: variances and covariances as publications print them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.errors import InputError
from metasci.parameters import Parameter, ParameterSpace

__all__ = ["Amount", "covariance_of", "variance"]

Amount = float | str
"""A variance, or a text that says one: ``"39.8 %"`` (a coefficient of variation), ``"sd 0.39"``."""
_AMOUNT = re.compile(r"^\s*(sd|var(?:iance)?)?\s*([0-9.eE+-]+)\s*(%)?\s*(?:cv)?\s*$", re.IGNORECASE)


def variance(amount: Amount, parameter: Parameter) -> float:
    """The variance ω² that a number or a text says.

    Examples
    --------
    >>> clearance = Parameter("clearance", "L/h", 4.5, positive=True)
    >>> [round(variance(amount, clearance), 5) for amount in (0.147, "39.8 %", "sd 0.3834")]
    [0.147, 0.14705, 0.147]
    """
    where = f"variability of '{parameter.name}'"
    if isinstance(amount, int | float):
        squared = float(amount)
    else:
        match = _AMOUNT.match(str(amount))
        if match is None:
            raise InputError(f"{where}: '{amount}' is no variance, no 'sd 0.3', and no '30 %'.")
        kind, number, percent = match.groups()
        value = float(number)
        if percent:
            squared = _of_percent(0.01 * value, parameter)
        else:
            squared = value**2 if (kind or "").lower() == "sd" else value
    if not (math.isfinite(squared) and squared >= 0.0):
        raise InputError(f"{where}: {amount} is no variance, which is zero or above.")
    return squared


def _of_percent(cv: float, parameter: Parameter) -> float:
    """ω² of a coefficient of variation: of a log-normal quantity, or of a normal one about its typical value."""
    if parameter.bounds is not None:
        raise InputError(
            f"variability of '{parameter.name}': between bounds it varies on the logit scale: give ω² or 'sd 0.3'."
        )
    return math.log1p(cv**2) if parameter.positive else (cv * parameter.typical) ** 2


_SINGULAR = 1e-12  # of correlations, whose least eigenvalue is a rounding error where two parameters are one


def covariance_of(
    space: ParameterSpace,
    variability: Mapping[Any, Amount] | pd.DataFrame,
    correlation: Mapping[tuple[str, str], float],
    occasions: Mapping[str, Amount],
) -> NDArray[np.float64]:
    """Ω of the parameters, in their order, (parameter, parameter); zero where one does not vary."""
    if isinstance(variability, pd.DataFrame):
        variability = _as_mapping(variability)
    by_name = {parameter.name: parameter for parameter in space}
    pairs = {key: value for key, value in variability.items() if isinstance(key, tuple)}
    single = {key: value for key, value in variability.items() if not isinstance(key, tuple)}
    for key in (*single, *(name for pair in (*pairs, *correlation) for name in pair), *occasions):
        if key not in by_name:
            raise InputError(f"variability: '{key}' is no parameter; they are {', '.join(by_name)}.")
    variances = {key: variance(value, by_name[key]) for key, value in single.items()}
    for parameter in space:
        owner = parameter.tied.removesuffix("_occasion")
        if parameter.tied and owner in occasions:
            variances[parameter.name] = variance(occasions[owner], by_name[owner])
    place = {key: index for index, key in enumerate(space.names)}
    matrix = np.diag([variances.get(key, 0.0) for key in space.names])
    for (first, second), value in {**pairs, **correlation}.items():
        together = float(value)
        if (first, second) in correlation:
            if not -1.0 <= together <= 1.0:
                raise InputError(
                    f"correlation of '{first}' and '{second}': {together:g} is not between -1 and 1."
                )
            together *= math.sqrt(matrix[place[first], place[first]] * matrix[place[second], place[second]])
        matrix[place[first], place[second]] = matrix[place[second], place[first]] = together
    varies = np.diag(matrix) > 0.0
    if matrix[~varies].any():
        raise InputError("variability: a parameter without a variance has a covariance.")
    if not varies.any():
        raise InputError(
            "variability: no parameter varies, so that nothing could be learned of a patient; give one of them a "
            "variance, 'sd 0.3' or '30 %'."
        )
    part = matrix[np.ix_(varies, varies)]
    roots = np.sqrt(np.diag(part))
    if np.linalg.eigvalsh(part / np.outer(roots, roots)).min() <= _SINGULAR:
        raise InputError(
            "variability: these variances and covariances are no covariance matrix (not positive definite)."
        )
    return matrix


def _as_mapping(matrix: pd.DataFrame) -> dict[Any, float]:
    """Variances and covariances of a whole matrix with the parameters' names on both sides."""
    names = [str(name) for name in matrix.index]
    values = matrix.to_numpy(float)
    if names != [str(name) for name in matrix.columns] or not np.allclose(
        values, values.T, rtol=1e-9, atol=0.0
    ):
        raise InputError(
            "variability: the matrix needs the same names on both sides, and has to be symmetric."
        )
    entries: dict[Any, float] = {}
    for i, first in enumerate(names):
        entries[first] = float(values[i, i])
        entries |= {(first, names[j]): float(values[i, j]) for j in range(i) if values[i, j]}
    return entries
