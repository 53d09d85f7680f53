"""MAML and its family, each a small class that says which composition it is.

Arguments are what papers call by these names; what all share (`shots`, `penalty`, `iterations`, …) stands in
`metasci.meta.gradient.GradientMethod`. `metasci.methods` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from metasci.errors import InputError
from metasci.meta.adaptation.learnable_rules import Curvature, Descent
from metasci.meta.adaptation.recurrent import RecurrentOptimiser
from metasci.meta.compositions.composition import Composition
from metasci.meta.compositions.gradients import Displacement, Exact, FirstOrder, Implicit, MetaGradient
from metasci.meta.gradient import GradientMethod
from metasci.meta.step_sizes import descent, number_or_none

__all__ = [
    "ANIL",
    "FOMAML",
    "IMAML",
    "MAML",
    "ByDescent",
    "LearnedOptimiser",
    "MetaCurvature",
    "MetaSGD",
    "Reptile",
]


@dataclass(frozen=True)
class ByDescent(GradientMethod):
    """Methods whose inner rule is a kind of descent, with a step size that is stated, found or learned."""

    steps: int = 5
    step_size: float | str = "learned"
    rule: str = field(default="descent", kw_only=True)
    per_step: bool = field(default=False, kw_only=True)

    gradient: ClassVar[MetaGradient] = Exact()

    def __post_init__(self) -> None:
        if self.step_size == "learned" and not isinstance(self.gradient, Exact | FirstOrder):
            raise InputError(
                f"step_size: the meta-gradient of '{self.name}' cannot learn it; say 'stable' or a number."
            )
        super().__post_init__()

    @property
    def composition(self) -> Composition:
        """Descent, and the class's meta-gradient."""
        return Composition(
            descent(self.step_size, self.rule, per_step=self.per_step), self.steps, self.gradient
        )

    @property
    def stated_step(self) -> float | None:
        """The step size, if it is stated."""
        return number_or_none(self.step_size)


@dataclass(frozen=True)
class MAML(ByDescent):
    """Model-agnostic meta-learning with the exact meta-gradient (Finn, Abbeel and Levine 2017, arXiv 1703.03400).

    Parameters
    ----------
    steps : int
        Inner steps.
    step_size : float, "learned" or "stable"
        A fixed step, one that is learned with the start, or half of the greatest that is stable there.
    rule : "descent", "momentum", "nesterov", "rmsprop" or "adam"
        What an inner step is made of.
    per_step : bool
        Whether every step has a learned size of its own (Antoniou et al. 2019, arXiv 1810.09502).
    segment : int
        Hold so many inner steps in memory at a time; 0 for all.

    Notes
    -----
    Further arguments are those of `metasci.meta.GradientMethod`.

    Examples
    --------
    >>> method = MAML(3, step_size=0.1, shots=(1, 3))
    >>> method.name, method.composition.steps, method.composition.gradient
    ('MAML', 3, Exact(segment=None))
    """

    segment: int = field(default=0, kw_only=True)

    title = "MAML"

    @property
    def composition(self) -> Composition:
        """Descent, with the gradient through every step."""
        return replace(super().composition, gradient=Exact(self.segment or None))


@dataclass(frozen=True)
class FOMAML(ByDescent):
    """First-order MAML: inner gradients are constants to the meta-gradient (Finn et al. 2017, section 5.2).

    Parameters
    ----------
    steps, step_size, rule, per_step
        As for `MAML`.

    Notes
    -----
    Further arguments are those of `metasci.meta.GradientMethod`.
    """

    title = "FOMAML"
    gradient = FirstOrder()


