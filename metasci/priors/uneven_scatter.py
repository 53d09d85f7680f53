"""Whether one noise holds all measurements: scatter about a law that is greater in one place than in another."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasci.meta.problem import Problem
from metasci.noise import Additive, LogNormal
from metasci.words import words

__all__ = ["Uneven", "described_scatter", "uneven_scatter"]

_FEWEST = 15  # measurements in a part, below which its scatter is hardly known
_TIMES = 1.6  # by which a part must scatter more: less makes intervals wrong by little
_RARE = (
    4.0  # standard deviations of the rank sum: eight looks at one true noise find it once in four thousand
)
_STILL = 1e-9
_ALONE = 0.95  # of a prediction, that its own measurement decides

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Uneven:
    """A part of the measurements that scatters more than the others.

    Attributes
    ----------
    along : str
        The input, or the output's name where scatter goes with the prediction.
    below : bool
        Whether they lie below the limit, or above.
    limit : float
        In the unit of `along`.
    times : float
        By which their scatter is greater, each in standard deviations of the learned noise.
    """

    along: str
    below: bool
    limit: float
    times: float


def uneven_scatter(problem: Problem, coordinates: Tensor, log_noise: Tensor) -> Uneven | None:
    """The part of the measurements whose scatter stands out most; None where one noise holds all.

    Residuals at the tasks' estimates are studentised: in standard deviations of what the learned noise leaves there,
    since an estimate goes towards the measurements that it rests on (Cook and Weisberg, Residuals and Influence in
    Regression (1982), section 2.2.1). A third of them, along each input or the prediction, is compared with all others
    by the ranks of their sizes (Mann and Whitney, Ann Math Stat 18 (1947) 50). Measurements that no parameter moves,
    such as the concentration at the first dose, and such that an estimate rests on alone, say nothing and are left out.

    Parameters
    ----------
    problem : Problem
    coordinates : Tensor, (task, parameter)
    log_noise : Tensor, (scale,)
    """
    if not problem.model.noise.gaussian:
        return None
    line = problem.linearise(coordinates, log_noise)
    with torch.no_grad():
        shape = problem.batch.mask.shape
        steep = line.jacobian / line.variance.sqrt().expand(shape)[..., None]
        steep = torch.where((problem.batch.mask & problem.batch.numbers)[..., None], steep, 0.0)
        rests = _leverage(torch.nan_to_num(steep))
        sizes = (problem.residual(line, log_noise) / line.variance.sqrt()).abs() / (1.0 - rests).sqrt()
        seen = problem.batch.mask & problem.batch.numbers & torch.isfinite(sizes)
        seen &= (steep.abs().amax(-1) > _STILL) & (rests < _ALONE)
        prediction = problem.predict(coordinates).expand(shape)[seen].numpy()
    inputs = {name: problem.batch.inputs[name].expand(shape) for name in problem.model.inputs}
    places = {name: values[seen].numpy() for name, values in inputs.items() if _varies(values, seen)}
    places[problem.model.output.name] = prediction
    found = [
        part
        for name, values in places.items()
        for part in _parts(name, values, sizes[seen].numpy())
        if part.times >= _TIMES
    ]
    return max(found, key=lambda part: part.times, default=None)


def _varies(values: Tensor, seen: Tensor) -> bool:
    """Whether an input differs within tasks: one that is the same in a task cannot be told from the task."""
    highest = torch.where(seen, values, -math.inf).amax(1)
    return bool((highest > torch.where(seen, values, math.inf).amin(1)).any())


def _leverage(steep: Tensor) -> Tensor:
    """Of each measurement on its own prediction, (task, observation): the diagonal of J (JᵀJ)⁻¹ Jᵀ."""
    left = torch.linalg.svd(steep, full_matrices=False)
    firm = 1e-6 * left.S.amax(-1, keepdim=True) < left.S
    return torch.where(firm[:, None, :], left.U.square(), 0.0).sum(-1).clamp(0.0, 1.0 - 1e-9)


def _parts(name: str, values: Array, sizes: Array) -> list[Uneven]:
    """What of the lower or upper third, or of the others, scatters more than the rest so that it is no chance."""
    found = []
    for share in (1.0 / 3.0, 2.0 / 3.0):
        limit = float(np.quantile(values, share)) if len(values) else math.nan
        for below in (True, False):
            inside = values <= limit if below else values > limit
            if min(inside.sum(), (~inside).sum()) < _FEWEST or _score(sizes, inside) < _RARE:
                continue
            rest = float(np.sqrt(np.mean(sizes[~inside] ** 2)))
            times = float(np.sqrt(np.mean(sizes[inside] ** 2))) / rest if rest > 0.0 else math.inf
            found.append(Uneven(name, below, limit, times))
    return found


def _score(sizes: Array, inside: NDArray[np.bool_]) -> float:
    """By how many standard deviations the ranks inside are above those that chance gives."""
    ranks = np.empty(len(sizes))
    ranks[np.argsort(sizes, kind="stable")] = np.arange(1.0, len(sizes) + 1.0)
    count, others = int(inside.sum()), int((~inside).sum())
    expected = 0.5 * count * (len(sizes) + 1.0)
    return float((ranks[inside].sum() - expected) / math.sqrt(count * others * (len(sizes) + 1.0) / 12.0))


def described_scatter(part: Uneven, problem: Problem) -> str:
    """One sentence on it, with the noise that would hold all where there is one."""
    model = problem.model
    units = {name: declared.unit for name, declared in model.inputs.items()} | {
        model.output.name: model.output.unit
    }
    unit = "" if units[part.along] in ("1", "") else f" {units[part.along]}"
    of = "predictions" if part.along == model.output.name else f"{words(part.along)}"
    return (
        f"measurements of {words(model.output.name)} scatter about '{model.name}' {part.times:.1f} times as much where "
        f"{of} {'are' if of == 'predictions' else 'is'} {'below' if part.below else 'above'} {part.limit:.3g}{unit} as "
        f"elsewhere, which the noise '{type(model.noise).__name__}' does not hold: intervals are too narrow there and "
        f"too wide elsewhere; {_remedy(part, problem)}."
    )


def _remedy(part: Uneven, problem: Problem) -> str:
    noise, model = problem.model.noise, problem.model
    if type(noise) is Additive and part.along == "time" and part.below:
        return "take model.with_noise(EarlyAdditive()), or --noise early-additive"
    if type(noise) is Additive and part.along == model.output.name and not part.below:
        return "take model.with_noise(Combined()), or --noise combined"
    if isinstance(noise, LogNormal) and part.along == model.output.name and part.below:
        return "take model.with_noise(Combined()), or --noise combined"
    return "another noise, or DiscrepancyPrior() (--method discrepancy), may hold it"
