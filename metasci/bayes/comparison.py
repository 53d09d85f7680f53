"""The learned prior against PyMC's hierarchical posterior: populations, every task's estimate, the same forecasts.

Tasks are held out in folds. In each, the prior is learned and PyMC sampled from the same old tasks; then both meet
the new tasks' first measurements, and forecast the others.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from metasci.bayes.forecast import Forecast
from metasci.bayes.forecast import predictive as forecast_of
from metasci.bayes.implied import implied_prior
from metasci.bayes.joint import Joint, joint_posterior, population_covariances, posterior_of_new_task
from metasci.bayes.populations import gaussian_distances, start_against_mean
from metasci.bayes.scores import LEVELS, HeldOut
from metasci.bayes.shrinkage import contraction, of_prior, of_steps
from metasci.bayes.verdict import verdict
from metasci.data.batch import Batch
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.evaluation.evaluate import held_out
from metasci.evaluation.protocol import Protocol, split_tasks, with_enough_rows
from metasci.fits.predictive import predictive as learned_predictive
from metasci.learned.equation import Prior
from metasci.meta.gradient import GradientMethod
from metasci.meta.laplace.gauss_newton import normal_equations
from metasci.meta.laplace.gaussian_state import GaussianState
from metasci.meta.problem import Problem

__all__ = ["FORECASTERS", "compare", "summary"]

FORECASTERS = ("learned prior", "PyMC, joint", "PyMC, population as prior")
_KEPT = 200  # draws of the population that a result carries
_AXIS = np.linspace(-8.0, 8.0, 321)  # coordinates at which the physical values are given, to read results by
_PAIR = ("parameter", "parameter_other")


def compare(
    prior: Prior,
    tasks: TaskSet,
    *,
    shots: int | None = None,
    folds: int = 3,
    draws: int = 1000,
    tune: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> xr.Dataset:
    """Hold a learned prior against the hierarchical posterior that PyMC infers from the same tasks.

    Where the tasks are those that the prior learned from, groups are held out in folds and both sides learn
    anew without them. Other tasks are new to both: PyMC conditions on the prior's own training data, which
    must then be at hand.

    Parameters
    ----------
    prior : Prior
    tasks : TaskSet
    shots : int, optional
        Size of the support: three, or what of the card's protocol is nearest.
    folds : int
    draws, tune, seed, progress
        See `metasci.bayes.sample`.

    Returns
    -------
    xarray.Dataset
        Coordinates are unconstrained unless a name ends in ``_physical``.

        Of the population (fold, …), both from the old tasks only: ``start``, ``start_z`` in posterior standard
        deviations of the mean, ``mahalanobis`` and its χ² ``tail``; ``implied_covariance``, ``implied_sd`` and
        ``population_sd``; ``kl_forward``, ``kl_backward`` (of the prior from PyMC's population, and the other way) and
        ``wasserstein``, over draws; draws of the population themselves, ``population_mean`` and
        ``population_covariance``.

        Of every held-out task (task, …), after its support: ``estimate`` and ``estimate_sd`` beside
        ``posterior_mean`` and ``posterior_sd`` of the joint fit, ``estimate_z``; ``operator_learned`` and
        ``operator_pymc``, how far an estimate goes towards the measurements' own; ``contraction_learned`` and
        ``contraction_pymc``.

        Of every held-out measurement (forecaster, measurement): ``median``, ``lower`` and ``upper`` of 90 %,
        ``log_density``, ``crps``, ``pit`` and ``covered`` (…, level); over all of them ``rmse``, ``nlpd``,
        ``mean_crps``, ``coverage`` and ``seconds`` a task (for PyMC one joint fit, compilation included, since a new
        task needs all of it).

        The attribute ``verdict`` is one sentence; `metasci.bayes.summary` gives the figures.

    Raises
    ------
    InputError
        If the chains of a fold do not converge, also after a second try; or nothing is left to judge by.
    """
    protocol = Protocol.from_card(tasks.card if tasks.card.protocol else prior.card)
    shots = min(protocol.shots, key=lambda k: abs(k - 3)) if shots is None else shots
    protocol = replace(protocol, shots=tuple(sorted({*protocol.shots, shots})))
    tasks, _ = with_enough_rows(tasks, protocol)
    scores = {name: HeldOut() for name in FORECASTERS}
    populations, of_tasks, measurements = [], [], []
    parts = _folds(prior, tasks, protocol, folds)
    sampling: dict[str, Any] = {"draws": draws, "tune": tune, "seed": seed, "progress": progress}
    for number, (fold_prior, old, new) in enumerate(parts, 1):
        split = split_tasks(new.mask, shots, protocol, seeds=1)
        if not len(split.task):
            continue
        chosen = new.select(split.task)
        known = joint_posterior(fold_prior, old, **sampling)
        joint = joint_posterior(fold_prior, old, chosen, split.support, **sampling)
        for fit in (known, joint):
            if not fit.posterior.converged:
                raise InputError(
                    f"no comparison: PyMC's chains have not converged in fold {number} of {len(parts)} "
                    f"({'; '.join(fit.posterior.problems)}); ask for more draws than {draws}."
                )
        populations.append(_population(fold_prior, old, known, joint, number))
        of_tasks.append(_tasks(fold_prior, chosen, split.support, joint, number))
        measurements.append(_measurements(fold_prior, chosen, split.query))
        _score_learned(scores["learned prior"], fold_prior, chosen, split.support, split.query)
        _score_pymc(scores, fold_prior, chosen, split.support, split.query, known, joint, seed)
    if not measurements:
        raise InputError(f"no task has measurements left to judge by after {shots} of support.")
    result = xr.merge(
        [
            xr.concat(populations, "fold"), xr.concat(of_tasks, "task"), xr.concat(measurements, "measurement"),
            _scores(scores, protocol.aggregate, measurements),
        ],
        compat="no_conflicts", join="exact",
    )  # fmt: skip
    output = prior.model.output
    result.attrs = {
        "prior": prior.name, "model": prior.model.name, "method": prior.method.name, "data": tasks.card.name,
        "shots": shots, "aggregate": protocol.aggregate, "output": output.label or output.name,
        "output_unit": output.unit, "simulated": int(tasks.card.simulated), "draws": draws,
        "inputs": ",".join(prior.model.inputs),
    }  # fmt: skip
    result.attrs["verdict"] = verdict(result)
    return result


def summary(comparison: xr.Dataset) -> dict[str, Any]:
    """The figures of a comparison, as plain numbers and one sentence.

    Returns
    -------
    dict
        ``tasks``, ``measurements``, ``shots``; ``rmse``, ``nlpd``, ``crps``, ``coverage90`` and ``seconds_per_task``
        of both; ``rmse_ratio``, ``nlpd_difference`` (learned less PyMC, in nats a measurement), ``speed_ratio``; of
        the population ``start_tail`` (the smallest χ² tail of a fold), ``spread_ratio`` (by parameter, the learned
        spread over PyMC's, their geometric mean over folds), ``wasserstein``; ``converged`` and ``verdict``.
    """
    both = {"prior": FORECASTERS[0], "pymc": FORECASTERS[1]}

    def of_both(name: str) -> dict[str, float]:
        return {key: float(comparison[name].sel(forecaster=method)) for key, method in both.items()}

    rmse, nlpd, seconds = of_both("rmse"), of_both("nlpd"), of_both("seconds")
    coverage = comparison["coverage"].sel(level=0.9)
    ratio = np.exp(np.log((comparison["implied_sd"] / comparison["population_sd"]).values).mean(0))
    return {
        "tasks": comparison.sizes["task"],
        "measurements": comparison.sizes["measurement"],
        "shots": int(comparison.attrs["shots"]),
        "rmse": rmse,
        "rmse_ratio": rmse["prior"] / rmse["pymc"],
        "nlpd": nlpd,
        "nlpd_difference": nlpd["prior"] - nlpd["pymc"],
        "crps": of_both("mean_crps"),
        "coverage90": {key: float(coverage.sel(forecaster=method)) for key, method in both.items()},
        "seconds_per_task": seconds,
        "speed_ratio": seconds["pymc"] / seconds["prior"],
        "start_tail": float(comparison["tail"].min()),
        "spread_ratio": dict(zip(comparison["parameter"].values.tolist(), ratio.tolist(), strict=True)),
        "wasserstein": float(comparison["wasserstein"].mean()),
        "converged": True,
        "verdict": str(comparison.attrs["verdict"]),
    }


def _folds(prior: Prior, tasks: TaskSet, protocol: Protocol, folds: int) -> list[tuple[Prior, Batch, Batch]]:
    if prior.training.get("data_sha256") != tasks.dataset.attrs.get("checksum"):
        from metasci.catalogue import dataset

        known, _ = with_enough_rows(dataset(prior.card.name, model=prior.model), protocol)
        return [(prior, prior.batch(known), prior.batch(tasks))]
    group = protocol.leave_out or tasks.card.task[0]
    result = []
    for fold_prior, new in held_out(prior, tasks, group, folds):
        old = tasks.select(~np.isin(tasks.names, new.names))
        result.append((fold_prior, fold_prior.batch(old), fold_prior.batch(new)))
    return result


def _population(prior: Prior, old: Batch, known: Joint, joint: Joint, number: int) -> xr.Dataset:
    """Start and implied spread against the population that PyMC infers from the same tasks."""
    state, names = prior.state, list(prior.model.parameters.names)
    start = state.mean.numpy()
    said = implied_prior(prior, old)
    stated = isinstance(state, GaussianState)
    spread = said["average"].values
    if stated:
        spread = (state.covariance * state.widening).numpy()
    means = known.posterior.draws["coordinate_mean"]
    covariances = population_covariances(known.posterior)
    kept = np.linspace(0, len(means) - 1, min(_KEPT, len(means))).round().astype(int)
    against = start_against_mean(start, means)
    distances = gaussian_distances(start, spread, means[kept], covariances[kept])
    physical = prior.model.parameters.to_physical
    draws_physical = np.stack(list(physical(means[kept]).values()), -1)
    start_physical = np.array([float(value) for value in physical(start).values()])
    fits = (known.posterior, joint.posterior)
    data = {
        "start": ("parameter", start),
        "start_physical": ("parameter", start_physical),
        "physical": (
            ("axis", "parameter"),
            np.stack([np.asarray(p.to_physical(_AXIS)) for p in prior.model.parameters], -1),
        ),
        "start_z": ("parameter", against["z"]),
        "mahalanobis": ((), against["mahalanobis"]),
        "tail": ((), against["tail"]),
        "implied_covariance": (_PAIR, spread),
        "implied_sd": ("parameter", np.sqrt(np.diag(spread))),
        "population_sd": ("parameter", np.sqrt(np.diagonal(covariances, axis1=1, axis2=2)).mean(0)),
        "population_mean": (("draw", "parameter"), means[kept]),
        "population_mean_physical": (("draw", "parameter"), draws_physical),
        "population_covariance": (("draw", *_PAIR), covariances[kept]),
        **{name: ("draw", values) for name, values in distances.items()},
        "rhat": ("fit", [fit.rhat for fit in fits]),
        "effective_size": ("fit", [fit.effective_size for fit in fits]),
        "divergences": ("fit", [fit.divergences for fit in fits]),
        "sampling_seconds": ("fit", [fit.seconds for fit in fits]),
    }
    coords = {
        "parameter": names, "parameter_other": names, "draw": np.arange(len(kept)),
        "fit": ["old tasks", "old and new tasks"], "fold": number,
        "unit": ("parameter", [parameter.unit for parameter in prior.model.parameters]),
        "axis": _AXIS,
    }  # fmt: skip
    return xr.Dataset(data, coords)


def _tasks(prior: Prior, chosen: Batch, support: Tensor, joint: Joint, number: int) -> xr.Dataset:
    """Every held-out task's estimate against its posterior in the joint fit."""
    seen = chosen.with_mask(chosen.mask & support)
    adapted = prior.adapt(seen)
    new = slice(joint.first_new, None)
    draws = joint.posterior.draws["coordinates"][:, new]
    kept = np.linspace(0, len(draws) - 1, min(_KEPT, len(draws))).round().astype(int)
    covariances = population_covariances(joint.posterior)[kept]
    nothing = adapted.start.new_zeros(*adapted.start.shape, adapted.start.shape[1])
    ones = torch.ones_like(adapted.start[:, 0])

    def curvature(at: Tensor) -> np.ndarray:
        problem = prior.problem(seen)
        return normal_equations(problem, at, at, nothing, adapted.log_noise, ones)[1].numpy()

    hessian = curvature(adapted.coordinates)
    learned = of_prior(hessian, np.nan_to_num(adapted.start_covariance.numpy()))
    method = prior.method
    if isinstance(method, GradientMethod) and method.has_closed_form and method.steps and not method.frozen:
        factor = method.step_factor(prior.state, hessian.shape[-1]).detach().numpy()
        learned = of_steps(curvature(adapted.start), factor @ factor.T, method.steps)
    theirs = np.stack([of_prior(one, covariances).mean(0) for one in hessian])
    mean, sd = draws.mean(0), draws.std(0, ddof=1)
    estimate = adapted.coordinates.numpy()
    covariance = np.stack([np.atleast_2d(np.cov(draws[:, t].T)) for t in range(len(chosen))])
    physical = prior.model.parameters.to_physical

    def in_units(values: np.ndarray) -> np.ndarray:
        return np.stack([np.asarray(value) for value in physical(values).values()], -1)

    each = ("task", "parameter")
    data = {
        "estimate": (each, estimate),
        "estimate_physical": (each, in_units(estimate)),
        "estimate_sd": (each, adapted.covariance.diagonal(dim1=1, dim2=2).clamp(min=0.0).sqrt().numpy()),
        "posterior_mean": (each, mean),
        "posterior_median_physical": (each, np.median(in_units(draws), 0)),
        "posterior_sd": (each, sd),
        "estimate_z": (each, (estimate - mean) / sd),
        "start_of_task": (each, adapted.start.numpy()),
        "operator_learned": (("task", *_PAIR), learned),
        "operator_pymc": (("task", *_PAIR), theirs),
        "contraction_learned": (each, contraction(adapted.covariance, adapted.start_covariance)),
        "contraction_pymc": (each, contraction(covariance, covariances.mean(0))),
        "task_fold": ("task", np.full(len(chosen), number)),
    }
    names = list(prior.model.parameters.names)
    return xr.Dataset(data, {"task": list(chosen.names), "parameter": names, "parameter_other": names})


def _measurements(prior: Prior, chosen: Batch, query: Tensor) -> xr.Dataset:
    """What was held out: of which task, under which conditions, and its value."""
    task, place = (values.numpy() for values in query.nonzero(as_tuple=True))
    data: dict[str, Any] = {
        "measured": ("measurement", chosen.output.numpy()[task, place]),
        "measured_task": ("measurement", np.array(chosen.names)[task]),
    }
    for name in prior.model.inputs:
        values = chosen.inputs[name].expand(query.shape).numpy()
        data[name] = ("measurement", values[task, place], {"units": prior.model.inputs[name].unit})
    return xr.Dataset(data)


def _score_learned(score: HeldOut, prior: Prior, batch: Batch, support: Tensor, query: Tensor) -> None:
    for row in range(len(batch)):  # one at a time, as a user would
        one = batch.select([row])
        began = time.perf_counter()
        adapted = prior.adapt(one.with_mask(one.mask & support[[row]]))
        forecast = learned_predictive(Problem(prior.model, one.with_mask(query[[row]])), adapted)
        forecast.interval(0.9)
        score.seconds.append(time.perf_counter() - began)
        asked = query[row]
        limits = None if one.censored is None else one.censored[0, asked].numpy()

        def interval(level: float, forecast: Any = forecast, asked: Tensor = asked) -> tuple[Any, Any]:
            return tuple(values[0, asked].numpy() for values in forecast.interval(level))

        score.add(
            one.output[0, asked].numpy(), forecast.median[0, asked].numpy(), interval,
            forecast.sample(1000, seed=row)[:, 0, asked].numpy(), forecast.log_density()[0, asked].numpy(),
            forecast.cumulative()[0, asked].numpy(), limits,
        )  # fmt: skip


def _score_pymc(
    scores: Mapping[str, HeldOut], prior: Prior, batch: Batch, support: Tensor, query: Tensor,
    known: Joint, joint: Joint, seed: int,
) -> None:  # fmt: skip
    for row in range(len(batch)):
        one = batch.select([row])
        began = time.perf_counter()
        own = posterior_of_new_task(
            known.posterior, prior, one.with_mask(one.mask & support[[row]]), seed=seed
        )
        from_population = forecast_of(own, prior.model, one.with_mask(query[[row]]), 0)
        scores[FORECASTERS[2]].seconds.append(time.perf_counter() - began)
        forecasts: dict[str, Forecast] = {
            FORECASTERS[1]: joint.forecast(prior, row, query[row]),
            FORECASTERS[2]: from_population,
        }
        asked = query[row]
        limits = None if one.censored is None else one.censored[0, asked].numpy()
        for name, said in forecasts.items():
            scores[name].add(
                one.output[0, asked].numpy(), said.median, said.interval, said.measurement, said.log_density,
                said.cumulative, limits,
            )  # fmt: skip
    scores[FORECASTERS[1]].seconds.append(joint.posterior.seconds + joint.posterior.compile_seconds)


def _scores(scores: Mapping[str, HeldOut], aggregate: str, parts: list[xr.Dataset]) -> xr.Dataset:
    """Every method's forecasts, and their figures over all of them."""
    columns = {name: score.stacked() for name, score in scores.items()}
    measured = np.concatenate([part["measured"].values for part in parts])
    counts = np.concatenate([_counts(part) for part in parts])
    labels = np.repeat(np.arange(len(counts)), counts)
    data: dict[str, Any] = {}
    for name in ("median", "lower", "upper", "log_density", "crps", "pit"):
        data[name] = (
            ("forecaster", "measurement"),
            np.stack([columns[method][name] for method in FORECASTERS]),
        )
    covered = np.stack([columns[method]["covered"] for method in FORECASTERS])
    squares = (data["median"][1] - measured) ** 2
    each = np.stack([[row[labels == at].mean() for at in range(len(counts))] for row in squares])
    rmse = {
        "mean": np.sqrt(each).mean(1),
        "root_mean_square": np.sqrt(each.mean(1)),
        "pooled": np.sqrt(squares.mean(1)),
    }[aggregate]
    data |= {
        "covered": (("forecaster", "measurement", "level"), covered),
        "coverage": (("forecaster", "level"), covered.mean(1)),
        "rmse": ("forecaster", rmse),
        "nlpd": ("forecaster", -data["log_density"][1].mean(1)),
        "mean_crps": ("forecaster", data["crps"][1].mean(1)),
        "seconds": ("forecaster", [float(np.median(scores[name].seconds)) for name in FORECASTERS]),
    }
    return xr.Dataset(data, {"forecaster": list(FORECASTERS), "level": list(LEVELS)})


def _counts(part: xr.Dataset) -> np.ndarray:
    """Held-out measurements of each task, in the tasks' order."""
    _, first, counts = np.unique(part["measured_task"].values, return_index=True, return_counts=True)
    return np.asarray(counts[np.argsort(first)])
