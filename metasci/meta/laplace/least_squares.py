"""Least squares for one task, without a prior: Levenberg–Marquardt steps that follow the bend of the model.

What `map_estimate` does for many tasks under a prior; here for a single fit whose valley may be narrow and
curved. Three things make it robust. The damping is in units of each parameter's own effect on the predictions,
which may fall again but no faster than by half a step. A step is bent by the second derivative of the
predictions along it. And the linear problems are solved by orthogonal factors, never by normal equations.

Sources: Moré, Lect Notes Math 630 (1978) 105, for the scaling; Transtrum and Sethna 2012 (arXiv 1201.5885) for the
bend (geodesic acceleration).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.meta.problem import Problem

__all__ = ["LeastSquares", "least_squares"]

# of the squared scale: nearly Gauss and Newton's step to begin with; less after a step that lowers, more after one
# that does not, by different factors so that it does not go to and fro; at the greatest nothing moves any more
_FIRST_DAMPING, _LESS, _MORE, _MOST = 1e-3, 3.0, 4.0, 1e12
_FORGET = 0.5  # of the scale in a step: what a parameter did far away does not matter for ever
_GREATEST_BEND = 0.75  # of a step, beyond which it is not trusted
_PROBE = 0.1  # of a step, to see how far the predictions bend

_Residuals = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LeastSquares:
    """A fit.

    Attributes
    ----------
    coordinates : Tensor, (parameter,)
    covariance : Tensor, (parameter, parameter)
        Of the estimates, with the noise's variance estimated from the residuals.
    squares : float
        Sum of the squared residuals, on the noise's linked scale.
    steps : int
    converged : bool
    reason : str
        Why it ended.
    """

    coordinates: Tensor
    covariance: Tensor
    squares: float
    steps: int
    converged: bool
    reason: str


def least_squares(
    problem: Problem, start: Tensor | None = None, *, steps: int = 5000, tolerance: float = 1e-10
) -> LeastSquares:
    """Fit one task alone.

    Parameters
    ----------
    problem : Problem
        Of one task.
    start : Tensor, (parameter,), optional
        Zero, the typical values, by default.
    steps : int
        At most so many.
    tolerance : float
        The fit has converged when the residuals would fall by less than this share of themselves in a next step, as
        far as the model is linear.

    Raises
    ------
    InputError
        If there is more than one task, or the model is not finite at the start.

    Examples
    --------
    >>> import metasci as ms
    >>> patient = ms.dataset("theophylline").select(["1"])
    >>> model = ms.load("theophylline").model
    >>> fit = least_squares(Problem(model, patient.batch(model)))
    >>> fit.converged, round(fit.squares, 2)
    (True, 4.29)
    """
    if len(problem) != 1:
        raise InputError(f"least squares fit one task, not {len(problem)}.")
    keep = problem.batch.mask[0]
    size = len(problem.model.parameters)
    here = problem.target.new_zeros(size) if start is None else start.detach().clone().reshape(size)

    def residuals(at: Tensor) -> Tensor:
        with torch.no_grad():
            predicted = problem.model.noise.link(problem.predict(at[None]))
        return (problem.target - predicted)[0, keep]

    left = residuals(here)
    if not bool(torch.isfinite(left).all()):
        raise InputError(f"'{problem.model.name}' is not finite where least squares would start.")
    squares, damping, scale = float(left @ left), _FIRST_DAMPING, torch.zeros_like(here)
    reason, taken = f"{steps} steps were not enough", 0
    while taken < steps:
        taken += 1
        jacobian = _jacobian(problem, here)[keep]
        scale = torch.maximum(_FORGET * scale, jacobian.norm(dim=0))
        scale = torch.where(scale > 0, scale, 1.0)
        lowered = _lower(residuals, here, left, squares, jacobian, scale, damping)
        if lowered is None:
            reason = "no step leads further down"
            break
        here, left, moved, damping = lowered
        squares = float(left @ left)
        damping = max(damping / _LESS, 1e-20)
        if float((scale * moved).norm()) <= tolerance * max(squares, 1e-300) ** 0.5:
            reason = "the residuals are as small as they get"
            break
        if float((scale * moved).norm()) <= 1e-15 * float((scale * here).norm()):
            reason = "the parameters rest"
            break
    jacobian = _jacobian(problem, here)[keep]
    spread = torch.linalg.pinv(jacobian)
    freedom = max(len(left) - size, 1)
    return LeastSquares(
        here, spread @ spread.T * squares / freedom, squares, taken, "enough" not in reason, reason
    )


def _jacobian(problem: Problem, at: Tensor) -> Tensor:
    """Of the predictions, (observation, parameter)."""
    unit_noise = at.new_zeros(len(problem.model.noise.scales))
    return problem.linearise(at[None], unit_noise).jacobian[0]


def _lower(
    residuals: _Residuals,
    here: Tensor,
    left: Tensor,
    squares: float,
    jacobian: Tensor,
    scale: Tensor,
    damping: float,
) -> tuple[Tensor, Tensor, Tensor, float] | None:
    """Where the sum of squares is no greater, its residuals, the straight part of the step, and the damping used."""
    while damping < _MOST:
        step, bend = _bent_step(residuals, here, left, jacobian, scale, damping)
        trusted = 2.0 * (scale * bend).norm() <= _GREATEST_BEND * (scale * step).norm()
        after = residuals(here + step + bend)
        lower = float(after @ after) <= squares  # false where not finite
        if lower and bool(trusted):
            return here + step + bend, after, step, damping
        damping *= _MORE
    return None


def _bent_step(
    residuals: _Residuals, here: Tensor, left: Tensor, jacobian: Tensor, scale: Tensor, damping: float
) -> tuple[Tensor, Tensor]:
    """The damped Gauss–Newton step, and half the second derivative along it carried back into the parameters."""
    size = len(here)
    damped = torch.cat([jacobian / scale, damping**0.5 * torch.eye(size, dtype=here.dtype)])

    def solved(of: Tensor) -> Tensor:
        rest = torch.cat([of, of.new_zeros(size)])[:, None]
        return torch.linalg.lstsq(damped, rest, driver="gelsd").solution[:, 0] / scale

    step = solved(left)
    change = (left - residuals(here + _PROBE * step)) / _PROBE  # of the predictions
    bend = -solved((change - jacobian @ step) / _PROBE)
    return step, torch.where(torch.isfinite(bend).all(), bend, torch.full_like(bend, torch.inf))
