"""A task that is unlike those learned from is told of, and others are not more often than they should be."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from known import as_known
from scipy.stats import kstest
from test_federated import line, lines

import metasci as ms
from metasci.diagnostics import unlike
from metasci.errors import InputError
from metasci.meta import GaussianPrior


@pytest.fixture(scope="module")
def prior():
    """Learned from 60 simulated lines."""
    return ms.meta_calibrate(line, lines(60), covariates=("age",))


def test_p_values_of_tasks_of_the_same_kind_are_uniform(prior):
    found = unlike(prior, lines(300, seed=5))
    for name in ("p_parameters", "p_scatter"):
        values = found[name].values
        assert kstest(values, "uniform").pvalue > 0.01, name
        assert 0.02 < (values < 0.05).mean() < 0.10, name


def test_the_two_parts_add_up_to_the_prior_predictive_distance(prior):
    """In a linear model rᵀV⁻¹r, computed here from whole matrices, is the sum of the two parts."""
    prior = as_known(prior)
    tasks = lines(5, seed=3)
    batch = prior.batch(tasks)
    adapted = prior.adapt(batch)
    from metasci.diagnostics.outsiders import _distances
    from metasci.meta.problem import Problem

    squared, informed = _distances(adapted)
    problem = Problem(line, batch)
    at_start = problem.linearise(adapted.start, adapted.log_noise)
    for task in range(5):
        seen = batch.mask[task]
        jacobian = at_start.jacobian[task][seen]
        variance = jacobian @ adapted.start_covariance[task] @ jacobian.T
        variance = variance + torch.diag(at_start.variance.expand(batch.mask.shape)[task][seen])
        off = (batch.output[task] - at_start.prediction[task])[seen]
        whole = float(off @ torch.linalg.solve(variance, off))
        here = problem.linearise(adapted.coordinates, adapted.log_noise)
        rest = (batch.output[task] - here.prediction[task])[seen].square().sum() / adapted.log_noise.exp()[
            0
        ] ** 2
        moved = (adapted.coordinates - adapted.start)[task]
        pulled = float(rest + moved @ torch.linalg.solve(adapted.start_covariance[task], moved))
        assert whole == pytest.approx(pulled, rel=1e-6)
        assert 0.0 < squared[task] < whole
        assert (informed[task] > 1e-6).sum() == 2


def test_what_is_unlike_is_told_of(prior):
    tasks = lines(8, seed=7)
    dataset = tasks.dataset.copy()
    moved = np.where(np.arange(8) == 2, 6.0, 0.0)[:, None]
    dataset["y"] = dataset["y"] + moved
    dataset["y"][5] = dataset["y"][5] + 3.0 * np.resize([1.0, -1.0], dataset["y"].shape[1])
    verdict = unlike(prior, ms.TaskSet.from_dataset(dataset, tasks.card)).attrs["verdict"]
    assert "in their parameters: 't02'" in verdict or "in their parameters: t02" in verdict
    assert "in how they scatter" in verdict
    assert "t05" in verdict.partition("scatter")[2]
    assert "None of the 8" in unlike(prior, tasks).attrs["verdict"]


def test_a_prior_that_predicts_no_parameters_is_refused():
    tasks = lines(8)
    noisy = ms.meta_calibrate(line, tasks, GaussianPrior(task_noise=True, iterations=2), covariates=())
    with pytest.raises(InputError, match="explains any scatter"):
        unlike(noisy, tasks)
    start = ms.meta_calibrate(line, tasks, ms.FOMAML(1, iterations=1), covariates=())
    with pytest.raises(InputError, match="learn a GaussianPrior"):
        unlike(start, tasks)
