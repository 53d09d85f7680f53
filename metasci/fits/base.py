"""What the calibrations of all kinds of priors have in common: tables, a summary, warnings, plain numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import pandas as pd
import xarray as xr

from metasci.data.tasks import Batch, TaskSet
from metasci.learned.base import Learned

__all__ = ["Fit"]


class Fit(ABC):
    """Calibrated tasks of a prior.

    Attributes
    ----------
    prior : Learned
    tasks : TaskSet
    batch : Batch
        The tasks as tensors, in the model's units.
    """

    prior: Learned
    tasks: TaskSet
    batch: Batch

    files: ClassVar[tuple[str, ...]]
    """What a saved calibration consists of."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.tasks)} {self._things()} with the prior '{self.prior.name}')"

    def _repr_html_(self) -> str:
        from metasci.fits.notebook import fit_html

        return fit_html(self)

    def _things(self) -> str:
        return "task(s)"

    @property
    @abstractmethod
    def warnings(self) -> list[str]:
        """What a reader has to know, one sentence each."""

    @abstractmethod
    def table(self, level: float = 0.9) -> pd.DataFrame:
        """What was calibrated, a row each, with intervals."""

    @abstractmethod
    def to_xarray(self, level: float = 0.9) -> xr.Dataset:
        """Everything as labelled arrays, with units."""

    @abstractmethod
    def _lines(self, level: float) -> list[str]:
        """The table to read."""

    @abstractmethod
    def _numbers(self, level: float) -> dict[str, Any]:
        """What `to_json` holds of this kind of calibration."""

    def summary(self, level: float = 0.9) -> str:
        """The table to read, with warnings below."""
        return "\n".join([*self._lines(level), *(f"  warning: {warning}" for warning in self.warnings)])

    def to_json(self, level: float = 0.9) -> dict[str, Any]:
        """Everything as plain numbers and text, with warnings."""
        return {
            "prior": self.prior.name,
            "model": self.prior.model.name,
            "tasks": list(self.batch.names),
            **self._numbers(level),
            "warnings": self.warnings,
        }
