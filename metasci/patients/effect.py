"""What every effect of a covariate on a parameter is: a factor, fixed or with numbers that are learned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metasci.errors import InputError
from metasci.parameters import Parameter

__all__ = ["Effect", "Number", "factors"]

Number = float | Parameter
"""A fixed number, or one that is learned."""


@dataclass(frozen=True)
class Effect(ABC):
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

    @property
    def needs(self) -> dict[str, tuple[str, tuple[float, float]]]:
        """Every covariate that it takes: unit and limits."""
        return {self.covariate: (self.unit, self.limits)}

    @abstractmethod
    def factor(self, value: Any, learned: Mapping[str, Any]) -> Any:
        """By what the parameter is multiplied, from the covariate and the learned numbers."""

    def of(self, covariates: Mapping[str, Any], learned: Mapping[str, Any]) -> Any:
        """The factor, from all covariates of the patient."""
        return self.factor(covariates[self.covariate], learned)

    def _number(self, number: Number, learned: Mapping[str, Any]) -> Any:
        return learned[number.name] if isinstance(number, Parameter) else number


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
            changed[name] = changed[name] * effect.of(covariates, values)
    return changed
