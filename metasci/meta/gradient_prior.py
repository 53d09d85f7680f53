"""The prior that a gradient method's adaptation amounts to: its precision for every task, and where it exists."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.meta.adaptation.learnable_rules import Curvature, Descent
from metasci.meta.compositions.composition import Composition
from metasci.meta.compositions.gradients import Implicit
from metasci.meta.episodes import EquationEpisode
from metasci.meta.gradient_state import GradientState
from metasci.meta.implied import adaptation_jacobian, implied_precision, precision_of_jacobian
from metasci.meta.laplace.gauss_newton import normal_equations
from metasci.meta.problem import Problem
from metasci.meta.step_sizes import is_plain

__all__ = ["average_precision", "has_closed_form", "precision_of_adaptation", "step_factor"]


def has_closed_form(composition: Composition) -> bool:
    """Whether the implied prior is a formula: of a proximal problem that is solved, or of plain descent.

    Examples
    --------
    >>> from metasci.meta.compositions import named
    >>> has_closed_form(named.maml()), has_closed_form(named.maml_with_adam())
    (True, False)
    """
    if isinstance(composition.gradient, Implicit):
        return True
    plain = isinstance(composition.rule, Curvature) or is_plain(composition)
    return plain and not composition.proximal > 0


def step_factor(composition: Composition, state: GradientState, size: int) -> Tensor:
    """L of the step matrix A = LLᵀ, (parameter, parameter), of the `size` parameters that are adapted.

    Raises
    ------
    InputError
        If the rule's step is no matrix.
    """
    rule, learned = composition.rule, state.of_rule
    if isinstance(rule, Curvature):
        return (0.5 * learned["rate"]).exp() * learned["factor/coordinates/0"]
    if not isinstance(rule, Descent):
        raise InputError(f"the steps of a {type(rule).__name__} are no matrix times the gradient.")
    if rule.learned == "nothing":
        rate = state.first_step
    else:
        rate = learned["rate" if rule.learned == "scalar" else "rate/coordinates"].exp()
    return torch.diag(rate.expand(size).sqrt())


def precision_of_adaptation(
    composition: Composition, state: GradientState, hessian: Tensor, free: list[int]
) -> tuple[Tensor, Tensor]:
    """Precision of the implied prior, (task, parameter, parameter), and where it exists, (task,).

    Zero for parameters that are not adapted.

    Parameters
    ----------
    composition : Composition
    state : GradientState
    hessian : Tensor, (task, parameter, parameter)
        Of the measurements' negative log-likelihood at the start.
    free : list of int
        Parameters that are adapted.
    """
    precision = torch.zeros_like(hessian)
    place = torch.meshgrid(torch.tensor(free), torch.tensor(free), indexing="ij")
    inner = hessian[:, place[0], place[1]]
    exists = torch.ones(len(hessian), dtype=torch.bool, device=hessian.device)
    identity = torch.eye(len(free), dtype=hessian.dtype, device=hessian.device)
    if not composition.steps:
        own = identity.expand_as(inner)
    elif isinstance(composition.gradient, Implicit):
        own = (composition.proximal * identity).expand_as(inner)
    elif has_closed_form(composition):
        own, exists = implied_precision(inner, step_factor(composition, state, len(free)), composition.steps)
    else:
        # without a formula: the average over the tasks learned from, made when learning ended
        assert state.implied_precision is not None
        own = state.implied_precision.expand_as(inner)
        exists = torch.isfinite(own).all(-1).all(-1)
        own = torch.nan_to_num(own)
    precision[:, place[0], place[1]] = own
    return precision, exists


def average_precision(
    composition: Composition, episode: EquationEpisode, problem: Problem, state: GradientState
) -> Tensor:
    """The implied prior's precision, averaged over an episode's tasks where it exists; NaN where nowhere.

    Parameters
    ----------
    composition : Composition
    episode : EquationEpisode
    problem : Problem
        The episode's support, not trimmed.
    state : GradientState
    """
    jacobian = adaptation_jacobian(composition, episode, state.learned, "coordinates")
    start = episode.coordinates(*episode.start(state.learned)).detach()
    nothing, ones = start.new_zeros(*start.shape, start.shape[1]), start.new_ones(len(start))
    free = list(episode.free)
    hessian = normal_equations(problem, start, start, nothing, state.log_noise, ones)[1]
    precision, exists = precision_of_jacobian(hessian[:, free][:, :, free], jacobian)
    if not bool(exists.any()):
        return precision[0] * math.nan
    return precision[exists].mean(0)
