"""A patient's model that is described by data: statements as a program has them, compartments, what is measured.

Importers write such descriptions (`metasci.patients.nonmem`); a prior's folder carries them as plain JSON, so that an
imported model is used again without the program that it came from, and without running any code of it. Random effects
η are the coordinates; what a statement computes is computed for every patient, and along the records of one where
covariates change.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from metasci.errors import InputError
from metasci.expressions import Expression, Statement, compiled, expression_of, names_in, run
from metasci.model import Individual, Input, Model, Output
from metasci.noise import Noise
from metasci.parameters import Parameter, ParameterSpace
from metasci.patients.disposition import modes
from metasci.patients.dynamics import Dynamics, events, stacked
from metasci.patients.individual import HALF_LIVES
from metasci.patients.regimen import DoseArrays, carried_along, doses
from metasci.patients.structure import Structure

__all__ = ["CENTRAL", "Described", "described_model", "described_of"]

KIND = "patient"
CENTRAL = "A_CENTRAL"
"""The amount in the central compartment, for what is computed of it."""

_HISTORY = ("duration", "interval", "until", "compartment")


@dataclass(frozen=True)
class Described:
    """What a model computes, in the order in which it does.

    Attributes
    ----------
    name : str
    random : mapping of str to str
        The random effects η; for those that are one quantity on several occasions its label, else empty.
    constants : mapping of str to float
        Fixed effects and whatever else has one value.
    covariates : mapping of str to str
        Columns that statements take, and their units.
    changing : tuple of str
        Those that may change from record to record.
    statements : tuple of Statement
        Of the patient, before the compartments ($PK).
    structure : Structure or None
        Compartments in closed form; `rates` then gives its parameters, amounts standing for concentrations.
    rates : mapping of str to Expression
    states : tuple of (name, slope, initial value)
        Instead, a differential equation; doses enter its first state, `rates` may give their ``bioavailability``.
    stiff : bool
        Whether its rates may differ by orders of magnitude.
    after : tuple of Statement
        Of every measurement, with the amounts ($ERROR).
    prediction : Expression
    own : mapping of str to str
        What is reported of the patient: names after the statements, and their units.
    time, amount : str
        Units.
    output : Output
    text : str
        The model as its file had it.
    """

    name: str
    random: Mapping[str, str]
    constants: Mapping[str, float]
    covariates: Mapping[str, str]
    statements: tuple[Statement, ...]
    after: tuple[Statement, ...]
    prediction: Expression
    output: Output
    changing: tuple[str, ...] = ()
    structure: Structure | None = None
    rates: Mapping[str, Expression] = field(default_factory=dict)
    states: tuple[tuple[str, Expression, Expression], ...] = ()
    stiff: bool = False
    own: Mapping[str, str] = field(default_factory=dict)
    time: str = "h"
    amount: str = "mg"
    text: str = ""

    def recipe(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return {"kind": KIND, **asdict(self)}


def described_of(recipe: Mapping[str, Any], where: str) -> Described:
    """The description that `Described.recipe` gave, checked.

    Raises
    ------
    InputError
        If it is none.
    """

    def several(key: str) -> tuple[Statement, ...]:
        return tuple((str(name), expression_of(raw, f"{where}, {name}")) for name, raw in recipe[key])

    values = dict(recipe)
    values.pop("kind")
    structure = values.pop("structure")
    return Described(
        **{
            **values,
            "constants": {str(key): float(value) for key, value in recipe["constants"].items()},
            "statements": several("statements"),
            "after": several("after"),
            "prediction": expression_of(recipe["prediction"], f"{where}, prediction"),
            "rates": {key: expression_of(raw, f"{where}, {key}") for key, raw in recipe["rates"].items()},
            "states": tuple(
                (str(name), expression_of(slope, where), expression_of(initial, where))
                for name, slope, initial in recipe["states"]
            ),
            "changing": tuple(recipe["changing"]),
            "structure": None if structure is None else Structure(**structure),
            "output": Output(**recipe["output"]),
        }
    )


def described_model(what: Described, noise: Noise) -> Model:
    """The model that a description describes.

    Raises
    ------
    InputError
        If it takes a name that nothing gives, or what changes cannot be followed.

    Examples
    --------
    >>> from metasci.noise import Proportional
    >>> one = Described(
    ...     name="mine", random={"ETA_CL": ""}, constants={"TVCL": 5.0, "V": 40.0}, covariates={"WT": "kg"},
    ...     statements=(("CL", ("mul", "TVCL", ("div", "WT", 70.0), ("exp", "ETA_CL"))),),
    ...     structure=Structure(1), rates={"clearance": ("div", "CL", "V")}, after=(("F", ("div", CENTRAL, "V")),),
    ...     prediction="F", output=Output("DV", "mg/L"), own={"CL": "L/h"},
    ... )
    >>> model = described_model(one, Proportional((0.2,)))
    >>> list(model.inputs), model.parameters.names
    (['time', 'WT'], ('ETA_CL',))
    """
    _check_names(what)
    if what.structure is None and what.changing:
        raise InputError(
            f"'{what.name}': {', '.join(what.changing)} changes within a patient, which a model of differential "
            "equations does not take; keep it the same for all records of a patient."
        )
    history = _history(what)
    function, solution = _closed(what) if what.structure is not None else _solved(what)
    function.__module__ = "metasci.patients.described"
    inputs = {name: Input(unit, constant=name not in what.changing) for name, unit in what.covariates.items()}
    return Model(
        name=f"imported.{what.name}",
        function=function,
        inputs={"time": Input(what.time), **inputs},
        output=what.output,
        parameters=ParameterSpace(
            tuple(Parameter(name, "1", 0.0, tied=label) for name, label in what.random.items())
        ),
        noise=noise,
        histories={"dose": history},
        description=what.text,
        joint=bool(what.changing) or what.structure is None,
        individual=_individual(what),
        solution=solution,
        recipe=what.recipe(),
    )


def _history(what: Described) -> Any:
    absorption = "none" if what.structure is None else what.structure.absorption
    return doses(
        what.amount,
        what.time,
        {name: what.covariates[name] for name in what.changing},
        infusions=absorption != "zero-order",
        routes=absorption == "first-order",
        lasts="absorption_duration" if absorption == "zero-order" else "",
        baseline=True,
    )


def _check_names(what: Described) -> None:
    """Refuse a formula that takes what nothing gives."""
    known = {*what.random, *what.constants, *what.covariates}
    for name, formula in what.statements:
        _check_known(what, name, formula, known)
        known.add(name)
    states = {name for name, _, _ in what.states}
    for name, slope, initial in what.states:
        _check_known(what, f"the slope of {name}", slope, known | states | {"t"})
        _check_known(what, f"the initial {name}", initial, known)
    for name, formula in what.rates.items():
        _check_known(what, name, formula, known)
    known |= states | {"t"} | ({CENTRAL} if what.structure is not None else set())
    for name, formula in what.after:
        _check_known(what, name, formula, known)
        known.add(name)
    _check_known(what, "the prediction", what.prediction, known)
    for name in what.own:
        _check_known(what, "own", name, known)


def _check_known(what: Described, name: str, formula: Expression, known: set[str]) -> None:
    if odd := sorted(names_in(formula) - known):
        raise InputError(
            f"'{what.name}': {name} takes '{odd[0]}', which is no column of the data and nothing that a statement "
            "before it gives."
        )


def _program(statements: Sequence[Statement]) -> list[tuple[str, Callable[[Mapping[str, Any]], Any]]]:
    return [(name, compiled(formula)) for name, formula in statements]


def _patient(what: Described) -> Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]:
    """Everything after the statements, of random effects and covariates."""
    program = _program(what.statements)
    return lambda random, known: run(program, {**what.constants, **random, **known})


def _closed(what: Described) -> tuple[Callable[..., Any], None]:
    """Compartments in closed form, or along the records where covariates change."""
    patient, after = _patient(what), _program(what.after)
    rates = {name: compiled(formula) for name, formula in what.rates.items()}
    prediction = compiled(what.prediction)
    structure = what.structure
    assert structure is not None
    columns = tuple(_history(what).columns)

    def parameters_of(computed: Mapping[str, Any], like: Any) -> dict[str, Any]:
        structural = {name: formula(computed) + like for name, formula in rates.items()}
        # of one unit of volume the concentration is the amount
        return {structure.volumes[0]: 1.0 + like, **structural}

    def function(**values: Any) -> Any:
        at = values.pop("time")
        event_columns = {name: values.pop(f"dose_{name}") for name in columns if name in _HISTORY}
        dose_arrays = DoseArrays.of(values.pop("dose"), values.pop("dose_time"), **event_columns)
        known = {name: values.pop(name) for name in what.covariates}
        at_events = {f"dose_{name}": values.pop(f"dose_{name}") for name in what.changing}
        like = 0.0 * sum(values.values())
        here = patient(values, known)
        if what.changing:
            tells, everywhere = carried_along(dose_arrays, known, at_events, what.changing)
            parameters_everywhere = parameters_of(patient(values, everywhere), like)
            central = structure.along(at, dose_arrays, tells, parameters_everywhere)
        else:
            central = structure.concentration(at, dose_arrays, parameters_of(here, like))
        return prediction(run(after, {**here, CENTRAL: central, "t": at})) + like

    return function, None


def _solved(what: Described) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """A differential equation."""
    patient, after, prediction = _patient(what), _program(what.after), compiled(what.prediction)
    names = [name for name, _, _ in what.states]
    slopes = [compiled(slope) for _, slope, _ in what.states]
    starts = [compiled(initial) for _, _, initial in what.states]
    fraction = compiled(what.rates.get("bioavailability", 1.0))
    moving = set().union(*(names_in(each) for _, *both in what.states for each in both))
    moving |= names_in(what.rates.get("bioavailability", 1.0))
    moving -= {*names, "t"}

    def rate(time: Any, state: Any, values: Mapping[str, Any]) -> Any:
        known = {**values, "t": time, **dict(zip(names, state.unbind(-1), strict=True))}
        blank = 0.0 * state[:, 0]
        return stacked(*(slope(known) + blank for slope in slopes))

    def filled(values: Mapping[str, Any], formula: Callable[[Mapping[str, Any]], Any]) -> Any:
        return formula(values) + 0.0 * values[_LIKE]

    dynamics = Dynamics(
        rate=rate,
        initial=lambda values: tuple(filled(values, start) for start in starts),
        entering=lambda values: filled(values, fraction),
        method="stiff" if what.stiff else "explicit",
        relative=1e-8,
        absolute=1e-10,
    )

    def prepared(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        random = {name: values[name] for name in what.random}
        known = {
            name: values[name][..., :1] if _wide(values[name]) else values[name] for name in what.covariates
        }
        here = patient(random, known)
        like = 0.0 * sum(random.values())
        columns = (values[f"dose_{name}"] for name in ("duration", "interval", "until"))
        inputs = events(values["time"], values["dose"], values["dose_time"], *columns)
        return inputs, {**{name: here[name] + like for name in moving}, _LIKE: like}, here

    def function(**values: Any) -> Any:
        inputs, parameters, here = prepared(values)
        amounts = dict(zip(names, dynamics.states(inputs, parameters), strict=True))
        predicted = prediction(run(after, {**here, **amounts, "t": values["time"]}))
        return predicted + 0.0 * amounts[names[0]]

    def solution(inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
        return dynamics.solution(*prepared({**inputs, **parameters})[:2])

    return function, solution


_LIKE = "like the others"
"""What stands among the parameters of an equation for their shape, should every one of them be a number."""


def _wide(value: Any) -> bool:
    return getattr(value, "ndim", 0) > 0


def _individual(what: Described) -> Individual:
    """What is reported of a patient, with the half-lives of compartments in closed form."""
    patient = _patient(what)
    rates = {name: compiled(formula) for name, formula in what.rates.items()}
    structure = what.structure
    lives = () if structure is None else HALF_LIVES[structure.compartments]

    def values(parameters: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        # random effects without variability are held, and come among the parameters all the same
        here = patient(parameters, inputs)
        like = 0.0 * sum(parameters[name] for name in what.random)
        own_values = {name: here[name] + like for name in what.own}
        if structure is None:
            return own_values
        own = {name: formula(here) + like for name, formula in rates.items()}
        peripheral = zip(
            (own[name] for name in structure.exchanges),
            (own[name] for name in structure.volumes[1:]),
            strict=True,
        )
        rate = modes(own["clearance"], 1.0 + like, *peripheral).rate
        return {**own_values, **{name: math.log(2.0) / rate[..., place] for place, name in enumerate(lives)}}

    return Individual(values, {**what.own, **dict.fromkeys(lives, what.time)})
