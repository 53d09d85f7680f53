"""Tasks of drawn characters for the study of batch normalisation: alike, or each with an ink and a paper of its own."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from metasci.meta import NetworkEpisode
from metasci.studies.omniglot_drawings import Alphabet, background, warped

__all__ = ["asked_alone", "new_squares", "old_squares", "own_ink", "squares_of", "told"]


def squares_of(alphabets: tuple[Alphabet, ...]) -> tuple[Tensor, Tensor]:
    """All drawings on squares of 14 dots, and the number of the character that each shows."""
    numbers, before = [], 0
    for alphabet in alphabets:
        numbers.append(before + torch.arange(alphabet.characters).repeat_interleave(alphabet.people))
        before += alphabet.characters
    squares = torch.cat([warped(alphabet.drawings) for alphabet in alphabets])
    return functional.avg_pool2d(squares, 2), torch.cat(numbers)


@cache
def old_squares() -> tuple[Tensor, Tensor]:
    """The same of the alphabets of the first set, which are learned from."""
    return squares_of(background(1))


@cache
def new_squares() -> tuple[Tensor, Tensor]:
    """The same of the alphabets of the second set that the first lacks, which judge."""
    known = {alphabet.name for alphabet in background(1)}
    return squares_of(tuple(alphabet for alphabet in background(2) if alphabet.name not in known))


def own_ink(parts: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Drawings by name, (task, drawing, 1, row, column), with a contrast, a sign and a level of each task's own."""
    generator = torch.Generator().manual_seed(seed)
    tasks = len(next(iter(parts.values())))
    contrast, sign, level = torch.rand(3, tasks, 1, 1, 1, 1, generator=generator)
    factor = (3.0 * contrast - 1.5).exp() * torch.where(sign > 0.5, 1.0, -1.0)
    return {name: 2.0 * level - 1.0 + factor * value for name, value in parts.items()}


def asked_alone(episode: NetworkEpisode, each: int) -> NetworkEpisode:
    """Every `each`-th drawing that is asked as a task of its own, its support repeated."""
    places = torch.arange(0, episode.query_targets.shape[1], each)
    repeated = episode.select(torch.arange(len(episode)).repeat_interleave(len(places)))
    alone = {
        "query_inputs": episode.query_inputs[:, places].flatten(0, 1)[:, None],
        "query_targets": episode.query_targets[:, places].flatten()[:, None],
    }
    return repeated.with_tensors({**repeated.tensors(), **alone})


def told(unlike: bool) -> str:
    """How tables name a kind of tasks."""
    return "unlike tasks" if unlike else "tasks alike"
