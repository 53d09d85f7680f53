"""A card says what the columns of a table mean, where the data come from and what to mind.

It is a TOML file beside the data (`dataset.toml`), or is made from a model for a user's own file. The
same card travels inside a learned prior, so that a new file is read as the old ones were.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metasci.errors import InputError

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["ROLES", "UNKNOWN", "Card", "Column", "owning_up"]

ROLES = ("task", "input", "output", "covariate", "history", "event", "note")
UNKNOWN = "unknown"
"""The category of what was not told."""


def owning_up(name: str, simulated: bool) -> str:
    """A name that says that its data are simulated, once.

    Examples
    --------
    >>> owning_up("steel A", True), owning_up("simulated steel", True), owning_up("steel A", False)
    ('steel A (simulated)', 'simulated steel', 'steel A')
    """
    return f"{name} (simulated)" if simulated and "simulated" not in name.lower() else name


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    header : str
        As it stands in the file.
    name : str
        What it is called in the package.
    role : str
        One of `ROLES`: names the task; varies along its measurements; is measured; is constant
        within the task; is an amount given to it; is told of each such amount; is not used.
    unit : str
        ``"1"`` if dimensionless, empty if it is no quantity.
    description : str
        One line.
    at : str
        For a history: name of the input that dates the amounts. For what is told of each amount: the history,
        with whose name its own begins, as in ``dose_duration``.
    limit : float, optional
        Of the output: values at or below it are only known to lie below it.
    codes : mapping of str to float
        Numbers for the texts in a column of categories. Where one of them is `UNKNOWN`, an empty cell says so, and so
        does a table without the column.
    kind : str
        Of an input that is a chemical structure and no number: how it is written, ``"smiles"``, ``"formula"`` or
        ``"crystal"`` (see `metasci.materials.structures`). Its unit is ``"1"``.
    of : str
        Of a column that names the task: the structure that says it where the table has no such column, such as a
        formula its system of elements (see `metasci.materials.structures.family`).
    """

    header: str
    name: str
    role: str
    unit: str = ""
    description: str = ""
    at: str = ""
    limit: float | None = None
    codes: Mapping[str, float] = field(default_factory=dict)
    kind: str = ""
    of: str = ""

    @property
    def optional(self) -> bool:
        """Whether a table may lack the column."""
        return UNKNOWN in self.codes


