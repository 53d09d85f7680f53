"""Steps of a differential equation on NumPy arrays, and on duals of them.

For a few tasks an operation of NumPy costs a fraction of one of torch, which more so carries tangents. The formulas are
those of `metasci.ode.methods`; a rate that is written with operators and `metasci.math` runs here as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metasci.duals import Dual
from metasci.ode.methods import COUPLINGS, GAMMA, STAGE_DRIFTS, STAGE_NODES, STAGES
from metasci.ode.order_eight import tableau

__all__ = ["STEPS", "Array", "ArraySystem"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ArraySystem:
    """A rate with its parameters, which are arrays or duals; see `metasci.ode.methods.System`."""

    rate: Callable[[Any, Any, Mapping[str, Any]], Any]
    parameters: Mapping[str, Any]
    own: frozenset[str]
    states: int
    held: tuple[str, ...] = ()

    def select(self, rows: Any) -> ArraySystem:
        """The same on some of the tasks."""
        chosen = {name: v[rows] if name in self.own else v for name, v in self.parameters.items()}
        return replace(self, parameters=chosen)

    def within(self, supply: Any) -> tuple[ArraySystem, Any]:
        """The system during a step, with the parameters that its supply holds, and what runs in."""
        if supply is None or not self.held:
            return self, supply
        values = {name: supply[..., self.states + place] for place, name in enumerate(self.held)}
        return replace(self, parameters={**self.parameters, **values}, held=()), supply[..., : self.states]

    def slope(self, time: Any, state: Any, supply: Any) -> Any:
        """Time derivative of the state, (row, state)."""
        slope = self.rate(time, state, self.parameters)
        return slope if supply is None else slope + supply

    def linearise(self, time: Any, state: Any) -> tuple[Any, Any, Any]:
        """Slope (row, state), its Jacobian by the state (row, state, state), and by time (row, state)."""
        rows, states = state.shape
        unit = np.repeat(np.eye(states + 1)[:, None, :], rows, 1)
        still = {
            name: Dual(value, np.zeros((states + 1, *value.shape))) if isinstance(value, Dual) else value
            for name, value in self.parameters.items()
        }
        change = self.rate(Dual(time, unit[..., states]), Dual(state, unit[..., :states]), still)
        jacobian, drift = change.slope[:states], change.slope[states]
        if isinstance(jacobian, Dual):
            turned = Dual(jacobian.value.transpose(1, 2, 0), jacobian.slope.transpose(0, 2, 3, 1))
            return change.value, turned, drift
        return change.value, jacobian.transpose(1, 2, 0), drift


def _packed(value: Any) -> Array:
    """Values and slopes as one array, (1 + direction, ...)."""
    return np.concatenate([value.value[None], value.slope]) if isinstance(value, Dual) else value[None]


def _unpacked(packed: Array) -> Any:
    return Dual(packed[0], packed[1:]) if len(packed) > 1 else packed[0]


@cache
def _table() -> tuple[Array, tuple[Array, ...], Array, Array, Array]:
    known = tableau()
    weights = tuple(np.array(row) for row in known.weights)
    result, five, three = (np.array(each) for each in (known.result, known.error_5, known.error_3))
    return np.array(known.nodes), weights, result, five, three


def prince_dormand(system: ArraySystem, time: Any, state: Any, size: Any, supply: Any) -> tuple[Any, Array]:
    """One explicit step of order 8, and its error."""
    system, supply = system.within(supply)
    nodes, weights, result, error_5, error_3 = _table()
    here, width = _packed(state), size[:, None]
    slopes = np.empty((len(nodes), here.size))
    for stage, (node, row) in enumerate(zip(nodes, weights, strict=True)):
        inside = here + (row @ slopes[:stage]).reshape(here.shape) if stage else here
        slope = width * system.slope(time + node * size, _unpacked(inside), supply)
        slopes[stage] = _packed(slope).ravel()
    new = _unpacked(here + (result @ slopes).reshape(here.shape))
    plain = slopes[:, : here[0].size]
    five, three = (np.reshape(b @ plain, here[0].shape) for b in (error_5, error_3))
    beside = np.hypot(five, 0.1 * three)
    return new, np.where(beside > 0.0, five * np.abs(five / np.where(beside > 0.0, beside, 1.0)), beside)


def rodas(system: ArraySystem, time: Any, state: Any, size: Any, supply: Any) -> tuple[Any, Array]:
    """One step of Rodas5P, and its error."""
    system, supply = system.within(supply)
    here, width = _packed(state), size[:, None]
    slope, jacobian, drift = system.linearise(time, state)
    slope = slope if supply is None else slope + supply
    turned = width[..., None] * jacobian
    inverse = GAMMA * _inverse(
        np.eye(system.states) - GAMMA * (turned.value if isinstance(turned, Dual) else turned)
    )
    drifts = _alike(width * width * drift, here)
    increments = np.empty((len(COUPLINGS), here.size))
    inside = here
    for stage, couplings in enumerate(COUPLINGS):
        if 0 < stage < len(STAGES):
            inside = here + (np.array(STAGES[stage]) @ increments[:stage]).reshape(here.shape)
        elif stage:  # stiffly accurate: each of the last stages corrects the one before
            inside = inside + increments[stage - 1].reshape(here.shape)
        if stage:
            node = STAGE_NODES[stage] if stage < len(STAGES) else 1.0
            slope = system.slope(time + node * size, _unpacked(inside), supply)
        right = _alike(width * slope, here)
        if stage:
            right = right + (np.array(couplings) @ increments[:stage]).reshape(here.shape)
        if stage < len(STAGE_DRIFTS) - 1:
            right = right + STAGE_DRIFTS[stage] * drifts
        increment = np.empty_like(here)
        increment[0] = (inverse @ right[0][..., None])[..., 0]
        if len(here) > 1:
            # the matrix (1 − γhJ)/γ moves as well
            turn = (turned.slope @ increment[0][..., None])[..., 0] if isinstance(turned, Dual) else 0.0
            increment[1:] = (inverse @ (right[1:] + turn)[..., None])[..., 0]
        increments[stage] = increment.ravel()
    last = increments[-1].reshape(here.shape)
    return _unpacked(inside + last), last[0]


def _alike(value: Any, packed: Array) -> Array:
    """Values, and slopes where the packed ones have them."""
    if isinstance(value, Dual) or len(packed) == 1:
        return _packed(value)
    return np.concatenate([value[None], np.zeros_like(packed[1:])])


def _inverse(matrix: Array) -> Array:
    try:
        return np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    except np.linalg.LinAlgError:  # of many matrices one is singular: its step is not a number
        each = [np.full_like(one, np.nan) if not np.linalg.det(one) else np.linalg.inv(one) for one in matrix]
        return np.stack(each)


STEPS = {"explicit": prince_dormand, "stiff": rodas}
"""The same methods as `metasci.ode.methods.METHODS`, on arrays."""
