"""Gradient methods of any composition, such as of an inner rule of one's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from metasci.meta.adaptation.learnable_rules import Curvature, Descent
from metasci.meta.compositions.composition import Composition
from metasci.meta.compositions.described import described
from metasci.meta.gradient import GradientMethod, Learning

__all__ = ["Composed"]


@dataclass(frozen=True, repr=False)
class Composed(GradientMethod):
    """A gradient method of any composition, such as of an inner rule of one's own.

    Parameters
    ----------
    parts : Composition
        How tasks adapt.
    stated : bool
        Whether the rule's step size is taken as it stands; otherwise the first is half of the greatest that is stable.
    learns : Learning
        What meta-training sees.

    Notes
    -----
    Further arguments are those of `metasci.meta.GradientMethod`.

    Examples
    --------
    >>> from metasci.meta import Composition, Exact, RecurrentOptimiser
    >>> Composed(Composition(RecurrentOptimiser(hidden=5), 3, Exact()), label="small optimiser").name
    'small optimiser'
    """

    parts: Composition
    stated: bool = False
    learns: Learning = Learning.THROUGH_ADAPTATION

    title = "composed"

    def __repr__(self) -> str:
        """Of classes, fields and code, without addresses: a checkpoint knows its run by it."""
        return f"Composed({described(self)})"

    @property
    def composition(self) -> Composition:
        """What was given."""
        return self.parts

    @property
    def learning(self) -> Learning:
        """What was given."""
        return self.learns

    @property
    def stated_step(self) -> float | None:
        """The rule's step size, if it is to be taken as it stands."""
        rule = self.parts.rule
        return rule.step_size if self.stated and isinstance(rule, Descent | Curvature) else None

    def with_steps(self, steps: int) -> Self:
        """The same method with another number of inner steps."""
        return replace(self, parts=replace(self.parts, steps=steps))
