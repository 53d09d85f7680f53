"""A patients' model that is a differential equation: from the arrays of a model to `metasci.ode` and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metasci.errors import InputError
from metasci.math import stack
from metasci.patients.moments import noted

if TYPE_CHECKING:
    from torch import Tensor

    from metasci.ode import Solution

__all__ = ["Dynamics", "apart", "events", "stacked"]

_DOSE = ("dose", "dose_time", "dose_duration", "dose_interval", "dose_until")
# of the greatest dose: an amount in the depot below this share of it is not followed to many digits
_TRACE = 1e-9


def events(time: Any, *columns: Any) -> dict[str, Any]:
    """Times and the five columns of doses by their names.

    Examples
    --------
    >>> list(events(0.0, 1.0, 0.0, 0.0, 0.0, 9.0))
    ['time', 'dose', 'dose_time', 'dose_duration', 'dose_interval', 'dose_until']
    """
    return dict(zip(("time", *_DOSE), (time, *columns), strict=True))


def stacked(*states: Any) -> Any:
    """States or their slopes, each (task,), as (task, state)."""
    return stack(states)


def apart(state: Any) -> tuple[Any, ...]:
    """The states (task,) of (task, state)."""
    return tuple(state[..., place] for place in range(state.shape[-1]))


@dataclass(frozen=True)
class Dynamics:
    """A differential equation as a patient's model needs it; parameters are tensors (task,) by name.

    Attributes
    ----------
    rate : callable
        ``rate(time, state, parameters)`` as in `metasci.ode.solve`.
    initial : callable
        The states before any dose, each (task,), from the parameters.
    entering : callable
        What a dose of one unit adds to state 0, (task,).
    method, relative, absolute, most
        Of `metasci.ode.solve`.
    depot : bool
        Whether doses wait in state 0 to be absorbed. What is left there matters by its share of the dose only,
        so its error is measured by the greatest dose: the last traces need not be followed to many digits.
    """

    rate: Callable[[Tensor, Tensor, Mapping[str, Tensor]], Tensor]
    initial: Callable[[Mapping[str, Tensor]], tuple[Tensor, ...]]
    entering: Callable[[Mapping[str, Tensor]], Tensor] | None = None
    method: str = "explicit"
    relative: float = 1e-8
    absolute: float = 1e-10
    depot: bool = False
    most: int = 1000

    def solution(self, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> Solution:
        """States at every time, with the error of the integration.

        Parameters
        ----------
        inputs : mapping
            ``time`` (..., observation) and, of doses, arrays (..., 1, event).
        parameters : mapping
            Numbers, or arrays (..., 1): the same for all observations of a task.

        Returns
        -------
        Solution
            With all leading dimensions made one, the tasks.

        Raises
        ------
        InputError
            If a parameter differs between the observations of a task, or arrays are symbolic.
        """
        import torch

        from metasci.ode import Doses, solve

        _, time, events, values = _by_task(inputs, parameters)
        initial = torch.stack(self.initial(values), -1)
        doses, absolute = None, torch.full_like(initial, self.absolute).detach()
        if self.entering is not None:
            amount, given_at, *when = events
            noted(given_at, when[0])
            if self.depot and amount.shape[1]:
                most = amount.detach().abs().amax(1, keepdim=True)
                first = torch.arange(initial.shape[1], device=most.device) == 0
                absolute = absolute + torch.where(first, _TRACE * most, 0.0)
            doses = Doses(amount * self.entering(values)[:, None], given_at, *when)  # type: ignore[arg-type]
        return solve(
            self.rate,
            initial,
            time,
            values,
            doses,
            method=self.method,
            relative=self.relative,
            absolute=absolute,
            most=self.most,
        )

    def states(self, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> tuple[Any, ...]:
        """Each state at every time (..., observation), NaN where not solved; NumPy's arrays where that was given."""
        import torch

        lead = _by_task(inputs, parameters)[0]
        solution = self.solution(inputs, parameters)
        states = torch.where(solution.converged[:, None, None], solution.states, torch.nan)
        states = states.reshape(*lead, *states.shape[1:])
        tensors = any(isinstance(value, torch.Tensor) for value in (*inputs.values(), *parameters.values()))
        return tuple(each if tensors else each.numpy() for each in states.unbind(-1))


def _by_task(
    inputs: Mapping[str, Any], parameters: Mapping[str, Any]
) -> tuple[tuple[int, ...], Tensor, list[Tensor], dict[str, Tensor]]:
    """Leading shape; times (task, observation), columns of doses (task, event), parameters (task,)."""
    import torch

    known = {**inputs, **parameters}
    odd = [name for name, value in known.items() if type(value).__module__.startswith("pytensor")]
    if odd:
        raise InputError(
            f"a differential equation is solved with torch: '{odd[0]}' must be a number, not a symbol."
        )
    like = next((v for v in known.values() if isinstance(v, torch.Tensor) and v.is_floating_point()), None)
    dtype, device = (torch.float64, None) if like is None else (like.dtype, like.device)
    arrays = {name: torch.as_tensor(v, dtype=dtype, device=device) for name, v in known.items()}
    time = torch.atleast_1d(arrays["time"])
    columns = [arrays[name] for name in _DOSE if name in inputs]
    for name in parameters:
        value = arrays[name]
        if value.dim() and value.shape[-1] != 1:
            raise InputError(
                f"parameter '{name}' must be the same for all observations of a task: shape (..., 1)."
            )
    lead = torch.broadcast_shapes(
        time.shape[:-1], *(v.shape[:-2] for v in columns), *(arrays[p].shape[:-1] for p in parameters)
    )

    def rows(value: Tensor, kept: tuple[int, ...]) -> Tensor:
        return value.expand((*lead, *kept)).reshape(-1, *kept)

    events = [rows(v.reshape(*v.shape[:-2], v.shape[-1]), (v.shape[-1],)) for v in columns]
    values = {p: rows(arrays[p].reshape(arrays[p].shape[:-1]), ()) for p in parameters}
    return tuple(lead), rows(time, (time.shape[-1],)), events, values
