"""Methods as compositions of three choices: an inner rule, a meta-gradient, and what is learned.

MAML, FOMAML, Reptile, Meta-SGD, ANIL, iMAML and learned optimisers are names for such compositions
(`metasci.meta.compositions.named`). A composition knows nothing of models: an `Episode` says where tasks start and
what their support and query measurements cost, and everything learned is one flat dict of tensors.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Integral

from metasci.errors import InputError
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.adaptation.learnable_rules import Descent, LearnableRule
from metasci.meta.compositions.gradients import Displacement, Exact, FirstOrder, Implicit, MetaGradient

__all__ = ["PROXIMAL", "RULE", "Composition", "begins", "initial"]

RULE = "rule/"
"""Before the names of what is learned of the inner rule."""
PROXIMAL = "rule/log_proximal"
"""The logarithm of a learned pull to the start."""


@dataclass(frozen=True)
class Composition:
    """A method: how tasks adapt, how the meta-gradient is taken, what is learned.

    Parameters
    ----------
    rule : LearnableRule
        The inner rule, with what is learned of it.
    steps : int
        Inner steps; with none, tasks do not adapt and learning is joint training on all of them.
    gradient : Exact, FirstOrder, Displacement or Implicit
    frozen : tuple of str
        Beginnings of names (`begins`) of parameters that are learned but not adapted (ANIL, Raghu et al. 2020, arXiv
        1909.09157: all but the head).
    proximal : float
        λ of a pull ½λ‖φ − θ‖² towards the start in the inner problem.
    learn_proximal : bool
        Whether λ is learned, too.
    start_learned : bool
        Whether the start is learned, or stays as it is given.
    trajectory : bool
        Whether the query judges every step, not only the last (Andrychowicz et al. 2016, eq. 3).

    Raises
    ------
    InputError
        If the choices do not go together.
    """

    rule: LearnableRule = field(default_factory=Descent)
    steps: int = 1
    gradient: MetaGradient = field(default_factory=Exact)
    frozen: tuple[str, ...] = ()
    proximal: float = 0.0
    learn_proximal: bool = False
    start_learned: bool = True
    trajectory: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.frozen, str):  # of which every letter would be a beginning
            object.__setattr__(self, "frozen", (self.frozen,))
        if not isinstance(self.frozen, tuple | list) or not all(
            isinstance(each, str) for each in self.frozen
        ):
            raise InputError(
                f"frozen: {self.frozen!r} does not say what stays as it is in the inner loop; give the beginnings of "
                "parameters' names, such as ('0.', '2.'), before the number of steps."
            )
        if not isinstance(self.steps, Integral) or isinstance(self.steps, bool) or self.steps < 0:
            raise InputError(
                f"steps: {self.steps!r} is not a number of steps; say a whole number from zero on."
            )
        if isinstance(self.gradient, Implicit) and not self.proximal > 0:
            raise InputError(
                "an implicit meta-gradient needs a proximal inner problem: give `proximal` above zero."
            )
        blind = isinstance(self.gradient, Displacement | Implicit)
        if blind and not (isinstance(self.rule, Descent) and self.rule.learned == "nothing"):
            raise InputError(
                "this meta-gradient does not see how tasks get to where they end, so nothing of the inner rule can be "
                "learned by it: give a `Descent` that learns nothing."
            )
        if self.learn_proximal and isinstance(self.gradient, Displacement | FirstOrder):
            raise InputError(
                "learn_proximal: only an exact or an implicit meta-gradient sees the pull to the start."
            )
        if self.trajectory and not self.steps:
            raise InputError("trajectory: there is no way to judge without steps.")
        if self.learn_proximal and not self.proximal > 0:
            raise InputError("learn_proximal: give `proximal`, a first value above zero.")
        segmented = isinstance(self.gradient, Exact) and self.gradient.segment is not None
        if self.trajectory and (segmented or isinstance(self.gradient, Implicit | Displacement)):
            raise InputError(
                "trajectory: only an exact (in one segment) or first-order meta-gradient sees the whole way."
            )

    def is_adapted(self, name: str) -> bool:
        """Whether a parameter of the start is adapted."""
        return not any(begins(name, prefix) for prefix in self.frozen)


def begins(name: str, beginning: str) -> bool:
    """Whether a name begins so; a number in it is read whole.

    Examples
    --------
    >>> begins("1.weight", "1"), begins("10.weight", "1"), begins("conv2.weight", "conv")
    (True, False, True)
    """
    cut = beginning[-1:].isdigit() and name[len(beginning) :][:1].isdigit()
    return name.startswith(beginning) and not cut


def initial(composition: Composition, start: Parameters, seed: int = 0) -> Parameters:
    """Everything that a composition learns, at its first values.

    Parameters
    ----------
    composition : Composition
    start : dict of Tensor
        What tasks start from, without task dimension; whatever else the episodes' losses need may be added to
        the result.
    seed : int
        For rules that begin at random.
    """
    moving = {name: value for name, value in start.items() if composition.is_adapted(name)}
    if not moving:
        raise InputError("frozen: nothing is left to adapt; freeze less.")
    for prefix in composition.frozen:
        if not any(begins(name, prefix) for name in start):
            raise InputError(f"frozen: no parameter begins with '{prefix}'; there are {', '.join(start)}.")
    learned = {name: value.detach().clone() for name, value in start.items()}
    of_rule = composition.rule.initial(moving, composition.steps, seed)
    learned |= {RULE + name: value for name, value in of_rule.items()}
    if composition.learn_proximal:
        learned[PROXIMAL] = next(iter(start.values())).new_tensor(composition.proximal).log()
    return learned
