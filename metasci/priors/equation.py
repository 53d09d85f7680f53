"""A learned prior of an equation: what many old tasks say about where to start a new one, how to adapt, and how far to
trust it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from metasci.data.batch import check_measurable
from metasci.data.checksums import checksum
from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.forecasts import Forecaster
from metasci.kinetics.reference import reference_for
from metasci.learned.base import versions
from metasci.learned.equation import LearnedEquation, with_covariates
from metasci.learned.reading import tell_events
from metasci.meta.compositions.training import learn
from metasci.meta.covariates import Covariates
from metasci.meta.discrepancy.method import DiscrepancyPrior
from metasci.meta.laplace.gaussian import GaussianPrior
from metasci.meta.laplace.statistics import learn_also, statistics_of, why_no_update
from metasci.meta.method import Method
from metasci.meta.problem import Problem
from metasci.model import Model
from metasci.priors.base import Verbs
from metasci.priors.calibrated import Calibration
from metasci.priors.forecasters import equation_forecasters
from metasci.priors.learning import check_learned
from metasci.priors.many import calibrate_many
from metasci.units import convert, magnitude, stated

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
    def declared(cls, model: Model) -> Prior:
        """A weakly informative prior of a model's declared typical values and spreads, for one task that stands alone.

        See `metasci.priors.declared.declared`.
        """
        from metasci.priors.declared import declared

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
        return Calibration.of(prior, prior.read(data).counted_once(), device)

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
        given = {name: stated(value, name) for name, value in covariates.items()}
        known = {**self.model.covariates, **{name: wanted.unit for name, wanted in self.model.inputs.items()}}
        for name in given:
            if name not in known:
                raise InputError(
                    f"the prior '{self.name}' knows no covariate '{name}'; known are {', '.join(known)}."
                )
        if self.model.histories or self.model.after_doses is not None:
            import pandas as pd

            row = {f"{name} [{symbol or 1}]": value for name, (value, symbol) in given.items()}
            return self.calibrate(pd.DataFrame([{"ID": "typical", "TIME": 0.0, "EVID": 2, "DV": "", **row}]))
        return self.calibrate(_unmeasured(self, given))

    def calibrate_many(
        self,
        data: str | Path | TaskSet | xr.Dataset | pd.DataFrame,
        *,
        level: float = 0.9,
        chunk: int | None = None,
        out: str | Path | None = None,
        client: Client | str | None = None,
        progress: bool = False,
    ) -> xr.Dataset:
        """Calibrate any number of tasks, more than memory holds, with the results of `calibrate`.

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

        Returns
        -------
        xarray.Dataset
            ``estimate``, ``lower``, ``upper``, ``prior``, ``prior_lower``, ``prior_upper`` and ``shrinkage``, in the
            parameters' units, ``coordinates``, all (task, parameter); ``coordinate_covariance``; ``law_violation``, the
            greatest violation of each law (task, law), zero where it is kept; and ``converged``
            (task): false for a task that did not converge or turned non-finite, which has its prior's values then.
            In memory, or with `out` opened without being read (see `metasci.priors.many.open_store`).

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
            self.for_data(data), data, level=level, chunk=chunk, out=out, client=client, progress=progress
        )

    def forecasters(self, tasks: TaskSet) -> dict[str, Forecaster]:
        """Ways to forecast some tasks from a few of their measurements: this prior, and what it is held against."""
        return equation_forecasters(self)

    def retrain(self, tasks: TaskSet, *, seed: int | None = None, progress: bool = False) -> Prior:
        """The same model and method learned anew from other tasks."""
        return meta_calibrate(
            self.model, tasks, self.method, covariates=self.covariates.names, name=self.name,
            seed=int(self.training.get("seed", 0)) if seed is None else seed, progress=progress,
        )  # fmt: skip

    def update(self, tasks: TaskSet) -> Prior:
        """A prior that has learned from new tasks, too, on top of those it was learned from, whose data may be gone.

        For the old tasks sums over them stand in (`metasci.meta.laplace.statistics`). Where the model is linear in its
        coordinates, the noise additive and tasks are measured at the same conditions, the result is that of learning
        from all tasks at once, under the same standardisation of covariates; elsewhere it is an approximation. A prior
        with a discrepancy keeps its scales; what is new of its shared process is added up, task by task.

        Parameters
        ----------
        tasks : TaskSet
            None of which was learned from before: a task that comes twice counts twice.

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
        method = self.method
        if isinstance(method, DiscrepancyPrior):
            return self._with_terms_of(method, self.read(tasks))
        if not isinstance(method, GaussianPrior):
            raise InputError(
                f"the prior '{self.name}' was learned by {method.name}, for which nothing small stands in for the old "
                "tasks: learn from all together with `retrain`."
            )
        if why := why_no_update(method, len(self.model.noise.scales)):
            raise InputError(f"the prior '{self.name}' cannot be updated: {why}; use `retrain`.")
        if self.seen is None:
            raise InputError(
                f"the prior '{self.name}' was saved without statistics of its tasks: learn it anew, from old and new "
                "tasks together, with `retrain`."
            )
        tasks = self.read(tasks)
        began, batch = time.perf_counter(), self.batch(tasks)
        design = self.covariates.design(batch.covariates)
        state, seen, left_out = learn_also(method, self.seen, self.problem(batch), design, self.state)
        _check_finite(state, self.model, tasks)
        return replace(
            self,
            state=state,
            seen=seen,
            training=_together(self, tasks, batch, left_out, time.perf_counter() - began),
        )

    def _with_terms_of(self, method: DiscrepancyPrior, tasks: TaskSet) -> Prior:
        """What a discrepancy's prior learns from more tasks, each of which adds its terms."""
        began, batch = time.perf_counter(), self.batch(tasks)
        state = method.update(self.problem(batch), self.covariates.design(batch.covariates), self.state)
        _check_finite(state, self.model, tasks)
        return replace(
            self, state=state, training=_together(self, tasks, batch, {}, time.perf_counter() - began)
        )


