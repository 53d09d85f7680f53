"""PyMC's own variational inference and Pathfinder on the traced hierarchical model.

PyMC sees the model as one flat vector with a given log density, so that networks and differential equations are
approximated as equations are. Everything here has the face of `metasci.bayes.proposals.laplace`.

Sources: Kucukelbir et al., J Mach Learn Res 18 (2017) 1, for variational inference; Zhang, Carpenter, Gelman and
Vehtari, J Mach Learn Res 23 (2022) 1, for Pathfinder.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

from metasci.bayes import versions
from metasci.bayes.proposals import Proposal, gaussian_draws
from metasci.bayes.traced import TracedModel
from metasci.errors import InputError
from metasci.extras import missing

__all__ = ["advi", "as_pymc", "fullrank_advi", "pathfinder"]

_UNIT = 0.1  # of PyMC's vector in the model's: its Gaussians start about one wide, a posterior is narrower


class _LogDensity(Op):
    """The log density of a traced model at a vector; its gradient is an operator of the same kind."""

    def __init__(self, built: TracedModel, slope: bool = False) -> None:
        self.built, self.slope = built, slope

    def make_node(self, point: Any) -> Apply:
        return Apply(self, [pt.as_tensor_variable(point)], [pt.dvector() if self.slope else pt.dscalar()])

    def perform(self, node: Apply, inputs: Sequence[Any], output_storage: Any) -> None:
        output_storage[0][0] = np.asarray(self.built.value_and_slope(inputs[0])[self.slope])

    def L_op(self, inputs: Any, outputs: Any, output_grads: Any) -> list[Any]:
        return [output_grads[0] * _LogDensity(self.built, slope=True)(inputs[0])]

    pullback = L_op  # its name in later generations of PyTensor


def as_pymc(built: TracedModel, start: np.ndarray) -> pm.Model:
    """A PyMC model of one variable, ``away`` (size,), from the start in tenths of the model's vector.

    For whatever of PyMC takes a model: values and gradients come from torch.
    """
    with pm.Model(check_bounds=False) as flat:
        away = pm.Flat("away", shape=built.size, initval=np.zeros(built.size))
        pm.Potential("log_density", _LogDensity(built)(start + _UNIT * away))
    return flat


def advi(
    built: TracedModel,
    start: np.ndarray,
    draws: int,
    random: np.random.Generator,
    family: str = "ADVI",
    steps: int = 6000,
    rate: float = 0.2,
) -> Proposal:
    """The Gaussian that maximises the evidence's lower bound: `pymc.ADVI`, by Adam with a rate that falls to zero."""
    pace = pytensor.shared(rate)

    def falling(approximation: Any, losses: Any, step: int) -> None:
        pace.set_value(rate * 0.5 * (1.0 + math.cos(math.pi * step / steps)))

    with as_pymc(built, start), versions.quiet():
        inference = getattr(pm, family)(random_seed=int(random.integers(2**31)))
        fitted = inference.fit(
            steps, progressbar=False, obj_optimizer=pm.adam(learning_rate=pace), callbacks=[falling]
        )
        mean, root = fitted.mean.eval(), np.linalg.cholesky(fitted.cov.eval())
    size = float(np.log(_UNIT * root.diagonal()).sum())
    bound = -fitted.hist + built.size * math.log(_UNIT)
    return *gaussian_draws(start + _UNIT * mean, _UNIT * root, size, draws, random), bound


def fullrank_advi(built: TracedModel, start: np.ndarray, draws: int, random: np.random.Generator) -> Proposal:
    """The same with correlations: `pymc.FullRankADVI`."""
    return advi(built, start, draws, random, family="FullRankADVI", steps=12_000, rate=0.1)


def pathfinder(
    built: TracedModel, start: np.ndarray, draws: int, random: np.random.Generator, paths: int = 4
) -> Proposal:
    """Of the Gaussians along climbs by L-BFGS from about the start, the one nearest to the posterior.

    Each path of `pymc_extras.fit_pathfinder` gives its own; the path with the highest bound on the evidence is taken.

    Raises
    ------
    InputError
        If pymc-extras is not there, or no path arrived.
    """
    if importlib.util.find_spec("pymc_extras") is None:
        raise missing("pymc_extras", "bayes", "Pathfinder")
    with as_pymc(built, start) as flat, versions.quiet():
        try:
            away, log_p, log_q = versions.pathfinder_paths(
                flat, paths=paths, draws=draws, jitter=0.5 / _UNIT, seed=int(random.integers(2**31))
            )
        except ValueError as failed:
            raise InputError(
                f"no path of Pathfinder arrived for '{built.problem.model.name}': start it from adapted coordinates "
                "(`initial`), or say another method."
            ) from failed
    bound = np.where(np.isfinite(log_p), log_p - log_q, -np.inf).mean(1)
    best = int(bound.argmax())
    unit = built.size * math.log(_UNIT)
    return start + _UNIT * away[best], log_q[best] - unit, bound + unit
