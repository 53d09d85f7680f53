"""Named parameters of a model, and the scaled unconstrained coordinates in which they are calibrated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from metasci import math
from metasci.errors import InputError
from metasci.unit_grammar import declared_unit

__all__ = ["BoxCox", "Parameter", "ParameterSpace", "described_parameter", "parameter_described"]


@dataclass(frozen=True)
class Parameter:
    """A quantity of a model that differs from task to task.

    Parameters
    ----------
    name : str
        The quantity's name, an identifier such as ``"activation_energy"``.
    unit : str
        Its unit, ``"1"`` for a pure number.
    typical : float
        A value an expert would call ordinary; coordinate zero.
    positive : bool
        Whether the quantity is above zero; it is then calibrated as a logarithm.
    bounds : tuple of float, optional
        Lower and upper bound; it is then calibrated as a logit.
    spread : float
        How much the quantity ordinarily differs between tasks, on the unconstrained scale
        (for a positive quantity: 0.5 means by a factor of about 1.6); one unit of coordinate.
    description : str
        What it is, for tables and reports.
    tied : str
        Parameters of the same label are the same quantity on several occasions: in a learned Gaussian prior they have
        mean zero in their coordinate, one spread, and no correlation with others.
    shared : bool
        Whether it is the same for all tasks, and learned (a fixed effect); the learned Gaussian prior knows of it.

    Raises
    ------
    InputError
        If the typical value lies outside of what is allowed.

    Examples
    --------
    >>> rate = Parameter("rate", "1/s", typical=1e-3, positive=True, spread=2.0)
    >>> round(float(rate.to_physical(1.0)) / 1e-3, 3)
    7.389
    """

    name: str
    unit: str = "1"
    typical: float = 0.0
    positive: bool = False
    bounds: tuple[float, float] | None = None
    spread: float = 0.5
    description: str = ""
    tied: str = ""
    shared: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", declared_unit(self.unit, f"parameter '{self.name}'"))
        lower, upper = self.limits
        if self.bounds is not None and not np.isfinite(self.bounds).all():
            raise InputError(
                f"parameter '{self.name}': its bounds ({lower:g}, {upper:g}) must be finite; "
                "of a quantity that is only above zero say positive=True."
            )
        if not lower < self.typical < upper:
            raise InputError(
                f"parameter '{self.name}': its typical value {self.typical:g} must lie inside ({lower:g}, {upper:g})."
            )
        if not self.spread > 0:
            raise InputError(f"parameter '{self.name}': its spread must be above zero, not {self.spread:g}.")

    @property
    def limits(self) -> tuple[float, float]:
        """Lower and upper limit of the physical value."""
        if self.bounds is not None:
            return self.bounds
        return (0.0 if self.positive else -np.inf), np.inf

    @cached_property
    def _origin(self) -> float:
        """The typical value on the unconstrained scale."""
        return float(self._free(np.float64(self.typical)))

    def _unscale(self, free: Any) -> Any:
        if self.bounds is not None:
            lower, upper = self.bounds
            return lower + (upper - lower) * 0.5 * (1.0 + math.tanh(0.5 * free))
        return math.exp(free) if self.positive else free

    def _free(self, value: Any) -> Any:
        if self.bounds is not None:
            lower, upper = self.bounds
            return math.log((value - lower) / (upper - value))
        return math.log(value) if self.positive else value

    def to_physical(self, coordinate: Any) -> Any:
        """Physical value at a coordinate (torch, NumPy or PyTensor)."""
        return self._unscale(self._origin + self.spread * coordinate)

    def to_coordinate(self, value: Any) -> Any:
        """Coordinate of a physical value; values outside the limits give NaN or infinity."""
        return (self._free(value) - self._origin) / self.spread


@dataclass(frozen=True)
class BoxCox(Parameter):
    """A positive quantity whose logarithm is skewed: value = typical·exp((e^(λη) − 1)/λ), η = spread·coordinate.

    Source: Petersson and others, Pharm Res 26 (2009) 2174, the Box–Cox transformation of random effects.

    Parameters
    ----------
    skew : float
        λ; zero is the log-normal quantity.

    Examples
    --------
    >>> skewed = BoxCox("clearance", "L/h", 4.0, positive=True, spread=0.5, skew=0.4)
    >>> value = skewed.to_physical(1.0)
    >>> round(float(value), 4), round(float(skewed.to_coordinate(value)), 9)
    (6.9574, 1.0)
    """

    skew: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.positive or self.bounds is not None:
            raise InputError(f"parameter '{self.name}': a skewed logarithm is for positive quantities.")

    def to_physical(self, coordinate: Any) -> Any:
        eta = self.spread * coordinate
        return math.exp(self._origin + (math.expm1(self.skew * eta) / self.skew if self.skew else eta))

    def to_coordinate(self, value: Any) -> Any:
        off = math.log(value) - self._origin
        return (math.log1p(self.skew * off) / self.skew if self.skew else off) / self.spread


def described_parameter(parameter: Parameter) -> dict[str, Any]:
    """A parameter as plain text and numbers; that it is each task's own goes without saying."""
    described = asdict(parameter)
    if not described["shared"]:
        del described["shared"]
    return described


def parameter_described(entry: Mapping[str, Any]) -> Parameter:
    """The parameter of what `described_parameter` says, read from a file."""
    bounds = entry.get("bounds")
    kind = BoxCox if "skew" in entry else Parameter
    return kind(**{**entry, "bounds": None if bounds is None else tuple(bounds)})


@dataclass(frozen=True)
class ParameterSpace:
    """The ordered parameters of a model.

    Examples
    --------
    >>> space = ParameterSpace((Parameter("a", typical=2.0, positive=True), Parameter("b")))
    >>> space.names
    ('a', 'b')
    >>> {k: float(v) for k, v in space.to_physical(np.zeros(2)).items()}
    {'a': 2.0, 'b': 0.0}
    """

    parameters: tuple[Parameter, ...]
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        names = tuple(parameter.name for parameter in self.parameters)
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise InputError(f"parameter '{repeated[0]}' is declared twice.")
        object.__setattr__(self, "names", names)

    def __len__(self) -> int:
        return len(self.parameters)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self.parameters)

    def to_physical(self, coordinates: Any) -> dict[str, Any]:
        """Physical values by name, from coordinates of shape (..., parameter)."""
        if not self._all_positive:
            return {p.name: p.to_physical(coordinates[..., i]) for i, p in enumerate(self.parameters)}
        values = math.exp(
            math.like(self._origins, coordinates) + math.like(self._spreads, coordinates) * coordinates
        )
        return {name: values[..., i] for i, name in enumerate(self.names)}

    @cached_property
    def _all_positive(self) -> bool:
        plain = all(type(p) is Parameter and p.positive and p.bounds is None for p in self.parameters)
        return plain and len(self.parameters) > 1

    @cached_property
    def _origins(self) -> np.ndarray:
        return np.array([p._origin for p in self.parameters])

    @cached_property
    def _spreads(self) -> np.ndarray:
        return np.array([p.spread for p in self.parameters])

    def to_coordinates(self, values: Mapping[str, Any]) -> np.ndarray:
        """Coordinates of shape (..., parameter), from physical values by name (NumPy)."""
        missing = [name for name in self.names if name not in values]
        if missing:
            raise InputError(f"no value is given for parameter '{missing[0]}'.")
        return np.stack(
            [np.asarray(p.to_coordinate(np.asarray(values[p.name], float))) for p in self.parameters], -1
        )
