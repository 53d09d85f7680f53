"""The columns of a file for a prior: what its model needs, what it may have, and what the prior was learned from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from metasci.data.cards import MEMBER_NAME, NAME, Column
from metasci.words import enumerated

if TYPE_CHECKING:
    from metasci.data.cards import Card
    from metasci.model import Model

__all__ = ["columns_of"]

_KINDS = {
    "smiles": "a SMILES",
    "formula": "a formula or a grade",
    "crystal": "a CIF file, or pymatgen's JSON",
}


def columns_of(
    model: Model,
    card: Card | None,
    training: dict[str, Any],
    levels: Mapping[str, Sequence[str]] | None = None,
) -> list[dict[str, Any]]:
    """The columns of a file for a model: what it needs, then what it may have.

    Parameters
    ----------
    model : Model
    card : Card, optional
        Its units are those that people write.
    training : dict
        Of a prior: its ``ranges`` say from where to where it was learned.
    levels : mapping, optional
        Of a prior: the groups that it knows of each level above the task.

    Returns
    -------
    list of dict
        ``column`` (the header), ``needed``, ``meaning``.

    Examples
    --------
    >>> from metasci.library import find
    >>> [each["column"] for each in columns_of(find("kinetics.crack_growth"), None, {})]
    ['cycles [Mcycle]', 'relative_length']
    """
    above = _above(levels or {})
    if model.histories or (card is not None and card.events):
        of_patient = [entry for entry in _covariates(model, card) if entry["column"] not in _headers(model)]
        return [*_of_events(model), *of_patient, *above]
    ranges = training.get("ranges", {})
    inputs = [
        {
            "column": _headed(name, each.unit, card),
            "needed": not _column(name, card).optional,
            "meaning": (
                _meaning(name, card)
                + _learned_range(name, ranges, each.unit, card)
                + _written(_column(name, card))
            ).strip(),
        }
        for name, each in model.inputs.items()
    ]
    classes = f": {_one_of(model.noise.codes)}" if model.noise.codes else ""
    output = {
        "column": _headed(model.output.name, model.output.unit, card),
        "needed": True,
        "meaning": ("what is measured" if not model.output.label else f"{model.output.label}, measured")
        + classes,
    }
    return [*inputs, output, *_covariates(model, card), *_beside(model, card), *above]


def _above(levels: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """What tasks have in common: without it a task is one of a group that nobody knows."""
    return [
        {
            "column": name,
            "needed": False,
            "meaning": f"what tasks have in common (learned from {enumerated(groups, most=5)})",
        }
        for name, groups in levels.items()
    ]


def _of_events(model: Model) -> list[dict[str, Any]]:
    """NONMEM's names, with units: every prior of patients reads them."""
    history = next(iter(model.histories.values()))
    time = model.inputs[history.at].unit
    columns = [
        ("ID", True, "who; left out for one patient"),
        (f"TIME [{time}]", True, "of the dose or the sample"),
        (f"AMT [{history.unit}]", True, "the dose; empty in rows of samples"),
        *(
            (
                f"{each.name if model.outputs else 'DV'} [{each.unit}]",
                True,
                "the measurement; empty in rows of doses",
            )
            for each in model.outputs or (model.output,)
        ),
    ]
    if "duration" in history.columns:
        columns.insert(3, (f"RATE [{history.unit}/{time}]", False, "of an infusion"))
    if len(history.ways) > 1:
        ways = ", ".join(f"{number} ({name})" for name, number in history.ways.items())
        columns.insert(3, ("CMT", False, f"where a dose goes: {ways}"))
    constant = [
        (f"{name} [{each.unit}]", True, "of the patient")
        for name, each in model.inputs.items()
        if name != history.at and not (model.outputs and name == "output")
    ]
    return [
        {"column": column.replace(" [1]", ""), "needed": needed, "meaning": meaning}
        for column, needed, meaning in (*columns, *constant)
    ]


def _headers(model: Model) -> set[str]:
    return {entry["column"] for entry in _of_events(model)}


def _covariates(model: Model, card: Card | None) -> list[dict[str, Any]]:
    """Known properties of a task: without them the prior is wider."""
    known = card.covariates if card is not None else tuple(model.covariates)
    return [
        {
            "column": _headed(name, model.covariates.get(name, "1"), card),
            "needed": False,
            "meaning": _meaning(name, card) or "covariate",
        }
        for name in known
        if name in model.covariates
    ]


def _headed(name: str, unit: str, card: Card | None) -> str:
    """A column's header with its unit, the card's where it has one: it is the one that people write."""
    symbol = _unit_of(name, unit, card)
    return f"{name} [{symbol}]" if symbol not in ("", "1") else name


def _unit_of(name: str, unit: str, card: Card | None) -> str:
    columns = {column.name: column for column in card.columns} if card is not None else {}
    return columns[name].unit if name in columns and columns[name].unit else unit


def _column(name: str, card: Card | None) -> Column:
    """The card's column, or one of which nothing more is said."""
    columns = {column.name: column for column in card.columns} if card is not None else {}
    return columns.get(name, Column(name, name, "input"))


def _meaning(name: str, card: Card | None) -> str:
    columns = {column.name: column for column in card.columns} if card is not None else {}
    return columns[name].description if name in columns else ""


def _written(column: Column) -> str:
    """What may stand in a column of texts."""
    if column.codes:
        return f" ({_one_of(column.codes)})"
    return f" ({_KINDS[column.kind]})" if column.kind in _KINDS else ""


def _beside(model: Model, card: Card | None) -> list[dict[str, Any]]:
    """What may be told of a member of a family beside that on which its property depends."""
    columns = [] if card is None else card.with_role("input")
    if not any(column.structural for column in columns):
        return []
    named = [] if any(NAME in (column.name, column.header) for column in columns) else [MEMBER_NAME]
    told = [column for column in columns if column.optional and column.name not in model.inputs]
    return [
        {"column": column.name, "needed": False, "meaning": column.description + _written(column)}
        for column in (*told, *named)
    ]


def _one_of(texts: Iterable[str]) -> str:
    return f"one of {enumerated(list(texts), most=12)}".replace(" and ", " or ")


def _learned_range(name: str, ranges: dict[str, list[float]], unit: str, card: Card | None) -> str:
    """Between which conditions the prior has learned, in the unit of the column's header."""
    if name not in ranges:
        return ""
    from metasci.units import convert

    shown = _unit_of(name, unit, card)
    low, high = (float(convert(end, unit, shown, name)) for end in ranges[name])
    return f" (learned from {low:.4g} to {high:.4g}{'' if shown == '1' else f' {shown}'})"
