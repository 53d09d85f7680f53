"""Reading of a PEtab problem: its tables and its network become a system, measurements and a likelihood.

Source: Schmiester and others, PLoS Comput Biol 17 (2021) e1008646, the format, version 1.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metasci.errors import InputError
from metasci.expressions import Expression, bounded, names_in, replaced
from metasci.petab.described import INITIAL, System
from metasci.petab.formulas import parsed
from metasci.petab.problem import SCALES, Care, Problem
from metasci.petab.sbml import read_network
from metasci.petab.tables import Tables, read_tables

__all__ = ["read_problem"]

# what the method of high order must do with to be the one
_AT_EASE = Care(1e-8, 1000)


def read_problem(path: str | Path, *, task: str = "") -> Problem:
    """Read a PEtab problem (version 1, one model in SBML).

    Parameters
    ----------
    path : path
        Its YAML file.
    task : str
        A column of the measurements that says to which task each belongs, such as the patient; by default the problem
        is one task.

    Raises
    ------
    MissingExtra
        If libsbml is not installed.
    InputError
        If the problem is not sound, or says what is not taken: the sentence names file and place.
    """
    tables = read_tables(path)
    network = read_network(tables.model)
    parameters, fixed = _parameters(tables)
    conditions, order = _conditions(tables, network)
    rows, outputs, deviations, scales, labels = _measurements(tables, order, task)
    constants = {**network.constants, **fixed}
    estimated = list(parameters.index)
    for name in estimated:
        constants.pop(name, None)
    used = _used(network, conditions, outputs)
    system = System(
        name=tables.path.stem,
        parameters=tuple(name for name in estimated if name in used),
        constants=constants,
        statements=tuple(
            (name, formula) for name, formula in network.starts.items() if name not in estimated
        ),
        rules=network.rules,
        states=network.states,
        conditions=conditions,
        outputs=outputs,
        labels={"condition": list(order), "output": labels},
    )
    return _at_ease(Problem(tables.path.stem, system, parameters, rows, deviations, scales))


def _at_ease(problem: Problem) -> Problem:
    """The problem with the method that its equation needs: that of high order, if it gets through."""
    middle = {
        name: each.typical for name, each in zip(problem.system.parameters, problem.declared(), strict=True)
    }
    rest = {name: 1.0 for name in problem.parameters.index if name not in middle}
    predicted, _ = problem.simulated({**rest, **middle}, _AT_EASE)
    return (
        problem
        if np.isfinite(predicted).all()
        else replace(problem, system=replace(problem.system, stiff=True), _cache={})
    )


def _parameters(tables: Tables) -> tuple[pd.DataFrame, dict[str, float]]:
    """Those to be estimated, and the values of the others."""
    rows, fixed = {}, {}
    for row in tables.parameters.to_dict("records"):
        name, where = row["parameterId"], f"{tables.path}, parameter '{row['parameterId']}'"
        if row.get("objectivePriorType"):
            raise InputError(f"{where}: a prior in the objective ({row['objectivePriorType']}) is not taken.")
        if row["parameterScale"] not in SCALES:
            raise InputError(f"{where}: the scale '{row['parameterScale']}' is none of {', '.join(SCALES)}.")
        nominal = _number(row.get("nominalValue", ""), where)
        if row["estimate"] in ("0", "0.0"):
            if math.isnan(nominal):
                raise InputError(f"{where}: it is not estimated, and has no nominal value.")
            fixed[name] = nominal
            continue
        rows[name] = (
            row["parameterScale"],
            _number(row["lowerBound"], where),
            _number(row["upperBound"], where),
            nominal,
        )
    if not rows:
        raise InputError(f"{tables.path}: there is no parameter to estimate.")
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=["scale", "lower", "upper", "nominal"])
    return frame, fixed


def _number(text: str, where: str) -> float:
    try:
        return float(text) if text != "" else math.nan
    except ValueError:
        raise InputError(f"{where}: '{text}' is no number.") from None


def _value(text: str) -> Expression:
    """A number, or the name of a parameter."""
    try:
        return float(text)
    except ValueError:
        return text


def _conditions(tables: Tables, network: Any) -> tuple[tuple[dict[str, Expression], ...], dict[str, int]]:
    """What each condition gives another value, and their numbers."""
    states = {name: initial for name, _, initial in network.states}
    columns = [str(name) for name in tables.conditions if name not in ("conditionId", "conditionName")]
    ruled = {name for name, _ in network.rules}
    if odd := [name for name in columns if name in ruled]:
        raise InputError(f"{tables.path}: a condition changes '{odd[0]}', which a rule assigns.")
    conditions = []
    for row in tables.conditions.to_dict("records"):
        each: dict[str, Expression] = {}
        for name in columns:
            empty = row[name] == "" or row[name].lower() == "nan"
            if name in states:
                each[INITIAL + name] = states[name] if empty else _value(row[name])
            elif not empty:
                each[name] = _value(row[name])
        conditions.append(each)
    order = {str(name): place for place, name in enumerate(tables.conditions["conditionId"], 1)}
    return tuple(conditions), order


def _measurements(
    tables: Tables, order: Mapping[str, int], task: str
) -> tuple[pd.DataFrame, tuple[Expression, ...], tuple[Expression, ...], tuple[str, ...], list[str]]:
    """Rows, and for every kind of output its formula, deviation, scale and name."""
    observables = {row["observableId"]: row for row in tables.observables.to_dict("records")}
    kinds: dict[tuple[str, str, str], int] = {}
    rows = []
    if task and task not in tables.measurements:
        raise InputError(f"{tables.path}: the measurements have no column '{task}'.")
    for place, row in enumerate(tables.measurements.to_dict("records"), 2):
        where = f"{tables.path}, measurement in row {place}"
        if row.get("preequilibrationConditionId"):
            raise InputError(f"{where}: preequilibrationConditionId, a steady state before, is not taken.")
        if row["observableId"] not in observables:
            raise InputError(f"{where}: there is no observable '{row['observableId']}'.")
        if row["simulationConditionId"] not in order:
            raise InputError(f"{where}: there is no condition '{row['simulationConditionId']}'.")
        time = _number(row["time"], where)
        if not math.isfinite(time):
            raise InputError(f"{where}: a measurement at steady state (time {row['time']}) is not taken.")
        key = (row["observableId"], row.get("observableParameters", ""), row.get("noiseParameters", ""))
        kinds.setdefault(key, len(kinds) + 1)
        rows.append(
            (
                row[task] if task else tables.path.stem,
                time,
                order[row["simulationConditionId"]],
                kinds[key],
                _number(row["measurement"], where),
                row["observableId"],
            )
        )
    outputs, deviations, scales = [], [], []
    for name, of_output, of_noise in kinds:
        row, where = observables[name], f"{tables.path}, observable '{name}'"
        if (kind := row.get("noiseDistribution") or "normal") != "normal":
            raise InputError(f"{where}: the noise distribution '{kind}' is not taken.")
        scale = row.get("observableTransformation") or "lin"
        if scale not in SCALES:
            raise InputError(f"{where}: the transformation '{scale}' is none of {', '.join(SCALES)}.")
        placeholders = _placeholders("observable", name, of_output) | _placeholders("noise", name, of_noise)
        formula = replaced(parsed(row["observableFormula"], where), placeholders)
        deviation = replaced(parsed(row["noiseFormula"], where), placeholders)
        if left := [
            n
            for n in names_in(formula) | names_in(deviation)
            if re.match(r"(observable|noise)Parameter\d", n)
        ]:
            raise InputError(f"{where}: the measurements do not say {left[0]}.")
        outputs.append(formula)
        deviations.append(bounded(replaced(deviation, {name: formula}), where))
        scales.append(scale)
    frame = pd.DataFrame(rows, columns=["task", "time", "condition", "output", "measurement", "observable"])
    return frame, tuple(outputs), tuple(deviations), tuple(scales), [name for name, *_ in kinds]


def _placeholders(kind: str, name: str, text: str) -> dict[str, Expression]:
    """Values of ``noiseParameter1_NAME``, as a measurement says them."""
    values = [value.strip() for value in text.split(";")] if text else []
    return {f"{kind}Parameter{place}_{name}": _value(value) for place, value in enumerate(values, 1)}


def _used(
    network: Any, conditions: Sequence[Mapping[str, Expression]], outputs: Sequence[Expression]
) -> set[str]:
    """Every name that the system and its outputs take."""
    formulas = [e for _, *both in network.states for e in both] + [e for _, e in network.rules]
    formulas += [*outputs, *network.starts.values(), *(e for each in conditions for e in each.values())]
    return set().union(*(names_in(formula) for formula in formulas))
