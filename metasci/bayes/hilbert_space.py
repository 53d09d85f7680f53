"""Gaussian processes over few coordinates as sums of sines, and measurements that are then dense within tasks only.

A stationary process on a box is nearly a sum of the box's own vibrations with independent normal weights, whose
variances are the spectral density at their frequencies. Given the weights, tasks have nothing in common any more: one
covariance of all measurements falls into one for each task.

What the box's edges do to the covariance is that of each place with the others' mirror images: it falls off with the
distance to these. What sines are left out is the spectral density's tail.

Source: Solin and Särkkä, Stat Comput 30 (2020) 419.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import torch
from torch import Tensor

from metasci.bayes.discrepancy_parts import Places, normal
from metasci.errors import InputError
from metasci.meta.discrepancy.likelihood import BELIEVED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from metasci.meta.discrepancy.state import DiscrepancyState

__all__ = ["ByTask", "Sines", "shared_curve", "sines_for"]

_MOST_SINES = 600

# lengths from the last place to the edge: a mirror image is six off, where the covariance is .0001
_BEYOND = 3.0
_NUMBER = 5.0  # of the box's reach over the length: the sines left out have .0006 of the variance


@dataclass(frozen=True)
class Sines:
    """Sums of sines over rows, in the place of a Matérn process of smoothness 5/2.

    Attributes
    ----------
    number : tuple of int
        Along each coordinate.
    reach : tuple of float
        Half the width of the box, along each coordinate.
    place : array, (row, coordinate)
    """

    number: tuple[int, ...]
    reach: tuple[float, ...]
    place: np.ndarray

    @classmethod
    def over(cls, place: np.ndarray, shortest: np.ndarray, longest: np.ndarray) -> Sines:
        """As many as lengths between the shortest and the longest need, along each coordinate.

        Examples
        --------
        >>> import numpy as np
        >>> place = np.linspace(-2.0, 2.0, 9)[:, None]
        >>> few = Sines.over(place, np.array([0.5]), np.array([0.5]))
        >>> many = Sines.over(place, np.array([0.2]), np.array([0.5]))
        >>> few.number, many.number, few.reach
        ((35,), (88,), (3.5,))
        """
        reach = 0.5 * np.ptp(place, axis=0) + _BEYOND * longest
        number = np.ceil(_NUMBER * reach / shortest)
        return cls(tuple(int(each) for each in number), tuple(reach.tolist()), place)

    def __len__(self) -> int:
        return math.prod(self.number)

    def curves(self, name: str, lengths: Any, many: int | None = None) -> Any:
        """Processes of variance one with weights of their own, (row,) or (row, curve), in PyMC's model.

        Parameters
        ----------
        name : str
            Of the weights, which are standard normal.
        lengths : array or symbol, (coordinate,)
        many : int, optional
            How many curves.
        """
        waves, root = self._waves(lengths)
        weight = normal(name, (len(self),) if many is None else (len(self), many))
        return pt.dot(waves, (root if many is None else root[:, None]) * weight)

    def basis(self, lengths: np.ndarray) -> np.ndarray:
        """What each weight adds at known lengths, (row, weight).

        Examples
        --------
        >>> import numpy as np
        >>> sines = Sines.over(np.linspace(-1.0, 1.0, 3)[:, None], np.ones(1), np.ones(1))
        >>> basis = sines.basis(np.ones(1))
        >>> (basis @ basis.T)[0].round(2).tolist()  # Matern's covariance: 1, .524 and .139
        [1.0, 0.52, 0.14]
        """
        waves, root = self._waves(lengths)
        return np.asarray(waves * root.eval())

    def _waves(self, lengths: Any) -> tuple[np.ndarray, Any]:
        """Sines at the rows, which do not hang on lengths, and the roots of their variances."""
        process = pm.gp.HSGP(
            m=list(self.number),
            L=list(self.reach),
            cov_func=pm.gp.cov.Matern52(len(self.number), ls=lengths),
        )
        waves, root = process.prior_linearized(self.place)
        return waves.eval(), root


@dataclass(frozen=True)
class ByTask:
    """Rows laid out by task, (task, place); where a task has fewer than others, places stay empty.

    Attributes
    ----------
    index : array of int, (task, place)
        Which row; one beyond the last where there is none.
    seen : array of bool, (task, place)
    """

    index: np.ndarray
    seen: np.ndarray

    @classmethod
    def of(cls, task: np.ndarray) -> ByTask:
        """Of the number of each row's task.

        Examples
        --------
        >>> import numpy as np
        >>> ByTask.of(np.array([0, 0, 2])).index.tolist()
        [[0, 1], [2, 3]]
        """
        rows = [np.flatnonzero(task == label) for label in np.unique(task)]
        most = max(len(each) for each in rows)
        index = np.array([np.pad(each, (0, most - len(each)), constant_values=len(task)) for each in rows])
        return cls(index, index < len(task))

    def laid_out(self, rows: Any) -> Any:
        """Values of rows, (row, ...), by task; zero where there is no row."""
        joined = np if isinstance(rows, np.ndarray) else pt
        return joined.concatenate([rows, joined.zeros_like(rows[:1])])[self.index]

    def measured(self, name: str, centre: Any, covariance: Any, variance: Any, values: np.ndarray) -> None:
        """Observe measurements (row,) about a centre (row,): normal, and dependent within tasks only.

        Parameters
        ----------
        name : str
        centre, variance, values : array or symbol, (row,)
        covariance : array or symbol, (task, place, place)
            Beside the variance of each. An empty place counts as a standard normal that was found at zero.
        """
        both = self.seen[:, :, None] & self.seen[:, None, :]
        alone = pt.where(self.seen, self.laid_out(variance), 1.0)
        whole = pt.where(both, covariance, 0.0) + alone[:, :, None] * np.eye(self.seen.shape[1])
        pm.MvNormal(
            name, self.laid_out(centre), chol=pt.linalg.cholesky(whole), observed=self.laid_out(values)
        )


def sines_for(state: DiscrepancyState, data: Places, scales_known: bool) -> list[Sines]:
    """Of what all tasks share, then of what groups of each level do.

    Raises
    ------
    InputError
        If too many are needed, or covariates are not known, so that nobody can say how alike tasks are.
    """
    nothing = {name: torch.zeros_like(value) for name, value in state.scales.items()}
    centre = state.scales if scales_known else nothing | state.first
    off = 0.0 if scales_known else BELIEVED

    def over(place: np.ndarray, lengths: Tensor) -> Sines:
        return Sines.over(place, np.exp(lengths.numpy() - off), np.exp(lengths.numpy() + off))

    # covariates are further coordinates, as whose distance their mean counts
    covariates = data.covariates[data.rows.task] / math.sqrt(max(data.covariates.shape[1], 1))
    lengths = torch.cat([centre["shared_lengths"], centre["covariate_lengths"]])
    found = [over(np.concatenate([data.place, covariates], 1), lengths)]
    found += [over(data.place, centre["group_lengths"][level]) for level in range(state.levels)]
    if data.unknown.any():
        raise InputError("some covariates are not known, which sums of sines do not take: leave `sines` out.")
    if (many := sum(map(len, found))) > _MOST_SINES:
        raise InputError(
            f"{many} sines would be needed over {found[0].place.shape[1]} coordinates and covariates, more than "
            f"{_MOST_SINES}: leave `sines` out."
        )
    return found


def shared_curve(state: DiscrepancyState, data: Places, scales: Mapping[str, Any], waves: list[Sines]) -> Any:
    """What the equation leaves out that tasks share, (row,), as sums of sines."""
    unit, task = float(state.unit), data.rows.task
    lengths = pt.exp(pt.concatenate([scales["shared_lengths"], scales["covariate_lengths"]]))
    value = unit * pt.exp(scales["shared"]) * waves[0].curves("shared_waves", lengths)
    for level, some in enumerate(waves[1:]):
        group = data.group[task, level]
        groups = int(data.group[:, level].max()) + 1
        high = normal(f"group_height_{level}", (groups,))
        curves = some.curves(f"group_waves_{level}", pt.exp(scales["group_lengths"][level]), groups)
        along = pt.exp(scales["group"][level]) * curves[np.arange(len(task)), group]
        value = value + unit * (pt.exp(scales["group_level"][level]) * high[group] + along)
    return value
