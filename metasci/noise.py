"""How measurements scatter about the model: each class is one residual error model, its density in its docstring.

The scales are carried as logarithms, so that they can be learned without constraint. A noise model
says on which scale it is Gaussian (`link`) and with what variance there; everything else follows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from metasci import math
from metasci.errors import InputError

__all__ = ["Additive", "Combined", "LogNormal", "Noise", "Proportional", "noise_named"]


@dataclass(frozen=True)
class Noise:
    """Base of the residual error models.

    Parameters
    ----------
    typical : tuple of float
        An ordinary value of each scale, where learning starts.
    """

    typical: tuple[float, ...]
    scales: ClassVar[tuple[str, ...]] = ()
    constant: ClassVar[bool] = False
    """Whether the variance on the linked scale is the same for every prediction."""

    def __post_init__(self) -> None:
        sound = isinstance(self.typical, tuple) and len(self.typical) == len(self.scales)
        if not (sound and all(value > 0 for value in self.typical)):
            raise InputError(
                f"{type(self).__name__} noise needs a tuple of {len(self.scales)} typical value(s) above zero "
                f"({', '.join(self.scales)}), not {self.typical!r}."
            )

    def link(self, value: Any) -> Any:
        """The scale on which the noise is Gaussian."""
        return value

    def unlink(self, value: Any) -> Any:
        """The inverse of `link`."""
        return value

    def variance(self, prediction: Any, log_scales: Any) -> Any:
        """Variance on the linked scale, of the prediction's shape; `log_scales` is indexed by scale."""
        raise NotImplementedError


@dataclass(frozen=True)
class Additive(Noise):
    """Constant noise, y ~ N(f, σ²), with σ in the output's unit.

    Examples
    --------
    >>> import numpy as np
    >>> Additive().variance(np.array([1.0, 2.0]), np.log([0.5])).tolist()
    [0.25, 0.25]
    """

    typical: tuple[float, ...] = (1.0,)
    scales: ClassVar[tuple[str, ...]] = ("sd",)
    constant: ClassVar[bool] = True

    def variance(self, prediction: Any, log_scales: Any) -> Any:
        return math.exp(2.0 * log_scales[0]) + 0.0 * prediction


@dataclass(frozen=True)
class Proportional(Noise):
    """Noise in proportion to the prediction, y ~ N(f, σ²f²); needs f ≠ 0."""

    typical: tuple[float, ...] = (0.1,)
    scales: ClassVar[tuple[str, ...]] = ("cv",)

    def variance(self, prediction: Any, log_scales: Any) -> Any:
        return math.exp(2.0 * log_scales[0]) * prediction**2


@dataclass(frozen=True)
class Combined(Noise):
    """A constant and a proportional part, y ~ N(f, σ₁² + σ₂²f²)."""

    typical: tuple[float, ...] = (0.3, 0.1)
    scales: ClassVar[tuple[str, ...]] = ("sd", "cv")

    def variance(self, prediction: Any, log_scales: Any) -> Any:
        return math.exp(2.0 * log_scales[0]) + math.exp(2.0 * log_scales[1]) * prediction**2


@dataclass(frozen=True)
class LogNormal(Noise):
    """Noise that is Gaussian on the logarithm, ln y ~ N(ln f, σ²); measurements must be above zero."""

    typical: tuple[float, ...] = (0.1,)
    scales: ClassVar[tuple[str, ...]] = ("log_sd",)
    constant: ClassVar[bool] = True

    def link(self, value: Any) -> Any:
        return math.log(value)

    def unlink(self, value: Any) -> Any:
        return math.exp(value)

    def variance(self, prediction: Any, log_scales: Any) -> Any:
        return math.exp(2.0 * log_scales[0]) + 0.0 * prediction


def noise_named(kind: str, typical: tuple[float, ...] | None = None) -> Noise:
    """The noise model called ``additive``, ``proportional``, ``combined`` or ``log-normal``."""
    kinds = {
        "additive": Additive,
        "proportional": Proportional,
        "combined": Combined,
        "log-normal": LogNormal,
    }
    if kind not in kinds:
        raise InputError(f"there is no noise model '{kind}'; known are {', '.join(kinds)}.")
    return kinds[kind](typical) if typical else kinds[kind]()
