"""Hardness read on the Rockwell C scale, whose steps are not alike: what scatters evenly is the Vickers hardness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from metasci import math
from metasci.noise import Noise

__all__ = ["LogNormalVickers"]

_LIMIT, _DEPTH = 116.0, 1500.0  # HRC = 116 − 1500/√HV


@dataclass(frozen=True)
class LogNormalVickers(Noise):
    """Noise of Rockwell C readings that is Gaussian on the logarithm of the Vickers hardness, ln HV ~ N(ln HV(f), σ²).

    A Rockwell number is read off a depth: near 60 HRC an error of a hundredth of the hardness is 0.3 HRC, near
    20 HRC it is 0.5. Readings lie below 116 HRC. Source: ASTM E140, table 1, to which HRC = 116 − 1500/√HV is within
    1.3 HRC from 20 to 65 HRC.

    Examples
    --------
    >>> import numpy as np
    >>> noise = LogNormalVickers()
    >>> hardness = np.exp(noise.link(np.array([20.0, 60.0])))
    >>> hardness.round().tolist()
    [244.0, 717.0]
    >>> noise.unlink(np.log(1.01 * hardness)).round(1).tolist()
    [20.5, 60.3]
    """

    typical: tuple[float, ...] = (0.03,)
    scales: ClassVar[tuple[str, ...]] = ("log_sd",)
    constant: ClassVar[bool] = True
    follows_prediction: ClassVar[bool] = False

    def link(self, value: Any) -> Any:
        return 2.0 * math.log(_DEPTH / (_LIMIT - value))

    def unlink(self, value: Any) -> Any:
        return _LIMIT - _DEPTH * math.exp(-0.5 * value)

    def variance(self, prediction: Any, log_scales: Any, inputs: Mapping[str, Any] | None = None) -> Any:
        return math.exp(2.0 * log_scales[0]) + 0.0 * prediction
