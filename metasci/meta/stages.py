"""Classes as rows of yes or no: a model with several predictors of each measurement becomes one with one of each row.

Whatever adapts one predictor of each measurement then adapts classes; see `metasci.outcomes.classes`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from metasci import math
from metasci.data.batch import Batch
from metasci.meta.outcomes import check_log_odds
from metasci.meta.problem import Linearisation, Problem
from metasci.model import Input, Model
from metasci.outcomes.classes import STAGE, Categorical, Stage

__all__ = ["log_odds", "of_log_odds", "staged"]


def staged(problem: Problem) -> Problem:
    """The same problem with a row for each stage of each measurement; itself where there is one predictor only."""
    outcome = problem.model.noise
    if not isinstance(outcome, Categorical):
        return problem
    model = _of_rows(problem.model, outcome, stages=True)
    return replace(problem, model=model, batch=_rows(problem.batch, outcome.predictors))


def log_odds(problem: Problem, coordinates: Tensor, log_noise: Tensor) -> tuple[Tensor, Tensor]:
    """Log-odds of every class but the first, and their slopes.

    Returns
    -------
    centre : Tensor, (task, observation, class)
    jacobian : Tensor, (task, observation, class, parameter)
    """
    outcome = problem.model.noise
    assert isinstance(outcome, Categorical)
    asked = outcome.predictors
    model = _of_rows(problem.model, outcome, stages=False)
    line: Linearisation = Problem(model, _rows(problem.batch, asked)).linearise(coordinates, log_noise)
    tasks, width = problem.batch.mask.shape
    return (
        line.prediction.expand(tasks, width * asked).reshape(tasks, width, asked),
        line.jacobian.reshape(tasks, width, asked, -1),
    )


def of_log_odds(problem: Problem) -> Problem:
    """The same rows with the log-odds that the equation returns in the place of the stages'; itself without stages."""
    function = problem.model.function
    if not isinstance(function, _OfRows):
        return problem
    return replace(problem, model=replace(problem.model, function=replace(function, stages=False)))


@dataclass(frozen=True)
class _OfRows:
    """One number for each row: of a measurement's log-odds, or of its stages, the one that the row asks about."""

    model: Model
    outcome: Categorical
    stages: bool

    def __call__(self, **arguments: Any) -> Any:
        stage = arguments.pop(STAGE)
        each = self.model.function(**arguments)
        check_log_odds(self.model, each, len(stage.shape))
        if self.stages:
            each = self.outcome.stages(each)
        number = math.constant(range(1, self.outcome.predictors + 1), each)
        chosen = math.absolute(stage[..., None] - number) < 0.5
        return math.sum(math.where(chosen, each, 0.0 * each))


def _of_rows(model: Model, outcome: Categorical, stages: bool) -> Model:
    return replace(
        model,
        function=_OfRows(model, outcome, stages),
        inputs={**model.inputs, STAGE: Input("1")},
        noise=Stage(classes=outcome.classes),
    )


def _rows(batch: Batch, asked: int) -> Batch:
    """Every measurement as often as there are stages, side by side."""

    def repeated(values: Tensor) -> Tensor:
        return values.repeat_interleave(asked, 1)

    stage = torch.arange(1.0, asked + 1.0, dtype=batch.output.dtype, device=batch.output.device)
    inputs = {
        name: values if values.dim() == 3 else repeated(values) for name, values in batch.inputs.items()
    }
    return replace(
        batch,
        inputs={**inputs, STAGE: stage.repeat(batch.mask.shape[1]).expand(len(batch), -1)},
        output=repeated(batch.output),
        mask=repeated(batch.mask),
    )
