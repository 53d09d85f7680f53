"""Whether the rows of a table make sense: nothing missing, nothing impossible, tasks told apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metasci.data.cards import NAME, SOURCE, Card, Column
from metasci.elements import element_of
from metasci.errors import InputError
from metasci.unit_grammar import shown
from metasci.units import convert, same_dimension

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = [
    "Faults",
    "check_amounts",
    "check_codes",
    "check_contents",
    "check_density",
    "check_limits",
    "check_named_classes",
    "check_names",
    "check_outcomes",
    "check_rows",
    "check_tasks",
    "first_of_copies",
]

_LONGEST_NAME = 10_000  # characters; a longer name is text from a column of notes
_WHOLE = 100.5
"""Contents of a composition add up to no more than this: each is rounded."""
_DENSEST = 23.0  # kg/L; osmium has 22.6
# controls, halves of characters, and marks that turn the direction of what follows
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


class Rows(Protocol):
    """What rows are called, by their position."""

    def __len__(self) -> int: ...

    def __getitem__(self, at: int) -> Any: ...


@dataclass(frozen=True)
class Faults:
    """Makes the sentence of an error from a column's name and a row's position; cells are series or arrays."""

    where: str
    headers: Mapping[str, str]
    cells: Mapping[str, Any]
    rows: Rows
    kind: str = "row"
    written: Mapping[str, str] = field(default_factory=dict)
    """How cells of a column are written, by its name, where that is not plain."""

    def __call__(self, name: str, at: int, text: str) -> InputError:
        """The error; `at` counts rows from zero, the sentence uses the row's own name."""
        if name in self.written and text.endswith("is not a number"):
            text = f"{text}; {self.written[name]}"
        return InputError(
            f"{self.where}, column '{shown(self.headers[name])}', {self.kind} {shown(str(self.rows[at]))}: {text}."
        )

    def shown(self, name: str, at: int) -> str:
        """A cell as it was written."""
        return shown(str(np.asarray(self.cells[name])[at]).strip())


def _first(mask: NDArray[np.bool_]) -> int | None:
    where = np.flatnonzero(mask)
    return int(where[0]) if len(where) else None


def check_rows(
    card: Card,
    numbers: Mapping[str, NDArray[np.float64]],
    texts: Mapping[str, NDArray[Any]],
    fault: Faults,
    require_output: bool,
) -> NDArray[np.bool_]:
    """Which rows to keep: those that measure something or give something, with every input known.

    With histories, a row that does neither is passed over if it records a quantity that changes
    within the task (a note with a unit); otherwise it is an error. So is a row without a measurement in a table without
    histories, unless the card says that the table is a compilation.
    """
    output = card.output.name
    measured = ~np.isnan(numbers[output])
    kept = np.ones(len(measured), dtype=bool)
    if require_output:
        empty = ~measured
        for name in card.histories:
            empty &= np.isnan(numbers[name])
        if card.histories:
            recorded = np.zeros_like(empty)
            for column in card.with_role("note"):
                if column.unit and column.name in texts:
                    recorded |= texts[column.name] != ""
            kept = ~(empty & recorded)
            lacking = f"the row has neither {output} nor {' nor '.join(card.histories)}"
        else:
            lacking = f"{_nothing_in(card.output)}{_choices(card.output)}"
            if card.compilation:
                kept = measured.copy()
        at = _first(empty & kept)
        if at is not None:
            raise fault(output, at, lacking)
        if not measured.any():
            raise InputError(f"{fault.where}, column '{fault.headers[output]}': there is no measurement.")
    has_amount = {column.name: ~np.isnan(numbers[column.name]) for column in card.with_role("history")}
    condition = (
        measured | ~np.logical_or.reduce(list(has_amount.values())) if has_amount else np.ones_like(kept)
    )
    for name in card.inputs:
        needed = condition.copy()  # what is given needs only the input that dates it
        for column in card.with_role("history"):
            if column.at == name:
                needed |= has_amount[column.name]
        at = _first(kept & needed & np.isnan(numbers[name]))
        if at is not None:
            raise fault(name, at, f"{_nothing_in(card.column(name))}{_choices(card.column(name))}")
    return kept


def _nothing_in(column: Column) -> str:
    """What is wrong with a cell that says nothing."""
    return "the cell is empty" if column.kind or column.codes else "the cell is empty or not a number"


def _choices(column: Column) -> str:
    """What may be said in a column of categories."""
    return f"; say one of {', '.join(column.codes)}" if column.codes else ""


def first_of_copies(
    card: Card, labels: NDArray[Any], numbers: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.bool_]:
    """Which rows are no copy of an earlier one: of the same task, under the same conditions, with the same output."""
    conditions = [
        column.name
        for column in card.with_role("input")
        if not column.codes and column.kind not in (SOURCE, NAME)
    ]
    rows = pd.DataFrame({"task": labels, **{name: numbers[name] for name in (*conditions, card.output.name)}})
    return ~rows.duplicated().to_numpy()