def _unmeasured(prior: LearnedEquation, given: Mapping[str, tuple[float, str]]) -> TaskSet:
    """One task without a measurement, under conditions in the middle of those that the prior was learned from."""
    import xarray as xr

    model, card = prior.model, prior.card
    ranges = prior.training.get("ranges", {})
    variables: dict[str, Any] = {
        model.output.name: (("task", "observation"), [[np.nan]], {"units": model.output.unit})
    }
    for name, wanted in model.inputs.items():
        middle = float(np.mean(ranges[name])) if name in ranges else 1.0
        value = convert(*given[name], wanted.unit, name) if name in given else middle
        variables[name] = (("task", "observation"), np.full((1, 1), value), {"units": wanted.unit})
    for name, unit in model.covariates.items():
        if name in card.covariates:
            value, symbol = given.get(name, (np.nan, ""))
            variables[name] = (
                ("task",),
                [float(convert(value, symbol or unit, unit, name))],
                {"units": unit},
            )
    return TaskSet.from_dataset(xr.Dataset(variables, {"task": ["typical"]}), card, "the typical task", model)


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

    Thermally activated rates are stated at a reference temperature. Where data lie far from that of the model, a
    temperature in their middle takes its place, and is saved with the prior.

    Parameters
    ----------
    model : Model
    tasks : TaskSet
    method : Method, optional
        The learned Gaussian prior by default.
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
    method = method or GaussianPrior()
    if len(tasks) < 2:
        raise InputError(
            f"a prior needs at least two tasks to learn from, but '{tasks.card.name}' has {len(tasks)}."
        )
    chosen = _chosen(covariates, model, tasks)
    marked = [covariate for covariate in chosen if covariate in tasks.card.covariates]
    model = with_covariates(model, {covariate: tasks.card.column(covariate).unit for covariate in marked})
    batch = tasks.batch(model, covariates=chosen)
    check_measurable(batch, model)
    if reference is None:
        model = reference_for(model, batch)
    else:
        model = model.at_reference(magnitude(reference, "K", "reference"))
    transforms = tuple(model.transforms.get(covariate, "identity") for covariate in chosen)
    scaled = Covariates.learn(chosen, transforms, batch.covariates)
    began = time.perf_counter()
    state, left_out = learn(
        method, Problem(model, batch.to(device=device), method.penalty),
        scaled.design(batch.covariates).to(device), seed=seed, checkpoint=checkpoint, progress=progress,
    )  # fmt: skip
    state = method.state_of({name: value.cpu() for name, value in state.tensors().items()})
    _check_finite(state, model, tasks)
    training = {
        "seed": seed,
        "tasks": len(tasks),
        "measurements": int(batch.mask.sum()),
        "left_out_as_not_finite": left_out,
        "iterations": int(state.iteration),
        "seconds": round(time.perf_counter() - began, 2),
        "data_sha256": checksum(tasks),
        "ranges": _ranges(model, batch),
        "versions": versions(),
    }
    seen = None
    if isinstance(method, GaussianPrior) and not why_no_update(method, len(model.noise.scales)):
        seen = statistics_of(Problem(model, batch), scaled.design(batch.covariates), state)
    prior = Prior(name or tasks.card.name, model, method, state, scaled, tasks.card, training, seen)
    check_learned(prior, batch, state)
    return prior


