"""Predictions that keep monotone laws and bounds, where equation and discrepancy together would break them.

Of all curves that keep the laws at some places the one nearest to the expected curve is taken, in the metric of the
tasks' own covariance: the most probable curve of the process given the laws there (Maatouk and Bay, Math Geosci 49
(2017) 557). Between the places it is what the process expects, so that one correction holds for all conditions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metasci.constraints import Grid, Monotone, NonNegative
from metasci.meta.discrepancy.conditioning import TaskProcess
from metasci.meta.discrepancy.kernel import Rows
from metasci.meta.problem import Linearisation, Problem

__all__ = ["LawfulProcess", "grid_of_laws", "lawful", "nearest_lawful", "rises_and_bounds"]

_PLACES = 12  # of each input: neighbours are then nearer to each other than the lengths that are learned
_ROUNDS = 400  # of adding the law that is broken most, and letting go of those that no longer bind
_TOLERANCE = 1e-4  # on the linked scale, in units of the process's unit, that counts as kept


@dataclass(frozen=True)
class LawfulProcess:
    """A task's process, moved so that its mean keeps laws at some places; its spread stays.

    Attributes
    ----------
    process : TaskProcess
    rows : Rows, (task, place)
        Where the laws are kept.
    weights : Tensor, (task, place)
        By which the covariance with each place moves the mean.
    """

    process: TaskProcess
    rows: Rows
    weights: Tensor

    def select(self, index: Tensor) -> LawfulProcess:
        """Of some of the tasks."""
        return LawfulProcess(self.process.select(index), self.rows.select(index), self.weights[index])

    def left_out(
        self, problem: Problem, line: Linearisation, coordinates: Tensor, prior: bool = False
    ) -> Tensor:
        """What is to be added to the equation at a problem's places; see `Discrepancy`."""
        mean = self.process.left_out(problem, line, coordinates, prior)
        if prior:
            return mean
        across = self.process.covariance(self.process.rows_at(problem, line), self.rows)
        return mean + torch.einsum("top,tp->to", across, self.weights)

    def covariance_at(self, problem: Problem, line: Linearisation, prior: bool = False) -> Tensor:
        """Covariance of the curve at a problem's places; see `Discrepancy`."""
        return self.process.covariance_at(problem, line, prior)


def lawful(process: TaskProcess, problem: Problem) -> LawfulProcess:
    """The process that keeps the laws of a problem's model at its places.

    Only monotone laws and non-negativity are looked at: these are linear in the curve.

    Parameters
    ----------
    process : TaskProcess
    problem : Problem
        At the places, the same for all tasks, such as a grid.
    """
    model = problem.model
    line = problem.linearise(process.coordinates, process.state.log_noise)
    left_out = process.left_out(problem, line, process.coordinates)
    covariance = process.covariance_at(problem, line)
    lowest = float(model.noise.link(torch.zeros((), dtype=left_out.dtype)))
    inputs = {name: values.expand(left_out.shape)[0] for name, values in problem.batch.inputs.items()}
    falls, at_most = rises_and_bounds(model.constraints, inputs, lowest)
    tolerance = _TOLERANCE * float(process.state.unit)
    weights = torch.stack(
        [
            nearest_lawful(mean, spread, falls, at_most, tolerance)
            for mean, spread in zip(line.prediction + left_out, covariance, strict=True)
        ]
    )
    return LawfulProcess(process, process.rows_at(problem, line), weights)


def grid_of_laws(laws: Sequence[Any], ranges: Mapping[str, Sequence[float]]) -> Grid | None:
    """A grid over the ranges of all inputs that monotone laws are about; nothing where there is no such law.

    Ranges of more than two decades are divided evenly on the logarithm.
    """
    names = [law.input for law in laws if isinstance(law, Monotone) and law.input in ranges]
    if not names:
        return None
    return Grid(
        {
            name: (
                np.geomspace(ranges[name][0], ranges[name][1], _PLACES)
                if 0.0 < 100.0 * ranges[name][0] < ranges[name][1]
                else np.linspace(ranges[name][0], ranges[name][1], _PLACES)
            ).tolist()
            for name in dict.fromkeys(names)
        }
    )


