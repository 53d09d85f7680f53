"""From the arrays of a model to `metasci.ode` and back, for a patient's own equations.

Parameters that follow from covariates are computed once for each event and each observation. Where covariates change,
the rate holds the values of the last event that told them; a dose takes those in force when it is given.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metasci.errors import InputError
from metasci.patients.effects import Effect, factors
from metasci.patients.entries import Entry, quantity
from metasci.patients.named import Named
from metasci.patients.regimen import Doses, carried_along

if TYPE_CHECKING:
    from torch import Tensor

    from metasci import ode

__all__ = ["Equations"]

_DOSE = ("dose", "dose_time", "dose_duration", "dose_interval", "dose_until", "dose_compartment")
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
    doses : Doses or None
        (task, 1, event).
    told : Tensor of bool, (task, event), or None
        Which events tell covariates; None where nothing changes.
    values : dict of str to Tensor
        Parameters after effects, and covariates: (task, 1), or where something changes (task, event + observation).
    """

    lead: tuple[int, ...]
    time: Tensor
    output: Tensor | None
    doses: Doses | None
    told: Tensor | None
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
        return Named({key: self._part(each, False) for key, each in self.values.items()}, "parameter")

    def _part(self, values: Tensor, events: bool) -> Tensor:
        if values.shape[1] == 1 or self.told is None:
            return values
        return values[:, : self.events] if events else values[:, self.events :]


