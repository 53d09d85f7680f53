"""A described model whose compartments have a closed form: by superposition, or along the records of a patient."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from metasci.expressions import compiled, run
from metasci.math import where
from metasci.patients.description import (
    CENTRAL,
    HISTORY,
    Described,
    chosen,
    history_of,
    patient_of,
    program_of,
)
from metasci.patients.regimen import DoseArrays, carried_along

__all__ = ["in_closed_form"]


def in_closed_form(what: Described) -> tuple[Callable[..., Any], None]:
    """The function of a description with a `Structure`, and no solution of a differential equation."""
    patient, after = patient_of(what), program_of(what.after)
    rates = {name: compiled(formula) for name, formula in what.rates.items()}
    predictions = [compiled(value) for value in what.values]
    entering = _entering(what)
    structure = what.structure
    assert structure is not None
    columns = tuple(name for name in history_of(what).columns if name in HISTORY)

    def parameters_of(computed: Mapping[str, Any], like: Any) -> dict[str, Any]:
        structural = {name: formula(computed) + like for name, formula in rates.items()}
        # of one unit of volume the concentration is the amount
        return {structure.volumes[0]: 1.0 + like, **structural}

    def along(
        at: Any, given: DoseArrays, known: Mapping[str, Any], told: Mapping[str, Any], random: Any, like: Any
    ) -> Any:
        """Amounts in the central compartment where covariates change."""
        tells, everywhere = carried_along(given, known, told, what.changing)
        computed = patient(random, everywhere)
        count = given.time.shape[2]
        at_doses = {
            name: value[:, None, :count] if getattr(value, "ndim", 0) > 1 else value
            for name, value in computed.items()
        }
        return structure.along(at, entering(given, at_doses), tells, parameters_of(computed, like))

    def function(**values: Any) -> Any:
        at, output = values.pop("time"), values.pop("output", None)
        event_columns = {name: values.pop(f"dose_{name}") for name in columns}
        given = DoseArrays.of(values.pop("dose"), values.pop("dose_time"), **event_columns)
        known = {name: values.pop(name) for name in what.covariates}
        told = {f"dose_{name}": values.pop(f"dose_{name}") for name in what.changing}
        like = 0.0 * sum(values.values())
        here = patient(values, known)
        if what.changing:
            central = along(at, given, known, told, values, like)
        else:
            beside = {name: _before_events(value) for name, value in here.items()}
            central = structure.concentration(at, entering(given, beside), parameters_of(here, like))
        measured = run(after, {**here, CENTRAL: central, "t": at})
        return chosen([value(measured) + like for value in predictions], output)

    return function, None


def _before_events(value: Any) -> Any:
    """Values of observations with a last axis, along which those of events stand."""
    return value[..., None] if getattr(value, "ndim", 0) else value


def _entering(what: Described) -> Callable[[DoseArrays, Mapping[str, Any]], DoseArrays]:
    """Doses with the durations that the model says, where they ask for them."""
    lasts = next((way.duration for way in what.ways if way.duration is not None), None)
    flows = next((way.rate for way in what.ways if way.rate is not None), None)
    duration_of, rate_of = (None if each is None else compiled(each) for each in (lasts, flows))
    fraction_of = compiled(what.rates.get("bioavailability", 1.0))

    def entering(given: DoseArrays, values: Mapping[str, Any]) -> DoseArrays:
        if given.modelled is None:
            return given
        lasting, silent = given.duration, (given.modelled == 3.0) & (given.duration <= 0.0)
        if rate_of is not None:
            by_rate = given.amount / rate_of(values)
            lasting = where((given.modelled == 1.0) | silent, by_rate, lasting)
        if duration_of is not None:
            # compartments shorten an infusion by the fraction that enters, of which a duration of the model is free
            by_duration = duration_of(values) / fraction_of(values) + 0.0 * given.time
            lasting = where((given.modelled == 2.0) | silent, by_duration, lasting)
        return replace(given, duration=lasting)

    return entering
