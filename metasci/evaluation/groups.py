"""Error, coverage and calibration of forecasts by group: who is served worse, and by how much.

fairlearn's `MetricFrame` (Weerts and others, JMLR 24 (2023) 257) gathers them where it is installed; the figures are
the same without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metasci.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GroupReport", "by_group", "metric_frame"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class GroupReport:
    """Figures by group.

    Attributes
    ----------
    frame : DataFrame
        A row for each group: ``count``, ``mae``, ``bias`` (mean of predicted less measured), ``coverage``, in per
        cent, and ``below`` and ``above``, the per cent of measurements that lie below and above the interval:
        calibration asks for half of what is not covered in each.
    level : float
        Of the intervals.
    """

    frame: pd.DataFrame
    level: float

    @property
    def worst(self) -> float:
        """The greatest mean absolute error of a group."""
        return float(self.frame["mae"].max())

    @property
    def gap(self) -> float:
        """By how much groups differ in mean absolute error."""
        return float(self.frame["mae"].max() - self.frame["mae"].min())

    @property
    def coverage_gap(self) -> float:
        """By how many points groups differ in coverage; NaN without intervals."""
        return float(self.frame["coverage"].max() - self.frame["coverage"].min())

    def __str__(self) -> str:
        return (
            f"{self.frame.round(2).to_string(na_rep='')}\n"
            f"worst {self.worst:.2f}, gap {self.gap:.2f}, coverage differs by {self.coverage_gap:.1f} points"
        )


def by_group(
    measured: ArrayLike,
    predicted: ArrayLike,
    group: ArrayLike,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    *,
    level: float = 0.9,
    least: int = 1,
) -> GroupReport:
    """Error, coverage and calibration by group.

    Parameters
    ----------
    measured, predicted : array, (forecast,)
        Numbers; of yes or no, answers and their probabilities.
    group : array, (forecast,)
        Whose it is; what is not known has no group and is left out.
    lower, upper : array, optional
        Ends of the intervals.
    level : float
        Probability of these.
    least : int
        Groups of fewer forecasts are left out.

    Returns
    -------
    GroupReport

    Raises
    ------
    InputError
        If lengths differ, or no group is large enough.

    Examples
    --------
    >>> report = by_group([1.0, 2.0, 4.0], [1.5, 2.0, 3.0], ["a", "a", "b"], [0, 0, 0], [3, 3, 3])
    >>> report.worst, report.gap, report.frame["coverage"].tolist()
    (1.0, 0.75, [100.0, 0.0])
    """
    import pandas as pd

    truth, guess = np.asarray(measured, float), np.asarray(predicted, float)
    nothing = np.full(len(truth), np.nan)
    low, high = (nothing if each is None else np.asarray(each, float) for each in (lower, upper))
    who = pd.Series(np.asarray(group, dtype=object))
    if any(len(each) != len(truth) for each in (guess, low, high, who)):
        raise InputError("measured, predicted, group, lower and upper must have one entry for each forecast.")
    has_interval = np.isfinite(low) & np.isfinite(high)
    rows = pd.DataFrame(
        {
            "group": who,
            "mae": np.abs(guess - truth),
            "bias": guess - truth,
            "coverage": np.where(has_interval, 100.0 * ((low <= truth) & (truth <= high)), np.nan),
            "below": np.where(has_interval, 100.0 * (truth < low), np.nan),
            "above": np.where(has_interval, 100.0 * (truth > high), np.nan),
        }
    ).dropna(subset=["group"])
    grouped = rows.groupby("group")
    frame = grouped.mean()
    frame.insert(0, "count", grouped.size())
    frame = frame[frame["count"] >= least]
    if frame.empty:
        raise InputError(f"no group has {least} forecasts.")
    return GroupReport(frame, level)


def metric_frame(
    measured: ArrayLike, predicted: ArrayLike, group: ArrayLike, **metrics: Callable[..., float]
) -> Any:
    """fairlearn's MetricFrame of the same forecasts, with any of its or scikit-learn's metrics.

    Parameters
    ----------
    measured, predicted, group
        As for `by_group`.
    **metrics : callable
        Of measured and predicted; the mean absolute error by default.
    """
    from metasci.extras import needed

    frame = needed("fairlearn.metrics", "studies", "a MetricFrame").MetricFrame
    chosen: Mapping[str, Callable[..., float]] = metrics or {"mae": _mean_absolute_error}
    return frame(metrics=dict(chosen), y_true=measured, y_pred=predicted, sensitive_features=group)


def _mean_absolute_error(measured: ArrayLike, predicted: ArrayLike) -> float:
    return float(np.abs(np.asarray(predicted, float) - np.asarray(measured, float)).mean())