@dataclass(frozen=True)
class Equations:
    """Slopes, initial states, ways in and outputs of a patient, as `metasci.patients.ode_model` takes them."""

    states: tuple[str, ...]
    slopes: Callable[[Any, Any, Any], Mapping[str, Any]]
    initial: Callable[[Any], Mapping[str, Any]] | None
    entries: tuple[Entry, ...]
    outputs: tuple[Callable[[Any, Any], Any], ...]
    effects: Mapping[str, Sequence[Effect]]
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
        found = each[0]
        if patients.output is not None:
            for place, other in enumerate(each[1:], 2):
                found = torch.where(patients.output == float(place), other, found)
        found = found.reshape(*patients.lead, found.shape[-1])
        return found if any(isinstance(value, torch.Tensor) for value in values.values()) else found.numpy()

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
        of_events = {key for key in arrays if key.startswith("dose")}
        arrays = {
            key: torch.atleast_2d(v) if key in of_events else torch.atleast_1d(v) for key, v in arrays.items()
        }
        lead = torch.broadcast_shapes(
            *(v.shape[:-2] if key in of_events else v.shape[:-1] for key, v in arrays.items())
        )

        def rows(key: str) -> Tensor:
            kept = arrays[key].shape[-2:] if key in of_events else arrays[key].shape[-1:]
            return arrays[key].expand(*lead, *kept).reshape(-1, *kept)

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
        given, told = None, None
        if self.entries:
            amount, time, duration, interval, until, compartment = (rows(key) for key in _DOSE)
            given = Doses(amount, time, duration, interval, until, compartment)
        if self.changing and given is not None:
            carried = {f"dose_{key}": rows(f"dose_{key}") for key in self.changing}
            told, known = carried_along(given, known, carried, self.changing)
        else:
            known = {key: value[:, :1] for key, value in known.items()}
        own = factors(self.effects, parameters, known)
        output = rows("output") if "output" in arrays else None
        return _Patients(tuple(lead), rows("time"), output, given, told, {**own, **known})

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
            if value.shape[1] == 1 or patients.told is None
        }
        absolute = torch.full_like(initial, self.absolute).detach()
        given, transits = None, {}
        if patients.doses is not None and patients.events:
            given, transits = self._entering(patients)
            for place, entry in enumerate(self.entries):
                state = self.states.index(entry.into)
                amounts = given.amount[:, (place + 1) * patients.events : (place + 2) * patients.events]
                most = _TRACE * amounts.detach().abs().amax(1)
                absolute[:, state] = torch.maximum(absolute[:, state], most)
        return solve(
            self._rate, initial, patients.time, {**steady, **transits}, given,
            method=self.method, relative=self.relative, absolute=absolute,
        )  # fmt: skip

    def _rate(self, time: Tensor, state: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        import torch

        x = Named(dict(zip(self.states, state.unbind(-1), strict=True)), "state")
        slopes = self.slopes(time, x, Named(parameters, "parameter"))
        if odd := sorted(set(slopes) ^ set(self.states)):
            what = "is no state" if odd[0] in slopes else "has no slope"
            raise InputError(f"slopes: '{odd[0]}' {what}; the states are {', '.join(self.states)}.")
        still = torch.zeros_like(state[:, 0])
        found = [  # a tensor is taken as it is: in forward mode sums and products with plain numbers are slow
            each if isinstance(each, torch.Tensor) and each.shape == still.shape else still + each
            for each in (slopes[name] for name in self.states)
        ]
        for place, entry in enumerate(self.entries):
            if entry.transit is not None:
                state_of = self.states.index(entry.into)
                found[state_of] = found[state_of] + _through_transit(time, parameters, place)
        return torch.stack(found, -1)

    def _entering(self, patients: _Patients) -> tuple[ode.Doses, dict[str, Tensor]]:
        """Every dose by each way in, behind the events themselves; and what passes through transit compartments."""
        import torch

        from metasci.ode import Doses as Given

        what, events = patients.doses, patients.events
        assert what is not None
        assert what.compartment is not None
        columns = (what.amount, what.time, what.duration, what.interval, what.until, what.compartment)
        amount, time, duration, interval, until, way = (column[:, 0] for column in columns)
        p = patients.at_events()
        nothing, never = torch.zeros_like(amount), torch.zeros_like(amount, dtype=torch.bool)
        told = never if patients.told is None else patients.told
        # the events themselves tell what changes; what they give comes behind, entry by entry
        blocks = [(nothing, time, nothing, nothing, until, 0)]
        tells, transits = [told], {}
        repeated = interval > 0.0
        for place, entry in enumerate(self.entries):
            here = way == float(entry.compartment)
            fraction = quantity(entry.fraction, p) + nothing
            dose = torch.where(here, fraction * amount, nothing)
            lasts = fraction * duration
            if entry.duration is not None:
                lasts = torch.where(duration > 0.0, lasts, quantity(entry.duration, p) + nothing)
            lasts = torch.where(here & (amount != 0.0), lasts, nothing)
            lag = None if entry.lag is None else quantity(entry.lag, p) + nothing
            state = self.states.index(entry.into)
            again = repeated & here & (amount != 0.0)
            if bool(again.any()):
                self._check_repeated(entry, again & (lasts > interval), again, amount, time, lag is not None)
            if entry.transit is not None:
                number, mean = (quantity(each, p) + nothing for each in entry.transit)
                start = time if lag is None else time + lag
                transits |= {
                    f"_{place}_amount": dose, f"_{place}_start": start, f"_{place}_until": until,
                    f"_{place}_number": number, f"_{place}_mean": mean,
                }  # fmt: skip
                blocks.append((nothing, start, nothing, nothing, until, state))
                # a halt where it begins; one that comes late must not tell anew what has changed since
                tells.append(here & (amount != 0.0) if lag is None or patients.told is None else never)
                continue
            start = time if lag is None else time + lag
            first = torch.where(again, interval, nothing) if lag is None else nothing
            blocks.append((dose, start, lasts, first, until, state))
            tells.append(never)
            if lag is not None and bool(
                again.any()
            ):  # the state just after the last dose that has taken effect
                missed = torch.where(
                    again, torch.floor(lag / torch.where(again, interval, 1.0)), nothing
                ).detach()
                for count in range(1, int(missed.max()) + 2):
                    counts = again & (missed + 1.0 >= count)
                    last = counts & (missed + 1.0 == count)
                    blocks.append((
                        torch.where(counts, dose, nothing), start - count * interval,
                        torch.where(counts, lasts, nothing),
                        torch.where(last, interval, nothing), until, state,
                    ))  # fmt: skip
                    tells.append(never)
        tasks = len(amount)
        held = {}
        if patients.told is not None:
            held = {
                key: value[:, :events].repeat(1, len(blocks))
                for key, value in patients.values.items()
                if value.shape[1] > 1
            }
        joined = [torch.cat([block[column] for block in blocks], 1) for column in range(5)]
        into = torch.cat([torch.full((tasks, events), block[5]) for block in blocks], 1)
        return Given(*joined, into, held, torch.cat(tells, 1)), transits

    def _check_repeated(
        self, entry: Entry, overlapping: Tensor, again: Tensor, amount: Tensor, time: Tensor, lagged: bool
    ) -> None:
        """Refuse steady states that are not followed: their doses can be written out."""
        import torch

        instead = "write the doses before it out (ADDL) instead of SS"
        if entry.transit is not None:
            raise InputError(
                f"a steady state of doses through transit compartments is not solved; {instead}."
            )
        if bool(overlapping.any()):
            raise InputError(
                f"a steady state of infusions that last longer than II is not solved; {instead}."
            )
        if sum(other.compartment == entry.compartment for other in self.entries) > 1:
            raise InputError(f"a steady state of doses that enter by several ways is not solved; {instead}.")
        earliest = torch.where(amount != 0.0, time, torch.inf).amin(1, keepdim=True)
        if lagged and bool((again & (time > earliest)).any()):
            raise InputError(
                f"a steady state after other doses, of doses with a lag, is not solved; {instead}."
            )


def _through_transit(time: Tensor, parameters: Mapping[str, Tensor], place: int) -> Tensor:
    """The rate at which doses arrive behind a chain of transit compartments, (task,)."""
    import torch

    amount, start, until, number, mean = (
        parameters[f"_{place}_{name}"] for name in ("amount", "start", "until", "number", "mean")
    )
    since = time[:, None] - start
    counts = (since > 0.0) & (time[:, None] < until) & (amount != 0.0)
    speed = (number + 1.0) / mean
    passed = speed * torch.where(counts, since, torch.ones_like(since))
    arriving = torch.exp(number * torch.log(passed) - passed - torch.lgamma(number + 1.0))
    return torch.where(counts, amount * speed * arriving, torch.zeros_like(arriving)).sum(1)
