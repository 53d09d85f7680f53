"""Noise models by their names on the command line and in published models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metasci.errors import InputError
from metasci.noise import (
    Additive,
    Combined,
    CombinedDeviations,
    EarlyAdditive,
    LogNormal,
    Noise,
    PowerNoise,
    Proportional,
)
from metasci.outcomes.measurements import StudentAdditive
from metasci.rockwell import LogNormalVickers

__all__ = ["NOISES", "noise_named"]

NOISES: Mapping[str, type[Any]] = {
    "additive": Additive,
    "early-additive": EarlyAdditive,
    "proportional": Proportional,
    "combined": Combined,
    "combined-deviations": CombinedDeviations,
    "power": PowerNoise,
    "log-normal": LogNormal,
    "log-normal-vickers": LogNormalVickers,
    "student": StudentAdditive,
}


def noise_named(kind: str, typical: tuple[float, ...] | None = None) -> Noise:
    """The noise model called ``additive``, ``early-additive``, ``proportional``, ``combined``,
    ``combined-deviations``, ``power``, ``log-normal``, ``log-normal-vickers`` or ``student``.
    """
    if kind not in NOISES:
        raise InputError(f"there is no noise model '{kind}'; known are {', '.join(NOISES)}.")
    noise: Noise = NOISES[kind](typical) if typical else NOISES[kind]()
    return noise
