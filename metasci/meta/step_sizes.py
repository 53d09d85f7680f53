"""Inner rules by the names that users write, and the step size at which a rule is stable.

Strings end here: inside, a rule is a `Descent` of a class of rules, with or without step sizes that are learned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.meta.adaptation.inner import InnerRule
from metasci.meta.adaptation.learnable_rules import Descent
from metasci.meta.adaptation.rules import Adam, GradientDescent, Momentum, RMSProp, StepSizes
from metasci.meta.compositions.composition import Composition
from metasci.meta.laplace.gauss_newton import normal_equations
from metasci.meta.problem import Problem

__all__ = ["RULES", "descent", "is_plain", "number_or_none", "stable_step"]

RULES: Mapping[str, Callable[[StepSizes], InnerRule]] = {
    "descent": GradientDescent,
    "momentum": Momentum,
    "nesterov": partial(Momentum, nesterov=True),
    "rmsprop": RMSProp,
    # the derivative of a step where no slope has been seen is of the order of 1/ε: at the usual 1e-8 it drowns
    # everything else in the meta-gradient
    "adam": partial(Adam, epsilon=1e-4),
}
_WORDS = ("learned", "stable")


def number_or_none(step_size: float | str) -> float | None:
    """A step size that is stated, or None where it is to be found from the tasks.

    Raises
    ------
    InputError
        If it is no number above zero, nor 'learned' or 'stable'.

    Examples
    --------
    >>> number_or_none(0.1), number_or_none("stable")
    (0.1, None)
    """
    if step_size in _WORDS:
        return None
    if isinstance(step_size, str) or not float(step_size) > 0:
        raise InputError(f"step_size: {step_size!r} is no number above zero, nor 'learned' or 'stable'.")
    return float(step_size)


def descent(step_size: float | str, rule: str, learned: str = "scalar", per_step: bool = False) -> Descent:
    """The inner rule of what a user wrote, with what is learned of it.

    Parameters
    ----------
    step_size : float, "learned" or "stable"
    rule : str
        One of `RULES`.
    learned : "scalar" or "parameter"
        Whether there is one learned step size for all parameters, or one for each.
    per_step : bool
        Whether every step has its own.

    Raises
    ------
    InputError
        If a word is not known, or there are step sizes for every step that are not learned.

    Examples
    --------
    >>> descent("learned", "descent").learned, descent(0.1, "descent").learned
    ('scalar', 'nothing')
    """
    if rule not in RULES:
        raise InputError(f"rule: '{rule}' is not an inner rule; say one of {', '.join(RULES)}.")
    number = number_or_none(step_size)
    is_learned = step_size == "learned"
    if per_step and not is_learned:
        raise InputError("per_step: there is more than one step size only where they are learned.")
    size = 1.0 if number is None else number
    return Descent(size, learned if is_learned else "nothing", per_step, rule=RULES[rule])


def is_plain(composition: Composition) -> bool:
    """Whether every step goes by the same positive step sizes along the gradient alone."""
    rule = composition.rule
    return isinstance(rule, Descent) and rule.rule is GradientDescent and not rule.per_step and rule.positive


def stable_step(
    problem: Problem, mean: Tensor, log_noise: Tensor, shots: int, composition: Composition
) -> Tensor:
    """Half of the greatest step size that is stable in every task, at one set of coordinates for all.

    Descent is stable up to 2/curvature; half of what would still go straight there, 1/curvature, leaves room for
    curvature that grows on the way.

    Parameters
    ----------
    problem : Problem
    mean : Tensor, (parameter,)
    log_noise : Tensor, (scale,)
    shots : int
        Greatest number of measurements in a support: curvature is in proportion to how many there are.
    composition : Composition

    Returns
    -------
    Tensor, ()
    """
    count = len(problem)
    everywhere, nothing = mean.expand(count, -1), mean.new_zeros(count, len(mean), len(mean))
    curvature = normal_equations(problem, everywhere, everywhere, nothing, log_noise, mean.new_ones(count))[1]
    measured = problem.batch.mask.sum(1).clamp(min=1)
    share = shots / measured.clamp(min=shots)
    sound = torch.isfinite(curvature).all(-1).all(-1)
    if not bool(sound.any()):
        raise InputError(
            f"'{problem.model.name}': at the parameters' typical values its slopes are finite in no task; give others."
        )
    steepest = (torch.linalg.eigvalsh(curvature[sound])[:, -1] * share[sound]).max()
    return 0.5 * _share_of_memory(composition) / (steepest + composition.proximal)


def _share_of_memory(composition: Composition) -> float:
    """1 − μ for momentum, which adds up what it has seen to 1/(1 − μ) steps; 1 for other rules."""
    rule = composition.rule.rule if isinstance(composition.rule, Descent) else None
    keywords = rule.keywords if isinstance(rule, partial) else {}
    if (rule.func if isinstance(rule, partial) else rule) is not Momentum:
        return 1.0
    # rounded, as 1 − 0.9 is 0.09999999999999998
    return round(1.0 - float(keywords.get("decay", Momentum.decay)), 12)