def rises_and_bounds(
    laws: Sequence[Any], inputs: Mapping[str, Tensor], lowest: float
) -> tuple[Tensor, Tensor]:
    """Laws as inequalities A m ≤ b of a curve m at places: A (law, place) and b (law,).

    Parameters
    ----------
    laws : sequence of Constraint
    inputs : mapping of Tensor, (place,)
        A monotone law is about two places that differ in its input only, with none between them.
    lowest : float
        What is not negative is at least so much on the curve's scale; minus infinity where the scale has no such value.

    Examples
    --------
    >>> from metasci.constraints import Monotone
    >>> rises_and_bounds([Monotone("x", increasing=True)], {"x": torch.tensor([1.0, 0.0])}, 0.0)[0].tolist()
    [[-1.0, 1.0]]
    """
    count = len(next(iter(inputs.values())))
    some = next(iter(inputs.values()))
    eye = torch.eye(count, dtype=some.dtype, device=some.device)
    falls, at_most = [eye[:0]], [some[:0]]
    for law in laws:
        if isinstance(law, Monotone) and law.input in inputs:
            pairs = _next_along(law.input, inputs)
            low, high = (pairs[:, 0], pairs[:, 1]) if law.increasing else (pairs[:, 1], pairs[:, 0])
            falls.append(eye[low] - eye[high])
            at_most.append(some.new_zeros(len(pairs)))
        elif isinstance(law, NonNegative) and lowest > -torch.inf:
            falls.append(-eye)
            at_most.append(some.new_full((count,), -lowest))
    return torch.cat(falls), torch.cat(at_most)


def _next_along(name: str, inputs: Mapping[str, Tensor]) -> Tensor:
    """Pairs of places, (pair, 2), the second the next greater in one input and alike in all others."""
    others = [values for key, values in inputs.items() if key != name and values.dim() == 1]
    place = torch.arange(len(inputs[name]))
    if others:
        _, group = torch.unique(torch.stack(others, 1), dim=0, return_inverse=True)
    else:
        group = torch.zeros_like(place)
    pairs = []
    for label in group.unique():
        members = place[group == label]
        order = members[inputs[name][members].argsort()]
        pairs.append(torch.stack([order[:-1], order[1:]], 1))
    return torch.cat(pairs)


def nearest_lawful(
    mean: Tensor, covariance: Tensor, falls: Tensor, at_most: Tensor, tolerance: float
) -> Tensor:
    """Weights w such that mean + covariance w is the nearest to the mean with A m ≤ b, to a tolerance.

    Parameters
    ----------
    mean, covariance : Tensor, (place,), (place, place)
    falls, at_most : Tensor, (law, place), (law,)
        A and b.
    tolerance : float

    Examples
    --------
    >>> one = torch.ones(1, dtype=torch.float64)
    >>> nearest_lawful(3.0 * one, 2.0 * torch.eye(1, dtype=torch.float64), one[None], one, 1e-9).tolist()
    [-1.0]
    """
    weights = torch.zeros_like(mean)
    binding: list[int] = []
    for _ in range(_ROUNDS if len(falls) else 0):
        broken = falls @ (mean + covariance @ weights) - at_most
        worst = int(broken.argmax())
        if float(broken[worst]) <= tolerance:
            break
        if worst not in binding:
            binding.append(worst)
        while True:
            chosen = falls[binding]
            among = chosen @ covariance @ chosen.T
            some = 1e-9 * among.diagonal().mean() * torch.eye(len(binding), dtype=among.dtype)
            force = torch.linalg.solve(among + some, chosen @ mean - at_most[binding])
            if bool((force >= 0).all()) or len(binding) == 1:
                break
            binding.pop(int(force.argmin()))  # it would pull the other way
        weights = -falls[binding].T @ force
    return weights
