"""Where a map of tempering ends: below and above the scale of hardness, and above Ac1, where austenite forms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metasci.data.hardness import range_of, scale_of
from metasci.kinetics.critical_temperatures import FORMULAS, critical_temperature

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit

__all__ = ["beyond_law", "beyond_scale", "hollomon_jaffe_after_an_hour", "is_tempering", "kelvin_of"]

_CONSTANT = 20.0  # of Hollomon and Jaffe, with time in hours
_TEMPERING = "kinetics.tempering"


def is_tempering(calibration: EquationFit) -> bool:
    """Whether the model is one of tempering, which ends where austenite forms."""
    return calibration.prior.model.name.startswith(_TEMPERING)


def beyond_law(calibration: EquationFit) -> float:
    """Ac1 of the first task, K, by what is known of its composition; infinite where the model is not one of tempering.

    An element of which nothing is known counts as none; Ac1 of plain carbon steel is 723 °C.
    """
    if not is_tempering(calibration):
        return np.inf
    known = {
        name: float(value)
        for name, value in zip(
            calibration.prior.covariates.names, calibration.batch.covariates[0], strict=True
        )
        if name in FORMULAS["Ac1"].coefficients and np.isfinite(float(value))
    }
    return critical_temperature("Ac1", known).value


def beyond_scale(unit: str, values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where values lie off the scale of hardness that a unit names, such as below 20 HRC; nowhere for other units.

    Examples
    --------
    >>> beyond_scale("HRC", np.array([12.0, 30.0, 70.0])).tolist(), beyond_scale("MPa", np.array([12.0])).tolist()
    ([True, False, True], [False])
    """
    scale = scale_of(unit)
    if scale not in (
        "HRC",
        "HRB",
    ):  # Vickers, Brinell and Knoop are forces over areas, which end nowhere near
        return np.zeros(values.shape, dtype=bool)
    low, high = range_of(scale, "HV")
    return (values < low) | (values > high)


def hollomon_jaffe_after_an_hour(kelvin: NDArray[np.float64]) -> NDArray[np.float64]:
    """T·(20 + lg t) after an hour, in thousands.

    Examples
    --------
    >>> hollomon_jaffe_after_an_hour(np.array([873.15])).tolist()
    [17.463]
    """
    return 1e-3 * _CONSTANT * kelvin


def kelvin_of(parameter: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `hollomon_jaffe_after_an_hour`."""
    return 1e3 / _CONSTANT * parameter
