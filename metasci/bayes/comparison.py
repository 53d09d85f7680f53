"""The learned prior against PyMC's hierarchical posterior: populations, every task's estimate, the same forecasts.

The prior is judged as it is given. Tasks that it has learned from are held out in folds as well: in each, the prior is
learned and PyMC sampled from the same old tasks; then both meet the new tasks' first measurements, and forecast the
others.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import xarray as xr
from torch import Tensor

from metasci.bayes.described import measurements_of, population_of, tasks_of
from metasci.bayes.folds import ANEW, GIVEN, Fold, arranged
from metasci.bayes.joint import Joint, joint_posterior, together
from metasci.bayes.kept import KeptDraws, key_of
from metasci.bayes.sampling import Posterior, pooled
from metasci.bayes.scores import HeldOut
from metasci.bayes.scoring import (
    JOINT,
    POPULATION,
    against_pymc,
    score_learned,
    score_pymc,
    scores_of,
    spreads,
)
from metasci.bayes.steps import Steps
from metasci.bayes.verdict import verdict
from metasci.data.batch import Batch
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.evaluation.protocol import Protocol, split_tasks, with_enough_rows
from metasci.learned.equation import LearnedEquation
from metasci.meta.discrepancy.state import DiscrepancyState

__all__ = ["FORECASTERS", "compare"]

FORECASTERS = (GIVEN, ANEW, JOINT, POPULATION)
"""Who forecasts in a comparison: what is judged comes first, then PyMC, then what is judged beside."""


def compare(
    prior: LearnedEquation,
    tasks: TaskSet,
    *,
    known: TaskSet | None = None,
    shots: int | None = None,
    folds: int = 3,
    draws: int = 1000,
    tune: int = 1000,
    seed: int = 0,
    seeds: int = 1,
    scales_known: bool = True,
    rmse_margin: float = 0.02,
    nats_margin: float = 0.02,
    keep: str | Path | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Hold a learned prior against the hierarchical posterior that PyMC infers.

    The prior is judged as it is given. Where the tasks are those that it has learned from, groups are held out in
    folds and both sides learn anew without them; the prior as given, which has seen them, is judged beside. Other tasks
    are new to the prior: PyMC then conditions on the tasks that the prior has learned from where these are at hand
    (they ship, or are given as `known`), else on the other new tasks, in folds, with a prior learned anew from the same
    judged beside. What is learned anew is said by the verdict and by the names of the forecasters.

    Parameters
    ----------
    prior : Prior
    tasks : TaskSet
    known : TaskSet, optional
        What the prior has learned from, where that does not ship.
    shots : int, optional
        Size of the support: three, or what of the card's protocol is nearest.
    folds : int
    draws, tune, seed
        See `metasci.bayes.sample`.
    seeds : int
        How often PyMC samples everything, each time with another seed; all draws count.
    scales_known : bool
        Of a prior with a discrepancy: whether PyMC takes its scales as learned, which is a matter of minutes, or
        samples them, too, which takes hours for more than some ten tasks.
    rmse_margin, nats_margin : float
        What does not matter: of the ratio of errors, and of the log density a measurement.
    keep : path, optional
        Folder for draws, so that an interrupted call, or one whose chains have not converged, can go on: the same call
        takes what is there, and adds chains where they have not converged. The user's cache by default; draws are
        removed once the comparison is whole.
    progress : bool
        Whether to say on standard error what is being done, once a minute at least.

    Returns
    -------
    xarray.Dataset
        Coordinates are unconstrained unless a name ends in ``_physical``.

        Of the population (fold, …), against what PyMC has learned from the old tasks only: ``start``, ``start_z`` in
        posterior standard deviations of the mean, ``mahalanobis`` and its χ² ``tail``; ``implied_covariance``,
        ``implied_sd`` and ``population_sd``; ``kl_forward``, ``kl_backward`` (of the prior from PyMC's population, and
        the other way) and ``wasserstein``, over draws; draws of the population themselves, ``population_mean`` and
        ``population_covariance``; ``rhat``, ``effective_size``, ``divergences`` and ``converged`` of each fit.

        Of every held-out task (task, …), after its support: ``estimate`` and ``estimate_sd`` beside
        ``posterior_mean`` and ``posterior_sd`` of the joint fit, ``estimate_z``; ``operator_learned`` and
        ``operator_pymc``, how far an estimate goes towards the measurements' own; ``contraction_learned`` and
        ``contraction_pymc``.

        Of every held-out measurement (forecaster, measurement): ``median``, ``lower`` and ``upper`` of 90 %,
        ``log_density``, ``crps``, ``pit`` and ``covered`` (…, level); over all of them ``rmse``, ``nlpd``,
        ``mean_crps``, ``coverage`` and ``seconds`` a task (for PyMC one joint fit, compilation included, since a new
        task needs all of it); against PyMC's joint fit ``rmse_ratio`` with the ends of its 90 % interval (``_lower``,
        ``_upper``), and ``nlpd_difference`` with its standard error (``_se``). ``run_median`` and ``run_log_density``
        (run, measurement) are by each chain alone.

        The attribute ``verdict`` is a sentence or two; `metasci.bayes.summary` gives the figures.

    Raises
    ------
    InputError
        If the chains of a fold do not converge, also after a second try; nothing is left to judge by;
        or `known` are other tasks than the prior has learned from.

    Notes
    -----
    Of classes the error is that of probabilities, the root of half of Brier's score, ``median`` the likeliest class,
    and ``covered`` whether what came is in the smallest set of likeliest classes with the level's probability. Of
    outputs of several kinds errors and CRPS are counted in standard deviations of each output's held-out measurements.

    PyMC's joint fit knows the supports of all tasks held out in a fold together, the learned prior of each only its
    own: where old tasks are few, new ones tell much of the population. ``"PyMC, population as prior"`` knows what the
    learned prior knows; of a prior with a discrepancy it is left out, since what the equation leaves out at a new task
    depends on every measurement of the old ones.
    """
    for name, margin in (("rmse_margin", rmse_margin), ("nats_margin", nats_margin)):
        if not margin > 0.0:
            raise InputError(f"{name}: {margin:g} is no margin; it must be above zero.")
    own = tasks.card if tasks.card.protocol else prior.card
    protocol = Protocol.from_card(own)
    judged_alike = shots is None or "shots" in (own.protocol or {})
    shots = min(protocol.shots, key=lambda k: abs(k - 3)) if shots is None else shots
    # what is judged by is what no support takes, of those that a card compares; else of this one
    protocol = replace(protocol, shots=tuple(sorted({*protocol.shots, shots})) if judged_alike else (shots,))
    tasks, _ = with_enough_rows(tasks, protocol)
    plan = arranged(prior, tasks, protocol, folds, known)
    sampler = _Sampler(
        KeptDraws(_folder(keep)),
        Steps(progress),
        scales_known,
        draws=draws,
        tune=tune,
        seed=seed,
        seeds=seeds,
    )
    left_out = isinstance(prior.state, DiscrepancyState)
    alone = "" if left_out else POPULATION
    scores = {name: HeldOut() for name in (plan.judged, JOINT, alone, plan.beside) if name}
    populations, of_tasks, measurements, runs = [], [], [], []
    for place, fold in enumerate(plan.folds, 1):
        split = split_tasks(fold.new.mask, shots, protocol, seeds=1)
        if not len(split.task):
            continue
        chosen = fold.new.select(split.task)
        where = f"fold {place} of {plan.count}"
        known_fit = sampler.fit(fold, None, None, where)
        joint = sampler.fit(fold, chosen, split.support, where)
        populations.append(population_of(fold, known_fit, joint, place))
        of_tasks.append(tasks_of(fold.judged, chosen, split.support, joint, place))
        measurements.append(measurements_of(fold.judged, chosen, split.query))
        with sampler.steps.step(f"{where}: forecasts"):
            score_learned(scores[plan.judged], fold.judged, chosen, split.support, split.query)
            if fold.beside is not None:
                score_learned(scores[plan.beside], fold.beside, chosen, split.support, split.query)
            runs.append(
                score_pymc(
                    scores, fold, chosen, split.support, split.query, known_fit, joint, seeds=seeds, seed=seed
                )
            )
    if not measurements:
        raise InputError(f"no task has measurements left to judge by after {shots} of support.")
    fewest = min(part.sizes["run"] for part in runs)
    measured = xr.concat(measurements, "measurement")
    unit = spreads(prior.model.noise, measured)
    of_runs = xr.concat([part.isel(run=slice(fewest)) for part in runs], "measurement")
    result = xr.merge(
        [
            xr.concat(populations, "fold"),
            xr.concat(of_tasks, "task"),
            measured,
            of_runs.assign(run_error=of_runs["run_error"] / unit),
            scores_of(scores, protocol.aggregate, measurements, unit),
        ],
        compat="no_conflicts",
        join="exact",
    )
    if getattr(prior.model.noise, "kind", "") not in _ERRORS:
        result = result.drop_vars(["error", "run_error"])  # they are those of the medians
    output = prior.model.output
    result.attrs = {
        "prior": prior.name,
        "model": prior.model.name,
        "method": prior.method.name,
        "data": tasks.card.name,
        "shots": shots,
        "aggregate": protocol.aggregate,
        "output": output.label or output.name,
        "output_unit": _UNITS.get(getattr(prior.model.noise, "kind", ""), output.unit),
        "error_name": _ERRORS.get(getattr(prior.model.noise, "kind", ""), "RMSE"),
        "simulated": int(tasks.card.simulated),
        "draws": draws,
        "seeds": seeds,
        "inputs": ",".join(prior.model.inputs),
        "rmse_margin": rmse_margin,
        "nats_margin": nats_margin,
        "learned": plan.sentence + (_LEFT_OUT[scales_known] if left_out else ""),
    }
    result = result.assign(against_pymc(result))
    result.attrs["verdict"] = verdict(result)
    if keep is None:
        sampler.discard()
    return result