@dataclass(frozen=True)
class Card:
    """What a table holds. The keys are those of `dataset.toml`; `task` holds headers.

    Of a `compilation`, rows without an output are skipped, and a task's rows may lie apart: neither is then a mistake.
    With `without_copies` a measurement that repeats another of its task to the digit, whatever its categories, is left
    out: it was taken over.
    With `events` the table is one of events, as NONMEM reads them: of NONMEM's names and of the model's covariates it
    says which header stands for each, with its unit, ``"WGT [kg]"``.

    Examples
    --------
    >>> card = Card("decay", columns=(Column("sample", "sample", "task"), Column("t", "time", "input", "h"),
    ...                               Column("y", "activity", "output", "Bq")), task=("sample",))
    >>> card.inputs, card.output.name, card.column("t").name
    (('time',), 'activity', 'time')
    >>> Card.from_dict(card.to_dict()) == card
    True
    """

    name: str
    title: str = ""
    description: str = ""
    source: str = ""
    licence: str = ""
    file: str | None = None
    external: str | None = None
    url: str | None = None
    sha256: str = ""
    tasks: int | None = None
    rows: int | None = None
    task: tuple[str, ...] = ()
    model: str = ""
    minimum_rows: int | None = None
    simulated: bool = False
    compilation: bool = False
    without_copies: bool = False
    traps: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    protocol: Mapping[str, Any] = field(default_factory=dict)
    events: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self)

    # what the columns are ------------------------------------------------------------------------

    def with_role(self, role: str) -> tuple[Column, ...]:
        """The columns of one role, in the order of the card."""
        return tuple(column for column in self.columns if column.role == role)

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return tuple(column.name for column in self.with_role("input"))

    @property
    def output(self) -> Column:
        """The column of what is measured."""
        return self.with_role("output")[0]

    @property
    def covariates(self) -> tuple[str, ...]:
        """Names of the covariates."""
        return tuple(column.name for column in self.with_role("covariate"))

    @property
    def histories(self) -> tuple[str, ...]:
        """Names of the amounts that are given at times."""
        return tuple(column.name for column in self.with_role("history"))

    def column(self, name_or_header: str) -> Column:
        """The column of that name, or else of that header.

        Raises
        ------
        InputError
            If there is none; the sentence lists those there are.
        """
        for key in ("name", "header"):
            for column in self.columns:
                if getattr(column, key) == name_or_header:
                    return column
        known = ", ".join(column.name for column in self.columns)
        raise InputError(f"the data '{self.name}' have no column '{name_or_header}'; known are {known}.")

    def event_columns(self, history: str) -> tuple[Column, ...]:
        """What is told of each amount of a history beside its time."""
        return tuple(column for column in self.with_role("event") if column.at == history)

    # to and fro ----------------------------------------------------------------------------------

    @classmethod
    def from_toml(cls, path: str | Path) -> Card:
        """Read a `dataset.toml`."""
        try:
            raw = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(f"there is no card '{path}'.") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"the card '{path}' cannot be read: {error}.") from None
        columns = raw.pop("columns", {})
        if not isinstance(columns, dict) or not all(isinstance(value, dict) for value in columns.values()):
            raise InputError(f"the card '{path}' must have one table [columns.X] for every column.")
        names = {header: value.get("name", header) for header, value in columns.items()}
        raw["columns"] = [
            {
                **value,
                "header": header,
                "name": names[header],
                "at": names.get(value.get("at"), value.get("at", "")),
                "of": names.get(value.get("of"), value.get("of", "")),
            }
            for header, value in columns.items()
        ]
        return cls.from_dict(raw, where=f"the card '{path}'")

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], where: str = "the card") -> Card:
        """The card of what `to_dict` gave."""
        values = dict(raw)
        _only_known(values, (item.name for item in fields(cls)), where)
        columns = values.pop("columns", ())
        for column in columns:
            _only_known(
                column, (item.name for item in fields(Column)), f"{where}, column {column.get('header')}"
            )
        for key in ("task", "traps"):
            values[key] = tuple(values.get(key, ()))
        try:
            return cls(columns=tuple(Column(**column) for column in columns), **values)
        except TypeError as error:  # a required key is absent
            raise InputError(f"{where} is incomplete: {error}.") from None

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, dicts, texts and numbers, ready for JSON; what is empty is left out."""
        values = {key: value for key, value in asdict(self).items() if value not in ("", None, (), {}, False)}
        for key in ("task", "traps", "columns"):
            if key in values:
                values[key] = list(values[key])
        for column in values.get("columns", ()):
            for key in ("limit", "codes", "kind", "of"):
                if column[key] in (None, {}, ""):
                    del column[key]
        return values

    @classmethod
    def from_model(cls, model: Model, covariates: Mapping[str, str] | None = None) -> Card:
        """The card of a user's file that has none: the columns that the model needs, in its units.

        Headers are then ``time [h]`` or in any other unit of the same dimension; a bare name will do for
        what is dimensionless.

        Parameters
        ----------
        model : Model
        covariates : mapping of str to str
            What is constant within a task, name to unit; may hold inputs of the model such as a dose.
        """
        constant = {**model.covariates, **(covariates or {})}
        columns = [Column("task", "task", "task", description="Name of the task")]

        def add(name: str, role: str, unit: str, at: str = "") -> None:
            header = name if unit in ("", "1") else f"{name} [{unit}]"
            columns.append(Column(header, name, role, unit or "1", at=at))

        for name, given in model.inputs.items():
            if name not in constant:
                add(name, "input", given.unit)
        for name, unit in constant.items():
            add(name, "covariate", unit)
        for name, history in model.histories.items():
            add(name, "history", history.unit, history.at)
            for key, told in history.columns.items():
                add(f"{name}_{key}", "event", told.unit, name)
        add(model.output.name, "output", model.output.unit)
        title = f"Data for {model.name}"
        return cls(model.name, title=title, task=("task",), model=model.name, columns=tuple(columns))


def _only_known(values: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    allowed = tuple(known)
    for key in values:
        if key not in allowed:
            raise InputError(f"{where} has the unknown key '{key}'; known are {', '.join(allowed)}.")


def _check(card: Card) -> None:
    """Refuse a card that contradicts itself."""
    where = f"the card of '{card.name}'"
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
        if column.kind and column.role != "input":
            raise InputError(f"{where} gives column '{column.header}' a kind, which belongs to inputs only.")
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
    if card.file and card.external:
        raise InputError(f"{where} has both `file` and `external`; give one.")
