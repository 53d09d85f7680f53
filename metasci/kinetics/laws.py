"""From one equation in time at a reference temperature to two models: at one temperature, and along a history."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from metasci.errors import InputError
from metasci.kinetics.clocks import Clock
from metasci.kinetics.histories import TEMPERATURE_HISTORY, equivalent_time
from metasci.math import log, maximum
from metasci.model import Input, Model, Output, Reference, equation, register
from metasci.parameters import Parameter, ParameterSpace
from metasci.units import convert, same_dimension, same_unit

__all__ = ["along", "kinetic_law"]

_LN_10 = 2.302585092994046
_HOLLOMON_JAFFE = 20.0  # with time in hours; near it for tempering, creep and coarsening of most alloys
_POINTS = ("temperature", "temperature_time", "temperature_cycle")
_ALONG: dict[str, Model] = {}  # of a law's name: its model along a temperature history


def kinetic_law(
    clock: Clock,
    *,
    output: Output | tuple[str, str],
    parameters: Sequence[Parameter],
    inputs: Mapping[str, str | Input] | None = None,
    time: str = "s",
    weighed: Mapping[str, Clock] | None = None,
    name: str | None = None,
    **declared: Any,
) -> Callable[[Callable[..., Any]], Model]:
    """Make a model of a law that is written in time at the clock's reference temperature.

    The function takes ``equivalent_time``, the other inputs, and the parameters that are not the clock's. What comes
    back is the model of time and temperature; `along` gives the one of time and a temperature history.

    Parameters
    ----------
    clock : Clock
        Turns time at a temperature into time at the reference temperature.
    output : Output or tuple
    parameters : sequence of Parameter
        Of the law and of the clock.
    inputs : mapping, optional
        Beside time and temperature.
    time : str
        Unit of time.
    weighed : mapping of str to Clock, optional
        Further times that the function takes, by name, each by a clock of its own.
    name : str, optional
        As of `metasci.equation`: that of the function by default.
    **declared
        Constraints, noise, covariates, transforms, as `metasci.equation` takes them. What the law leaves out varies
        with time, temperature and Hollomon and Jaffe's parameter, unless `discrepancy_inputs` says otherwise.

    Examples
    --------
    >>> from metasci.kinetics.clocks import Arrhenius
    >>> from metasci.math import exp
    >>> @kinetic_law(Arrhenius(400.0), output=("moisture", "1"), time="h", parameters=[
    ...     Parameter("rate", "1/h", 1.0, positive=True),
    ...     Parameter("activation_energy", "kJ/mol", 40.0, positive=True)])
    ... def drying(equivalent_time, *, rate):
    ...     "Drying of the first order."
    ...     return exp(-rate * equivalent_time)
    >>> tuple(drying.inputs), tuple(along(drying).inputs), tuple(along(drying).histories)
    (('time', 'temperature'), ('time', 'cycle'), ('temperature',))
    """
    extra = dict(inputs or {})
    clocks = {"equivalent_time": clock, **(weighed or {})}

    def make(law: Callable[..., Any]) -> Model:
        title = name or f"{law.__module__.removeprefix('metasci.').partition('.')[0]}.{law.__name__}"
        names = [parameter.name for parameter in parameters]
        _check_units(title, clocks, parameters, time)
        _check(law, title, clocks, names, extra)
        own = [each for each in names if each in inspect.signature(law).parameters]
        functions = partial(_functions, law, extra, own, names)
        at_one, over_time = functions(clocks)
        constraints = tuple(declared.get("constraints", ()))
        with_history = [c for c in constraints if getattr(c, "input", "time") != "temperature"]
        clocked = Input(time, lower=0.0)
        history = equation(
            inputs={"time": clocked, "cycle": Input("1"), **extra},
            output=output,
            parameters=parameters,
            histories={"temperature": TEMPERATURE_HISTORY},
            name=f"{title}_along",
            **{**declared, "constraints": with_history},
        )(over_time)
        isothermal = equation(
            inputs={"time": clocked, "temperature": Input("K", lower=0.0), **extra},
            output=output,
            parameters=parameters,
            name=title,
            **{"discrepancy_inputs": _time_and_temperature(time, tuple(extra)), **declared},
        )(at_one)
        if (stated := _stated(clocks.values())) is not None:
            below = _below(clocks.values(), parameters)
            isothermal = register(_movable(isothermal, stated, below, lambda by: functions(by)[0], clocks))
            history = register(_movable(history, stated, below, lambda by: functions(by)[1], clocks))
        _ALONG[title] = history
        return isothermal

    return make


def _functions(
    law: Callable[..., Any],
    extra: Mapping[str, Any],
    own: Sequence[str],
    names: Sequence[str],
    clocks: Mapping[str, Clock],
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The law at one temperature, and along a history of temperatures, by these clocks."""

    def isothermal(**values: Any) -> Any:
        def passed(by: Clock) -> Any:
            speed = by.speed(values["temperature"], **{key: values[key] for key in by.parameters})
            return values["time"] * speed

        return result({key: passed(by) for key, by in clocks.items()}, values)

    def history(**values: Any) -> Any:
        def passed(by: Clock) -> Any:
            return equivalent_time(
                by, **{key: values[key] for key in ("time", "cycle", *_POINTS, *by.parameters)}
            )

        return result({key: passed(by) for key, by in clocks.items()}, values)

    def result(passed: Mapping[str, Any], values: Mapping[str, Any]) -> Any:
        return law(**passed, **{key: values[key] for key in (*extra, *own)})

    return (
        _signed(isothermal, law, ["time", "temperature", *extra, *names]),
        _signed(history, law, ["time", "cycle", *_POINTS, *extra, *names]),
    )


