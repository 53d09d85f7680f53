"""What a control stream measures: one quantity, or several that DVID or CMT tells apart in $ERROR."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metasci.errors import InputError
from metasci.expressions import COMPARED, Expression, Statement, bounded, decided, names_in, replaced

__all__ = ["CODES", "StreamOutput", "outputs_of"]

CODES = ("DVID", "CMT", "YTYPE", "FLAG", "TYPE", "DVTYPE")
"""Columns that say which output a measurement is of."""
_OF_DOSES = ("AMT", "RATE", "EVID", "MDV")
"""Columns that are zero on the row of a sample, which is where $ERROR says what is measured."""
_NONE = -999.0  # no number of an output: what a statement gives where none of the conditions holds


@dataclass(frozen=True)
class StreamOutput:
    """One output: its name, the statements that compute it, with ε, and which of their names it is."""

    name: str
    statements: tuple[Statement, ...]
    measured: str
    state: str = ""
    compartment: int = 0

    @property
    def value(self) -> Expression:
        """All of it in one formula."""
        values: dict[str, Expression] = {}
        for name, formula in self.statements:
            values[name] = bounded(replaced(formula, values), f"$ERROR, {name}")
        return values[self.measured]


def outputs_of(
    where: str, stream: Any, after: Sequence[Statement], numbers: Mapping[str, int], epsilons: Sequence[str]
) -> tuple[StreamOutput, ...]:
    """The outputs of a control stream, in the order of their numbers.

    Parameters
    ----------
    where : str
        To begin a sentence with.
    stream : pharmpy's model
    after : sequence of Statement
        Those of $ERROR.
    numbers : mapping of str to int
        Compartments.
    epsilons : sequence of str
        Residual errors: what has none where no condition holds (Y = F before IF (CMT.EQ.2) Y = …) is no measurement.

    Raises
    ------
    InputError
        If it cannot be told which measurements are of which output.
    """
    for column in _OF_DOSES:
        after = _given(after, column, 0.0)
    by_number = {int(number): str(name) for name, number in stream.dependent_variables.items()}
    given = {name for name, _ in after}
    if missing := [name for name in by_number.values() if name not in given]:
        raise InputError(f"{where}: there is no statement that gives {missing[0]} a value.")
    if len(by_number) > 1:
        _check_counted(where, "DVID", list(by_number))
        return tuple(StreamOutput(name, tuple(after), name) for _, name in sorted(by_number.items()))
    measured = next(iter(by_number.values()))
    columns = {column.name for column in stream.datainfo}
    code = next((each for each in CODES if each in columns and _asked(after, each)), "")
    if not code:
        return (StreamOutput("DV", tuple(after), measured),)
    if _asked(after, code, ("lt", "le", "gt", "ge")):
        raise InputError(
            f"{where}: outputs are told apart by {code}.EQ.1 and the like, not by which is greater."
        )
    told = sorted(_asked(after, code))
    cases = {number: _given(after, code, number) for number in told}
    rest = StreamOutput("", _given(after, code, _NONE), measured)
    if names_in(rest.value) & {*epsilons}:  # what is measured where no condition holds
        cases[_rest(where, code, told, rest.value, numbers)] = rest.statements
    if code != "CMT":
        _check_counted(where, code, list(cases))
    names = {number: name for name, number in numbers.items()} if code == "CMT" else {}
    if code == "CMT" and (odd := [number for number in cases if number not in names]):
        raise InputError(f"{where}: CMT {odd[0]:g} is no compartment.")
    return tuple(
        StreamOutput(
            names.get(int(number), f"{measured}_{int(number)}"),
            cases[number],
            measured,
            names.get(int(number), ""),
            int(number) if names else 0,
        )
        for number in sorted(cases)
    )


def _check_counted(where: str, code: str, numbers: Sequence[float]) -> None:
    if sorted(numbers) != list(range(1, len(numbers) + 1)):
        listed = ", ".join(f"{number:g}" for number in sorted(numbers))
        raise InputError(
            f"{where}: {code} tells outputs apart as {listed}; number them 1, 2, … in the control stream and the data."
        )


def _rest(
    where: str, code: str, told: Sequence[float], value: Expression, numbers: Mapping[str, int]
) -> float:
    """The number of the output that no condition names."""
    if code != "CMT":
        return next(float(number) for number in range(1, len(told) + 2) if number not in told)
    free = [
        number for name, number in numbers.items() if f"A_{name}" in names_in(value) and number not in told
    ]
    if len(free) != 1:
        raise InputError(
            f"{where}: which compartment is measured where CMT is none of "
            f"{', '.join(f'{number:g}' for number in told)}? Name it in a condition (IF (CMT.EQ.2) Y = …)."
        )
    return float(free[0])


def _asked(statements: Sequence[Statement], code: str, how: Collection[str] = tuple(COMPARED)) -> set[float]:
    """With which numbers a column is compared."""
    return {number for _, formula in statements for number in _comparisons(formula, code, how)}


def _comparisons(formula: Expression, code: str, how: Collection[str]) -> Iterator[float]:
    if not isinstance(formula, tuple):
        return
    kind, *parts = formula
    if kind in how and code in parts:
        yield from (part for part in parts if isinstance(part, float))
    for part in parts:
        yield from _comparisons(part, code, how)


def _given(statements: Sequence[Statement], code: str, number: float) -> tuple[Statement, ...]:
    """The statements where a column is a number, without the branches that are not taken then."""
    return tuple((name, decided(replaced(formula, {code: number}))) for name, formula in statements)
