"""The result of calibrating families: every member's property with its interval, measured or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from torch import Tensor

from metasci.data.cards import UNKNOWN
from metasci.data.frames import safe_for_spreadsheets
from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.files import write_atomically
from metasci.meta.group_process import Outlook
from metasci.model import Model
from metasci.units import magnitude

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from metasci.learned.families import StructurePrior

__all__ = ["StructureCalibration", "members_as_dataset"]

_FORECAST = ("predicted", "lower", "upper", "prior", "prior_lower", "prior_upper")
_SURPRISE = 0.999  # probability of a measurement that is nearer


@dataclass(frozen=True, repr=False)
class StructureCalibration:
    """Calibrated families.

    Examples
    --------
    >>> import metasci as ms
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"smiles": ["CCCCC=O", "CCCCCC=O", "CCCCCCCC=O"], "boiling_point [degC]": [103, 131, None]})
    >>> fit = ms.load("boiling_point").calibrate(rows)
    >>> list(fit.predictions.columns)
    ['task', 'molecule', 'boiling_point', 'predicted', 'lower', 'upper', 'prior', 'prior_lower', 'prior_upper']
    """

    prior: StructurePrior
    tasks: TaskSet
    batch: Batch
    outlooks: tuple[Outlook, ...]

    files = ("predictions.csv", "report.html")
    """What `save` writes."""

    def __repr__(self) -> str:
        return f"StructureCalibration({len(self.tasks)} families with the prior '{self.prior.name}')"

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """All members with 90 % intervals; see `table`."""
        return self.table()

    def table(self, level: float = 0.9) -> pd.DataFrame:
        """Every member of every family: what was measured, what is predicted, and what the prior alone said.

        Intervals are of a measurement. For a measured member they say what a second measurement would give.
        """
        unused = [name for name in self.tasks.card.inputs if name not in self.prior.model.inputs]
        frame = self.tasks.to_frame().drop(columns=unused)
        rows = [
            _forecast(after, before, self.prior, level)
            for after, before in zip(self._after, self.outlooks, strict=True)
        ]
        return pd.concat([frame, pd.concat(rows, ignore_index=True)], axis=1)

    @cached_property
    def _after(self) -> tuple[Outlook, ...]:
        return tuple(
            before.given(seen, values)
            for before, seen, values in zip(self.outlooks, self._seen, self._values, strict=True)
        )

    @cached_property
    def _seen(self) -> list[Tensor]:
        from metasci.learned.families import there_of

        return [mask[there] for mask, there in zip(self.batch.mask, there_of(self.tasks), strict=True)]

    @cached_property
    def _values(self) -> list[Tensor]:
        from metasci.learned.families import _linked, there_of

        places = there_of(self.tasks)
        return [
            _linked(self.prior.model.noise, output[there], seen)
            for output, there, seen in zip(self.batch.output, places, self._seen, strict=True)
        ]

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
            for each structure. A category that may be unknown may be left out.

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
        output = card.output
        structure = next(column.name for column in card.with_role("input") if column.kind)
        for name in self.prior.model.inputs:
            if name != structure and name not in conditions and not card.column(name).optional:
                raise InputError(f"say at which {name} ({self.prior.model.inputs[name].unit}) to predict.")
        structures = [structures] if isinstance(structures, str) else list(structures)
        told = {name: self._told(name, value, len(structures)) for name, value in conditions.items()}
        units = {output.name: output.unit} | {n: m.unit for n, m in self.prior.model.inputs.items()}
        old = self.tasks.select([place]).to_frame()
        new = pd.DataFrame({structure: structures, **told})
        wanted = [*self.prior.model.inputs, output.name]
        known = old[wanted].set_axis([f"{row} of the family" for row in range(len(old))])
        both = pd.concat([known, new])[wanted]
        both.insert(0, "task", names[place])
        both.attrs["units"] = units | dict(old.attrs["units"])
        made = self.prior.calibrate(both).table(level)
        return made.iloc[len(old) :].drop(columns=["task", output.name]).reset_index(drop=True)

    def _told(self, name: str, value: Any, count: int) -> list[Any]:
        """A condition for each of some structures, in the model's unit."""
        inputs = self.prior.model.inputs
        allowed = [one for one in inputs if not self.tasks.card.column(one).kind]
        if name not in allowed:
            known = f"conditions are {', '.join(allowed)}" if allowed else "it takes no conditions"
            raise InputError(f"'{name}' is no condition of {self.prior.model.name}; {known}.")
        if self.tasks.card.column(name).codes:
            told = [value] if isinstance(value, str) else list(np.atleast_1d(np.asarray(value, dtype=object)))
        elif isinstance(value, str) or np.ndim(getattr(value, "magnitude", value)) == 0:
            told = [magnitude(value, inputs[name].unit, name)]
        else:
            told = [magnitude(one, inputs[name].unit, name) for one in value]
        if len(told) not in (1, count):
            raise InputError(
                f"{name}: give one for all or one for each of {count} structures, not {len(told)}."
            )
        return told * count if len(told) == 1 else told

    @cached_property
    def warnings(self) -> list[str]:
        """What a reader has to know: conditions that the prior does not use, and measured members that it holds to be
        next to impossible.
        """
        found: list[str] = []
        model, tables = self.prior.model, self.predictions
        found += self.tasks.notes
        told = self.tasks.to_frame()
        for column in self.tasks.card.with_role("input"):
            if column.optional and column.name not in model.inputs and (told[column.name] != UNKNOWN).any():
                found.append(
                    f"{column.name} is told, but not used: '{self.prior.name}' was learned without it."
                )
        structure = next(column.name for column in self.tasks.card.with_role("input") if column.kind)
        at = 0
        for before, seen, values in zip(self.outlooks, self._seen, self._values, strict=True):
            far = ((values - before.mean).abs() > before.reach(_SURPRISE) * before.scale) & seen
            for row in far.nonzero()[:, 0].tolist():
                member = tables.iloc[at + row]
                known = f"{member['prior_lower']:.4g} to {member['prior_upper']:.4g} {model.output.unit}"
                found.append(
                    f"{member[structure]}: {model.output.name} {member[model.output.name]:.4g} is far outside what the "
                    f"prior expects ({known}); check its unit and structure."
                )
            at += len(seen)
        return found

    def summary(self, level: float = 0.9) -> str:
        """All members as a table to read, with warnings below."""
        lines, table = [], self.table(level)
        output = self.prior.model.output
        conditions = list(self.prior.model.inputs)
        for (task, rows), seen in zip(table.groupby("task", sort=False), self._seen, strict=True):
            count = int(seen.sum())
            lines.append(
                f"{task}: {self.prior.model.name} in {output.unit}, {count} of {len(rows)} members measured"
            )
            shown = pd.DataFrame({name: rows[name] for name in conditions})
            shown["measured"] = [_number(value) for value in rows[output.name]]
            shown["predicted"] = [_number(value) for value in rows["predicted"]]
            shown[f"{100 * level:.0f} % interval"] = [
                f"{_number(low)} to {_number(high)}"
                for low, high in zip(rows["lower"], rows["upper"], strict=True)
            ]
            shown["prior alone"] = [_number(value) for value in rows["prior"]]
            text = shown.to_string(index=False)
            lines += [f"  {line}" for line in text.splitlines()]
        lines += [f"  warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)

    def to_json(self, level: float = 0.9) -> dict[str, Any]:
        """Predictions and warnings as plain numbers and text."""
        rows = self.table(level).astype(object)
        return {
            "prior": self.prior.name,
            "model": self.prior.model.name,
            "unit": self.prior.model.output.unit,
            "tasks": list(self.batch.names),
            "predictions": rows.where(rows.notna(), None).to_dict("records"),
            "warnings": self.warnings,
        }

    def to_xarray(self, level: float = 0.9) -> xr.Dataset:
        """The rows of `table` as labelled arrays, (task, member), with units."""
        return members_as_dataset(self.table(level), self.prior.model)

    def save(self, folder: str | Path) -> Path:
        """Write ``predictions.csv`` and ``report.html`` into a folder."""
        folder = Path(folder)
        write_atomically(
            folder / "predictions.csv", safe_for_spreadsheets(self.table()).to_csv(index=False).encode()
        )
        self.report(folder / "report.html")
        return folder

    def report(self, path: str | Path) -> Path:
        """Write the self-contained HTML report."""
        from metasci.report.structures import structure_report

        write_atomically(Path(path), structure_report(self).encode())
        return Path(path)

    def plot(self) -> Figure:
        """Members in order of their prediction, with intervals, measurements and what the prior alone said."""
        from metasci.report.structures import members_figure

        return members_figure(self)


def members_as_dataset(table: pd.DataFrame, model: Model) -> xr.Dataset:
    """Rows of `StructureCalibration.table` as arrays (task, member); NaN or no text where a family has fewer."""
    import xarray as xr

    codes, names = pd.factorize(table["task"].to_numpy())
    place = table.groupby(codes).cumcount().to_numpy()
    shape = (len(names), int(place.max()) + 1)
    units = {name: one.unit for name, one in model.inputs.items()} | {model.output.name: model.output.unit}
    told: dict[str, Any] = {}
    for name in [name for name in table.columns if name in units or name in _FORECAST]:
        numeric = pd.api.types.is_numeric_dtype(table[name])
        filled = np.full(shape, np.nan) if numeric else np.full(shape, "", dtype=object)
        filled[codes, place] = table[name].to_numpy()
        attrs = {"units": units.get(name, model.output.unit)} if numeric else {}
        told[name] = (("task", "member"), filled if numeric else filled.astype(str), attrs)
    return xr.Dataset(told, {"task": names.astype(str)}, {"model": model.name})


def _number(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.4g}"


def _forecast(after: Outlook, before: Outlook, prior: StructurePrior, level: float) -> pd.DataFrame:
    """Median and interval of each member, after and before, in the output's unit."""
    columns = {}
    for label, outlook in (("predicted", after), ("prior", before)):
        reach = outlook.reach(level)
        ends = ("lower", "upper") if label == "predicted" else ("prior_lower", "prior_upper")
        for name, shift in ((label, 0.0), (ends[0], -reach), (ends[1], reach)):
            columns[name] = prior.model.noise.unlink(outlook.mean + shift * outlook.scale).numpy()
    return pd.DataFrame(columns)
