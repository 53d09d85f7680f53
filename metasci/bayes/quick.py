"""Quick approximations of the hierarchical posterior, each with a figure that says how far to trust it.

Every method proposes draws whose density is known. The ratio of the model's density to it weighs the draws: where
these weights have a tail too heavy to average, the approximation misses part of the posterior and says so.

Sources: Tierney and Kadane, J Am Stat Assoc 81 (1986) 82, for Laplace's approximation nested in tasks; Yao, Vehtari,
Simpson and Gelman (2018, arXiv 1802.02538) for judging approximations by weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from metasci.bayes import versions
from metasci.bayes.proposals import Proposal, laplace, log_densities
from metasci.bayes.sampling import Posterior
from metasci.bayes.traced import TracedModel, expanded, traced
from metasci.bayes.variational import advi, fullrank_advi, pathfinder
from metasci.bayes.vector_density import vector_of
from metasci.errors import InputError

if TYPE_CHECKING:
    from metasci.data.batch import Batch
    from metasci.meta.covariates import Design
    from metasci.model import Model

__all__ = ["METHODS", "Approximation", "quick"]

# Pareto k, above which importance weights are not to be trusted (Vehtari et al., JMLR 25 (2024) 72)
_HIGHEST_SHAPE = 0.7

METHODS: dict[str, Callable[[TracedModel, np.ndarray, int, np.random.Generator], Proposal]] = {
    "laplace": laplace,
    "pathfinder": pathfinder,
    "advi": advi,
    "fullrank_advi": fullrank_advi,
}
"""What `quick` offers."""


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
        figures = f"Pareto k {self.pareto_k:.2f}, {self.effective_size:.0f} of {len(self)} draws effective"
        if self.problems:
            return f"The approximation by {self.method} is rough: {'; '.join(self.problems)}."
        return f"The approximation by {self.method} is close ({figures})."


def quick(
    model: Model,
    batch: Batch,
    design: Design | None = None,
    *,
    method: str = "laplace",
    covariates: tuple[str, ...] | None = None,
    task_noise: bool = False,
    draws: int = 1000,
    seed: int = 0,
    initial: Mapping[str, Any] | None = None,
) -> Approximation:
    """Approximate the posterior of the hierarchical model.

    A model's own PyTorch function is all that is needed, and it is not compiled.

    Parameters
    ----------
    model, batch, design, covariates
        As for `hierarchical`; networks and differential equations as well.
    method : "laplace", "pathfinder", "advi" or "fullrank_advi"
        Laplace integrates over every task about its mode, and over the population about its own mode. The others are
        those of PyMC and pymc-extras: Pathfinder takes the best Gaussian along four climbs to the mode of everything;
        variational inference fits a Gaussian to everything by stochastic gradients, without correlations or with them.
    task_noise : bool
        Whether tasks differ in how noisy they are; not with Laplace.
    draws, seed : int
    initial : mapping of str to array, optional
        Where to start, as `initial_point` gives it.

    Raises
    ------
    InputError
        If there is no such method, it cannot be had, or what it found is not finite.

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
    built = traced(model, batch, design, covariates=covariates, task_noise=task_noise, initial=initial)
    compiled = time.perf_counter()
    random = np.random.default_rng(seed)
    points, log_q, history = METHODS[method](
        built, vector_of(built.shapes, built.problem, initial or {}), draws, random
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
    values = expanded(built, torch.as_tensor(points))
    arrays = {name: value.numpy() for name, value in values.items()}
    for place, parameter in enumerate(model.parameters):
        arrays[parameter.name] = np.asarray(parameter.to_physical(arrays["coordinates"][..., place]))
    return Approximation(
        draws=arrays,
        tasks=tuple(batch.names),
        data=versions.from_draws(arrays, *built.labels),
        seconds=time.perf_counter() - compiled,
        compile_seconds=compiled - began,
        rhat=float("nan"),
        effective_size=float(1.0 / (share**2).sum()),
        divergences=0,
        method=method,
        pareto_k=versions.pareto_shape(log_weight),
        history=history,
    )
