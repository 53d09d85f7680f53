"""Ways in which a network of structures adapts to a family: compositions of the engine, and heads in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from metasci.meta.adaptation.inner import Parameters
from metasci.meta.adaptation.learnable_rules import Descent
from metasci.meta.compositions.composition import Composition
from metasci.meta.compositions.named import cavia, pooled_training
from metasci.meta.networks.episode import NetworkEpisode
from metasci.meta.networks.linear_head import LinearHeadEpisode, head_start
from metasci.meta.networks.network import Network
from metasci.meta.networks.process_head import ProcessHeadEpisode, process_start

__all__ = ["POOLED", "WAYS", "Way", "shrunken_error"]

_BODY = ("embed.", "layers.", "body.")
_FEATURES = 16  # of a head: more than a handful of measured members could tell apart is left to the network


def shrunken_error(output: Tensor, target: Tensor, mask: Tensor | None) -> Tensor:
    """Squared errors of each task's cases, (task,), summed and divided by their number and three more.

    So one measured case pulls a quarter as hard as many would; under a mean it would pull as hard.

    Examples
    --------
    >>> off = torch.full((1, 9, 1), 2.0)
    >>> mask = torch.arange(9)[None] < 1
    >>> shrunken_error(off, 0 * off, mask).tolist(), shrunken_error(off, 0 * off, None).tolist()
    ([1.0], [3.0])
    """
    squares = (output - target).square()[..., 0]
    if mask is None:
        return squares.sum(1) / (squares.shape[1] + 3.0)
    return torch.where(mask, squares, 0.0).sum(1) / (mask.sum(1) + 3.0)


@dataclass(frozen=True)
class Way:
    """What of a network adapts to a family, and how.

    Parameters
    ----------
    composition : Composition
    outputs : int
        Of the network: one for a value, 1 + features for a head in closed form.
    code : int
        Numbers of a task's code; none where it is zero.
    episode : type
    start : callable
        What is learned of a network, at its first values.
    iterations : int
        Of meta-learning, after the fit to all families at once.
    """

    composition: Composition
    outputs: int = 1
    code: int = 0
    episode: type[NetworkEpisode] = NetworkEpisode
    start: Callable[[Network], Parameters] = Network.start
    iterations: int = 60


def _descent(step_size: float, steps: int, frozen: tuple[str, ...] = ()) -> Composition:
    return Composition(Descent(step_size, learned="tensor"), steps, frozen=frozen)


POOLED = Way(pooled_training())
"""A network fitted to all families at once, which does not adapt."""

WAYS = {
    "network, not adapted": POOLED,
    "MAML, everything": Way(_descent(0.01, 2), iterations=50),
    "ANIL, head only": Way(_descent(0.02, 3, _BODY), iterations=60),
    "CAVIA, code of 8": Way(cavia(4, 4.0, learned="scalar"), code=8, iterations=100),
    "Bayesian linear head": Way(
        pooled_training(), 1 + _FEATURES, 0, LinearHeadEpisode, head_start, iterations=90
    ),
    "Gaussian-process head": Way(
        pooled_training(), 1 + _FEATURES, 0, ProcessHeadEpisode, process_start, iterations=90
    ),
}
"""By the names that tables give them."""
