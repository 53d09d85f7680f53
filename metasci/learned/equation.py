"""What was learned of an equation's parameters: where to start with a new task, how to adapt, how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray

from metasci.data.cards import Card
from metasci.data.checksums import SUMS, task_checksums
from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.files import State
from metasci.learned.base import Learned
from metasci.learned.checked import Table
from metasci.learned.described import as_declared, described_noise
from metasci.learned.published import published_model
from metasci.learned.recipes import model_of_recipe
from metasci.learned.record import Record
from metasci.library import registered
from metasci.meta.adapted import Adapted
from metasci.meta.covariates import Covariates, Design
from metasci.meta.descriptions import describe, method_from
from metasci.meta.discrepancy.method import DiscrepancyPrior
from metasci.meta.discrepancy.state import DiscrepancyState
from metasci.meta.laplace.statistics import TaskStatistics
from metasci.meta.method import Method
from metasci.meta.problem import Problem
from metasci.model import Model
from metasci.parameters import described_parameter

__all__ = ["LearnedEquation", "with_covariates"]

_OF_COVARIATES = ("centre", "scale", "correlation")
_TRANSFORMS = ("identity", "log", "sqrt")
_SEEN = "seen/"
_MOST_TASKS = 1e9
_GREATEST = 1e9  # in scaled coordinates, of which most are logarithms
_MOST_WIDENING = 1e4  # of variances: intervals a hundred times as wide


@dataclass(frozen=True, repr=False)
class LearnedEquation(Learned):
    """What was learned of an equation, and everything needed to use it on a new task.

    Attributes
    ----------
    name : str
    model : Model
    method : Method
    state : GaussianState, GradientState or another of the method's own
        What the method learned; a dict of its tensors by their names in files is taken, too.
    covariates : Covariates
        How known properties of a task are standardised.
    card : Card
        What the columns of its data mean; a user's file is read by it.
    training : dict
        Seed, versions, checksum and ranges of the data, tasks left out.
    seen : TaskStatistics, optional
        Sums over the tasks, so that more can be learned on top of them; without these nothing can. Nothing of any
        single task is kept.
    levels : mapping of str to tuple of str
        Columns of what tasks have in common, such as their laboratory, and the groups of each that were learned from.
    """

    name: str
    model: Model
    method: Method[Any]
    state: Any
    covariates: Covariates
    card: Card
    training: dict[str, Any] = field(default_factory=dict)
    seen: TaskStatistics | None = None
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    format: ClassVar[str] = "metasci-prior-1"

    def __post_init__(self) -> None:
        if isinstance(self.state, Mapping):
            object.__setattr__(self, "state", self.method.state_of(dict(self.state)))

    def _learned_from(self) -> str:
        if "published" in self.training:
            return f"published: {self.training['published']['source']}"
        if "declared" in self.training:
            return "nothing was learned: declared typical values"
        return f"{self.method.name}, {super()._learned_from()}"

    def _covariate_names(self) -> tuple[str, ...]:
        return self.covariates.names

    @property
    def known_groups(self) -> Mapping[str, tuple[str, ...]]:
        """The groups of each level that the prior knows, by its column."""
        return self.levels

    def design(self, batch: Batch) -> Design:
        """What is known of the tasks: standardised covariates, and the groups that they are of."""
        group = batch.groups
        if group is None and self.levels:
            group = torch.full((len(batch), len(self.levels)), torch.nan, dtype=batch.output.dtype)
        return replace(self.covariates.design(batch.covariates), group=group)

    def problem(self, batch: Batch) -> Problem:
        """The prior's model held against a batch."""
        return Problem(self.model, batch, self.method.penalty)

    def knows(self, batch: Batch) -> NDArray[np.bool_]:
        """Which tasks it has certainly learned from; none of a prior that was saved before tasks were noted."""
        noted = self.training.get(SUMS)
        return np.isin(task_checksums(batch), noted) if noted else np.zeros(len(batch), bool)

    def adapt(self, batch: Batch, device: torch.device | str = "cpu", together: bool = False) -> Adapted:
        """Adapt to every task of a batch at once, on a device; what comes back is in the processor's memory.

        Tasks do not touch each other, unless those of one group of a level are to be taken `together`. What a task
        that was learned from tells of its group the prior knows already.
        """
        design, state = self.design(batch).to(device), self.state
        if (
            torch.device(device).type != "cpu"
        ):  # a state may hold what follows from its tensors, once computed
            state = self.method.state_of({name: value.to(device) for name, value in state.tensors().items()})
        problem = self.problem(batch.to(device=device))
        if together and self.levels and isinstance(self.method, DiscrepancyPrior):
            known = torch.from_numpy(self.knows(batch)).to(device)
            return self.method.adapt_together(problem, design, state, known).to("cpu")
        return self.method.adapt(problem, design, state).to("cpu")

    def tensors(self) -> State:
        """What the method learned, how covariates are standardised, and what is kept of the tasks."""
        learned = self.state.lasting().tensors()
        scaled = {f"covariates/{name}": getattr(self.covariates, name) for name in _OF_COVARIATES}
        kept = {} if self.seen is None else self.seen.tensors()
        return {**learned, **scaled, **{_SEEN + name: value for name, value in kept.items()}}

    def description(self) -> dict[str, Any]:
        """What ``prior.json`` says."""
        reference = self.model.reference
        moved = {}
        if reference is not None and reference.temperature != reference.declared:
            moved = {"reference_temperature": reference.temperature}
        return {
            "name": self.name,
            "model": self.model.name,
            **({} if self.model.recipe is None else {"recipe": self.model.recipe}),
            **moved,
            "method": describe(self.method),
            "parameters": [described_parameter(parameter) for parameter in self.model.parameters],
            "noise": described_noise(self.model.noise),
            "laws": [law.law for law in self.model.constraints],
            "covariates": [
                {"name": name, "unit": self.model.covariates.get(name, "1"), "transform": transform}
                for name, transform in zip(self.covariates.names, self.covariates.transforms, strict=True)
            ],
            **(
                {"levels": [{"column": name, "groups": list(known)} for name, known in self.levels.items()]}
                if self.levels
                else {}
            ),
            "training": self.training,
            "data": self.card.to_dict(),
        }

    def measurement_variance(self, tasks: TaskSet) -> NDArray[np.float64] | None:
        batch = self.batch(tasks)  # what is measured stands for the curve, from which it is not far
        with torch.no_grad():
            variance = self.model.noise.variance(batch.output, self.state.log_noise, batch.inputs)
        return np.asarray(variance.expand(batch.output.shape).numpy())

    @classmethod
    def of_record(cls, record: Record, model: Model | None = None) -> Self:
        """The prior of what `save` wrote; see `Learned.of_record`."""
        description = record.description
        described = description.table("method")
        described.get("kind", str)
        method = method_from(described.values, described.where)
        if model is None and "recipe" in description.values:
            model = model_of_recipe(description.get("recipe", dict[str, Any]), str(record.path))
        if "published" in description.get("training", dict[str, Any]):
            model = published_model(description.values, model, record.path)
        model = as_declared(_referred(model or _model_of(description), description), description)
        model = with_covariates(model, _further_covariates(description, record.card()))
        names, transforms = _covariates_of(description, model)
        _check_laws(record, model)
        _check_numbered(record)
        sizes = (len(model.parameters), len(names), len(model.noise.scales), len(model.constraints))
        wide = len(names)
        scaled = record.take(
            {
                "covariates/centre": (wide,),
                "covariates/scale": (wide,),
                "covariates/correlation": (wide, wide),
            },
            torch.float64,
        )
        record.check_positive("covariates/scale")
        record.check_covariance("covariates/correlation", scaled["covariates/correlation"])
        made = cls(
            name=description.get("name", str),
            model=model,
            method=method,
            state=_state_of(record, method, sizes),
            covariates=Covariates(names, transforms, *scaled.values()),
            card=record.card(),
            training=record.training(),
            seen=_seen_of(record, sizes[0], wide),
            levels=_levels_of(record, method),
        )
        if isinstance(made.state, DiscrepancyState):
            with record.naming_tensors():
                made.state.check()
        return made


