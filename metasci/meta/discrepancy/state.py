"""What was learned of all tasks: scales, and a Gaussian of the shared process at rows that stand for all others."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.files import State
from metasci.meta.adaptation.inner import Memory
from metasci.meta.discrepancy.kernel import Kernel, Rows
from metasci.meta.discrepancy.places import coordinates_of
from metasci.meta.named_tensors import NamedTensors
from metasci.meta.problem import Problem

__all__ = ["DiscrepancyState"]

_SCALES, _FIRST, _ROWS, _MEMORY = "scales/", "first/", "rows/", "outer/"
# of the mean variance, on the diagonal: pivots are far greater, but rounding is not
_JITTER = 1e-12
_GREATEST_LOGARITHM = 15.0  # of scales in units of the parameters' spread and of places' width: three million


@dataclass(frozen=True)
class DiscrepancyState(NamedTensors):
    """The learned process, and where learning stands.

    Given the inducing rows, tasks tell of the shared process independently: each adds BᵀC⁻¹B to the precision of its
    whitened values there, whose prior is standard normal, and BᵀC⁻¹r to the precision times the mean, with C the
    covariance of the task's measurements given the rows (the partially independent conditional of Snelson and
    Ghahramani, AISTATS 2007).

    Attributes
    ----------
    scales : dict of Tensor
        Logarithms, as `Kernel` has them.
    log_noise : Tensor, (scale,)
    unit : Tensor, ()
    level : Tensor, ()
    origin : Tensor, (parameter,)
        z₀, in scaled coordinates.
    centre, width : Tensor, (coordinate,)
        By which coordinates of places are standardised.
    rows : Rows
        The inducing rows.
    precision, pull : Tensor, (row, row), (row,)
        What tasks add; with a dimension of tasks before these where each of a batch knows of others.
    freedom, stretch : Tensor, ()
        Degrees of freedom of a task's distribution, and its squared scale.
    iteration : Tensor, ()
    coordinates : Tensor, (task, parameter), optional
        Estimates of the tasks learned from; not kept with a prior.
    trend : Tensor, (parameter, covariate), optional
        By how much z₀ moves with each standardised covariate; nothing where there is none.
    first : dict of Tensor
        The scales with which learning began, about which they are believed to lie; zero where nothing is said.
    memory : dict of Tensor
        Of the rule that climbs the likelihood; not kept either.
    """

    scales: dict[str, Tensor]
    log_noise: Tensor
    unit: Tensor
    level: Tensor
    origin: Tensor
    centre: Tensor
    width: Tensor
    rows: Rows
    precision: Tensor
    pull: Tensor
    freedom: Tensor
    stretch: Tensor
    iteration: Tensor
    coordinates: Tensor | None = None
    trend: Tensor | None = None
    first: dict[str, Tensor] = field(default_factory=dict)
    memory: Memory = field(default_factory=dict)

    @property
    def kernel(self) -> Kernel:
        """The covariance functions."""
        return Kernel(self.scales, self.unit, float(self.level), self.trend)

    def origin_of(self, covariates: Tensor) -> Tensor:
        """z₀ of each task, (task, parameter), of its standardised covariates, (task, covariate)."""
        if self.trend is None:
            return self.origin.expand(len(covariates), -1)
        return self.origin + covariates @ self.trend.T

    @property
    def levels(self) -> int:
        """How many levels there are above the task."""
        return len(self.scales["group"]) if "group" in self.scales else 0

    def check(self) -> None:
        """Refuse numbers that no learning leads to, and with which nothing can be computed.

        Raises
        ------
        InputError
            If a scale, a precision or the inducing rows are none; the sentence names it.
        """
        logarithms = {_SCALES + name: value for name, value in self.scales.items()}
        logarithms |= {_FIRST + name: value for name, value in self.first.items()}
        logarithms["log_noise"] = self.log_noise
        for name, value in logarithms.items():
            if bool((value.abs() > _GREATEST_LOGARITHM).any()):
                raise InputError(
                    f"'{name}' holds the logarithm of no scale: it is beyond {_GREATEST_LOGARITHM:g}."
                )
        plain = {"centre": self.centre, "width": self.width, "pull": self.pull, "precision": self.precision}
        plain |= {} if self.trend is None else {"trend": self.trend}
        plain |= {
            _ROWS + name: getattr(self.rows, name)
            for name in ("place", "slope", "covariates", "unknown", "seen")
        }
        for name, value in plain.items():
            if not bool(torch.isfinite(value).all()):
                raise InputError(f"'{name}' is not finite.")
        for name in ("width", "unit", "level", "freedom", "stretch"):
            if not bool((getattr(self, name) > 0).all()):
                raise InputError(f"'{name}' must be above zero.")
        eigenvalues = torch.linalg.eigvalsh(self.precision)
        if len(eigenvalues) and float(eigenvalues[0]) < -1e-9 * max(float(eigenvalues[-1]), 1.0):
            raise InputError("'precision' is no precision: it must be positive semi-definite.")
        try:
            _ = self.whitening
        except RuntimeError:  # torch's own error of matrices is one
            raise InputError("the rows that stand for all others have no covariance.") from None

    def of_tasks(self, index: Tensor) -> DiscrepancyState:
        """The same for some of a batch of tasks."""
        if self.pull.dim() == 1:
            return self
        return replace(self, precision=self.precision[index], pull=self.pull[index])

    @property
    def mean(self) -> Tensor:
        """Where a task of average covariates starts, (parameter,), in scaled coordinates."""
        return self.origin + self.mean_of(self._ordinary)

    @property
    def spread(self) -> Tensor:
        """Covariance of such a task's coordinates about that, (parameter, parameter)."""
        return self.covariance(self._ordinary, self._ordinary)

    @property
    def _ordinary(self) -> Rows:
        """The coordinates of a task of average covariates, of groups that nobody knows."""
        eye = torch.eye(len(self.origin), dtype=self.origin.dtype, device=self.origin.device)
        nothing = eye.new_zeros(len(eye), len(self.scales["covariate_lengths"]))
        place = eye.new_zeros(len(eye), len(self.centre))
        number, unseen = eye.new_full((len(eye),), -1.0), eye.new_zeros(len(eye))
        group = eye.new_full((len(eye), self.levels), torch.nan)
        return Rows(place, eye, nothing, nothing, number, unseen, group)

    @cached_property
    def whitening(self) -> Tensor:
        """The inverse of the triangular factor of the inducing rows' covariance, (row, row)."""
        among = self.kernel.shared(self.rows, self.rows)
        eye = torch.eye(len(among), dtype=among.dtype, device=among.device)
        some = _JITTER * among.diagonal().mean() if len(among) else 0.0
        return torch.linalg.solve_triangular(torch.linalg.cholesky(among + some * eye), eye, upper=False)

    @cached_property
    def _posterior(self) -> tuple[Tensor, Tensor]:
        """Mean of the whitened values, (..., row, 1), and a factor F of their covariance FᵀF."""
        eye = torch.eye(self.pull.shape[-1], dtype=self.pull.dtype, device=self.pull.device)
        root = torch.linalg.cholesky(eye + self.precision)
        mean = torch.cholesky_solve(self.pull[..., None], root)
        return mean, torch.linalg.solve_triangular(root, eye.expand_as(root), upper=False)

    def places(self, problem: Problem) -> Tensor:
        """Standardised coordinates of a problem's places, (task, observation, coordinate)."""
        raw = coordinates_of(problem.model, problem.batch.inputs, problem.batch.mask.shape)
        return (raw - self.centre) / self.width

    def basis(self, rows: Rows) -> Tensor:
        """The shared process's features at rows, uncorrelated and of unit variance beforehand, (..., row, feature)."""
        return self.kernel.shared(rows, self.rows) @ self.whitening.mT

    def mean_of(self, rows: Rows) -> Tensor:
        """Of rows of new tasks, (..., row), about the linearised equation at z₀."""
        return (self.basis(rows) @ self._posterior[0])[..., 0]

    def covariance(self, first: Rows, second: Rows) -> Tensor:
        """Of rows of the same new tasks, (..., row, row'), given what is known of others."""
        root = self._posterior[1]
        left, right = self.basis(first), self.basis(second)
        known = (left @ root.mT) @ (right @ root.mT).mT
        return self.kernel.shared(first, second) + self.kernel.own(first, second) - left @ right.mT + known

    def tensors(self) -> State:
        """All tensors by their names in files; of the precision, which is symmetric, its lower triangle."""
        nested = ("scales", "first", "rows", "memory", "precision")
        own = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in nested}
        kept = {name: value for name, value in own.items() if value is not None}
        row, column = torch.tril_indices(*self.precision.shape)
        kept["precision"] = self.precision[row, column]
        kept |= {_SCALES + name: value for name, value in self.scales.items()}
        kept |= {_FIRST + name: value for name, value in self.first.items()}
        kept |= {_ROWS + item.name: getattr(self.rows, item.name) for item in fields(self.rows)}
        return {**kept, **{_MEMORY + name: value for name, value in self.memory.items()}}

    @classmethod
    def of(cls, tensors: State) -> DiscrepancyState:
        """The state of named tensors.

        Raises
        ------
        InputError
            If one is missing, or they do not fit each other.
        """

        def under(prefix: str) -> dict[str, Tensor]:
            return {n.removeprefix(prefix): value for n, value in tensors.items() if n.startswith(prefix)}

        if _ROWS + "group" not in tensors and _ROWS + "seen" in tensors:  # of a time before there were levels
            tensors = {
                **tensors,
                _ROWS + "group": tensors[_ROWS + "seen"].new_zeros(len(tensors[_ROWS + "seen"]), 0),
            }
        _check(tensors)
        rows = Rows(**under(_ROWS))
        size = len(rows)
        row, column = torch.tril_indices(size, size)
        precision = tensors["precision"].new_zeros(size, size)
        precision[row, column] = tensors["precision"]
        precision[column, row] = tensors["precision"]
        own = {item.name for item in fields(cls)} & set(tensors)
        plain = {name: tensors[name] for name in own if name != "precision"}
        return cls(
            **plain,
            scales=under(_SCALES),
            first=under(_FIRST),
            rows=rows,
            precision=precision,
            memory=under(_MEMORY),
        )

    def lasting(self) -> DiscrepancyState:
        """What a finished prior keeps: nothing of the tasks that it was learned from, nor of the search."""
        return replace(self, coordinates=None, memory={})

    @staticmethod
    def shapes(size: int, covariates: int, scales: int, levels: int = 0) -> dict[str, tuple[int, ...]]:
        """Shapes of a saved state's tensors that do not hang on how many coordinates and inducing rows there are."""
        triangle = (size * (size + 1) // 2,)
        of_groups = {"group_spread": (levels, size), "group_level": (levels,), "group": (levels,)}
        return {
            **{_SCALES + name: shape for name, shape in of_groups.items() if levels},
            **{_SCALES + name: () for name in ("shared", "own_level", "own")},
            **{_SCALES + name: triangle for name in ("spread", "effects")},
            _SCALES + "covariate_lengths": (covariates,),
            "log_noise": (scales,),
            "origin": (size,),
            **dict.fromkeys(("unit", "level", "freedom", "stretch"), ()),
        }


def _check(tensors: State) -> None:
    """Refuse tensors whose shapes contradict each other."""
    needed = {_ROWS + item.name for item in fields(Rows)} | {"centre", "width", "precision", "pull"}
    if lost := sorted(needed - set(tensors)):
        raise InputError(f"'{lost[0]}' is missing.")
    rows, coordinates = len(tensors["pull"]), len(tensors["centre"])
    size, covariates = len(tensors["origin"]), len(tensors[_SCALES + "covariate_lengths"])
    levels = len(tensors[_SCALES + "group"]) if _SCALES + "group" in tensors else 0
    lengths = {_SCALES + "group_lengths"} if levels else set()
    if lost := sorted(lengths - set(tensors)):
        raise InputError(f"'{lost[0]}' is missing.")
    shapes = {
        "width": (coordinates,),
        "precision": (rows * (rows + 1) // 2,),
        _SCALES + "shared_lengths": (coordinates,),
        _SCALES + "own_lengths": (coordinates,),
        _ROWS + "place": (rows, coordinates),
        _ROWS + "slope": (rows, size),
        _ROWS + "task": (rows,),
        _ROWS + "covariates": (rows, covariates),
        _ROWS + "unknown": (rows, covariates),
        _ROWS + "seen": (rows,),
        _ROWS + "group": (rows, levels),
    }
    if "trend" in tensors:
        shapes["trend"] = (size, covariates)
    if levels:
        shapes[_SCALES + "group_lengths"] = (levels, coordinates)
    first = [name for name in tensors if name.startswith(_FIRST)]
    for name in first:
        scale = _SCALES + name.removeprefix(_FIRST)
        if scale not in tensors:
            raise InputError(f"'{name}' is of no scale.")
        shapes[name] = tuple(tensors[scale].shape)
    for name, shape in shapes.items():
        if tuple(tensors[name].shape) != shape:
            raise InputError(f"'{name}' is of shape {tuple(tensors[name].shape)} where {shape} is needed.")
