"""A sentence or two on a comparison: where the two agree, where not, what cannot be told, and which to trust."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from metasci.bayes.differences import ALPHA, Difference
from metasci.bayes.folds import GIVEN
from metasci.bayes.scoring import POPULATION, differences, others

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["verdict"]

_UNLIKELY = 0.05  # probability in the tails beyond which start and posterior mean are said to differ
_ACCURACY = {"alike": "as accurate as", "better": "more accurate than", "worse": "less accurate than"}
_HONESTY = {"alike": "as well calibrated", "better": "better calibrated", "worse": "less well calibrated"}


def verdict(comparison: xr.Dataset) -> str:
    """The sentence, of a comparison's Dataset without it.

    A learned prior can stand in for the hierarchical posterior where one-sided tests at 5 % say that its error is not
    greater, and its log density not less, by the margin or more. Where what is judged was learned anew, the prior as
    given must not be shown to be worse either.
    """
    error, density = differences(comparison)
    from_known = [differences(comparison, place) for place, name in others(comparison) if name == GIVEN]
    seconds = comparison["seconds"].values
    forecasts = _forecasts(error, density, _error_name(comparison))
    return (
        f"{comparison.attrs['learned']}. {_population(comparison)}; {forecasts}, "
        f"{seconds[1] / seconds[0]:.0f} times faster{_alike(comparison)}{_beside(comparison)}: "
        f"{_trust(error, density, from_known)}."
    )


def _error_name(comparison: xr.Dataset) -> str:
    return str(comparison.attrs.get("error_name", "RMSE"))


def _forecasts(error: Difference, density: Difference, name: str) -> str:
    """Accuracy and calibration, each with its uncertainty."""
    low, high = (math.exp(bound) for bound in error.interval)
    ratio = f"{name} ratio {math.exp(error.estimate):.3f}, 90 % interval {low:.3f} to {high:.3f}"
    nats = f"log density {-density.estimate:+.3f} ± {density.standard_error:.3f} nats a measurement"
    tests = f"TOST p {error.p_equivalent:.2g} and {density.p_equivalent:.2g}"
    unsure = f"{error.tasks} tasks cannot tell whether"
    accuracy, honesty = _ACCURACY.get(error.judgement), _HONESTY.get(density.judgement)
    if accuracy and honesty:
        return f"its forecasts are {accuracy} PyMC's ({ratio}) and {honesty} ({nats}; {tests})"
    if accuracy:
        return f"its forecasts are {accuracy} PyMC's ({ratio}), {unsure} as well calibrated ({nats}; {tests})"
    if honesty:
        return f"{unsure} its forecasts are as accurate as PyMC's ({ratio}), they are {honesty} ({nats}; {tests})"
    return (
        f"{unsure} its forecasts are as accurate as PyMC's ({ratio}) or as well calibrated ({nats}; {tests})"
    )


def _alike(comparison: xr.Dataset) -> str:
    """Whether PyMC's joint fit owes something to the other new tasks, which the learned prior has not seen."""
    if POPULATION not in comparison["forecaster"].values:
        return ""
    error, density = differences(comparison, 2)
    if error.judgement != "worse" and density.judgement != "worse":
        return ""
    ratio = math.exp(differences(comparison, 0, 2)[0].estimate)
    return (
        "; PyMC's joint fit learns from the supports of all new tasks together, and against PyMC without them the "
        f"{_error_name(comparison)} ratio is {ratio:.3f}"
    )


def _beside(comparison: xr.Dataset) -> str:
    """What is said of the forecaster that is judged as well."""
    clauses = []
    for place, name in others(comparison):
        error, density = differences(comparison, place)
        who = (
            "as given, having seen these tasks,"
            if name == GIVEN
            else "learned anew from the same tasks as PyMC,"
        )
        clauses.append(
            f"; {who} its {_error_name(comparison)} ratio is {math.exp(error.estimate):.3f} and its log density "
            f"{-density.estimate:+.3f} ± "
            f"{density.standard_error:.3f}"
        )
    return "".join(clauses)


def _trust(error: Difference, density: Difference, from_known: list[tuple[Difference, Difference]]) -> str:
    if any(judged.judgement == "worse" for pair in from_known for judged in pair):
        return "where it matters, trust PyMC, and not the prior as given"
    if "worse" in (error.judgement, density.judgement):
        return "where it matters, trust PyMC"
    if max(error.p_not_worse, density.p_not_worse) < ALPHA:
        return "the learned prior can stand in for it"
    return f"{error.tasks} tasks cannot tell whether the learned prior can stand in for it"


def _population(comparison: xr.Dataset) -> str:
    tail = float(comparison["tail"].min())
    near = f"agrees with PyMC's population mean (χ² tail {tail:.2g} at least)"
    if tail < _UNLIKELY:
        away = comparison["start_z"].where(comparison["tail"] < _UNLIKELY)
        name = str(away["parameter"].values[int(np.nanmax(np.abs(away.values), axis=0).argmax())])
        near = f"differs from PyMC's population mean, most in {name} (χ² tail down to {tail:.2g})"
    spread = np.exp(np.log((comparison["implied_sd"] / comparison["population_sd"]).values).mean(0))
    if not np.isfinite(spread).all():
        return f"The learned start {near}, and its spread is that of no Gaussian prior"
    low, high = float(spread.min()), float(spread.max())
    width = (
        f"its spread is {low:.2f} of PyMC's"
        if high - low < 0.005
        else f"its spread is {low:.2f} to {high:.2f} of PyMC's"
    )
    return f"The learned start {near}, and {width}"
