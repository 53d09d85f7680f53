"""Is this task, or this site, unlike those that were learned from? Asked before its calibration is trusted.

Under a Gaussian prior a task's estimate ẑ has a known distribution before anything is measured: about the start, with
the covariance Σ − S, of the prior's Σ and the posterior's S. Where the estimate lies far out in it, the task is
unlike the others in its parameters. What is left of the measurements' squares says whether they scatter about the
equation as the others do.

With r measured less predicted at the start and V = JΣJᵀ + σ²I, rᵀV⁻¹r is the sum of the two: (ẑ − m)ᵀ(Σ − S)⁻¹(ẑ − m)
of as many degrees of freedom as there are informed directions, and the rest. Exact where the model is linear in its
coordinates and the spread is known; the spread's own uncertainty, of as many degrees of freedom as tasks were learned
from, is drawn.

Source: Box, JRSS A 143 (1980) 383, for the prior predictive distribution as a check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr
from scipy.stats import chi2
from torch import Tensor

from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.meta.adapted import Adapted
from metasci.meta.laplace.gaussian import GaussianPrior
from metasci.meta.problem import Problem
from metasci.words import enumerated

if TYPE_CHECKING:
    from metasci.learned.equation import LearnedEquation

__all__ = ["unlike"]

_DRAWS = 20_000
# share of the prior's variance that measurements take away, below which a direction says nothing of the task
_INFORMED = 1e-6


def unlike(prior: LearnedEquation, tasks: TaskSet, *, level: float = 0.05, seed: int = 0) -> xr.Dataset:
    """Whether tasks are unlike those that a prior was learned from.

    Parameters
    ----------
    prior : Prior
        A learned Gaussian prior.
    tasks : TaskSet
        None of which was learned from.
    level : float
        Below which a p-value is told of.
    seed : int
        Of the draws of the spread's uncertainty.

    Returns
    -------
    xarray.Dataset
        By ``task``: ``p_parameters``, ``p_scatter`` (NaN for outcomes that do not scatter about a curve, and where
        nothing is left), ``distance`` (root mean square of the estimate in predicted standard deviations),
        ``directions``; the verdict in ``attrs["verdict"]``.

    Raises
    ------
    InputError
        If the prior is no Gaussian one, or each task has a noise of its own, which explains any scatter.

    Examples
    --------
    >>> import metasci as ms
    >>> infants = ms.dataset("phenobarbital")
    >>> prior = ms.meta_calibrate(ms.load("phenobarbital").model, infants.select(slice(0, 40)))
    >>> found = unlike(prior, infants.select(slice(40, None)))
    >>> bool(((found["p_parameters"] >= 0.0) & (found["p_parameters"] <= 1.0)).all())
    True
    """
    method = prior.method
    if not isinstance(method, GaussianPrior):
        raise InputError(
            f"{method.name} predicts no distribution of a new task's parameters: learn a GaussianPrior."
        )
    if method.task_noise:
        raise InputError(
            "a prior with a noise of each task's own explains any scatter: learn one without `task_noise`."
        )
    batch = prior.batch(tasks)
    adapted, freedom = prior.adapt(batch), float(prior.training.get("tasks", 0)) + method.regularisation
    wider = float(getattr(prior.state, "widening", torch.ones(())))
    random = np.random.default_rng(seed)
    squared, informed = _distances(adapted)
    p = [
        _tail(total, share[share > _INFORMED], freedom, wider, method.correlated, random)
        for total, share in zip(squared, informed, strict=True)
    ]
    count = (informed > _INFORMED).sum(1)
    found = xr.Dataset(
        {
            "p_parameters": ("task", p),
            "p_scatter": ("task", _scatter(prior, Problem(prior.model, batch), adapted, squared, count)),
            "distance": ("task", np.sqrt(squared / np.maximum(count, 1))),
            "directions": ("task", count),
        },
        coords={"task": list(batch.names)},
    )
    return found.assign_attrs(verdict=_verdict(found, level))


def _distances(adapted: Adapted) -> tuple[np.ndarray, np.ndarray]:
    """(ẑ − m)ᵀ(Σ − S)⁻¹(ẑ − m) of each task, and the share of the prior's variance that is gone by direction."""
    factor = torch.linalg.cholesky(adapted.start_covariance)
    off = torch.linalg.solve_triangular(factor, (adapted.coordinates - adapted.start)[..., None], upper=False)
    half = torch.linalg.solve_triangular(factor, adapted.covariance, upper=False)
    left = torch.linalg.solve_triangular(factor, half.mT, upper=False)  # L⁻¹ S L⁻ᵀ
    kept, directions = torch.linalg.eigh(0.5 * (left + left.mT))
    gone = (1.0 - kept).clamp(0.0, 1.0)
    along = (directions.mT @ off)[..., 0]
    each = torch.where(gone > _INFORMED, along.square() / gone.clamp(min=_INFORMED), 0.0)
    return each.sum(1).numpy(), gone.numpy()


def _tail(
    total: float,
    informed: np.ndarray,
    freedom: float,
    wider: float,
    correlated: bool,
    random: np.random.Generator,
) -> float:
    """Probability of as great a distance or a greater one, the spread's own uncertainty drawn."""
    if not len(informed):
        return 1.0
    # one factor for all directions where the whole matrix is uncertain, one for each where variances are learned apart
    factors = freedom / random.chisquare(freedom, (_DRAWS, 1 if correlated else len(informed))) / wider
    drawn = random.standard_normal((_DRAWS, len(informed))) ** 2 * (informed * factors + 1.0 - informed)
    return float((1 + (drawn.sum(1) >= total).sum()) / (_DRAWS + 1))


def _scatter(
    prior: LearnedEquation, problem: Problem, adapted: Adapted, squared: np.ndarray, count: np.ndarray
) -> np.ndarray:
    """Tail probabilities, in either direction, of the squares that parameters leave."""
    if not prior.model.noise.gaussian or problem.limits is not None:
        return np.full(len(problem), np.nan)
    line = problem.linearise(adapted.coordinates, adapted.log_noise)
    residual = problem.residual(line, adapted.log_noise).square() / line.variance
    mask = problem.batch.mask
    off = adapted.coordinates - adapted.start
    pull = _quadratic(adapted.start_covariance, off)
    whole = torch.where(mask, residual, 0.0).sum(1) + pull
    freedom = mask.sum(1).numpy() - count
    rest = (whole.detach().numpy() - squared).clip(min=0.0)
    lower = chi2.cdf(rest, np.maximum(freedom, 1))
    return np.where(freedom > 0, 2.0 * np.minimum(lower, 1.0 - lower), np.nan)


def _quadratic(covariance: Tensor, off: Tensor) -> Tensor:
    return (off * torch.linalg.solve(covariance, off)).sum(1)


def _verdict(found: xr.Dataset, level: float) -> str:
    names = found["task"].values
    told = []
    for name, words in (("p_parameters", "in their parameters"), ("p_scatter", "in how they scatter")):
        odd = names[found[name].values < level / len(names)]  # of so many tasks one is that odd by chance
        if len(odd):
            told.append(f"{words}: {enumerated([str(each) for each in odd], most=5)}")
    if not told:
        return f"None of the {len(names)} tasks is unlike those learned from (at {level:g}, for all of them together)."
    return f"Unlike those learned from (at {level:g}, for all {len(names)} tasks together) {'; '.join(told)}."
