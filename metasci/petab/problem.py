"""A PEtab problem: its system, what was measured, and its likelihood.

Source: Schmiester and others, PLoS Comput Biol 17 (2021) e1008646, the format, version 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from metasci.data.cards import Card
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.expressions import Expression, compiled, names_in
from metasci.model import Model
from metasci.noise import Additive, LogNormal, Noise, Several
from metasci.parameters import Parameter
from metasci.petab.described import System, predictions, system_model

if TYPE_CHECKING:
    from metasci.petab.optimum import Optimum

__all__ = ["COARSE", "FINE", "FINEST", "ROUGH", "SCALES", "Care", "Problem"]

Floats = NDArray[np.float64]

SCALES: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "lin": (lambda x: x, lambda x: x),
    "log": (np.exp, np.log),
    "log10": (lambda x: 10.0**x, np.log10),
}


class Care(NamedTuple):
    """How a system is solved: what a step may err of a state, and how many a solver may try."""

    relative: float
    most: int = 1000


# to simulate; on the way to an optimum; and far from it, where a set of parameters that asks for more steps is no good
FINE, ROUGH, COARSE = Care(1e-8, 5000), Care(1e-6, 2000), Care(1e-4, 200)
# beside an edge at which a system explodes, where differences must be narrow and so hold many digits
FINEST = Care(1e-12, 20000)
# equations solved at once: of more at a time each costs more (`metasci.ode.few`)
_AT_ONCE = 1000


@dataclass(frozen=True)
class Problem:
    """A system and its measurements.

    Attributes
    ----------
    name : str
    system : System
    parameters : DataFrame
        Those to be estimated: scale, lower, upper, nominal (NaN where the file says none), by name.
    rows : DataFrame
        Measurements: task, time, condition and output (numbers from 1), measurement, and the observable's name.
    deviations : tuple of Expression
        σ of each output.
    scales : tuple of str
        On which each output's noise is normal: lin, log or log10.
    """

    name: str
    system: System
    parameters: pd.DataFrame
    rows: pd.DataFrame
    deviations: tuple[Expression, ...]
    scales: tuple[str, ...]
    _cache: dict[Care, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def nominal(self) -> dict[str, float]:
        """The file's own values, as a rule the published optimum."""
        return {str(name): float(value) for name, value in self.parameters["nominal"].items()}

    def simulate(self, parameters: Mapping[str, Any]) -> tuple[Floats, Floats]:
        """Predictions and standard deviations of every row, (parameter set, row) or (row,).

        Parameters
        ----------
        parameters : mapping of str to number or array
            By name, (parameter set,).
        """
        return self.simulated(parameters, FINE)

    def simulated(self, parameters: Mapping[str, Any], care: Care) -> tuple[Floats, Floats]:
        """The same, solved with some care."""
        if care not in self._cache:
            whole = replace(self.system, parameters=tuple(self.parameters.index))
            pairs = tuple(self.system.outputs)
            self._cache[care] = predictions(whole, (*pairs, *self.deviations), care.relative, care.most)
        values = {
            name: torch.as_tensor(parameters[name], dtype=torch.float64) for name in self.parameters.index
        }
        alone = all(value.ndim == 0 for value in values.values())
        tensors = {name: torch.atleast_1d(value)[:, None] for name, value in values.items()}
        count = len(self.system.outputs)
        time, condition, output = (
            torch.tensor(self.rows[c].to_numpy(float)) for c in ("time", "condition", "output")
        )
        inputs = {
            "time": time.repeat(2),
            "condition": condition.repeat(2),
            "output": torch.cat([output, output + count]),
        }
        sets, each = max(map(len, tensors.values())), max(1, _AT_ONCE // len(self.system.conditions))
        parts = []
        with torch.no_grad():
            for begin in range(0, sets, each):
                some = {n: v if len(v) == 1 else v[begin : begin + each] for n, v in tensors.items()}
                parts.append(self._cache[care](inputs, some))
        both = torch.cat(parts).numpy()
        predicted, deviation = both[:, : len(self.rows)], both[:, len(self.rows) :]
        return (predicted[0], deviation[0]) if alone else (predicted, deviation)

    def objective(self, parameters: Mapping[str, Any]) -> Any:
        """The negative logarithm of the likelihood, a number or (parameter set,)."""
        residual, deviation = self._residuals(parameters, FINE)
        return (0.5 * residual**2 + np.log(deviation)).sum(-1) + self.constant()

    def optimum(self, starts: int = 20, seed: int = 0, most: int = 200) -> Optimum:
        """The best of several searches from random starts within the bounds; see `metasci.petab.optimum`.

        Parameters
        ----------
        starts : int
            Each the best of a hundred draws, uniform between the bounds on the parameters' scales.
        seed : int
        most : int
            Steps of one search.
        """
        from metasci.petab.optimum import optimum_of

        return optimum_of(self, starts, seed, most)

    def _residuals(self, parameters: Mapping[str, Any], care: Care) -> tuple[Floats, Floats]:
        """Standardised residuals on the scale on which the noise is normal, and its deviations."""
        predicted, deviation = self.simulated(parameters, care)
        return self.off(predicted) / deviation, deviation

    def off(self, predicted: Floats) -> Floats:
        """Measurements less predictions on the scale on which the noise is normal."""
        measured = self.rows["measurement"].to_numpy(float)
        scale = np.array(self.scales)[self.rows["output"].to_numpy(int) - 1]
        with np.errstate(invalid="ignore", divide="ignore"):
            for name, change in (("log", np.log), ("log10", np.log10)):
                here = scale == name
                measured = np.where(here, change(np.where(here, measured, 1.0)), measured)
                predicted = np.where(here, change(np.where(here, predicted, 1.0)), predicted)
        return measured - predicted

    def constant(self) -> float:
        """What the objective has whatever the parameters are; densities of logarithms owe some to the measurements."""
        measured = self.rows["measurement"].to_numpy(float)
        scale = np.array(self.scales)[self.rows["output"].to_numpy(int) - 1]
        logs, tens = scale != "lin", scale == "log10"
        owed = float(np.log(measured[logs]).sum() + tens.sum() * math.log(math.log(10.0)))
        return owed + 0.5 * math.log(2.0 * math.pi) * len(self.rows)

    def bounds(self) -> tuple[Floats, Floats]:
        """Of every parameter, on its scale."""
        both = [
            [SCALES[str(row.scale)][1](getattr(row, side)) for row in self.parameters.itertuples()]
            for side in ("lower", "upper")
        ]
        return np.array(both[0], float), np.array(both[1], float)

    def physical(self, scaled: Floats) -> dict[str, Any]:
        """Values by name, of coordinates (..., parameter) on the parameters' scales."""
        return {
            str(name): SCALES[str(scale)][0](scaled[..., place])
            for place, (name, scale) in enumerate(self.parameters["scale"].items())
        }

    def scaled(self, name: str, value: Any) -> Any:
        """A parameter's coordinate on its scale."""
        return SCALES[str(self.parameters.loc[name, "scale"])][1](value)

    def standardised(self, scaled: Floats, care: Care) -> tuple[Floats, Floats]:
        """Residuals and the logarithms of their deviations, of coordinates (set, parameter) on the scales."""
        with np.errstate(invalid="ignore", divide="ignore"):
            residual, deviation = self._residuals(self.physical(scaled), care)
            return residual, np.log(deviation)

    @property
    def model(self) -> Model:
        """The system as a model: its parameters about the file's own values, its noise at them.

        Raises
        ------
        InputError
            If the noise is none that a model has.
        """
        return system_model(self.system, self.declared(), self._noise())

    @property
    def variability(self) -> dict[str, float]:
        """ω² of every parameter: those of the uniform distributions between the bounds."""
        return {each.name: each.spread**2 for each in self.declared()}

    @property
    def numbers(self) -> dict[str, Any]:
        """What `metasci.Prior.published` asks for beside the model."""
        about = "parameters are about the file's own values, as wide as between the file's bounds"
        return {
            "variability": self.variability,
            "noise": self._noise(),
            "source": f"the PEtab problem {self.name}",
            "remarks": [f"{about}; the noise is that of the file's own values."],
            "name": self.name,
        }

    @property
    def tasks(self) -> TaskSet:
        """The measurements, as tasks of `model`."""
        frame = self.rows.drop(columns="observable")
        return TaskSet.from_frame(
            frame, Card.from_model(self.model), f"measurements of {self.name}", self.model
        )

    def declared(self) -> list[Parameter]:
        """The system's parameters as those of an equation."""
        parameters = []
        for name in self.system.parameters:
            row = self.parameters.loc[name]
            positive = bool(row["scale"] != "lin")
            ends = float(row["lower"]), float(row["upper"])  # type: ignore[arg-type]
            if not (ends[0] < ends[1] and math.isfinite(ends[1] - ends[0])) or (positive and ends[0] <= 0.0):
                raise InputError(
                    f"PEtab problem '{self.name}', parameter '{name}': bounds from {ends[0]:g} to {ends[1]:g} on the "
                    f"scale '{row['scale']}' hold nothing that can be searched; give a lower and a greater upper one"
                    f"{', both above zero' if positive else ''}."
                )
            lower, upper = (math.log(end) if positive else end for end in ends)
            middle = math.exp(0.5 * (lower + upper)) if positive else 0.5 * (lower + upper)
            nominal = float(row["nominal"])  # type: ignore[arg-type]
            typical = middle if math.isnan(nominal) else nominal
            parameters.append(
                Parameter(
                    name, "1", float(typical), positive=positive, spread=(upper - lower) / math.sqrt(12.0)
                )
            )
        return parameters

    def _noise(self) -> Noise:
        values = self.nominal
        noises: list[Noise] = []
        for place, (formula, scale) in enumerate(zip(self.deviations, self.scales, strict=True), 1):
            taken = names_in(formula)
            if not taken <= set(self.parameters.index) - set(self.system.parameters):
                raise InputError(
                    f"'{self.name}': the noise of output {place} follows the system, which a prior of it does not take."
                )
            sd = float(compiled(formula)(values))
            log = LogNormal((sd * (math.log(10.0) if scale == "log10" else 1.0),))
            noises.append(Additive((sd,)) if scale == "lin" else log)
        return noises[0] if len(noises) == 1 else Several(by="output", noises=tuple(noises))
