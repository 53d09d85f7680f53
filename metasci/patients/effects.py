"""How covariates change a patient's parameters: each effect is a factor, fixed or with numbers that are learned.

Effects multiply: CL = CL₀ · (weight/70)^0.75 · maturation(age) · …. A number given as a `Parameter` instead of a float
is learned with the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metasci.errors import InputError
from metasci.math import exp, log, where
from metasci.parameters import Parameter

__all__ = ["Category", "Effect", "Exponential", "Linear", "Maturation", "Occasion", "Power", "factors"]

_ABOVE_ZERO = 1e-9

Number = float | Parameter
"""A fixed number, or one that is learned."""


@dataclass(frozen=True)
class Effect:
    """Base of the effects.

    Parameters
    ----------
    covariate : str
        The property of the patient.
    unit : str
        In which the effect takes it.
    """

    covariate: str
    unit: str = "1"

    @property
    def learned(self) -> tuple[Parameter, ...]:
        """The numbers that are learned."""
        return tuple(value for value in vars(self).values() if isinstance(value, Parameter))

    @property
    def limits(self) -> tuple[float, float]:
        """Least and greatest value of the covariate that make sense."""
        return -float("inf"), float("inf")

    def factor(self, value: Any, learned: Mapping[str, Any]) -> Any:
        """By what the parameter is multiplied, from the covariate and the learned numbers."""
        raise NotImplementedError

    def _number(self, number: Number, learned: Mapping[str, Any]) -> Any:
        return learned[number.name] if isinstance(number, Parameter) else number


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
                f"{self.parameter}_occasion_{k}", "1", 0.0, spread=self.spread, description=about,
                tied=f"{self.parameter}_occasion",
            )
            for k in range(1, self.count + 1)
        )  # fmt: skip

    def factor(self, value: Any, learned: Mapping[str, Any]) -> Any:
        total = 0.0 * value
        for k in range(1, self.count + 1):
            kappa = learned[f"{self.parameter}_occasion_{k}"]
            total = total + where(value == float(k), kappa + 0.0 * value, 0.0 * value)
        return exp(total)


def factors(
    effects: Mapping[str, Sequence[Effect]], values: Mapping[str, Any], covariates: Mapping[str, Any]
) -> dict[str, Any]:
    """Parameters with the effects of covariates on them.

    Parameters
    ----------
    effects : mapping of str to sequence of Effect
        By the parameter that each multiplies.
    values : mapping of str to array
        Parameters and learned numbers.
    covariates : mapping of str to array
    """
    changed = dict(values)
    for name, several in effects.items():
        if name not in values:
            raise InputError(
                f"an effect is on '{name}', which is no parameter; they are {', '.join(values)}."
            )
        for effect in several:
            changed[name] = changed[name] * effect.factor(covariates[effect.covariate], values)
    return changed
