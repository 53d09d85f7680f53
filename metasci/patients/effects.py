"""How covariates change a patient's parameters: each effect is a factor, fixed or with numbers that are learned.

Effects multiply: CL = CL₀ · (weight/70)^0.75 · maturation(age) · …. A number given as a `Parameter` instead of a float
is learned with the others. What none of the named effects says, such as CL = nonrenal + renal·creatinine clearance, is
a `Formula`: any function of covariates written with `metasci.math` (see `metasci.patients.body`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from metasci.errors import InputError
from metasci.math import exp, log, where
from metasci.parameters import Parameter, parameter_described
from metasci.patients.effect import Effect, Number, factors
from metasci.patients.formula import Formula

__all__ = [
    "Category",
    "Effect",
    "Exponential",
    "Formula",
    "Linear",
    "Maturation",
    "Occasion",
    "Power",
    "Threshold",
    "described_effect",
    "effect_described",
    "factors",
]

_ABOVE_ZERO = 1e-9  # below any covariate that is measured: a power of zero has no slope


@dataclass(frozen=True)
class Power(Effect):
    """(x / reference)^exponent: allometry with exponent 0.75 for clearances and 1 for volumes, or a centred power.

    Source: West, Brown and Enquist, Science 276 (1997) 122; Holford, Clin Pharmacokinet 30 (1996) 329.

    Examples
    --------
    >>> import numpy as np
    >>> float(Power("weight", "kg", 70.0, 0.75).factor(np.array(35.0), {}).round(4))
    0.5946
    """

    reference: float = 1.0
    exponent: Number = 1.0

    @property
    def limits(self) -> tuple[float, float]:
        return _ABOVE_ZERO, float("inf")

    def factor(self, value: Any, learned: Mapping[str, Any]) -> Any:
        return (value / self.reference) ** self._number(self.exponent, learned)


@dataclass(frozen=True)
class Maturation(Effect):
    """x^h / (x^h + x₅₀^h): how a function of the body ripens with (postmenstrual) age.

    Source: Anderson and Holford, Annu Rev Pharmacol Toxicol 48 (2008) 303.

    Examples
    --------
    >>> import numpy as np
    >>> float(Maturation("postmenstrual_age", "week", 47.7, 3.4).factor(np.array(47.7), {}))
    0.5
    """

    half: Number = 50.0
    steepness: Number = 3.4

    @property
    def limits(self) -> tuple[float, float]:
        return _ABOVE_ZERO, float("inf")

    def factor(self, value: Any, learned: Mapping[str, Any]) -> Any:
        steepness = self._number(self.steepness, learned)
        return 1.0 / (
            1.0 + exp(-steepness * (log(value) - log(self._number(self.half, learned) + 0.0 * value)))
        )


@dataclass(frozen=True)
class Linear(Effect):
    """1 + slope · (x − centre), kept above a thousandth."""

    centre: float = 0.0
    slope: Number = 0.0

    def factor(self, value: Any, learned: Mapping[str, Any]) -> Any:
        raw = 1.0 + self._number(self.slope, learned) * (value - self.centre)
        return where(raw > 1e-3, raw, 1e-3 + 0.0 * raw)


@dataclass(frozen=True)
class Exponential(Effect):
    """exp(slope · (x − centre))."""

    centre: float = 0.0
    slope: Number = 0.0

    def factor(self, value: Any, learned: Mapping[str, Any]) -> Any:
        return exp(self._number(self.slope, learned) * (value - self.centre))


@dataclass(frozen=True)
class Category(Effect):
    """A factor for one value of a coded covariate, such as 2 for women; every other value has factor one.

    A learned factor is the exponential of the learned number.

    Examples
    --------
    >>> import numpy as np
    >>> Category("sex", code=2.0, times=0.8).factor(np.array([1.0, 2.0]), {}).tolist()
    [1.0, 0.8]
    """

    code: float = 1.0
    times: Number = 1.0

    def factor(self, value: Any, learned: Mapping[str, Any]) -> Any:
        number = self._number(self.times, learned)
        times = exp(number) if isinstance(self.times, Parameter) else number
        return where(value == self.code, times + 0.0 * value, 1.0 + 0.0 * value)


@dataclass(frozen=True)
class Threshold(Effect):
    """A factor below a value of the covariate, and another from there on: IF (APGR.LT.5) TVV = TVV·(1 + θ).

    Examples
    --------
    >>> import numpy as np
    >>> Threshold("apgar", at=5.0, below=1.15892).factor(np.array([4.0, 5.0]), {}).tolist()
    [1.15892, 1.0]
    """

    at: float = 0.0
    below: float = 1.0
    above: float = 1.0

    def factor(self, value: Any, learned: Mapping[str, Any]) -> Any:
        return where(value < self.at, self.below + 0.0 * value, self.above + 0.0 * value)


@dataclass(frozen=True)
class Occasion(Effect):
    """Between-occasion variability: on occasion k the parameter is multiplied by exp(κₖ), κ ~ N(0, the same for all k).

    Parameters
    ----------
    parameter : str
        Which parameter it belongs to, for the names of κ.
    count : int
        Most occasions that a patient may have, numbered from 1.
    spread : float
        An ordinary size of κ.

    Source: Karlsson and Sheiner, J Pharmacokinet Biopharm 21 (1993) 735.

    Examples
    --------
    >>> [kappa.name for kappa in Occasion(parameter="clearance", count=2).learned]
    ['clearance_occasion_1', 'clearance_occasion_2']
    """

    covariate: str = "occasion"
    parameter: str = ""
    count: int = 2
    spread: float = 0.2

    @property
    def limits(self) -> tuple[float, float]:
        return 1.0, float(self.count)

    @property
    def learned(self) -> tuple[Parameter, ...]:
        about = f"deviation of ln {self.parameter} on this occasion"
        return tuple(
            Parameter(
                f"{self.parameter}_occasion_{k}",
                "1",
                0.0,
                spread=self.spread,
                description=about,
                tied=f"{self.parameter}_occasion",
            )
            for k in range(1, self.count + 1)
        )

    def factor(self, value: Any, learned: Mapping[str, Any]) -> Any:
        total = 0.0 * value
        for k in range(1, self.count + 1):
            kappa = learned[f"{self.parameter}_occasion_{k}"]
            total = total + where(value == float(k), kappa + 0.0 * value, 0.0 * value)
        return exp(total)


_NAMED: dict[str, Any] = {
    kind.__name__: kind for kind in (Category, Exponential, Linear, Maturation, Occasion, Power, Threshold)
}


def described_effect(effect: Effect) -> dict[str, Any] | None:
    """An effect as plain numbers and text, or None where it is code.

    Examples
    --------
    >>> effect_described(described_effect(Power("weight", "kg", 70.0, 0.75)))
    Power(covariate='weight', unit='kg', reference=70.0, exponent=0.75)
    """
    if type(effect).__name__ not in _NAMED:
        return None
    values = {item.name: getattr(effect, item.name) for item in fields(effect)}
    plain = {key: asdict(value) if isinstance(value, Parameter) else value for key, value in values.items()}
    return {"kind": type(effect).__name__, **plain}


def effect_described(described: Mapping[str, Any]) -> Effect:
    """The effect of what `described_effect` says."""
    values = dict(described)
    kind = values.pop("kind")
    if kind not in _NAMED:
        raise InputError(f"the effect '{kind}' is not known to this version of metasci.")
    plain = {
        key: parameter_described(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
    }
    effect: Effect = _NAMED[kind](**plain)
    return effect
