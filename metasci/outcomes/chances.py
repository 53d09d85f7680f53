"""What a predictor says of the chance of yes: as log-odds, as a normal deviate, or as the logarithm of a hazard.

Source: McCullagh and Nelder, Generalized Linear Models (1989), chapter 4; the last links grouped times to an event
with their hazard (Prentice and Gloeckler, Biometrics 34 (1978) 57).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy

from metasci import math

__all__ = ["CHANCES", "Chance"]

_HALF_LOG_TWO_PI = 0.5 * np.log(2.0 * np.pi)
_RARE, _CERTAIN = -30.0, 5.0  # beyond, one less e^(−H) is H or one to the last digit


@dataclass(frozen=True)
class Chance:
    """The probability p of yes, by a predictor η.

    Attributes
    ----------
    log_yes, log_no : callable
        ln p and ln(1 − p), in any library.
    information : callable
        Fisher's of η in one trial, (dp/dη)²/(p (1 − p)).
    of_numbers : callable
        p, of NumPy arrays.
    """

    log_yes: Callable[[Any], Any]
    log_no: Callable[[Any], Any]
    information: Callable[[Any], Any]
    of_numbers: Callable[[Any], Any]


def _probit_information(predictor: Any) -> Any:
    log_density = -(predictor**2) - 2.0 * _HALF_LOG_TWO_PI
    return math.exp(log_density - math.log_ndtr(predictor) - math.log_ndtr(-predictor))


def _log_event(predictor: Any) -> Any:
    """ln(1 − e^(−H)) of ln H."""
    inside = math.minimum(math.maximum(predictor, _RARE), _CERTAIN)
    return math.where(predictor < _RARE, predictor, math.log(-math.expm1(-math.exp(inside))))


def _hazard_information(predictor: Any) -> Any:
    """H²/(e^H − 1)."""
    inside = math.minimum(math.maximum(predictor, _RARE), _CERTAIN)
    usual = math.exp(2.0 * inside) / math.expm1(math.exp(inside))
    certain = math.exp(2.0 * predictor - math.exp(math.minimum(predictor, 100.0)))
    rare = math.exp(math.minimum(predictor, _RARE))
    return math.where(predictor < _RARE, rare, math.where(predictor > _CERTAIN, certain, usual))


CHANCES = {
    "logit": Chance(
        math.log_expit,
        lambda predictor: math.log_expit(-predictor),
        lambda predictor: math.exp(math.log_expit(predictor) + math.log_expit(-predictor)),
        scipy.special.expit,
    ),
    "probit": Chance(
        math.log_ndtr,
        lambda predictor: math.log_ndtr(-predictor),
        _probit_information,
        scipy.special.ndtr,
    ),
    "cloglog": Chance(
        _log_event,
        lambda predictor: -math.exp(predictor),
        _hazard_information,
        lambda predictor: -np.expm1(-np.exp(np.minimum(predictor, 700.0))),
    ),
}
