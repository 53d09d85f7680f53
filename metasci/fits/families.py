"""Calibrated families: every member's property with its interval, measured or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from metasci.data.cards import NAME, SOURCE, UNKNOWN
from metasci.data.frames import in_written_units
from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.fits.base import Fit
from metasci.fits.slips import SURPRISE, slips
from metasci.forecasts import StudentForecast
from metasci.learned.families import LearnedMembers
from metasci.learned.places import linked, places_of, structure_of
from metasci.materials.structures import makeup
from metasci.model import Input, Model
from metasci.units import magnitude
from metasci.words import enumerated, label as labelled

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["MembersFit", "members_as_dataset"]

_FORECAST = ("predicted", "lower", "upper", "prior", "prior_lower", "prior_upper")
_AT_ODDS = 0.25  # of the prior's 90 % interval: repeated measurements of one member scatter by far less
_LONGEST = 60  # letters of a structure in a sentence


@dataclass(frozen=True, repr=False)
class MembersFit(Fit):
    """Calibrated families, as numbers; `metasci.priors.calibrated.StructureCalibration` reports them, too.

    Attributes
    ----------
    prior : LearnedMembers
    tasks : TaskSet
    batch : Batch
    after, before : StudentForecast
        Of all members of each family, (task, place), given those that were measured and given none.
    places : Tensor of bool, (task, place)
        Where there is a member.
    aside : Tensor of bool, (task, place)
        Measurements that nothing was learned from, being at odds with the prior and with all others
        (`metasci.fits.slips`).

    Examples
    --------
    >>> import metasci as ms
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"smiles": ["CCCCC=O", "CCCCCC=O", "CCCCCCCC=O"], "boiling_point [degC]": [103, 131, None]})
    >>> fit = ms.load("boiling_point").calibrate(rows)
    >>> list(fit.predictions.columns)
    ['task', 'molecule', 'boiling_point', 'predicted', 'lower', 'upper', 'prior', 'prior_lower', 'prior_upper']
    """

    prior: LearnedMembers
    tasks: TaskSet
    batch: Batch
    after: StudentForecast
    before: StudentForecast
    places: Tensor
    aside: Tensor

    files: ClassVar[tuple[str, ...]] = ("predictions.csv", "report.html")

    @classmethod
    def of(cls, prior: LearnedMembers, tasks: TaskSet) -> Self:
        """Calibrate families that the prior has read."""
        batch, forecast = prior.batch(tasks), prior.forecaster(tasks)
        seen, none = batch.mask, torch.zeros_like(batch.mask)
        before = forecast(batch, none, seen)
        aside = slips(forecast, batch, prior.model.noise, before)
        after = forecast(batch, seen & ~aside, seen)
        return cls(prior, tasks, batch, after, before, places_of(tasks), aside)

    def _things(self) -> str:
        return "families"

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """All members with 90 % intervals; see `table`."""
        return self.table()

    def table(self, level: float = 0.9) -> pd.DataFrame:
        """Every member of every family: what was measured, what is predicted, and what the prior alone said.

        Intervals are of a measurement. For a measured member they say what a second measurement would give.
        """
        frame = self.tasks.to_frame()
        told = [name for name in self._sources if (frame[name] != UNKNOWN).any()]
        used = (*self._names, *self.prior.model.inputs, *told)
        frame = frame.drop(columns=[name for name in self.tasks.card.inputs if name not in used])
        columns = {}
        for label, ends, forecast in (
            ("predicted", ("lower", "upper"), self.after),
            ("prior", ("prior_lower", "prior_upper"), self.before),
        ):
            values = (forecast.median, *forecast.interval(level))
            for name, column in zip((label, *ends), values, strict=True):
                columns[name] = column[self.places].numpy()
                if (
                    self.prior.model.output.unit == "K"
                ):  # of a very strange member all is thought possible but that
                    columns[name] = np.maximum(columns[name], 0.0)
        return pd.concat([frame, pd.DataFrame(columns)], axis=1)

    def predict(
        self,
        structures: str | Sequence[str],
        family: str | None = None,
        level: float = 0.9,
        **conditions: Any,
    ) -> pd.DataFrame:
        """Predict further members.

        Parameters
        ----------
        structures : str or sequence of str
            Written as in the data, such as SMILES.
        family : str, optional
            Which calibrated family they belong to; may be left out where there is one.
        level : float
        **conditions
            Numbers in the model's units, quantities or texts such as ``"600 degC"``, or categories; one for all or one
            for each structure. A category that may be unknown may be left out; so may a source, which is then the
            one of those measurements that name none.

        Raises
        ------
        InputError
            If a structure cannot be read, or a condition is missing, unknown, or of another length.

        Examples
        --------
        >>> import metasci as ms
        >>> import pandas as pd
        >>> rows = pd.DataFrame({"smiles": ["CCCCC=O", "CCCCCC=O"], "boiling_point [degC]": [103, 131]})
        >>> fit = ms.load("boiling_point").calibrate(rows)
        >>> fit.predict(["CCCCCCC=O"])["predicted"].between(420, 432).tolist()
        [True]
        """
        names = self.batch.names
        if family is None and len(names) > 1:
            raise InputError(f"say which family the structures belong to: {', '.join(names)}.")
        if family is not None and family not in names:
            raise InputError(f"there is no calibrated family '{family}'; there are {', '.join(names)}.")
        card, place = self.tasks.card, names.index(family) if family else 0
        output, model = card.output, self.prior.model
        structure = structure_of(self.tasks, model)
        for name in model.inputs:
            if name != structure and name not in conditions and not card.column(name).optional:
                raise InputError(f"say at which {labelled(name, model.inputs[name].unit)} to predict.")
        structures = [structures] if isinstance(structures, str) else list(structures)
        columns = {name: self._for_each(name, value, len(structures)) for name, value in conditions.items()}
        old = self.tasks.select([place]).to_frame()
        new = pd.DataFrame({structure: structures, **columns})
        wanted = [*model.inputs, *self._sources, output.name]
        known = old[wanted].set_axis([f"{row} of the family" for row in range(len(old))])
        both = pd.concat([known, new])[wanted]
        both.insert(0, "task", names[place])
        both.attrs["units"] = {name: declared.unit for name, declared in model.inputs.items()} | {
            output.name: output.unit
        }
        both.attrs["units"] |= dict(old.attrs["units"])
        # what is asked for may stand in the table already, or be asked for twice: it is no copy
        reader = replace(self.prior, card=replace(self.prior.card, without_copies=False))  # type: ignore[type-var]
        again = MembersFit.of(self.prior, reader.read(both)).table(level)
        return again.iloc[len(old) :].drop(columns=["task", output.name]).reset_index(drop=True)

    @property
    def shown_inputs(self) -> dict[str, Input]:
        """What tells a member to a reader: its structure and conditions, and not what is computed of the structure."""
        card = self.tasks.card
        return {
            name: each for name, each in self.prior.model.inputs.items() if not card.column(name).computed
        }

    @property
    def _sources(self) -> list[str]:
        """Columns that name who measured."""
        return [column.name for column in self.tasks.card.with_role("input") if column.kind == SOURCE]

    @cached_property
    def _names(self) -> list[str]:
        """The column of what members are called, where the table has one."""
        named = [column.name for column in self.tasks.card.with_role("input") if column.kind == NAME]
        return [name for name in named if set(self.tasks.structures(name)) - {UNKNOWN}]

    def _called(self, member: pd.Series[Any]) -> str:
        """A member in a sentence."""
        structure = str(member[structure_of(self.tasks, self.prior.model)])
        names = [member[name] for name in self._names if member[name] != UNKNOWN]
        return f"{names[0]} ({structure})" if names else structure

    def _for_each(self, name: str, value: Any, count: int) -> list[Any]:
        """A condition for each of some structures, in the model's unit."""
        inputs = self.prior.model.inputs
        every = (*inputs, *self._sources)
        allowed = [single for single in every if not self.tasks.card.column(single).structural]
        if name not in allowed:
            known = f"conditions are {', '.join(allowed)}" if allowed else "it takes no conditions"
            raise InputError(f"'{name}' is no condition of {self.prior.model.name}; {known}.")
        if self.tasks.card.column(name).codes or self.tasks.card.column(name).kind:
            values = (
                [value] if isinstance(value, str) else list(np.atleast_1d(np.asarray(value, dtype=object)))
            )
        elif isinstance(value, str) or np.ndim(getattr(value, "magnitude", value)) == 0:
            values = [magnitude(value, inputs[name].unit, name)]
        else:
            values = [magnitude(single, inputs[name].unit, name) for single in value]
        if len(values) not in (1, count):
            raise InputError(
                f"{name}: give one for all or one for each of {count} structures, not {len(values)}."
            )
        return values * count if len(values) == 1 else values

    @cached_property
    def warnings(self) -> list[str]:
        """What a reader has to know: conditions that the prior does not use, and measured members that it holds to be
        next to impossible.
        """
        sentences: list[str] = []
        model, tables = self.prior.model, self.predictions
        sentences += self.tasks.notes
        frame = self.tasks.to_frame()
        for column in self.tasks.card.with_role("input"):
            used = column.name in model.inputs or column.kind in (SOURCE, NAME)
            if column.optional and not used and (frame[column.name] != UNKNOWN).any():
                sentences.append(
                    f"{column.name} is told, but not used: '{self.prior.name}' was learned without it."
                )
        sentences += self._strange()
        sentences += self._handed()
        sentences += self._at_odds()
        values = linked(model.noise, self.batch.output, self.batch.mask)
        far = ((values - self.before.mean).abs() > self.before.reach(SURPRISE)) & self.batch.mask
        aside = self.aside[self.places].tolist()
        for row in far[self.places].nonzero()[:, 0].tolist():
            member = tables.iloc[row]
            also = " and what the other members say, so that it was set aside" if aside[row] else ""
            known = f"{member['prior_lower']:.4g} to {member['prior_upper']:.4g} {model.output.unit}"
            sentences.append(
                f"{self._called(member)}: {model.output.name} {member[model.output.name]:.4g} is far outside what the "
                f"prior expects ({known}){also}; check its unit and structure."
            )
        return sentences

    def _strange(self) -> list[str]:
        """Structures unlike all that was learned from, whose intervals are wider for it."""
        strange = self.prior.strange(self.tasks)
        if strange is None:
            return []
        structure = structure_of(self.tasks, self.prior.model)
        kind = str(self.tasks.card.column(structure).kind)
        told = zip(self.tasks.structures(structure), strange.sentences, strict=True)
        return [
            f"{_named(kind, text)}: {sentence}; its interval is wider for it."
            for text, sentence in told
            if sentence
        ]

    def _handed(self) -> list[str]:
        """Molecules whose stereochemistry is given, of which no descriptor knows."""
        structure = structure_of(self.tasks, self.prior.model)
        if self.tasks.card.column(structure).kind != "smiles":
            return []
        handed = [text for text in self.tasks.structures(structure) if set(text) & set("@/\\")]
        if not handed:
            return []
        said = enumerated([_named("smiles", text) for text in handed], most=3)
        computed = [column.name for column in self.tasks.card.columns if column.computed]
        if computed:
            return [
                f"the stereochemistry of {said} is looked at only by what is computed of it ({', '.join(computed)}): "
                "molecules that differ in nothing else may be predicted apart, mirror images are not."
            ]
        return [
            f"the stereochemistry of {said} is not looked at: molecules that differ in nothing else are predicted "
            "alike."
        ]

    def _at_odds(self) -> list[str]:
        """Measurements of one member under the same conditions that cannot both be right."""
        output, table = self.prior.model.output, self.predictions
        measured = table.assign(aside=self.aside[self.places].numpy())[table[output.name].notna()]
        told = [name for name in self._sources if name in table]
        sentences = []
        for _, rows in measured.groupby(["task", *self.prior.model.inputs, *told], sort=False, dropna=False):
            values = rows[output.name]
            width = float((rows["prior_upper"] - rows["prior_lower"]).min())
            if len(rows) > 1 and float(values.max() - values.min()) > _AT_ODDS * width:
                member = rows.iloc[0]
                so = "which makes all intervals of its family wide"
                if rows["aside"].any():
                    so = f"{' and '.join(f'{value:.4g}' for value in values[rows['aside']])} being set aside"
                spelled = " and ".join(f"{value:.4g}" for value in sorted(values))
                sentences.append(
                    f"{self._called(member)} is measured more than once, and its "
                    f"{output.name} of {spelled} {output.unit} are at odds, {so}; check them for a slip."
                )
        return sentences

    def _lines(self, level: float) -> list[str]:
        """A block for each family: how many members were measured, then a line for each."""
        lines, table = [], self.table(level)
        output = self.prior.model.output
        conditions = list(self.shown_inputs)
        for (task, rows), seen, odd in zip(
            table.groupby("task", sort=False), self.batch.mask, self.aside, strict=True
        ):
            aside = f", {int(odd.sum())} of them set aside" if bool(odd.any()) else ""
            count = f"{int(seen.sum())} of {len(rows)} members measured{aside}"
            lines.append(f"{task}: {self.prior.model.name} in {output.unit}, {count}")
            written = in_written_units(rows[conditions], self.tasks.dataset, self.tasks.card, ())
            shown = pd.concat([rows[self._names], written], axis=1)
            for name in self._names:
                shown[name] = shown[name].where(shown[name] != UNKNOWN, "")
            shown["measured"] = [_number(value) for value in rows[output.name]]
            shown["predicted"] = [_number(value) for value in rows["predicted"]]
            shown[f"{100 * level:.0f} % interval"] = [
                f"{_number(low)} to {_number(high)}"
                for low, high in zip(rows["lower"], rows["upper"], strict=True)
            ]
            shown["prior alone"] = [_number(value) for value in rows["prior"]]
            text = shown.to_string(index=False)
            lines += [f"  {line}" for line in text.splitlines()]
        return lines

    def _numbers(self, level: float) -> dict[str, Any]:
        """Predictions and their unit."""
        rows = self.table(level).astype(object)
        return {
            "unit": self.prior.model.output.unit,
            "predictions": rows.where(rows.notna(), None).to_dict("records"),
        }

    def to_xarray(self, level: float = 0.9) -> xr.Dataset:
        """The rows of `table` as labelled arrays, (task, member), with units."""
        return members_as_dataset(self.table(level), self.prior.model)


