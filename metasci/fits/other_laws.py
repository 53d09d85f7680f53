"""Other laws for measurements that a law cannot follow: those of the same quantities that can."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from metasci.learned.declared import declared
from metasci.learned.equation import LearnedEquation
from metasci.library import registered

if TYPE_CHECKING:
    from metasci.fits.adapted_tasks import AdaptedTasks
    from metasci.model import Model

__all__ = ["that_follow"]

_ORDINARY = 0.05  # probability of residuals as large as those of a law that is said to follow
_ENOUGH = 4  # measurements; fewer are followed by almost any law


def that_follow(calibration: AdaptedTasks, task: int) -> tuple[str, ...]:
    """Names of laws that follow the measurements of one task to within its prior's noise, the most plausible first.

    A law is of the same inputs and the same output in the same unit, with its declared typical values. Residuals r at
    its estimate, in standard deviations of the noise, are to have Σr² where χ² with as many degrees of freedom as there
    are measurements is ordinary. Laws that follow stand in the order of Σr² + p ln n, p being the number of their
    parameters (Schwarz, Ann Stat 6 (1978) 461), so that one of many has to follow better.

    Parameters
    ----------
    calibration : AdaptedTasks
    task : int
    """
    from scipy.special import chdtrc

    own, batch = calibration.prior.model, calibration.batch.select(torch.tensor([task]))
    if int(batch.numbers.sum()) < _ENOUGH:
        return ()
    found = []
    for other in registered().values():
        if not _comparable(own, other):
            continue
        law = declared(LearnedEquation, other.with_noise(own.noise))
        state = replace(law.state, log_noise=calibration.adapted.log_noise.detach())
        law = replace(law, state=state)
        part = replace(batch, covariates=batch.covariates[:, :0], groups=None)
        adapted = law.adapt(part)
        if not bool(adapted.finite.all()):
            continue
        problem = law.problem(part)
        line = problem.linearise(adapted.coordinates, adapted.log_noise)
        squared = problem.residual(line, adapted.log_noise).square() / line.variance
        total = float(squared[part.mask & part.numbers].sum())
        count = int(part.numbers.sum())
        if float(chdtrc(count, total)) > _ORDINARY:
            found.append((total + len(other.parameters) * math.log(count), other.name))
    return tuple(name for _, name in sorted(found))


def _comparable(own: Model, other: Model) -> bool:
    """Whether another law is one of the same quantities, measured in the same way."""
    same_inputs = {name: each.unit for name, each in own.inputs.items()} == {
        name: each.unit for name, each in other.inputs.items()
    }
    same_output = (own.output.name, own.output.unit) == (other.output.name, other.output.unit)
    plain = not own.histories and not other.histories and not own.outputs and not other.outputs
    return other.name != own.name and same_inputs and same_output and plain and len(other.parameters) > 0
