"""Sums of sines in the place of what tasks share: against the exact covariance, and measurements task by task."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor
import pytest
import torch
from scipy import stats

from metasci.bayes.discrepancy import with_discrepancy
from metasci.bayes.discrepancy_parts import Places
from metasci.bayes.hilbert_space import Sines, shared_curve, sines_for
from metasci.errors import InputError

from test_bayes_discrepancy import evaluated, steels, straight  # isort: skip

__all__ = ["steels", "straight"]  # fixtures


def quickly(inputs, output):
    with pytensor.config.change_flags(mode="FAST_COMPILE", cxx=""):
        return pytensor.function(inputs, output, on_unused_input="ignore")


@pytest.mark.parametrize(("length", "coordinates"), [(0.3, 1), (2.0, 1), (0.8, 2)])
def test_as_many_sines_as_said_have_the_processs_covariance(length, coordinates):
    place = np.sort(np.random.default_rng(0).uniform(-1.7, 1.7, (40, coordinates)), 0)
    sines = Sines.over(place, np.full(coordinates, length), np.full(coordinates, length))
    with pm.Model() as built:
        value = sines.curves("weight", np.full(coordinates, length))
    of = quickly([built["weight"]], value)
    basis = np.stack([of(unit) for unit in np.eye(len(sines))], 1)
    r = np.sqrt(5.0 * ((place[:, None] - place[None]) ** 2).sum(-1)) / length
    exact = (1.0 + r + r * r / 3.0) * np.exp(-r)
    assert np.abs(basis @ basis.T - exact).max() < 0.001 * coordinates


def test_what_tasks_and_groups_share_has_the_learned_covariance(straight):
    prior, tasks = straight
    batch, state = prior.batch(tasks), prior.state
    data = Places.of(prior, batch, None)
    scales = {name: value.numpy() for name, value in state.scales.items()}
    with pm.Model() as built:
        value = shared_curve(state, data, scales, sines_for(state, data, True))
    free = built.free_RVs
    of = quickly(free, value)
    zero = [np.zeros(built.eval_rv_shapes()[variable.name]) for variable in free]
    columns = []
    for at, start in enumerate(zero):
        for place in range(start.size):
            unit = [each.copy() for each in zero]
            unit[at].flat[place] = 1.0
            columns.append(of(*unit))
    basis = np.array(columns).T
    rows = data.rows_without_slopes(len(state.origin))
    exact = state.kernel.shared(rows, rows).numpy()
    np.testing.assert_allclose(basis @ basis.T, exact, atol=0.001 * np.abs(exact).max())


def test_given_the_weights_tasks_are_independent(straight):
    """All offsets and weights at zero: each task is normal about the equation, by its own covariance and noise."""
    prior, tasks = straight
    batch, state = prior.batch(tasks), prior.state
    support = batch.mask.clone()
    support[1, 2:] = False  # tasks of different sizes
    log_density, slope, _, size = evaluated(
        with_discrepancy(prior, batch, support=support, scales_known=True, sines=True)
    )
    data = Places.of(prior, batch, support)
    rows = data.rows_without_slopes(len(state.origin))
    own = torch.where(rows.same_task(rows), state.kernel.own(rows, rows), 0.0).numpy()
    line = prior.problem(batch).linearise(state.origin.expand(len(batch), -1), state.log_noise)
    left = (prior.problem(batch).target - line.prediction)[support].numpy()
    covariance = own + np.diag(line.variance[support].numpy())
    exact = stats.multivariate_normal(cov=covariance).logpdf(left) + size * stats.norm.logpdf(0.0)
    empty = support.shape[0] * int(support.sum(1).max()) - int(support.sum())
    assert log_density(np.zeros(size)) == pytest.approx(exact + empty * stats.norm.logpdf(0.0), abs=1e-8)
    # the slope is that of the density
    step, direction = 1e-5, np.random.default_rng(1).standard_normal(size)
    numeric = (log_density(step * direction) - log_density(-step * direction)) / (2.0 * step)
    assert slope(np.zeros(size)) @ direction == pytest.approx(numeric, rel=1e-5)


def test_unknown_covariates_and_too_many_sines_are_refused(straight, steels):
    prior, tasks = steels
    with pytest.raises(InputError, match="some covariates are not known"):
        with_discrepancy(prior, prior.batch(tasks), scales_known=True, sines=True)
    known = tasks.select([0, 2])
    with pytest.raises(
        InputError, match="sines would be needed over 14 coordinates and covariates, more than 600"
    ):
        with_discrepancy(prior, prior.batch(known), scales_known=True, sines=True)