def _named(kind: str, text: str) -> str:
    """A structure in a sentence: its text, or of what it is where that is long."""
    return (
        text if len(text) <= _LONGEST else f"the {kind} of {', '.join(sorted(makeup(kind, text).elements))}"
    )


def members_as_dataset(table: pd.DataFrame, model: Model) -> xr.Dataset:
    """Rows of `MembersFit.table` as arrays (task, member); NaN or no text where a family has fewer."""
    import xarray as xr

    codes, names = pd.factorize(table["task"].to_numpy())
    place = table.groupby(codes).cumcount().to_numpy()
    shape = (len(names), int(place.max()) + 1)
    units = {name: declared.unit for name, declared in model.inputs.items()} | {
        model.output.name: model.output.unit
    }
    variables: dict[str, Any] = {}
    for name in [name for name in table.columns if name in units or name in (NAME, *_FORECAST)]:
        numeric = pd.api.types.is_numeric_dtype(table[name])
        filled = np.full(shape, np.nan) if numeric else np.full(shape, "", dtype=object)
        filled[codes, place] = table[name].to_numpy()
        attrs = {"units": units.get(name, model.output.unit)} if numeric else {}
        variables[name] = (("task", "member"), filled if numeric else filled.astype(str), attrs)
    return xr.Dataset(variables, {"task": names.astype(str)}, {"model": model.name})


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4g}"
