"""The search for the optimum of a likelihood from many starts, all of them moved side by side.

A system is solved for a hundred sets of parameters in little more time than for one. So the searches do not follow
each other: each round tries steps of every start at once, and takes the derivatives of all at once. A step is one of
Fisher's scoring, damped as Levenberg and Marquardt do it and cut at the bounds; of several dampings the best counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

__all__ = ["Ends", "Likelihood", "Pace", "combined", "objective_of", "search"]

Floats = NDArray[np.float64]

_Kind = TypeVar("_Kind", bound=np.generic)

Likelihood = Callable[[Floats], tuple[Floats, Floats]]
"""Of coordinates (set, parameter) the standardised residuals and the logarithms of their deviations, (set, row)."""

_LONGEST = 0.1  # of the way between the bounds: a decade, as bounds usually are
_FIRST, _WORST = (
    1e-3,
    1e9,
)  # damping, of the greatest curvature; at the second a search's steps have no length
_FLAT = 1e-9  # of the greatest curvature, below which a parameter's own is none
_LEAST = 1e-12  # so that what no measurement tells of is no division by zero
# of a search's damping, tried side by side: the best is where the next round begins; where none is good, further on
_TRIED, _STIFFER = (0.03, 0.3, 3.0, 30.0), 10.0
_NOTHING = 1e-2  # of what is enough: a step that promises less is the last
_WEIGHTS, _CROSSED = (0.3, 1.0), 0.5  # of differences between places, and how many coordinates change
_LASTING = 10  # rounds over which a search must gain something


@dataclass(frozen=True)
class Pace:
    """How far a search goes.

    Attributes
    ----------
    step : float
        Of the differences that derivatives are made of, as a share of the way between the bounds.
    enough : float
        A search ends where the objective has fallen by no more than this in ten rounds.
    most : int
        Rounds.
    central : bool
        Whether the differences are taken to both sides, which is twice the work and exact to the second order.
    """

    step: float
    enough: float
    most: int
    central: bool = False


@dataclass(frozen=True)
class Ends:
    """Where the searches ended, (start, parameter), and what the objective is there, infinite where it is none."""

    places: Floats
    objective: Floats

    def best(self, count: int) -> Ends:
        """The best of them, in order."""
        order = np.argsort(self.objective)[:count]
        return Ends(self.places[order], self.objective[order])

    def near(self, gap: float) -> Ends:
        """Those no further than so much above the best, in order."""
        return self.best(self.alike(gap))

    def alike(self, gap: float) -> int:
        """How many are no further than so much above the best."""
        return int((self.objective <= self.objective.min() + gap).sum())

    def better(self, other: Ends) -> Ends:
        """Of every two that stand at one place the better."""
        first = self.objective <= other.objective
        places = np.where(first[:, None], self.places, other.places)
        return Ends(places, np.minimum(self.objective, other.objective))


def combined(ends: Ends, lower: Floats, upper: Floats, random: np.random.Generator) -> Floats:
    """For every end another place: half its coordinates are a second one's, moved by how two more differ.

    The share of that difference is drawn for each, as differential evolution does it: where ends lie along a valley,
    so do what lies between and beyond them. (To move one of the best ends instead led nowhere where these are alike.)

    Parameters
    ----------
    ends : Ends
        Four or more.
    lower, upper : array (parameter,)
    random : Generator

    Examples
    --------
    >>> line = Ends(np.linspace(0.0, 1.0, 5)[:, None] * np.ones(3), np.arange(5.0))
    >>> found = combined(line, np.zeros(3), np.ones(3), np.random.default_rng(0))
    >>> found.shape, bool(((0.0 <= found) & (found <= 1.0)).all())
    ((5, 3), True)
    """
    places, count = ends.places, len(ends.places)
    keys = random.random((count, count))
    np.fill_diagonal(keys, np.inf)  # none is combined with itself
    second, third, fourth = (places[which] for which in np.argsort(keys, axis=1)[:, :3].T)
    moved = second + random.uniform(*_WEIGHTS, (count, 1)) * (third - fourth)
    crossed = random.random(places.shape) < _CROSSED
    return np.clip(np.where(crossed, moved, places), lower, upper)


def search(likelihood: Likelihood, starts: Floats, lower: Floats, upper: Floats, pace: Pace) -> Ends:
    """Where Σ ½r² + ln σ is least near each start.

    Parameters
    ----------
    likelihood : callable
        Of residuals r and logarithms of deviations.
    starts : array (start, parameter)
    lower, upper : array (parameter,)
    pace : Pace

    Examples
    --------
    A straight line whose noise is estimated with it:

    >>> x, y = np.arange(4.0), np.array([1.0, 3.1, 4.9, 7.0])
    >>> def line(sets):
    ...     deviation = np.exp(sets[:, 2:])
    ...     residual = (y - sets[:, :1] - sets[:, 1:2] * x) / deviation
    ...     return residual, np.repeat(sets[:, 2:], 4, 1)
    >>> low, high = np.full(3, -10.0), np.full(3, 10.0)
    >>> ends = search(line, np.zeros((1, 3)), low, high, Pace(1e-6, 1e-10, 200))
    >>> (ends.places[0] * [1, 1, 0] + [0, 0, np.exp(ends.places[0, 2])]).round(3).tolist()
    [1.03, 1.98, 0.067]
    """
    way = upper - lower

    def values(unit: Floats) -> tuple[Floats, Floats]:
        return likelihood(lower + way * unit)

    state = _State.at((starts - lower) / way, values)
    active = np.flatnonzero(np.isfinite(state.objective))
    for _ in range(pace.most):
        if not active.size:
            break
        stale = active[~state.sloped[active]]
        state = state.with_slopes(stale, values, pace)
        state = _stepped(state, active, values)
        history = state.history
        gained = history[_LASTING, active] - history[0, active]
        over = (gained <= pace.enough) | (state.damping[active] > _WORST)
        over |= state.promised[active] < _NOTHING * pace.enough
        active = active[~over]
    return Ends(lower + way * state.unit, state.objective)


@dataclass(frozen=True)
class _State:
    """All searches, in coordinates between 0 and 1."""

    unit: Floats
    residual: Floats
    deviation: Floats
    objective: Floats
    sloped: NDArray[np.bool_]
    slope: Floats
    curvature: Floats
    damping: Floats
    promised: Floats
    history: Floats

    @classmethod
    def at(cls, unit: Floats, values: Likelihood) -> _State:
        count, width = unit.shape
        residual, deviation = values(unit)
        objective = objective_of(residual, deviation)
        return cls(
            unit=unit,
            residual=residual,
            deviation=deviation,
            objective=objective,
            sloped=np.zeros(count, bool),
            slope=np.zeros((count, width)),
            curvature=np.zeros((count, width, width)),
            damping=np.full(count, _FIRST),
            promised=np.full(count, np.inf),
            history=np.concatenate([objective[None], np.full((_LASTING, count), np.inf)]),
        )

    def _beside(self, which: NDArray[np.intp], at: Floats, values: Likelihood) -> tuple[Floats, Floats]:
        """Residuals and deviations (search, parameter, row) with each parameter alone moved to where `at` says."""
        width = at.shape[1]
        moved = self.unit[which][:, None].repeat(width, 1)
        moved[:, np.arange(width), np.arange(width)] = at
        known = [each[which][:, None].repeat(width, 1) for each in (self.residual, self.deviation)]
        away = at != self.unit[which]
        if away.any():
            for mine, new in zip(known, values(moved[away]), strict=True):
                mine[away] = new
        return known[0], known[1]

    def with_slopes(self, which: NDArray[np.intp], values: Likelihood, pace: Pace) -> _State:
        """The same with slope and expected curvature of some of the searches, from differences all solved at once."""
        if not which.size:
            return self
        here = self.unit[which]
        up, down = np.minimum(here + pace.step, 1.0), np.maximum(here - pace.step, 0.0)
        if not pace.central:
            up, down = (
                np.where(here + pace.step > 1.0, here, up),
                np.where(here + pace.step > 1.0, down, here),
            )
        per = (up - down)[..., None]
        above, below = self._beside(which, up, values), self._beside(which, down, values)
        of_residual, of_deviation = (
            np.nan_to_num((high - low) / per, posinf=0.0, neginf=0.0)
            for high, low in zip(above, below, strict=True)
        )
        slope = (of_residual * self.residual[which, None] + of_deviation).sum(2)
        # of a normal distribution, information is that of the mean and twice that of ln σ
        of_mean = of_residual + self.residual[which, None] * of_deviation
        curvature = of_mean @ of_mean.transpose(0, 2, 1) + 2.0 * of_deviation @ of_deviation.transpose(
            0, 2, 1
        )
        return replace(
            self,
            sloped=_put(self.sloped, which, np.ones(len(which), bool)),
            slope=_put(self.slope, which, slope),
            curvature=_put(self.curvature, which, curvature),
        )


def _stepped(state: _State, which: NDArray[np.intp], values: Likelihood) -> _State:
    """After one step of each of some searches: the best of several dampings, taken where the objective falls."""
    here, slope, curvature = state.unit[which], state.slope[which], state.curvature[which]
    free = ~(((here <= 0.0) & (slope > 0.0)) | ((here >= 1.0) & (slope < 0.0)))
    inside = curvature * (free[:, :, None] & free[:, None, :])
    own = np.diagonal(inside, axis1=1, axis2=2)
    largest = np.maximum(own.max(1, keepdims=True), 1e-12)
    dampings = np.maximum(np.multiply.outer(_TRIED, state.damping[which]), _LEAST)
    # Levenberg's holds all parameters alike, Marquardt's lets those go of which little is known
    scales = np.stack([largest + 0.0 * own, np.maximum(own, _FLAT * largest)])
    added = np.where(free, np.concatenate([dampings[..., None] * scale for scale in scales]), 1.0)
    dampings = np.concatenate([dampings] * len(scales))
    damped = inside + np.eye(here.shape[1]) * added[..., None]
    move = np.linalg.solve(damped, np.broadcast_to(np.where(free, -slope, 0.0)[..., None], (*added.shape, 1)))
    move = move[..., 0]
    move *= np.minimum(1.0, _LONGEST / np.maximum(np.abs(move).max(-1, keepdims=True), 1e-300))
    trials = np.clip(here + move, 0.0, 1.0)
    residuals, deviations = (
        each.reshape(*trials.shape[:2], -1) for each in values(trials.reshape(-1, here.shape[1]))
    )
    objectives = objective_of(residuals, deviations)
    best, every = objectives.argmin(0), np.arange(len(which))
    trial, objective = trials[best, every], objectives[best, every]
    move, before = trial - here, state.objective[which]
    expected = -(slope * move).sum(1) - 0.5 * np.einsum("ni,nij,nj->n", move, curvature, move)
    taken = objective < before
    reached = np.where(taken, objective, before)
    history = state.history.copy()
    history[1:, which] = history[:-1, which]
    history[0, which] = reached

    def chosen(new: Floats, old: Floats) -> Floats:
        return _put(old, which, np.where(taken[:, None], new[best, every], old[which]))

    return replace(
        state,
        unit=_put(state.unit, which, np.where(taken[:, None], trial, here)),
        residual=chosen(residuals, state.residual),
        deviation=chosen(deviations, state.deviation),
        objective=_put(state.objective, which, reached),
        sloped=_put(state.sloped, which, ~taken),
        damping=_put(state.damping, which, np.where(taken, dampings[best, every], _STIFFER * dampings[-1])),
        promised=_put(state.promised, which, expected),
        history=history,
    )


def objective_of(residual: Floats, deviation: Floats) -> Floats:
    """Σ ½r² + ln σ of each set, infinite where it is no number, of residuals and logarithms of deviations."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = (0.5 * residual**2 + deviation).sum(-1)
    return np.where(np.isfinite(total), total, np.inf)


def _put(values: NDArray[_Kind], which: NDArray[np.intp], new: NDArray[_Kind]) -> NDArray[_Kind]:
    """A copy with other values in some places."""
    copied = values.copy()
    copied[which] = new
    return copied