def _chosen(covariates: Sequence[str] | str | None, model: Model, tasks: TaskSet) -> tuple[str, ...]:
    """Names of the covariates to learn with: declared ones first, then others in the order of the card."""
    if isinstance(covariates, str) and covariates != "all":
        raise InputError(f"covariates: give their names in a list, or 'all', not '{covariates}'.")
    if covariates is not None and covariates != "all":
        return tuple(covariates)
    known_names = tasks.covariate_names
    declared = tuple(name for name in model.covariates if name in known_names)
    if covariates is None:
        return declared
    others = (name for name in known_names if name not in declared and name not in model.input_names)
    return (*declared, *others)


def _check_finite(state: Any, model: Model, tasks: TaskSet) -> None:
    """Refuse to call that a prior which holds no numbers."""
    if not all(bool(torch.isfinite(value).all()) for value in (state.log_noise, state.mean)):
        raise InputError(
            f"nothing could be learned: '{model.name}' under {type(model.noise).__name__} noise gives no finite "
            f"numbers for the tasks of '{tasks.card.name}'."
        )


def _together(
    prior: LearnedEquation, tasks: TaskSet, batch: Batch, left_out: Mapping[str, int], seconds: float
) -> dict[str, Any]:
    """What is told of the learning from old tasks and new ones."""
    old, new = prior.training, _ranges(prior.model, batch)
    ranges = {
        name: [min(low, old["ranges"][name][0]), max(high, old["ranges"][name][1])]
        if name in old.get("ranges", {})
        else [low, high]
        for name, (low, high) in new.items()
    }
    of_data = checksum(tasks)
    return {
        **old,
        "tasks": int(old.get("tasks", 0)) + len(tasks),
        "measurements": int(old.get("measurements", 0)) + int(batch.mask.sum()),
        "left_out_as_not_finite": {**old.get("left_out_as_not_finite", {}), **left_out},
        "seconds": round(float(old.get("seconds", 0.0)) + seconds, 2),
        "data_sha256": " ".join(part for part in (old.get("data_sha256", ""), of_data) if part),
        "ranges": {**old.get("ranges", {}), **ranges},
        "versions": versions(),
    }


def _ranges(model: Model, batch: Batch) -> dict[str, list[float]]:
    ranges = {}
    for name in model.inputs:
        values = batch.inputs[name].expand(batch.mask.shape)[batch.mask]
        ranges[name] = [float(values.min()), float(values.max())]
    return ranges
