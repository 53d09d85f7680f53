"""Tasks of an equation with what was adapted to them: what everything that is said of a calibration is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from metasci.constraints.verdicts import rounding, verdicts
from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.fits.base import Fit
from metasci.fits.predictive import median_curve, predictive
from metasci.forecasts import Forecast
from metasci.learned.equation import LearnedEquation
from metasci.meta.adapted import Adapted
from metasci.meta.problem import Problem

if TYPE_CHECKING:
    from metasci.constraints import Collocation

__all__ = ["AdaptedTasks"]


@dataclass(frozen=True, repr=False)
class AdaptedTasks(Fit):
    """Calibrated tasks of an equation.

    Attributes
    ----------
    prior : LearnedEquation
    tasks : TaskSet
    batch : Batch
    adapted : Adapted
    """

    prior: LearnedEquation
    tasks: TaskSet
    batch: Batch
    adapted: Adapted

    @classmethod
    def of(
        cls,
        prior: LearnedEquation,
        tasks: TaskSet,
        device: torch.device | str = "cpu",
        together: bool = False,
    ) -> Self:
        """Calibrate tasks that the prior has read, on a device; those of one group of a level `together`, if asked."""
        batch = prior.batch(tasks)
        return cls(prior, tasks, batch, prior.adapt(batch, device, together))

    @property
    def problem(self) -> Problem:
        """The model held against these measurements."""
        return self.prior.problem(self.batch)

    @cached_property
    def local_error(self) -> NDArray[np.float64] | None:
        """Greatest estimated local error of each task's differential equation at the estimate, (task,).

        In units of the solver's tolerance: at most one where it was met. None for models that do not say how they are
        solved, such as those in closed form.
        """
        model = self.prior.model
        if model.solution is None:
            return None
        physical = model.parameters.to_physical(self.adapted.coordinates[:, None, :])
        with torch.no_grad():
            solution = model.solution(self.batch.inputs, physical)
        return np.asarray(solution.error.numpy(), dtype=np.float64)

    @property
    def noise(self) -> dict[str, float]:
        """Noise scales by name, in the output's unit or as fractions; the median over tasks where they differ."""
        mixture = self.adapted.mixture
        factor = (mixture.weight * mixture.factor.log()).sum(0).mul(0.5).exp().median()
        scales = zip(self.prior.model.noise.scales, self.adapted.log_noise.exp(), strict=True)
        return {name: float(value * factor) for name, value in scales}

    def range_of(self, name: str) -> tuple[float, float]:
        """Between which values of an input the prior has been learned, and these tasks measured.

        Raises
        ------
        InputError
            If that is no range.
        """
        low, high = self.prior.training.get("ranges", {}).get(name, (np.inf, -np.inf))
        seen = self.batch.inputs[name].expand(self.batch.mask.shape)[self.batch.mask]
        if len(seen):
            low, high = min(low, float(seen.min())), max(high, float(seen.max()))
        if not low <= high:
            raise InputError(f"say between which {name} to look: the prior names no range.")
        return float(low), float(high)

    def laws(self, collocation: Collocation | None = None) -> pd.DataFrame:
        """Each physical law: whether every task keeps it, where it is broken most, and by how much.

        Parameters
        ----------
        collocation : metasci.constraints.Grid or QuasiRandom, optional
            Where to look beside the measured conditions; by default where the model says.

        Returns
        -------
        DataFrame
            A row for each law and task: task, law, satisfied, violation (the greatest, in the output's unit), points
            (that were looked at), broken (share of them), and each input's value at the greatest violation, in the
            model's unit; missing where the law is satisfied. Of a law that could be checked nowhere, as where nothing
            was measured and the model names no collocation, satisfied and violation are missing.
        """
        model, problem = self.prior.model, self.problem
        if collocation is not None:
            problem = replace(problem, model=replace(model, collocation=collocation))
        return verdicts(model.constraints, *self._broken(problem), *self._checked(problem), self.batch.names)

    def _checked(self, problem: Problem) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """The model's inputs at every point where laws are checked, (task, point), and which of them count."""
        inputs, mask = problem.checked
        return {name: inputs[name].expand(mask.shape) for name in self.prior.model.inputs}, mask

    def _broken(self, problem: Problem) -> tuple[list[torch.Tensor], torch.Tensor]:
        """By how much each law is broken, (task, point), and what of it is rounding, (task,)."""
        inputs, mask = problem.checked
        if not self.prior.model.constraints:
            return [], torch.zeros(len(mask), dtype=problem.batch.output.dtype)

        def predict(here: Mapping[str, torch.Tensor]) -> torch.Tensor:
            return median_curve(problem, self.adapted, here)

        with torch.no_grad():
            prediction = predict(inputs).expand(mask.shape)
        return problem.broken_by(predict), rounding(prediction, mask, self.prior.model.noise.size)

    def forecast(self) -> Forecast:
        """The predictive distribution at the measured conditions."""
        return predictive(self.problem, self.adapted)
