"""Hospitals that treat sepsis: icu-sepsis, a model of 716 states and 25 doses made of real admissions, tilted.

The model is that of Choudhary, Gupta and Thomas (Reinforcement Learning Conference 2024; arXiv 2406.05646; MIT),
which the package ``icu-sepsis`` carries: nothing is rewarded until a patient has survived (1) or died (0). A
hospital is the same model whose patients get better or worse by other amounts where they are given more fluid or
more vasopressor, and all in all: every transition is tilted by how ill the patient is after it. All hospitals are
simulated.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasci.extras import needed

__all__ = ["ACTIONS", "STATES", "Hospitals", "Sepsis", "drawn", "sepsis"]

Floats = NDArray[np.float64]
STATES, ACTIONS, LEVELS = (
    713,
    25,
    5,
)  # where patients are under treatment; five levels each of fluid and vasopressor
DIED, SURVIVED = 713, 714
# how ill: standard deviations of the SOFA score between states, and these at the end
_AT_THE_END = {DIED: 2.0, SURVIVED: -2.0}
# between hospitals, standard deviations of what full fluid, full vasopressor and everything does to how ill patients
# become
SPREAD = (0.5, 0.5, 0.15)


@dataclass(frozen=True)
class Sepsis:
    """The model's transitions, a list of all that can happen under doses that were given often enough.

    Attributes
    ----------
    first : array, (state,)
        Probability of beginning there.
    state, action, after, probability : array, (transition,)
        Ordered by state and action.
    row : array, (transition,)
        Which pair of state and action, of those that were given.
    pair_state, pair_action : array, (pair,)
    given : array of bool, (state, action)
        A dose that was not given moves patients as the mean of those that were.
    severity : array, (state + 2,)
    """

    first: Floats
    state: NDArray[np.int64]
    action: NDArray[np.int64]
    after: NDArray[np.int64]
    probability: Floats
    row: NDArray[np.int64]
    pair_state: NDArray[np.int64]
    pair_action: NDArray[np.int64]
    given: NDArray[np.bool_]
    severity: Floats

    @property
    def doses(self) -> Floats:
        """Fluid, vasopressor and one, of each transition's action, levels from −1 to 1, (transition, 3)."""
        level = np.linspace(-1.0, 1.0, LEVELS)
        return np.stack(
            [level[self.action // LEVELS], level[self.action % LEVELS], np.ones(len(self.action))], 1
        )


@cache
def sepsis() -> Sepsis:
    """The model as the package ``icu-sepsis`` has it."""
    # it warns of a library that it imports and does not use
    logging.getLogger("gym").setLevel(logging.CRITICAL)
    module: Any = needed("icu_sepsis.envs.sepsis", "rewards", "hospitals that treat sepsis")
    environment = module.ICUSepsisEnv()
    dynamics = environment.dynamics
    moves = np.asarray(dynamics["tx_mat"], float)[:STATES, :, : SURVIVED + 1]
    given = np.zeros((STATES, ACTIONS), bool)
    for at, actions in enumerate(dynamics["admissible_actions"][:STATES]):
        given[at, list(actions)] = True
    state, action, after = (np.asarray(each) for each in np.nonzero(moves * given[:, :, None]))
    pairs = np.flatnonzero(given)
    scores = np.asarray(environment.sofa_scores, float)[:STATES]
    severity = np.append((scores - scores.mean()) / scores.std(), [0.0, 0.0])
    for end, value in _AT_THE_END.items():
        severity[end] = value
    return Sepsis(
        np.asarray(dynamics["d_0"], float)[:STATES],
        state,
        action,
        after,
        moves[state, action, after],
        np.searchsorted(pairs, state * ACTIONS + action),
        pairs // ACTIONS,
        pairs % ACTIONS,
        given,
        severity,
    )


@dataclass(frozen=True)
class Hospitals:
    """Some hospitals: how far each tilts the model, and with what probabilities patients move there.

    Attributes
    ----------
    tilt : array, (hospital, 3)
        What full fluid, full vasopressor, and everything adds, per standard deviation of illness.
    moves : array, (hospital, transition)
    """

    tilt: Floats
    moves: Floats

    def __len__(self) -> int:
        return len(self.tilt)

    def select(self, index: Any) -> Hospitals:
        """Some of them."""
        return Hospitals(self.tilt[index], self.moves[index])

    def returns(self, policy: Tensor) -> Tensor:
        """Probability that a patient survives under a policy, (hospital,), exactly.

        Parameters
        ----------
        policy : Tensor, (hospital, state, action)
            Probabilities of doses.
        """
        model, rows = sepsis(), []
        first = torch.as_tensor(model.first)
        for at in range(len(self)):
            step = self._under(policy[at], at)
            leaves = torch.eye(STATES, dtype=torch.float64) - step[:, :STATES]
            rows.append(first @ torch.linalg.solve(leaves, step[:, SURVIVED]))
        return torch.stack(rows)

    def values(self, policy: Tensor, at: int = 0) -> Floats:
        """Probability of survival from every state under a policy, (state,)."""
        step = self._under(policy, at)
        leaves = torch.eye(STATES, dtype=torch.float64) - step[:, :STATES]
        return np.asarray(torch.linalg.solve(leaves, step[:, SURVIVED]).detach())

    def _under(self, policy: Tensor, at: int) -> Tensor:
        """Moves under a policy, (state, state + 2)."""
        model = sepsis()
        given = torch.as_tensor(model.given)
        whole = torch.where(given, policy, 0.0)
        spread = (1.0 - whole.sum(1, keepdim=True)) / given.sum(1, keepdim=True)
        whole = torch.where(given, policy + spread, 0.0)
        weight = whole[torch.as_tensor(model.state), torch.as_tensor(model.action)]
        flat = torch.as_tensor(model.state * (STATES + 2) + model.after)
        moves = torch.as_tensor(self.moves[at])
        return (
            torch.zeros(STATES * (STATES + 2), dtype=torch.float64)
            .index_add(0, flat, weight * moves)
            .reshape(STATES, STATES + 2)
        )

    def best(self, at: int = 0, tolerance: float = 1e-7) -> tuple[Floats, Floats]:
        """Values of the best policy, and of doing a dose now and the best later, (state,) and (state, action).

        Doses that were never given are worth as much as the mean of the others.
        """
        model = sepsis()
        value = np.zeros(STATES + 2)
        value[SURVIVED] = 1.0
        for _ in range(5000):
            pairs = np.bincount(
                model.row, self.moves[at] * value[model.after], minlength=len(model.pair_state)
            )
            table = np.full((STATES, ACTIONS), -np.inf)
            table[model.pair_state, model.pair_action] = pairs
            new = table.max(1)
            moved = float(np.abs(new - value[:STATES]).max())
            value[:STATES] = new
            if moved < tolerance:
                break
        mean = np.where(model.given, table, 0.0).sum(1) / model.given.sum(1)
        return value[:STATES], np.where(model.given, table, mean[:, None])


def drawn(tilt: Floats) -> Hospitals:
    """Hospitals that tilt the model so far."""
    model = sepsis()
    by_dose = np.asarray(tilt, float) @ model.doses.T
    weight = model.probability * np.exp(by_dose * model.severity[model.after])
    total = np.stack([np.bincount(model.row, each, minlength=len(model.pair_state)) for each in weight])
    return Hospitals(np.asarray(tilt, float), weight / total[:, model.row])


def hospitals(count: int, seed: int) -> Hospitals:
    """Simulated hospitals."""
    return drawn(np.random.default_rng(seed).normal(size=(count, 3)) * SPREAD)
