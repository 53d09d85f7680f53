"""How far the errors of a network reach beyond what it says, told by families that it has not learned from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from metasci.learned.members import Members
from metasci.learned.networks import SHOTS, TrainedNetwork, family_forecast

__all__ = ["also_judged", "judged_widths"]

_QUANTILE_95 = 1.6448536269514722  # of a standard normal: within as much on either side are nine tenths


def judged_widths(
    trained: TrainedNetwork, members: Members, unseen: Tensor, draws: int = 2
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """By what the spread that a network says must be multiplied for 90 % of unseen families' members, by shots.

    Returns
    -------
    widths : tuple of float
        Where no family is large enough to tell, as after fewer shots.
    judges : tuple of int
        How many families have told.
    """
    widths: list[float] = []
    judges: list[int] = []
    generator = torch.Generator().manual_seed(0)
    for shots in SHOTS:
        far, weight = [], []
        for family in unseen.tolist():
            measured = members.mask[family].nonzero()[:, 0]
            if len(measured) <= shots:
                continue
            orders = [measured[torch.randperm(len(measured), generator=generator)] for _ in range(draws)]
            support = torch.zeros(draws, members.mask.shape[1], dtype=torch.bool)
            for row, order in enumerate(orders):
                support[row, order[:shots]] = True
            mean, sd = family_forecast(trained, members, [family] * draws, support)
            off = ((members.values[family] - mean).abs() / sd)[members.mask[family] & ~support]
            far.append(off)
            weight.append(torch.full_like(off, 1.0 / len(off)))
        judges.append(len(far))
        if not far:
            widths.append(widths[-1] if widths else 1.0)
            continue
        value, order = torch.cat(far).sort()
        share = torch.cat(weight)[order].cumsum(0)
        widths.append(float(value[int((share < 0.9 * share[-1]).sum())]) / _QUANTILE_95)
    return tuple(widths), tuple(judges)


def also_judged(
    old: Sequence[float], judges: Sequence[int], new: Sequence[float], more: Sequence[int]
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Widths of old judges and new ones together: geometric means, in proportion to how many families have told.

    Examples
    --------
    >>> widths, judges = also_judged((1.0, 2.0), (3, 3), (4.0, 9.0), (1, 0))
    >>> [round(width, 3) for width in widths], judges
    ([1.414, 2.0], (4, 3))
    """
    both, told = [], []
    for width, count, other, own in zip(old, judges, new, more, strict=True):
        share = own / max(count + own, 1)
        both.append(math.exp((1.0 - share) * math.log(width) + share * math.log(other)))
        told.append(count + own)
    return tuple(both), tuple(told)
