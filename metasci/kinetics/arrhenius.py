"""Thermally activated rates, and powers of a progress that begins at zero."""

from __future__ import annotations

from typing import Any

from metasci.math import exp, log, maximum, minimum, where
from metasci.quantities import takes_quantities

__all__ = ["GAS_CONSTANT", "arrhenius_factor", "power"]

GAS_CONSTANT = 8.31446261815324e-3  # kJ/(mol K), CODATA 2018

_COLDEST = 1.0  # kelvin; keeps 1/T and its derivatives finite at absolute zero, where nothing moves anyway
_LARGEST = 40.0  # logarithm of a power beyond which every law here has long come to its end
_FAINTEST = 1e-90  # a progress below which derivatives of its powers would overflow, and nothing has begun
_FASTEST = 300.0  # logarithm of a rate that only an absurd extrapolation reaches


@takes_quantities(temperature="K", activation_energy="kJ/mol", reference="K")
def arrhenius_factor(temperature: Any, activation_energy: Any, reference: float) -> Any:
    """exp(−Q/R · (1/T − 1/T_ref)): by what factor a rate differs from that at the reference temperature.

    Parameters
    ----------
    temperature : array, K
    activation_energy : array, kJ/mol
    reference : float, K

    Notes
    -----
    Source: Arrhenius, Z Phys Chem 4 (1889) 226.

    Examples
    --------
    >>> import numpy as np
    >>> float(arrhenius_factor(np.array(900.0), np.array(200.0), 900.0))
    1.0
    """
    exponent = activation_energy / GAS_CONSTANT * (1.0 / maximum(temperature, _COLDEST) - 1.0 / reference)
    return exp(minimum(-exponent, _FASTEST))


def power(base: Any, exponent: Any) -> Any:
    """``base ** exponent``: exactly zero where the base is not above 1e-90, and finite with its derivatives everywhere.

    Examples
    --------
    >>> import numpy as np
    >>> power(np.array([-1.0, 0.0, 4.0]), 0.5).round(12).tolist()
    [0.0, 0.0, 2.0]
    """
    begun = base > _FAINTEST
    return where(begun, exp(minimum(exponent * log(where(begun, base, 1.0 + 0.0 * base)), _LARGEST)), 0.0)
