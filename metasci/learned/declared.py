"""A prior of which nothing was learned: a law's declared typical values and spreads, for one task that stands alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import torch

from metasci.data.cards import Card
from metasci.errors import InputError
from metasci.learned.equation import LearnedEquation
from metasci.meta.covariates import Covariates
from metasci.meta.laplace.gaussian import GaussianPrior

if TYPE_CHECKING:
    from metasci.model import Model

__all__ = ["WIDER", "declared"]

P = TypeVar("P", bound=LearnedEquation)

# of a declared spread: what tasks ordinarily differ by is known roughly, and one task is to speak for itself
WIDER = 2.0
# a of Gamma(a, a), the factor on the noise's precision: from about 0.1 to 3, so that the task says how it scatters
_NOISE_SHAPE = 2.0
_NO_TASK_NOISE = 1e8  # as `GaussianPrior` writes it: outcomes have no level of noise


def declared(prior_class: type[P], model: Model) -> P:
    """A weakly informative prior: each parameter about its typical value, with twice its declared spread.

    Nothing is learned. The noise's level is that of the model, with a factor that each task finds for itself. Rates are
    stated at a temperature of the data that are calibrated (see `metasci.kinetics.reference.reference_for`).

    Parameters
    ----------
    prior_class : type
        `metasci.priors.equation.Prior`, whose class method `declared` asks for this.
    model : Model

    Raises
    ------
    InputError
        If the model is no equation but a property of structures, which only a learned prior says anything of.

    Examples
    --------
    >>> from metasci.kinetics import avrami
    >>> import metasci as ms
    >>> ms.Prior.declared(avrami)
    Prior('kinetics.avrami': kinetics.avrami, nothing was learned: declared typical values)
    """
    if not len(model.parameters):
        raise InputError(
            f"'{model.name}' has no parameters of its own, so that nothing can be fitted to one task alone; learn a "
            "prior with `metasci train`, or take one that ships (`metasci list`)."
        )
    size, kind = len(model.parameters), torch.float64
    state = {
        "coefficients": torch.zeros(size, 1, dtype=kind),
        "design_covariance": torch.zeros(1, 1, dtype=kind),
        "covariance": torch.eye(size, dtype=kind) * WIDER**2,
        "widening": torch.ones((), dtype=kind),
        "relevance": torch.ones(1, dtype=kind),
        "log_noise": torch.tensor([math.log(value) for value in model.noise.typical], dtype=kind),
        "noise_shape": torch.tensor(_NOISE_SHAPE if model.noise.gaussian else _NO_TASK_NOISE, dtype=kind),
    }
    blank = torch.zeros(0, dtype=kind)
    card = replace(Card.from_model(model), name=model.name, title=f"One task of {model.name}")
    return prior_class(
        model.name,
        model,
        GaussianPrior(task_noise=model.noise.gaussian),
        state,
        Covariates((), (), blank, blank, torch.zeros(0, 0, dtype=kind)),
        card,
        {"declared": True, "left_out_as_not_finite": {}},
    )
