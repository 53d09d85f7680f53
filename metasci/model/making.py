"""Models of plain functions, and all that were made so in this process, by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metasci.errors import InputError
from metasci.model.declarations import History, Input, Output
from metasci.model.model import Model
from metasci.noise import Additive, Noise
from metasci.parameters import Parameter, ParameterSpace

if TYPE_CHECKING:
    from metasci.constraints import Collocation
    from metasci.ode import Solution

__all__ = ["equation", "made", "register"]

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
    after_doses: Model | None = None,
    collocation: Collocation | None = None,
    solution: Callable[[Mapping[str, Any], Mapping[str, Any]], Solution] | None = None,
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
        title = name or _title_of(function)
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
            solution=solution,
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


def _title_of(function: Callable[..., Any]) -> str:
    """Where a function stands and what it is called; what has no name, such as a partial function, is refused."""
    own, module = getattr(function, "__name__", ""), getattr(function, "__module__", None) or "mine"
    if not own:
        raise InputError('this equation has no name of its own: say `equation(..., name="mine.law")`.')
    return f"{module.removeprefix('metasci.').partition('.')[0]}.{own}"


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
