"""Scores of outcomes that are no Gaussian measurements, gathered over tasks and folds, and the scores themselves.

Sources: Brier, Mon Weather Rev 78 (1950) 1; Hanley and McNeil, Radiology 143 (1982) 29, for the area under the curve;
Naeini, Cooper and Hauskrecht, AAAI 29 (2015) 2901, for the calibration error; Harrell and others, JAMA 247 (1982) 2543,
for concordance.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from metasci.class_forecasts import ClassForecast
from metasci.evaluation.integrated_brier import integrated_brier, times_judged
from metasci.mixed_forecasts import MixedForecast
from metasci.outcome_forecasts import OutcomeForecast
from metasci.outcomes import Mixed, Outcome, TimeToEvent

__all__ = [
    "OutcomeScore",
    "area_under_curve",
    "average_precision",
    "brier",
    "calibration_error",
    "calibration_table",
    "concordance",
]

Floats = NDArray[np.float64]

_FIGURES: dict[str, tuple[str, ...]] = {
    "yes or no": ("log_score", "brier", "auc", "auprc", "accuracy", "calibration_error"),
    "measurement": ("log_score", "rmse", "coverage90"),
    "class": ("log_score", "brier", "accuracy", "calibration_error"),
    "grade": ("log_score", "ranked_probability_score", "accuracy", "mae", "coverage90"),
    "count": ("log_score", "mae", "rmse", "coverage90"),
    "time": ("log_score", "concordance", "integrated_brier", "coverage90"),
    "deviation": ("log_score", "coverage90"),
}
_BINS = 10  # of probability, a tenth each, as is usual for the expected calibration error


def brier(yes: ArrayLike, probability: ArrayLike) -> float:
    """Mean squared difference of an answer, 0 or 1, and its probability.

    Examples
    --------
    >>> brier([1, 0], [0.5, 0.0])
    0.125
    """
    return float(np.mean((np.asarray(yes, float) - np.asarray(probability, float)) ** 2))


def area_under_curve(yes: ArrayLike, score: ArrayLike) -> float:
    """Probability that a yes has the greater score than a no, ties counted half; NaN where one of them is not there.

    Examples
    --------
    >>> area_under_curve([1, 1, 0, 0], [0.9, 0.4, 0.4, 0.1])
    0.875
    """
    from scipy.stats import rankdata

    truth, ranks = np.asarray(yes, float) > 0.5, rankdata(np.asarray(score, float))
    positive, negative = int(truth.sum()), int((~truth).sum())
    if not positive or not negative:
        return float("nan")
    return float((ranks[truth].sum() - 0.5 * positive * (positive + 1)) / (positive * negative))


def average_precision(yes: ArrayLike, score: ArrayLike) -> float:
    """Area under precision against recall, as a sum over the thresholds; NaN without a yes.

    Examples
    --------
    >>> round(average_precision([1, 0, 1], [0.9, 0.8, 0.7]), 4)
    0.8333
    """
    truth, values = np.asarray(yes, float) > 0.5, np.asarray(score, float)
    if not truth.any():
        return float("nan")
    order = np.argsort(-values, kind="stable")
    last = np.append(np.diff(values[order]) != 0.0, True)  # of those with one score, which enter together
    true_positives = truth[order].cumsum()[last]
    asked = (np.arange(len(values)) + 1)[last]
    gained = np.diff(true_positives, prepend=0) / truth.sum()
    return float((gained * true_positives / asked).sum())


def calibration_table(
    yes: ArrayLike, probability: ArrayLike, bins: int = _BINS
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Mean probability, share of yes and number of answers, of bins of equal width that are not empty.

    Examples
    --------
    >>> [each.tolist() for each in calibration_table([1, 0, 1], [0.12, 0.18, 0.95])]
    [[0.15, 0.95], [0.5, 1.0], [2, 1]]
    """
    truth, values = np.asarray(yes, float), np.asarray(probability, float)
    place = np.clip((values * bins).astype(int), 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    kept = count > 0
    total = [np.bincount(place, weights=each, minlength=bins)[kept] / count[kept] for each in (values, truth)]
    return total[0], total[1], count[kept]


def calibration_error(yes: ArrayLike, probability: ArrayLike, bins: int = _BINS) -> float:
    """Expected calibration error: by how much shares of yes differ from their probabilities, over bins.

    Examples
    --------
    >>> round(calibration_error([1, 0, 1], [0.12, 0.18, 0.95]), 4)
    0.25
    """
    expected, came, count = calibration_table(yes, probability, bins)
    return float((count * np.abs(expected - came)).sum() / count.sum())


def concordance(
    time: ArrayLike, event: ArrayLike, predicted: ArrayLike, entry: ArrayLike | None = None
) -> float:
    """Share of pairs in which the one who had the event first was predicted the shorter time; NaN without a pair.

    A pair counts if the shorter time ends with the event, and the other one had been entered by then, where times are
    watched from an `entry` on; ties of predictions count half.

    Examples
    --------
    >>> concordance([1.0, 2.0, 3.0], [True, False, True], [5.0, 4.0, 6.0])
    0.5
    """
    times, came, values = np.asarray(time, float), np.asarray(event, bool), np.asarray(predicted, float)
    first = came[:, None] & ((times[:, None] < times) | ((times[:, None] == times) & ~came[None, :]))
    if entry is not None:
        first &= np.asarray(entry, float)[None, :] < times[:, None]
    np.fill_diagonal(first, False)
    right = (values[:, None] < values) + 0.5 * (values[:, None] == values)
    return float((first * right).sum() / first.sum()) if first.any() else float("nan")


@dataclass(frozen=True)
class OutcomeScore:
    """Outcomes and their forecasts of one method at one number of shots, gathered over folds.

    All of it is over outcomes and not over tasks: a task's own share of yes says little, and its area nothing.
    """

    kind: str
    parts: tuple[OutcomeScore, ...] = ()
    rows: dict[str, list[Floats]] = field(default_factory=dict)
    curves: list[tuple[OutcomeForecast, NDArray[np.bool_]]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)
    tasks: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def errors(self) -> list[Floats]:
        """One array for each task that was judged."""
        return self.rows.get("measured", [])

    @classmethod
    def of(cls, outcome: Outcome) -> OutcomeScore:
        """An empty one, for the kind of an outcome; of several kinds, with one for each."""
        parts = outcome.parts if isinstance(outcome, Mixed) else ()
        return cls(outcome.kind, tuple(cls(part.kind) for part in parts))

    def add(self, forecast: OutcomeForecast | ClassForecast | MixedForecast, query: Tensor) -> None:
        """Record the queries of some tasks, (task, observation)."""
        if isinstance(forecast, MixedForecast):
            for place, (score, part) in enumerate(zip(self.parts, forecast.parts, strict=True)):
                score.add(part, query & (forecast.which == place))
        which = query.numpy()
        values = {"measured": forecast.measured, "log_density": forecast.log_density()}
        if isinstance(forecast, ClassForecast):
            values |= _of_classes(forecast)
        elif isinstance(forecast, MixedForecast):
            pass  # its parts have kept all but how probable it was
        elif self.kind == "yes or no":
            values["probability"] = forecast.mean
        else:
            lower, upper = forecast.interval(0.9)
            values |= {"median": forecast.median, "lower": lower, "upper": upper}
        if self.kind in ("grade", "count") and isinstance(forecast, OutcomeForecast):
            values["middle"] = forecast.quantile(
                0.5
            )  # a mean may be infinite, where a spread is hardly known
        if self.kind == "grade" and isinstance(forecast, OutcomeForecast):
            values["ranked"], values["likeliest"] = _ranked(forecast)
        if self.kind in ("time", "measurement") and isinstance(forecast, OutcomeForecast):
            values |= _ends(forecast)
        if self.kind == "time" and isinstance(forecast, OutcomeForecast):
            self.curves.append((forecast, which))
        for row in range(len(which)):
            for name, tensor in values.items():
                self.rows.setdefault(name, []).append(tensor.detach().numpy()[row][which[row]].astype(float))

    def figures(self, aggregate: str) -> dict[str, float]:
        """The figures that the kind of outcome has, over all outcomes; NaN without any.

        ``log_score`` is the mean of −ln p; of classes ``brier`` is the sum over all of them, from 0 to 2, and
        ``calibration_error`` that of the likeliest class; of yes or no ``auprc`` is of yes; of grades
        ``ranked_probability_score`` is Epstein's, and ``mae`` the mean distance from the median grade.
        """
        if self.parts:
            return self._figures_of_parts(aggregate)
        names = (*_FIGURES[self.kind], "seconds_per_task")
        if not self.errors or not sum(map(len, self.errors)):
            return dict.fromkeys(names, float("nan"))
        of = {name: np.concatenate(parts) for name, parts in self.rows.items()}
        y = of["measured"]
        figures = {"log_score": float(-of["log_density"].mean())}
        if self.kind == "yes or no":
            p = of["probability"]
            figures |= {
                "brier": brier(y, p),
                "auc": area_under_curve(y, p),
                "auprc": average_precision(y, p),
                "accuracy": float(((p > 0.5) == (y > 0.5)).mean()),
                "calibration_error": calibration_error(y, p),
            }
        elif self.kind == "class":
            hit = of["likeliest"] == y
            figures |= {
                "brier": float(of["brier"].mean()),
                "accuracy": float(hit.mean()),
                "calibration_error": calibration_error(hit, of["confidence"]),
            }
        else:
            above = of.get("above", np.zeros_like(y)) > 0.5
            covered = (of["lower"] <= y) & (y <= of["upper"])
            # of a time that is only known to lie above, an interval that reaches beyond it may well hold it
            covered = np.where(above, of["upper"] >= y, covered)
            below = of.get("below", np.zeros_like(y)) > 0.5
            figures["coverage90"] = float(np.where(below, of["lower"] <= y, covered).mean())
        if self.kind == "measurement":
            seen = (of["number"] > 0.5) & np.isfinite(of["median"])
            figures["rmse"] = (
                float(np.sqrt(((of["median"] - y)[seen] ** 2).mean())) if seen.any() else float("nan")
            )
        if self.kind in ("grade", "count"):
            figures["mae"] = float(np.abs(of["middle"] - y).mean())
            figures["rmse"] = float(np.sqrt(((of["middle"] - y) ** 2).mean()))
        if self.kind == "grade":
            figures["ranked_probability_score"] = float(of["ranked"].mean())
            figures["accuracy"] = float((of["likeliest"] == y).mean())
        if self.kind == "time":
            figures["concordance"] = concordance(y, of["above"] < 0.5, of["ranked"], of.get("entry"))
            figures["integrated_brier"] = self._integrated_brier(of)
        figures["seconds_per_task"] = float(np.sum(self.seconds) / len(self.errors))
        return {name: figures[name] for name in names}

    def _integrated_brier(self, of: dict[str, Floats]) -> float:
        """Brier's score over all times; NaN where a time is an interval or a limit, or watched from an entry on."""
        if "entry" in of or of["below"].any() or of["between"].any():
            return float("nan")
        times = times_judged(of["measured"])
        survival = [forecast.survival(times).numpy()[which] for forecast, which in self.curves]
        return integrated_brier(of["measured"], of["above"] < 0.5, times, np.concatenate(survival))

    def _figures_of_parts(self, aggregate: str) -> dict[str, float]:
        """The log score of all, and every output's own figures, by its number."""
        own = {
            f"{name}_{place}": value
            for place, part in enumerate(self.parts, 1)
            for name, value in part.figures(aggregate).items()
            if name != "seconds_per_task"
        }
        densities = [part for part in self.rows.get("log_density", []) if len(part)]
        whole = float(-np.concatenate(densities).mean()) if densities else float("nan")
        seconds = float(np.sum(self.seconds) / len(self.errors)) if self.errors else float("nan")
        return {"log_score": whole, **own, "seconds_per_task": seconds}


def _of_classes(forecast: ClassForecast) -> dict[str, Tensor]:
    """Brier's score of each class, the likeliest, and how probable that is said to be."""
    import torch

    each = forecast.probabilities
    seen = torch.nn.functional.one_hot(forecast.measured.long(), each.shape[-1])
    return {
        "brier": (each - seen).square().sum(-1),
        "likeliest": forecast.median,
        "confidence": each.amax(-1),
    }


def _ranked(forecast: OutcomeForecast) -> tuple[Tensor, Tensor]:
    """Epstein's ranked probability score of each grade, and the likeliest grade."""
    import torch

    levels = torch.as_tensor(forecast.outcome.levels)  # type: ignore[attr-defined]
    each = forecast.probabilities
    reached = (forecast.measured[..., None] <= levels).double()
    ranked = (each.cumsum(-1) - reached).square().sum(-1)
    return ranked, levels[each.argmax(-1)]


def _ends(forecast: OutcomeForecast) -> dict[str, Tensor]:
    """Where a value only lies above or below what stands there, where it is a number, and what says which comes first.

    Of times that are watched from an entry on it is the predictor: medians count from different entries.
    """
    import torch

    nowhere, outcome = torch.zeros_like(forecast.measured), forecast.outcome
    above = nowhere if forecast.upper is None else (~torch.isnan(forecast.upper)).double()
    below = nowhere if forecast.below is None else forecast.below.double()
    between = nowhere if forecast.upper is None else torch.isfinite(forecast.upper).double()
    number = ((above + below) == 0.0).double()
    ends = {"above": above, "below": below, "between": between, "number": number}
    if not (isinstance(outcome, TimeToEvent) and outcome.entry):
        return {**ends, "ranked": forecast.median}
    return {**ends, "ranked": forecast.centre, "entry": forecast.inputs[outcome.entry]}
