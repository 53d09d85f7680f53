"""The numbers that stand in a control stream itself: its effects by name, and its initial estimates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metasci.errors import InputError
from metasci.patients.estimates import Estimates

__all__ = ["effects_of", "initial_estimates", "labels_of"]


def effects_of(path: Path, stream: Any) -> tuple[list[str], list[str], list[str]]:
    """Names of the fixed effects, of the random ones between patients and occasions, and of the residual ones."""
    random = stream.random_variables
    scattering = set(random.parameter_names)
    fixed = [each.name for each in stream.parameters if each.name not in scattering]
    if not random.etas.names:
        raise InputError(f"{path}: there is no $OMEGA, so that patients do not differ.")
    return fixed, list(random.etas.names), list(random.epsilons.names)


def initial_estimates(path: Path, stream: Any, fixed: Sequence[str]) -> Estimates:
    """The estimates that the control stream has; pharmpy would move a matrix that is none of variances."""
    inits = stream.parameters.inits
    for kind in ("OMEGA", "SIGMA"):
        for record in stream.internals.control_stream.get_records(kind):
            for _, lower, _, same in record.parse():
                if not same and not _is_of_variances(lower):
                    raise InputError(
                        f"{path}: the matrix of {' '.join(str(record).split()):.80} is no covariance: it is not "
                        "positive definite, so that a correlation is above 1."
                    )

    def matrix(variables: Any) -> NDArray[np.float64]:
        symbols = variables.covariance_matrix
        size = len(variables.names)
        return np.array([[float(symbols[i, j].subs(inits)) for j in range(size)] for i in range(size)])

    random = stream.random_variables
    return Estimates(
        [float(inits[each]) for each in fixed], matrix(random.etas), matrix(random.epsilons), float("nan")
    )


def _is_of_variances(lower: Sequence[float]) -> bool:
    """Whether a lower triangle, row by row, is that of a covariance matrix.

    Examples
    --------
    >>> _is_of_variances([0.1, 0.05, 0.2]), _is_of_variances([0.1, 0.3, 0.2])
    (True, False)
    """
    size = round(((8 * len(lower) + 1) ** 0.5 - 1) / 2)
    matrix = np.zeros((size, size))
    matrix[np.tril_indices(size)] = lower
    values = np.linalg.eigvalsh(matrix + np.tril(matrix, -1).T)
    return bool(values.min() >= -1e-12 * max(values.max(), 0.0))


def labels_of(stream: Any) -> dict[str, str]:
    """Random effects, and of those that are one quantity on several occasions its label."""
    random = stream.random_variables
    matrix, names = random.etas.covariance_matrix, list(random.etas.names)
    variances = [str(matrix[i, i]) for i in range(len(names))]
    alone = [all(i == j or str(matrix[i, j]) == "0" for j in range(len(names))) for i in range(len(names))]
    return {
        name: variances[i] if alone[i] and variances.count(variances[i]) > 1 else ""
        for i, name in enumerate(names)
    }
