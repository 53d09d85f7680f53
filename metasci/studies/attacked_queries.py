"""Attacks on what is asked: pictures moved, no dot by more than said, until a few-shot classifier errs.

The attack climbs by projected slopes (PGD; Madry and others 2018, arXiv 1706.06083). Learning from tasks whose query is
attacked after adaptation is adversarial querying (Goldblum, Fowl and Goldstein, NeurIPS 2020, arXiv 1910.00982).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from metasci.meta import NetworkEpisode
from metasci.meta.adaptation.inner import Parameters

__all__ = ["Attack", "AttackedQuery", "Rounded", "attacked", "margins", "worst_of_nearest"]


@dataclass(frozen=True)
class Attack:
    """How far, and how hard.

    Attributes
    ----------
    reach : float
        Greatest change of a dot, whose grey is from 0 to 1.
    steps : int
    step : float
        Change of a dot in one step.
    """

    reach: float
    steps: int
    step: float


def margins(scores: Tensor, truth: Tensor) -> Tensor:
    """How far the best of the other classes is ahead of the right one, (task, case); above zero is an error.

    Examples
    --------
    >>> margins(torch.tensor([[[3.0, 1.0, 2.5]]]), torch.tensor([[0]])).tolist()
    [[-0.5]]
    """
    right = scores.gather(2, truth[..., None])
    others = scores.scatter(2, truth[..., None], -torch.inf)
    return others.amax(2) - right[..., 0]


def attacked(
    episode: NetworkEpisode, parameters: Parameters, attack: Attack, start: Tensor | None = None
) -> NetworkEpisode:
    """The same tasks, each picture that is asked moved to where the classifier errs most.

    What is climbed is the margin, whose slope does not vanish where a network is all but certain, as that of a
    cross-entropy does. The worst of all places on the way is kept, the picture itself among them, so that more steps
    of one size are never a weaker attack.

    Parameters
    ----------
    episode : NetworkEpisode
    parameters : dict of Tensor
        After adaptation.
    attack : Attack
    start : Tensor, optional
        Where to begin, as the pictures that are asked, which is where it begins by default.
    """
    clean = episode.query_inputs
    fixed = {name: value.detach() for name, value in parameters.items()}
    here = clean if start is None else start
    worst, most = clean, torch.full(episode.query_targets.shape, -torch.inf)
    if start is not None:
        worst, most = _worse(worst, most, clean, _margins_at(episode, fixed, clean)[0])
    for _ in range(attack.steps):
        margin, slope = _margins_at(episode, fixed, here, slopes=True)
        worst, most = _worse(worst, most, here, margin)
        there = here + attack.step * slope.sign()
        here = torch.minimum(torch.maximum(there, clean - attack.reach), clean + attack.reach).clamp(0.0, 1.0)
    worst, _ = _worse(worst, most, here, _margins_at(episode, fixed, here)[0])
    return replace(episode, query_inputs=worst)


def worst_of_nearest(episode: NetworkEpisode, reach: float, rounded: bool = False) -> Tensor:
    """The greatest margins, (task, case), that any attack can reach where the nearest of bare pictures is the answer.

    The margin of one class over another is linear in every dot, so that each goes to one of its ends.

    Parameters
    ----------
    episode : NetworkEpisode
        One picture known of each class, in the order of classes.
    reach : float
    rounded : bool
        Whether dots are rounded to paper or ink before.
    """
    known, asked, truth = episode.inputs.flatten(2), episode.query_inputs.flatten(2), episode.query_targets
    low, high = (asked - reach).clamp(0.0, 1.0), (asked + reach).clamp(0.0, 1.0)
    if rounded:
        known, low, high = (part.gt(0.5).to(part) for part in (known, low, high))
    right = known.gather(1, truth[..., None].expand(*asked.shape))
    most = torch.full(truth.shape, -torch.inf)
    for other in range(known.shape[1]):
        wrong = known[:, other, None]
        slope = 2.0 * (wrong - right)
        margin = torch.maximum(slope * low, slope * high) + right.square() - wrong.square()
        most = torch.where(truth == other, most, torch.maximum(most, margin.sum(2)))
    return most


def _margins_at(
    episode: NetworkEpisode, fixed: Parameters, pictures: Tensor, slopes: bool = False
) -> tuple[Tensor, Tensor]:
    """Margins, and their slopes by each dot if asked for."""
    with torch.set_grad_enabled(slopes):
        tried = pictures.detach().requires_grad_(slopes)
        margin = margins(replace(episode, query_inputs=tried).outputs(fixed), episode.query_targets)
        slope = torch.autograd.grad(margin.sum(), tried)[0] if slopes else margin
    return margin.detach(), slope


def _worse(worst: Tensor, most: Tensor, here: Tensor, margin: Tensor) -> tuple[Tensor, Tensor]:
    further = margin > most
    return torch.where(further[..., None, None, None], here, worst), torch.where(further, margin, most)


@dataclass(frozen=True)
class AttackedQuery:
    """Tasks whose query is attacked once they have adapted; an `Episode` to learn from.

    Parameters
    ----------
    episode : NetworkEpisode
    attack : Attack
    """

    episode: NetworkEpisode
    attack: Attack

    def __len__(self) -> int:
        return len(self.episode)

    def start(self, learned: Parameters) -> tuple[Parameters, Parameters]:
        """As without attack."""
        return self.episode.start(learned)

    def support(self, parameters: Parameters) -> Tensor:
        """As without attack: what is known is clean."""
        return self.episode.support(parameters)

    def query(self, parameters: Parameters) -> Tensor:
        """Loss of each task's query under attack, (task,)."""
        return attacked(self.episode, parameters, self.attack).query(parameters)

    def select(self, index: Tensor) -> AttackedQuery:
        """Some of the tasks, by position."""
        return replace(self, episode=self.episode.select(index))

    def tensors(self) -> dict[str, Any]:
        """All tensors, by field."""
        return self.episode.tensors()


class Rounded(nn.Module):
    """A module before which every dot is rounded to paper or ink; slopes go through as if it were not.

    An attack that takes rounding for what it is finds no slope, and says nothing (Athalye, Carlini and Wagner 2018,
    arXiv 1802.00420).

    Parameters
    ----------
    module : torch.nn.Module
    width : float
        Of a soft step in the place of rounding, for an attack to climb; none by default.
    """

    def __init__(self, module: nn.Module, width: float = 0.0) -> None:
        super().__init__()
        self.module, self.width = module, width

    def forward(self, pictures: Tensor) -> Tensor:
        """What the module says of rounded pictures."""
        if self.width:
            shown = torch.sigmoid((pictures - 0.5) / self.width)
        else:
            shown = pictures + ((pictures > 0.5).to(pictures) - pictures).detach()
        said: Tensor = self.module(shown)
        return said
