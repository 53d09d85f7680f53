"""A card says what the columns of a table mean, where the data come from and what to mind.

It is a TOML file beside the data (`dataset.toml`), or is made from a model for a user's own file. The
same card travels inside a learned prior, so that a new file is read as the old ones were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metasci.data.card_checks import ROLES, card_of_toml, check_card, check_fields
from metasci.errors import InputError
from metasci.unit_grammar import shown

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["GIVEN", "MEMBER_NAME", "NAME", "ROLES", "SOURCE", "UNKNOWN", "Card", "Column", "owning_up"]

UNKNOWN = "unknown"
SOURCE = "source"
NAME = "name"
"""The kind of an input that names who measured."""
GIVEN = "given"
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
        ``"crystal"`` (see `metasci.materials.structures`). Its unit is ``"1"``. Or `SOURCE`: a name of who measured,
        such as a laboratory, a heat or a publication. A table may lack that column, and cells be empty: what names no
        source comes from one. Or `NAME`: what a member is called, on which nothing depends.
    of : str
        Of a column that names the task: the structure that says it where the table has no such column, such as a
        formula its system of elements (see `metasci.materials.structures.family`).
    simulator : str
        Of an input that is what a cheap model says of the output, or of another quantity that describes the structure:
        which one (see `metasci.data.simulators`), and cells that are empty, or a column that is not there, are computed
        from the structure; or ``"given"``, and the table has to hold it.
    largest_molecule : bool
        Of SMILES: of a salt or a solvate, which is written as several molecules, the largest is taken, and this told;
        else such a text is refused.
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
    simulator: str = ""
    largest_molecule: bool = False

    @property
    def optional(self) -> bool:
        """Whether a table may lack the column."""
        return UNKNOWN in self.codes or self.computed or self.kind in (SOURCE, NAME)

    @property
    def structural(self) -> bool:
        """Whether the column holds chemical structures."""
        return self.kind not in ("", SOURCE, NAME)

    @property
    def computed(self) -> bool:
        """Whether the package itself can tell the column from a structure."""
        return self.simulator not in ("", GIVEN)


MEMBER_NAME = Column(
    "name", "name", "input", "1", "What a member is called; nothing depends on it", kind=NAME
)
"""A column that a table of families' members may always have."""


@dataclass(frozen=True)
class Card:
    """What a table holds. The keys are those of `dataset.toml`; `task` holds headers.

    Of a `compilation`, rows without an output are skipped, and a task's rows may lie apart: neither is then a mistake.
    With `without_copies` a measurement that repeats another of its task to the digit, whatever its categories, is left
    out: it was taken over.
    With `events` the table is one of events, as NONMEM reads them: of NONMEM's names and of the model's covariates it
    says which header stands for each, with its unit, ``"WGT [kg]"``.
    `levels` names columns, constant within a task, of what several tasks have in common: a laboratory, a study, a heat.
    `url` is where the data of an `external` card are fetched from, if asked; `upstream` says how what is there becomes
    the file (see `metasci.data.upstream`).

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
    upstream: Mapping[str, Any] = field(default_factory=dict)
    levels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_card(self)

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
        """Read a `dataset.toml`.

        Raises
        ------
        InputError
            If there is none, it is no regular file of up to a megabyte, or a value in it is not what it is to be; the
            sentence names its place in the file.
        """
        return cls.from_dict(card_of_toml(path), where=f"the card '{path}'")

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], where: str = "the card") -> Card:
        """The card of what `to_dict` gave."""
        if not isinstance(raw, Mapping):
            raise InputError(f"{where} is not the description of data: it is to hold keys and values.")
        values = dict(raw)
        columns = values.pop("columns", ())
        if not isinstance(columns, list | tuple) or not all(isinstance(each, Mapping) for each in columns):
            raise InputError(f"{where}, columns: is to be a list of tables, one for each column.")
        check_fields(values, cls, where)
        for column in columns:
            check_fields(column, Column, f"{where}, column {shown(str(column.get('header')))}")
        for key in ("task", "traps", "levels"):
            values[key] = tuple(values.get(key, ()))
        try:
            return cls(columns=tuple(Column(**column) for column in columns), **values)
        except TypeError as error:  # a required key is absent
            raise InputError(f"{where} is incomplete: {error}.") from None

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, dicts, texts and numbers, ready for JSON; what is empty is left out."""
        values = {key: value for key, value in asdict(self).items() if value not in ("", None, (), {}, False)}
        for key in ("task", "traps", "columns", "levels"):
            if key in values:
                values[key] = list(values[key])
        for column in values.get("columns", ()):
            for key in ("limit", "codes", "kind", "of", "simulator", "largest_molecule"):
                if column[key] in (None, {}, "", False):
                    del column[key]
        return values

    @classmethod
    def from_model(
        cls, model: Model, covariates: Mapping[str, str] | None = None, levels: Sequence[str] = ()
    ) -> Card:
        """The card of a user's file that has none: the columns that the model needs, in its units.

        Headers are then ``time [h]`` or in any other unit of the same dimension; a bare name will do for
        what is dimensionless.

        Parameters
        ----------
        model : Model
        covariates : mapping of str to str
            What is constant within a task, name to unit; may hold inputs of the model such as a dose.
        levels : sequence of str
            Columns that name what several tasks have in common, such as their laboratory.
        """
        constant = {**model.covariates, **(covariates or {})}
        columns = [Column("task", "task", "task", description="Name of the task")]
        columns += [
            Column(level, level, "note")
            for level in levels
            if level not in {"task", *model.inputs, *constant}
        ]

        def add(
            name: str, role: str, unit: str, at: str = "", codes: Mapping[str, float] | None = None
        ) -> None:
            header = name if unit in ("", "1") else f"{name} [{unit}]"
            columns.append(Column(header, name, role, unit or "1", at=at, codes=codes or {}))

        for name, declared in model.inputs.items():
            if name not in constant:
                add(name, "input", declared.unit)
        for name, unit in constant.items():
            add(name, "covariate", unit)
        for name, history in model.histories.items():
            add(name, "history", history.unit, history.at)
            for key, event_column in history.columns.items():
                add(f"{name}_{key}", "event", event_column.unit, name)
        add(model.output.name, "output", model.output.unit, codes=model.noise.codes)
        title = f"Data for {model.name}"
        return cls(
            model.name,
            title=title,
            task=("task",),
            model=model.name,
            columns=tuple(columns),
            levels=tuple(levels),
        )
