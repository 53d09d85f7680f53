"""From the arrays of a model to `metasci.ode` and back, for a patient's own equations.

Parameters that follow from covariates are computed once for each event and each observation. Where covariates change,
the rate holds the values of the last event that told them; a dose takes those in force when it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metasci.errors import InputError
from metasci.math import stack
from metasci.patients.entering import entered, through_transit
from metasci.patients.entries import Entry
from metasci.patients.named import Named
from metasci.patients.regimen import DoseArrays, carried_along

if TYPE_CHECKING:
    from torch import Tensor

    from metasci import ode

__all__ = ["OF_DOSES", "Equations"]

_DOSE = ("dose", "dose_time", "dose_duration", "dose_interval", "dose_until", "dose_compartment")
_MODELLED = "dose_modelled"
OF_DOSES = (*_DOSE, _MODELLED)
"""What a model's history tells of doses."""
# an amount below this share of the greatest dose is no longer followed to many digits
_TRACE = 1e-10


@dataclass(frozen=True)
class _Patients:
    """Arrays of a model as tensors, tasks first.

    Attributes
    ----------
    lead : tuple of int
        The leading shape that tasks were made of.
    time, output : Tensor, (task, observation)
    doses : DoseArrays or None
        (task, 1, event).
    updates : Tensor of bool, (task, event), or None
        Which events tell covariates; None where nothing changes.
    values : dict of str to Tensor
        Parameters after effects, and covariates: (task, 1), or where something changes (task, event + observation).
    """

    lead: tuple[int, ...]
    time: Tensor
    output: Tensor | None
    doses: DoseArrays | None
    updates: Tensor | None
    values: dict[str, Tensor]

    @property
    def events(self) -> int:
        """How many events there are."""
        return 0 if self.doses is None else int(self.doses.time.shape[2])

    def at_events(self) -> Named:
        """Values in force at each event, (task, event) or (task, 1)."""
        return Named({key: self._part(each, True) for key, each in self.values.items()}, "parameter")

    def at_observations(self) -> Named:
        """Values in force at each observation, (task, observation) or (task, 1)."""
        here = {key: self._part(each, False) for key, each in self.values.items()}
        return Named({"time": self.time, **here}, "parameter")

    def _part(self, values: Tensor, events: bool) -> Tensor:
        if values.shape[1] == 1 or self.updates is None:
            return values
        return values[:, : self.events] if events else values[:, self.events :]


