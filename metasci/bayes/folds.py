"""Who learns from what in a comparison: the prior as it is given, the prior learned anew, and PyMC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from metasci.data.batch import Batch
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.evaluation.evaluate import held_out
from metasci.evaluation.protocol import Protocol, with_enough_rows
from metasci.learned.equation import LearnedEquation
from metasci.learned.learned_from import all_learned_from, learned_from

__all__ = ["ANEW", "GIVEN", "Arrangement", "Fold", "arranged"]

GIVEN = "learned prior, as given"
ANEW = "learned prior, anew in folds"


@dataclass(frozen=True)
class Fold:
    """Tasks that are held out together, and what each side has learned from.

    Attributes
    ----------
    judged : Prior
        Held against PyMC.
    beside : Prior or None
        Judged as well, on the same measurements.
    same : Prior
        Learned from the old tasks, as PyMC is to: gives it the covariates' scale and where to start.
    old, new : Batch
    """

    judged: LearnedEquation
    beside: LearnedEquation | None
    same: LearnedEquation
    old: Batch
    new: Batch


@dataclass(frozen=True)
class Arrangement:
    """How a comparison is arranged, and in what words.

    Attributes
    ----------
    judged, beside : str
        What the forecasters are called; `beside` is empty where there is one only.
    count : int
        Of folds.
    sentence : str
        Who has learned from what.
    folds : iterator of Fold
    """

    judged: str
    beside: str
    count: int
    sentence: str
    folds: Iterator[Fold]


def arranged(
    prior: LearnedEquation, tasks: TaskSet, protocol: Protocol, folds: int, known: TaskSet | None = None
) -> Arrangement:
    """Arrange a comparison.

    Tasks that the prior has learned from are held out in folds, and both sides learn anew without them; the prior as
    given has seen them, and is judged beside. Other tasks are new to the prior, which is judged as given: against PyMC
    on the prior's own tasks where these are at hand, else against PyMC on the other new tasks, in folds, with a prior
    learned from the same beside.

    Parameters
    ----------
    prior : Prior
    tasks : TaskSet
    protocol : Protocol
    folds : int
    known : TaskSet, optional
        What the prior has learned from; of a shipped prior it is found.

    Raises
    ------
    InputError
        If `known` are other tasks than those, or too few tasks are there for folds.
    """
    seen = int(learned_from(prior, tasks).sum())
    if not seen:
        known = _known(prior, protocol, known)
        if known is not None:
            fold = Fold(prior, None, prior, prior.batch(known), prior.batch(tasks))
            sentence = (
                f"The prior is judged as given; PyMC has learned from the same {len(known)} tasks as it"
            )
            return Arrangement(GIVEN, "", 1, sentence, iter([fold]))
    group = protocol.leave_out or (*tasks.card.task, "task")[0]
    parts = min(folds, len(set(np.asarray(tasks.groups(group)).tolist())))
    if len(tasks) - -(-len(tasks) // max(parts, 1)) < 2:
        raise InputError(
            f"{len(tasks)} tasks cannot be held out in {folds} folds, since two at least are needed to learn from: "
            "give more tasks, or as `known` those that the prior has learned from."
        )
    among = "these tasks" if group in ("task", *tasks.card.task) else f"groups by {group}"
    if seen:
        which = "them" if seen == len(tasks) else f"{seen} of them"
        anew = f"Prior and PyMC are learned anew without {among}, in {parts} folds"
        sentence = f"{anew}, since the prior has seen {which}"
        return Arrangement(
            ANEW, GIVEN, parts, sentence, _held_out(prior, tasks, group, folds, from_known=False)
        )
    sentence = (
        f"The prior is judged as given; PyMC has learned from the other new tasks, in {parts} folds, since those that "
        "the prior has learned from are not at hand"
    )
    return Arrangement(GIVEN, ANEW, parts, sentence, _held_out(prior, tasks, group, folds, from_known=True))


def _held_out(
    prior: LearnedEquation, tasks: TaskSet, group: str, folds: int, from_known: bool
) -> Iterator[Fold]:
    # every prior of an equation can be learned anew, though its record alone does not say so
    recipe: Any = prior
    for anew, new in held_out(recipe, tasks, group, folds):
        old = tasks.select(~np.isin(tasks.names, new.names))
        judged, beside = (prior, anew) if from_known else (anew, prior)
        yield Fold(judged, beside, anew, anew.batch(old), anew.batch(new))


def _known(prior: LearnedEquation, protocol: Protocol, known: TaskSet | None) -> TaskSet | None:
    """What the prior has learned from, if that is at hand."""
    from metasci.catalogue import dataset, names

    if known is not None:
        given = all_learned_from(prior, known)
        if given is None or len(given) < len(known):
            raise InputError(
                f"known: the {len(known)} tasks of '{known.card.name}' are not those that '{prior.name}' has learned "
                "from (their checksums differ); leave it out, or give these."
            )
        return known
    if prior.card.name not in names("datasets"):
        return None
    try:
        shipped = all_learned_from(prior, dataset(prior.card.name, model=prior.model))
    except InputError:  # data that do not ship, and are not here
        return None
    return None if shipped is None else with_enough_rows(shipped, protocol)[0]
