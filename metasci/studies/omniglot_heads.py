"""Heads by Laplace on the drawings of Omniglot: linear ones and processes, learned with their network.

As for prototypes, each person's drawings are the support of all others' in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from metasci.meta.networks.class_head import log_chances, log_scales
from metasci.studies.omniglot_drawings import Alphabet, Run, warped
from metasci.studies.omniglot_networks import PEOPLE, Together, Way, by_people, embedding, learned_by

__all__ = ["HeadInTurn", "head_scores", "learn_head", "right_in_turn"]


# twenty classes need steeper scores than two; with a bend, and without
_WIDER = {True: {"log_plane": 1.0, "log_bend": 1.0, "log_length": -0.3}, False: {"log_plane": 2.5}}


class HeadInTurn(nn.Module):
    """The embedding with a head by Laplace, to log chances of naming by each person's drawings those of all others.

    Parameters
    ----------
    people : int
    bend : bool
        Whether scores may bend in the features; without, they are linear.
    """

    def __init__(self, people: int, bend: bool) -> None:
        super().__init__()
        self.body, self.people = embedding(), people
        self.scales = nn.ParameterDict(
            {name: value + _WIDER[bend].get(name, 0.0) for name, value in log_scales(bend).items()}
        )

    def forward(self, drawings: Tensor) -> Tensor:
        """Log chances, (person, drawing by another, character); drawings are (person · character, ...)."""
        embedded = self.body(drawings).unflatten(0, (self.people, -1))
        others = torch.stack(
            [torch.cat([embedded[:at], embedded[at + 1 :]]).flatten(0, 1) for at in range(self.people)]
        )
        return self.named(embedded, others)

    def named(self, known: Tensor, asked: Tensor) -> Tensor:
        """Log chances of every known character for what is asked, both embedded, (task, drawing, feature)."""
        count, centre = known.shape[1], known.mean(1, keepdim=True)
        # of one length about what is known: a long one would speak for every class that it is near
        known, asked = (
            functional.normalize(part - centre, dim=-1) * part.shape[-1] ** 0.5 for part in (known, asked)
        )
        labels = torch.arange(count).expand(len(known), -1)
        return log_chances(dict(self.scales.items()), known, asked, labels, count)


def right_in_turn(log_chance: Tensor) -> Tensor:
    """Mean cross-entropy of log chances (person, drawing by another, character), characters in their order."""
    count = log_chance.shape[2]
    return -log_chance.unflatten(1, (-1, count)).diagonal(dim1=2, dim2=3).mean()


def learn_head(
    alphabets: Sequence[Alphabet],
    seed: int,
    way: Way,
    bend: bool,
    checkpoint: Path | None = None,
    progress: bool = False,
    people: int = PEOPLE,
) -> HeadInTurn:
    """An embedding with a head by Laplace, each person's drawings being the support of all others' in turn."""
    torch.manual_seed(seed)
    module = HeadInTurn(people, bend)

    def draw(at: int) -> Together:
        seen = by_people(alphabets, at, people, way)
        return Together(module, seen.flatten(0, 1), right_in_turn)

    learned_by(module, draw, seed, way, checkpoint, progress)
    return module


def head_scores(module: HeadInTurn, of: Sequence[Run]) -> Tensor:
    """Log chances of every known character for every drawing of each run, (run, asked, known)."""
    with torch.no_grad():
        return torch.cat(
            [
                module.named(*(module.body(warped(part))[None] for part in (run.known, run.asked)))
                for run in of
            ]
        )
