"""Whether anything was learned: what does not move, or explains no more than a constant, has learned nothing; and
whether one noise holds all that it was learned from.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

from torch import Tensor

from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.learned.equation import LearnedEquation
from metasci.meta import DiscrepancyPrior, GaussianPrior
from metasci.meta.explained import explained_share, moved_by
from metasci.model import Model
from metasci.priors.uneven_scatter import described_scatter, uneven_scatter
from metasci.words import enumerated, words

__all__ = ["check_learned", "tell_known", "tell_single", "tell_uneven", "tell_unsaid"]

# standard deviations of the noise for a unit of a coordinate: less is nothing that measurements could show
_STILL = 1e-6
_NO_MORE = 0.1  # of the squares about a constant


def check_learned(prior: LearnedEquation, batch: Batch, state: Any) -> None:
    """Refuse a run whose predictions do not move with the parameters; warn where they explain no more than a constant.

    Parameters
    ----------
    prior : LearnedEquation
    batch : Batch
        What it was learned from.
    state
        As learning left it, with the tasks' estimates where it keeps any.
    """
    problem, output = prior.problem(batch), prior.model.output
    estimates, log_noise = _estimates(prior, batch, state)
    if moved_by(problem, estimates, log_noise) < _STILL:
        raise InputError(
            f"nothing can be learned: the {words(output.name)} that '{prior.model.name}' predicts for the tasks of "
            f"'{prior.card.name}' does not move with any of its parameters; {_way_out(prior)}."
        )
    share = explained_share(problem, estimates, log_noise)
    if share < _NO_MORE:
        little = "little was learned"
        if isinstance(prior.method, DiscrepancyPrior):
            little = (
                "what it leaves out takes its place, and its parameters do not mean what they say; take "
                "`GaussianPrior` where they matter"
            )
        warnings.warn(
            f"'{prior.model.name}' explains {words(output.name)} of '{prior.card.name}' hardly better than a constant "
            f"does ({100.0 * max(share, 0.0):.0f} % of the squares about it): {little}; {_way_out(prior)}.",
            stacklevel=4,  # at the line of the user's that calls `meta_calibrate`
        )


def tell_single(model: Model, batch: Batch) -> None:
    """Warn where every task was measured once, so that nothing tells noise from how tasks differ."""
    if model.noise.measures and int(batch.mask.sum(1).max()) < 2:
        warnings.warn(
            f"each of the {len(batch)} tasks has one {words(model.output.name)} only, which cannot tell how it "
            "scatters from how tasks differ: noise and intervals rest on what was believed beforehand; measure some "
            "tasks twice.",
            stacklevel=4,  # at the line of the user's that calls `meta_calibrate`
        )


def tell_unsaid(levels: Iterable[str], batch: Batch) -> None:
    """Warn of tasks to learn from of which nobody says the group, such as the laboratory, at a level above them."""
    for at, level in enumerate(levels):
        if batch.groups is None or not (unsaid := batch.groups[:, at].isnan()).any():
            continue
        names = [name for name, without in zip(batch.names, unsaid.tolist(), strict=True) if without]
        warnings.warn(
            f"{words(level)} not given for {len(names)} of {len(batch)} tasks ({enumerated(names, most=3)}): each is "
            f"taken for the only one of its {words(level)}.",
            stacklevel=4,  # as above
        )


def tell_known(prior: LearnedEquation, batch: Batch) -> None:
    """Warn of tasks that are to be learned from a second time."""
    names = [name for name, known in zip(batch.names, prior.knows(batch), strict=True) if known]
    if names:
        warnings.warn(
            f"{len(names)} of {len(batch)} tasks ({enumerated(names, most=3)}) were learned from before and now count "
            "twice: leave them out.",
            stacklevel=4,  # at the line of the user's that calls `update`
        )


def tell_uneven(prior: LearnedEquation, tasks: TaskSet) -> None:
    """Warn where the noise does not hold all measurements that a prior was learned from.

    Of a Gaussian prior, whose estimates follow the measurements as far as the law can. Where a few steps of descent
    end, or what the law leaves out is learned beside it, residuals about the law are not noise alone, and nothing is
    said.
    """
    if not isinstance(prior.method, GaussianPrior):
        return
    batch = prior.batch(tasks)
    problem = prior.problem(batch)
    part = uneven_scatter(problem, *_estimates(prior, batch, prior.state))
    if part is not None:
        warnings.warn(described_scatter(part, problem), stacklevel=3)  # as above


def _estimates(prior: LearnedEquation, batch: Batch, state: Any) -> tuple[Tensor, Tensor]:
    kept = getattr(state, "coordinates", None)
    if kept is not None and len(kept) == len(batch):
        return kept, state.log_noise
    adapted = prior.adapt(batch)
    return adapted.coordinates, adapted.log_noise


def _way_out(prior: LearnedEquation) -> str:
    if prior.model.reference is None:
        return "check units and typical values, or take another model"
    return (
        f"its rates are stated at {prior.model.reference.temperature:g} K: check units, choose another reference "
        "temperature (reference=, --reference), or take another model"
    )
