"""Models of one, two and three compartments, put together from how a drug enters, spreads, and what the patient
changes.

`compartment_model` makes a `Model`: parameters as clinicians have them (clearance, volumes, intercompartmental
clearances, absorption rate), effects of covariates on them, any doses. Where nothing changes with time predictions are
sums of closed forms; where covariates change they follow the patient's records.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from metasci.constraints import NonNegative
from metasci.errors import InputError
from metasci.math import where
from metasci.model import Input, Model, Output, register
from metasci.molar import molar_factor
from metasci.noise import Noise, Proportional
from metasci.parameters import Parameter, ParameterSpace
from metasci.patients.disposition import modes
from metasci.patients.effects import Effect, Occasion, factors
from metasci.patients.individual import distributed, individual_of
from metasci.patients.regimen import Doses, doses
from metasci.patients.superposition import absorbed, any_of, given
from metasci.units import convert

__all__ = ["Structure", "compartment_model"]

_ABSORPTION = ("none", "first-order", "zero-order")


@dataclass(frozen=True)
class Structure:
    """How a drug enters and spreads.

    Parameters
    ----------
    compartments : 1, 2 or 3
    absorption : "none", "first-order" or "zero-order"
        None for boluses and infusions into a vein.
    lag : bool
        Whether absorption begins with a delay.
    bioavailability : bool
        Whether a fraction of the dose is absorbed. From doses by mouth alone it cannot be told from clearance and
        volume.
    bioavailability_keeps : "rate" or "duration"
        What of an infusion stays as it is written where a fraction F of it counts: its rate, so that it lasts F times
        as long (NONMEM's reading of AMT and RATE), or its duration, so that it is F times as fast.
    """

    compartments: int = 1
    absorption: str = "none"
    lag: bool = False
    bioavailability: bool = False
    bioavailability_keeps: str = "rate"

    def __post_init__(self) -> None:
        if self.compartments not in (1, 2, 3):
            raise InputError(f"a model has 1, 2 or 3 compartments, not {self.compartments}.")
        if self.absorption not in _ABSORPTION:
            raise InputError(f"absorption is one of {', '.join(_ABSORPTION)}, not '{self.absorption}'.")
        if self.bioavailability_keeps not in ("rate", "duration"):
            raise InputError(
                f"bioavailability_keeps is 'rate' or 'duration', not '{self.bioavailability_keeps}'."
            )

    @property
    def volumes(self) -> tuple[str, ...]:
        """Names of the volumes."""
        return (
            ("volume",)
            if self.compartments == 1
            else ("central_volume", *("peripheral_volume", "deep_volume")[: self.compartments - 1])
        )

    @property
    def exchanges(self) -> tuple[str, ...]:
        """Names of the intercompartmental clearances."""
        return ("exchange_clearance", "deep_exchange_clearance")[: self.compartments - 1]

    def parameters(self, time: str, volume: str) -> tuple[Parameter, ...]:
        """Parameters with ordinary values for an adult, in the units of time and volume.

        Raises
        ------
        InputError
            If a unit is none of a time, or of a volume.
        """
        hours, litres = float(convert(1.0, time, "h", "time")), float(convert(1.0, volume, "L", "volume"))
        flow, rate = f"{volume}/{time}", f"1/{time}"
        found = [Parameter("clearance", flow, 5.0 * hours / litres, positive=True, spread=0.4)]
        sizes = (40.0,) if self.compartments == 1 else (20.0, 40.0, 100.0)
        for name, size in zip(self.volumes, sizes, strict=False):
            found.append(Parameter(name, volume, size / litres, positive=True, spread=0.4))
        for name, size in zip(self.exchanges, (10.0, 3.0), strict=False):
            found.append(Parameter(name, flow, size * hours / litres, positive=True, spread=0.5))
        if self.absorption == "first-order":
            found.append(Parameter("absorption_rate", rate, 1.0 * hours, positive=True, spread=0.6))
        if self.absorption == "zero-order":
            found.append(Parameter("absorption_duration", time, 1.0 / hours, positive=True, spread=0.6))
        if self.lag:
            found.append(Parameter("lag", time, 0.25 / hours, positive=True, spread=0.6))
        if self.bioavailability:
            found.append(Parameter("bioavailability", "1", 0.7, bounds=(0.0, 1.0), spread=0.6))
        return tuple(found)

    def concentration(self, time: Any, given_doses: Doses, values: Mapping[str, Any]) -> Any:
        """Concentration in the central compartment, by superposition.

        Parameters
        ----------
        time : array, (..., measurement)
        given_doses : Doses
        values : mapping of str to array
            Parameters, (..., measurement).
        """
        volume, *peripheral = (values[name] for name in self.volumes)
        exchange = [values[name] for name in self.exchanges]
        responses = modes(values["clearance"], volume, *zip(exchange, peripheral, strict=True))
        lag = values["lag"] if self.lag else 0.0
        if self.absorption == "first-order":
            swallowed, injected = _by_route(given_doses)
            fraction = values["bioavailability"] if self.bioavailability else 1.0
            amount = fraction * absorbed(time, swallowed, responses, values["absorption_rate"], lag)
            if injected is not None:
                amount = amount + given(time, injected, responses)
            return amount / volume
        lasting, fraction = None, None
        if self.absorption == "zero-order":
            lasting = (values["absorption_duration"] + 0.0 * time)[..., None]
        if self.bioavailability:
            fraction = (values["bioavailability"] + 0.0 * time)[..., None]
        return given(time, self._entering(given_doses, lasting, fraction), responses, lag) / volume

    def _entering(self, given_doses: Doses, lasting: Any, fraction: Any) -> Doses:
        """Doses as they enter: over how long, and how much of them."""
        if lasting is not None:
            given_doses = replace(given_doses, duration=lasting + 0.0 * given_doses.time)
        if fraction is None:
            return given_doses
        shortened = self.absorption == "none" and self.bioavailability_keeps == "rate"
        return replace(
            given_doses,
            amount=fraction * given_doses.amount,
            duration=fraction * given_doses.duration if shortened else given_doses.duration,
        )

    def along(self, time: Any, given_doses: Doses, told: Any, values: Mapping[str, Any]) -> Any:
        """The same along each patient's records, where parameters change; torch only.

        Parameters
        ----------
        time : Tensor, (task, observation)
        given_doses : Doses
            (task, 1, event).
        told : Tensor of bool, (task, event)
        values : mapping of str to Tensor
            Parameters, (task, event + observation) or (task, 1).
        """
        import torch

        from metasci.patients.timeline import amounts, records

        events = given_doses.time.shape[2]

        def at_doses(name: str) -> Any:
            """A parameter as it is in force when each dose is given."""
            return values[name][:, :events].expand(-1, events)

        injected = given_doses
        lasting = at_doses("absorption_duration")[:, None] if self.absorption == "zero-order" else None
        if self.bioavailability:
            given_doses = self._entering(given_doses, lasting, at_doses("bioavailability")[:, None])
        elif lasting is not None:
            given_doses = self._entering(given_doses, lasting, None)
        lag = at_doses("lag") if self.lag else None
        if self.absorption == "first-order" and injected.compartment is not None:
            central = injected.compartment == 2.0  # into a vein: all of it, and at once
            given_doses = replace(
                given_doses, amount=torch.where(central, injected.amount, given_doses.amount)
            )
            lag = None if lag is None else torch.where(central[:, 0], torch.zeros_like(lag), lag)
        happened = records(time, given_doses, told, lag)
        width = given_doses.time.shape[2] + time.shape[1]

        def at(name: str) -> Any:
            return values[name].expand(-1, width).gather(1, happened.source)

        flow, volumes = at("clearance"), [at(name) for name in self.volumes]
        exchange = [at(name) for name in self.exchanges]
        oral = self.absorption == "first-order"
        size = self.compartments + oral
        blank = torch.zeros_like(flow)
        rows = [[blank] * size for _ in range(size)]
        rows[0][0] = -(flow + sum(exchange)) / volumes[0]
        for k, (flux, volume) in enumerate(zip(exchange, volumes[1:], strict=True), 1):
            rows[k][0], rows[0][k], rows[k][k] = flux / volumes[0], flux / volume, -flux / volume
        if oral:
            speed = at("absorption_rate")
            rows[size - 1][size - 1], rows[0][size - 1] = -speed, speed
        system = torch.stack([torch.stack(row, -1) for row in rows], -2)
        found = amounts(happened, system, size - 1 if oral else 0)
        central = found[..., 0] / volumes[0]
        return central.gather(1, happened.observation)


def compartment_model(
    structure: Structure,
    *,
    name: str,
    amount: str = "mg",
    time: str = "h",
    volume: str = "L",
    output: Output | None = None,
    effects: Mapping[str, Sequence[Effect]] | None = None,
    changing: Sequence[str] = (),
    typical: Mapping[str, float] | None = None,
    spread: Mapping[str, float] | None = None,
    distributions: Mapping[str, str | float] | None = None,
    noise: Noise | None = None,
    covariates: Mapping[str, str] | None = None,
    transforms: Mapping[str, str] | None = None,
    molar_mass: str = "",
    description: str = "",
    listed: bool = True,
) -> Model:
    """Make a model of a drug in the body.

    Parameters
    ----------
    structure : Structure
    name : str
        Where it is found; it is registered under ``patients.NAME``.
    amount, time, volume : str
        Units of doses, time and volumes.
    output : Output, optional
        Concentration in amount per volume by default. One in another unit is converted: 2 mg/L are 2,000 ng/mL.
    effects : mapping of str to sequence of Effect, optional
        What covariates do to each parameter.
    changing : sequence of str
        Covariates of the effects that change with time, as occasions always do. A patient's predictions then follow
        the records, and cannot be written in PyTensor. Any other is to be the same for all records of a patient.
    typical, spread : mapping of str to float, optional
        Instead of the ordinary ones.
    distributions : mapping of str to str or float, optional
        Of parameters that are not as `Structure` has them: ``"normal"``, ``"log-normal"``, ``"logit"`` (from 0 to 1),
        or the λ of a log-normal quantity skewed by Box and Cox.
    noise : Noise, optional
        Proportional by default.
    covariates, transforms : mapping of str to str, optional
        Further covariates that may shift parameters in a learned prior: name to unit, name to scale.
    molar_mass : str
        ``"232.2 g/mol"``, where doses are masses and the output counts moles, or the other way round.
    description : str
    listed : bool
        Whether it is registered; else it is `published.NAME`, and only whoever holds it knows it.

    Returns
    -------
    Model

    Examples
    --------
    >>> from metasci.patients.effects import Power
    >>> by_weight = {"clearance": [Power("weight", "kg", 70.0, 0.75)]}
    >>> model = compartment_model(Structure(2), name="example", effects=by_weight)
    >>> model.parameters.names
    ('clearance', 'central_volume', 'peripheral_volume', 'exchange_clearance')
    >>> list(model.inputs)
    ['time', 'weight']
    """
    several = {key: tuple(value) for key, value in (effects or {}).items()}
    wanted = {key: told for each in several.values() for effect in each for key, told in effect.needs.items()}
    needed = {covariate: unit for covariate, (unit, _) in wanted.items()}
    occasions = {
        effect.covariate for each in several.values() for effect in each if isinstance(effect, Occasion)
    }
    changing = tuple(dict.fromkeys((*changing, *sorted(occasions))))
    if odd := sorted(set(changing) - set(needed)):
        raise InputError(f"'{odd[0]}' changes, but no effect takes it.")
    output = output or Output("concentration", f"{amount}/{volume}", "concentration")
    scale = molar_factor(f"({amount})/({volume})", output.unit, molar_mass, output.name)
    declared = [
        distributed(
            parameter,
            (distributions or {}).get(parameter.name),
            typical=(typical or {}).get(parameter.name, parameter.typical),
            spread=(spread or {}).get(parameter.name, parameter.spread),
        )
        for parameter in structure.parameters(time, volume)
    ]
    declared += [parameter for each in several.values() for effect in each for parameter in effect.learned]
    of_events = [f"dose_{covariate}" for covariate in changing]
    history = doses(
        amount,
        time,
        {key: needed[key] for key in changing},
        infusions=structure.absorption != "zero-order",
        routes=structure.absorption == "first-order",
        lasts="absorption_duration" if structure.absorption == "zero-order" else "",
    )
    columns = [column for column in history.columns if column not in changing]

    limits = {
        covariate: Input(unit, *within, constant=covariate not in changing)
        for covariate, (unit, within) in wanted.items()
    }

    def function(**values: Any) -> Any:
        at = values.pop("time")
        told = {column: values.pop(f"dose_{column}") for column in columns if f"dose_{column}" in values}
        what = Doses.of(values.pop("dose"), values.pop("dose_time"), **told)
        known = {covariate: values.pop(covariate) for covariate in needed}
        if not changing:
            return scaled(structure.concentration(at, what, factors(several, values, known)))
        known_at, everywhere = _carried(what, known, {key: values.pop(key) for key in of_events}, changing)
        return scaled(structure.along(at, what, known_at, factors(several, values, everywhere)))

    def scaled(concentration: Any) -> Any:
        return concentration if abs(scale - 1.0) < 1e-12 else scale * concentration  # ug/L are ng/mL

    # as `collections.namedtuple` does: the model belongs to the module that asks for it
    function.__module__ = sys._getframe(1).f_globals.get("__name__", "__main__")
    model = Model(
        name=f"{'patients' if listed else 'published'}.{name}",
        function=function,
        inputs={"time": Input(time, lower=0.0), **limits},
        output=output,
        parameters=ParameterSpace(tuple(declared)),
        noise=noise or Proportional((0.2,)),
        constraints=(NonNegative(),),
        histories={"dose": history},
        covariates=dict(covariates or {}),
        transforms=dict(transforms or {}),
        description=description,
        joint=bool(changing),
        individual=individual_of(structure, several, time, volume),
    )
    return register(model) if listed else model


def _by_route(what: Doses) -> tuple[Doses, Doses | None]:
    """Doses to be absorbed, and those into the central compartment if there are any."""
    if what.compartment is None or not any_of(what.compartment == 2.0):
        return what, None
    central = what.compartment == 2.0
    nothing = 0.0 * what.amount
    swallowed = replace(what, amount=where(central, nothing, what.amount))
    return swallowed, replace(what, amount=where(central, what.amount, nothing))


def _carried(
    what: Doses, known: Mapping[str, Any], at_events: Mapping[str, Any], changing: Sequence[str]
) -> tuple[Any, dict[str, Any]]:
    """Which events tell covariates, and every covariate at events followed by observations."""
    import torch

    observed = {key: values for key, values in known.items() if key in changing}
    width = max(values.shape[1] for values in observed.values())
    told = torch.ones_like(what.time[:, 0], dtype=torch.bool)
    for values in at_events.values():
        told = told & torch.isfinite(values[:, 0])
    everywhere = {}
    for key, values in known.items():
        first = values[:, :1].expand(-1, told.shape[1])
        before = torch.where(told, at_events[f"dose_{key}"][:, 0], first) if key in changing else first
        everywhere[key] = torch.cat([before, values.expand(-1, width)], 1)
    return told, everywhere
