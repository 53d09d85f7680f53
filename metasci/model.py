"""A model: an equation with named parameters, units, noise and physical constraints.

`equation` makes one from a plain function. The function broadcasts: its parameters carry the task as
their first dimension during adaptation, and nothing about tasks stands in the equation itself.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from metasci.errors import InputError
from metasci.noise import Additive, Noise
from metasci.parameters import Parameter, ParameterSpace

if TYPE_CHECKING:
    from metasci.constraints import Collocation

__all__ = ["EventColumn", "History", "Input", "Model", "Output", "equation", "made", "register"]


@dataclass(frozen=True)
class Input:
    """A condition under which a measurement is made: its unit, and the range in which it makes sense.

    One that is `constant` is to be the same for all measurements of a task: a weight that changed would change what
    earlier doses have left.
    """

    unit: str
    lower: float = -float("inf")
    upper: float = float("inf")
    constant: bool = False


@dataclass(frozen=True)
class EventColumn:
    """What else is told of each amount given, such as how long it took: its unit, and its value where nothing is
    said.
    """

    unit: str
    default: float = 0.0


@dataclass(frozen=True)
class History:
    """Amounts given at times, such as doses.

    Attributes
    ----------
    unit : str
        Of the amount.
    at : str
        The input that dates the amounts.
    columns : mapping of str to EventColumn
        What else is told of each amount; a column ``duration`` of a history ``dose`` is called ``dose_duration``.
    lasts : str
        The parameter that says how long an amount takes to enter, if one does (NONMEM's RATE -2).
    baseline : bool
        Whether there is something to measure before the first amount.
    course : str
        The input, and the column of the amounts, that numbers several courses of one task, such as the furnace cycles
        of several specimens. Amounts are then put in order of time, and no measurement may be of a course without.
    """

    unit: str
    at: str = "time"
    columns: Mapping[str, EventColumn] = field(default_factory=dict)
    lasts: str = ""
    baseline: bool = False
    course: str = ""


@dataclass(frozen=True)
class Output:
    """What is measured: name, unit, and a label for axes."""

    name: str
    unit: str = "1"
    label: str = ""


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
        What a measurement depends on, by name. A history ``dose`` reaches the function as ``dose``, ``dose_time``
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
    after_doses : str
        Name of the model of the same parameters that takes any doses at their times, if this one does not: event
        tables are read for that one.
    discrepancy_inputs : callable, optional
        From the inputs to the coordinates in which what the equation leaves out is taken to vary smoothly, such as the
        logarithm of time; by default the inputs themselves.

    Examples
    --------
    >>> import numpy as np
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
    after_doses: str = ""
    collocation: Collocation | None = None
    discrepancy_inputs: Callable[[Mapping[str, Any]], Sequence[Any]] | None = None

    def __call__(self, inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        """Prediction in the output's unit, from inputs and physical parameters in the model's units."""
        return self.function(**inputs, **parameters)

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

    def with_noise(self, noise: Noise) -> Model:
        """The same model under another noise."""
        return replace(self, noise=noise)


_MADE: dict[str, Model] = {}


def equation(
    *,
    inputs: Mapping[str, str | Input],
    output: tuple[str, str] | Output,
    parameters: Sequence[Parameter],
    constraints: Sequence[Any] = (),
    noise: Noise | None = None,
    histories: Mapping[str, History] | None = None,
    covariates: Mapping[str, str] | None = None,
    transforms: Mapping[str, str] | None = None,
    name: str | None = None,
    joint: bool = False,
    after_doses: str = "",
    collocation: Collocation | None = None,
    discrepancy_inputs: Callable[[Mapping[str, Any]], Sequence[Any]] | None = None,
) -> Callable[[Callable[..., Any]], Model]:
    """Make a model of a function written with `metasci.math`.

    The function takes its inputs by name and its parameters as keywords; its docstring is the
    model's description and says where the equation comes from.

    Raises
    ------
    InputError
        If the function's arguments are not exactly the declared inputs and parameters.
    """
    declared = {key: value if isinstance(value, Input) else Input(value) for key, value in inputs.items()}
    space = ParameterSpace(tuple(parameters))

    def make(function: Callable[..., Any]) -> Model:
        title = (
            name or f"{function.__module__.removeprefix('metasci.').partition('.')[0]}.{function.__name__}"
        )
        model = Model(
            name=title,
            function=function,
            inputs=declared,
            output=output if isinstance(output, Output) else Output(*output),
            parameters=space,
            noise=noise or Additive(),
            constraints=tuple(constraints),
            histories=dict(histories or {}),
            covariates=dict(covariates or {}),
            transforms=dict(transforms or {}),
            description=inspect.cleandoc(function.__doc__ or ""),
            joint=joint,
            after_doses=after_doses,
            collocation=collocation,
            discrepancy_inputs=discrepancy_inputs,
        )
        takes = set(inspect.signature(function).parameters)
        gives = {*model.input_names, *space.names}
        if takes != gives:
            odd = sorted(takes ^ gives)[0]
            where = "is not declared" if odd in takes else "is declared but not an argument"
            raise InputError(f"equation '{title}': '{odd}' {where} of the function.")
        return register(model)

    return make


def register(model: Model) -> Model:
    """Let a model be found by its name, and give it back.

    A later one of the same name takes its place, so that a notebook's cell can be run again; but none takes the name
    of one of the package's own.

    Raises
    ------
    InputError
        If the name is taken by one of the package's own models, or the other way round.
    """
    known = _MADE.get(model.name)
    if known is not None and _is_own(known) != _is_own(model):
        raise InputError(
            f"the name '{model.name}' is taken by a model that comes with metasci; give yours another one, "
            'such as `name="mine.' + model.name.rpartition(".")[2] + '"`.'
        )
    _MADE[model.name] = model
    return model


def made() -> dict[str, Model]:
    """Every model made in this process so far, by name."""
    return dict(_MADE)


def _is_own(model: Model) -> bool:
    return model.function.__module__.startswith("metasci.")
