"""One sentence on a comparison: where the two agree, where not, and which to trust."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["verdict"]

_ALIKE, _NATS = 0.02, 0.02
_UNLIKELY = 0.05


def verdict(comparison: xr.Dataset) -> str:
    """The sentence, of a comparison's Dataset without it.

    A learned prior can stand in for the hierarchical posterior where its error is at most 2 % greater and its log
    density at most 0.02 nats a measurement less.
    """
    rmse, nlpd, seconds = (comparison[name].values for name in ("rmse", "nlpd", "seconds"))
    ratio, difference = rmse[0] / rmse[1], nlpd[0] - nlpd[1]
    accuracy = (
        "as accurate as"
        if abs(ratio - 1.0) < _ALIKE
        else ("more accurate than" if ratio < 1.0 else "less accurate than")
    )
    honesty = (
        "as well calibrated"
        if abs(difference) < _NATS
        else ("better calibrated" if difference < 0.0 else "less well calibrated")
    )
    trust = (
        "the learned prior can stand in for it"
        if ratio < 1.0 + _ALIKE and difference < _NATS
        else "where it matters, trust PyMC"
    )
    return (
        f"{_population(comparison)}; its forecasts are {accuracy} PyMC's (RMSE ratio {ratio:.3f}) and {honesty} "
        f"(log density {-difference:+.3f} nats a measurement), {seconds[1] / seconds[0]:.0f} times faster: {trust}."
    )


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
