"""How measurements scatter about the model: each class is one residual error model, its density in its docstring.

The scales are carried as logarithms, so that they can be learned without constraint. A noise model
says on which scale it is Gaussian (`link`) and with what variance there; everything else follows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from metasci import math
from metasci.errors import InputError

__all__ = [
    "Additive",
    "Combined",
    "CombinedDeviations",
    "EarlyAdditive",
    "EarlyLogNormal",
    "LogNormal",
    "Noise",
    "PowerNoise",
    "Proportional",
    "Several",
]


@dataclass(frozen=True)
class Noise(ABC):
    """Base of the residual error models.

    Parameters
    ----------
    typical : tuple of float
        An ordinary value of each scale, where learning starts.
    """

    typical: tuple[float, ...]
    scales: ClassVar[tuple[str, ...]] = ()
    constant: ClassVar[bool] = False
    """Whether the variance on the linked scale is the same for every measurement."""
    follows_prediction: ClassVar[bool] = True
    """Whether the variance on the linked scale moves with the prediction."""
    gaussian: ClassVar[bool] = True
    """Whether measurements scatter as Gaussians on the linked scale; `metasci.outcomes` are what does not."""
    measures: ClassVar[bool] = True
    """Whether it is of measurements that scatter about a curve in their own unit."""

    def __post_init__(self) -> None:
        sound = isinstance(self.typical, tuple) and len(self.typical) == len(self.scales)
        if not (sound and all(value > 0 for value in self.typical)):
            raise InputError(
                f"{type(self).__name__} noise needs a tuple of {len(self.scales)} typical value(s) above zero "
                f"({', '.join(self.scales)}), not {self.typical!r}."
            )

    @property
    def size(self) -> float:
        """An ordinary size of the scatter, in whose units broken laws are counted."""
        return self.typical[0]

    @property
    def predictors(self) -> int:
        """How many numbers the equation returns for one measurement."""
        return 1

    @property
    def written(self) -> str:
        """What to do where a cell is no number, as the end of a sentence; nothing where that is plain."""
        return ""

    @property
    def codes(self) -> Mapping[str, float]:
        """Numbers for the texts that measurements are told in; none where they are numbers."""
        return {}

    def link(self, value: Any) -> Any:
        """The scale on which the noise is Gaussian."""
        return value

    def unlink(self, value: Any) -> Any:
        """The inverse of `link`."""
        return value

    @abstractmethod
    def variance(self, prediction: Any, log_scales: Any, inputs: Mapping[str, Any] | None = None) -> Any:
        """Variance on the linked scale, of the prediction's shape.

        `log_scales` is indexed by scale; `inputs` are the conditions of the measurements, which matter where a model
        has several outputs.
        """


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
    follows_prediction: ClassVar[bool] = False

    def variance(self, prediction: Any, log_scales: Any, inputs: Mapping[str, Any] | None = None) -> Any:
        return math.exp(2.0 * log_scales[0]) + 0.0 * prediction


@dataclass(frozen=True)
class EarlyAdditive(Additive):
    """Noise that is greater at first and then constant, y ~ N(f, σ²(1 + κ² e^(−2t/τ))), with σ in the output's unit.

    For what a model has too simply at first: drugs by mouth are absorbed by fits and starts, and a sample taken
    a few minutes late tells of another concentration. What such noise leaves to later measurements is their own, small
    scatter. As a remedy it is that of Karlsson, Beal and Sheiner, J Pharmacokinet Biopharm 23 (1995) 651, whose third
    model lets the noise follow the slope of the curve.

    Parameters
    ----------
    typical : tuple of float
        σ, κ, and τ in the unit of the input. All three are learned.
    by : str
        The input that says how long it has been.

    Examples
    --------
    >>> import numpy as np
    >>> noise = EarlyAdditive((0.5, 3.0, 2.0))
    >>> noise.variance(np.ones(2), np.log(noise.typical), {"time": np.array([0.0, 48.0])}).round(6).tolist()
    [2.5, 0.25]
    """

    typical: tuple[float, ...] = (1.0, 2.0, 1.0)
    by: str = "time"
    scales: ClassVar[tuple[str, ...]] = ("sd", "early", "over")
    constant: ClassVar[bool] = False

    def variance(self, prediction: Any, log_scales: Any, inputs: Mapping[str, Any] | None = None) -> Any:
        passed = _passed(inputs, self.by) * math.exp(-log_scales[2])
        early = math.exp(2.0 * (log_scales[1] - passed))
        return math.exp(2.0 * log_scales[0]) * (1.0 + early) + 0.0 * prediction


@dataclass(frozen=True)
class Proportional(Noise):
    """Noise in proportion to the prediction, y ~ N(f, σ²f²); needs f ≠ 0."""

    typical: tuple[float, ...] = (0.1,)
    scales: ClassVar[tuple[str, ...]] = ("cv",)

    def variance(self, prediction: Any, log_scales: Any, inputs: Mapping[str, Any] | None = None) -> Any:
        return math.exp(2.0 * log_scales[0]) * prediction**2


@dataclass(frozen=True)
class Combined(Noise):
    """A constant and a proportional part, y ~ N(f, σ₁² + σ₂²f²)."""

    typical: tuple[float, ...] = (0.3, 0.1)
    scales: ClassVar[tuple[str, ...]] = ("sd", "cv")

    def variance(self, prediction: Any, log_scales: Any, inputs: Mapping[str, Any] | None = None) -> Any:
        return math.exp(2.0 * log_scales[0]) + math.exp(2.0 * log_scales[1]) * prediction**2


@dataclass(frozen=True)
class CombinedDeviations(Noise):
    """A constant and a proportional part whose standard deviations add up, y ~ N(f, (σ₁ + σ₂f)²).

    What Monolix and nlmixr call ``combined1``; `Combined` is their ``combined2``.

    Examples
    --------
    >>> import numpy as np
    >>> noise = CombinedDeviations((0.2, 0.1))
    >>> noise.variance(np.array([0.0, 10.0]), np.log(noise.typical)).round(9).tolist()
    [0.04, 1.44]
    """

    typical: tuple[float, ...] = (0.3, 0.1)
    scales: ClassVar[tuple[str, ...]] = ("sd", "cv")

    def variance(self, prediction: Any, log_scales: Any, inputs: Mapping[str, Any] | None = None) -> Any:
        return (math.exp(log_scales[0]) + math.exp(log_scales[1]) * math.absolute(prediction)) ** 2


@dataclass(frozen=True)
class PowerNoise(Noise):
    """Noise that grows with a power of the prediction, y ~ N(f, (σ|f|^γ)²); needs f ≠ 0.

    Examples
    --------
    >>> import numpy as np
    >>> noise = PowerNoise((0.2, 0.5))
    >>> noise.variance(np.array([4.0, 100.0]), np.log(noise.typical)).round(9).tolist()
    [0.16, 4.0]
    """

    typical: tuple[float, ...] = (0.1, 0.8)
    scales: ClassVar[tuple[str, ...]] = ("factor", "power")

    def variance(self, prediction: Any, log_scales: Any, inputs: Mapping[str, Any] | None = None) -> Any:
        growth = math.exp(log_scales[1]) * math.log(math.absolute(prediction))
        return math.exp(2.0 * (log_scales[0] + growth))


@dataclass(frozen=True)
class LogNormal(Noise):
    """Noise that is Gaussian on the logarithm, ln y ~ N(ln f, σ²); measurements must be above zero."""

    typical: tuple[float, ...] = (0.1,)
    scales: ClassVar[tuple[str, ...]] = ("log_sd",)
    constant: ClassVar[bool] = True
    follows_prediction: ClassVar[bool] = False

    def link(self, value: Any) -> Any:
        return math.log(value)

    def unlink(self, value: Any) -> Any:
        return math.exp(value)

    def variance(self, prediction: Any, log_scales: Any, inputs: Mapping[str, Any] | None = None) -> Any:
        return math.exp(2.0 * log_scales[0]) + 0.0 * prediction


@dataclass(frozen=True)
class EarlyLogNormal(LogNormal):
    """Log-normal noise that is greater at first, ln y ~ N(ln f, σ²(1 + κ² e^(−2t/τ))).

    For drugs injected into a vein: compartments mix at once, blood takes a minute or two.

    Parameters
    ----------
    typical : tuple of float
        σ and κ.
    by : str
        The input that says how long it has been.
    over : float
        τ, in the unit of that input.

    Examples
    --------
    >>> import numpy as np
    >>> noise = EarlyLogNormal((0.2, 3.0), over=1.0)
    >>> noise.variance(np.ones(2), np.log(noise.typical), {"time": np.array([0.0, 30.0])}).round(6).tolist()
    [0.4, 0.04]
    """

    typical: tuple[float, ...] = (0.2, 2.0)
    by: str = "time"
    over: float = 1.0
    scales: ClassVar[tuple[str, ...]] = ("log_sd", "early")
    constant: ClassVar[bool] = False

    def variance(self, prediction: Any, log_scales: Any, inputs: Mapping[str, Any] | None = None) -> Any:
        early = math.exp(2.0 * (log_scales[1] - _passed(inputs, self.by) / self.over))
        return math.exp(2.0 * log_scales[0]) * (1.0 + early) + 0.0 * prediction


def _passed(inputs: Mapping[str, Any] | None, by: str) -> Any:
    if inputs is None or by not in inputs:
        raise InputError(f"noise that is greater at first needs the input '{by}' of every measurement.")
    return inputs[by]


@dataclass(frozen=True)
class Several(Noise):
    """Several outputs, each with a noise of its own, y ~ p_d(y | f), d being an input of the model.

    Parameters
    ----------
    by : str
        The input that says of each measurement which output it is: 1, 2, …
    noises : tuple of Noise
        In that order. They have to be Gaussian on the same scale.

    Examples
    --------
    >>> import numpy as np
    >>> noise = Several(by="output", noises=(Proportional((0.1,)), Additive((2.0,))))
    >>> inputs = {"output": np.array([1.0, 2.0])}
    >>> noise.variance(np.array([10.0, 10.0]), np.log(noise.typical), inputs).round(6).tolist()
    [1.0, 4.0]
    """

    by: str = ""
    noises: tuple[Noise, ...] = ()
    typical: tuple[float, ...] = field(default=(), init=False)
    scales: tuple[str, ...] = field(default=(), init=False)  # type: ignore[misc]

    def __post_init__(self) -> None:
        if not self.by or len(self.noises) < 2 or any(isinstance(noise, Several) for noise in self.noises):
            raise InputError("Several noise needs the name of an input, `by`, and two or more noises.")
        if not all(noise.gaussian for noise in self.noises):
            raise InputError(
                "Several noise is of measurements about curves; outputs of different kinds are "
                "`ms.outcomes.Mixed(by=…, kinds=…)`."
            )
        if len({isinstance(noise, LogNormal) for noise in self.noises}) > 1:
            raise InputError("Several noise cannot mix log-normal noise with noise on the measured scale.")
        scales = [f"{scale}_{place}" for place, noise in enumerate(self.noises, 1) for scale in noise.scales]
        object.__setattr__(self, "scales", tuple(scales))
        object.__setattr__(self, "typical", tuple(value for noise in self.noises for value in noise.typical))

    def link(self, value: Any) -> Any:
        return self.noises[0].link(value)

    def unlink(self, value: Any) -> Any:
        return self.noises[0].unlink(value)

    def variance(self, prediction: Any, log_scales: Any, inputs: Mapping[str, Any] | None = None) -> Any:
        if inputs is None:
            raise InputError(
                f"the noise of several outputs needs the input '{self.by}' of every measurement."
            )
        total, first = 0.0 * prediction, 0
        for place, noise in enumerate(self.noises, 1):
            own = [log_scales[first + at] for at in range(len(noise.scales))]
            total = math.where(inputs[self.by] == float(place), noise.variance(prediction, own), total)
            first += len(noise.scales)
        return total
