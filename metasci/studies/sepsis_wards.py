"""Patients who are treated: from admission to the end, many at once, and the same as an environment of Gymnasium's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metasci.extras import needed
from metasci.studies.sepsis_hospitals import ACTIONS, DIED, STATES, SURVIVED, Hospitals, sepsis

__all__ = ["Stay", "environment", "treated"]

_MOST = 500  # doses of a patient; none has half as many


@dataclass(frozen=True)
class Stay:
    """Every dose of every patient.

    Attributes
    ----------
    hospital, patient, state, action : array, (dose,)
        Where, whose, when, and which; patients are numbered through over all hospitals.
    row, after : array, (dose,)
        The pair of state and action that moved the patient, and to where.
    survived : array, (patient,)
    """

    hospital: NDArray[np.int64]
    patient: NDArray[np.int64]
    state: NDArray[np.int64]
    action: NDArray[np.int64]
    row: NDArray[np.int64]
    after: NDArray[np.int64]
    survived: NDArray[np.float64]


def treated(policy: NDArray[np.float64], where: Hospitals, patients: int, seed: int) -> Stay:
    """Some patients of each hospital under its policy, (hospital, state, action)."""
    model, random = sepsis(), np.random.default_rng(seed)
    count = len(where) * patients
    of = np.repeat(np.arange(len(where)), patients)
    state = np.searchsorted(np.cumsum(model.first), random.random(count)).clip(max=STATES - 1)
    doses, moves = policy.cumsum(2), _Moves(where)
    alive, survived, parts = np.arange(count), np.zeros(count), []
    for _ in range(_MOST):
        here = doses[of[alive], state[alive]]
        action = (here < random.random(len(alive))[:, None] * here[:, -1:]).sum(1).clip(max=ACTIONS - 1)
        row, after = moves.draw(of[alive], state[alive], action, random)
        parts.append((of[alive], alive, state[alive], action, row, after))
        survived[alive[after == SURVIVED]] = 1.0
        state[alive] = np.minimum(after, STATES - 1)
        alive = alive[after < DIED]
        if not len(alive):
            break
    hospital, patient, at, action, row, after = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Stay(hospital, patient, at, action, row, after, survived)


class _Moves:
    """Draws where patients go: a dose that was never given moves them as any of the others would."""

    def __init__(self, where: Hospitals) -> None:
        model = sepsis()
        # each pair's probabilities add up to one, so that pair k has the stretch from k to k + 1
        self.along = where.moves.cumsum(1)
        self.counts = model.given.sum(1)
        self.begins = np.concatenate([[0], self.counts.cumsum()[:-1]])
        self.pair = np.where(model.given, model.given.ravel().cumsum().reshape(model.given.shape) - 1, -1)
        self.end = np.searchsorted(model.row, np.arange(len(model.pair_state)), side="right") - 1
        self.after = model.after

    def draw(
        self,
        of: NDArray[np.int64],
        state: NDArray[np.int64],
        action: NDArray[np.int64],
        random: np.random.Generator,
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        row = self.pair[state, action]
        any_of = self.begins[state] + random.integers(self.counts[state])
        row = np.where(row < 0, any_of, row)
        wanted = row + random.random(len(row))
        place = np.empty(len(row), int)
        for hospital in np.unique(of):
            own = of == hospital
            place[own] = np.searchsorted(self.along[hospital], wanted[own], side="right")
        return row, self.after[np.minimum(place, self.end[row])]


def environment(where: Hospitals, seed: int) -> Any:
    """A ward of Gymnasium's interface: at every reset a patient of any of the hospitals; the state is one of many."""
    gymnasium: Any = needed("gymnasium", "rewards", "a ward as an environment")
    model, moves = sepsis(), _Moves(where)
    first = np.cumsum(model.first)

    class Ward(gymnasium.Env):
        observation_space = gymnasium.spaces.Discrete(STATES + 2)
        action_space = gymnasium.spaces.Discrete(ACTIONS)

        def __init__(self) -> None:
            self.random = np.random.default_rng(seed)

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
            super().reset(seed=seed)
            if seed is not None:
                self.random = np.random.default_rng(seed)
            self.at = int(self.random.integers(len(where)))
            self.state = min(int(np.searchsorted(first, self.random.random())), STATES - 1)
            return self.state, {}

        def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
            here = (np.array([self.at]), np.array([self.state]), np.array([int(action)]))
            self.state = int(moves.draw(*here, self.random)[1][0])
            return self.state, float(self.state == SURVIVED), self.state >= DIED, False, {}

    return Ward()