def with_covariates(model: Model, units: Mapping[str, str]) -> Model:
    """The model with further covariates that it did not name, by their units.

    Examples
    --------
    >>> from metasci.kinetics import avrami
    >>> dict(with_covariates(avrami, {"carbon": "percent"}).covariates)
    {'carbon': 'percent'}
    """
    further = {name: unit for name, unit in units.items() if name not in model.covariates}
    return replace(model, covariates={**model.covariates, **further}) if further else model


def _further_covariates(description: Table, card: Card) -> dict[str, str]:
    """Units of the covariates; without those that older files hold in the unit of the card but call plain numbers."""
    units = {row.get("name", str): row.get_or("unit", str, "1") for row in description.tables("covariates")}
    plain = {column.name for column in card.columns if column.unit == "1"}
    return {name: unit for name, unit in units.items() if unit != "1" or name in plain}


def _model_of(description: Table) -> Model:
    """One of the package's own models: nothing is ever executed from a file."""
    name, known = description.get("model", str), registered()
    if name not in known:
        raise InputError(
            f"{description.where}: the prior is of the model '{name}', which is not one of the package's own; load it "
            "with `model=`, that equation, or on the command line with --model FILE.py:NAME."
        )
    return known[name]


def _referred(model: Model, description: Table) -> Model:
    """The model with its rates stated where the prior was learned; files without say that it is as declared."""
    if model.reference is None and "reference_temperature" not in description.values:
        return model
    if model.reference is None:
        raise InputError(
            f"{description.where}: the prior's rates are stated at a temperature of its own, but the model "
            f"'{model.name}' states none at a reference temperature; learn the prior anew."
        )
    temperature = description.get_or("reference_temperature", float, model.reference.declared)
    try:
        return model.at_reference(temperature)
    except InputError as error:
        raise InputError(f"{description.where}, reference_temperature: {error}") from None


