"""What a model declares beside its equation: inputs, histories of amounts, what is measured, what acts on a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metasci.unit_grammar import declared_unit

if TYPE_CHECKING:
    from metasci.model.model import Model

__all__ = ["EventColumn", "History", "Individual", "Input", "NumberedOutput", "Output", "Reference"]


@dataclass(frozen=True)
class Input:
    """A condition under which a measurement is made: its unit, and the range in which it makes sense.

    One that is `constant` is to be the same for all measurements of a task: a weight that changed would change what
    earlier doses have left. One that `simulates` is what a cheap model says of the output: a potential, a group
    contribution, an empirical formula. A prior of families then learns how far to believe it.
    """

    unit: str
    lower: float = -float("inf")
    upper: float = float("inf")
    constant: bool = False
    simulates: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", declared_unit(self.unit, "an input"))


@dataclass(frozen=True)
class EventColumn:
    """What else is told of each amount given, such as how long it took: its unit, and its value where nothing is
    said.
    """

    unit: str
    default: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", declared_unit(self.unit, "a column of a history"))


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
    flows : str
        The parameter that says at what rate an amount enters, if one does (RATE -1).
    baseline : bool
        Whether there is something to measure before the first amount.
    ways : mapping of str to int
        Names and numbers of what amounts may enter, where a column ``compartment`` of the history says which.
    course : str
        The input, and the column of the amounts, that numbers several courses of one task, such as the furnace cycles
        of several specimens. Amounts are then put in order of time, and no measurement may be of a course without.
    """

    unit: str
    at: str = "time"
    columns: Mapping[str, EventColumn] = field(default_factory=dict)
    lasts: str = ""
    flows: str = ""
    baseline: bool = False
    ways: Mapping[str, int] = field(default_factory=dict)
    course: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", declared_unit(self.unit, "a history"))


@dataclass(frozen=True)
class Output:
    """What is measured: name, unit, and a label for axes."""

    name: str
    unit: str = "1"
    label: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", declared_unit(self.unit, f"output '{self.name}'"))


@dataclass(frozen=True)
class NumberedOutput(Output):
    """One of several outputs; where an event table's CMT may name it, the state by that name and number."""

    state: str = ""
    compartment: int = 0


@dataclass(frozen=True)
class Individual:
    """What a task's parameters are once its own properties have acted on them, and what follows from them.

    Attributes
    ----------
    values : callable
        ``values(parameters, inputs)`` by name, on arrays that broadcast: first the parameters, then what follows.
    units : mapping of str to str
        In the same order.
    reference : str
        To whom the parameters of the model belong, such as ``"70 kg"``; empty where nothing acts on them.
    """

    values: Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]
    units: Mapping[str, str]
    reference: str = ""


@dataclass(frozen=True)
class Reference:
    """The temperature at which a law states its rates, and the same law stating them at another.

    Attributes
    ----------
    temperature, declared : float
        K; where rates are stated, and where they are stated unless data ask for another.
    moved : callable
        The model with its rates stated at a temperature (K), its parameters as they were declared.
    below : float
        K; the law has no meaning with a reference that is not below.
    """

    temperature: float
    declared: float
    moved: Callable[[float], Model]
    below: float = float("inf")
