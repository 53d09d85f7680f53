"""Rivals of a learned start at new hospitals: a calibrated hospital, and proximal policy optimisation without
adaptation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metasci.extras import needed
from metasci.studies.sepsis_hospitals import ACTIONS, SPREAD, STATES, Hospitals, sepsis
from metasci.studies.sepsis_wards import environment, treated

__all__ = ["PPO_SETTINGS", "calibrated", "likeliest_tilt", "ppo"]

Floats = NDArray[np.float64]


def likeliest_tilt(row: NDArray[np.int64], after: NDArray[np.int64], steps: int = 12) -> Floats:
    """By how much a hospital tilts the model, of how its patients moved: maximum a posteriori, by Newton's steps.

    Parameters
    ----------
    row, after : array, (dose,)
        Pairs of state and action, and where they led.
    """
    model = sepsis()
    if not len(row):
        return np.zeros(3)
    begins = np.searchsorted(model.row, row)
    ends = np.searchsorted(model.row, row, side="right")
    of = np.repeat(np.arange(len(row)), ends - begins)
    flat = np.concatenate([np.arange(a, b) for a, b in zip(begins, ends, strict=True)])
    doses, severity = model.doses[begins], model.severity[model.after[flat]]
    reached = model.severity[after]
    tilt, precision = np.zeros(3), np.diag(1.0 / np.square(SPREAD))
    for _ in range(steps):
        weight = model.probability[flat] * np.exp((doses @ tilt)[of] * severity)
        total = np.bincount(of, weight, minlength=len(row))
        mean = np.bincount(of, weight * severity, minlength=len(row)) / total
        variance = np.bincount(of, weight * severity**2, minlength=len(row)) / total - mean**2
        slope = doses.T @ (reached - mean) - precision @ tilt
        move = np.linalg.solve((doses.T * variance) @ doses + precision, slope)
        tilt = tilt + move * min(1.0, 1.0 / float(np.abs(move).max() + 1e-12))
    return tilt


def calibrated(
    where: Hospitals, policy: Tensor, counts: tuple[int, ...], seed: int
) -> dict[int, list[Floats]]:
    """The tilts of hospitals, of so many patients treated under a policy, (state, action), by their number."""
    stay = treated(policy.expand(len(where), STATES, ACTIONS).numpy(), where, max(counts), seed)
    found: dict[int, list[Floats]] = {}
    for count in counts:
        early = stay.patient % max(counts) < count
        found[count] = [
            likeliest_tilt(stay.row[own], stay.after[own])
            for own in (early & (stay.hospital == at) for at in range(len(where)))
        ]
    return found


def ppo(where: Hospitals, steps: int, seed: int, say: Callable[[str], None] = lambda line: None) -> Floats:
    """Probabilities of doses, (state, action), that PPO of stable-baselines3 learns at hospitals drawn anew for each
    patient, with those settings of a few that do best there after a fifth of the doses.
    """

    def survival(name: str) -> float:
        table = _ppo(where, steps // 5, seed, PPO_SETTINGS[name])
        everywhere = torch.ones(len(where), 1, 1, dtype=torch.float64)
        found = 100.0 * float(where.returns(everywhere * torch.as_tensor(table)).mean())
        say(
            f"PPO, {name}: {found:.2f} % survive at hospitals that were learned from, after {steps // 5} doses"
        )
        return found

    return _ppo(where, steps, seed, PPO_SETTINGS[max(PPO_SETTINGS, key=survival)])


# of 16 wards in parallel; a table has a number for each state and dose, and no hidden layer
PPO_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "its own settings": {},
    "a table, rate 0.01": {"learning_rate": 0.01, "policy_kwargs": {"net_arch": []}},
    "a table, rate 0.1": {"learning_rate": 0.1, "policy_kwargs": {"net_arch": []}, "gae_lambda": 1.0},
    "its network, rate 0.001": {"learning_rate": 1e-3, "gae_lambda": 1.0},
    "its network, large batches": {
        "learning_rate": 3e-3, "gae_lambda": 1.0, "n_steps": 1024, "batch_size": 2048, "n_epochs": 10,
    },
}  # fmt: skip


def _ppo(where: Hospitals, steps: int, seed: int, settings: Mapping[str, Any]) -> Floats:
    library: Any = needed("stable_baselines3", "rewards", "proximal policy optimisation")
    wards = library.common.vec_env.DummyVecEnv(
        [lambda at=at: environment(where, 100 * seed + at) for at in range(16)]
    )
    usual: dict[str, Any] = {"n_steps": 256, "batch_size": 512, "n_epochs": 6, "gamma": 1.0}
    learner = library.PPO("MlpPolicy", wards, seed=seed, device="cpu", **{**usual, **settings})
    learner.learn(steps)
    with torch.no_grad():
        states, _ = learner.policy.obs_to_tensor(np.arange(STATES))
        return np.asarray(learner.policy.get_distribution(states).distribution.probs, float)
