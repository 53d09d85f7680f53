"""How far a task's estimate goes from its start towards its own best fit: a matrix for each task.

Near the best fit a of a task's measurements an estimate is ẑ = z₀ + W (a − z₀). With no measurement W = 0, with
very many W = I. Gradient steps and Gaussian priors differ only in their W.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["contraction", "of_prior", "of_steps"]

Array = NDArray[np.float64]


def of_steps(hessian: ArrayLike, step_matrix: ArrayLike, steps: int) -> Array:
    """Shrinkage operator of k gradient steps, I − (I − A H)ᵏ.

    Parameters
    ----------
    hessian : array, (..., parameter, parameter)
        Of the support's negative log-likelihood.
    step_matrix : array, (parameter, parameter)
    steps : int

    Examples
    --------
    >>> round(float(of_steps([[2.0]], [[0.1]], 2)[0, 0]), 6)
    0.36
    """
    curvature, step = np.asarray(hessian, float), np.asarray(step_matrix, float)
    size = curvature.shape[-1]
    left = np.eye(size) - step @ curvature
    return np.asarray(np.eye(size) - np.linalg.matrix_power(left, steps))


def of_prior(hessian: ArrayLike, covariance: ArrayLike) -> Array:
    """Shrinkage operator of the estimate under a Gaussian prior, (H + Σ⁻¹)⁻¹ H, written so that Σ may be singular.

    Parameters
    ----------
    hessian, covariance : array, (..., parameter, parameter)

    Examples
    --------
    >>> round(float(of_prior([[2.0]], [[0.5]])[0, 0]), 6)
    0.5
    """
    curvature, spread = np.asarray(hessian, float), np.asarray(covariance, float)
    whole = np.eye(curvature.shape[-1]) + spread @ curvature
    return np.asarray(np.linalg.solve(whole, spread @ curvature))


def contraction(posterior: ArrayLike, prior: ArrayLike) -> Array:
    """Share of each parameter's prior variance that the measurements took away, from covariance matrices.

    Examples
    --------
    >>> contraction([[0.25]], [[1.0]]).tolist()
    [0.75]
    """
    left = np.diagonal(np.asarray(posterior, float), axis1=-2, axis2=-1)
    whole = np.diagonal(np.asarray(prior, float), axis1=-2, axis2=-1)
    return np.asarray(1.0 - left / whole)
