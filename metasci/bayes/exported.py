"""A calibration's draws in ArviZ's own form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from metasci.bayes import versions
from metasci.fits.posterior import Draws, posterior_draws, prior_draws

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit

__all__ = ["as_arviz"]


def as_arviz(fit: EquationFit, draws: int, seed: int) -> Any:
    """Groups ``posterior`` and ``prior`` of all tasks, a variable for each parameter (chain, draw, task).

    Examples
    --------
    >>> import metasci as ms
    >>> fit = ms.load("theophylline").calibrate(ms.dataset("theophylline").select(["1", "2"]))
    >>> found = as_arviz(fit, draws=200, seed=0)
    >>> versions.group(found, "posterior")["clearance"].dims, versions.group(found, "prior").sizes["draw"]
    (('chain', 'draw', 'task'), 200)
    """
    count = len(fit.batch)
    after = [posterior_draws(fit, task, draws, seed + task) for task in range(count)]
    before = [prior_draws(fit.adapted, task, draws, seed + task) for task in range(count)]
    shuffle = np.random.default_rng(seed)
    groups = {
        "posterior": _physical(fit, [_mixed(each, shuffle) for each in after]),
        "prior": _physical(fit, [each.coordinates.numpy() for each in before]),
    }
    dims = dict.fromkeys(fit.prior.model.parameters.names, ("task",))
    units = {each.name: each.unit for each in fit.prior.model.parameters}
    return versions.from_groups(groups, dims, {"task": list(fit.batch.names)}, units)


def _mixed(draws: Draws, shuffle: np.random.Generator) -> np.ndarray:
    """Draws in no order: resampling leaves copies of one beside each other, which would look like a slow chain."""
    return np.asarray(shuffle.permutation(draws.coordinates.numpy()))


def _physical(fit: EquationFit, coordinates: list[np.ndarray]) -> dict[str, np.ndarray]:
    """By parameter, (chain, draw, task)."""
    space = fit.prior.model.parameters
    physical = [space.to_physical(each) for each in coordinates]
    return {name: np.stack([each[name] for each in physical], -1)[None] for name in space.names}
