"""Tasks kept aside during meta-training: their loss after adaptation, the best state so far, and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.files import State
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.compositions.adapting import adapt
from metasci.meta.compositions.composition import Composition
from metasci.meta.compositions.episode import Episode, which_are_asked

__all__ = ["Metric", "Validation", "history", "validated"]

Metric = Callable[[Episode, Parameters], Tensor]
"""Of an episode and the adapted parameters, one number; `metasci.meta.networks.metrics` has some."""

_BEST, _SEEN = "best/", "validation/"


@dataclass(frozen=True)
class Validation:
    """How learning is watched on tasks that it does not see.

    Parameters
    ----------
    episode : Episode
        Its tasks are adapted to their supports and judged by their queries.
    every : int
        Iterations between looks.
    patience : int, optional
        Learning stops after so many looks in a row without a lower loss; by default it does not.
    metrics : dict of callable
        Further numbers to note, by name; the loss decides.
    """

    episode: Episode
    every: int = 50
    patience: int | None = None
    metrics: Mapping[str, Metric] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.every < 1 or (self.patience is not None and self.patience < 1):
            raise InputError("validation: `every` and `patience` are numbers of at least one.")
        if taken := {"iteration", "loss"} & set(self.metrics):
            raise InputError(f"validation: a metric cannot be called '{min(taken)}'.")

    def due(self, iteration: int) -> bool:
        """Whether to look after so many iterations."""
        return iteration % self.every == 0

    def stops(self, kept: State) -> bool:
        """Whether learning has waited long enough for a lower loss."""
        losses = kept.get(f"{_SEEN}loss")
        if self.patience is None or losses is None:
            return False
        return len(losses) - 1 - _best(losses) >= self.patience


def validated(
    validation: Validation, composition: Composition, learned: Parameters, iteration: int, kept: State
) -> State:
    """What is kept of validation after another look: all numbers so far, and the best state.

    Parameters
    ----------
    validation : Validation
    composition : Composition
    learned : dict of Tensor
    iteration : int
        Iterations made.
    kept : dict of Tensor
        From the look before; empty at first.
    """
    episode = validation.episode
    adapted = adapt(composition, episode, learned)
    with torch.no_grad():
        each = episode.query(adapted)
        asked = which_are_asked(episode).to(each.device)
        loss = torch.where(asked, each, 0.0).sum() / asked.sum().clamp(min=1)
        metrics = {name: metric(episode, adapted) for name, metric in validation.metrics.items()}
    numbers = {"iteration": iteration, "loss": loss, **metrics}
    new: State = {}
    for name, value in numbers.items():
        number = torch.as_tensor(value, dtype=torch.float64).cpu()
        if number.numel() != 1:
            raise InputError(
                f"validation: the metric '{name}' is to give one number, and gives {tuple(number.shape)}."
            )
        number = number.reshape(1)
        before = kept.get(_SEEN + name, number.new_zeros(0)).cpu()
        new[_SEEN + name] = torch.cat([before, number])
    if _best(new[f"{_SEEN}loss"]) == len(new[f"{_SEEN}loss"]) - 1:
        return {**new, **{_BEST + name: value.detach().clone() for name, value in learned.items()}}
    return {**new, **{name: value for name, value in kept.items() if name.startswith(_BEST)}}


def _best(losses: Tensor) -> int:
    """Place of the lowest loss, the first of several; what is not finite is none."""
    return int(torch.nan_to_num(losses, nan=torch.inf).argmin())


def history(kept: State) -> dict[str, Tensor]:
    """Numbers of all looks by name, (look,) each: iteration, loss, and the metrics."""
    return {name.removeprefix(_SEEN): value for name, value in kept.items() if name.startswith(_SEEN)}


def best(kept: State) -> Parameters:
    """The learned tensors at the lowest loss; empty before the first look."""
    return {name.removeprefix(_BEST): value for name, value in kept.items() if name.startswith(_BEST)}