def check_limits(
    card: Card,
    model: Model | None,
    numbers: Mapping[str, NDArray[np.float64]],
    units: Mapping[str, str],
    fault: Faults,
) -> None:
    """Refuse values outside of the model's limits, times before zero, temperatures below absolute zero.

    Limits are those of inputs; NaN passes. What the model leaves open is bounded by physics.
    """
    limits = dict(model.inputs) if model is not None else {}
    for name in dict.fromkeys((*card.inputs, *limits)):
        if name not in fault.headers:
            continue
        values, unit = numbers[name], units[name]
        lower = limits[name].lower if name in limits else -np.inf
        upper = limits[name].upper if name in limits else np.inf
        written = "" if unit == "1" else f" {unit}"
        is_time = name in card.inputs and same_dimension(unit, "s") and not np.isfinite(lower)
        is_temperature = same_dimension(unit, "K")
        refused = {
            "below absolute zero": convert(values, unit, "K") < -1e-9 if is_temperature else None,
            "before time zero": values < 0 if is_time else None,
            f"below the least {name} allowed, {lower:g}{written}": values < lower,
            f"above the greatest {name} allowed, {upper:g}{written}": values > upper,
        }
        for reason, mask in refused.items():
            if mask is not None and (at := _first(mask)) is not None:
                raise fault(name, at, f"{fault.shown(name, at)} lies {reason}")
    output = card.output.name
    if output in fault.headers and output in numbers:
        check_density(output, numbers[output], units[output], fault)


def check_density(name: str, values: NDArray[np.float64], unit: str, fault: Faults) -> None:
    """Refuse a concentration by mass above the density of any substance, or as far below zero.

    A little below zero is what an assay near its limit may say.
    """
    if not same_dimension(unit, "kg/L"):
        return
    if (at := _first(np.abs(convert(values, unit, "kg/L")) > _DENSEST)) is not None:
        below = ", and below zero" if values[at] < 0 else ""
        raise fault(
            name,
            at,
            f"{fault.shown(name, at)} {unit} is more than any substance weighs{below}; check the unit",
        )


def check_codes(card: Card, model: Model) -> None:
    """Refuse a card that numbers classes otherwise than the model does."""
    own, told = dict(model.noise.codes), dict(card.output.codes)
    if own and told and told != own:
        raise _codes_of(card, model, f"it numbers the classes otherwise than '{model.name}' does")


def check_named_classes(card: Card, model: Model | None, cells: Iterable[Any]) -> None:
    """Refuse a card that has no numbers for the classes which the output's cells name."""
    if model is None or card.output.codes or not model.noise.codes:
        return
    if named := next((text for cell in cells if (text := str(cell).strip()) in model.noise.codes), ""):
        raise _codes_of(
            card, model, f"its cells name classes such as '{shown(named)}', for which it has no number"
        )


def _codes_of(card: Card, model: Model, what: str) -> InputError:
    """The error of a card whose numbers of classes are not the model's."""
    classes = ", ".join(f"{key} = {value:g}" for key, value in model.noise.codes.items())
    return InputError(
        f"the card '{card.name}', column '{card.output.header}': {what}; give it `codes = {{ {classes} }}`."
    )


def check_outcomes(
    card: Card,
    model: Model | None,
    numbers: Mapping[str, NDArray[np.float64]],
    limited: NDArray[np.bool_],
    fault: Faults,
) -> None:
    """Refuse what is no outcome of the kind that the model declares, such as a yes or no of 2.

    Parameters
    ----------
    card : Card
    model : Model, optional
    numbers : mapping of str to ndarray, (row,)
    limited : ndarray of bool, (row,)
        Where the output only lies below, above or between numbers.
    fault : Faults
    """
    if model is None or model.noise.gaussian:
        return
    from metasci.outcomes.outcome import Outcome

    outcome, name = model.noise, card.output.name
    assert isinstance(outcome, Outcome)
    check_codes(card, model)
    rows = np.flatnonzero(~np.isnan(numbers[name]))
    every = {key: numbers[key] for key in model.inputs if key in numbers}
    if limited.any() and (at := _first(limited & ~np.asarray(outcome.may_be_limit(every)))) is not None:
        mixed = outcome.kind == "several kinds"
        kind, may = ("outcome of its kind", "measurements and times") if mixed else (outcome.kind, "times")
        raise fault(name, at, f"{fault.shown(name, at)} is no single {kind}; only {may} may be limits")
    inputs = {key: values[rows] for key, values in every.items()}
    if (place_and_reason := outcome.fault(numbers[name][rows], inputs)) is not None:
        at = int(rows[place_and_reason[0]])
        raise fault(name, at, f"{fault.shown(name, at)} {place_and_reason[1]}")


