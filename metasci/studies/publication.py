"""What a publication says of a population, beside the model that stands in `metasci.patients`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from metasci.model import Model
from metasci.noise import Noise
from metasci.priors.equation import Prior

__all__ = ["MAN_WOMAN", "Publication"]

MAN_WOMAN = "sex is 1 for men and 2 for women"
"""How all models that ship number the sexes."""


@dataclass(frozen=True, kw_only=True)
class Publication:
    """Numbers of a paper; their meanings are those of `metasci.priors.published.published`."""

    model: Model = field(kw_only=False)
    source: str
    population: str
    variability: Mapping[Any, float | str]
    noise: Noise
    correlation: Mapping[tuple[str, str], float] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The model's, and the prior's: drug, first author, year."""
        return self.model.name.rpartition(".")[2]

    def prior(self) -> Prior:
        """The prior of these numbers."""
        return Prior.published(
            self.model,
            name=self.name,
            source=self.source,
            population=self.population,
            variability=self.variability,
            noise=self.noise,
            correlation=self.correlation,
            ranges=self.ranges,
            remarks=self.remarks,
        )
