"""Whether a card is one: values of the right types, names that are names, paths that stay in the card's folder."""

from __future__ import annotations

import math
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from metasci.data.simulators import simulator_named
from metasci.errors import InputError
from metasci.regular_files import bytes_of
from metasci.unit_grammar import factors_of, shown

__all__ = ["ROLES", "card_of_toml", "check_card", "check_fields", "file_inside"]

ROLES = ("task", "input", "output", "covariate", "history", "event", "note")
_MOST_BYTES = 2**20  # a card is written by hand; whatever is larger is another file
_MOST_COLUMNS = 1000  # items of a list or a table that is written by hand
_LONGEST = 20_000  # characters of one text: pages of notes fit, a file's content does not
_DEEPEST = 8  # tables in tables: no card needs more than a few
# a name may become that of a folder: it begins with a letter or digit, and no slash is in it
_NAME = re.compile(r"\w(?:[\w .()+,-]{0,98}[\w)+-])?")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


def card_of_toml(path: str | Path) -> dict[str, Any]:
    """What a `dataset.toml` says, its columns as a list with headers."""
    try:
        content = bytes_of(path, most=_MOST_BYTES)
    except InputError as error:
        if not Path(path).exists():
            raise InputError(f"there is no card '{path}'.") from None
        raise InputError(f"the card cannot be read: {error}") from None
    try:
        raw = tomllib.loads(content.decode("utf-8-sig"))
    except RecursionError:
        raise InputError(f"the card '{path}' cannot be read: it is nested too deep.") from None
    except (UnicodeDecodeError, ValueError) as error:  # of TOML, too
        reason = " ".join(str(error).split())[:120]
        raise InputError(f"the card '{path}' cannot be read: {reason}.") from None
    columns = raw.pop("columns", {})
    if not isinstance(columns, dict) or not all(isinstance(value, dict) for value in columns.values()):
        raise InputError(f"the card '{path}' must have one table [columns.X] for every column.")
    names = {header: value.get("name", header) for header, value in columns.items()}

    def named(header: Any) -> Any:
        return names.get(header, header) if isinstance(header, str) else header

    raw["columns"] = [
        {
            **value,
            "header": header,
            "name": names[header],
            "at": named(value.get("at", "")),
            "of": named(value.get("of", "")),
        }
        for header, value in columns.items()
    ]
    return raw


def check_fields(values: Mapping[str, Any], of: type, where: str) -> None:
    """Refuse keys that a dataclass does not have, and values of other types than it says.

    Raises
    ------
    InputError
        With the path to the value: ``the card 'x', protocol: is to be a table, not 5``.
    """
    known = [item.name for item in fields(of)]
    hints = get_type_hints(of)
    for key, value in values.items():
        if key not in known:
            raise InputError(
                f"{where} has the unknown key '{shown(str(key))}'; known are {', '.join(known)}."
            )
        _check_value(value, hints[key], f"{where}, {key}", 0)


def _check_value(value: Any, hint: Any, where: str, depth: int) -> None:
    """Refuse a value that is not what a type says."""
    origin, parts = get_origin(hint), get_args(hint)
    if depth > _DEEPEST:
        raise InputError(f"{where}: is nested too deep.")
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in parts:
            return
        hint = next(part for part in parts if part is not type(None))
        origin, parts = get_origin(hint), get_args(hint)
    if hint is Any:
        _check_plain(value, where, depth)
    elif origin is tuple:
        if not isinstance(value, list | tuple) or len(value) > _MOST_COLUMNS:
            raise _unlike(value, "a list of texts", where)
        for place, item in enumerate(value):
            _check_value(item, parts[0], f"{where}[{place}]", depth + 1)
    elif origin is not None:  # a mapping
        if not isinstance(value, Mapping) or len(value) > _MOST_COLUMNS:
            raise _unlike(value, "a table", where)
        for key, item in value.items():
            _check_value(key, str, where, depth + 1)
            _check_value(item, parts[1], f"{where}.{shown(key)}", depth + 1)
    elif hint is bool:
        if not isinstance(value, bool):
            raise _unlike(value, "true or false", where)
    elif hint in (int, float):
        kinds = int if hint is int else int | float
        if not isinstance(value, kinds) or isinstance(value, bool) or not math.isfinite(value):
            raise _unlike(value, "a whole number" if hint is int else "a number", where)
    elif not isinstance(value, str):
        raise _unlike(value, "a text", where)
    elif len(value) > _LONGEST or _CONTROL.search(value):
        why = "is too long" if len(value) > _LONGEST else "holds a control character"
        raise InputError(f"{where}: the text {why}.")


def _check_plain(value: Any, where: str, depth: int) -> None:
    """Refuse what is no text, number, truth, list or table, as in a protocol."""
    if depth > _DEEPEST:
        raise InputError(f"{where}: is nested too deep.")
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_plain(item, f"{where}.{shown(str(key))}", depth + 1)
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            _check_plain(item, f"{where}[{place}]", depth + 1)
    elif not isinstance(value, str | int | float | bool) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        raise _unlike(value, "a text, a number, a list or a table", where)


