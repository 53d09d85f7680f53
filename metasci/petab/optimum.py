"""The best of several searches for the optimum of a PEtab problem.

Each start is the best of many draws. All are searched side by side (`metasci.petab.search`), first with few digits;
then their ends are combined as differential evolution does it (Storn and Price, J Global Optim 11 (1997) 341) and
searched on, until several searches end alike; those in sight of the best are led on with more digits. Standard
deviations that are parameters of their own are never searched, but computed (Loos and others, Bioinformatics 34 (2018)
4266).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metasci.expressions import names_in
from metasci.petab.parts import parts_of
from metasci.petab.problem import COARSE, FINE, FINEST, ROUGH, Care, Problem
from metasci.petab.search import Ends, Pace, combined, objective_of, search

if TYPE_CHECKING:
    from metasci.petab.search import Likelihood

__all__ = ["Optimum", "Sought", "optimum_of"]

Floats = NDArray[np.float64]

# differences are wide beside what the solver errs, and narrow beside a decade
_FAR = Pace(step=1e-3, enough=1e-2, most=200)
_CLOSER = Pace(step=1e-4, enough=1e-3, most=200)
_NEAR = Pace(step=3e-4, enough=1e-5, most=200, central=True)
_NEAREST = Pace(step=1e-7, enough=1e-5, most=200, central=True)
_IN_SIGHT = 10.0  # above the best end, further from which none is led on
_LED_ON = 2  # ends that are led on with the finer solver
# of so many draws the best is a start: among decades of rates few lie where the measurements tell which way to go, and
# the system cannot be followed everywhere; so many are solved at once
_DRAWS, _AT_ONCE = 100, 10
# ends are combined at most so many times, and no longer once so many of them agree to ten times what is enough, or the
# best has gained nothing so many times
_GENERATIONS, _ALIKE, _APART, _PATIENCE = 15, 3, 10.0, 5
# measurements of an output that reach over so many times the least of them are first fitted on the logarithm, where
# what lies decades below is still told which way to go; predictions are held above so small a share of each
_DECADES, _FLOOR = 30.0, 1e-9
_SHARES = (0.1, 1.0)  # deviations of those logarithms are the measurement's own, within these


@dataclass(frozen=True)
class Optimum:
    """Where a search ended."""

    parameters: dict[str, float]
    objective: float
    every: tuple[float, ...]
    """The objective of every start, the best first."""


def optimum_of(problem: Problem, starts: int, seed: int, most: int) -> Optimum:
    """The best of several searches from random starts within the bounds.

    Of a problem whose conditions share no parameter each part is searched on its own (`metasci.petab.parts`). The ends
    of their starts are added in order, the best to the best.
    """
    lower, upper = problem.bounds()
    parameters = {name: float(value) for name, value in problem.physical(0.5 * (lower + upper)).items()}
    every = np.zeros(starts)
    for part in parts_of(problem):
        found = _searched(part, starts, seed, most)
        parameters |= found.parameters
        every += found.every
    return Optimum(parameters, float(every[0]), tuple(map(float, every)))


def _searched(problem: Problem, starts: int, seed: int, most: int) -> Optimum:
    """The same of a problem that is one.

    Outputs whose measurements reach over decades are fitted on the logarithm first: on their own scale a population
    that dies at once and one that never grows are equally far off, and no slope leads away from either.
    """
    # far from the optimum rates differ by orders of magnitude, whatever they do at it, and need few digits
    rough = Sought(replace(problem, system=replace(problem.system, stiff=True), _cache={}))
    random = np.random.default_rng(seed)

    def searched(likelihood: Likelihood, places: Floats, pace: Pace) -> Ends:
        return search(likelihood, places, rough.lower, rough.upper, replace(pace, most=most))

    places = rough.starts(starts, random)
    if rough.wide.any():
        places = searched(rough.on_logarithms, places, _FAR).places

    def combined_on(likelihood: Likelihood, found: Ends, pace: Pace) -> Ends:
        best = [found.objective.min()]
        while (
            len(found.places) >= 4
            and found.alike(_APART * pace.enough) < _ALIKE
            and len(best) <= _GENERATIONS
        ):
            tried = combined(found, rough.lower, rough.upper, random)
            found = found.better(searched(likelihood, tried, pace))
            best.append(found.objective.min())
            if len(best) > _PATIENCE and best[-1 - _PATIENCE] - best[-1] < pace.enough:
                break
        return found

    coarse, closer = rough.likelihood(COARSE), rough.likelihood(ROUGH)
    found = combined_on(coarse, searched(coarse, places, _FAR), _FAR)
    near = combined_on(closer, searched(closer, found.near(_IN_SIGHT).places, _CLOSER), _CLOSER)
    leading = near.best(_LED_ON)
    fine = Sought(problem)
    fine = fine if np.isfinite(fine.likelihood(FINE)(leading.places)[0]).all() else rough
    ends = searched(fine.likelihood(FINE), leading.places, _NEAR).best(_LED_ON)
    if not fine.problem.system.stiff:  # where digits cost little
        ends = searched(fine.likelihood(FINEST), ends.places, _NEAREST).best(_LED_ON)
    reached = [
        *ends.objective,
        *np.sort(near.objective)[len(ends.objective) :],
        *np.sort(found.objective)[len(near.objective) :],
    ]
    every = tuple(sorted(float(each) + problem.constant() for each in reached))
    best = problem.physical(fine.whole(ends.places[:1]))
    return Optimum({name: float(value[0]) for name, value in best.items()}, every[0], every)


@dataclass(frozen=True)
class Sought:
    """A problem as it is searched: over all parameters but the standard deviations that can be computed of the rest."""

    problem: Problem

    @property
    def computed(self) -> Mapping[str, NDArray[np.bool_]]:
        """Which rows' deviation a parameter is, and nothing else, by its name: (row,)."""
        deviations, output = self.problem.deviations, self.problem.rows["output"].to_numpy(int) - 1
        elsewhere = set(self.problem.system.parameters).union(
            *(names_in(formula) for formula in deviations if not isinstance(formula, str))
        )
        return {
            name: np.array([formula == name for formula in deviations])[output]
            for name in self.problem.parameters.index
            if name in deviations and name not in elsewhere
        }

    @property
    def free(self) -> NDArray[np.bool_]:
        """Which parameters are searched, (parameter,)."""
        return ~np.isin(self.problem.parameters.index, list(self.computed))

    @property
    def lower(self) -> Floats:
        """Bounds of what is searched."""
        return self.problem.bounds()[0][self.free]

    @property
    def upper(self) -> Floats:
        """Bounds of what is searched."""
        return self.problem.bounds()[1][self.free]

    @property
    def wide(self) -> NDArray[np.bool_]:
        """Whether a row is of an output with noise on its own scale, measured above zero over decades, (row,)."""
        rows = self.problem.rows
        measured, kind = rows["measurement"], rows["observable"]
        least, most = (measured.groupby(kind).transform(end).to_numpy(float) for end in ("min", "max"))
        plain = np.array(self.problem.scales)[rows["output"].to_numpy(int) - 1] == "lin"
        return np.asarray(plain & (least > 0.0) & (most > _DECADES * least))

    def likelihood(self, care: Care) -> Likelihood:
        """Residuals and logarithms of deviations, of coordinates (set, what is searched)."""
        return lambda sets: self._settled(*self.problem.standardised(self._filled(sets), care))[:2]

    def on_logarithms(self, sets: Floats) -> tuple[Floats, Floats]:
        """The same, but with logarithms of the rows that reach over decades."""
        return self._settled(*_on_logarithms(self.problem, self._filled(sets), self.wide))[:2]

    def whole(self, sets: Floats) -> Floats:
        """All coordinates (set, parameter), deviations computed."""
        filled = self._filled(sets)
        factors = self._settled(*self.problem.standardised(filled, FINE))[2]
        levels = self.problem.physical(filled)
        own = {name: np.clip(levels[name] * factors[name], *self._limits(name)) for name in factors}
        for place, name in enumerate(self.problem.parameters.index):
            if name in own:
                filled[:, place] = self.problem.scaled(str(name), own[name])
        return filled

    def starts(self, count: int, random: np.random.Generator) -> Floats:
        """Coordinates (start, what is searched) between the bounds, each the best of many draws of its own."""
        lower, upper = self.lower, self.upper
        likelihood = self.on_logarithms if self.wide.any() else self.likelihood(COARSE)
        best, least = random.uniform(lower, upper, (count, len(lower))), np.full(count, np.inf)
        for _ in range(0, _DRAWS, _AT_ONCE):
            draws = random.uniform(lower, upper, (_AT_ONCE, count, len(lower)))
            objectives = objective_of(*likelihood(draws.reshape(-1, len(lower)))).reshape(_AT_ONCE, count)
            first, every = objectives.argmin(0), np.arange(count)
            better = objectives[first, every] < least
            best = np.where(better[:, None], draws[first, every], best)
            least = np.minimum(least, objectives[first, every])
        return best

    def _filled(self, sets: Floats) -> Floats:
        """All coordinates, those of deviations to be computed in the middle of their bounds."""
        lower, upper = self.problem.bounds()
        whole = np.tile(0.5 * (lower + upper), (len(sets), 1))
        whole[:, self.free] = sets
        return whole

    def _limits(self, name: str) -> tuple[float, float]:
        row = self.problem.parameters.loc[name]
        return float(row["lower"]), float(row["upper"])  # type: ignore[arg-type]

    def _settled(self, residual: Floats, deviation: Floats) -> tuple[Floats, Floats, dict[str, Floats]]:
        """The same with each computed deviation the residuals' root mean square, and by what it changed, (set,)."""
        lower, upper = self.problem.bounds()
        middle = self.problem.physical(0.5 * (lower + upper))
        factors = {}
        residual, deviation = residual.copy(), deviation.copy()
        with np.errstate(over="ignore", invalid="ignore"):
            for name, rows in self.computed.items():
                least, most = (end / middle[name] for end in self._limits(name))
                factor = np.clip(np.sqrt((residual[:, rows] ** 2).mean(1)), least, most)
                residual[:, rows] /= factor[:, None]
                deviation[:, rows] += np.log(factor)[:, None]
                factors[name] = factor
        return residual, deviation, factors


def _on_logarithms(problem: Problem, scaled: Floats, wide: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """As `Problem.standardised`, but with logarithms of some rows."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        predicted, deviation = problem.simulated(problem.physical(scaled), COARSE)
        residual = problem.off(predicted) / deviation
        measured = problem.rows["measurement"].to_numpy(float)
        held = np.where(np.isnan(predicted), np.nan, np.maximum(predicted, 0.0)) + _FLOOR * np.abs(measured)
        off = np.log(np.where(wide, measured, 1.0)) - np.log(np.where(wide, held, 1.0))
        share = np.clip(deviation / np.abs(np.where(wide, measured, 1.0)), *_SHARES)
        return np.where(wide, off / share, residual), np.where(wide, 0.0, np.log(deviation))
