"""A learned prior: what many old cases say about where to start a new one, how to adapt, and how far to trust it."""

from __future__ import annotations

import dataclasses
import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch

from metasci.data.batch import check_measurable
from metasci.data.cards import Card
from metasci.data.events.read import headers_of, tells_events
from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.files import State, read_tensors, write_atomically, write_tensors
from metasci.learned.files import as_declared, check_state, described_noise
from metasci.library import find, registered
from metasci.meta.adapted import Adapted
from metasci.meta.compositions.training import learn
from metasci.meta.covariates import Covariates
from metasci.meta.descriptions import describe, method_from
from metasci.meta.laplace.gaussian import GaussianPrior
from metasci.meta.method import Method
from metasci.meta.problem import Problem
from metasci.model import Model
from metasci.units import convert, stated

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from dask.distributed import Client

    from metasci.fits.equation import Calibration
    from metasci.forecasts import Forecaster
    from metasci.learned.families import StructurePrior

__all__ = ["Prior", "load", "meta_calibrate"]

_FORMAT = "metasci-prior-1"


@dataclass(frozen=True, repr=False)
class Prior:
    """What was learned, and everything needed to use it on a new task.

    Attributes
    ----------
    name : str
    model : Model
    method : Method
    state : GaussianState or GradientState
        What the method learned; a dict of its tensors by their names in files is taken, too.
    covariates : Covariates
        How known properties of a task are standardised.
    card : Card
        What the columns of its data mean; a user's file is read by it.
    training : dict
        Seed, versions, checksum and ranges of the data, tasks left out.

    Examples
    --------
    >>> prior = load("theophylline")
    >>> prior.model.parameters.names
    ('absorption_rate', 'clearance', 'volume')
    """

    name: str
    model: Model
    method: Method[Any]
    state: Any
    covariates: Covariates
    card: Card
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.state, Mapping):
            object.__setattr__(self, "state", self.method.state_of(dict(self.state)))

    def __repr__(self) -> str:
        tasks = self.training.get("tasks", "unknown")
        return f"Prior('{self.name}': {self.model.name}, {self.method.name}, learned from {tasks} tasks)"

    def batch(self, tasks: TaskSet) -> Batch:
        """The tasks as padded tensors, with the covariates this prior knows."""
        return _batch(self.model, tasks, self.covariates.names)

    def problem(self, batch: Batch) -> Problem:
        """The prior's model held against a batch."""
        return Problem(self.model, batch, self.method.penalty)

    def adapt(self, batch: Batch, device: torch.device | str = "cpu") -> Adapted:
        """Adapt to every task of a batch at once, on a device; what comes back is in the processor's memory."""
        design = self.covariates.design(batch.covariates).to(device)
        there = {name: value.to(device) for name, value in self.state.tensors().items()}
        state = self.method.state_of(there)
        return self.method.adapt(self.problem(batch.to(device=device)), design, state).to("cpu")

    def read(self, data: str | Path | TaskSet | pd.DataFrame | xr.Dataset) -> TaskSet:
        """Tasks from a CSV file, a DataFrame, a Dataset or a TaskSet, by this prior's card, in the model's units."""
        if isinstance(data, TaskSet):
            if not len(data):
                raise InputError(f"there is no task to calibrate in the data '{data.card.name}'.")
            if data.card is self.card and data.is_in_units_of(self.model):  # this prior has read them itself
                return data
            return TaskSet.from_dataset(data.dataset, data.card, f"the data '{data.card.name}'", self.model)
        import xarray as xr

        if (
            not isinstance(data, xr.Dataset)
            and (self.model.histories or self.card.events)
            and tells_events(headers_of(data), self.card)
        ):
            return TaskSet.from_events(data, self.model, self.card)
        if isinstance(data, str | Path):
            return TaskSet.from_csv(Path(data), self.card, model=self.model)

        if isinstance(data, xr.Dataset):
            return TaskSet.from_dataset(data, self.card, model=self.model)
        return TaskSet.from_frame(data, self.card, model=self.model)

    def for_data(self, data: str | Path | TaskSet | pd.DataFrame | xr.Dataset) -> Prior:
        """The same prior; where data tell of doses at times, with the model of its parameters that takes them."""
        if not self.model.after_doses or not _tells_events(data, self.model, self.card):
            return self
        return replace(self, model=find(self.model.after_doses).with_noise(self.model.noise))

    def calibrate(
        self, data: str | Path | TaskSet | pd.DataFrame | xr.Dataset, *, device: torch.device | str = "cpu"
    ) -> Calibration:
        """Calibrate the model to one new task, or to a few.

        Parameters
        ----------
        data : path, DataFrame, Dataset or TaskSet
            Measurements. A CSV's headers carry units: ``time [h]``, ``temperature [degC]``, ``hardness [HRC]``. Of
            patients also an event table with NONMEM's columns; one without measurements gives the typical patient.
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
        from metasci.fits.equation import Calibration

        prior = self.for_data(data)
        tasks = prior.read(data)
        batch = prior.batch(tasks)
        return Calibration(prior, tasks, batch, prior.adapt(batch, device))

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
        >>> fit = load("phenobarbital").typical(weight="1.5 kg")
        >>> fit.parameters["estimate"].round(4).tolist() == fit.parameters["prior"].round(4).tolist()
        True
        """
        told = {name: stated(value, name) for name, value in covariates.items()}
        known = {**self.model.covariates, **{name: one.unit for name, one in self.model.inputs.items()}}
        for name in told:
            if name not in known:
                raise InputError(
                    f"the prior '{self.name}' knows no covariate '{name}'; known are {', '.join(known)}."
                )
        if self.model.histories or self.model.after_doses:
            import pandas as pd

            row = {f"{name} [{symbol or 1}]": value for name, (value, symbol) in told.items()}
            return self.calibrate(pd.DataFrame([{"ID": "typical", "TIME": 0.0, "EVID": 2, "DV": "", **row}]))
        return self.calibrate(_unmeasured(self, told))

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
            ``metasci[scale]`` is needed and missing.

        Examples
        --------
        >>> import metasci as ms
        >>> result = load("theophylline").calibrate_many(ms.dataset("theophylline"), chunk=5)
        >>> result["task"].values[~result["converged"].values].tolist()
        []
        """
        from metasci.priors.many import calibrate_many

        return calibrate_many(self, data, level=level, chunk=chunk, out=out, client=client, progress=progress)

    def forecasters(self, tasks: TaskSet) -> dict[str, Forecaster]:
        """Ways to forecast some tasks from a few of their measurements: this prior, and what it is held against."""
        from metasci.priors.forecasters import equation_forecasters

        return equation_forecasters(self)

    def retrain(self, tasks: TaskSet, *, seed: int | None = None, progress: bool = False) -> Prior:
        """The same model and method learned anew from other tasks."""
        return meta_calibrate(
            self.model, tasks, self.method, covariates=self.covariates.names, name=self.name,
            seed=int(self.training.get("seed", 0)) if seed is None else seed, progress=progress,
        )  # fmt: skip

    def save(self, folder: str | Path) -> Path:
        """Write ``prior.safetensors`` and ``prior.json`` into a folder, each atomically."""
        folder = Path(folder)
        tensors = self.state.lasting().tensors()
        for name in ("centre", "scale", "correlation"):
            tensors[f"covariates/{name}"] = getattr(self.covariates, name)
        write_tensors(folder / "prior.safetensors", tensors, {"format": _FORMAT})
        text = json.dumps(self._description(), indent=1, ensure_ascii=False, sort_keys=False)
        write_atomically(folder / "prior.json", (text + "\n").encode())
        return folder

    def _description(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "name": self.name,
            "model": self.model.name,
            "method": describe(self.method),
            "parameters": [dataclasses.asdict(parameter) for parameter in self.model.parameters],
            "noise": described_noise(self.model.noise),
            "laws": [law.law for law in self.model.constraints],
            "covariates": [
                {"name": name, "unit": self.model.covariates.get(name, "1"), "transform": transform}
                for name, transform in zip(self.covariates.names, self.covariates.transforms, strict=True)
            ],
            "training": self.training,
            "data": self.card.to_dict(),
        }

    @classmethod
    def load(cls, folder: str | Path, model: Model | None = None) -> Prior:
        """Read a prior from its folder.

        Parameters
        ----------
        folder : path
        model : Model, optional
            Needed where the model is not one of the package's own: nothing is ever executed from a file.
        """
        path = Path(folder) / "prior.json"
        try:
            description = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(
                f"{folder}: there is no learned prior in this folder (prior.json is missing)."
            ) from None
        except (OSError, ValueError):
            raise InputError(f"{path}: this is not the description of a learned prior.") from None
        state, _ = read_tensors(path.with_name("prior.safetensors"))
        try:
            return cls._of_parts(description, state, model, path)
        except InputError:
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"{path}: this is not the description of a learned prior.") from error

    @classmethod
    def _of_parts(cls, description: dict[str, Any], state: State, model: Model | None, path: Path) -> Prior:
        """The prior of what `save` wrote."""
        if description["format"] != _FORMAT:
            raise InputError(
                f"{path}: the format '{description['format']}' is not known to this version of metasci."
            )
        method = method_from(description["method"], str(path))
        if model is None and description["model"] not in registered():
            raise InputError(
                f"{path}: the prior is of the model '{description['model']}', which is not one of the package's own; "
                "load it with `model=`, that equation."
            )
        model = as_declared(model or find(description["model"]), description, path)
        names = tuple(covariate["name"] for covariate in description["covariates"])
        transforms = tuple(covariate["transform"] for covariate in description["covariates"])
        if odd := set(transforms) - {"identity", "log", "sqrt"}:
            raise InputError(f"{path}: the transform '{min(odd)}' is not known to this version of metasci.")
        laws = [law.law for law in model.constraints]
        if "log_penalty" in state and laws != description.get("laws", laws):
            raise InputError(
                f"{path}: weights were learned for the laws {description['laws']}, but the model states {laws}."
            )
        sizes = (len(model.parameters), len(names), len(model.noise.scales), len(model.constraints))
        check_state(state, method, sizes, path)
        moved = [state.pop(f"covariates/{name}") for name in ("centre", "scale", "correlation")]
        return cls(
            name=str(description["name"]),
            model=model,
            method=method,
            state=method.state_of(state),
            covariates=Covariates(names, transforms, *moved),
            card=Card.from_dict(description["data"], where=f"{path}, data"),
            training=dict(description["training"]),
        )


def _unmeasured(prior: Prior, told: Mapping[str, tuple[float, str]]) -> TaskSet:
    """One task without a measurement, under conditions in the middle of those that the prior was learned from."""
    import xarray as xr

    model, card = prior.model, prior.card
    ranges = prior.training.get("ranges", {})
    variables: dict[str, Any] = {
        model.output.name: (("task", "observation"), [[np.nan]], {"units": model.output.unit})
    }
    for name, one in model.inputs.items():
        middle = float(np.mean(ranges[name])) if name in ranges else 1.0
        value = convert(*told[name], one.unit, name) if name in told else middle
        variables[name] = (("task", "observation"), np.full((1, 1), value), {"units": one.unit})
    for name, unit in model.covariates.items():
        if name in card.covariates:
            value, symbol = told.get(name, (np.nan, ""))
            variables[name] = (
                ("task",),
                [float(convert(value, symbol or unit, unit, name))],
                {"units": unit},
            )
    return TaskSet.from_dataset(xr.Dataset(variables, {"task": ["typical"]}), card, "the typical task", model)


def _tells_events(data: str | Path | TaskSet | pd.DataFrame | xr.Dataset, model: Model, card: Card) -> bool:
    """Whether data tell of doses at times: a table with columns of NONMEM or the card, or arrays that a model lacks."""
    import xarray as xr

    if not isinstance(data, TaskSet | xr.Dataset):
        return tells_events(headers_of(data), card)
    dataset = data.dataset if isinstance(data, TaskSet) else data
    return bool(
        {name for name in dataset.data_vars if "event" in dataset[name].dims} - set(model.event_names)
    )


def _batch(model: Model, tasks: TaskSet, covariates: Sequence[str]) -> Batch:
    """The tasks as padded tensors, refused where the model's noise cannot have produced a measurement."""
    batch = tasks.batch(model, covariates=covariates)
    check_measurable(batch, model)
    return batch