@dataclass(frozen=True)
class Equations:
    """Slopes, initial states, ways in and outputs of a patient, as `metasci.patients.ode_model` takes them.

    Outputs are functions of states and parameters, among which is the ``time`` of each observation. ``own`` computes
    what slopes, entries and outputs take, from the model's parameters and the covariates.
    """

    states: tuple[str, ...]
    slopes: Callable[[Any, Any, Any], Mapping[str, Any]]
    initial: Callable[[Any], Mapping[str, Any]] | None
    entries: tuple[Entry, ...]
    outputs: tuple[Callable[[Any, Any], Any], ...]
    own: Callable[[Mapping[str, Any], Mapping[str, Any]], Mapping[str, Any]]
    covariates: tuple[str, ...]
    changing: tuple[str, ...]
    method: str
    relative: float
    absolute: float

    def predictions(self, values: Mapping[str, Any]) -> Any:
        """What is measured at every time, (..., observation), NaN where not solved; NumPy's where no tensor came."""
        import torch

        patients = self._patients(values)
        solution = self._solved(patients)
        states = torch.where(solution.converged[:, None, None], solution.states, torch.nan)
        x = Named(dict(zip(self.states, states.unbind(-1), strict=True)), "state")
        p, like = patients.at_observations(), torch.zeros_like(patients.time)
        each = [value(x, p) + like for value in self.outputs]
        predicted = each[0]
        if patients.output is not None:
            for place, other in enumerate(each[1:], 2):
                predicted = torch.where(patients.output == float(place), other, predicted)
        predicted = predicted.reshape(*patients.lead, predicted.shape[-1])
        return (
            predicted
            if any(isinstance(value, torch.Tensor) for value in values.values())
            else predicted.numpy()
        )

    def solution(self, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> ode.Solution:
        """States at every time, with the error of the integration."""
        return self._solved(self._patients({**inputs, **parameters}))

    def _patients(self, values: Mapping[str, Any]) -> _Patients:
        import torch

        if odd := [key for key, value in values.items() if type(value).__module__.startswith("pytensor")]:
            raise InputError(
                f"a differential equation is solved with torch: '{odd[0]}' must be a number, not a symbol."
            )
        like = next(
            (v for v in values.values() if isinstance(v, torch.Tensor) and v.is_floating_point()), None
        )
        dtype, device = (torch.float64, None) if like is None else (like.dtype, like.device)
        arrays = {key: torch.as_tensor(v, dtype=dtype, device=device) for key, v in values.items()}
        of_events = {*OF_DOSES, *(f"dose_{key}" for key in self.changing)} & arrays.keys()
        arrays = {
            key: torch.atleast_2d(v) if key in of_events else torch.atleast_1d(v) for key, v in arrays.items()
        }
        lead = torch.broadcast_shapes(
            *(v.shape[:-2] if key in of_events else v.shape[:-1] for key, v in arrays.items())
        )

        def rows(key: str) -> Tensor:
            kept = arrays[key].shape[-2:] if key in of_events else arrays[key].shape[-1:]
            return arrays[key].expand(*lead, *kept).reshape(math.prod(lead), *kept)

        parameters = {
            key: rows(key)
            for key in arrays
            if key not in of_events and key not in ("time", "output", *self.covariates)
        }
        if odd := [key for key, value in parameters.items() if value.shape[1] != 1]:
            raise InputError(
                f"parameter '{odd[0]}' must be the same for all observations of a task: shape (..., 1)."
            )
        known = {key: rows(key) for key in self.covariates}
        dose_arrays, updates = None, None
        if self.entries:
            amount, time, duration, interval, until, compartment = (rows(key) for key in _DOSE)
            modelled = rows(_MODELLED) if _MODELLED in arrays else None
            dose_arrays = DoseArrays(amount, time, duration, interval, until, compartment, modelled)
        if self.changing and dose_arrays is not None:
            carried = {f"dose_{key}": rows(f"dose_{key}") for key in self.changing}
            updates, known = carried_along(dose_arrays, known, carried, self.changing)
        else:
            known = {key: value[:, :1] for key, value in known.items()}
        output = rows("output") if "output" in arrays else None
        return _Patients(
            tuple(lead), rows("time"), output, dose_arrays, updates, dict(self.own(parameters, known))
        )

    def _solved(self, patients: _Patients) -> ode.Solution:
        """The states at every observation, (task, observation, state)."""
        import torch

        from metasci.ode import solve

        first = Named({key: value[:, 0] for key, value in patients.values.items()}, "parameter")
        tasks = len(patients.time)
        blank = patients.time.new_zeros(tasks)
        begins = dict(self.initial(first)) if self.initial is not None else {}
        if odd := sorted(set(begins) - set(self.states)):
            raise InputError(f"initial: '{odd[0]}' is no state; they are {', '.join(self.states)}.")
        initial = torch.stack([begins.get(name, 0.0) + blank for name in self.states], -1)
        steady = {
            key: value[:, 0]
            for key, value in patients.values.items()
            if value.shape[1] == 1 or patients.updates is None
        }
        absolute = torch.full_like(initial, self.absolute).detach()
        entering_doses: ode.Doses | None = None
        transits: dict[str, Tensor] = {}
        if patients.doses is not None and patients.events:
            p, changing = patients.at_events(), patients.updates is not None
            held = {
                key: value[:, : patients.events]
                for key, value in patients.values.items()
                if changing and value.shape[1] > 1
            }
            entering_doses, transits, most = entered(
                self.entries, self.states, patients.doses, patients.updates, p, held
            )
            absolute = torch.maximum(absolute, _TRACE * most)
        return solve(
            self._rate,
            initial,
            patients.time,
            {**steady, **transits},
            entering_doses,
            method=self.method,
            relative=self.relative,
            absolute=absolute,
        )

    def _rate(self, time: Any, state: Any, parameters: Mapping[str, Any]) -> Any:
        """Slopes (task, state), of tensors, arrays or duals (`metasci.ode.few`)."""
        each_state = [state[..., place] for place in range(len(self.states))]
        x = Named(dict(zip(self.states, each_state, strict=True)), "state")
        slopes = self.slopes(time, x, Named(parameters, "parameter"))
        if not isinstance(slopes, Mapping):
            raise InputError(
                f"slopes: they are to be a dict of the states' names, such as {{'{self.states[0]}': …}}, and are a "
                f"{type(slopes).__name__}."
            )
        if odd := sorted(set(slopes) ^ set(self.states)):
            what = "is no state" if odd[0] in slopes else "has no slope"
            raise InputError(f"slopes: '{odd[0]}' {what}; the states are {', '.join(self.states)}.")
        still = 0.0 * each_state[0]
        derivatives = [  # what is of that kind is taken as it is: sums with plain numbers are slow in forward mode
            each if type(each) is type(still) and each.shape == still.shape else still + each
            for each in (slopes[name] for name in self.states)
        ]
        for place, entry in enumerate(self.entries):
            if entry.transit is not None:
                state_of = self.states.index(entry.into)
                derivatives[state_of] = derivatives[state_of] + through_transit(time, parameters, place)
        return stack(derivatives)
