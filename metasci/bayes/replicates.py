"""What a hierarchical model says would be measured: before any measurement, and after those that it has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metasci.bayes import versions
from metasci.bayes.forecast import predictive
from metasci.bayes.hierarchical import flatten

if TYPE_CHECKING:
    import pymc as pm
    import xarray as xr

    from metasci.bayes.sampling import Posterior
    from metasci.data.batch import Batch
    from metasci.model import Model

__all__ = ["posterior_predictive", "prior_predictive"]


def prior_predictive(built: pm.Model, draws: int = 500, seed: int = 0) -> xr.Dataset:
    """Measurements, and everything behind them, as they would be if the model's priors were all that is known.

    Parameters
    ----------
    built : pymc.Model
        As `hierarchical` builds it, not centred.
    draws, seed : int

    Returns
    -------
    xarray.Dataset
        The model's variables and ``measurement`` on the noise's linked scale, (chain, draw, row), with the names of
        tasks and parameters as coordinates. Measurements that are limits or intervals are not among them.

    Examples
    --------
    >>> import metasci as ms
    >>> from metasci.bayes import hierarchical
    >>> prior = ms.load("theophylline")
    >>> built = hierarchical(prior.model, prior.batch(ms.dataset("theophylline")))
    >>> prior_predictive(built, draws=100)["measurement"].dims
    ('chain', 'draw', 'row')
    """
    import pymc as pm
    from pytensor.compile.mode import Mode

    quick = {"mode": Mode(linker="py", optimizer="fast_compile")}  # used once: compiling would take longer
    with built, versions.quiet():
        sampled = pm.sample_prior_predictive(draws, random_seed=seed, compile_kwargs=quick)
    return versions.group(sampled, "prior").merge(versions.group(sampled, "prior_predictive"))


def posterior_predictive(posterior: Posterior, model: Model, batch: Batch, seed: int = 0) -> xr.Dataset:
    """Measurements as they would be made again, of the tasks and under the conditions of a batch.

    Parameters
    ----------
    posterior : Posterior
        Of the batch's tasks, however it was sampled.
    model : Model
    batch : Batch
    seed : int

    Returns
    -------
    xarray.Dataset
        ``measurement`` (chain, draw, row) in the output's unit, beside ``measured`` (row), ``below_limit`` (row), where
        it is a limit that the value lies below, ``up_to`` (row), up to which number above it the value lies (NaN of a
        number), and each row's ``task``.
    """
    import xarray as xr

    parts = [predictive(posterior, model, batch, task, seed + task).measurement for task in range(len(batch))]
    rows, together = flatten(model, batch), np.concatenate(parts, 1)
    chains = versions.group(posterior.data, "posterior").sizes["chain"]
    return xr.Dataset(
        {
            "measurement": (
                ("chain", "draw", "row"),
                together.reshape(chains, -1, together.shape[1]),
                {"units": model.output.unit},
            ),
            "measured": ("row", rows.output, {"units": model.output.unit}),
            "below_limit": ("row", rows.censored),
            "up_to": ("row", rows.upper, {"units": model.output.unit}),
        },
        {
            "chain": np.arange(chains),
            "draw": np.arange(len(together) // chains),
            "task": ("row", np.asarray(batch.names)[rows.task]),
        },
    )
