"""Thermally activated rates."""

from __future__ import annotations

from typing import Any

from metasci.math import exp, log, maximum, minimum, where

__all__ = ["GAS_CONSTANT", "log_progress", "stretched_progress"]

GAS_CONSTANT = 8.31446261815324e-3  # kJ/(mol K), CODATA 2018

_COLDEST = 1.0  # kelvin; keeps 1/T and its derivatives finite at absolute zero, where nothing moves anyway
_LARGEST = 40.0  # logarithm of a power beyond which every law here has long come to its end


def log_progress(time: Any, temperature: Any, rate: Any, activation_energy: Any, reference: float) -> Any:
    """ln(k t) with k = rate · exp(−Q/R · (1/T − 1/T_ref)) (Arrhenius 1889).

    Parameters
    ----------
    time : array, s, above zero
    temperature : array, K
    rate : array, 1/s, at the reference temperature
    activation_energy : array, kJ/mol
    reference : float, K

    Examples
    --------
    >>> import numpy as np
    >>> float(np.exp(log_progress(np.array(2.0), np.array(900.0), np.array(0.5), np.array(200.0), 900.0)))
    1.0
    """
    boltzmann = activation_energy / GAS_CONSTANT * (1.0 / maximum(temperature, _COLDEST) - 1.0 / reference)
    return log(rate) - boltzmann + log(time)


def stretched_progress(
    time: Any, temperature: Any, rate: Any, activation_energy: Any, exponent: Any, reference: float
) -> Any:
    """(k t)ⁿ with k as in `log_progress`: exactly zero at time zero, and finite with its derivatives everywhere.

    Examples
    --------
    >>> import numpy as np
    >>> stretched_progress(np.array([0.0, 8.0]), 900.0, 0.5, 200.0, 0.5, 900.0).tolist()
    [0.0, 2.0]
    """
    begun = time > 0.0
    progress = log_progress(
        where(begun, time, 1.0 + 0.0 * time), temperature, rate, activation_energy, reference
    )
    return where(begun, exp(minimum(exponent * progress, _LARGEST)), 0.0)
