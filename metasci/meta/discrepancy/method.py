"""A prior of an equation and of what it leaves out, as a method: how it is learned, and how it adapts to a new task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from metasci.errors import InputError
from metasci.files import State
from metasci.meta.adapted import Adapted
from metasci.meta.compositions.outer import Outer, OuterState, outer_state, outer_step
from metasci.meta.compositions.training import learn
from metasci.meta.covariates import Design
from metasci.meta.discrepancy.condensing import (
    condensed,
    inducing_rows,
    knowing_others,
    tails,
    with_new_groups,
    with_tasks,
)
from metasci.meta.discrepancy.conditioning import TaskProcess
from metasci.meta.discrepancy.estimation import most_probable
from metasci.meta.discrepancy.kernel import first_scales
from metasci.meta.discrepancy.likelihood import (
    Linearised,
    expected_spread,
    linearised,
    next_number,
    some_of_each,
)
from metasci.meta.discrepancy.objective import cost_and_slopes, sample
from metasci.meta.discrepancy.places import coordinates_of, rows_of
from metasci.meta.discrepancy.scales import expected_scales
from metasci.meta.discrepancy.shares import drawn_tasks, means_in_shares, thinned_rows
from metasci.meta.discrepancy.state import DiscrepancyState
from metasci.meta.laplace.gauss_newton import map_estimate
from metasci.meta.laplace.gaussian import GaussianPrior
from metasci.meta.laplace.gaussian_state import GaussianState
from metasci.meta.laplace.ties import is_tied
from metasci.meta.problem import Problem

__all__ = ["DiscrepancyPrior"]

_RELINEARISE = 12  # steps between moves of where the equation is linearised
_NEAR = 1e-2  # posterior standard deviations: where learning begins need not be known better
_LEAST_SHARE = 1e-3  # of the noise's variance: what is less unknown than that no measurement can tell
_MOST_TOGETHER = 60  # each of which has a state of its own, of megabytes
# beyond so many the scales that a climb ends at are as good as those to be expected, which take ten times as long
_FEW_TASKS = 15
_NOISE_SHARE = 0.7  # of the equation's misfit, taken for noise to begin with: the rest is what it leaves out


@dataclass(frozen=True)
class DiscrepancyPrior:
    """An equation's parameters and what it leaves out, as one Gaussian process with Student's tails.

    To a prediction on the noise's linked scale belong the equation, a discrepancy that all tasks share, which varies
    with the conditions and with the tasks' covariates, and one that each task has of its own. Covariates act on the
    start through a Gaussian process, too. All scales are learned together.

    Parameters
    ----------
    members : int
        Measurements of each task that are drawn for every step of learning: about as many as new tasks will have. All
        at once would teach how one dense grid is filled in, not how a new task is known from a few.
    iterations : int
        Steps of Adam on the density of each half of the tasks given the other half
        (`metasci.meta.discrepancy.objective`). Of fifteen tasks or fewer the scales' distribution is then sampled, and
        each variance is the one to be expected (`metasci.meta.discrepancy.scales`). For hundreds of tasks fifty do.
    learning_rate : float
        Falling to zero along a cosine.
    level : float
        Variance of the belief about the common start, in scaled coordinates about the start that is learned first.
    inducing : int
        Rows that stand for all measurements, at most.
    together : int
        Measurements that are looked at at once, at most. Where there are more, every step is made on tasks drawn at
        random, and the tasks' estimates are made share by share; what all measurements tell of the inducing rows is
        added up task by task in any case.
    levels : sequence of str, optional
        Columns of what tasks have in common, such as their laboratory or study: each of its groups moves the parameters
        and has a discrepancy of its own. By default those that the card of the data declares.
    begin : GaussianPrior
        The prior of the equation alone with which learning begins.
    trend : bool
        Whether what covariates do to the start is kept as that prior has it, linear and learned from all tasks, so that
        the process says only how it departs from that. It is for many tasks, hundreds: what a few say of many
        covariates is known too badly to be kept.

    Notes
    -----
    Learning begins with the `GaussianPrior` of the equation alone, and each task's equation is linearised at its
    posterior mean, which moves as learning goes on: scales are learned in view of where they lead it, so that what the
    equation leaves out does not take its place. What is learned of the shared process is then condensed into few
    rows (`metasci.meta.discrepancy.state`). The conditions' coordinates are those of `Model.discrepancy_inputs`.
    Sources: Kennedy and O'Hagan, JRSS B 63 (2001) 425, for the discrepancy; Shah, Wilson and Ghahramani, AISTATS 2014,
    for the tails.

    Examples
    --------
    >>> import metasci as ms
    >>> prior = ms.meta_calibrate(
    ...     ms.patients.one_compartment_oral, ms.dataset("theophylline"), DiscrepancyPrior(iterations=5)
    ... )
    >>> prior
    Prior('theophylline': patients.one_compartment_oral, equation and discrepancy, learned from 12 tasks)
    """

    members: int = 12
    iterations: int = 100
    learning_rate: float = 0.08
    level: float = 4.0
    inducing: int = 500
    together: int = 2000
    levels: tuple[str, ...] | None = None
    begin: GaussianPrior = field(default_factory=GaussianPrior)
    trend: bool = False

    title: ClassVar[str] = "equation and discrepancy"
    penalty: ClassVar[float] = 0.0

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return self.title

    def __post_init__(self) -> None:
        for name, least in (("members", 1), ("iterations", 1), ("inducing", 1), ("together", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name}: {getattr(self, name)} is too few; say {least} or more.")
        if self.levels is not None:
            if isinstance(self.levels, str):
                raise InputError(f"levels: give the columns in a list, ['{self.levels}'].")
            object.__setattr__(self, "levels", tuple(self.levels))
        for name in ("learning_rate", "level"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name}: {getattr(self, name):g} must be above zero.")

    def initial(self, problem: Problem, design: Design) -> DiscrepancyState:
        """Start from the learned Gaussian prior of the equation alone."""
        _refuse_unable(problem)
        # of many tasks the equation alone is learned from some, as a beginning
        counts = problem.batch.mask.sum(1)
        few = torch.arange(len(counts)) if self.trend else drawn_tasks(counts, self.together, 0)
        alone, _ = learn(self.begin, problem.select(few), design.select(few))
        if int(counts.sum()) > self.together:
            at = _near(self.begin, problem, design, alone)
        else:
            at = self.begin.adapt(problem, design, alone).coordinates
        line, mask = problem.linearise(at, alone.log_noise), problem.batch.mask
        raw = coordinates_of(problem.model, problem.batch.inputs, mask.shape)[mask]
        width = raw.std(0)
        zero = problem.target.new_zeros(())
        nothing = problem.target.new_zeros(len(problem), 0)
        levels = 0 if design.group is None else design.group.shape[1]
        scales = first_scales(alone.covariance, raw.shape[1], design.values.shape[1], levels)
        log_noise = alone.log_noise + torch.tensor(_NOISE_SHARE).log()
        # twice the misfit: what an equation leaves out is as large as the noise that it is taken for
        unit = 2.0 * line.variance[mask].mean().sqrt()
        no_rows = rows_of(
            nothing[:1, :, None].expand(1, 0, raw.shape[1]),
            line.jacobian[:1, :0],
            design.select(torch.tensor([0])),
        )
        state = DiscrepancyState(
            scales=scales,
            log_noise=log_noise,
            unit=unit,
            level=zero + self.level,
            origin=alone.mean,
            centre=raw.mean(0),
            width=torch.where(width > 0, width, torch.ones_like(width)),
            rows=no_rows.select(0),
            precision=zero.new_zeros(0, 0),
            pull=zero.new_zeros(0),
            freedom=zero + 1e6,
            stretch=zero + 1.0,
            iteration=zero,
            coordinates=at,
            trend=alone.effects if self.trend and design.values.shape[1] else None,
            first=scales,
        )
        return replace(state, memory=outer_state(self._outer, _learned(state)).memory)

    def improve(
        self, problem: Problem, design: Design, state: DiscrepancyState, seed: int
    ) -> tuple[DiscrepancyState, Tensor]:
        """One step up the density of halves of the tasks; after the last, all measurements are condensed."""
        assert state.coordinates is not None
        number, draw = int(state.iteration), seed * 1_000_003 + int(state.iteration)
        if number and number % _RELINEARISE == 0:
            state = replace(state, coordinates=self._estimates(problem, design, state, draw))
        assert state.coordinates is not None
        counts = problem.batch.mask.sum(1).clamp(max=self.members)
        few = drawn_tasks(counts, self.together, draw)
        some = sample(
            problem.select(few), design.select(few), state, state.coordinates[few], self.members, draw
        )
        _, slopes = cost_and_slopes(some, state, _learned(state))
        _refuse_not_finite(problem, slopes)
        moved = outer_step(self._outer, OuterState(_learned(state), state.memory, state.iteration), slopes)
        scales = dict(moved.learned)
        state = replace(
            state,
            log_noise=scales.pop("log_noise"),
            scales=scales,
            memory=moved.memory,
            iteration=state.iteration + 1.0,
        )
        if self.finished(state):
            state = self._condensed(problem, design, state, seed)
        return state, torch.zeros(len(problem), dtype=torch.bool)

    def _estimates(self, problem: Problem, design: Design, state: DiscrepancyState, draw: int) -> Tensor:
        """Means of the tasks' coordinates, one step from where they were, (task, parameter)."""
        assert state.coordinates is not None
        data = linearised(problem, design, state, state.coordinates)
        if len(data.rows) > self.together:
            data = data.select(some_of_each(data.rows.task, self.members, draw))
        return means_in_shares(problem, data, state, state.coordinates, self.together, draw)

    def finished(self, state: DiscrepancyState) -> bool:
        """Whether all steps are made."""
        return int(state.iteration) >= self.iterations

    def _condensed(
        self, problem: Problem, design: Design, state: DiscrepancyState, seed: int
    ) -> DiscrepancyState:
        assert state.coordinates is not None
        at = state.coordinates
        for _ in range(2):  # with all measurements, and once more from where that leads
            data = linearised(problem, design, state, at)
            at = means_in_shares(problem, data, state, at, self.together, seed)
        data = linearised(problem, design, state, at)
        if len(problem) <= _FEW_TASKS:
            scales = expected_scales(problem, design, state, at, self.members, seed)
            state = replace(state, log_noise=scales.pop("log_noise"), scales=scales)
            at = means_in_shares(problem, data, state, at, self.together, seed)
            data = linearised(problem, design, state, at)
        state = replace(state, coordinates=at)
        rows = thinned_rows(data.rows.task, self.together, seed)
        state = replace(state, scales=expected_spread(problem, data.select(rows), state))
        some = data.select(rows)
        freedom, stretch = tails(problem, some, state, self.members, seed)
        least = _negligible(problem, data, state)
        chosen = rows[inducing_rows(state.kernel, some.rows, self.inducing, least)]
        return replace(condensed(problem, data, state, chosen), freedom=freedom, stretch=stretch)

    def adapt(self, problem: Problem, design: Design, state: DiscrepancyState) -> Adapted:
        """Calibrate every task of the batch, each by itself."""
        _refuse_unable(problem)
        problem = problem.trimmed(problem.batch.mask)
        at, converged, finite = most_probable(problem, design, state)
        process = TaskProcess.of(state, problem, design, at)
        start, _ = process.parameters(prior=True)
        mixture, start_mixture = process.mixture(), process.mixture(prior=True)
        return Adapted(
            at,
            mixture.total_covariance,
            start,
            start_mixture.total_covariance,
            state.log_noise,
            mixture,
            start_mixture,
            converged,
            finite,
            discrepancy=process,
        )

    def adapt_together(
        self, problem: Problem, design: Design, state: DiscrepancyState, known: Tensor | None = None
    ) -> Adapted:
        """Calibrate every task of the batch, given all others of a group of its, such as of its laboratory, too.

        Which tasks the state knows, (task,) of bool, so that they would count twice, is said by `known`.
        """
        group = design.group
        if group is None or not _share_a_group(group):
            return self.adapt(problem, design, state)
        if len(group) > _MOST_TOGETHER:
            note = (
                f"more than {_MOST_TOGETHER} tasks are calibrated at once, each by itself, though some share a group: "
                "let the prior learn of the group first, with `prior.update`."
            )
            return replace(self.adapt(problem, design, state), notes=(note,))
        data, wider = self._with_new_groups(problem, design, state)
        known = torch.zeros(len(group), dtype=torch.bool) if known is None else known
        others = knowing_others(problem, data, wider, group, next_number(state.rows), known)
        return self.adapt(problem, design, others)

    def update(self, problem: Problem, design: Design, state: DiscrepancyState) -> DiscrepancyState:
        """The state that knows more tasks, too, and their groups; scales stay as they were learned."""
        return with_tasks(problem, *self._with_new_groups(problem, design, state))

    def _with_new_groups(
        self, problem: Problem, design: Design, state: DiscrepancyState
    ) -> tuple[Linearised, DiscrepancyState]:
        """New measurements, linearised at each task's own estimate, and the state that can hold their groups."""
        at = self.adapt(problem, design, state).coordinates
        data = linearised(problem, design, state, at, known=False)
        return data, with_new_groups(data, state, self.inducing, _negligible(problem, data, state))

    def state_of(self, tensors: State) -> DiscrepancyState:
        """The state of its tensors by name, as files keep them."""
        return DiscrepancyState.of(tensors)

    def shapes(self, size: int, covariates: int, scales: int, laws: int) -> Mapping[str, tuple[int, ...]]:
        """Names and shapes of the tensors that every saved state has."""
        return DiscrepancyState.shapes(size, covariates, scales, len(self.levels or ()))

    @property
    def _outer(self) -> Outer:
        return Outer(self.iterations, self.learning_rate, "adam", "cosine", decay=(0.9, 0.99))


