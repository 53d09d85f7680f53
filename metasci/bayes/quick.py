"""Quick approximations of the hierarchical posterior, each with a figure that says how far to trust it.

Every method proposes draws whose density is known. The ratio of the model's density to it weighs the draws: where
these weights have a tail too heavy to average, the approximation misses part of the posterior and says so.

Sources: Tierney and Kadane, J Am Stat Assoc 81 (1986) 82, for Laplace's approximation nested in tasks; Kucukelbir
et al., J Mach Learn Res 18 (2017) 1, for variational inference; Zhang, Carpenter, Gelman and Vehtari, J Mach Learn Res
23 (2022) 1, for Pathfinder; Yao, Vehtari, Simpson and Gelman (2018, arXiv 1802.02538) for judging them by weights.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from metasci.bayes import versions
from metasci.bayes.proposals import METHODS, log_densities
from metasci.bayes.sampling import Posterior
from metasci.bayes.traced import _expanded, _vector, traced
from metasci.errors import InputError

if TYPE_CHECKING:
    from metasci.batch import Batch
    from metasci.meta.covariates import Design
    from metasci.model import Model

__all__ = ["Approximation", "pareto_shape", "quick"]

_HIGHEST_SHAPE = 0.7


@dataclass(frozen=True, kw_only=True)
class Approximation(Posterior):
    """Draws of an approximation, in the place of a chain's; R-hat is NaN, since nothing was compared.

    Attributes
    ----------
    method : str
    pareto_k : float
        Shape of the weights' tail: below 0.5 the approximation is close, above 0.7 not to be trusted.
    history : array
        What was climbed, step by step.
    """

    method: str
    pareto_k: float
    history: np.ndarray

    @property
    def problems(self) -> tuple[str, ...]:
        if self.pareto_k <= _HIGHEST_SHAPE:
            return ()
        return (f"it misses part of the posterior (Pareto k {self.pareto_k:.2f}, above {_HIGHEST_SHAPE})",)

    @property
    def verdict(self) -> str:
        told = f"Pareto k {self.pareto_k:.2f}, {self.effective_size:.0f} of {len(self)} draws effective"
        if self.problems:
            return f"The approximation by {self.method} is rough: {'; '.join(self.problems)}."
        return f"The approximation by {self.method} is close ({told})."


def quick(
    model: Model,
    batch: Batch,
    design: Design | None = None,
    *,
    method: str = "laplace",
    covariates: tuple[str, ...] | None = None,
    draws: int = 1000,
    seed: int = 0,
    initial: Mapping[str, Any] | None = None,
) -> Approximation:
    """Approximate the posterior of the hierarchical model, its tasks' noise shared.

    Nothing is compiled, and a model's own PyTorch function is all that is needed.

    Parameters
    ----------
    model, batch, design, covariates
        As for `hierarchical`; networks and differential equations as well.
    method : "laplace", "pathfinder", "advi" or "fullrank_advi"
        Laplace integrates over every task about its mode, and over the population about its own mode. Pathfinder
        takes the best Gaussian along four climbs to the mode of everything. The others fit a Gaussian to everything
        by stochastic gradients, without correlations or with them.
    draws, seed : int
    initial : mapping of str to array, optional
        Where to start, as `initial_point` gives it.

    Raises
    ------
    InputError
        If there is no such method, or what it found is not finite.

    Examples
    --------
    >>> import metasci as ms
    >>> prior = ms.load("theophylline")
    >>> found = quick(prior.model, prior.batch(ms.dataset("theophylline")), draws=200)
    >>> found.draws["coordinates"].shape
    (200, 12, 3)
    """
    if method not in METHODS:
        raise InputError(f"there is no method '{method}'; say {', '.join(METHODS)}.")
    began = time.perf_counter()
    built = traced(model, batch, design, covariates=covariates, initial=initial)
    compiled = time.perf_counter()
    random = np.random.default_rng(seed)
    points, log_q, history = METHODS[method](
        built, _vector(built.shapes, built.problem, initial or {}), draws, random
    )
    log_weight = log_densities(built, points) - log_q
    if not np.isfinite(log_weight).any():
        raise InputError(
            f"'{method}' found no point with a finite density for '{model.name}': start it from adapted "
            "coordinates (`initial`)."
        )
    log_weight = np.where(np.isfinite(log_weight), log_weight, -np.inf)
    share = np.exp(log_weight - log_weight.max())
    share = share / share.sum()
    values = _expanded(built, torch.as_tensor(points))
    found = {name: value.numpy() for name, value in values.items()}
    for place, parameter in enumerate(model.parameters):
        found[parameter.name] = np.asarray(parameter.to_physical(found["coordinates"][..., place]))
    return Approximation(
        draws=found, tasks=tuple(batch.names), data=_data(built, found), seconds=time.perf_counter() - compiled,
        compile_seconds=compiled - began, rhat=float("nan"), effective_size=float(1.0 / (share**2).sum()),
        divergences=0, method=method, pareto_k=pareto_shape(log_weight), history=history,
    )  # fmt: skip


def pareto_shape(log_weight: np.ndarray) -> float:
    """Shape k of the generalised Pareto distribution of the greatest weights, with a weak prior towards one half.

    Sources: Zhang and Stephens, Technometrics 51 (2009) 316, for the estimate; Vehtari et al., J Mach Learn Res 25
    (2024) 1, for its use.

    Examples
    --------
    >>> uniform = np.random.default_rng(0).random(4000)
    >>> k = [pareto_shape(-shape * np.log(uniform)) for shape in (0.3, 0.9)]
    >>> [round(value, 1) for value in k]
    [0.3, 0.9]
    """
    count = len(log_weight)
    size = int(min(0.2 * count, 3.0 * np.sqrt(count)))
    ordered = np.sort(log_weight)
    cut = ordered[-size - 1]
    above = np.exp(ordered[-size:] - ordered[-1]) - np.exp(cut - ordered[-1])
    above = above[above > 0]
    if len(above) < 5:
        return float("inf") if not np.isfinite(cut) else 0.0
    size = len(above)
    grid = 30 + int(np.sqrt(size))
    b = 1.0 - np.sqrt(grid / (np.arange(1, grid + 1) - 0.5))
    b = b / (3.0 * above[int(size / 4 + 0.5) - 1]) + 1.0 / above[-1]
    k = np.log1p(-b[:, None] * above).mean(1)
    profile = size * (np.log(-b / k) - k - 1.0)
    weight = np.exp(profile - profile.max())
    best = float((weight * b).sum() / weight.sum())
    shape = float(np.log1p(-best * above).mean())
    return (size * shape + 10.0 * 0.5) / (size + 10.0)


def _data(built: Any, found: Mapping[str, np.ndarray]) -> Any:
    names = list(built.problem.model.parameters.names)
    dims = {
        "coordinate_mean": ("parameter",), "coordinate_sd": ("parameter",),
        "coordinate_correlation": ("parameter", "parameter_2"), "coordinates": ("task", "parameter"),
        "log_noise": ("scale",), "covariate_effect": ("parameter", "covariate"), **dict.fromkeys(names, ("task",)),
    }  # fmt: skip
    coords = {
        "task": list(built.problem.batch.names), "parameter": names, "parameter_2": names,
        "scale": list(built.problem.model.noise.scales), "covariate": list(built.covariates),
    }  # fmt: skip
    return versions.from_draws(found, dims, coords)
