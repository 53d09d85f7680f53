"""What meta-learning is held against: joint training and then descent, one fit to all, nothing learned at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from metasci.errors import InputError
from metasci.meta.adaptation.learnable_rules import Descent
from metasci.meta.compositions.composition import Composition
from metasci.meta.compositions.gradients import FirstOrder
from metasci.meta.gradient import GradientMethod, Learning
from metasci.meta.methods import ByDescent

__all__ = ["FineTuning", "FromScratch", "Pooled"]


@dataclass(frozen=True)
class FineTuning(ByDescent):
    """A baseline: joint training on all tasks together, then descent on the new one.

    Parameters
    ----------
    steps : int
    step_size : float or "stable"
    rule
        As for `MAML`.

    Notes
    -----
    Further arguments are those of `metasci.meta.GradientMethod`.
    """

    step_size: float | str = "stable"

    title = "fine-tuning"
    gradient = FirstOrder()

    @property
    def learning(self) -> Learning:
        """All tasks at once."""
        return Learning.JOINT


@dataclass(frozen=True)
class Pooled(GradientMethod):
    """A baseline: one fit to all tasks together; a new task changes nothing.

    Notes
    -----
    Arguments are those of `metasci.meta.GradientMethod`.

    Examples
    --------
    >>> Pooled(iterations=100).steps
    0
    """

    title = "pooled"

    @property
    def composition(self) -> Composition:
        """No step."""
        return Composition(Descent(1.0), 0, FirstOrder())

    @property
    def learning(self) -> Learning:
        """All tasks at once."""
        return Learning.JOINT

    def with_steps(self, steps: int) -> Self:
        """Refused: it makes none."""
        raise InputError("a pooled fit never adapts: take `FineTuning` for steps after it.")


@dataclass(frozen=True)
class FromScratch(ByDescent):
    """A baseline: Adam from the typical values, learning nothing from other tasks.

    Parameters
    ----------
    steps : int
    step_size : float or "stable"
    rule
        As for `MAML`.

    Notes
    -----
    Further arguments are those of `metasci.meta.GradientMethod`.
    """

    steps: int = 200
    step_size: float | str = 0.05
    rule: str = field(default="adam", kw_only=True)

    title = "from scratch"
    gradient = FirstOrder()

    @property
    def learning(self) -> Learning:
        """Nothing."""
        return Learning.NOTHING
