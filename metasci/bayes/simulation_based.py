"""Simulation-based calibration: do posteriors hold the truth as often as they say?

Truths are drawn from the prior, measurements simulated from them, and each posterior is asked for the probability
that it gives to less than the truth. Over many simulations these ranks are uniform where the posterior is right.

Sources: Cook, Gelman and Rubin, J Comput Graph Stat 15 (2006) 675; Talts et al. 2018 (arXiv 1804.06788).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from metasci.bayes import versions
from metasci.bayes.implied import simulated_like
from metasci.errors import InputError
from metasci.fits.equation import EquationFit
from metasci.fits.mixtures import mixture_draws
from metasci.fits.posterior import posterior_draws

if TYPE_CHECKING:
    import pymc as pm
    import xarray as xr

    from metasci.data.batch import Batch
    from metasci.learned.equation import LearnedEquation

__all__ = ["importance_ranks", "laplace_ranks", "nuts_ranks", "uniformity"]

Array = NDArray[np.float64]
_MORE = 10  # times as many tasks are drawn, so that enough are left of those that are plausible


def laplace_ranks(
    prior: LearnedEquation, batch: Batch, *, repeats: int = 50, narrowed: float = 1.0, seed: int = 0
) -> Array:
    """Ranks of the truth in the Laplace posterior of simulated tasks, (simulation, parameter).

    Parameters
    ----------
    prior : Prior
        A learned Gaussian prior whose tasks share a noise.
    batch : Batch
        Whose conditions and covariates the simulated tasks have.
    repeats : int
        Simulations of every task.
    narrowed : float
        On the posterior's standard deviations: below one makes them wrong on purpose, to see that this is caught.
    seed : int
    """
    truth, simulated = _simulated(prior, batch, repeats, seed)
    adapted = prior.adapt(simulated)
    sd = narrowed * adapted.covariance.diagonal(dim1=1, dim2=2).sqrt()
    off = (truth - adapted.coordinates) / sd
    return np.asarray(torch.special.ndtr(off).numpy())


def importance_ranks(
    prior: LearnedEquation, batch: Batch, *, repeats: int = 50, draws: int = 200, seed: int = 0
) -> tuple[Array, Array]:
    """Ranks of the truth among weighted draws (`metasci.fits.posterior.posterior_draws`) of the same simulated tasks.

    Where these are uniform and `laplace_ranks` are not, the approximation is the cause, and not what it approximates.

    Parameters
    ----------
    prior, batch, repeats, seed
        As for `laplace_ranks`.
    draws : int
        Of each task.

    Returns
    -------
    ranks : array, (simulation, parameter)
    effective : array, (simulation,)
        How many independent draws each task's are worth.
    """
    truth, simulated = _simulated(prior, batch, repeats, seed)
    fit = EquationFit(prior, cast(Any, None), simulated, prior.adapt(simulated))
    random = np.random.default_rng(seed)
    ranks, effective = [], []
    for task, coordinates in enumerate(truth):
        posterior = posterior_draws(fit, task, draws, seed=seed + task)
        below = (posterior.coordinates < coordinates).sum(0).numpy()
        ranks.append((below + random.random(len(below))) / (draws + 1.0))
        effective.append(posterior.effective)
    return np.array(ranks), np.array(effective)


def _simulated(prior: LearnedEquation, batch: Batch, repeats: int, seed: int) -> tuple[Tensor, Batch]:
    """True coordinates (simulation, parameter), drawn from every task's prior, and measurements made of them."""
    blank = prior.adapt(batch.with_mask(torch.zeros_like(batch.mask)))
    generator = torch.Generator().manual_seed(seed)
    truth, _ = mixture_draws(blank.start, blank.start_mixture, repeats, generator)
    noise = torch.randn(repeats, *batch.mask.shape, generator=generator, dtype=blank.start.dtype)
    return truth.reshape(-1, truth.shape[-1]), simulated_like(prior, batch, truth, noise)


