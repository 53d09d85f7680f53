"""How a drug enters and spreads: compartments, absorption, and the concentration that follows from doses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from metasci.errors import InputError
from metasci.math import where
from metasci.parameters import Parameter
from metasci.patients.disposition import modes
from metasci.patients.regimen import DoseArrays
from metasci.patients.superposition import absorbed, any_of, given
from metasci.units import convert

__all__ = ["Structure"]

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
        listed = [Parameter("clearance", flow, 5.0 * hours / litres, positive=True, spread=0.4)]
        sizes = (40.0,) if self.compartments == 1 else (20.0, 40.0, 100.0)
        for name, size in zip(self.volumes, sizes, strict=False):
            listed.append(Parameter(name, volume, size / litres, positive=True, spread=0.4))
        for name, size in zip(self.exchanges, (10.0, 3.0), strict=False):
            listed.append(Parameter(name, flow, size * hours / litres, positive=True, spread=0.5))
        if self.absorption == "first-order":
            listed.append(Parameter("absorption_rate", rate, 1.0 * hours, positive=True, spread=0.6))
        if self.absorption == "zero-order":
            listed.append(Parameter("absorption_duration", time, 1.0 / hours, positive=True, spread=0.6))
        if self.lag:
            listed.append(Parameter("lag", time, 0.25 / hours, positive=True, spread=0.6))
        if self.bioavailability:
            listed.append(Parameter("bioavailability", "1", 0.7, bounds=(0.0, 1.0), spread=0.6))
        return tuple(listed)

    def concentration(self, time: Any, given_doses: DoseArrays, values: Mapping[str, Any]) -> Any:
        """Concentration in the central compartment, by superposition.

        Parameters
        ----------
        time : array, (..., measurement)
        given_doses : DoseArrays
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

    def _entering(self, given_doses: DoseArrays, lasting: Any, fraction: Any) -> DoseArrays:
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

    def along(self, time: Any, given_doses: DoseArrays, updates: Any, values: Mapping[str, Any]) -> Any:
        """The same along each patient's records, where parameters change; torch only.

        Parameters
        ----------
        time : Tensor, (task, observation)
        given_doses : DoseArrays
            (task, 1, event).
        updates : Tensor of bool, (task, event)
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
        happened = records(time, given_doses, updates, lag)
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
        amounts_at = amounts(happened, system, size - 1 if oral else 0)
        central = amounts_at[..., 0] / volumes[0]
        return central.gather(1, happened.observation)


def _by_route(what: DoseArrays) -> tuple[DoseArrays, DoseArrays | None]:
    """Doses to be absorbed, and those into the central compartment if there are any."""
    if what.compartment is None or not any_of(what.compartment == 2.0):
        return what, None
    central = what.compartment == 2.0
    nothing = 0.0 * what.amount
    swallowed = replace(what, amount=where(central, nothing, what.amount))
    return swallowed, replace(what, amount=where(central, what.amount, nothing))
