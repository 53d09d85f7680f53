"""A patient's own differential equations: any states, any ways in, any outputs, written down in a few lines.

`ode_model` makes a `Model` of slopes (dx/dt), of the states that doses enter (each with a fraction, a lag, a duration
or a chain of transit compartments of its own), and of what is measured. Covariates act as in `compartment_model`, and
may change between records. The equations are solved by `metasci.ode`, whose error is reported; a task whose steps do
not meet the tolerance is predicted as NaN.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from metasci.constraints import NonNegative
from metasci.errors import InputError
from metasci.model import Individual, Input, Model, NumberedOutput, Output, register
from metasci.noise import Noise, Proportional, Several
from metasci.ode.methods import method_named
from metasci.parameters import Parameter, ParameterSpace
from metasci.patients.effects import Effect, Occasion, factors
from metasci.patients.entries import Entry, numbered
from metasci.patients.individual import reference_of
from metasci.patients.integration import OF_DOSES, Equations
from metasci.patients.named import Named
from metasci.patients.regimen import doses
from metasci.units import stated

__all__ = ["Entry", "Observed", "ode_model"]


@dataclass(frozen=True)
class Observed:
    """One of the quantities that are measured.

    Parameters
    ----------
    unit : str
    value : callable
        ``value(x, p)``, of states and parameters (and ``p.time``): ``lambda x, p: x.central / p.volume``.
    noise : Noise
    label : str
        For axes.
    state : str
        By whose name or number rows may name the output in CMT; the state of the output's own name by default.
    """

    unit: str
    value: Callable[[Any, Any], Any]
    noise: Noise = field(default_factory=lambda: Proportional((0.2,)))
    label: str = ""
    state: str = ""


def ode_model(
    *,
    name: str,
    states: Sequence[str],
    slopes: Callable[[Any, Any, Any], Mapping[str, Any]],
    outputs: Mapping[str, Observed],
    parameters: Mapping[str, str] | Sequence[Parameter],
    doses_into: Sequence[str | Entry] = (),
    initial: Callable[[Any], Mapping[str, Any]] | None = None,
    effects: Mapping[str, Sequence[Effect]] | None = None,
    changing: Sequence[str] = (),
    covariates: Mapping[str, str] | None = None,
    secondary: Mapping[str, tuple[str, Callable[[Any], Any]]] | None = None,
    amount: str = "mg",
    time: str = "h",
    constraints: Sequence[Any] = (NonNegative(),),
    method: str = "explicit",
    relative: float = 1e-8,
    absolute: float = 1e-12,
    description: str = "",
    listed: bool = True,
) -> Model:
    """Make a model of a patient of differential equations.

    Parameters
    ----------
    name : str
        Where it is found; it is registered under ``patients.NAME``.
    states : sequence of str
        In the order in which an event table numbers compartments, from 1.
    slopes : callable
        ``slopes(t, x, p)``: dx/dt of every state by name, from time (in its unit), states and parameters (and the
        covariates named below), which are attributes: ``x.central``, ``p.clearance``. It computes with operators and
        `metasci.math`, on many patients at once.
    outputs : mapping of str to Observed
        What is measured. Several are told apart by DVID, by a column for each, or by CMT.
    parameters : mapping of str to str, or sequence of Parameter
        A text such as ``"4 L/h"`` is the typical value of a parameter above zero.
    doses_into : sequence of str or Entry
        States that doses may enter; the first is that of doses that name none. Several entries of one number share
        each dose.
    initial : callable, optional
        ``initial(p)``: states before any dose, where they are not zero.
    effects, changing
        See `compartment_model`.
    covariates : mapping of str to str, optional
        Name to unit of covariates that slopes, entries or outputs take as they are.
    secondary : mapping of str to (str, callable), optional
        What else is told of a patient: its unit, and how it follows from the parameters, ``("h", lambda p: …)``.
    amount, time : str
        Units of doses and times.
    constraints : sequence
        Laws of the output.
    method : "explicit" or "stiff"
        The second for rates that differ by orders of magnitude, such as the binding of a drug to its target.
    relative, absolute : float
        Tolerance of every step; of states that doses enter the absolute one is at least 1e-10 of the greatest dose.
    description : str
    listed : bool
        Whether it is registered.

    Returns
    -------
    Model

    Raises
    ------
    InputError
        If a name or a method is unknown, a name is taken twice, a unit is none, or (when it is computed) a state has no
        slope.

    Examples
    --------
    >>> import numpy as np
    >>> model = ode_model(
    ...     name="two_routes", states=("depot", "central"), doses_into=("depot", "central"),
    ...     parameters={"absorption": "1 1/h", "clearance": "4 L/h", "volume": "70 L"},
    ...     slopes=lambda t, x, p: {
    ...         "depot": -p.absorption * x.depot,
    ...         "central": p.absorption * x.depot - p.clearance / p.volume * x.central,
    ...     },
    ...     outputs={"concentration": Observed("mg/L", lambda x, p: x.central / p.volume)},
    ...     listed=False,
    ... )
    >>> given = {"dose": [[100.0]], "dose_time": [[0.0]], "dose_duration": [[0.0]], "dose_interval": [[0.0]],
    ...          "dose_until": [[np.inf]], "dose_compartment": [[2.0]], "time": [0.0, 12.0]}
    >>> typical = {each.name: each.typical for each in model.parameters}
    >>> model({key: np.array(value) for key, value in given.items()}, typical).round(4).tolist()  # 100/70·e^(−48/70)
    [1.4286, 0.7196]
    """
    _check_kinds(states, slopes, outputs, absolute)
    method_named(method)
    several = {key: tuple(value) for key, value in (effects or {}).items()}
    space = _parameters(parameters, several)
    entries = numbered(doses_into, tuple(states))
    _check_names(states, outputs, space, covariates or {}, several)
    wanted = {
        key: unit_and_limits
        for each in several.values()
        for effect in each
        for key, unit_and_limits in effect.needs.items()
    }
    needs = {
        **{key: (unit, (-float("inf"), float("inf"))) for key, unit in (covariates or {}).items()},
        **wanted,
    }
    occasions = [e.covariate for each in several.values() for e in each if isinstance(e, Occasion)]
    changing = tuple(dict.fromkeys((*changing, *sorted(occasions))))
    if odd := sorted(set(changing) - set(needs)):
        raise InputError(f"'{odd[0]}' changes, but nothing takes it.")
    equations = Equations(
        tuple(states),
        slopes,
        initial,
        entries,
        tuple(outputs[key].value for key in outputs),
        lambda own, known: {**factors(several, own, known), **known},
        tuple(needs),
        changing,
        method,
        relative,
        absolute,
    )
    if changing and not entries:
        raise InputError(
            f"'{changing[0]}' changes, which is told at doses, but none are taken: give `doses_into`."
        )
    history = doses(
        amount,
        time,
        {key: needs[key][0] for key in changing},
        ways={entry.name: entry.compartment for entry in entries},
        lasts="duration" if any(entry.duration is not None for entry in entries) else "",
        flows="rate" if any(entry.rate is not None for entry in entries) else "",
        baseline=initial is not None,
    )
    inputs = {"time": Input(time, lower=0.0)}
    if len(outputs) > 1:
        inputs["output"] = Input("1", 1.0, float(len(outputs)))
    inputs |= {
        key: Input(unit, *within, constant=key not in changing) for key, (unit, within) in needs.items()
    }

    def function(**values: Any) -> Any:
        return equations.predictions(values)

    # as `collections.namedtuple` does: the model belongs to the module that asks for it
    function.__module__ = sys._getframe(1).f_globals.get("__name__", "__main__")
    model = Model(
        name=f"{'patients' if listed else 'published'}.{name}",
        function=function,
        inputs=inputs,
        output=_output(outputs),
        parameters=ParameterSpace(space),
        noise=_noise(outputs),
        constraints=tuple(constraints),
        histories={"dose": history} if entries else {},
        description=description,
        joint=True,
        individual=_individual(space, several, secondary or {}, tuple(covariates or {})),
        outputs=_numbered(outputs, tuple(states)) if len(outputs) > 1 else (),
        solution=equations.solution,
    )
    return register(model) if listed else model


def _parameters(
    declared: Mapping[str, str] | Sequence[Parameter], effects: Mapping[str, Sequence[Effect]]
) -> tuple[Parameter, ...]:
    """The parameters, and the numbers of effects that are learned."""
    parameters = []
    if isinstance(declared, Mapping):
        for name, text in declared.items():
            typical, unit = stated(text, f"parameter '{name}'", "4 L/h")
            parameters.append(Parameter(name, unit or "1", typical, positive=True))
    else:
        parameters = list(declared)
    return (
        *parameters,
        *(each for several in effects.values() for effect in several for each in effect.learned),
    )


def _check_kinds(
    states: Sequence[str], slopes: object, outputs: Mapping[str, Observed], absolute: object
) -> None:
    """That each part of a model is of its kind."""
    if isinstance(states, str):
        raise InputError(f"states: '{states}' would be read letter by letter; write ('{states}',).")
    if not callable(slopes):
        raise InputError(
            f"slopes: give a function of time, states and parameters, not a {type(slopes).__name__}."
        )
    for name, output in outputs.items():
        if not isinstance(output, Observed):
            raise InputError(
                f"outputs: '{name}' is a {type(output).__name__}; write Observed(unit, function of states and "
                "parameters)."
            )
    if not isinstance(absolute, Real) or not 0.0 <= float(absolute) < math.inf:
        raise InputError(f"absolute: {absolute!r} is no amount by which a state may err; say 1e-12 or so.")


def _check_names(
    states: Sequence[str],
    outputs: Mapping[str, Observed],
    parameters: Sequence[Parameter],
    covariates: Mapping[str, str],
    effects: Mapping[str, Sequence[Effect]],
) -> None:
    """Refuse what is named twice, and what cannot be a name of an attribute."""
    if not states or not outputs:
        raise InputError("a model of differential equations needs at least one state and one output.")
    names = [each.name for each in parameters]
    for what, declared in (
        ("state", states),
        ("output", outputs),
        ("parameter", names),
        ("covariate", covariates),
    ):
        if odd := [name for name in declared if not name.isidentifier() or name.startswith("_")]:
            raise InputError(
                f"{what} '{odd[0]}': a name is letters, digits and underscores, such as 'peripheral_2'."
            )
        if twice := sorted({name for name in declared if list(declared).count(name) > 1}):
            raise InputError(f"there are two {what}s '{twice[0]}'; give each a name of its own.")
    # a covariate may be called dose_mg, say; what tells of doses are these
    taken = {"time", "output", *OF_DOSES, *(name for name in names if name.startswith("dose"))} | (
        {*names} & {*covariates}
    )
    if odd := sorted(taken & {*names, *covariates}):
        raise InputError(f"'{odd[0]}' is taken; call the parameter or covariate otherwise.")
    if odd := sorted(set(effects) - set(names)):
        raise InputError(f"an effect is on '{odd[0]}', which is no parameter; they are {', '.join(names)}.")


def _output(outputs: Mapping[str, Observed]) -> Output:
    """The output; of several what they have in common."""
    if len(outputs) == 1:
        name, only = next(iter(outputs.items()))
        return Output(name, only.unit, only.label)
    units = {each.unit for each in outputs.values()}
    return Output(
        "value", units.pop() if len(units) == 1 else "1", ", ".join(key.replace("_", " ") for key in outputs)
    )


def _numbered(outputs: Mapping[str, Observed], states: tuple[str, ...]) -> tuple[NumberedOutput, ...]:
    """Several outputs, each with the state by which CMT may name it."""
    numbered_outputs = []
    for name, each in outputs.items():
        state = each.state or (name if name in states else "")
        if state and state not in states:
            raise InputError(f"output '{name}': '{state}' is no state; the states are {', '.join(states)}.")
        place = states.index(state) + 1 if state else 0
        numbered_outputs.append(NumberedOutput(name, each.unit, each.label, state, place))
    return tuple(numbered_outputs)


def _noise(outputs: Mapping[str, Observed]) -> Noise:
    """The noise, which differs from output to output."""
    each = tuple(observed.noise for observed in outputs.values())
    return each[0] if len(each) == 1 else Several(by="output", noises=each)


def _individual(
    parameters: Sequence[Parameter],
    effects: Mapping[str, Sequence[Effect]],
    secondary: Mapping[str, tuple[str, Callable[[Any], Any]]],
    covariates: Sequence[str],
) -> Individual:
    """What a patient's own parameters are, and what follows from them."""
    learned = {each.name for several in effects.values() for effect in several for each in effect.learned}
    names = [each.name for each in parameters if each.name not in learned]

    def values(coordinates: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        own = factors(effects, coordinates, inputs)
        p = Named({**own, **{key: inputs[key] for key in covariates}}, "parameter")
        return {**{name: own[name] for name in names}, **{key: of(p) for key, (_, of) in secondary.items()}}

    units = {each.name: each.unit for each in parameters if each.name in names}
    return Individual(
        values, {**units, **{key: unit for key, (unit, _) in secondary.items()}}, reference_of(effects)
    )
