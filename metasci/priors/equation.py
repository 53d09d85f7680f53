"""A learned prior of an equation: what many old tasks say about where to start a new one, how to adapt, and how far to
trust it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from metasci.data.tasks import TaskSet
from metasci.forecasts import Forecaster
from metasci.kinetics.reference import reference_for
from metasci.learned.equation import LearnedEquation
from metasci.learned.reading import tell_events
from metasci.meta.method import Method
from metasci.model import Model
from metasci.priors.base import Verbs
from metasci.priors.calibrated import Calibration
from metasci.priors.forecasters import equation_forecasters
from metasci.priors.from_tasks import default_method, learned_from_tasks
from metasci.priors.learning import tell_uneven
from metasci.priors.many import Piecewise, calibrate_many
from metasci.priors.on_top import learned_on_top
from metasci.priors.typical import typical_task

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from dask.distributed import Client
    from pint import Quantity

    from metasci.learned.reading import Data
    from metasci.patients import Structure

__all__ = ["Prior", "meta_calibrate"]


class Prior(Verbs, LearnedEquation):
    """What was learned of an equation, with all that a prior can do; its parts are those of `LearnedEquation`.

    Examples
    --------
    >>> import metasci as ms
    >>> prior = ms.load("theophylline")
    >>> prior.model.parameters.names
    ('absorption_rate', 'clearance', 'volume')
    """

    @classmethod
    def published(cls, model: Model | Structure, **numbers: Any) -> Prior:
        """A prior of published numbers: θ, Ω, residual error and covariate formulas of a paper.

        See `metasci.priors.published.published`, which takes the same arguments.
        """
        from metasci.priors.published import published

        return published(cls, model, **numbers)

    @classmethod
    def from_nonmem(cls, path: str | Path, **options: Any) -> Prior:
        """A prior of a NONMEM control stream and its final estimates.

        Parameters
        ----------
        path : path
            The control stream; an ``.ext`` file beside it has the estimates, else the initial ones are taken, which
            the prior's remarks say.
        **options
            Of `metasci.patients.from_nonmem`: units, covariates that change.
        """
        from metasci.patients.nonmem import from_nonmem
        from metasci.priors.published import published

        read = from_nonmem(path, **options)
        return published(cls, read.model, **read.numbers)

    @classmethod
    def from_petab(cls, path: str | Path) -> Prior:
        """A prior of a PEtab problem: its parameters about the file's own values, as wide as the file's bounds.

        Parameters
        ----------
        path : path
            The problem's YAML file; see `metasci.petab.read_problem`.
        """
        from metasci.petab import read_problem
        from metasci.priors.published import published

        problem = read_problem(path)
        return published(cls, problem.model, **problem.numbers)

    @classmethod
    def declared(cls, model: Model) -> Prior:
        """A weakly informative prior of a model's declared typical values and spreads, for one task that stands alone.

        See `metasci.learned.declared.declared`.
        """
        from metasci.learned.declared import declared

        return declared(cls, model)

    def for_data(self, data: Data) -> Prior:
        """The same prior; where data tell of doses at times, with the model of its parameters that takes them.

        Where nothing was learned, also with rates stated at a temperature of the data.
        """
        other = self.model.after_doses
        if other is not None and tell_events(data, self.model, self.card):
            return replace(self, model=other.with_noise(self.model.noise))
        if "declared" in self.training and self.model.reference is not None:
            return replace(self, model=reference_for(self.model, self.batch(self.read(data))))
        return self

    def calibrate(
        self, data: str | Path | TaskSet | pd.DataFrame | xr.Dataset, *, device: torch.device | str = "cpu"
    ) -> Calibration:
        """Calibrate the model to one new task, or to a few.

        Parameters
        ----------
        data : path, DataFrame, Dataset or TaskSet
            Measurements. A CSV's headers carry units: ``time [h]``, ``temperature [degC]``, ``hardness [HRC]``. Of
            patients also an event table with NONMEM's columns; one without measurements gives the typical patient.
            A measurement that repeats another to the digit, under the same conditions, counts once, and is told.
            Of a prior that knows levels above the task, tasks of one group (a laboratory, a study) tell of each other.
        device : str
            Where to adapt: ``"cpu"``, ``"cuda"``.

        Returns
        -------
        Calibration

        Raises
        ------
        InputError
            If the data do not make sense; the sentence names file, column and row.
        """
        prior = self.for_data(data)
        return Calibration.of(prior, prior.counted(prior.read(data)), device, together=True)

    def typical(self, **covariates: Any) -> Calibration:
        """What is expected of a task of which nothing is measured, only covariates are known.

        Parameters
        ----------
        **covariates : number, str or quantity
            With their units, ``weight="1.5 kg"``; a number alone has the unit 1.

        Raises
        ------
        InputError
            If the prior knows no such covariate, or its model needs one that is not given.

        Examples
        --------
        >>> import metasci as ms
        >>> fit = ms.load("phenobarbital").typical(weight="1.5 kg")
        >>> fit.parameters["estimate"].round(4).tolist() == fit.parameters["prior"].round(4).tolist()
        True
        """
        return self.calibrate(typical_task(self, covariates))

    def calibrate_many(
        self,
        data: str | Path | TaskSet | xr.Dataset | pd.DataFrame,
        *,
        level: float = 0.9,
        chunk: int | None = None,
        out: str | Path | None = None,
        client: Client | str | None = None,
        progress: bool = False,
        device: str = "cpu",
    ) -> xr.Dataset:
        """Calibrate any number of tasks, more than memory holds, each with the results of `calibrate` for it alone.

        Parameters
        ----------
        data : path, TaskSet, Dataset or DataFrame
            What `calibrate` takes, and a NetCDF file (``.nc``) or Zarr store (``.zarr``) of the form that
            `TaskSet.dataset` has. Files, and Datasets opened from them or made of dask arrays, are read piece by
            piece; that no two tasks have one name is then seen within a piece only.
        level : float
            Probability of the intervals.
        chunk : int, optional
            Tasks at a time; by default so many that a piece takes some tens of megabytes.
        out : path, optional
            A new ``.nc`` or ``.zarr``. It appears when all is done. Until then finished pieces lie beside it, in
            ``.NAME.parts``, and the same call goes on from them: it reads their measurements, and calibrates
            only pieces whose measurements or prior have changed.
        client : dask.distributed.Client or str, optional
            A cluster, or its scheduler's address, that calibrates the pieces; reading and writing stay here.
        progress : bool
        device : str
            Where to adapt: ``"cpu"``, ``"cuda"``; on a graphics card tens of thousands in a piece pay (`chunk`).

        Returns
        -------
        xarray.Dataset
            ``estimate``, ``lower``, ``upper``, ``prior``, ``prior_lower``, ``prior_upper`` and ``shrinkage``, in the
            parameters' units, ``coordinates``, all (task, parameter); ``coordinate_covariance``; ``law_violation``, the
            greatest violation of each law (task, law), zero where it is kept; and ``converged``
            (task): false for a task that did not converge or turned non-finite, which has its prior's values then.
            In memory, or with `out` opened without being read (see `metasci.priors.stores.open_store`).

        Raises
        ------
        InputError
            If measurements do not make sense, a file cannot be read, `out` exists, or a library of
            ``metasci-calibration[scale]`` is needed and missing.

        Examples
        --------
        >>> import metasci as ms
        >>> result = ms.load("theophylline").calibrate_many(ms.dataset("theophylline"), chunk=5)
        >>> result["task"].values[~result["converged"].values].tolist()
        []
        """
        return calibrate_many(
            self.for_data(data), data, Piecewise(level, chunk, out, client, progress, device)
        )

    def export(
        self,
        path: str | Path,
        *,
        readings: int = 12,
        queries: int = 24,
        events: int = 12,
        steps: int = 6,
        precision: str = "double",
    ) -> Path:
        """Write the calibrator as an ONNX program, or as ExecuTorch's where the name ends in ``.pte``.

        Both run where neither Python nor torch is.

        Parameters
        ----------
        path : path
            A new or old file, such as ``calibrator.onnx``.
        readings, queries, events : int
            How many measurements, conditions to predict at, and doses it takes at most.
        steps : int
            Of Levenberg and Marquardt; the program takes all of them, and can be called again from where it ended.
        precision : "double", "single" or "half"

        Returns
        -------
        Path

        Raises
        ------
        InputError
            If the prior is none of an equation in closed form with Gaussian noise and a learned Gaussian prior.
        MissingExtra
            If ``metasci-calibration[export]``, or for ExecuTorch ``[executorch]``, is not installed.

        Notes
        -----
        What goes in and comes out: `metasci.programs.calibrator`. The file's metadata say names, units and order.
        """
        from metasci.programs import Sizes, export

        return export(self, path, Sizes(readings, queries, events, steps), precision)

    def forecasters(self, tasks: TaskSet) -> dict[str, Forecaster]:
        """Ways to forecast some tasks from a few of their measurements: this prior, and what it is held against."""
        return equation_forecasters(self)

    def retrain(self, tasks: TaskSet, *, seed: int | None = None, progress: bool = False) -> Prior:
        """The same model and method learned anew from other tasks."""
        return learned_from_tasks(
            Prior,
            self.model,
            tasks,
            self.method,
            covariates=self.covariates.names,
            name=self.name,
            seed=int(self.training.get("seed", 0)) if seed is None else seed,
            checkpoint=None,
            progress=progress,
            device="cpu",
            reference=None,
        )

    def update(self, tasks: TaskSet) -> Prior:
        """A prior that has learned from new tasks, too, on top of those it was learned from, whose data may be gone.

        For the old tasks sums over them stand in (`metasci.meta.laplace.statistics`). Where the model is linear in its
        coordinates, the noise additive and tasks are measured at the same conditions, the result is that of learning
        from all tasks at once, under the same standardisation of covariates; elsewhere it is an approximation. A prior
        with a discrepancy keeps its scales; what is new of its shared process is added up, task by task. Of a level
        above the task that it knows, such as the laboratory, it then knows the new tasks' groups, too.

        Parameters
        ----------
        tasks : TaskSet
            None of which was learned from before: a task that comes twice counts twice, and a warning
            says so.

        Raises
        ------
        InputError
            If the method, or what was kept, does not allow it; the sentence says why and what to do.

        Examples
        --------
        >>> import metasci as ms
        >>> patients = ms.dataset("theophylline")
        >>> first = ms.meta_calibrate(ms.patients.one_compartment_oral, patients.select(slice(0, 8)))
        >>> first.update(patients.select(slice(8, None)))
        Prior('theophylline': patients.one_compartment_oral, Gaussian prior, learned from 12 tasks)
        """
        return learned_on_top(self, tasks)


def meta_calibrate(
    model: Model,
    tasks: TaskSet,
    method: Method[Any] | None = None,
    *,
    covariates: Sequence[str] | str | None = None,
    name: str = "",
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool = False,
    device: torch.device | str = "cpu",
    reference: float | str | Quantity | None = None,
) -> Prior:
    """Learn a prior from many tasks.

    A warning tells where measurements scatter more in one place than in another, so that one noise does not hold all.
    Thermally activated rates are stated at a reference temperature. Where data lie far from that of the model, a
    temperature in their middle takes its place, and is saved with the prior.

    Parameters
    ----------
    model : Model
    tasks : TaskSet
    method : Method, optional
        The learned Gaussian prior by default; of outcomes that are no Gaussian measurements by its marginal objective.
    covariates : sequence of str or "all", optional
        Which known properties shift the start: by default those that the model declares and the data have; ``"all"``
        are those and all others that the data's card marks and the model does not take as inputs. One that the model
        does not declare has the unit of the card and acts as it is, without a transform.
    name : str
        What to call it; the data's name by default.
    seed : int
    checkpoint : path, optional
        Where to keep the state of a long run; if the file exists, the run goes on from it.
    progress : bool
    device : str
        Where to learn: ``"cpu"``, ``"cuda"``. Equations are in double precision everywhere.
    reference : number, str or quantity, optional
        The temperature (K, or with its unit, such as ``"1300 degC"``) at which the law is to state its rates.

    Returns
    -------
    Prior

    Raises
    ------
    InputError
        If tasks are fewer than two, data do not fit the model, or its predictions do not move with its parameters.
    """
    prior = learned_from_tasks(
        Prior,
        model,
        tasks,
        method or default_method(model),
        covariates=covariates,
        name=name,
        seed=seed,
        checkpoint=checkpoint,
        progress=progress,
        device=device,
        reference=reference,
    )
    tell_uneven(prior, tasks)
    return prior
