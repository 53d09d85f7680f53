"""What learned priors are held against where readings are wrong: fits of a task alone, by squares or Huber's loss."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import least_squares
from torch import Tensor

from metasci.data.tasks import Batch
from metasci.meta.adapted import Adapted
from metasci.meta.problem import Problem
from metasci.priors.equation import Prior

__all__ = ["fit_alone", "physical"]

_HUBER = 1.345  # of the noise's standard deviations: 95 % efficient where nothing is wrong


def physical(batch: Batch) -> bool:
    """Whether measurements are never below zero."""
    return float(batch.output[batch.mask].min()) >= 0.0


def fit_alone(
    prior: Prior, batch: Batch, loss: Literal["linear", "huber"], under: Adapted | None = None
) -> Tensor:
    """Each task's own fit from the declared typical values, with a faint pull to them where readings say nothing; or
    under a prior, whose pull is quadratic whatever the loss of readings is.
    """
    problem, size = Problem(prior.model, batch), len(prior.model.parameters)
    rows = []
    for at in range(len(batch)):
        own = problem.select(torch.tensor([at]))
        own = own.trimmed(own.batch.mask)
        start, pull = np.zeros(size), 0.1 * np.eye(size)
        if under is not None:
            start = under.start[at].numpy()
            pull = np.linalg.inv(np.linalg.cholesky(under.start_covariance[at].numpy()))

        def residuals(
            z: NDArray[np.float64],
            own: Problem = own,
            start: NDArray[np.float64] = start,
            pull: NDArray[np.float64] = pull,
        ) -> NDArray[np.float64]:
            here = torch.as_tensor(z)[None]
            raw = own.predict(here)
            linked = prior.model.noise.link(raw)
            scaled = (own.target - linked) / own.variance(raw, prior.state.log_noise).sqrt()
            return np.nan_to_num(
                np.concatenate([scaled[0].detach().numpy(), pull @ (z - start)]),
                nan=1e3,
                posinf=1e3,
                neginf=-1e3,
            )

        def rho(
            squares: NDArray[np.float64], readings: int = int(own.batch.mask.sum())
        ) -> NDArray[np.float64]:
            return _huber(squares, readings)

        chosen: Any = rho if loss == "huber" else "linear"
        rows.append(least_squares(residuals, start, loss=chosen, f_scale=_HUBER, max_nfev=60).x)
    return torch.as_tensor(np.array(rows))


def _huber(squares: NDArray[np.float64], readings: int) -> NDArray[np.float64]:
    """Huber's loss of the first residuals, squares of the others, as `scipy.optimize.least_squares` takes it.

    Examples
    --------
    >>> _huber(np.array([0.25, 4.0, 4.0]), 2)[0].tolist()
    [0.25, 3.0, 4.0]
    """
    far = (squares > 1.0) & (np.arange(len(squares)) < readings)
    root = np.sqrt(np.maximum(squares, 1e-300))
    value = np.where(far, 2.0 * root - 1.0, squares)
    slope = np.where(far, 1.0 / root, 1.0)
    return np.stack([value, slope, np.where(far, -0.5 / root**3, 0.0)])
