"""Thermally activated rates."""

from __future__ import annotations

from typing import Any

from metasci.math import log, maximum

__all__ = ["GAS_CONSTANT", "log_progress"]

GAS_CONSTANT = 8.31446261815324e-3  # kJ/(mol K), CODATA 2018

_SHORTEST = 1e-12  # seconds; keeps the logarithm and its derivatives finite at time zero


def log_progress(time: Any, temperature: Any, rate: Any, activation_energy: Any, reference: float) -> Any:
    """ln(k t) with k = rate · exp(−Q/R · (1/T − 1/T_ref)) (Arrhenius 1889).

    Parameters
    ----------
    time : array, s
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
    boltzmann = activation_energy / GAS_CONSTANT * (1.0 / temperature - 1.0 / reference)
    return log(rate) - boltzmann + log(maximum(time, 0.0 * time + _SHORTEST))
