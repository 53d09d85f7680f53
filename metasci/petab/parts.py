"""A problem that falls apart: conditions that share no parameter are problems of their own.

The likelihood of such a problem is a product, and its optimum that of each part: in a few parameters where there were
many, so that a search has less far to go and needs fewer derivatives.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from metasci.expressions import Expression, names_in
from metasci.petab.described import INITIAL, System
from metasci.petab.streamlined import streamlined

if TYPE_CHECKING:
    from metasci.petab.problem import Problem

__all__ = ["parts_of"]


def parts_of(problem: Problem) -> tuple[Problem, ...]:
    """The smallest problems that share no parameter and together are this one; parameters that none takes are left out.

    Parameters
    ----------
    problem : Problem
    """
    taken = {number: _parameters_of(problem, number) for number in problem.rows["condition"].unique()}
    groups: list[tuple[set[int], set[str]]] = []
    for number, names in taken.items():
        apart = [group for group in groups if not group[1] & names]
        joined = [group for group in groups if group[1] & names]
        numbers = {number}.union(*(group[0] for group in joined))
        groups = [*apart, (numbers, names.union(*(group[1] for group in joined)))]
    return tuple(_part(problem, sorted(numbers), names) for numbers, names in groups)


def _parameters_of(problem: Problem, number: int) -> set[str]:
    """The parameters that measurements under a condition depend on; what is multiplied by zero does not count."""
    system, own = problem.system, problem.system.conditions[number - 1]
    outputs = set(problem.rows.loc[problem.rows["condition"] == number, "output"])
    formulas = [formulas[place - 1] for place in outputs for formulas in (system.outputs, problem.deviations)]
    formulas += [formula for _, formula in (*system.statements, *system.rules)]
    formulas += [slope for _, slope, _ in system.states]
    formulas += [start for name, _, start in system.states if INITIAL + name not in own]
    switches = {name: value for name, value in own.items() if isinstance(value, float)}
    found = streamlined(formulas, switches, ())
    every = [*found.formulas, *(formula for _, formula in found.still)]
    names = set().union(*map(names_in, every)) - set(own)
    names |= set().union(*map(names_in, own.values()))
    return names & set(problem.parameters.index)


def _part(problem: Problem, numbers: list[int], names: set[str]) -> Problem:
    """The measurements under some conditions."""
    rows = problem.rows[problem.rows["condition"].isin(numbers)].reset_index(drop=True)
    outputs = sorted(rows["output"].unique())

    def kept(every: tuple[Expression, ...]) -> tuple[Expression, ...]:
        return tuple(every[place - 1] for place in outputs)

    # parameters of other parts are multiplied by zero: any number will do
    others = dict.fromkeys(set(problem.parameters.index) - names, 1.0)
    system: System = replace(
        problem.system,
        constants={**problem.system.constants, **others},
        parameters=tuple(name for name in problem.system.parameters if name in names),
        conditions=tuple(problem.system.conditions[number - 1] for number in numbers),
        outputs=kept(problem.system.outputs),
        labels=None,
    )
    return replace(
        problem,
        system=system,
        parameters=problem.parameters[problem.parameters.index.isin(names)],
        rows=rows.assign(
            condition=rows["condition"].map({number: place for place, number in enumerate(numbers, 1)}),
            output=rows["output"].map({number: place for place, number in enumerate(outputs, 1)}),
        ),
        deviations=kept(problem.deviations),
        scales=tuple(problem.scales[place - 1] for place in outputs),
        _cache={},
    )
