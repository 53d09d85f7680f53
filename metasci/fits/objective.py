"""NONMEM's objective function value of calibrated tasks: how probable a population's measurements are under a prior."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd
import torch

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit

__all__ = ["objective_function"]


def objective_function(calibration: EquationFit) -> pd.Series:
    """Minus twice the log likelihood of each task by FOCE with interaction, without n·ln 2π.

    −2 ln ∫ p(y | η) N(η; 0, Ω) dη ≈ Σ(ln v + r²/v) + η̂ᵀΩ⁻¹η̂ + ln|Ω| + ln|H| at the estimate η̂, H the curvature with
    Fisher's information of the measurements; the sum over tasks is what NONMEM prints for METHOD=COND INTER.

    Source: Beal and Sheiner, NONMEM Users Guide VII (1998); Almquist, Leander and Jirstrand, J Pharmacokinet
    Pharmacodyn 42 (2015) 191, equation 19.

    Examples
    --------
    >>> import metasci as ms
    >>> prior = ms.load("phenobarbital_grasela_1985")
    >>> infants = ms.dataset("phenobarbital", model=prior.model)
    >>> round(float(objective_function(prior.calibrate(infants)).sum()), 6)  # NONMEM prints 586.276056
    586.276056
    """
    adapted, batch = calibration.adapted, calibration.batch
    cost = calibration.problem.negative_log_likelihood(adapted.coordinates, adapted.log_noise)
    off = adapted.coordinates - adapted.start
    prior = torch.einsum("ti,tij,tj->t", off, torch.linalg.inv(adapted.start_covariance), off)
    volume = torch.linalg.slogdet(adapted.start_covariance).logabsdet
    volume = volume - torch.linalg.slogdet(adapted.covariance).logabsdet
    # whole numbers times a float would be of single precision, and seven digits short of NONMEM's print
    measured = batch.mask.sum(1).to(cost.dtype)
    value = 2.0 * cost + prior + volume - measured * math.log(2.0 * math.pi)
    return pd.Series(value.numpy(), index=pd.Index(batch.names, name="task"), name="objective")