def _unlike(value: Any, wanted: str, where: str) -> InputError:
    return InputError(f"{where}: is to be {wanted}, not {shown(repr(value)[:80])}.")


def _check_unit(unit: str, where: str) -> None:
    """Refuse what is no unit by its looks; whether there is such a unit is asked where data come in it."""
    try:
        factors_of(unit, known=lambda name: True)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def file_inside(folder: Path, name: str, where: str) -> Path:
    """A card's file, which lies in the card's folder also after links are followed.

    Raises
    ------
    InputError
        If it leads out of the folder.
    """
    root = folder.resolve()
    try:
        path = (root / name).resolve()
    except (OSError, ValueError, RuntimeError):  # too long, a zero in it, links that lead in a circle
        raise InputError(f"{where} names the file '{shown(name)}', which is no file's name.") from None
    if not path.is_relative_to(root) or path == root:
        raise InputError(f"{where} names the file '{shown(name)}', which leads out of the card's folder.")
    return folder / name


def _check_simulator(card: Any, column: Any, where: str) -> None:
    """Refuse a simulator that is none, that no structure could be told to, or whose output is another quantity."""
    from metasci.units import same_dimension  # loads numpy, which a card without a simulator does not need

    place = f"{where}, column '{shown(column.header)}'"
    if column.role != "input" or column.kind or column.codes:
        raise InputError(f"{place} has a simulator, which belongs to inputs that are numbers only.")
    if column.computed:
        simulator = simulator_named(column.simulator, place)
        if not any(other.kind == simulator.kind for other in card.columns):
            raise InputError(
                f"{place} is to be computed by '{column.simulator}', which takes a {simulator.kind}; no column is of "
                "that kind."
            )
        if not same_dimension(column.unit, simulator.unit):
            raise InputError(
                f"{place} is in '{column.unit}', but '{column.simulator}' says '{simulator.unit}'."
            )


def check_card(card: Any) -> None:
    """Refuse a `metasci.data.cards.Card` that contradicts itself, or whose names are none."""
    where = f"the card of '{shown(str(card.name))}'"
    if not isinstance(card.name, str) or not _NAME.fullmatch(card.name):
        raise InputError(
            f"{where} has no name of letters, digits, '_' or '-' (blanks, dots, brackets within; 100 signs at most)."
        )
    headers = [column.header for column in card.columns]
    names = [column.name for column in card.columns]
    for column in card.columns:
        if column.role not in ROLES:
            raise InputError(
                f"{where} gives column '{column.header}' the role '{column.role}'; roles are {', '.join(ROLES)}."
            )
        if headers.count(column.header) > 1 or names.count(column.name) > 1:
            raise InputError(f"{where} names column '{column.header}' (or '{column.name}') twice.")
        if column.role in ("input", "output", "covariate", "history", "event") and not column.unit:
            raise InputError(
                f"{where} gives column '{column.header}' no unit (write \"1\" if dimensionless)."
            )
        if column.role in ("input", "output", "covariate", "history", "event"):
            _check_unit(column.unit, f"{where}, column '{shown(column.header)}'")
        if column.kind and column.role != "input":
            raise InputError(f"{where} gives column '{column.header}' a kind, which belongs to inputs only.")
        if column.largest_molecule and column.kind != "smiles":
            raise InputError(
                f"{where} has column '{column.header}' hold the largest molecule of each cell, but it holds no SMILES."
            )
        if column.simulator:
            _check_simulator(card, column, where)
        if column.of and (
            column.role != "task" or not any(c.kind for c in card.columns if c.name == column.of)
        ):
            raise InputError(
                f"{where} has column '{column.header}' be that `of` '{column.of}', which is no structure."
            )
        if column.role == "history" and column.at not in card.inputs:
            raise InputError(f"{where} has to say `at` which input column '{column.header}' is given.")
        if column.role == "event" and not (
            column.at in card.histories and column.name.startswith(f"{column.at}_")
        ):
            raise InputError(f"{where} has to say `at` which history column '{column.header}' belongs to.")
    outputs = card.with_role("output")
    if len(outputs) != 1:
        raise InputError(f"{where} needs exactly one column with the role 'output', not {len(outputs)}.")
    for header in card.task:
        if header not in headers:
            raise InputError(f"{where} names the task by '{header}', which is no column.")
    for level in card.levels:
        if not any(
            level in (column.header, column.name) and column.role in ("task", "note", "covariate")
            for column in card.columns
        ):
            raise InputError(
                f"{where} has the level '{shown(level)}', which is no column that is constant within a task; name one "
                "with the role 'task', 'note' or 'covariate'."
            )
    if card.file and card.external:
        raise InputError(f"{where} has both `file` and `external`; give one.")
