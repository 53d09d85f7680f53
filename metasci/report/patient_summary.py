"""What is printed of a patient: the patient's own parameters beside the reference's, half-lives and exposure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from metasci.data.cards import owning_up
from metasci.fits.individual import individual_table, labelled, reference_label
from metasci.words import number, pretty_unit, words

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit
    from metasci.learned.equation import LearnedEquation

__all__ = [
    "exposure_of",
    "exposure_rows",
    "own_parameters",
    "patient_json",
    "patient_lines",
    "published_provenance",
]

_LONGEST = 18  # of a column's title


def exposure_of(calibration: EquationFit, level: float = 0.9) -> pd.DataFrame:
    """Exposure of one patient; empty where several were calibrated or the dosing interval is not known."""
    from metasci.dosing.exposure import exposure

    return exposure(calibration, level)


def patient_json(calibration: EquationFit, level: float = 0.9) -> dict[str, Any]:
    """The patient's own parameters and exposure as plain numbers and text; nothing for a model without patients.

    The calibrated parameters say of whom they are.
    """
    if calibration.prior.model.individual is None:
        return {}
    own, calibrated = individual_table(calibration, level), labelled(calibration, calibration.table(level))
    if len(calibration.tasks) == 1:
        own, calibrated = own.drop(columns="task"), calibrated.drop(columns="task")
    return {
        "parameters": _plain(calibrated),
        "reference": reference_label(calibration),
        "individual": _plain(own),
        "exposure": _plain(exposure_of(calibration, level)),
    }


def patient_lines(calibration: EquationFit, level: float = 0.9) -> list[str]:
    """The patients' parameters as a table to read, with exposure below."""
    whom = reference_label(calibration)
    own = individual_table(calibration, level)
    shrinkage = calibration.table(level).set_index(["task", "name"])["shrinkage"]
    width = max(len(name) for name in [*own["name"], *calibration.prior.model.parameters.names]) + 2
    title = whom if len(whom) <= _LONGEST else "reference"
    beside = max(len(title), 10)
    lines = []
    for task, rows in own.groupby("task", sort=False):
        count = int(calibration.batch.mask[list(calibration.batch.names).index(str(task))].sum())
        label = owning_up(str(task), calibration.tasks.card.simulated)
        lines.append(f"{label}: {calibration.prior.model.name}, {count} measurement{'s' * (count != 1)}")
        head = f"  {'':{width}}{'estimate':>10}  {f'{100 * level:.0f} % interval':>21}  {'prior':>10}"
        lines.append(f"{head}  {title:>{beside}}  shrinkage" if whom else f"{head}  shrinkage")
        for row in _rows(rows):
            interval = "as published" if row.fixed else f"{row.lower:.4g} to {row.upper:.4g}"
            left = shrinkage.get((task, row.name), np.nan)
            line = f"  {row.name:{width}}{row.estimate:>10.4g}  {interval:>21}  {row.prior:>10.4g}"
            if whom:
                line += f"  {'' if np.isnan(row.reference) else f'{row.reference:.4g}':>{beside}}"
            unit = "" if row.unit == "1" else f" {row.unit}"
            lines.append(f"{line}  {'' if np.isnan(left) else f'{left:.2f}':>9} {unit}".rstrip())
        # numbers that are learned beside the parameters, such as the strength of a covariate's effect
        others = calibration.table(level)
        for row in others[(others["task"] == task) & ~others["name"].isin(set(rows["name"]))].pipe(_rows):
            line = f"  {row.name:{width}}{row.estimate:>10.4g}  {f'{row.lower:.4g} to {row.upper:.4g}':>21}"
            blank = f"  {'':>{beside}}" if whom else ""
            unit = "" if row.unit == "1" else f" {row.unit}"
            lines.append(f"{line}  {row.prior:>10.4g}{blank}  {row.shrinkage:>9.2f} {unit}".rstrip())
        if changing := _told_last(calibration, str(task)):
            lines.append(f"  what changes within the patient is as at the last measurement: {changing}")
    if whom:
        lines.append(
            "  the estimates are the patient's own; those of the reference "
            f"({whom.removesuffix(' reference')}) stand beside"
        )
    lines += _exposure_lines(exposure_of(calibration, level), calibration.prior.model.inputs, level)
    return lines