def _stated(clocks: Iterable[Clock]) -> float | None:
    """The temperature at which all clocks of a law state its rates; None where one has none, or they differ."""
    temperatures = {getattr(clock, "reference", None) for clock in clocks}
    return temperatures.pop() if len(temperatures) == 1 else None


def _below(clocks: Iterable[Clock], parameters: Sequence[Parameter]) -> float:
    """The least value of any parameter that has to lie above the reference."""
    above = {getattr(clock, "above_reference", None) for clock in clocks}
    return min((p.limits[0] for p in parameters if p.name in above), default=float("inf"))


def _movable(
    model: Model,
    declared: float,
    below: float,
    function: Callable[[Mapping[str, Clock]], Callable[..., Any]],
    clocks: Mapping[str, Clock],
) -> Model:
    """The model that can state its rates at another temperature."""

    def moved(temperature: float) -> Model:
        by = {name: replace(clock, reference=temperature) for name, clock in clocks.items()}  # type: ignore[type-var]

        def told(text: str) -> str:
            for written in (f"{declared:g} K", f"{declared:.0f} K"):
                text = text.replace(written, f"{temperature:g} K")
            return text

        space = tuple(replace(p, description=told(p.description)) for p in model.parameters)
        return replace(
            model,
            function=function(by),
            parameters=ParameterSpace(space),
            description=told(model.description),
            reference=Reference(temperature, declared, either, below),
        )

    def either(temperature: float) -> Model:
        return movable if temperature == declared else moved(temperature)

    movable = replace(model, reference=Reference(declared, declared, either, below))
    return movable


def _time_and_temperature(time: str, others: tuple[str, ...]) -> Callable[[Mapping[str, Any]], list[Any]]:
    """What a thermally activated law leaves out varies with time and temperature as one, and with each of them.

    As one they are Hollomon and Jaffe's parameter T·(C + lg t); apart, lg t and T. Times below a second count as one.
    """
    hours = float(convert(1.0, time, "h"))
    least = float(convert(1.0, "s", "h"))

    def places(inputs: Mapping[str, Any]) -> list[Any]:
        passed = inputs["time"] * hours
        decades = log(maximum(passed, least + 0.0 * passed)) / _LN_10
        kelvin = inputs["temperature"]
        parameter = 1e-3 * kelvin * (_HOLLOMON_JAFFE + decades)
        return [parameter, decades, kelvin, *(inputs[name] for name in others)]

    return places


def along(model: Model) -> Model:
    """The same law along a history of temperatures, with the same parameters and noise.

    A table then has a column ``cycle``, rows of ``time`` and ``temperature`` (the thermocouple's), and rows with the
    measured output.

    Raises
    ------
    InputError
        If the model was not made by `kinetic_law`.

    Examples
    --------
    >>> from metasci.kinetics import tempering
    >>> along(tempering).name
    'kinetics.tempering_along'
    """
    if model.name not in _ALONG:
        raise InputError(f"'{model.name}' is not known along a temperature history.")
    history = _ALONG[model.name]
    if model.reference is not None:
        history = history.at_reference(model.reference.temperature)
    return history.with_noise(model.noise)


def _signed(
    function: Callable[..., Any], law: Callable[..., Any], names: Sequence[str]
) -> Callable[..., Any]:
    """The function under the law's name, with its documentation and these arguments."""
    function.__name__, function.__doc__, function.__module__ = law.__name__, law.__doc__, law.__module__
    keyword = inspect.Parameter.KEYWORD_ONLY
    function.__signature__ = inspect.Signature([inspect.Parameter(name, keyword) for name in names])  # type: ignore[attr-defined]
    return function


def _check_units(title: str, clocks: Mapping[str, Clock], parameters: Sequence[Parameter], time: str) -> None:
    """Refuse a time that is none, and parameters that a clock would take in another unit than is declared."""
    if not same_dimension(time, "s"):
        raise InputError(f"law '{title}': its time cannot be in '{time}'.")
    for clock in clocks.values():
        for parameter in parameters:
            needed = clock.parameters.get(parameter.name, parameter.unit)
            if not same_unit(parameter.unit, needed):
                raise InputError(
                    f"law '{title}': its clock takes '{parameter.name}' in '{needed}', not in '{parameter.unit}'."
                )


def _check(
    law: Callable[..., Any],
    title: str,
    clocks: Mapping[str, Clock],
    names: Sequence[str],
    inputs: Mapping[str, Any],
) -> None:
    """Refuse a law whose arguments and declared parameters do not fit."""
    of_clocks = {key for clock in clocks.values() for key in clock.parameters}
    for needed in sorted(of_clocks):
        if needed not in names:
            raise InputError(
                f"law '{title}': its clock needs the parameter '{needed}', which is not declared."
            )
    takes = list(inspect.signature(law).parameters)
    for needed in clocks:
        if needed not in takes:
            raise InputError(f"law '{title}': its function has to take '{needed}'.")
    allowed = {*clocks, *inputs, *names}
    for name in takes:
        if name not in allowed:
            raise InputError(f"law '{title}': '{name}' is not declared of the function.")
    for name in (*inputs, *names):
        if name not in takes and name not in of_clocks:
            raise InputError(f"law '{title}': '{name}' is declared but not an argument of the function.")
