"""The moments at which amounts begin and end to enter a patient: the corners of a curve, and the peak of an infusion.

They depend on the patient (a lag, a duration of absorption, a fraction that shortens an infusion) and are known where
doses are turned into inputs, whatever the kind of model. So whoever wants them listens while a model is computed.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Moments", "noted"]


class Moments:
    """Within it, the moments of all doses that models compute with are collected.

    Examples
    --------
    >>> from metasci.patients import Structure
    >>> from metasci.patients.regimen import DoseArrays
    >>> one = np.ones((1, 1))
    >>> typical = {"clearance": one[0], "volume": one[0], "lag": 0.5 * one[0]}
    >>> with Moments() as moments:
    ...     _ = Structure(1, lag=True).concentration(one[0], DoseArrays(one, 0 * one, 2 * one, 0 * one, one), typical)
    >>> moments.between(0.0, 10.0).tolist()
    [0.5, 2.5]
    """

    _current: ContextVar[Moments | None] = ContextVar("moments", default=None)

    def __init__(self) -> None:
        self._times: list[NDArray[np.float64]] = []
        self._token: Token[Moments | None] | None = None

    def __enter__(self) -> Moments:
        self._token = self._current.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._token is not None
        self._current.reset(self._token)

    @classmethod
    def current(cls) -> Moments | None:
        """Within which one we are."""
        return cls._current.get()

    def add(self, times: Any) -> None:
        """Note some moments, of any shape."""
        array = times.detach().cpu().numpy() if hasattr(times, "detach") else times
        self._times.append(np.asarray(array, float).ravel())

    def between(self, low: float, high: float, most: int | None = None) -> NDArray[np.float64]:
        """Those from one time to another, rising, each once; of too many, every so manieth and the ends."""
        times = np.unique(np.concatenate([*self._times, np.empty(0)]))
        times = times[(times >= low) & (times <= high)]
        if most is None or len(times) <= most:
            return times
        return times[np.linspace(0, len(times) - 1, most).round().astype(int)]


def noted(begin: Any, duration: Any = 0.0) -> None:
    """Tell whoever listens when amounts begin to enter, and how long they do."""
    moments = Moments.current()
    if moments is not None:
        moments.add(begin)
        moments.add(begin + duration)
