"""A patient's model as data: statements as a program has them, compartments, ways in, what is measured.

Importers write such descriptions (`metasci.patients.nonmem`); a prior's folder carries them as plain JSON, so that an
imported model is used again without the program that it came from, and without running any code of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from metasci.expressions import Expression, Statement, compiled, expression_of, run
from metasci.math import where
from metasci.model import History, Output
from metasci.patients.regimen import doses
from metasci.patients.structure import Structure

__all__ = [
    "CENTRAL",
    "HISTORY",
    "KIND",
    "Described",
    "Measured",
    "Way",
    "chosen",
    "described_of",
    "history_of",
    "patient_of",
    "program_of",
]

KIND = "patient"
CENTRAL = "A_CENTRAL"
"""The amount in the central compartment, for what is computed of it."""

HISTORY = ("duration", "interval", "until", "compartment", "modelled")
"""Columns that say how a dose was given."""


@dataclass(frozen=True)
class Way:
    """A compartment that doses enter.

    Attributes
    ----------
    into : str
        Its amount, a state.
    compartment : int
        Its number in event tables.
    fraction, lag : Expression
        What part of a dose enters, and how much later.
    duration, rate : Expression or None
        Over how long or at what rate, where the model says so.
    """

    into: str
    compartment: int
    fraction: Expression = 1.0
    lag: Expression = 0.0
    duration: Expression | None = None
    rate: Expression | None = None

    @property
    def formulas(self) -> tuple[Expression, ...]:
        """All that it takes."""
        several = (self.fraction, self.lag, self.duration, self.rate)
        return tuple(each for each in several if each is not None)


@dataclass(frozen=True)
class Measured:
    """One of several quantities that are measured: name, unit and value, and the compartment that CMT names it by."""

    name: str
    unit: str
    value: Expression
    state: str = ""
    compartment: int = 0


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
        Instead, a differential equation.
    ways : tuple of Way
        Where doses enter, the first where nothing is said; without, they enter the first state, and `rates` may give
        their ``bioavailability``. In closed form only durations and rates of it count.
    stiff : bool
        Whether its rates may differ by orders of magnitude.
    after : tuple of Statement
        Of every measurement, with the amounts ($ERROR).
    prediction : Expression
    measured : tuple of Measured
        Instead of a prediction, of several outputs.
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
    ways: tuple[Way, ...] = ()
    measured: tuple[Measured, ...] = ()
    stiff: bool = False
    own: Mapping[str, str] = field(default_factory=dict)
    time: str = "h"
    amount: str = "mg"
    text: str = ""

    @property
    def values(self) -> tuple[Expression, ...]:
        """What is measured, output by output."""
        return tuple(each.value for each in self.measured) or (self.prediction,)

    @property
    def entered(self) -> tuple[Way, ...]:
        """Where doses enter a differential equation."""
        if self.ways or not self.states:
            return self.ways
        return (Way(self.states[0][0], 1, self.rates.get("bioavailability", 1.0)),)

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
            "ways": tuple(_way_of(raw, where) for raw in recipe.get("ways", ())),
            "measured": tuple(
                Measured(**{**raw, "value": expression_of(raw["value"], f"{where}, {raw['name']}")})
                for raw in recipe.get("measured", ())
            ),
            "changing": tuple(recipe["changing"]),
            "structure": None if structure is None else Structure(**structure),
            "output": Output(**recipe["output"]),
        }
    )


def _way_of(raw: Mapping[str, Any], where: str) -> Way:
    formulas = {
        key: expression_of(raw[key], f"{where}, {key}")
        for key in ("fraction", "lag", "duration", "rate")
        if raw[key] is not None
    }
    return Way(str(raw["into"]), int(raw["compartment"]), **formulas)


def history_of(what: Described) -> History:
    """What is told of doses."""
    carried = {name: what.covariates[name] for name in what.changing}
    lasts = next((f"D{way.compartment}" for way in what.ways if way.duration is not None), "")
    flows = next((f"R{way.compartment}" for way in what.ways if way.rate is not None), "")
    asked = bool(lasts or flows)
    if what.structure is None:
        ways = {way.into.removeprefix("A_"): way.compartment for way in what.entered}
        return doses(
            what.amount, what.time, carried, ways=ways, lasts=lasts, flows=flows, asked=asked, baseline=True
        )
    absorption = what.structure.absorption
    if absorption != "zero-order":
        return doses(
            what.amount,
            what.time,
            carried,
            routes=absorption == "first-order",
            lasts=lasts,
            flows=flows,
            asked=asked,
            baseline=True,
        )
    return doses(
        what.amount,
        what.time,
        carried,
        infusions=False,
        lasts="absorption_duration",
        baseline=True,
    )


def program_of(statements: Sequence[Statement]) -> list[tuple[str, Callable[[Mapping[str, Any]], Any]]]:
    """Statements as functions, for `metasci.expressions.run`."""
    return [(name, compiled(formula)) for name, formula in statements]


def patient_of(what: Described) -> Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]:
    """Everything after the statements, of random effects and covariates."""
    program = program_of(what.statements)
    return lambda random, known: run(program, {**what.constants, **random, **known})


def chosen(each: Sequence[Any], output: Any) -> Any:
    """Of several outputs the one that each measurement is of, numbered from 1."""
    predicted = each[0]
    for place, other in enumerate(each[1:], 2):
        predicted = where(output == float(place), other, predicted)
    return predicted
