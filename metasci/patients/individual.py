"""A patient's own parameters: those of the reference patient after the patient's covariates, and the half-lives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from metasci.errors import InputError
from metasci.model import Individual
from metasci.parameters import BoxCox, Parameter
from metasci.patients.disposition import modes
from metasci.patients.effects import Effect, Formula, Occasion, Power, factors

if TYPE_CHECKING:
    from metasci.patients.structure import Structure

__all__ = ["HALF_LIVES", "distributed", "individual_of", "reference_of"]

HALF_LIVES = {
    1: ("half_life",),
    2: ("distribution_half_life", "terminal_half_life"),
    3: ("distribution_half_life", "second_half_life", "terminal_half_life"),
}


def individual_of(
    structure: Structure, effects: Mapping[str, Sequence[Effect]], time: str, volume: str
) -> Individual:
    """What a patient's own parameters are in a model of compartments.

    Examples
    --------
    >>> from metasci.library import find
    >>> import numpy as np
    >>> own = find("patients.propofol").individual
    >>> own.reference, list(own.units)[-1], own.units["clearance"]
    ('70 kg', 'terminal_half_life', 'L/min')
    """
    names = [parameter.name for parameter in structure.parameters(time, volume)]
    lives = HALF_LIVES[structure.compartments]

    def values(parameters: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        own = factors(effects, parameters, inputs)
        size, *peripheral = (own[name] for name in structure.volumes)
        exchange = [own[name] for name in structure.exchanges]
        rate = modes(own["clearance"], size, *zip(exchange, peripheral, strict=True)).rate
        half_lives = {name: math.log(2.0) / rate[..., place] for place, name in enumerate(lives)}
        return {**{name: own[name] for name in names}, **half_lives}

    units = {parameter.name: parameter.unit for parameter in structure.parameters(time, volume)}
    return Individual(values, {**units, **dict.fromkeys(lives, time)}, reference_of(effects))


def reference_of(effects: Mapping[str, Sequence[Effect]]) -> str:
    """The patient in whom every effect is one, in words.

    Examples
    --------
    >>> reference_of({"clearance": [Power("weight", "kg", 70.0, 0.75)]})
    '70 kg'
    """
    values: dict[str, str] = {}
    for effect in (effect for several in effects.values() for effect in several):
        if isinstance(effect, Occasion):
            continue
        if isinstance(effect, Formula):
            if effect.of_whom:
                values.setdefault(effect.of_whom, effect.of_whom)
            for name, value in effect.reference.items():
                values.setdefault(name, _of_reference(name, value, effect.units[name]))
        elif isinstance(effect, Power):
            values.setdefault(
                effect.covariate, _of_reference(effect.covariate, effect.reference, effect.unit)
            )
    # the size comes first: it is what readers look for
    sized = sorted(values, key=lambda name: name not in ("weight", "height"))
    return ", ".join(values[name] for name in sized) or (
        "covariates without effect" if any(effects.values()) else ""
    )


def _of_reference(name: str, value: float, unit: str) -> str:
    """The value of a covariate in words; of the weight and the height the unit says what it is."""
    if name in ("weight", "height"):
        return f"{value:g} {unit}"
    return f"{name.replace('_', ' ')} {value:g}" + (f" {unit}" if unit != "1" else "")


def distributed(
    parameter: Parameter, distribution: str | float | None, typical: float, spread: float
) -> Parameter:
    """A parameter with its typical value and spread, and distributed otherwise than its structure has it."""
    values = {**asdict(parameter), "typical": typical, "spread": spread}
    if distribution is None:
        return replace(parameter, typical=typical, spread=spread)
    if isinstance(distribution, int | float):
        return BoxCox(**{**values, "positive": True, "bounds": None}, skew=float(distribution))
    kinds: dict[str, dict[str, Any]] = {
        "normal": {"positive": False, "bounds": None},
        "log-normal": {"positive": True, "bounds": None},
        "logit": {"positive": False, "bounds": (0.0, 1.0)},
    }
    if distribution not in kinds:
        raise InputError(
            f"parameter '{parameter.name}': the distribution '{distribution}' is not known; say {', '.join(kinds)}, or "
            "the number λ of a Box-Cox one."
        )
    return Parameter(**{**values, **kinds[distribution]})
