"""What a learned prior of families is held against: a family's mean, a ridge from scratch, gradient boosting.

Each is fitted to known families, is given a new family's few measurements, and says mean and standard deviation for all
of its members. Spreads are those seen in known families that the fit had not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from metasci.materials.structures import needs

__all__ = ["Baseline", "Known", "baselines"]

Array = NDArray[np.float64]
Baseline = Callable[[Array, Array, NDArray[np.bool_]], tuple[Array, Array]]
"""Of a family's features, its values and which of these are known, to mean and standard deviation."""

# on ridge regression, chosen among by leaving one measured member out
_PENALTIES = 10.0 ** np.arange(-1.0, 4.0)


@dataclass(frozen=True)
class Known:
    """Known families.

    Attributes
    ----------
    features : ndarray, (point, feature)
    smooth : int
        So many features, the first, are quantities of the whole, which a ridge takes; the others are counts.
    values : ndarray, (point,)
    group : ndarray of int, (point,)
    """

    features: Array
    smooth: int
    values: Array
    group: NDArray[np.int64]

    def join(self, other: Known) -> Known:
        """The families of both."""
        return Known(
            np.concatenate([self.features, other.features]),
            self.smooth,
            np.concatenate([self.values, other.values]),
            np.concatenate([self.group, other.group + 1 + self.group.max(initial=-1)]),
        )

    @cached_property
    def within(self) -> float:
        """Standard deviation within families."""
        parts = [self.values[self.group == label] for label in np.unique(self.group)]
        squares = sum(float(((part - part.mean()) ** 2).sum()) for part in parts)
        return float(np.sqrt(squares / max(len(self.values) - len(parts), 1)))


def baselines(known: Known) -> dict[str, Baseline]:
    """All of them, by name.

    Raises
    ------
    InputError
        If scikit-learn is missing, of the extra ``materials``.
    """
    boosted = _Boosting(known)
    return {
        "family mean": _family_mean(known),
        "ridge from scratch": _ridge(known),
        "gradient boosting": boosted.unadapted,
        "gradient boosting, shrunken offset": boosted.with_offset,
    }


def _family_mean(known: Known) -> Baseline:
    def forecast(features: Array, values: Array, seen: NDArray[np.bool_]) -> tuple[Array, Array]:
        count = int(seen.sum())
        centre = values[seen].mean() if count else known.values.mean()
        sd = known.within * np.sqrt(1.0 + 1.0 / count) if count else known.values.std()
        return np.full(len(features), centre), np.full(len(features), sd)

    return forecast


def _ridge(known: Known) -> Baseline:
    """A ridge on the measured members alone, with the penalty and the error that five of known families suggest."""
    centre, scale = known.features[:, : known.smooth].mean(0), known.features[:, : known.smooth].std(0)
    scale = np.where(scale > 1e-9, scale, 1.0)

    def fit(features: Array, values: Array, seen: NDArray[np.bool_], penalty: float) -> Array:
        x = (features[:, : known.smooth] - centre) / scale
        middle, level = x[seen].mean(0), values[seen].mean()
        inside = x[seen] - middle
        dual = np.linalg.solve(inside @ inside.T + penalty * np.eye(len(inside)), values[seen] - level)
        predicted: Array = level + (x - middle) @ inside.T @ dual
        return predicted

    rng = np.random.default_rng(0)
    squared = np.zeros(len(_PENALTIES))
    for label in np.unique(known.group):
        members = rng.permutation(np.flatnonzero(known.group == label))
        seen = np.arange(len(members)) < 5
        if seen.all():
            continue
        for place, penalty in enumerate(_PENALTIES):
            off = known.values[members] - fit(known.features[members], known.values[members], seen, penalty)
            squared[place] += (off[~seen] ** 2).mean() / len(np.unique(known.group))
    best = int(squared.argmin())
    mean_only = _family_mean(known)

    def forecast(features: Array, values: Array, seen: NDArray[np.bool_]) -> tuple[Array, Array]:
        if not seen.any():
            return mean_only(features, values, seen)
        predicted = fit(features, values, seen, float(_PENALTIES[best]))
        return predicted, np.full(len(predicted), np.sqrt(squared[best] * (1.0 + 1.0 / seen.sum()) / 1.2))

    return forecast


class _Boosting:
    """Gradient boosting on known families; a new one may shift it by a constant, shrunken as its spread suggests."""

    def __init__(self, known: Known) -> None:
        ensemble = needs("sklearn.ensemble")

        def fit(which: NDArray[np.bool_]):  # type: ignore[no-untyped-def]
            machine = ensemble.HistGradientBoostingRegressor(
                max_iter=200, learning_rate=0.08, max_leaf_nodes=15, min_samples_leaf=8, random_state=0
            )
            return machine.fit(known.features[which], known.values[which])

        labels = np.random.default_rng(0).permutation(np.unique(known.group))
        off = np.zeros(len(known.values))
        for half in np.array_split(labels, 2):  # known families by a machine that has not seen them
            out = np.isin(known.group, half)
            off[out] = known.values[out] - fit(~out).predict(known.features[out])
        shifts = np.array([off[known.group == label].mean() for label in labels])
        inside = np.concatenate(
            [off[known.group == label] - off[known.group == label].mean() for label in labels]
        )
        self.between, self.within = float(shifts.var()), float(inside.var())
        self.machine = fit(np.ones(len(known.values), dtype=bool))

    def unadapted(self, features: Array, values: Array, seen: NDArray[np.bool_]) -> tuple[Array, Array]:
        predicted = self.machine.predict(features)
        return predicted, np.full(len(predicted), np.sqrt(self.between + self.within))

    def with_offset(self, features: Array, values: Array, seen: NDArray[np.bool_]) -> tuple[Array, Array]:
        predicted = self.machine.predict(features)
        spread = 1.0 / (1.0 / self.between + seen.sum() / self.within)
        offset = spread * float((values - predicted)[seen].sum()) / self.within
        return predicted + offset, np.full(len(predicted), np.sqrt(spread + self.within))
