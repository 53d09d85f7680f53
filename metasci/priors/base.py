"""What every prior can do, whatever it was learned of: one set of verbs, and what of it is written once.

`AnyPrior` and `AnyCalibration` are the protocols; `metasci.priors.equation.Prior`, `families.StructurePrior` and
`networks.NetworkPrior` satisfy the first, what they calibrate the second.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.files import write_dataset
from metasci.fits.families import members_as_dataset
from metasci.forecasts import Forecaster
from metasci.learned.base import Learned
from metasci.learned.families import LearnedMembers
from metasci.learned.record import Record, read_record
from metasci.model import Model
from metasci.priors.calibrated import StructureCalibration
from metasci.priors.many import Piecewise, calibrate_members
from metasci.units import magnitude

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from dask.distributed import Client
    from matplotlib.figure import Figure

    from metasci.learned.reading import Data

Kind = TypeVar("Kind", bound=Learned)

__all__ = ["AnyCalibration", "AnyPrior", "MembersVerbs", "Verbs", "prior_of"]


class AnyCalibration(Protocol):
    """Calibrated tasks, of whatever prior."""

    @property
    def warnings(self) -> list[str]:
        """What a reader has to know, one sentence each."""

    @property
    def files(self) -> tuple[str, ...]:
        """What `save` writes."""

    def predict(self, *args: Any, **conditions: Any) -> Any:
        """Predict what was not measured."""

    def table(self, level: float = 0.9) -> pd.DataFrame:
        """What was calibrated, a row each, with intervals."""

    def summary(self, level: float = 0.9) -> str:
        """The table to read, with warnings below."""

    def to_xarray(self, level: float = 0.9) -> xr.Dataset:
        """Everything as labelled arrays, with units."""

    def to_json(self, level: float = 0.9) -> dict[str, Any]:
        """Everything as plain numbers and text."""

    def report(self, path: str | Path) -> Path:
        """Write the self-contained HTML report."""

    def plot(self) -> Figure:
        """What was calibrated, with its intervals."""

    def save(self, folder: str | Path) -> Path:
        """Write `files` into a folder."""


class AnyPrior(Protocol):
    """A learned prior, of whatever."""

    name: str
    model: Model
    training: dict[str, Any]

    def read(self, data: Data) -> TaskSet:
        """A user's data, in the model's units."""

    def calibrate(self, data: Data) -> AnyCalibration:
        """Calibrate to one new task, or to a few."""

    def calibrate_many(
        self,
        data: Data,
        *,
        level: float = 0.9,
        chunk: int | None = None,
        out: str | Path | None = None,
        client: Client | str | None = None,
        progress: bool = False,
    ) -> xr.Dataset:
        """Calibrate any number of tasks."""

    def typical(self, **conditions: Any) -> AnyCalibration:
        """What is expected where nothing is measured."""

    def update(self, tasks: TaskSet) -> Self:
        """A prior of the same kind that has also learned from new tasks."""

    def forecasters(self, tasks: TaskSet) -> Mapping[str, Forecaster]:
        """Ways to forecast, side by side, for `metasci.evaluate`."""

    def retrain(self, tasks: TaskSet, *, seed: int | None = None, progress: bool = False) -> Self:
        """The same method learned anew from other tasks."""

    def save(self, folder: str | Path) -> Path:
        """Write the prior into a folder."""

    @classmethod
    def load(cls, folder: str | Path, model: Model | None = None) -> Self:
        """Read a prior from its folder."""


class Verbs(Learned):
    """What all kinds of priors do alike."""

    @classmethod
    def load(cls, folder: str | Path, model: Model | None = None) -> Self:
        """Read a prior from its folder.

        Parameters
        ----------
        folder : path
        model : Model, optional
            Needed where an equation is not one of the package's own: nothing is ever executed from a file.

        Raises
        ------
        InputError
            If there is no prior in the folder, it is broken or of another kind; the sentence names file and place.
        """
        record = read_record(folder)
        if record.format != cls.format:
            raise InputError(
                f"{record.path}: the format '{record.format}' is not that of a {cls.__name__}, '{cls.format}'; "
                "`metasci.load` reads every kind that this version knows."
            )
        return prior_of(cls, record, model)


def prior_of(kind: type[Kind], record: Record, model: Model | None = None) -> Kind:
    """The prior of a record, of one kind.

    Raises
    ------
    InputError
        If the record is broken. What no check foresaw is no traceback either: whatever a stranger's file makes fail
        here is a fault of the file.
    """
    try:
        return kind.of_record(record, model)
    except InputError as error:
        if str(record.path.parent) in str(error):
            raise
        raise InputError(f"{record.path}: {error}") from None
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"{record.path}: this is not the description of a learned prior.") from error


class MembersVerbs(Verbs, LearnedMembers):
    """What priors of families' members do alike, be it a process or networks that say how members are."""

    def calibrate(self, data: Data) -> StructureCalibration:
        """Calibrate to one new family, or to a few.

        Parameters
        ----------
        data : path, DataFrame, Dataset or TaskSet
            Members with their structure, and the property of those that were measured; of the others the cell stays
            empty, and is predicted.

        Raises
        ------
        InputError
            If the data do not make sense, such as a structure that cannot be read; the sentence names file, column and
            row.
        """
        return StructureCalibration.of(self, self.counted(self.read(data)))

    def typical(self, **conditions: Any) -> StructureCalibration:
        """What is expected of a member of an unknown family: its structure, and conditions, by name.

        Parameters
        ----------
        **conditions : text, number or quantity
            ``formula="CoNi", temperature="600 degC"``; a list of each for several members.

        Raises
        ------
        InputError
            If the structure or a condition is missing, unknown or cannot be read.

        Examples
        --------
        >>> import metasci as ms
        >>> fit = ms.load("boiling_point").typical(molecule="CCCCC=O")
        >>> fit.predictions["predicted"].between(350, 400).tolist()
        [True]
        """
        import pandas as pd

        inputs = self.model.inputs
        if unknown := [name for name in conditions if name not in inputs]:
            raise InputError(
                f"'{unknown[0]}' is no input of {self.model.name}; its inputs are {', '.join(inputs)}."
            )
        if missing := [
            name for name in inputs if name not in conditions and not self.card.column(name).optional
        ]:
            raise InputError(f"say of which {missing[0]}.")
        columns: dict[str, Any] = {}
        for name, value in conditions.items():
            column = self.card.column(name)
            several = isinstance(value, list | tuple)
            values = list(value) if several else [value]
            if not (column.kind or column.codes):
                values = [magnitude(each, inputs[name].unit, name) for each in values]
            columns[name] = values if several else values[0]
        rows = pd.DataFrame(columns, index=None if any(map(_is_list, columns.values())) else [0])
        rows.insert(0, "task", "typical")
        rows[self.model.output.name] = float("nan")
        rows.attrs["units"] = {name: declared.unit for name, declared in inputs.items()}
        rows.attrs["units"][self.model.output.name] = self.model.output.unit
        return self.calibrate(rows)

    def calibrate_many(
        self,
        data: Data,
        *,
        level: float = 0.9,
        chunk: int | None = None,
        out: str | Path | None = None,
        client: Client | str | None = None,
        progress: bool = False,
    ) -> xr.Dataset:
        """Calibrate any number of families, some at a time, with the results of `calibrate`.

        Parameters
        ----------
        data : path, DataFrame, Dataset or TaskSet
            What `calibrate` takes.
        level : float
            Probability of the intervals.
        chunk : int, optional
            Families at a time, a hundred by default.
        out : path, optional
            A new ``.nc``, which appears when all is done.
        client : dask.distributed.Client or str, optional
            A cluster, or its scheduler's address, that calibrates the pieces.
        progress : bool

        Returns
        -------
        xarray.Dataset
            The structure, conditions and measurement of each member, ``predicted``, ``lower``, ``upper``, ``prior``,
            ``prior_lower`` and ``prior_upper``, (task, member), as `StructureCalibration.to_xarray` gives them.

        Examples
        --------
        >>> import metasci as ms
        >>> families = ms.dataset("boiling_points").select(["aliphatic thiol", "aliphatic iodide"])
        >>> result = ms.load("boiling_point").calibrate_many(families, chunk=1)
        >>> result["predicted"].dims, len(result["task"]), result["predicted"].attrs["units"]
        (('task', 'member'), 2, 'K')
        """
        table = calibrate_members(self, data, Piecewise(level, chunk, out, client, progress))
        result = members_as_dataset(table, self.model)
        if out is not None:
            write_dataset(result, Path(out))
        return result


def _is_list(value: Any) -> bool:
    return isinstance(value, list)
