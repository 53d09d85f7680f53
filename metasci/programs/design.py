"""Where a task starts by its covariates, as symbols: what `Covariates.design` and `GaussianPrior.start` compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from metasci.programs.solving import inverse

if TYPE_CHECKING:
    from metasci.learned.equation import LearnedEquation

__all__ = ["start_of"]


def start_of(prior: LearnedEquation, covariates: Any) -> tuple[Any, Any]:
    """Mean (1, parameter) and covariance (1, parameter, parameter) of the prior of a task.

    Unknown covariates (NaN) are expected from the known ones, with what remains uncertain about them.
    """
    state = {name: tensor.detach().numpy() for name, tensor in prior.state.tensors().items()}
    coefficients, spread = state["coefficients"], state["covariance"]
    wide, widening = state["design_covariance"], float(state["widening"])
    scaling = prior.covariates
    if not scaling.names:
        own = (1.0 + wide[0, 0]) * widening * spread
        recorder = covariates.recorder
        return recorder.constant(coefficients[None, :, 0]), recorder.constant(own[None])
    values = []
    for place, transform in enumerate(scaling.transforms):
        column = covariates[place : place + 1]
        values.append(
            np.log(column) if transform == "log" else np.sqrt(column) if transform == "sqrt" else column
        )
    standard = (np.concatenate(values) - scaling.centre.numpy()) / scaling.scale.numpy()
    lost = np.isnan(standard)
    known, absent = np.where(lost, 0.0, 1.0), np.where(lost, 1.0, 0.0)
    correlation = scaling.correlation.numpy()
    size = len(scaling.names)
    # the known ones' correlation, with ones on the diagonal where nothing is known
    among = correlation * (known[:, None] * known[None, :]) + np.eye(size) * absent[:, None]
    inverted = inverse(among)
    across = correlation * (absent[:, None] * known[None, :])
    regression = across @ inverted
    measured = np.where(lost, 0.0, standard)
    filled = measured + (regression @ measured[:, None])[:, 0]
    rest = correlation * (absent[:, None] * absent[None, :]) - regression @ np.transpose(across, (1, 0))
    x = np.concatenate([np.ones(1), filled])
    effects = coefficients[:, 1:]
    mean = (coefficients @ x[:, None]).reshape(1, -1)
    wider = (1.0 + (x[None, :] @ wide @ x[:, None])) * widening
    unknown = effects @ rest @ effects.T
    return mean, (wider * spread + unknown)[None]
