"""What is learned about an inner rule: step sizes, a preconditioner, a whole optimiser.

A learnable rule says which tensors there are to learn (`initial`) and makes a rule of them (`bind`). `Descent` makes
one of any rule that takes step sizes: ``Descent(0.01, rule=Adam)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Protocol

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.meta.adaptation.inner import InnerRule, Parameters
from metasci.meta.adaptation.rules import GradientDescent, Preconditioned, StepSizes

__all__ = ["Curvature", "Descent", "LearnableRule"]

_LEARNED = ("nothing", "scalar", "tensor", "parameter")


class LearnableRule(Protocol):
    """Inner rules that differ by learned tensors."""

    def initial(self, start: Parameters, steps: int, seed: int = 0) -> Parameters:
        """What there is to learn, for a start without task dimension, at its first values."""

    def bind(self, start: Parameters, learned: Parameters, steps: int) -> InnerRule:
        """The rule of these learned tensors, for a start with its task dimension."""


@dataclass(frozen=True)
class Descent:
    """A rule with a step size that is given or learned.

    Parameters
    ----------
    step_size : float
        The step size, or its first value.
    learned : "nothing", "scalar", "tensor" or "parameter"
        Whether one step size is learned for everything, one for each tensor, or one for each parameter
        (Meta-SGD, Li et al. 2017, arXiv 1707.09835).
    per_step : bool
        Whether every step has its own (Antoniou et al. 2019, arXiv 1810.09502).
    positive : bool
        Whether a learned step size is carried as its logarithm. Where it is not, as in Li et al., it may turn negative,
        and no prior is implied.
    rule : callable
        Makes the rule of its step sizes: `GradientDescent`, `Adam`, or ``functools.partial(Momentum, nesterov=True)``.

    Examples
    --------
    >>> rule = Descent(0.1, learned="parameter")
    >>> {name: value.shape for name, value in rule.initial({"theta": torch.zeros(3)}, steps=1).items()}
    {'rate/theta': torch.Size([3])}
    """

    step_size: float = 0.01
    learned: str = "nothing"
    per_step: bool = False
    positive: bool = True
    rule: Callable[[StepSizes], InnerRule] = GradientDescent

    def __post_init__(self) -> None:
        if self.learned not in _LEARNED:
            raise InputError(
                f"learned: '{self.learned}' is not something to learn of a step size; say one of {', '.join(_LEARNED)}."
            )
        size = self.step_size
        if not isinstance(size, Real) or not (math.isfinite(size) and size > 0):
            raise InputError(f"step_size: {size!r} is not a step size; it must be a number above zero.")

    def initial(self, start: Parameters, steps: int, seed: int = 0) -> Parameters:
        """Every learned step size at its first value, as a logarithm if positive."""
        if self.learned == "nothing":
            return {}
        value = math.log(self.step_size) if self.positive else self.step_size
        lead = (max(steps, 1),) if self.per_step else ()
        if self.learned == "scalar":
            return {"rate": next(iter(start.values())).new_full(lead, value)}
        shape = (lambda tensor: lead + tensor.shape) if self.learned == "parameter" else (lambda tensor: lead)
        return {f"rate/{name}": tensor.new_full(shape(tensor), value) for name, tensor in start.items()}

    def bind(self, start: Parameters, learned: Parameters, steps: int) -> InnerRule:
        """The rule with these step sizes."""
        return self.rule(self.step_sizes(start, learned))

    def step_sizes(self, start: Parameters, learned: Parameters) -> dict[str, Tensor | tuple[Tensor, ...]]:
        """Step sizes by parameter name; a tuple holds one for each step."""
        if self.learned == "nothing":
            return {name: tensor.new_full((), self.step_size) for name, tensor in start.items()}
        rates = {name: learned["rate" if self.learned == "scalar" else f"rate/{name}"] for name in start}
        if self.positive:
            rates = {name: value.exp() for name, value in rates.items()}
        return {name: value.unbind(0) if self.per_step else value for name, value in rates.items()}


@dataclass(frozen=True)
class Curvature:
    """Descent through a learned matrix for every dimension of every parameter; see `Preconditioned`.

    Parameters
    ----------
    step_size : float
        Its first value; it is learned with the matrices, which begin as identities.
    """

    step_size: float = 0.01

    def initial(self, start: Parameters, steps: int, seed: int = 0) -> Parameters:
        """Identities, and the logarithm of the step size."""
        learned = {"rate": next(iter(start.values())).new_tensor(math.log(self.step_size))}
        for name, tensor in start.items():
            for dimension, size in enumerate(tensor.shape):
                learned[f"factor/{name}/{dimension}"] = torch.eye(
                    size, dtype=tensor.dtype, device=tensor.device
                )
        return learned

    def bind(self, start: Parameters, learned: Parameters, steps: int) -> InnerRule:
        """The preconditioned rule."""
        size = learned["rate"].exp()
        factors: Mapping[str, tuple[Tensor, ...]] = {
            name: tuple(learned[f"factor/{name}/{d}"] for d in range(tensor.dim() - 1))
            for name, tensor in start.items()
        }
        return Preconditioned(dict.fromkeys(start, size), factors)
