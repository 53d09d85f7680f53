"""A described model of differential equations: its formulas as `metasci.patients.integration` takes a patient's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from metasci.expressions import compiled, names_in, run
from metasci.patients.description import Described, patient_of, program_of
from metasci.patients.entries import Entry
from metasci.patients.integration import Equations

__all__ = ["as_equations"]

_ABSOLUTE = 1e-10  # of amounts: of those that doses enter it is at least a share of the greatest dose


def as_equations(what: Described) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The function of a description with states, and the solution of its differential equation."""
    names = [name for name, _, _ in what.states]
    slopes = {name: compiled(slope) for name, slope, _ in what.states}
    after, taken = program_of(what.after), _taken(what) - {*names, "t"}
    constants = {name: value for name, value in what.constants.items() if name in taken}
    patient = patient_of(what)

    def own(parameters: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
        random = {name: parameters[name] for name in what.random}
        here, like = patient(random, known), 0.0 * sum(random.values())
        return {name: here[name] + like for name in taken - {*constants}}

    def values_of(x: Any, p: Any, time: Any) -> dict[str, Any]:
        here = {name: p[name] for name in taken if name not in constants}
        return {**constants, **here, **{name: x[name] for name in names}, "t": time}

    def slopes_of(time: Any, x: Any, p: Any) -> dict[str, Any]:
        known = values_of(x, p, time)
        return {name: slope(known) for name, slope in slopes.items()}

    def measured(value: Callable[[Mapping[str, Any]], Any]) -> Callable[[Any, Any], Any]:
        return lambda x, p: value(run(after, values_of(x, p, p.time)))

    def quantity(formula: Any) -> Callable[[Any], Any]:
        of = compiled(formula)
        return lambda p: of({**constants, **{name: p[name] for name in taken if name not in constants}})

    starts = {name: quantity(start) for name, _, start in what.states if start != 0.0}
    equations = Equations(
        states=tuple(names),
        slopes=slopes_of,
        initial=(lambda p: {name: start(p) for name, start in starts.items()}) if starts else None,
        entries=tuple(
            Entry(
                way.into,
                fraction=quantity(way.fraction),
                lag=None if way.lag == 0.0 else quantity(way.lag),
                duration=None if way.duration is None else quantity(way.duration),
                rate=None if way.rate is None else quantity(way.rate),
                compartment=way.compartment,
            )
            for way in what.entered
        ),
        outputs=tuple(measured(compiled(value)) for value in what.values),
        own=own,
        covariates=tuple(what.covariates),
        changing=what.changing,
        method="stiff" if what.stiff else "explicit",
        relative=1e-8,
        absolute=_ABSOLUTE,
    )

    def function(**values: Any) -> Any:
        return equations.predictions(values)

    return function, equations.solution


def _taken(what: Described) -> set[str]:
    """The names that the equations, ways in and outputs take."""
    of_states = [each for _, *both in what.states for each in both]
    of_ways = [formula for way in what.entered for formula in way.formulas]
    given: set[str] = set()
    taken = set().union(*(names_in(each) for each in (*of_states, *of_ways)))
    for name, formula in what.after:
        taken |= names_in(formula) - given
        given.add(name)
    return taken | set().union(*(names_in(value) - given for value in what.values))
