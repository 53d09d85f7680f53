"""Outcomes that are no Gaussian measurements, in the place of residuals and variances: one more Gaussian, locally.

About a predictor η the log density of an outcome y has a slope s and an information i, and what Gauss–Newton asks of a
measurement is answered by a Gaussian of variance 1/i that was measured s/i above η: Fisher scoring, or iteratively
reweighted least squares. So a `Linearisation` carries 1/i as its variance, and `residuals` gives s/i; standardised they
are Pearson's residuals where the link is canonical.

Source: Green, JRSS B 46 (1984) 149.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.outcomes.outcome import Outcome

if TYPE_CHECKING:
    from metasci.data.tasks import Batch
    from metasci.model import Model

__all__ = [
    "check_log_odds",
    "log_densities",
    "observed_information",
    "outcome_of",
    "scores",
    "working_variance",
]

_LEAST = 1e-12  # information below which an outcome tells nothing: its working variance stays finite


def outcome_of(noise: object) -> Outcome:
    """The noise, which is an outcome."""
    assert isinstance(noise, Outcome)
    return noise


def check_log_odds(model: Model, returned: Any, dimensions: int) -> None:
    """Refuse what an equation returns if it is not log-odds of all classes but one, along an axis of their own.

    Parameters
    ----------
    model : Model
    returned : array
    dimensions : int
        Of an array with one number for each measurement.
    """
    shape, asked = tuple(getattr(returned, "shape", ())), model.noise.predictors
    if len(shape) != dimensions + 1 or shape[-1] != asked:
        raise InputError(
            f"equation '{model.name}': it returns an array of shape {shape} where classes are told apart; return the "
            f"{asked} log-odds of every class but the first along one axis more, as `metasci.math.stack` makes it."
        )


def log_densities(
    outcome: Outcome, batch: Batch, predictor: Tensor, log_scales: Tensor, about: Tensor | None = None
) -> Tensor:
    """ln p(y | η) of every measurement, (task, observation); zero where padded.

    What scatters by its prediction does so as where `about` is, if that is given.
    """
    value = torch.where(batch.mask, batch.output, torch.ones_like(batch.output))
    known = (batch.inputs, batch.censored, batch.upper)
    if about is None:
        each = outcome.log_density(value, predictor, log_scales, *known)
    else:
        each = outcome.log_density_about(value, predictor, about, log_scales, *known)
    return torch.where(batch.mask, each, torch.zeros_like(each))


def scores(outcome: Outcome, batch: Batch, predictor: Tensor, log_scales: Tensor) -> Tensor:
    """∂ ln p/∂η, (task, observation)."""
    with torch.enable_grad():
        at = predictor.detach().clone().requires_grad_()
        density = log_densities(outcome, batch, at, log_scales.detach())
        (slope,) = torch.autograd.grad(density.sum(), at, materialize_grads=True)
    return slope


def working_variance(outcome: Outcome, batch: Batch, predictor: Tensor, log_scales: Tensor) -> Tensor:
    """One over the information of every measurement, (task, observation)."""
    value = torch.where(batch.mask, batch.output, torch.ones_like(batch.output))
    information = outcome.information(value, predictor, log_scales, batch.inputs, batch.censored, batch.upper)
    return 1.0 / information.expand(batch.mask.shape).clamp(min=_LEAST)


def observed_information(outcome: Outcome, batch: Batch, predictor: Tensor, log_scales: Tensor) -> Tensor:
    """−∂² ln p/∂η² with a graph, (task, observation); `predictor` has to carry one."""
    density = log_densities(outcome, batch, predictor, log_scales)
    (slope,) = torch.autograd.grad(density.sum(), predictor, create_graph=True, materialize_grads=True)
    (bend,) = torch.autograd.grad(slope.sum(), predictor, create_graph=True, materialize_grads=True)
    return -bend
