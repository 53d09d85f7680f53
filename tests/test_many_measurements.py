"""Equation and discrepancy learned from more measurements than one covariance holds, and warfarin's sites."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

import metasci as ms
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.meta import DiscrepancyPrior
from metasci.meta.covariates import Design
from metasci.meta.discrepancy.kernel import Rows, first_scales
from metasci.meta.discrepancy.likelihood import linearised, posterior_means
from metasci.meta.discrepancy.shares import drawn_tasks, means_in_shares, shares, thinned_rows
from metasci.meta.discrepancy.state import DiscrepancyState
from metasci.meta.problem import Problem
from metasci.studies.warfarin_sites import Known, forecast, known_of

F64 = torch.float64


@ms.equation(
    inputs={"x": "1"}, output=("y", "1"), name="test.many_lines",
    parameters=[ms.Parameter("intercept", "1", 0.0, spread=1.0), ms.Parameter("slope", "1", 0.0, spread=1.0)],
    noise=ms.Additive((0.1,)),
)  # fmt: skip
def line(x, *, intercept, slope):
    """A straight line."""
    return intercept + slope * x


def bent(count: int, seed: int, places: int = 6) -> TaskSet:
    """Lines with one bend for all."""
    rng, rows = np.random.default_rng(seed), []
    for task in range(count):
        x = np.sort(rng.uniform(0.0, 3.0, places))
        y = (
            rng.normal(1.0, 0.3)
            + rng.normal(0.5, 0.2) * x
            + 0.4 * np.sin(2.5 * x)
            + rng.normal(0.0, 0.05, places)
        )
        rows += [(f"s{seed}.{task}", *each) for each in zip(x, y, strict=True)]
    return TaskSet.from_frame(pd.DataFrame(rows, columns=["task", "x", "y"]), ms.Card.from_model(line))


def test_shares_hold_every_task_with_measurements_once_and_are_small_and_full() -> None:
    counts = torch.tensor([3, 0, 5, 1, 12, 4, 4, 2])
    parts = shares(counts, 8, seed=3)
    assert sorted(torch.cat(parts).tolist()) == [0, 2, 3, 4, 5, 6, 7]
    sizes = [int(counts[part].sum()) for part in parts]
    assert all(size <= 8 for part, size in zip(parts, sizes, strict=True) if len(part) > 1)
    # none could have taken the first task of the next
    assert all(
        size + int(counts[after[0]]) > 8 for size, (_, after) in zip(sizes, pairwise(parts), strict=False)
    )
    assert drawn_tasks(counts, 31, seed=0).tolist() == list(range(8))
    drawn = {tuple(drawn_tasks(counts, 8, seed).tolist()) for seed in range(30)}
    assert len(drawn) > 5


def test_rows_are_thinned_in_all_tasks_alike() -> None:
    task = torch.arange(3.0).repeat_interleave(torch.tensor([2, 10, 5]))
    rows = thinned_rows(task, 8, seed=1)
    assert torch.bincount(task[rows].long()).tolist() == [2, 2, 2]
    assert rows.tolist() == sorted(set(rows.tolist()))
    assert thinned_rows(task, 17, seed=1).tolist() == list(range(17))
    assert len(thinned_rows(task, 2, seed=1)) == 2  # fewer than there are tasks


def test_estimates_in_shares_are_those_of_each_share_alone() -> None:
    tasks = bent(5, seed=1, places=4)
    batch = tasks.batch(line)
    none = torch.zeros(5, 0, dtype=F64)
    problem, design = Problem(line, batch), Design(none, none[:, :, None])
    empty, one = torch.zeros(0, dtype=F64), torch.ones((), dtype=F64)
    no_rows = Rows(
        *(torch.zeros(0, size, dtype=F64) for size in (1, 2, 0, 0)),
        empty,
        empty,
        torch.zeros(0, 0, dtype=F64),
    )
    state = DiscrepancyState(
        scales=first_scales(torch.tensor([[0.3, 0.1], [0.1, 0.2]], dtype=F64), 1, 0), unit=0.8 * one,
        log_noise=torch.tensor([-1.0], dtype=F64), level=one, origin=torch.tensor([0.2, -0.1], dtype=F64),
        centre=torch.tensor([1.5], dtype=F64), width=torch.tensor([0.9], dtype=F64),
        rows=no_rows,
        precision=torch.zeros(0, 0, dtype=F64), pull=empty, freedom=1e9 * one, stretch=one, iteration=one,
    )  # fmt: skip
    at = 0.1 * torch.arange(10, dtype=F64).reshape(5, 2)
    data = linearised(problem, design, state, at)
    whole = means_in_shares(problem, data, state, at, 20, seed=0)
    assert torch.equal(whole, posterior_means(problem, data, state, at))
    apart = means_in_shares(problem, data, state, at, 8, seed=0)
    for part in shares(torch.full((5,), 4), 8, seed=0):
        part = part.sort().values
        alone = problem.select(part)
        own = posterior_means(alone, linearised(alone, design.select(part), state, at[part]), state, at[part])
        torch.testing.assert_close(apart[part], own, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(apart, whole)


def test_a_prior_learned_from_samples_of_tasks_forecasts_as_one_of_all() -> None:
    known, new = bent(24, seed=2), bent(12, seed=3, places=8)
    errors = {}
    for together in (2000, 60):
        method = DiscrepancyPrior(iterations=25, members=6, together=together)
        prior = ms.meta_calibrate(line, known, method)
        row = next(
            row for row in ms.evaluate(prior, new, shots=(2,), seeds=1)["results"] if row["method"] == "prior"
        )
        errors[together] = row["rmse"]
        assert 0.82 < row["coverage90"] < 0.97
    assert errors[60] < 1.15 * errors[2000]
    assert errors[60] < 0.15  # the bend is known: without it, 0.28
    with pytest.raises(InputError, match="together: 0 is too few"):
        replace(method, together=0)


def test_a_site_as_a_level_is_the_dense_mixed_model() -> None:
    rng, between = np.random.default_rng(5), 7.0
    tables = [np.column_stack([np.ones(n), rng.normal(size=(n, 2))]) for n in (9, 6, 8)]
    doses = [table @ [5.0, 0.3, -0.2] + rng.normal() + rng.normal(size=len(table)) for table in tables]
    seen = np.arange(8) < 3
    others = known_of(tables[0], doses[0], between) + known_of(tables[1], doses[1], between)
    assert isinstance(others, Known)
    got = forecast(others, tables[2], doses[2], seen, between)
    # all as one Gaussian, a flat prior of the level by a great variance
    table, site = np.concatenate(tables), np.repeat([0, 1, 2], [9, 6, 8])
    prior = np.diag([1e9, 0.1, 0.1])
    whole = table @ prior @ table.T + (site[:, None] == site) / between + np.eye(len(site))
    told = np.concatenate([np.ones(15, bool), seen])
    gain = np.linalg.solve(whole[np.ix_(told, told)], whole[np.ix_(told, site == 2)]).T
    dense = gain @ np.concatenate(doses)[told]
    np.testing.assert_allclose(got.median[~seen], dense[~seen], rtol=1e-7)
    unknown = np.diag(whole[np.ix_(site == 2, site == 2)] - gain @ whole[np.ix_(told, site == 2)])
    # only of patients that are not seen, since the dense model knows the noise of the others
    ratio = got.sd[~seen] ** 2 / unknown[~seen]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-6)


def test_info_and_template_name_the_level_above_the_task() -> None:
    """Without its column a steel is one of a laboratory that nobody knows, so a user must hear of it."""
    from metasci.learned.columns import columns_of

    prior = ms.load("steel_tempering_discrepancy")
    last = columns_of(prior.model, prior.card, prior.training, prior.levels)[-1]
    assert last["column"] == "source"
    assert not last["needed"]
    assert "Grange and Baughman and Penha" in last["meaning"]
