"""A model: an equation with named parameters, units, noise and physical constraints."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from metasci.errors import FAILURES, InputError, failure
from metasci.model.declarations import History, Individual, Input, NumberedOutput, Output, Reference
from metasci.noise import Additive, Noise
from metasci.parameters import Parameter, ParameterSpace
from metasci.quantities import in_unit, is_quantity

if TYPE_CHECKING:
    from metasci.constraints import Collocation
    from metasci.ode import Solution

__all__ = ["Model"]


@dataclass(frozen=True)
class Model:
    """A differentiable function of parameters and inputs, and what is known about it.

    Parameters
    ----------
    name : str
        Where it is found, ``"kinetics.tempering"``.
    function : callable
        ``function(*, inputs..., parameters...)`` on arrays that broadcast.
    inputs, histories : mapping
        What a measurement depends on, by name; a task's curve runs along the first input, unless that is constant. A
        history ``dose`` reaches the function as ``dose``, ``dose_time``
        and one array for each of its columns, with one trailing axis (event) more than the other inputs.
    output : Output
    parameters : ParameterSpace
    noise : Noise
    constraints : tuple
        Physical laws (`metasci.constraints`) that hold, or are to hold, for the output.
    collocation : metasci.constraints.Grid or QuasiRandom, optional
        Where the laws are checked and penalised beside the measured points.
    covariates : mapping of str to str
        Known properties of a task that may shift its parameters: name to unit.
    transforms : mapping of str to str
        Scale on which a covariate acts: ``"sqrt"``, ``"log"`` or ``"identity"``.
    joint : bool
        Whether the predictions of a task are computed together, along one trajectory, such as the solution of a
        differential equation. The parameters must then be the same for all measurements of a task.
    individual : Individual, optional
        Where properties of a task act inside of the function: what its own parameters then are.
    fixed : tuple of Parameter
        Quantities that are the same for every task, by their typical values (see `with_fixed`).
    after_doses : Model, optional
        The model of the same parameters that takes any doses at their times, if this one does not: event tables are
        read for that one.
    outputs : tuple of NumberedOutput
        Where several things are measured: what they are, numbered from 1 by the input ``output``.
    solution : callable, optional
        Of a model that solves a differential equation: of its inputs and parameters, as `function` takes them, the
        `metasci.ode.Solution` behind its predictions, whose error calibrations report.
    reference : Reference, optional
        Of a law with thermally activated rates: the temperature at which it states them (see `at_reference`).
    discrepancy_inputs : callable, optional
        From the inputs to the coordinates in which what the equation leaves out is taken to vary smoothly, such as the
        logarithm of time; by default the inputs themselves.
    recipe : mapping, optional
        Of a model that is described by data, such as an imported one: plain numbers and text from which it can be made
        again (`metasci.learned.recipes`). Priors of it carry the recipe in their files.

    Examples
    --------
    >>> import numpy as np
    >>> from metasci.model import equation
    >>> @equation(inputs={"time": "h"}, output=("fraction", "1"),
    ...           parameters=[Parameter("rate", "1/h", typical=0.1, positive=True)])
    ... def decay(time, *, rate):
    ...     "Exponential decay."
    ...     from metasci.math import exp
    ...     return exp(-rate * time)
    >>> decay({"time": np.array([0.0, 10.0])}, {"rate": 0.1}).round(3).tolist()
    [1.0, 0.368]
    """

    name: str
    function: Callable[..., Any]
    inputs: Mapping[str, Input]
    output: Output
    parameters: ParameterSpace
    noise: Noise = field(default_factory=Additive)
    constraints: tuple[Any, ...] = ()
    histories: Mapping[str, History] = field(default_factory=dict)
    covariates: Mapping[str, str] = field(default_factory=dict)
    transforms: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    joint: bool = False
    after_doses: Model | None = None
    collocation: Collocation | None = None
    individual: Individual | None = None
    fixed: tuple[Parameter, ...] = ()
    outputs: tuple[NumberedOutput, ...] = ()
    solution: Callable[[Mapping[str, Any], Mapping[str, Any]], Solution] | None = None
    reference: Reference | None = None
    discrepancy_inputs: Callable[[Mapping[str, Any]], Sequence[Any]] | None = None
    recipe: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.noise.predictors > 1 and (self.joint or self.constraints):
            why = "computes the predictions of a task together" if self.joint else "states physical laws"
            raise InputError(
                f"'{self.name}' {why}, and its {type(self.noise).__name__} outcomes have several predictors of each "
                "measurement, for which that is not there; leave one of the two out."
            )

    def __call__(self, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        """Prediction in the output's unit, from inputs and physical parameters in the model's units, or quantities.

        Raises
        ------
        InputError
            If the equation fails; the sentence names it and its line.
        """
        if any(is_quantity(value) for value in (*inputs.values(), *parameters.values())):
            inputs, parameters = self._plain(inputs), self._plain(parameters)
        try:
            prediction = self.function(**inputs, **parameters)
        except InputError:
            raise
        except FAILURES as error:
            raise InputError(
                f"equation '{self.name}': {failure(self.function, error)}; it gets arrays (task, measurement) and is "
                "to compute with `metasci.math` and operators, number by number."
            ) from error
        if prediction is None:
            raise InputError(f"equation '{self.name}': it returns nothing; end it with `return`.")
        return prediction

    def _plain(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Numbers in the model's units, of quantities and numbers."""
        units = {parameter.name: parameter.unit for parameter in self.parameters}
        units |= {name: wanted.unit for name, wanted in self.inputs.items()}
        for name, history in self.histories.items():
            units |= {name: history.unit, f"{name}_time": self.inputs[history.at].unit}
            units |= {f"{name}_{key}": column.unit for key, column in history.columns.items()}
        return {name: in_unit(value, units.get(name, "1"), name) for name, value in values.items()}

    def _repr_html_(self) -> str:
        from metasci.model.notebook import model_html

        return model_html(self)

    def at(self, coordinates: Any, inputs: Mapping[str, Any]) -> Any:
        """Prediction from unconstrained coordinates of shape (..., parameter)."""
        return self(inputs, self.parameters.to_physical(coordinates))

    @property
    def input_names(self) -> tuple[str, ...]:
        """Every array the function takes: the inputs, then each history with its times and other columns."""
        return (*self.inputs, *self.event_names)

    @property
    def event_names(self) -> tuple[str, ...]:
        """The arrays of histories: amounts, their times, their other columns."""
        return tuple(
            name
            for key, history in self.histories.items()
            for name in (key, f"{key}_time", *(f"{key}_{column}" for column in history.columns))
        )

    @property
    def first_output(self) -> Output:
        """What is measured, or the first of several things."""
        return self.outputs[0] if self.outputs else self.output

    def with_noise(self, noise: Noise) -> Model:
        """The same model under another noise."""
        return replace(self, noise=noise)

    def at_reference(self, temperature: float) -> Model:
        """The same law with its rates stated at another temperature; typical values are then taken to be those there.

        Parameters
        ----------
        temperature : float
            K.

        Raises
        ------
        InputError
            If the model states no rates at a reference temperature, or not at this one.

        Examples
        --------
        >>> from metasci.library import find
        >>> find("kinetics.avrami").at_reference(1600.0).reference.temperature
        1600.0
        """
        own = self.reference
        if own is None:
            raise InputError(
                f"'{self.name}' states no rates at a reference temperature that could be chosen."
            )
        if temperature == own.temperature:
            return self
        if not 0.0 < temperature < own.below:
            most = "" if own.below == float("inf") else f" and below {own.below:g} K"
            raise InputError(
                f"'{self.name}': a reference temperature of {temperature:g} K will not do; give one above 0 K{most}."
            )
        new = own.moved(temperature)
        worded = zip(self.parameters, new.parameters, strict=True)
        return replace(
            self,
            function=new.function,
            parameters=ParameterSpace(
                tuple(replace(p, description=other.description) for p, other in worded)
            ),
            description=new.description,
            individual=new.individual,
            reference=new.reference,
        )

    def with_fixed(self, values: Mapping[str, float]) -> Model:
        """The same model with some parameters held at a value, which no task differs from.

        Parameters
        ----------
        values : mapping of str to float
            In the parameters' units.

        Raises
        ------
        InputError
            If there is no such parameter, a value is not allowed, or no parameter is left.

        Examples
        --------
        >>> from metasci.library import find
        >>> model = find("patients.two_compartment").with_fixed({"exchange_clearance": 6.5})
        >>> model.parameters.names
        ('clearance', 'central_volume', 'peripheral_volume')
        """
        if odd := [name for name in values if name not in self.parameters.names]:
            known = ", ".join(self.parameters.names)
            raise InputError(f"'{self.name}' has no parameter '{odd[0]}' to hold; they are {known}.")
        free = tuple(parameter for parameter in self.parameters if parameter.name not in values)
        if not free:
            raise InputError(f"'{self.name}': at least one parameter has to differ between tasks.")
        if not values:
            return self
        held = tuple(replace(p, typical=values[p.name]) for p in self.parameters if p.name in values)

        def whole(parameters: Mapping[str, Any]) -> dict[str, Any]:
            like = 0.0 * parameters[free[0].name]  # of the free parameters' kind and shape
            return {**parameters, **{p.name: p.typical + like for p in held}}

        def function(**arguments: Any) -> Any:
            return self.function(**whole(arguments))

        solution = self.solution
        if solution is not None:
            solve = solution
            solution = lambda inputs, parameters: solve(inputs, whole(parameters))  # noqa: E731
        individual = self.individual
        if individual is not None:
            inner = individual.values
            individual = replace(
                individual, values=lambda parameters, inputs: inner(whole(parameters), inputs)
            )
        reference = self.reference
        if reference is not None:
            free_law = self
            reference = replace(
                reference, moved=lambda temperature: free_law.at_reference(temperature).with_fixed(values)
            )
        return replace(
            self,
            function=function,
            parameters=ParameterSpace(free),
            individual=individual,
            fixed=(*self.fixed, *held),
            reference=reference,
            solution=solution,
        )
