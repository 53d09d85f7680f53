"""Scores: errors, coverage and log density, gathered over tasks and folds."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Score", "holds", "off_by"]

Array = NDArray[np.float64]

_FIGURES = (
    "rmse",
    "mae",
    "mae_sd_over_seeds",
    "mdape",
    "mdpe",
    "f20",
    "f30",
    "mdape_of_prediction",
    "mdpe_of_prediction",
    "coverage90",
    "nlpd",
    "seconds_per_task",
)


def off_by(
    measured: Array, value: Array, below: NDArray[np.bool_] | None = None, up_to: Array | None = None
) -> Array:
    """What was measured less a value, (…, measurement); nothing where it lies where the measurement says.

    Parameters
    ----------
    measured, value : array
    below : array of bool, optional
        Which measurements are limits that values lie below.
    up_to : array, optional
        Up to which number above what was measured the value may lie, infinite or not; NaN of a number.

    Examples
    --------
    >>> up_to = np.array([np.nan, 20.0, 20.0, np.inf])
    >>> off_by(np.full(4, 10.0), np.array([12.0, 12.0, 23.0, 8.0]), None, up_to).tolist()
    [-2.0, 0.0, -3.0, 2.0]
    """
    off = measured - value
    if up_to is not None:
        beyond = np.where(value > up_to, up_to - value, np.maximum(off, 0.0))
        off = np.where(np.isnan(up_to), off, beyond)
    return off if below is None else np.where(below & (value <= measured), 0.0, off)


def holds(
    measured: Array,
    lower: Array,
    upper: Array,
    below: NDArray[np.bool_] | None = None,
    up_to: Array | None = None,
) -> NDArray[np.bool_]:
    """Whether an interval holds what was measured, or reaches to where it says that the value lies."""
    top = measured if up_to is None else np.where(np.isnan(up_to), measured, up_to)
    above = measured <= upper
    return np.asarray((lower <= top) & (above if below is None else above | below))


@dataclass(frozen=True)
class Score:
    """Errors of one method at one number of shots, gathered over folds; which tasks they are of, and of which not."""

    errors: list[np.ndarray]
    measured: list[np.ndarray]
    covered: list[np.ndarray]
    density: list[np.ndarray]
    seconds: list[float]
    seeds: list[int] = field(default_factory=list)
    tasks: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        measured: Tensor,
        median: Tensor,
        lower: Tensor,
        upper: Tensor,
        log_density: Tensor,
        censored: Tensor | None = None,
        up_to: Tensor | None = None,
    ) -> None:
        """Record one task's query, (measurement,) each.

        Of a measurement that lies below a limit a forecast below the limit is no error, and an interval that reaches
        below it covers. So it is above a limit and between two numbers, of which `up_to` is the upper, infinite or
        not, and NaN of a number.
        """
        of_query = [each.detach().numpy() for each in (measured, median, lower, upper, log_density)]
        limits = [None if each is None else each.numpy() for each in (censored, up_to)]
        self.errors.append(off_by(of_query[0], of_query[1], *limits))
        self.measured.append(of_query[0])
        self.covered.append(holds(of_query[0], of_query[2], of_query[3], *limits).astype(float))
        self.density.append(of_query[4])

    def figures(self, aggregate: str) -> dict[str, float]:
        """RMSE, MAE, percentage errors, coverage, negative log density, seconds a task.

        Percentages are of the measurement: ``mdape`` and ``mdpe``, medians of |p − y|/y and (p − y)/y, and ``f20`` and
        ``f30``, the share within 20 and 30 % (Sheiner and Beal 1981); ``mdape_of_prediction`` and
        ``mdpe_of_prediction`` are of the prediction, (y − p)/p, as anaesthetists have them (Varvel and others 1992).
        Without a task all are NaN.
        """
        if not self.errors:
            return dict.fromkeys(_FIGURES, float("nan"))
        flat = np.concatenate(self.errors)
        measured = np.concatenate(self.measured)
        error = -flat / np.maximum(np.abs(measured), 1e-12)
        of_prediction = flat / np.maximum(np.abs(measured - flat), 1e-12)
        squares = [np.mean(e**2) for e in self.errors]
        rmse = {
            "mean": float(np.mean(np.sqrt(squares))),
            "root_mean_square": float(np.sqrt(np.mean(squares))),
            "pooled": float(np.sqrt(np.mean(flat**2))),
        }[aggregate]
        mae = (
            np.mean(np.abs(flat))
            if aggregate == "pooled"
            else np.mean([np.mean(np.abs(e)) for e in self.errors])
        )
        return {
            "rmse": rmse,
            "mae": float(mae),
            "mae_sd_over_seeds": self._spread(aggregate),
            "mdape": float(100.0 * np.median(np.abs(error))),
            "mdpe": float(100.0 * np.median(error)),
            "f20": float(100.0 * np.mean(np.abs(error) <= 0.2)),
            "f30": float(100.0 * np.mean(np.abs(error) <= 0.3)),
            "mdape_of_prediction": float(100.0 * np.median(np.abs(of_prediction))),
            "mdpe_of_prediction": float(100.0 * np.median(of_prediction)),
            "coverage90": float(np.mean(np.concatenate(self.covered))),
            "nlpd": float(-np.mean(np.concatenate(self.density))),
            "seconds_per_task": float(np.sum(self.seconds) / len(self.errors)),
        }

    def _spread(self, aggregate: str) -> float:
        """Standard deviation of the MAE between random choices of the support; zero where there was one."""
        each = []
        for seed in sorted(set(self.seeds)):
            errors = [np.abs(e) for e, drawn in zip(self.errors, self.seeds, strict=True) if drawn == seed]
            each.append(
                np.mean(np.concatenate(errors) if aggregate == "pooled" else [e.mean() for e in errors])
            )
        return float(np.std(each, ddof=1)) if len(each) > 1 else 0.0
