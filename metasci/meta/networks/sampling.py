"""Episodes drawn from labelled cases: N classes with K shots each, supports out of balance, and regressions.

A sampler is a function of a seed, as `metasci.meta.meta_train` draws: the same seed gives the same episode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.meta.networks.episode import NetworkEpisode, TaskLoss, cross_entropy, squared_error
from metasci.meta.networks.network import Network

__all__ = ["few_shot_classes", "few_shot_regressions"]

Sampler = Callable[[int], NetworkEpisode]


def few_shot_classes(
    network: Network,
    inputs: Tensor,
    labels: Tensor,
    *,
    ways: int,
    shots: int | tuple[int, int],
    queries: int,
    tasks: int,
    loss: TaskLoss = cross_entropy,
) -> Sampler:
    """Episodes of N-way K-shot classification.

    Every task has `ways` classes, drawn without replacement and numbered anew from 0 in random order, `shots` cases of
    each as support and `queries` others as query. Source: Vinyals et al., NeurIPS 2016 (arXiv 1606.04080), section 2.2.

    Parameters
    ----------
    network : Network
    inputs : Tensor or array, (case, ...)
    labels : Tensor or sequence of int, (case,)
    ways : int
    shots : int or pair of int
        Of each class; of a pair each class of each task draws its own number from the first to the second, so that
        supports are out of balance. Places that are left over are masked.
    queries : int
        Of each class.
    tasks : int
        Of an episode.
    loss : callable

    Raises
    ------
    InputError
        If there are too few classes, a class has too few cases, or labels are no whole numbers.

    Examples
    --------
    >>> draw = few_shot_classes(
    ...     Network(torch.nn.Linear(2, 3)), torch.randn(60, 2), torch.arange(60) % 6,
    ...     ways=3, shots=(1, 4), queries=5, tasks=8,
    ... )
    >>> draw(0).targets.shape, draw(0).query_targets.shape
    (torch.Size([8, 12]), torch.Size([8, 15]))
    """
    least, most = _shots(shots, ways=ways, queries=queries, tasks=tasks)
    if ways < 2:
        raise InputError(f"an episode needs two ways or more, not {ways}.")
    inputs, labels = _tensor("inputs", inputs), _tensor("labels", labels)
    whole = labels.dim() == 1 and bool((labels.double() == labels.double().round()).all())
    if not whole:
        raise InputError(
            f"labels are one whole number for each case, (case,); these are of shape {tuple(labels.shape)} and "
            f"{labels.dtype}."
        )
    if len(inputs) != len(labels):
        raise InputError(
            f"there are {len(inputs)} inputs and {len(labels)} labels; each case has one of both."
        )
    cases = {int(label): (labels == label).nonzero()[:, 0] for label in labels.unique()}
    if ways > len(cases):
        raise InputError(f"{ways} ways need as many classes, but there are {len(cases)}.")
    for label, places in cases.items():
        if len(places) < most + queries:
            raise InputError(
                f"class {label} has {len(places)} cases, too few for {most} shots and {queries} queries."
            )
    classes = torch.tensor(sorted(cases))

    def draw(seed: int) -> NetworkEpisode:
        generator = _generator(seed)
        support, query, mask = [], [], []
        for _ in range(tasks):
            chosen = classes[torch.randperm(len(classes), generator=generator)[:ways]].tolist()
            numbers = torch.randint(least, most + 1, (ways,), generator=generator)
            orders = [
                cases[label][torch.randperm(len(cases[label]), generator=generator)] for label in chosen
            ]
            support.append(torch.cat([order[:most] for order in orders]))
            query.append(torch.cat([order[most : most + queries] for order in orders]))
            mask.append((torch.arange(most) < numbers[:, None]).flatten())
        seen, asked = torch.stack(support), torch.stack(query)
        numbered = torch.arange(ways).expand(tasks, -1)
        return NetworkEpisode(
            network,
            inputs[seen],
            numbered.repeat_interleave(most, 1),
            inputs[asked],
            numbered.repeat_interleave(queries, 1),
            mask=None if least == most else torch.stack(mask),
            loss=loss,
        )

    return draw


def few_shot_regressions(
    network: Network,
    inputs: Sequence[Tensor],
    targets: Sequence[Tensor],
    *,
    shots: int | tuple[int, int],
    queries: int,
    tasks: int,
    loss: TaskLoss = squared_error,
) -> Sampler:
    """Episodes of tasks that are regressions, each with cases of its own.

    Parameters
    ----------
    network : Network
    inputs, targets : sequence of Tensor or array, (case, ...)
        Of each task.
    shots : int or pair of int
        Cases that calibrate a task; of a pair each task draws its own number, the places left over being masked.
    queries : int
    tasks : int
        Of an episode, drawn without replacement.
    loss : callable

    Raises
    ------
    InputError
        If there are too few tasks, or one has too few cases.

    Examples
    --------
    >>> x = [torch.randn(9, 1) for _ in range(5)]
    >>> draw = few_shot_regressions(Network(torch.nn.Linear(1, 1)), x, x, shots=4, queries=5, tasks=3)
    >>> draw(0).inputs.shape, bool((draw(0).inputs == draw(0).targets).all())
    (torch.Size([3, 4, 1]), True)
    """
    least, most = _shots(shots, queries=queries, tasks=tasks)
    inputs = [_tensor("inputs", each) for each in inputs]
    targets = [_tensor("targets", each) for each in targets]
    if tasks > len(inputs):
        raise InputError(f"an episode has from one to {len(inputs)} tasks, not {tasks}.")
    if len(inputs) != len(targets):
        raise InputError(f"there are inputs of {len(inputs)} tasks and targets of {len(targets)}.")
    for place, (known, wanted) in enumerate(zip(inputs, targets, strict=True)):
        if len(known) != len(wanted) or len(known) < most + queries:
            raise InputError(
                f"task {place} has {len(known)} inputs and {len(wanted)} targets, where {most} shots and {queries} "
                "queries are needed of both."
            )

    def draw(seed: int) -> NetworkEpisode:
        generator = _generator(seed)
        chosen = torch.randperm(len(inputs), generator=generator)[:tasks].tolist()
        orders = [torch.randperm(len(inputs[task]), generator=generator)[: most + queries] for task in chosen]
        x = torch.stack([inputs[task][order] for task, order in zip(chosen, orders, strict=True)])
        y = torch.stack([targets[task][order] for task, order in zip(chosen, orders, strict=True)])
        numbers = torch.randint(least, most + 1, (tasks, 1), generator=generator)
        return NetworkEpisode(
            network,
            x[:, :most],
            y[:, :most],
            x[:, most:],
            y[:, most:],
            mask=None if least == most else torch.arange(most) < numbers,
            loss=loss,
        )

    return draw


def _generator(seed: int) -> torch.Generator:
    if not isinstance(seed, Integral):
        raise InputError(f"an episode is drawn by a whole number, not by {seed!r}.")
    return torch.Generator().manual_seed(int(seed))


def _tensor(what: str, values: Any) -> Tensor:
    try:
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{what}: {type(values).__name__} cannot be read as a tensor of numbers.") from None


def _shots(shots: int | tuple[int, int], **numbers: int) -> tuple[int, int]:
    """The least and the most; all numbers are whole ones from one on."""
    pair = tuple(shots) if isinstance(shots, tuple | list) else (shots, shots)
    if len(pair) != 2:
        raise InputError(f"shots: give one number, or the least and the most, not {shots!r}.")
    for name, number in {**numbers, "shots": pair[0], "the most shots": pair[1]}.items():
        if not isinstance(number, Integral) or number < 1:
            raise InputError(f"{name}: an episode needs a whole number from one on, not {number!r}.")
    if pair[0] > pair[1]:
        raise InputError(f"shots: a pair goes from the fewer to the more, unlike {pair!r}.")
    return pair[0], pair[1]
