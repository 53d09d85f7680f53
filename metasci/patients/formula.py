"""What none of the named effects says: any function of covariates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metasci.errors import InputError
from metasci.patients.effect import Effect

__all__ = ["Formula"]


@dataclass(frozen=True)
class Formula(Effect):
    """Any differentiable function of covariates, written with `metasci.math`.

    Parameters
    ----------
    function : callable
        ``function(*, covariates...)``: a factor, or where `reference` is given the typical value itself.
    units : mapping of str to str
        Of every covariate that the function takes.
    reference : mapping of str to float, optional
        The patient to whom the parameter's own value belongs. The factor is then function(patient)/function(reference),
        so that the parameter is that of the reference patient, whatever the formula.
    within : mapping of str to pair of float, optional
        Least and greatest value of a covariate that makes sense; zero and infinity by default.
    of_whom : str
        Without a reference: to whom the parameter's own value belongs, in words.

    Examples
    --------
    >>> import numpy as np
    >>> renal = Formula(function=lambda *, crcl: 0.5 + 0.06 * crcl, units={"crcl": "mL/min"}, reference={"crcl": 100.0})
    >>> renal.typical, renal.of({"crcl": np.array([100.0, 50.0])}, {}).round(4).tolist()
    (6.5, [1.0, 0.5385])
    >>> float(renal.factor(np.array(50.0), {}).round(4))
    0.5385
    """

    covariate: str = ""
    function: Callable[..., Any] = field(kw_only=True)
    units: Mapping[str, str] = field(kw_only=True)
    reference: Mapping[str, float] = field(default_factory=dict, kw_only=True)
    within: Mapping[str, tuple[float, float]] = field(default_factory=dict, kw_only=True)
    of_whom: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if self.reference and set(self.reference) != set(self.units):
            odd = sorted(set(self.reference) ^ set(self.units))[0]
            raise InputError(f"a formula's reference patient and its units differ in '{odd}'.")

    @property
    def needs(self) -> dict[str, tuple[str, tuple[float, float]]]:
        return {name: (unit, self.within.get(name, (0.0, float("inf")))) for name, unit in self.units.items()}

    @property
    def typical(self) -> float:
        """The value of the reference patient."""
        if not self.reference:
            raise InputError("a formula that is a typical value needs a `reference` patient.")
        return float(self.function(**{name: np.float64(value) for name, value in self.reference.items()}))

    def factor(self, value: Any, learned: Mapping[str, Any]) -> Any:
        if len(self.units) != 1:
            raise InputError(f"this formula takes {len(self.units)} covariates: {', '.join(self.units)}.")
        return self.of(dict.fromkeys(self.units, value), learned)

    def of(self, covariates: Mapping[str, Any], learned: Mapping[str, Any]) -> Any:
        value = self.function(**{name: covariates[name] for name in self.units})
        return value / self.typical if self.reference else value
