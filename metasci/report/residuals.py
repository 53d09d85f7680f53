"""What a calibration leaves of the measurements, in units of what the model expects it to leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasci.meta.laplace.gaussian import GaussianPrior

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit

__all__ = ["between_tasks", "conditional_weighted_residuals", "running_median"]


def conditional_weighted_residuals(calibration: EquationFit) -> NDArray[np.float64]:
    """Conditional weighted residuals (CWRES) of every measurement, (task, observation), NaN where there is none.

    On the scale on which the noise is Gaussian, and with the model linearised at a task's estimate ẑ,

        r = V^(−1/2) (y − [f(ẑ) + J (μ − ẑ)]),   V = J Ω Jᵀ + diag(σ²),

    with J the slopes and σ² the noise's variance at ẑ, μ the prior's mean with the task's covariates, and Ω the
    covariance between tasks. V^(−1/2) is the symmetric root, so that a task's residuals are uncorrelated. They scatter
    like N(0, 1) where the model holds. A measurement that is only known to lie below a limit has none.

    Sources: Hooker, Staatz and Karlsson, Pharm Res 24 (2007) 2187.

    Examples
    --------
    >>> import metasci as ms
    >>> fit = ms.load("theophylline").calibrate(ms.dataset("theophylline"))
    >>> conditional_weighted_residuals(fit).shape
    (12, 11)
    """
    problem, adapted = calibration.problem, calibration.adapted
    measured = problem.batch.mask
    measured = measured & problem.batch.numbers
    line = problem.linearise(adapted.coordinates, adapted.log_noise)
    measured = measured & torch.isfinite(line.prediction) & torch.isfinite(line.jacobian).all(-1)
    slopes = line.jacobian.where(measured[..., None], torch.zeros_like(line.jacobian))
    expected = line.prediction + torch.einsum("top,tp->to", slopes, adapted.start - adapted.coordinates)
    if adapted.discrepancy is not None:
        left_out = adapted.discrepancy.left_out(problem, line, adapted.coordinates, prior=True)
        expected = line.prediction + left_out
    residual = (problem.target - expected).where(measured, torch.zeros_like(expected))
    mixture = adapted.start_mixture
    factor = (mixture.weight * mixture.factor).sum(0)[:, None]
    noise = (line.variance * factor).where(measured, torch.ones_like(line.variance))
    covariance = slopes @ between_tasks(calibration) @ slopes.mT
    if adapted.discrepancy is not None:
        covariance = factor[..., None] * adapted.discrepancy.covariance_at(problem, line, prior=True)
        covariance = covariance.where(
            measured[:, :, None] & measured[:, None, :], torch.zeros_like(covariance)
        )
    covariance = covariance + torch.diag_embed(noise)
    values, vectors = torch.linalg.eigh(covariance)
    rotated = torch.einsum("toi,to->ti", vectors, residual) / values.clamp(min=1e-300).sqrt()
    weighted = torch.einsum("toi,ti->to", vectors, rotated)
    residuals: NDArray[np.float64] = weighted.masked_fill(~measured, torch.nan).numpy()
    return residuals


def between_tasks(calibration: EquationFit) -> Tensor:
    """Ω, the covariance between tasks of the same covariates, (task, parameter, parameter).

    A prior that was learned from few tasks does not know Ω well, and what it expects of a new task has long tails. Here
    Ω is as it is thought to be, without the tails.
    """
    prior = calibration.prior
    if not isinstance(prior.method, GaussianPrior):
        return calibration.adapted.start_covariance
    covariance: Tensor = prior.method.start(prior.state, prior.design(calibration.batch))[1]
    return covariance


def running_median(
    x: NDArray[np.float64], y: NDArray[np.float64], share: float = 0.3
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median of the nearest points along x, and where along x their median lies, both (step,).

    Parameters
    ----------
    x, y : array, (point,)
        Points where either is not finite are left out.
    share : float
        Part of the points in a window, but at least five of them; windows overlap by three quarters.

    Examples
    --------
    >>> x, middle = running_median(np.arange(8.0), np.array([0, 0, 9, 0, 0, 1, 1, 1.0]))
    >>> middle.tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    sound = np.isfinite(x) & np.isfinite(y)
    order = np.argsort(x[sound], kind="stable")
    x, y = x[sound][order], y[sound][order]
    window = min(len(x), max(5, round(share * len(x))))
    if window == 0:
        return x, y
    last = len(x) - window
    starts = np.unique(np.append(np.arange(0, last, max(1, window // 4)), last))
    at = np.array([np.median(x[start : start + window]) for start in starts])
    return at, np.array([np.median(y[start : start + window]) for start in starts])