def _levels_of(record: Record, method: Method[Any]) -> dict[str, tuple[str, ...]]:
    """Known groups by level, as many as the method has; rows are of no other."""
    rows = record.description.tables("levels") if "levels" in record.description.values else []
    levels = {row.get("column", str): tuple(row.get("groups", list[str])) for row in rows}
    owed = getattr(method, "levels", None) or ()
    if tuple(levels) != tuple(owed) or len(levels) != len(rows):
        raise InputError(
            f"{record.path}, levels: the method has the levels {list(owed)}, but groups are listed of {list(levels)}."
        )
    for row, (name, groups) in zip(rows, levels.items(), strict=True):
        if len(set(groups)) != len(groups) or "" in groups:
            raise InputError(f"{row.where}: the groups of '{name}' are not names that differ.")
    if levels:
        numbers = record.tensors["rows/group"]
        count = numbers.new_tensor([len(groups) for groups in levels.values()])
        if bool(
            ((numbers < 0) | (numbers >= count) | (numbers != numbers.floor()))[~torch.isnan(numbers)].any()
        ):
            raise InputError(f"{record.tensors_path}: 'rows/group' has a number that is none of the groups.")
    return levels


def _check_numbered(record: Record) -> None:
    """Rows that are kept name the task that each is of by a number, which later ones go on from."""
    numbers = record.tensors.get("rows/task")
    if numbers is None:
        return
    whole = torch.isfinite(numbers) & (numbers == numbers.floor()) & (numbers >= 0) & (numbers < _MOST_TASKS)
    if not bool(whole.all()):
        raise InputError(f"{record.tensors_path}: 'rows/task' holds what is no number of a task.")


def _covariates_of(description: Table, model: Model) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names and transforms; refused where a unit is another one now."""
    rows = description.tables("covariates")
    for row in rows:
        if (transform := row.get("transform", str)) not in _TRANSFORMS:
            raise InputError(
                f"{row.where}: the transform '{transform}' is not known to this version of metasci."
            )
        unit, own = row.get_or("unit", str, "1"), model.covariates.get(row.get("name", str), "1")
        if unit != own:
            raise InputError(
                f"{row.where}: the prior was learned with the unit '{unit}', but the model '{model.name}' has '{own}'; "
                "learn the prior anew."
            )
    names = tuple(row.get("name", str) for row in rows)
    if len(set(names)) != len(names):
        raise InputError(f"{description.where}, covariates: a name stands there twice.")
    return names, tuple(row.get("transform", str) for row in rows)


def _check_laws(record: Record, model: Model) -> None:
    """Learned weights belong to laws, in their order."""
    laws = [law.law for law in model.constraints]
    written = record.description.get_or("laws", list[str], laws)
    if "log_penalty" in record.tensors and laws != written:
        raise InputError(
            f"{record.path}: weights were learned for the laws {written}, but the model states {laws}."
        )


def _state_of(record: Record, method: Method[Any], sizes: tuple[int, int, int, int]) -> State:
    """What the method learned: the tensors that it owes, checked, and those that it wrote beside."""
    owed = record.take(dict(method.shapes(*sizes)), torch.float64)
    for name, value in owed.items():
        if value.numel() and float(value.abs().max()) > _GREATEST:
            raise InputError(f"{record.tensors_path}: '{name}' holds numbers beyond {_GREATEST:g}.")
    for name in ("covariance", "design_covariance"):
        if name in owed:
            record.check_covariance(name, owed[name], strictly=name == "covariance")
    beside = {
        name: value
        for name, value in record.tensors.items()
        if name not in owed and not name.startswith((_SEEN, "covariates/"))
    }
    scalars = ("widening", "spread_freedom", "noise_freedom")
    for name in (*scalars, "relevance", "iteration", "refined"):
        if name in beside:
            record.take({name: tuple(beside[name].shape)}, torch.float64)
    for name, value in beside.items():
        if value.dtype != torch.float64:
            record.take({name: tuple(value.shape)}, torch.float64)  # says so
    for name in scalars:
        if name in beside:
            record.take({name: ()})
    record.check_positive("noise_shape", *scalars)
    if "widening" in beside and not 1.0 / _MOST_WIDENING <= float(beside["widening"]) <= _MOST_WIDENING:
        raise InputError(f"{record.tensors_path}: 'widening' is no factor that widens intervals.")
    return {**owed, **beside}


def _seen_of(record: Record, size: int, covariates: int) -> TaskStatistics | None:
    """What was kept of the tasks, if anything was."""
    if not any(name.startswith(_SEEN) for name in record.tensors):
        return None
    shapes = TaskStatistics.shapes(size, covariates)
    kept = record.take({_SEEN + name: shape for name, shape in shapes.items()}, torch.float64)
    for name in ("covariance", "precision", "designs", "products"):
        strictly = name in ("covariance", "precision")
        record.check_covariance(_SEEN + name, kept[_SEEN + name], strictly)
    record.check_positive(_SEEN + "tasks", _SEEN + "measurements", _SEEN + "squared")
    return TaskStatistics(**{name.removeprefix(_SEEN): value for name, value in kept.items()})
