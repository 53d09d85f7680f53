"""Learning so that the worst-served group of tasks is served as well as can be after a few steps.

Group distributionally robust optimisation on the loss *after* adaptation: groups have weights that grow with their
loss, and the start follows the weighted meta-gradient. So the start is not best on average but best for whom it is
worst.

Sources: Sagawa and others, ICLR 2020 (arXiv 1911.08731), algorithm 1; Collins, Mokhtari and Shakkottai, NeurIPS 33
(2020) 18860, for the worst task after adaptation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.files import State
from metasci.meta.adapted import Adapted
from metasci.meta.compositions.adapting import meta_gradient
from metasci.meta.compositions.outer import finite_meta_gradient, outer_step
from metasci.meta.covariates import Design
from metasci.meta.episodes import sample_support
from metasci.meta.gradient import GradientMethod
from metasci.meta.gradient_state import GradientState
from metasci.meta.problem import Problem

__all__ = ["WorstGroup"]

_WEIGHTS = "group_weights"


@dataclass(frozen=True)
class WorstGroup:
    """A gradient method that learns for the group which it serves worst.

    Parameters
    ----------
    method : GradientMethod
        `metasci.MAML`, `FOMAML`, …: how tasks adapt.
    groups : tuple of str
        The group of each task that is learned from, in their order.
    rate : float
        By how much the logarithm of a group's weight grows with its loss in an iteration; with zero all groups count
        alike, whatever their size.

    Examples
    --------
    >>> from metasci.meta import FOMAML
    >>> WorstGroup(FOMAML(1), ("a", "a", "b")).name
    'FOMAML for the worst group'
    """

    method: GradientMethod
    groups: tuple[str, ...]
    rate: float = 0.05

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return f"{self.method.name} for the worst group"

    @property
    def penalty(self) -> float:
        """Weight of the model's physical laws."""
        return self.method.penalty

    @property
    def iterations(self) -> int:
        """Meta-iterations."""
        return self.method.iterations

    @property
    def labels(self) -> tuple[str, ...]:
        """The groups, in the order of their weights."""
        return tuple(sorted(set(self.groups)))

    def initial(self, problem: Problem, design: Design) -> GradientState:
        """The method's own start, with equal weights."""
        if len(self.groups) != len(problem):
            raise InputError(
                f"groups: {len(self.groups)} names for {len(problem)} tasks; name each task's group."
            )
        count = len(self.labels)
        return _weighted(
            self.method.initial(problem, design), torch.full((count,), 1.0 / count, dtype=torch.float64)
        )

    def weights(self, state: GradientState) -> Tensor:
        """Of the groups, (group,)."""
        return state.outer.memory[_WEIGHTS]

    def improve(
        self, problem: Problem, design: Design, state: GradientState, seed: int
    ) -> tuple[GradientState, Tensor]:
        """One meta-iteration; returns the state and which tasks were left out of it."""
        method, mask = self.method, problem.batch.mask
        support = sample_support(mask, method.shots, method.support, seed * 1_000_003 + int(state.iteration))
        composition = method.training(float(state.first_step))
        episode = method.episode(problem, design, support)
        gradient = partial(meta_gradient, composition)
        lost = torch.zeros(len(problem), dtype=torch.bool)
        losses, slopes = [], []
        for label in self.labels:
            own = torch.tensor([at for at, group in enumerate(self.groups) if group == label])
            part = episode.select(own)
            loss, slope, used = finite_meta_gradient(part, state.learned, gradient)
            judged = used & part.asked
            lost[own] = part.asked & ~judged
            losses.append(loss[judged].mean() if bool(judged.any()) else loss.new_zeros(()))
            slopes.append(slope)
        weights = self.weights(state) * torch.exp(self.rate * torch.stack(losses).detach())
        weights = weights / weights.sum()
        names = set.intersection(*(set(slope) for slope in slopes))
        mixed = {
            name: torch.tensordot(weights, torch.stack([slope[name] for slope in slopes]), 1)
            for name in names
        }
        return _weighted(replace(state, outer=outer_step(method.outer, state.outer, mixed)), weights), lost

    def finished(self, state: GradientState) -> bool:
        """Whether the meta-iterations are done."""
        return self.method.finished(state)

    def adapt(self, problem: Problem, design: Design, state: GradientState) -> Adapted:
        """Calibrate every task of a batch, as the method does."""
        return self.method.adapt(problem, design, state)

    def state_of(self, tensors: State) -> GradientState:
        """The state of its tensors by name."""
        return self.method.state_of(tensors)

    def shapes(self, size: int, covariates: int, scales: int, laws: int) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the tensors that every saved state has."""
        return self.method.shapes(size, covariates, scales, laws)


def _weighted(state: GradientState, weights: Tensor) -> GradientState:
    memory = {**state.outer.memory, _WEIGHTS: weights}
    return replace(state, outer=replace(state.outer, memory=memory))
