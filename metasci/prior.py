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
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from metasci.errors import InputError
from metasci.io.cards import Card
from metasci.meta.adapted import Adapted, State
from metasci.meta.covariates import Covariates
from metasci.meta.gaussian import GaussianPrior
from metasci.meta.gradient import GradientMethod
from metasci.meta.problem import Problem
from metasci.meta.training import Method, learn, read_tensors, write_atomically, write_tensors
from metasci.model import Model, find
from metasci.tasks import Batch, TaskSet

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from metasci.calibration import Calibration

__all__ = ["Prior", "load", "meta_calibrate"]

_METHODS = {"GaussianPrior": GaussianPrior, "GradientMethod": GradientMethod}
_TASK_LEVEL = ("coordinates", "noise_precision")


@dataclass(frozen=True)
class Prior:
    """What was learned, and everything needed to use it on a new task.

    Attributes
    ----------
    name : str
    model : Model
    method : Method
    state : dict of Tensor
        What the method learned.
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
    method: Method
    state: State
    covariates: Covariates
    card: Card
    training: dict[str, Any] = field(default_factory=dict)

    def batch(self, tasks: TaskSet) -> Batch:
        """The tasks as padded tensors, with the covariates this prior knows."""
        return tasks.batch(self.model, covariates=self.covariates.names)

    def problem(self, batch: Batch) -> Problem:
        """The prior's model held against a batch."""
        return Problem(self.model, batch, self.method.penalty)

    def adapt(self, batch: Batch) -> Adapted:
        """Adapt to every task of a batch at once."""
        return self.method.adapt(self.problem(batch), self.covariates.design(batch.covariates), self.state)

    def read(self, data: str | Path | TaskSet | pd.DataFrame | xr.Dataset) -> TaskSet:
        """Tasks from a CSV file, a DataFrame, a Dataset or a TaskSet, by this prior's card."""
        if isinstance(data, TaskSet):
            return data
        if isinstance(data, str | Path):
            return TaskSet.from_csv(Path(data), self.card, model=self.model)
        if hasattr(data, "data_vars"):
            return TaskSet.from_dataset(data, self.card, model=self.model)
        return TaskSet.from_frame(data, self.card, model=self.model)

    def calibrate(self, data: str | Path | TaskSet | pd.DataFrame | xr.Dataset) -> Calibration:
        """Calibrate the model to one new task, or to a few.

        Parameters
        ----------
        data : path, DataFrame, Dataset or TaskSet
            Measurements. A CSV's headers carry units: ``time [h]``, ``temperature [degC]``, ``hardness [HRC]``.

        Returns
        -------
        Calibration

        Raises
        ------
        InputError
            If the data do not make sense; the sentence names file, column and row.
        """
        from metasci.calibration import Calibration

        tasks = self.read(data)
        batch = self.batch(tasks)
        return Calibration(self, tasks, batch, self.adapt(batch))

    def calibrate_many(self, tasks: TaskSet, level: float = 0.9) -> xr.Dataset:
        """Calibrate any number of tasks; returns estimates and intervals as a Dataset (task, parameter)."""
        return self.calibrate(tasks).to_xarray(level=level, predictions=False)

    def retrain(self, tasks: TaskSet, *, seed: int | None = None, progress: bool = False) -> Prior:
        """The same model and method learned anew from other tasks."""
        return meta_calibrate(
            self.model, tasks, self.method, covariates=self.covariates.names, name=self.name,
            seed=int(self.training.get("seed", 0)) if seed is None else seed, progress=progress,
        )  # fmt: skip

    def save(self, folder: str | Path) -> Path:
        """Write ``prior.safetensors`` and ``prior.json`` into a folder, each atomically."""
        folder = Path(folder)
        tensors = {name: value for name, value in self.state.items() if name not in _TASK_LEVEL}
        tensors = {name: value for name, value in tensors.items() if "_moment/" not in name}
        for name in ("centre", "scale", "correlation"):
            tensors[f"covariates/{name}"] = getattr(self.covariates, name)
        write_tensors(folder / "prior.safetensors", tensors, {"format": "metasci-prior-1"})
        text = json.dumps(self._description(), indent=1, ensure_ascii=False, sort_keys=False)
        write_atomically(folder / "prior.json", (text + "\n").encode())
        return folder

    def _description(self) -> dict[str, Any]:
        return {
            "format": "metasci-prior-1",
            "name": self.name,
            "model": self.model.name,
            "method": {"kind": type(self.method).__name__, "name": self.method.name, **_options(self.method)},
            "parameters": [dataclasses.asdict(parameter) for parameter in self.model.parameters],
            "noise": {"kind": type(self.model.noise).__name__, "scales": list(self.model.noise.scales)},
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
        folder = Path(folder)
        try:
            description = json.loads((folder / "prior.json").read_text(encoding="utf-8"))
            kind, options = description["method"].pop("kind"), description["method"]
            covariates = description["covariates"]
        except FileNotFoundError as error:
            raise InputError(f"{folder}: there is no learned prior in this folder (prior.json is missing).") from error
        except (json.JSONDecodeError, KeyError, AttributeError, TypeError) as error:
            raise InputError(f"{folder / 'prior.json'}: this is not the description of a learned prior.") from error
        if kind not in _METHODS:
            raise InputError(f"{folder / 'prior.json'}: the method '{kind}' is not known to this version of metasci.")
        state, _ = read_tensors(folder / "prior.safetensors")
        moved = [state.pop(f"covariates/{name}") for name in ("centre", "scale", "correlation")]
        names = tuple(covariate["name"] for covariate in covariates)
        model = model or find(description["model"])
        declared = tuple(parameter["name"] for parameter in description["parameters"])
        if declared != model.parameters.names:
            raise InputError(f"{folder}: the prior is of parameters {declared}, the model has {model.parameters.names}.")
        options = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
        if kind == "GaussianPrior":
            options.pop("name", None)
        return cls(
            name=description["name"],
            model=model,
            method=_METHODS[kind](**options),
            state=state,
            covariates=Covariates(names, tuple(covariate["transform"] for covariate in covariates), *moved),
            card=Card.from_dict(description["data"]),
            training=description["training"],
        )


def _options(method: Method) -> dict[str, Any]:
    return dataclasses.asdict(method)  # type: ignore[call-overload,no-any-return]


def load(name: str | Path, model: Model | None = None) -> Prior:
    """A learned prior that ships with the package, by name, or one in a folder.

    Raises
    ------
    InputError
        If there is none; the sentence lists those that ship.
    """
    from metasci.catalogue import names, shipped

    folder = Path(name)
    if folder.is_dir() and (folder / "prior.json").exists():
        return Prior.load(folder, model)
    if str(name) in names("models"):
        return Prior.load(shipped("models") / str(name), model)
    raise InputError(f"there is no learned prior '{name}'; known are {', '.join(names('models'))}, or give its folder.")


def meta_calibrate(
    model: Model,
    tasks: TaskSet,
    method: Method | None = None,
    *,
    covariates: Sequence[str] | None = None,
    name: str = "",
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool = False,
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

    Returns
    -------
    Prior
    """
    method = method or GaussianPrior()
    if len(tasks) < 2:
        raise InputError(f"a prior needs at least two tasks to learn from, but '{tasks.card.name}' has {len(tasks)}.")
    if covariates is None:
        known = set(tasks.covariate_names)
        covariates = [covariate for covariate in model.covariates if covariate in known]
    chosen = tuple(covariates)
    batch = tasks.batch(model, covariates=chosen)
    transforms = tuple(model.transforms.get(covariate, "identity") for covariate in chosen)
    scaled = Covariates.learn(chosen, transforms, batch.covariates)
    began = time.perf_counter()
    state, left_out = learn(
        method, Problem(model, batch, method.penalty), scaled.design(batch.covariates),
        seed=seed, checkpoint=checkpoint, progress=progress,
    )  # fmt: skip
    training = {
        "seed": seed,
        "tasks": len(tasks),
        "measurements": int(batch.mask.sum()),
        "left_out_as_not_finite": left_out,
        "iterations": int(state["iteration"]),
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
    return {"metasci": own, "torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()}