@dataclass(frozen=True)
class Reptile(ByDescent):
    """Reptile: the start moves towards where adaptation leads (Nichol et al. 2018, arXiv 1803.02999).

    Covariate effects move with it; what tasks share (the noise) follows the query's gradient.

    Parameters
    ----------
    steps : int
    step_size : float or "stable"
    rule
        As for `MAML`.
    learning_rate : float
        Share of the way that the start moves, falling to zero along a cosine.

    Notes
    -----
    Further arguments are those of `metasci.meta.GradientMethod`.
    """

    step_size: float | str = "stable"
    learning_rate: float = field(default=0.3, kw_only=True)

    title = "Reptile"
    gradient = Displacement()


@dataclass(frozen=True)
class MetaSGD(GradientMethod):
    """Meta-SGD: one learned step size a parameter (Li et al. 2017, arXiv 1707.09835).

    Parameters
    ----------
    steps : int
    rule, per_step
        As for `MAML`.

    Notes
    -----
    Further arguments are those of `metasci.meta.GradientMethod`.

    Examples
    --------
    >>> MetaSGD(3).composition.rule.learned
    'parameter'
    """

    steps: int = 5
    rule: str = field(default="descent", kw_only=True)
    per_step: bool = field(default=False, kw_only=True)

    title = "Meta-SGD"

    @property
    def composition(self) -> Composition:
        """Descent with a step size for every parameter."""
        return Composition(descent("learned", self.rule, "parameter", self.per_step), self.steps)


@dataclass(frozen=True)
class ANIL(ByDescent):
    """Part of the parameters is learned but not adapted (feature reuse; Raghu et al. 2020, arXiv 1909.09157).

    Parameters
    ----------
    frozen : tuple of str
        Parameters of the model that are not adapted.
    steps, step_size, rule, per_step
        As for `MAML`.

    Notes
    -----
    Further arguments are those of `metasci.meta.GradientMethod`.

    Examples
    --------
    >>> ANIL(("volume",), steps=3).frozen
    ('volume',)
    """

    frozen: tuple[str, ...] = field()
    steps: int = 5

    title = "ANIL"


@dataclass(frozen=True)
class IMAML(GradientMethod):
    """Implicit MAML: the start of a proximal problem, by its solution (Rajeswaran et al. 2019, arXiv 1909.04630).

    Its inner problem is maximum a posteriori estimation under N(start, I/λ) in scaled coordinates, solved by some steps
    of descent and then Newton's.

    Parameters
    ----------
    steps : int
        Of descent, before Newton's.
    proximal : float
        λ, weight of the pull to the start in the inner problem.

    Notes
    -----
    Further arguments are those of `metasci.meta.GradientMethod`.
    """

    steps: int = 5
    proximal: float = 1.0

    title = "iMAML"

    @property
    def composition(self) -> Composition:
        """Descent and Newton's steps to the solution, and its implicit derivative."""
        # ten of Newton's steps reach rounding on every shipped model, from wherever descent has led
        return Composition(Descent(1.0), self.steps, Implicit(newton=10), proximal=self.proximal)


@dataclass(frozen=True)
class MetaCurvature(GradientMethod):
    """A learned full matrix before the gradient (idea: Park and Oliva 2019, arXiv 1902.03356).

    Parameters
    ----------
    steps : int

    Notes
    -----
    Further arguments are those of `metasci.meta.GradientMethod`.
    """

    steps: int = 5

    title = "Meta-Curvature"

    @property
    def composition(self) -> Composition:
        """Steps through a matrix."""
        return Composition(Curvature(1.0), self.steps)


@dataclass(frozen=True)
class LearnedOptimiser(GradientMethod):
    """A recurrent optimiser, the same for every parameter (Andrychowicz et al. 2016, arXiv 1606.04474).

    Parameters
    ----------
    steps : int

    Notes
    -----
    Further arguments are those of `metasci.meta.GradientMethod`.
    """

    steps: int = 10

    title = "learned optimiser"

    @property
    def composition(self) -> Composition:
        """Steps that a network proposes, each of them judged."""
        return Composition(RecurrentOptimiser(), self.steps, FirstOrder(), trajectory=True)
