"""Calibrations as a user has them: their numbers, and what is made of them to read, to look at and to keep."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metasci.data.frames import csv_bytes, in_written_units
from metasci.data.headers import FORECAST
from metasci.errors import InputError
from metasci.files import netcdf, seen, write_atomically, write_folder
from metasci.fits.base import Fit
from metasci.fits.equation import EquationFit
from metasci.fits.families import MembersFit
from metasci.fits.individual import labelled

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Calibration", "Reported", "StructureCalibration"]


class Reported(Fit):
    """What every calibration can be made into."""

    @abstractmethod
    def _html(self) -> str:
        """The report, one page."""

    @abstractmethod
    def _contents(self) -> dict[str, bytes]:
        """The files of `save`, but for the report."""

    @abstractmethod
    def plot(self) -> Figure:
        """What was calibrated, with its 90 % intervals, and what the prior alone would have said."""

    def report(self, path: str | Path) -> Path:
        """Write the self-contained HTML report."""
        write_atomically(Path(path), self._html().encode())
        return Path(path)

    def contents(self) -> dict[str, bytes]:
        """The files that `files` names, by name, without writing any."""
        contents = {**self._contents(), "report.html": self._html().encode()}
        return {name: contents[name] for name in self.files}

    def save(self, folder: str | Path) -> Path:
        """Write the files that `files` names into a folder: all of them, or none."""
        found = seen(Path(folder))
        return write_folder(Path(folder), self.contents(), found)


class Calibration(EquationFit, Reported):
    """Calibrated tasks of an equation.

    Examples
    --------
    >>> import metasci as ms
    >>> patients = ms.dataset("theophylline")
    >>> ms.load("theophylline").calibrate(patients.select(["1"]))
    Calibration(1 task(s) with the prior 'theophylline')
    """

    @property
    def files(self) -> tuple[str, ...]:  # type: ignore[override]
        """What a saved calibration consists of: the patients' own parameters, too, where a model has them."""
        own = ("individual.csv",) if self.prior.model.individual is not None else ()
        return (EquationFit.files[0], *own, *EquationFit.files[1:])

    def _lines(self, level: float) -> list[str]:
        """A block for each task; of a patient, its own parameters with the reference's beside them, and exposure."""
        if self.prior.model.individual is None:
            return super()._lines(level)
        from metasci.report.patient_summary import patient_lines

        return patient_lines(self, level)

    def _numbers(self, level: float) -> dict[str, Any]:
        if self.prior.model.individual is None:
            return super()._numbers(level)
        from metasci.report.patient_summary import patient_json

        return {**super()._numbers(level), **patient_json(self, level)}

    def to_arviz(self, draws: int = 1000, seed: int = 0) -> Any:
        """Draws of the parameters and of the measurements as ArviZ has them.

        Groups ``posterior`` and ``prior``, with a variable for each parameter, in its unit (chain, draw, task). Draws
        are of prior times likelihood, independent of each other: there is one chain.

        Parameters
        ----------
        draws : int
        seed : int

        Returns
        -------
        arviz.InferenceData or xarray.DataTree
            The first with ArviZ before 1.0.

        Raises
        ------
        MissingExtra
            If ArviZ is not installed.
        """
        from metasci.bayes.exported import as_arviz

        return as_arviz(self, draws, seed)

    def plot(
        self,
        *,
        within: tuple[float, float] | None = None,
        until: float | str | None = None,
        logarithmic: bool | None = None,
    ) -> Figure:
        """Data, prediction with its 90 % band, and what the prior alone would have said.

        Of outcomes that are no measurements about a curve, the figure that their report has.

        Parameters
        ----------
        within : pair of float, optional
            A range to aim at, in the output's unit.
        until : float or str, optional
            How far to forecast, such as ``"72 h"``.
        logarithmic : bool, optional
            The axis of the output; by default as noise and measurements suggest.
        """
        from metasci.report.figures import Look, calibration_figure
        from metasci.units import magnitude

        if not self.prior.model.noise.measures:
            return self._plot_of_outcomes(within=within, until=until, logarithmic=logarithmic)
        last = None
        if until is not None:
            along = "time" if "time" in self.prior.model.inputs else next(iter(self.prior.model.inputs))
            last = magnitude(until, self.prior.model.inputs[along].unit, "until")
        return calibration_figure(self, look=Look(within, last, logarithmic))

    def _plot_of_outcomes(self, **asked: Any) -> Figure:
        from metasci.report.outcome_figures import outcome_figure

        if given := [name for name, value in asked.items() if value is not None]:
            kind = type(self.prior.model.noise).__name__
            raise InputError(
                f"{given[0]} is of measurements about a curve, not of {kind} outcomes: leave it out."
            )
        return outcome_figure(self)

    def _html(self) -> str:
        from metasci.report.sections import calibration_report

        return calibration_report(self)

    def _contents(self) -> dict[str, bytes]:
        data = self.to_xarray()
        data["converged"] = data["converged"].astype("int8")  # NetCDF knows neither true nor false
        return {
            "calibration.nc": netcdf(data),
            "individual.csv": csv_bytes(self.individual),
            "parameters.csv": csv_bytes(labelled(self, self.table())),
            "predictions.csv": csv_bytes(_as_written(self, self.at_measurements())),
        }


class StructureCalibration(MembersFit, Reported):
    """Calibrated families of structures."""

    def plot(self) -> Figure:
        """Members in order of their prediction, with intervals, measurements and what the prior alone said."""
        from metasci.report.structures import members_figure

        return members_figure(self)

    def _html(self) -> str:
        from metasci.report.structures import structure_report

        return structure_report(self)

    def _contents(self) -> dict[str, bytes]:
        return {"predictions.csv": csv_bytes(_as_written(self, self.table()))}


def _as_written(fit: Fit, table: pd.DataFrame) -> pd.DataFrame:
    """Measurements and forecasts in the units of the user's own file."""
    return in_written_units(table, fit.tasks.dataset, fit.tasks.card, FORECAST)
