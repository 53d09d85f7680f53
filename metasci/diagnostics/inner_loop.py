"""How many inner steps? Query loss against their number, over tasks that were not learned from.

The support's loss falls with every step; that of the query falls until the steps begin to fit the support's noise, and
then rises. The number of steps is an early stop, and so a strength of belief in the start (Santos 1996); it is chosen
here as any other such strength: on validation tasks.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.meta.adaptation.inner import Parameters
from metasci.meta.adaptation.learnable_rules import Descent
from metasci.meta.compositions.adapting import adapt
from metasci.meta.compositions.gradients import Implicit
from metasci.meta.episodes import sample_support
from metasci.meta.gradient import GradientMethod
from metasci.priors.equation import Prior

__all__ = ["inner_loop_curve", "validation_split", "with_steps"]


def validation_split(tasks: TaskSet, share: float = 0.3, seed: int = 0) -> tuple[TaskSet, TaskSet]:
    """Divide tasks at random into those to learn from and those to validate on.

    Parameters
    ----------
    tasks : TaskSet
    share : float
        Of the tasks, that validate; at least one task, and two are left to learn from.
    seed : int

    Raises
    ------
    InputError
        If there are fewer than three tasks, or the share is not between 0 and 1.

    Examples
    --------
    >>> import metasci as ms
    >>> [len(part) for part in validation_split(ms.dataset("theophylline"))]
    [8, 4]
    """
    if not 0.0 < share < 1.0:
        raise InputError(f"share: {share} is no share of the tasks; give one between 0 and 1.")
    if len(tasks) < 3:
        raise InputError(
            f"'{tasks.card.name}' has {len(tasks)} tasks; validation needs one beside two to learn from."
        )
    order = np.random.default_rng(seed).permutation(len(tasks))
    out = np.zeros(len(tasks), dtype=bool)
    out[order[: min(max(round(share * len(tasks)), 1), len(tasks) - 2)]] = True
    return tasks.select(~out), tasks.select(out)


def inner_loop_curve(
    prior: Prior, tasks: TaskSet, *, most: int | None = None, shots: int = 3, seeds: int = 10
) -> xr.Dataset:
    """Loss of support and query after every inner step.

    Parameters
    ----------
    prior : Prior
        Learned with a gradient method, and without these tasks.
    tasks : TaskSet
        For validation; see `validation_split`.
    most : int, optional
        Steps to look at; four times those of the method by default.
    shots : int
        Measurements in a support; the others of the task are its query.
    seeds : int
        Random supports of every task.

    Returns
    -------
    xarray.Dataset
        Over ``step`` (from 0), ``seed`` and ``task``: ``query_loss`` and ``support_loss``, the mean negative
        log-likelihood of a measurement, and ``query_rmse`` in the output's unit. Over ``step``: their means
        ``mean_...``, and ``excess``, the mean query loss over the least one, with ``excess_standard_error`` from the
        differences within tasks. ``stop_at_steps`` is where the mean query loss is least, ``is_u_shaped`` whether
        that lies inside and the loss at the end exceeds it by more than two standard errors.

    Raises
    ------
    InputError
        If the method makes no inner steps, has fewer learned step sizes than steps are asked for, or a task has too few
        measurements.

    Examples
    --------
    >>> import metasci as ms
    >>> learn, validate = validation_split(ms.dataset("theophylline"))
    >>> prior = ms.meta_calibrate(ms.patients.one_compartment_oral, learn, ms.FOMAML(steps=3, iterations=20))
    >>> inner_loop_curve(prior, validate, seeds=2)["mean_query_loss"].sizes
    Frozen({'step': 13})
    """
    method = _gradient_method(prior)
    most = 4 * method.steps if most is None else most
    if most < 1:
        raise InputError(f"most: {most} is not a number of steps; ask for one at least.")
    rule = method.composition.rule
    if isinstance(rule, Descent) and rule.per_step and most > method.steps:
        raise InputError(
            f"the prior has learned {method.steps} step sizes, one for each step: `most` can be no more."
        )
    batch = prior.batch(tasks)
    if int(batch.mask.sum(1).min()) <= shots:
        raise InputError(f"a task has no measurement left to judge by after {shots}; ask for fewer shots.")
    support = torch.cat([sample_support(batch.mask, (shots, shots), "random", seed) for seed in range(seeds)])
    rows = batch.select(torch.arange(len(batch)).repeat(seeds))
    problem = prior.problem(rows)
    query = rows.mask & ~support
    columns: dict[str, list[Tensor]] = {"query_loss": [], "support_loss": [], "query_rmse": []}
    learned = prior.state.learned
    episode = method.episode(problem, prior.covariates.design(rows.covariates), support)

    def visit(step: int, here: Parameters) -> None:
        with torch.no_grad():
            at = episode.coordinates(here, here)
            for name, mask in (("query_loss", query), ("support_loss", support)):
                cost = problem.with_mask(mask).negative_log_likelihood(at, here["log_noise"])
                columns[name].append(cost / mask.sum(1))
            squared = torch.where(query, (problem.predict(at) - rows.output).square(), 0.0)
            columns["query_rmse"].append((squared.sum(1) / query.sum(1)).sqrt())

    composition = replace(method.adaptation(float(prior.state.first_step)), steps=most)
    adapt(composition, episode, learned, visit)
    unit = {"query_rmse": prior.model.output.unit}
    variables = {
        name: (
            ("step", "seed", "task"),
            torch.stack(values).reshape(most + 1, seeds, len(batch)).numpy(),
            {"units": unit.get(name, "1")},
        )
        for name, values in columns.items()
    }
    result = xr.Dataset(variables, {"step": np.arange(most + 1), "task": list(batch.names)})
    return _judged(result).assign_attrs(
        trained_steps=method.steps,
        shots=shots,
        simulated=str(tasks.card.simulated).lower(),
        quantity=prior.model.output.label or prior.model.output.name,
        method=method.name,
    )


def _judged(result: xr.Dataset) -> xr.Dataset:
    """With means, the stop, and the verdict."""
    for name in ("query_loss", "support_loss", "query_rmse"):
        result[f"mean_{name}"] = result[name].mean(("task", "seed")).assign_attrs(result[name].attrs)
    mean = result["mean_query_loss"]
    finite = mean.fillna(np.inf)
    stop, last = int(np.argmin(finite.values)), int(mean["step"][-1])
    by_task = (result["query_loss"] - result["query_loss"].isel(step=stop)).mean("seed")
    result["excess"] = by_task.mean("task").assign_attrs(units="1")
    count = result.sizes["task"]
    error = by_task.std("task", ddof=1) / np.sqrt(count) if count > 1 else result["excess"] * np.nan
    result["excess_standard_error"] = error.assign_attrs(units="1")
    lost, unsure = float(result["excess"][-1]), float(error[-1])
    u_shaped = 0 < stop < last and not lost <= 2.0 * unsure
    result["stop_at_steps"], result["is_u_shaped"] = stop, u_shaped
    at = f"loss of the query is least after {stop} step{'s' * (stop != 1)} ({float(finite[stop]):.3f} a measurement)"
    if u_shaped:
        end = (
            f"by {last} steps it has risen by {lost:.3f} ± {unsure:.3f}"
            if np.isfinite(lost)
            else f"it diverges by {last}"
        )
        verdict = f"Stop after {stop}: the {at}, and {end}."
    elif stop == last:
        verdict = f"No minimum inside: the {at}, the last that was looked at; look further."
    elif stop == 0:
        verdict = f"Do not adapt from so few measurements: the {at}, and every step makes it worse."
    else:
        loss = f"{last} steps lose {lost:.3f} ± {unsure:.3f}"
        verdict = f"The bottom is flat: the {at}, and {loss}, which is within the noise."
    return result.assign_attrs(verdict=verdict)


def with_steps(prior: Prior, curve: xr.Dataset, tasks: TaskSet | None = None) -> Prior:
    """The prior that stops where `inner_loop_curve` says, and remembers why.

    Parameters
    ----------
    prior : Prior
    curve : xarray.Dataset
        From `inner_loop_curve`.
    tasks : TaskSet, optional
        Those it was learned from, needed where the prior that the steps imply has no closed form (momentum, Adam,
        step sizes of their own), as it depends on their number.

    Returns
    -------
    Prior
        Its method makes that many steps; ``training["stop_at_steps"]`` and ``training["validation"]`` say how they were
        chosen. Both are saved with it.

    Raises
    ------
    InputError
        If the curve says not to adapt, the method solves its inner problem whole, or the tasks are needed and not
        given.
    """
    method = _gradient_method(prior)
    if isinstance(method.composition.gradient, Implicit):
        raise InputError(
            f"the prior '{prior.name}' solves its inner problem whole: its number of steps is no choice to store."
        )
    stop = int(curve["stop_at_steps"])
    if stop < 1:
        raise InputError(
            "the curve says to make no step at all: the start alone predicts better than this adaptation."
        )
    stopped, state = method.with_steps(stop), prior.state
    if state.implied_precision is not None:
        if tasks is None:
            raise InputError(
                "the prior that these steps imply is computed from the tasks learned from: give `tasks`."
            )
        batch = prior.batch(tasks)
        design = prior.covariates.design(batch.covariates)
        state = stopped.with_implied_precision(prior.problem(batch), design, state)
    at = curve.sel(step=stop)
    validation = {
        "tasks": [str(name) for name in curve["task"].values],
        "shots": int(curve.attrs["shots"]),
        "query_loss": float(at["mean_query_loss"]),
        "query_rmse": float(at["mean_query_rmse"]),
        "trained_steps": int(curve.attrs["trained_steps"]),
    }
    training = {**prior.training, "stop_at_steps": stop, "validation": validation}
    return replace(prior, method=stopped, state=state, training=training)


def _gradient_method(prior: Prior) -> GradientMethod:
    method = prior.method
    if not isinstance(method, GradientMethod) or method.steps < 1:
        raise InputError(
            f"the prior '{prior.name}' adapts by {method.name}, not by inner steps; learn one with MAML or its kin."
        )
    return method