def nuts_ranks(
    built: pm.Model,
    *,
    simulations: int = 200,
    draws: int = 500,
    tune: int = 300,
    narrowed: tuple[float, ...] = (1.0,),
    start: Callable[[Array], Mapping[str, Any]] | None = None,
    plausible: Callable[[Array], bool] | None = None,
    seed: int = 0,
) -> xr.DataArray:
    """Ranks of the truth among NUTS's draws of a hierarchical model, (narrowed, simulation, quantity).

    Population, noise and tasks are drawn from the model's own prior, measurements from these, and every set of them
    is sampled again. The model is compiled once. Given measurements the truth is a draw of their posterior, whatever
    they are; so ranks are uniform also among sets of measurements that are chosen by their values alone.

    Parameters
    ----------
    built : pymc.Model
        As `hierarchical` builds it, not centred and without limits of quantification; it is changed.
    simulations : int
    draws, tune : int
        Of the one chain of each simulation; every tenth draw is ranked, since neighbours are alike.
    narrowed : tuple of float
        On the draws' distance from their mean: below one makes them wrong on purpose, to see that this is caught.
    start : callable, optional
        Of simulated measurements (row,), on the noise's linked scale, to where sampling starts, as `initial_point`
        gives it; at random by default.
    plausible : callable, optional
        Of the same, whether they are worth asking about; all by default. Ten times as many sets as are wanted are
        simulated at most, so there may be fewer.
    seed : int

    Returns
    -------
    xarray.DataArray
        Of tasks the first stands for all, in its standardised offsets. The attribute ``diverging`` is the share of
        draws that ended in a divergent trajectory.

    Raises
    ------
    InputError
        If the model's prior cannot be simulated.
    """
    import nutpie
    import pymc as pm
    import pytensor
    import xarray as xr

    if built.potentials:
        raise InputError(
            "a model that is centred, or has measurements below a limit, cannot simulate its own measurements: "
            "build it with centred=False, from tasks without limits."
        )
    with built, versions.quiet():
        simulated = pm.sample_prior_predictive(
            simulations * (1 if plausible is None else _MORE),
            random_seed=seed,
            compile_kwargs={"mode": "FAST_COMPILE"},
        )
    every = np.asarray(simulated["prior_predictive"]["measurement"])[0]
    chosen = [at for at, values in enumerate(every) if plausible is None or plausible(values)][:simulations]
    if not chosen:
        raise InputError("no set of simulated measurements is plausible.")
    measured = every[chosen]
    observed = pytensor.shared(measured[0], name="observed", shape=measured.shape[1:])
    variable = built["measurement"]
    built.rvs_to_values[variable], built.values_to_rvs[observed] = observed, variable
    with pytensor.config.change_flags(mode="FAST_COMPILE"), versions.quiet():  # for the first point only
        compiled = nutpie.compile_pymc_model(built, var_names=[])
    random = np.random.default_rng(seed)
    ranks, diverging = [], 0
    for number, values in enumerate(measured):
        with_values = compiled.with_data(observed=values)
        if start is not None:
            with_values = replace(
                with_values,
                initial_point_func=_starting(built, start(values), with_values.initial_point_func),
            )
        with versions.quiet():
            data = versions.nuts(
                with_values,
                low_rank=False,
                draws=draws,
                tune=tune,
                chains=1,
                cores=1,
                seed=seed + number,
                progress_bar=False,
                target_accept=0.9,
            )
        recorded = versions.recorded(data)
        diverging += int(np.asarray(data["sample_stats"]["diverging"]).sum())
        row: dict[str, np.ndarray] = {}
        for free in built.free_RVs:
            name = built.rvs_to_values[free].name
            drawn = recorded[name][0, ::10]
            truth = _unconstrained(name, np.asarray(simulated["prior"][free.name])[0, chosen[number]])
            if "task" in built.named_vars_to_dims.get(free.name, ()):
                drawn, truth = drawn[:, 0], truth[0]
            off, far = np.atleast_2d(drawn - drawn.mean(0)), truth - drawn.mean(0)
            off = off.reshape(len(drawn), -1)
            below = np.stack([(factor * off < np.ravel(far)).sum(0) for factor in narrowed])
            # a place among the draws, evenly within it
            rank = (below + random.random(below.shape[1])) / (len(drawn) + 1.0)
            row |= {f"{free.name} {place + 1}": column for place, column in enumerate(rank.T)}
        ranks.append(row)
    names = list(ranks[0])
    table = np.array([[row[name] for name in names] for row in ranks])  # (simulation, quantity, narrowed)
    return xr.DataArray(
        table.transpose(2, 0, 1),
        {"narrowed": list(narrowed), "quantity": names},
        ("narrowed", "simulation", "quantity"),
        attrs={"diverging": diverging / (draws * len(measured))},
    )


def _starting(
    built: pm.Model, start: Mapping[str, Any], otherwise: Callable[[Any], Array]
) -> Callable[[Any], Array]:
    """A point's unconstrained vector, a hair off; at random what it does not say."""

    def point(seed: Any) -> Array:
        at, place = otherwise(seed), 0
        shapes = built.eval_rv_shapes()
        for free in built.free_RVs:
            value = built.rvs_to_values[free].name
            size = int(np.prod(shapes[free.name], dtype=int))
            if free.name in start:
                exact = _unconstrained(value, np.asarray(start[free.name], float)).ravel()
                at[place : place + size] = exact + 1e-3 * np.random.default_rng(0).standard_normal(size)
            place += size
        return at

    return point


def _unconstrained(name: str, value: np.ndarray) -> np.ndarray:
    """A variable on the scale it is sampled on, which the name of its value tells."""
    if name.endswith("_log__"):
        return np.log(value)
    return np.log(value / (1.0 - value)) if name.endswith("_logodds__") else value


def uniformity(ranks: ArrayLike, bins: int = 20) -> Array:
    """Probability that χ² of uniform ranks in equal bins were greater, for each column; small where they are not.

    Parameters
    ----------
    ranks : array, (simulation, parameter)
    bins : int

    Examples
    --------
    >>> even = np.linspace(0.0, 1.0, 400)[:, None]
    >>> round(float(uniformity(even)[0]), 3), float(uniformity(0.5 * even)[0])
    (1.0, 0.0)
    """
    from scipy.special import chdtrc

    values = np.asarray(ranks, float)
    expected = len(values) / bins
    edges = np.linspace(0.0, 1.0, bins + 1)
    counts = np.stack([np.histogram(column, edges)[0] for column in values.T])
    return np.asarray(chdtrc(bins - 1, ((counts - expected) ** 2 / expected).sum(1)))
