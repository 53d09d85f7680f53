"""Neighbouring measurements that go the other way than every curve of a law, further than noise would take them.

Where a prior is wide, as far from all it was learned from, a curve may pass within the noise of measurements that turn,
at parameters that nobody would believe. What cannot be fitted away is the direction: hardness that rises where the law
only falls.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from metasci.constraints.shape import Monotone

if TYPE_CHECKING:
    from metasci.fits.adapted_tasks import AdaptedTasks

__all__ = ["Turn", "turns"]

_RARE = 0.05  # probability, over all pairs of a task, that noise takes two neighbours so far from the fitted curve
_SEEN = 1.0  # standard deviations of a difference; a smaller one nobody would call a rise
_ALIKE = 6  # digits in which conditions agree that are the same


@dataclass(frozen=True)
class Turn:
    """Two measurements of a task, and the law that they go against.

    Attributes
    ----------
    task : int
    first, second : int
        Their places, by the law's input.
    law : Monotone
    """

    task: int
    first: int
    second: int
    law: Monotone


def turns(calibration: AdaptedTasks) -> list[Turn]:
    """Of every task the pair that goes furthest against a law, if noise is unlikely to have taken it there.

    Pairs are neighbours along the law's input with all other inputs alike. Their difference is compared with that of
    the fitted curve; of n pairs each has the n-th part of the probability (Bonferroni). A discrepancy may take a curve
    anywhere that the law allows, of which level comes nearest to measurements that turn; where the prior itself expects
    a curve that turns, since other tasks' did, with that.
    """
    if not calibration.prior.model.noise.gaussian:
        return []
    found = (_of_task(calibration, task) for task in range(len(calibration.batch)))
    return [turn for turn in found if turn is not None]


def _of_task(calibration: AdaptedTasks, task: int) -> Turn | None:
    pairs = list(_pairs(calibration, task))
    if not pairs or not bool(calibration.adapted.finite[task]):
        return None
    measured, fitted, variance = _numbers(calibration, task)
    bends = calibration.adapted.discrepancy is not None
    candidates = []
    for law, first, second in pairs:
        sign = -1.0 if law.increasing else 1.0
        apart = float(np.sqrt(variance[first] + variance[second]))
        wrong = sign * float(measured[second] - measured[first])
        expected = sign * float(fitted[second] - fitted[first])
        expected = max(expected, 0.0) if bends else expected
        rarity = len(pairs) * _beyond(calibration, task, (wrong - expected) / apart)
        if wrong > _SEEN * apart and rarity < _RARE:
            candidates.append((rarity, Turn(task, first, second, law)))
    return min(candidates, key=lambda each: each[0])[1] if candidates else None


def _beyond(calibration: AdaptedTasks, task: int, far: float) -> float:
    """Probability that noise takes a difference so many standard deviations from the curve.

    Where a discrepancy follows the measurements no fit tells how noisy the task is: over the noise levels that tasks
    have in general.
    """
    if calibration.adapted.discrepancy is None:
        return float(torch.special.ndtr(torch.tensor(-far, dtype=torch.float64)))
    levels = calibration.adapted.start_mixture
    each = torch.special.ndtr(-far / levels.factor[:, task].sqrt())
    return float((levels.weight[:, task] * each).sum())


def _numbers(
    calibration: AdaptedTasks, task: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Measurements, the curve and the noise's variance at each place, on the scale of the noise.

    The curve is the fitted one, or, where a discrepancy would follow the measurements, what was expected before them.
    """
    problem, adapted = calibration.problem, calibration.adapted
    line = problem.linearise(adapted.coordinates, adapted.log_noise)
    curve = line.prediction
    if adapted.discrepancy is not None:
        before = problem.linearise(adapted.start, adapted.log_noise)
        curve = before.prediction + adapted.discrepancy.left_out(problem, before, adapted.start, prior=True)
    rows = (problem.target, curve, line.variance.expand(curve.shape))
    measured, fitted, variance = (row[task].detach().numpy() for row in rows)
    return measured, fitted, variance


def _pairs(calibration: AdaptedTasks, task: int) -> Iterator[tuple[Monotone, int, int]]:
    """Neighbours along the input of each law that is about one, other inputs alike."""
    model, batch = calibration.prior.model, calibration.batch
    laws = [law for law in model.constraints if isinstance(law, Monotone) and law.input in batch.inputs]
    if model.histories or not laws:
        return
    seen = np.flatnonzero((batch.mask & batch.numbers)[task].numpy())
    inputs = {name: batch.inputs[name].expand(batch.mask.shape)[task].numpy()[seen] for name in model.inputs}
    for law in laws:
        others = [inputs[name] for name in inputs if name != law.input]
        groups: dict[tuple[str, ...], list[int]] = {}
        for at in np.argsort(inputs[law.input], kind="stable"):
            groups.setdefault(tuple(f"{values[at]:.{_ALIKE}g}" for values in others), []).append(int(at))
        for group in groups.values():
            for first, second in pairwise(group):
                if inputs[law.input][second] > inputs[law.input][first]:
                    yield law, int(seen[first]), int(seen[second])
