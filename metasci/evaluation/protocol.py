"""How support and query are chosen among a task's measurements, and how figures are averaged."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from metasci.data.card_checks import check_fields
from metasci.data.cards import Card
from metasci.data.tasks import TaskSet
from metasci.errors import InputError

__all__ = ["Protocol", "Split", "split_tasks", "with_enough_rows"]


_CHOICES = {
    "support": ("first", "random", "spread"),
    "query": ("rest", "next", "following"),
    "aggregate": ("mean", "root_mean_square", "pooled"),
}


_MOST = 1_000_000  # measurements of a task


@dataclass(frozen=True)
class Protocol:
    """How support and query are chosen, and how a figure is averaged.

    Attributes
    ----------
    support : "first", "random" or "spread"
        The first measurements, a random choice, or given positions within the task.
    shots : tuple of int
    positions : dict of int to tuple of int
        For ``"spread"``: ranks of the support's measurements, by number of shots.
    skip : tuple of int
        Ranks that are never used.
    query : "rest", "next" or "following"
        Every other measurement (the same for all numbers of shots), the one after the support, or all after it.
    query_from : int, optional
        First rank (of the order in which measurements are taken) that may be query, the same for all shots.
    aggregate : "mean", "root_mean_square" or "pooled"
        RMSE as the mean of the tasks' RMSE, the root of their mean square, or over all measurements.
    leave_out : str, optional
        Column whose groups are held out.
    folds : int, optional
        In so many parts, where learning anew without each group would take too long.
    minimum_rows : int
    """

    support: str = "random"
    shots: tuple[int, ...] = (0, 1, 3, 5)
    positions: dict[int, tuple[int, ...]] | None = None
    skip: tuple[int, ...] = ()
    query: str = "rest"
    query_from: int | None = None
    aggregate: str = "mean"
    leave_out: str | None = None
    folds: int | None = None
    minimum_rows: int = 0

    def __post_init__(self) -> None:
        for key, known in _CHOICES.items():
            if getattr(self, key) not in known:
                raise InputError(
                    f"a protocol's {key} is one of {', '.join(known)}, not '{getattr(self, key)}'."
                )
        ranks = [
            *self.shots,
            *self.skip,
            *(rank for each in (self.positions or {}).values() for rank in each),
        ]
        ranks += [self.minimum_rows, self.query_from or 0]
        if odd := [rank for rank in ranks if not 0 <= rank <= _MOST]:
            raise InputError(
                f"a protocol counts measurements from 0 to {_MOST}, and {odd[0]} is none of them."
            )
        if self.folds is not None and self.folds < 2:
            raise InputError(f"a protocol's folds are two or more, not {self.folds}.")

    @classmethod
    def from_card(cls, card: Card) -> Protocol:
        """The protocol that a data card describes, or the default."""
        table = dict(card.protocol or {})
        where = f"the protocol of the data '{card.name}'"
        check_fields(table, cls, where)
        for key in ("shots", "skip"):
            if key in table:
                table[key] = tuple(table[key])
        if table.get("positions") is not None:
            try:
                table["positions"] = {int(shots): tuple(ranks) for shots, ranks in table["positions"].items()}
            except ValueError:
                raise InputError(f"{where}, positions: they are told by numbers of shots.") from None
        return cls(**{"minimum_rows": card.minimum_rows or 0, **table})

    def choosing(self, support: str | None = None, query: str | None = None) -> Protocol:
        """The same with another choice of support or query; one that comes next follows the first measurements."""
        support = support or ("first" if query in ("next", "following") else self.support)
        return replace(self, support=support, query=query or self.query)


@dataclass(frozen=True)
class Split:
    """One division of some tasks.

    Attributes
    ----------
    task : Tensor of int, (row,)
        Which task each row is.
    support, query : Tensor of bool, (row, observation)
    seed : tuple of int
        The draw of each row.
    skipped : dict of int to str
        Tasks that are in no row, and why.
    """

    task: Tensor
    support: Tensor
    query: Tensor
    seed: tuple[int, ...] = ()
    skipped: dict[int, str] = field(default_factory=dict)


def with_enough_rows(tasks: TaskSet, protocol: Protocol) -> tuple[TaskSet, list[str]]:
    """The tasks with enough measurements, and the names of those without."""
    enough = np.asarray(tasks.counts) >= protocol.minimum_rows
    return tasks.select(enough), [name for name, kept in zip(tasks.names, enough, strict=True) if not kept]


def split_tasks(mask: Tensor, shots: int, protocol: Protocol, seeds: int) -> Split:
    """Divide every task's measurements, once for each seed (once in all where nothing is random).

    A task that has too few measurements for the support, or no query left, is in no row; `Split.skipped` says why.
    """
    repeats = seeds if protocol.support == "random" else 1
    longest = max(protocol.shots)
    rows: list[tuple[int, Tensor, Tensor, int]] = []
    skipped: dict[int, str] = {}
    for seed in range(repeats):
        for task in range(len(mask)):
            measured = mask[task].nonzero()[:, 0]
            order = _order(measured, protocol, seed, task)
            if protocol.support == "spread":
                chosen = [int(measured[r]) for r in _positions(len(measured), shots, protocol)]
                rest = [int(i) for i in order if int(i) not in chosen]
            else:
                chosen = [int(i) for i in order[:shots]]
                first = shots
                if protocol.query == "rest":
                    first = (
                        longest if protocol.query_from is None else protocol.query_from - _skipped(protocol)
                    )
                rest = [int(i) for i in order[max(first, shots) :]]
            if protocol.query == "next":
                rest = rest[:1]
            if len(chosen) < shots:
                skipped[task] = f"{_several(len(measured))} give no support of {shots}"
            elif not rest:
                skipped[task] = f"of {_several(len(measured))} none is left to judge by"
            else:
                support, query = torch.zeros_like(mask[task]), torch.zeros_like(mask[task])
                support[chosen], query[rest] = True, True
                rows.append((task, support, query, seed))
    if not rows:
        empty = mask[:0]
        return Split(torch.zeros(0, dtype=torch.long), empty, empty, (), skipped)
    index, supports, queries, drawn = zip(*rows, strict=True)
    return Split(torch.tensor(index), torch.stack(supports), torch.stack(queries), drawn, skipped)


def _several(count: int) -> str:
    return f"{count} measurement{'s' * (count != 1)}"


def _skipped(protocol: Protocol) -> int:
    return len(protocol.skip) if protocol.support != "random" else 0


def _order(measured: Tensor, protocol: Protocol, seed: int, task: int) -> Tensor:
    keep = measured[[rank for rank in range(len(measured)) if rank not in protocol.skip]]
    if protocol.support == "random":
        generator = torch.Generator().manual_seed(1_000_003 * seed + task)
        return keep[torch.randperm(len(keep), generator=generator)]
    return keep


def _positions(count: int, shots: int, protocol: Protocol) -> list[int]:
    wanted = (protocol.positions or {}).get(shots)
    if wanted is None:  # evenly spread
        wanted = tuple(np.unique(np.linspace(0, count - 1, shots + 2)[1:-1].round().astype(int)).tolist())
    return [rank for rank in wanted if 0 <= rank < count and rank not in protocol.skip]