def _near(begin: GaussianPrior, problem: Problem, design: Design, alone: GaussianState) -> Tensor:
    """About where the equation alone ends for each of many tasks, of which none is searched for other valleys."""
    mean, covariance = begin.start(alone, design)
    found = map_estimate(problem, mean, torch.linalg.inv(covariance), alone.log_noise, tolerance=_NEAR)
    return torch.where(found.finite[:, None], found.coordinates, mean)


def _learned(state: DiscrepancyState) -> dict[str, Tensor]:
    return {**state.scales, "log_noise": state.log_noise}


def _negligible(problem: Problem, data: Linearised, state: DiscrepancyState) -> float:
    """A variance of the shared process that no measurement can tell from none."""
    noise = problem.model.noise.variance(data.raw, state.log_noise, data.inputs)
    return _LEAST_SHARE * float(noise.median()) if len(noise) else 0.0


def _share_a_group(group: Tensor) -> bool:
    """Whether two of the tasks are of one group, (task, level)."""
    named = [column[~torch.isnan(column)] for column in group.T]
    return any(len(column.unique()) < len(column) for column in named)


def _refuse_not_finite(problem: Problem, slopes: Mapping[str, Tensor]) -> None:
    if not all(bool(torch.isfinite(slope).all()) for slope in slopes.values()):
        raise InputError(
            f"'{problem.model.name}' with a discrepancy gave no finite numbers while its scales were learned: the "
            "equation may have no slope where it was measured; use `GaussianPrior`, or leave such measurements out."
        )


def _refuse_unable(problem: Problem) -> None:
    """Refuse what a discrepancy cannot be told apart from, or what is no number."""
    if not problem.model.noise.gaussian:
        what = "noise" if problem.model.noise.measures else "outcomes"
        raise InputError(
            f"'{problem.model.name}' has {type(problem.model.noise).__name__} {what}, about which a discrepancy is "
            "not learned: use `GaussianPrior`."
        )
    if is_tied(problem.model.parameters):
        raise InputError(
            f"'{problem.model.name}' has parameters tied over occasions, which a discrepancy would take the place of: "
            "use `GaussianPrior`."
        )
    if bool((problem.batch.mask & ~problem.batch.numbers).any()):
        raise InputError(
            "limits and intervals are no numbers that a discrepancy could be learned from: use `GaussianPrior`, or "
            "leave them out."
        )