def check_contents(
    card: Card, numbers: Mapping[str, NDArray[np.float64]], units: Mapping[str, str], fault: Faults
) -> None:
    """Refuse contents of elements below 0 or above 100 %, and compositions of more than the whole."""
    total = np.zeros(len(fault.rows))
    last = ""
    for column in card.columns:
        name = column.name
        if name not in fault.headers or name not in numbers or not element_of(name):
            continue
        scale = "percent" if same_dimension(units[name], "percent") else "at%"
        if not same_dimension(units[name], scale):
            continue
        contents = convert(numbers[name], units[name], scale)
        if (at := _first(contents < 0)) is not None:
            raise fault(name, at, f"{fault.shown(name, at)} is negative, which no content can be")
        if (at := _first(contents > 100.0)) is not None:
            raise fault(name, at, f"{fault.shown(name, at)} is more than the whole")
        total += np.nan_to_num(contents)
        last = name
    if last and (at := _first(total > _WHOLE)) is not None:
        raise fault(last, at, f"the contents of the row add up to {total[at]:.4g} %, more than the whole")


def check_names(name: str, values: NDArray[Any], fault: Faults) -> None:
    """Refuse names and notes that cannot be printed."""
    for at, value in enumerate(values):
        if isinstance(value, str) and (_UNPRINTABLE.search(value) or len(value) > _LONGEST_NAME):
            why = (
                "is longer than a name"
                if len(value) > _LONGEST_NAME
                else "holds a control character; remove it"
            )
            raise fault(name, at, f"the cell {why}")


def check_amounts(card: Card, numbers: Mapping[str, NDArray[np.float64]], fault: Faults) -> None:
    """Refuse a dose below zero, and a temperature of a cycle that is not above absolute zero."""
    for name in card.histories:
        if same_dimension(card.column(name).unit, "K"):
            if (at := _first(numbers[name] <= 0)) is not None:
                raise fault(name, at, f"{fault.shown(name, at)} is not above absolute zero")
        elif (at := _first(numbers[name] < 0)) is not None:
            raise fault(name, at, f"{fault.shown(name, at)} is negative, which an amount given cannot be")


def check_tasks(
    card: Card, model: Model | None, table: pd.DataFrame, kept: NDArray[np.bool_], fault: Faults
) -> None:
    """Refuse two tasks under one name.

    They show in a covariate that disagrees between rows, or in a condition that is measured again
    where the task comes back after others. Rows of several tasks may take turns otherwise.
    """
    codes, labels = pd.factorize(table["task"].to_numpy())
    needed = set(model.inputs) if model is not None else set()
    for name in card.covariates:
        values = table[name].to_numpy()
        known = np.flatnonzero(~np.isnan(values))
        tasks_known, first = np.unique(codes[known], return_index=True)
        first_row = np.full(len(labels), -1)
        first_row[tasks_known] = known[first]
        if name in needed and (without := _first(first_row < 0)) is not None:
            at = int(np.flatnonzero(codes == without)[0])
            column = card.column(name)
            needs = f"and task '{labels[without]}' needs {name}"
            raise fault(name, at, f"{_nothing_in(column)}, {needs}{_choices(column)}")
        differs = known[values[known] != values[first_row[codes[known]]]]
        if len(differs):
            at = int(differs[0])
            before = int(first_row[codes[at]])
            raise InputError(
                f"{fault.where}, column '{fault.headers[name]}': {name} of task '{labels[codes[at]]}' is "
                f"{fault.shown(name, before)} in row {fault.rows[before]} but {fault.shown(name, at)} in row "
                f"{fault.rows[at]}: two tasks share one name, or a value is wrong."
            )
    block = np.cumsum(np.diff(codes, prepend=-1) != 0)
    if block[-1] == len(labels) or card.compilation:  # no task comes back, or that is no mistake
        return
    rows = pd.DataFrame({f"input_{name}": table[name].to_numpy() for name in card.inputs})
    rows["task"] = codes
    rows["measured"] = table[card.output.name].notna().to_numpy()
    rows["block"] = block
    rows["at"] = np.arange(len(rows))
    rows = rows[kept]
    condition = [name for name in rows.columns if name not in ("block", "at")]
    earliest = rows.groupby(condition, sort=False)[["block", "at"]].transform("min")
    again = _first((rows["block"] != earliest["block"]).to_numpy())
    if again is not None:
        at, before = int(rows["at"].iloc[again]), int(earliest["at"].iloc[again])
        naming = ("task", *(card.column(header).name for header in card.task))
        header = next(fault.headers[name] for name in naming if name in fault.headers)
        raise InputError(
            f"{fault.where}, column '{header}': task '{labels[codes[at]]}' comes back in row {fault.rows[at]} and "
            f"repeats the conditions of row {fault.rows[before]}; give every task a name of its own."
        )