@overload
def load(name: str | Path, model: Model) -> Prior: ...
@overload
def load(name: str | Path, model: None = None) -> Any: ...
def load(name: str | Path, model: Model | None = None) -> Any:
    """A learned prior that ships with the package, by name, or one in a folder.

    Of an equation it is a `Prior`, of a property of structures a `metasci.learned.families.StructurePrior`.

    Raises
    ------
    InputError
        If there is none; the sentence lists those that ship.
    """
    from metasci.catalogue import names, shipped

    folder = Path(name)
    if folder.is_dir() and (folder / "prior.json").exists():
        return _read(folder, model)
    if str(name) in names("models"):
        return _read(shipped("models") / str(name), model)
    raise InputError(
        f"there is no learned prior '{name}'; known are {', '.join(names('models'))}, or give its folder."
    )


def _read(folder: Path, model: Model | None) -> Prior | StructurePrior:
    """The prior in a folder, of the kind that its description says."""
    from metasci.learned import families as structure_prior

    if structure_prior.FORMAT in (folder / "prior.json").read_text(encoding="utf-8")[:200]:
        return structure_prior.StructurePrior.load(folder, model)
    return Prior.load(folder, model)


def meta_calibrate(
    model: Model,
    tasks: TaskSet,
    method: Method[Any] | None = None,
    *,
    covariates: Sequence[str] | None = None,
    name: str = "",
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool = False,
    device: torch.device | str = "cpu",
) -> Prior:
    """Learn a prior from many tasks.

    Parameters
    ----------
    model : Model
    tasks : TaskSet
    method : Method, optional
        The learned Gaussian prior by default.
    covariates : sequence of str, optional
        Which known properties shift the start: by default those that the model declares and the data have.
    name : str
        What to call it; the data's name by default.
    seed : int
    checkpoint : path, optional
        Where to keep the state of a long run; if the file exists, the run goes on from it.
    progress : bool
    device : str
        Where to learn: ``"cpu"``, ``"cuda"``. Equations are in double precision everywhere.

    Returns
    -------
    Prior
    """
    method = method or GaussianPrior()
    if len(tasks) < 2:
        raise InputError(
            f"a prior needs at least two tasks to learn from, but '{tasks.card.name}' has {len(tasks)}."
        )
    if covariates is None:
        known = set(tasks.covariate_names)
        covariates = [covariate for covariate in model.covariates if covariate in known]
    chosen = tuple(covariates)
    batch = _batch(model, tasks, chosen)
    transforms = tuple(model.transforms.get(covariate, "identity") for covariate in chosen)
    scaled = Covariates.learn(chosen, transforms, batch.covariates)
    began = time.perf_counter()
    state, left_out = learn(
        method, Problem(model, batch.to(device=device), method.penalty),
        scaled.design(batch.covariates).to(device), seed=seed, checkpoint=checkpoint, progress=progress,
    )  # fmt: skip
    state = method.state_of({name: value.cpu() for name, value in state.tensors().items()})
    if not all(bool(torch.isfinite(value).all()) for value in (state.log_noise, state.mean)):
        raise InputError(
            f"nothing could be learned: '{model.name}' under {type(model.noise).__name__} noise gives no finite "
            f"numbers for the tasks of '{tasks.card.name}'."
        )
    training = {
        "seed": seed,
        "tasks": len(tasks),
        "measurements": int(batch.mask.sum()),
        "left_out_as_not_finite": left_out,
        "iterations": int(state.iteration),
        "seconds": round(time.perf_counter() - began, 2),
        "data_sha256": str(tasks.dataset.attrs.get("checksum", "")),
        "ranges": _ranges(model, batch),
        "versions": _versions(),
    }
    return Prior(name or tasks.card.name, model, method, state, scaled, tasks.card, training)


def _ranges(model: Model, batch: Batch) -> dict[str, list[float]]:
    ranges = {}
    for name in model.inputs:
        values = batch.inputs[name].expand(batch.mask.shape)[batch.mask]
        ranges[name] = [float(values.min()), float(values.max())]
    return ranges


def _versions() -> Mapping[str, str]:
    try:
        own = metadata.version("metasci")
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        own = "unknown"
    return {
        "metasci": own,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