_LEFT_OUT = {
    True: "; both know what the equation leaves out, and PyMC takes the scales of that as the prior has learned them",
    False: "; both know what the equation leaves out, and PyMC samples the scales of that",
}
"""What is said of a prior with a discrepancy, by whether its scales are known."""
_ERRORS = {
    "class": "root of half Brier's score",
    "several kinds": "RMSE in each output's standard deviations",
}
"""What errors are called, by the kind of outcome, where that is not the RMSE of medians."""
_UNITS = {"class": "1", "several kinds": "1"}


@dataclass(frozen=True)
class _Sampler:
    """PyMC's fits of a comparison: each is kept as soon as it is there."""

    kept: KeptDraws
    steps: Steps
    scales_known: bool
    draws: int
    tune: int
    seed: int
    seeds: int
    keys: list[str] = field(default_factory=list)

    def fit(self, fold: Fold, new: Batch | None, support: Tensor | None, where: str) -> Joint:
        """Old tasks, alone or with the supports of new ones, by every seed."""
        batch = together(fold.old, new, support)
        what = f"{len(fold.old)} old tasks" + (f" and {len(new)} new ones" if new is not None else "")
        parts: list[Posterior] = []
        for seed in range(self.seed, self.seed + self.seeds):
            settings: dict[str, Any] = {"draws": self.draws, "tune": self.tune}
            if isinstance(fold.same.state, DiscrepancyState):
                settings["scales_known"] = self.scales_known
            key = key_of(fold.same, batch, seed=seed, **settings)
            self.keys.append(key)

            def sample(more: int, seed: int = seed, settings: dict[str, Any] = settings) -> Posterior:
                bar = self.steps.shown and sys.stderr.isatty()
                return joint_posterior(
                    fold.same, fold.old, new, support, seed=seed + more, progress=bar, **settings
                ).posterior

            numbered = f", seed {seed}" if self.seeds > 1 else ""
            try:
                with self.steps.step(f"{where}: PyMC samples {what}, {self.draws} draws a chain{numbered}"):
                    parts.append(self.kept.sampled(key, sample))
            except KeyboardInterrupt:
                goes_on = (
                    f"interrupted in {where}; the same call goes on from the draws in '{self.kept.folder}'"
                )
                self.steps.say(goes_on)
                raise KeyboardInterrupt(goes_on) from None
        posterior = pooled(parts)
        if not posterior.converged:
            raise InputError(
                f"no comparison: PyMC's chains have not converged in {where} ({'; '.join(posterior.problems)}); their "
                f"draws are kept in '{self.kept.folder}', and the same call adds chains to them; or ask for more draws "
                f"than {self.draws}."
            )
        return Joint(posterior, batch, len(fold.old))

    def discard(self) -> None:
        """Remove what was kept of this comparison."""
        for key in self.keys:
            self.kept.discard(key)


def _folder(keep: str | Path | None) -> Path:
    """Where draws are kept: by default in the user's cache."""
    if keep is not None:
        return Path(keep)
    import pooch

    return Path(pooch.os_cache("metasci")) / "comparisons"
