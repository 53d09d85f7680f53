"""The figures of a comparison with PyMC, as plain numbers, a sentence and a table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr

from metasci.bayes.differences import Difference
from metasci.bayes.scoring import POPULATION, differences, others
from metasci.markup import captioned, table
from metasci.words import number

__all__ = ["Summary", "summary"]


class Summary(dict[str, Any]):
    """The figures of a comparison, which a notebook shows as a table with intervals."""

    def _repr_html_(self) -> str:
        rows = [
            [
                self.get("error_name", "RMSE") if key == "rmse" else title,
                number(self[key]["prior"]),
                number(self[key]["pymc"]),
            ]
            for key, title in _OF_BOTH.items()
        ]
        against = [
            [
                f"{self.get('error_name', 'RMSE')}, ratio",
                number(self["rmse_ratio"]),
                _interval(self["rmse_ratio_interval"]),
            ],
            [
                "−log density, difference",
                number(self["nlpd_difference"]),
                _interval(self["nlpd_difference_interval"]),
            ],
        ]
        text = f"{self['tasks']} tasks, {self['measurements']} measurements, {self['shots']} of support each"
        return captioned(
            self["verdict"],
            text,
            table(["", self["judged"], "PyMC"], rows),
            table(["learned against PyMC", "estimate", "90 % interval"], against),
        )


_OF_BOTH = {
    "rmse": "RMSE",
    "nlpd": "−log density a measurement",
    "crps": "CRPS",
    "coverage90": "90 % intervals hold",
    "seconds_per_task": "seconds a task",
}


def _interval(ends: dict[str, float]) -> str:
    return f"{number(ends['lower'])} to {number(ends['upper'])}"


def summary(comparison: xr.Dataset) -> Summary:
    """The figures of a comparison, as plain numbers and one sentence.

    Returns
    -------
    Summary
        A dictionary: ``tasks``, ``measurements``, ``shots``; ``judged``, what is held against PyMC; ``rmse``,
        the error, of which ``error_name`` says what it is; ``nlpd``, ``crps``,
        ``coverage90`` and ``seconds_per_task`` of both; ``rmse_ratio``, ``nlpd_difference`` (learned less PyMC, in nats
        a measurement), ``speed_ratio``; ``rmse_ratio_interval`` and ``nlpd_difference_interval``, 90 % by Student's t,
        ``nlpd_difference_se``, clustered by task and over chains; ``tost``, p of the two one-sided tests of
        equivalence within ``margins``; ``beside``, the ratio and the difference of what is judged as well;
        ``against_population``, those against what PyMC forecasts from the old tasks' population alone (empty of a prior
        with a discrepancy); of the
        population ``start_tail`` (the smallest χ² tail of a fold), ``spread_ratio`` (by parameter, the learned spread
        over PyMC's, their geometric mean over folds), ``wasserstein``; ``converged``, whether all chains have; and
        ``verdict``.
    """
    names = [str(name) for name in comparison["forecaster"].values]
    both = {"prior": names[0], "pymc": names[1]}

    def of_both(name: str) -> dict[str, float]:
        return {key: float(comparison[name].sel(forecaster=method)) for key, method in both.items()}

    rmse, nlpd, seconds = of_both("rmse"), of_both("nlpd"), of_both("seconds")
    coverage = comparison["coverage"].sel(level=0.9)
    ratio = np.exp(np.log((comparison["implied_sd"] / comparison["population_sd"]).values).mean(0))
    error, density = differences(comparison)
    beside: dict[str, float] = {}
    for place, name in others(comparison):
        of_error, of_density = differences(comparison, place)
        beside |= {
            f"{name}: rmse_ratio": float(np.exp(of_error.estimate)),
            f"{name}: nlpd_difference": of_density.estimate,
        }
    figures = {
        "tasks": comparison.sizes["task"],
        "measurements": comparison.sizes["measurement"],
        "shots": int(comparison.attrs["shots"]),
        "judged": names[0],
        "error_name": str(comparison.attrs.get("error_name", "RMSE")),
        "rmse": rmse,
        "rmse_ratio": rmse["prior"] / rmse["pymc"],
        "rmse_ratio_interval": _named(error, np.exp),
        "nlpd": nlpd,
        "nlpd_difference": nlpd["prior"] - nlpd["pymc"],
        "nlpd_difference_se": density.standard_error,
        "nlpd_difference_interval": _named(density, float),
        "tost": {"rmse": error.p_equivalent, "nlpd": density.p_equivalent},
        "margins": {
            "rmse": float(comparison.attrs["rmse_margin"]),
            "nats": float(comparison.attrs["nats_margin"]),
        },
        "beside": beside,
        "against_population": _against_population(comparison),
        "crps": of_both("mean_crps"),
        "coverage90": {key: float(coverage.sel(forecaster=method)) for key, method in both.items()},
        "seconds_per_task": seconds,
        "speed_ratio": seconds["pymc"] / seconds["prior"],
        "start_tail": float(comparison["tail"].min()),
        "spread_ratio": dict(zip(comparison["parameter"].values.tolist(), ratio.tolist(), strict=True)),
        "wasserstein": float(comparison["wasserstein"].mean()),
        "converged": bool(comparison["converged"].all()),
        "verdict": str(comparison.attrs["verdict"]),
    }
    return Summary(figures)


def _against_population(comparison: xr.Dataset) -> dict[str, float]:
    """What is judged against what PyMC forecasts from the old tasks' population alone; nothing where it does not."""
    if POPULATION not in comparison["forecaster"].values:
        return {}
    error, density = differences(comparison, 0, 2)
    return {
        "rmse_ratio": float(np.exp(error.estimate)),
        "nlpd_difference": density.estimate,
        "nlpd_difference_se": density.standard_error,
    }


def _named(quantity: Difference, shown: Callable[[float], Any]) -> dict[str, float]:
    low, high = quantity.interval
    return {"lower": float(shown(low)), "upper": float(shown(high))}
