"""The methods by their names, each a composition of an inner rule, a meta-gradient and what is learned."""

from __future__ import annotations

from functools import partial

from metasci.meta.adaptation.learnable_rules import Curvature, Descent
from metasci.meta.adaptation.recurrent import RecurrentOptimiser
from metasci.meta.adaptation.rules import Adam, Momentum, RMSProp
from metasci.meta.compositions.composition import Composition
from metasci.meta.compositions.gradients import Displacement, Exact, FirstOrder, Implicit

__all__ = [
    "anil",
    "cavia",
    "fine_tuning",
    "fomaml",
    "from_scratch",
    "imaml",
    "learned_optimiser",
    "maml",
    "maml_with_adam",
    "maml_with_momentum",
    "maml_with_rmsprop",
    "meta_curvature",
    "meta_sgd",
    "pooled_training",
    "reptile",
]


def maml(
    steps: int = 1, step_size: float = 0.01, *, learned: str = "nothing", segment: int | str | None = None
) -> Composition:
    """Model-agnostic meta-learning (Finn, Abbeel and Levine 2017, arXiv 1703.03400, algorithm 1)."""
    return Composition(Descent(step_size, learned), steps, Exact(segment))


def fomaml(steps: int = 1, step_size: float = 0.01, *, learned: str = "nothing") -> Composition:
    """First-order MAML (Finn et al. 2017, section 5.2)."""
    return Composition(Descent(step_size, learned), steps, FirstOrder())


def reptile(steps: int = 5, step_size: float = 0.01) -> Composition:
    """Reptile (Nichol, Achiam and Schulman 2018, arXiv 1803.02999, algorithm 2)."""
    return Composition(Descent(step_size), steps, Displacement())


def meta_sgd(
    steps: int = 1,
    step_size: float = 0.01,
    *,
    learned: str = "parameter",
    per_step: bool = False,
    positive: bool = False,
) -> Composition:
    """Meta-SGD: learned step sizes, one a parameter and, if wanted, a step (Li et al. 2017, arXiv 1707.09835)."""
    return Composition(Descent(step_size, learned, per_step, positive), steps)


def anil(
    body: tuple[str, ...], steps: int = 1, step_size: float = 0.01, *, learned: str = "nothing"
) -> Composition:
    """Almost no inner loop: the body is learned but not adapted (Raghu et al. 2020, arXiv 1909.09157).

    Parameters
    ----------
    body : tuple of str
        Prefixes of the parameters that stay in the inner loop.
    steps : int
    step_size : float
    learned : str
        What is learned of the step size, as for `Descent`.
    """
    return Composition(Descent(step_size, learned), steps, frozen=body)


def cavia(steps: int = 2, step_size: float = 1.0, *, learned: str = "nothing") -> Composition:
    """Only a code of the task adapts, its weights are shared (Zintgraf et al. 2019, arXiv 1810.03642, algorithm 1).

    For a network that is a `metasci.meta.networks.codes.Coded`.

    Examples
    --------
    >>> method = cavia(steps=2, step_size=0.5)
    >>> method.is_adapted("code"), method.is_adapted("network.head.weight")
    (True, False)
    """
    return Composition(Descent(step_size, learned), steps, frozen=("network.",))


def imaml(
    steps: int = 20,
    step_size: float = 0.01,
    proximal: float = 1.0,
    *,
    solver: str = "conjugate gradients",
    iterations: int = 20,
    rate: float = 0.1,
    newton: int = 5,
    learn_proximal: bool = False,
) -> Composition:
    """Implicit MAML: the gradient at the solution of a proximal problem (Rajeswaran et al. 2019, arXiv 1909.04630).

    The gradient is that of a solution: descent that has not arrived gives a wrong one, so Newton steps finish it.
    """
    how = Implicit(solver, iterations, rate, newton)
    return Composition(Descent(step_size), steps, how, proximal=proximal, learn_proximal=learn_proximal)


def maml_with_momentum(
    steps: int = 5,
    step_size: float = 0.01,
    decay: float = 0.9,
    *,
    nesterov: bool = False,
    learned: str = "nothing",
) -> Composition:
    """MAML through heavy-ball or Nesterov momentum, differentiated through the velocity."""
    rule = partial(Momentum, decay=decay, nesterov=nesterov)
    return Composition(Descent(step_size, learned, rule=rule), steps)


def maml_with_rmsprop(
    steps: int = 5,
    step_size: float = 0.01,
    decay: float = 0.99,
    *,
    epsilon: float = 1e-8,
    learned: str = "nothing",
) -> Composition:
    """MAML through RMSprop, differentiated through its running square."""
    return Composition(
        Descent(step_size, learned, rule=partial(RMSProp, decay=decay, epsilon=epsilon)), steps
    )


def maml_with_adam(
    steps: int = 5, step_size: float = 0.01, *, epsilon: float = 1e-8, learned: str = "nothing"
) -> Composition:
    """MAML through Adam, differentiated through both of its moments."""
    return Composition(Descent(step_size, learned, rule=partial(Adam, epsilon=epsilon)), steps)


def meta_curvature(steps: int = 1, step_size: float = 0.01) -> Composition:
    """A learned preconditioner, the idea of Meta-Curvature (Park and Oliva 2019, arXiv 1902.03356)."""
    return Composition(Curvature(step_size), steps)


def learned_optimiser(steps: int = 20, hidden: int = 20, *, start_learned: bool = False) -> Composition:
    """A recurrent optimiser, the same for every coordinate (Andrychowicz et al. 2016, arXiv 1606.04474)."""
    return Composition(
        RecurrentOptimiser(hidden), steps, FirstOrder(), start_learned=start_learned, trajectory=True
    )


def pooled_training() -> Composition:
    """A baseline: one fit to all tasks, which never adapts."""
    return Composition(steps=0)


def fine_tuning(steps: int = 5, step_size: float = 0.01) -> tuple[Composition, Composition]:
    """A baseline: joint training on all tasks, then descent on each; the first learns, the second adapts."""
    return pooled_training(), Composition(Descent(step_size), steps)


def from_scratch(steps: int = 100, step_size: float = 0.01) -> Composition:
    """A baseline: descent on each task alone from a start that is not learned."""
    return Composition(Descent(step_size, rule=Adam), steps, FirstOrder(), start_learned=False)
