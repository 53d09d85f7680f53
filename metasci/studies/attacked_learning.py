"""Meta-training where in every episode the worst reading of each support is moved: Meta-SGD under attack.

The inner loss is of readings of which one is wrong, the outer loss of those that are right: the start, the step
sizes and the noise are learned so that a few steps do little harm when a reading lies. Which one, and whether up or
down, is what raises the outer loss most by its slope. The idea is that of robust optimisation (Madry and others
2018, arXiv 1706.06083), on supports as Goldblum, Fowl and Goldstein (NeurIPS 2020, arXiv 1910.00982) have it for
images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from metasci.meta.adaptation.inner import Parameters
from metasci.meta.compositions.adapting import meta_gradient, query_loss
from metasci.meta.compositions.composition import Composition
from metasci.meta.episodes import EquationEpisode
from metasci.meta.gradient_state import GradientState
from metasci.meta.methods import MetaSGD

__all__ = ["UnderAttack", "worst_reading"]


def worst_reading(
    composition: Composition, episode: EquationEpisode, learned: Parameters, by: Tensor, least: float
) -> EquationEpisode:
    """The same episode with one reading of each support moved, the one and the way that its slope says harms most.

    Parameters
    ----------
    composition : Composition
    episode : EquationEpisode
    learned : dict of Tensor
    by : Tensor, (task,)
        How far, in the output's unit.
    least : float
        No reading falls below it: a concentration that is not above zero is no measurement.
    """
    batch = episode.seen.batch
    readings = batch.output.detach().clone().requires_grad_()
    fixed = {name: value.detach() for name, value in learned.items()}
    tried = replace(episode, seen=replace(episode.seen, batch=replace(batch, output=readings)))
    loss = query_loss(composition, tried, fixed)
    (slope,) = torch.autograd.grad(torch.where(torch.isfinite(loss), loss, 0.0).sum(), readings)
    slope = torch.where(batch.mask, torch.nan_to_num(slope), 0.0)
    at = slope.abs().argmax(1, keepdim=True)
    moved = batch.output.scatter_add(1, at, slope.gather(1, at).sign() * by[:, None])
    moved = torch.where(batch.mask, moved.clamp(min=least), batch.output)
    return replace(episode, seen=replace(episode.seen, batch=replace(batch, output=moved)))


@dataclass(frozen=True)
class UnderAttack(MetaSGD):
    """Meta-SGD whose supports have one wrong reading each.

    Parameters
    ----------
    steps : int
    moved : tuple of float
        By how much, in turn from iteration to iteration, in the unit of the output.
    least : float
        No reading falls below it.
    """

    moved: tuple[float, ...] = field(default=(0.0,), kw_only=True)
    least: float = field(default=-float("inf"), kw_only=True)

    title = "Meta-SGD under attack"

    def _gradient(
        self, composition: Composition, episode: EquationEpisode, state: GradientState
    ) -> Callable[[Any, Parameters], tuple[Tensor, Parameters]]:
        by = self.moved[int(state.iteration) % len(self.moved)]

        def gradient(own: EquationEpisode, learned: Parameters) -> tuple[Tensor, Parameters]:
            far = own.seen.batch.output.new_full((len(own),), by)
            return meta_gradient(
                composition, worst_reading(composition, own, learned, far, self.least), learned
            )

        return gradient