def _told_last(calibration: EquationFit, task: str) -> str:
    """Of covariates and occasions that change within a task their last values, in words."""
    batch, inputs = calibration.batch, calibration.prior.model.inputs
    place = list(batch.names).index(task)
    measured = batch.mask[place]
    told = []
    for name in inputs:
        if name in ("time", "output") or name not in batch.inputs:
            continue
        values = batch.inputs[name].expand(batch.mask.shape)[place][measured]
        if len(values) and bool((values != values[-1]).any()):
            unit = "" if inputs[name].unit == "1" else f" {inputs[name].unit}"
            told.append(f"{words(name)} {float(values[-1]):.4g}{unit}")
    return ", ".join(told)


def _exposure_lines(exposure: pd.DataFrame, inputs: Any, level: float) -> list[str]:
    lines = []
    for which, rows in exposure.groupby("interval", sort=False):
        time = inputs["time"].unit
        first = rows.iloc[0]
        again = "" if which == "last" else ", if the last dose is given again"
        lines.append(
            f"  {which} dosing interval, {first.begins:.4g} to {first.ends:.4g} {time}{again} "
            f"({100 * level:.0f} % interval):"
        )
        lines += [
            f"    {row.quantity:8}{row.estimate:>10.4g}  {f'{row.lower:.4g} to {row.upper:.4g}':>21}  {row.unit}"
            for row in _rows(rows)
        ]
    return lines


def _rows(frame: pd.DataFrame) -> list[Any]:
    """Rows by their columns' names."""
    return list(frame.itertuples())


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows: Any = frame.astype(object).replace({np.nan: None}).to_dict("records")
    return list(rows)


def own_parameters(calibration: EquationFit, most: int) -> tuple[list[str], list[list[str]], str] | None:
    """Header, rows and a note of a table of the patients' own parameters; None for a model that knows no patients."""
    if calibration.prior.model.individual is None:
        return None
    whom = reference_label(calibration)
    own = individual_table(calibration)
    own = own[own["task"].isin(list(calibration.batch.names[:most]))]
    rows = []
    for row in _rows(own):
        interval = "fixed" if row.fixed else f"{_shown(row.lower)} to {_shown(row.upper)}"
        beside = [] if not whom else ["" if np.isnan(row.reference) else _shown(row.reference)]
        rows.append(
            [
                row.task,
                words(row.name),
                number(row.estimate, 4, trim=False),
                interval,
                _shown(row.prior),
                *beside,
                pretty_unit(row.unit),
            ]
        )
    header = ["task", "own parameter", "estimate", "90 % interval", "expected by covariates"]
    note = "The patient's own parameters, after covariates"
    note += f", beside those of the {whom}." if whom else "; no covariate acts inside of the model."
    return [*header, *([whom] if whom else []), "unit"], rows, note


def exposure_rows(calibration: EquationFit) -> list[list[str]]:
    """Rows of a table of exposure; none where it is not known."""
    exposure = exposure_of(calibration)
    time = calibration.prior.model.inputs["time"].unit if len(exposure) else ""
    return [
        [
            row.quantity,
            f"{row.interval}, {_shown(row.begins)} to {_shown(row.ends)} {time}",
            _shown(row.estimate),
            f"{_shown(row.lower)} to {_shown(row.upper)}",
            pretty_unit(row.unit),
        ]
        for row in _rows(exposure)
    ]


def published_provenance(prior: LearnedEquation) -> dict[str, str]:
    """Where the numbers of a published prior come from, by what it is."""
    record = prior.training["published"]
    within = [words(name) for name in prior.model.inputs if name != "time"]
    return {
        "Model": f"{prior.model.name}: {prior.model.description.partition(chr(10))[0]}",
        "Prior": f"{prior.name}, published numbers",
        "Source": record["source"],
        "Population": record["population"],
        "Covariates": ", ".join(within) or "none",
        "The same in everybody": ", ".join(words(parameter.name) for parameter in prior.model.fixed),
        "Remarks": " ".join(record["remarks"]),
    }


def _shown(value: float) -> str:
    return number(value, trim=False)
