"""The prior with a discrepancy in PyMC, against the covariances of the learned process and a closed form."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytensor
import pytest
import torch
from scipy import stats

import metasci as ms
from metasci.bayes.discrepancy import forecast_with_discrepancy, with_discrepancy
from metasci.bayes.joint_discrepancy import _population
from metasci.bayes.sampling import Posterior
from metasci.errors import InputError
from metasci.meta import DiscrepancyPrior
from metasci.meta.discrepancy.likelihood import linearised
from metasci.meta.discrepancy.places import rows_of
from metasci.priors.equation import Prior

from test_levels import lines, line  # isort: skip


@pytest.fixture(scope="module")
def straight() -> tuple[Prior, ms.TaskSet]:
    tasks = lines(["north", "north", "south", "south", "east", ""], 1, {"north": 0.5, "south": -0.4})
    prior = ms.meta_calibrate(line, tasks, DiscrepancyPrior(iterations=4, members=5))
    scales = {name: value + 0.3 * torch.cos(torch.arange(value.numel()).double()).reshape(value.shape)
              for name, value in prior.state.scales.items()}  # fmt: skip
    return replace(prior, state=replace(prior.state, scales=scales)), tasks


@pytest.fixture(scope="module")
def steels() -> tuple[Prior, ms.TaskSet]:
    tasks = ms.dataset("steel_tempering").select(slice(0, 30, 6))
    few = replace(tasks, dataset=tasks.dataset.isel(observation=slice(2, 30, 7)))
    dataset = few.dataset.copy(deep=True)
    dataset["chromium"].values[1] = np.nan
    return ms.load("steel_tempering_discrepancy"), replace(few, dataset=dataset)


def evaluated(built):
    """Log density, its slope and the tasks' coordinates, as functions of the flat point; and how long that is."""
    point = built.initial_point()
    sizes = {name: np.size(value) for name, value in point.items()}
    coordinates = built.replace_rvs_by_values([built["coordinates"]])[0]
    with pytensor.config.change_flags(mode="FAST_COMPILE", cxx=""):  # evaluated few times
        functions = [
            built.compile_fn(value, inputs=built.value_vars, on_unused_input="ignore", point_fn=True)
            for value in (built.logp(), built.dlogp(), coordinates)
        ]

    def at(function):
        def of(flat):
            parts = np.split(np.asarray(flat, float), np.cumsum(list(sizes.values()))[:-1])
            shaped = zip(sizes, parts, strict=True)
            return np.array(function({name: part.reshape(np.shape(point[name])) for name, part in shaped}))

        return of

    return (*map(at, functions), sum(sizes.values()))


@pytest.mark.parametrize("which", ["straight", "steels"])
def test_covariances_are_those_of_the_learned_process(which, request):
    prior, tasks = request.getfixturevalue(which)
    batch, state = prior.batch(tasks), prior.state
    log_density, _, coordinates, size = evaluated(with_discrepancy(prior, batch, scales_known=True))
    # coordinates are linear in standard normal offsets: their covariance is W Wᵀ
    zero = np.zeros(size)
    at = coordinates(zero)
    assert at == pytest.approx(np.broadcast_to(state.origin.numpy(), at.shape), abs=1e-12)
    w = np.stack([(coordinates(unit) - at).ravel() for unit in np.eye(size)], 1)
    design, parameters = prior.design(batch), len(state.origin)
    eye = torch.eye(parameters, dtype=torch.float64).expand(len(batch), parameters, parameters)
    nowhere = torch.zeros(len(batch), parameters, len(state.centre), dtype=torch.float64)
    rows = rows_of(nowhere, eye, design, seen=0.0, task=torch.arange(len(batch)).double())
    flat = rows.select(torch.ones(len(batch), parameters, dtype=torch.bool))
    expected = state.kernel.whole(flat, flat).numpy()
    np.testing.assert_allclose(w @ w.T, expected, atol=3e-8 * np.abs(expected).max())
    # with all offsets at zero, measurements are normal about the equation at the origin
    origin = state.origin.expand(len(batch), -1)
    data = linearised(prior.problem(batch), design, state, origin)
    without = replace(data.rows, slope=torch.zeros_like(data.rows.slope))
    covariance = state.kernel.whole(without, without)
    covariance = covariance + torch.diag(prior.model.noise.variance(data.raw, state.log_noise, data.inputs))
    exact = stats.multivariate_normal(cov=covariance.numpy()).logpdf(data.left.numpy())
    exact += stats.norm.logpdf(zero).sum()
    assert log_density(zero) == pytest.approx(exact, abs=1e-7 * abs(exact))


def test_a_linear_equation_has_the_posterior_in_closed_form(straight):
    prior, tasks = straight
    batch, state = prior.batch(tasks), prior.state
    support = batch.mask & (torch.arange(batch.mask.shape[1]) < 3)
    built = with_discrepancy(prior, batch, support=support, scales_known=True)
    _, slope, coordinates, size = evaluated(built)
    # the density is a Gaussian's: its mean is one step of Newton's from anywhere
    at_zero = slope(np.zeros(size))
    curvature = np.stack([slope(unit) - at_zero for unit in np.eye(size)], 1)
    mean = np.linalg.solve(-curvature, at_zero)
    problem, design = prior.problem(batch.with_mask(support)), prior.design(batch)
    data = linearised(problem, design, state, state.origin.expand(len(batch), -1))
    kernel, parameters = state.kernel, len(state.origin)
    noise = torch.diag(prior.model.noise.variance(data.raw, state.log_noise, data.inputs))
    weights = torch.linalg.solve(kernel.whole(data.rows, data.rows) + noise, data.left)
    eye = torch.eye(parameters, dtype=torch.float64).expand(len(batch), parameters, parameters)
    nowhere = torch.zeros(len(batch), parameters, len(state.centre), dtype=torch.float64)
    rows = rows_of(nowhere, eye, design, seen=0.0, task=torch.arange(len(batch)).double())
    flat = rows.select(torch.ones(len(batch), parameters, dtype=torch.bool))
    exact = state.origin + (kernel.whole(flat, data.rows) @ weights).reshape(len(batch), parameters)
    np.testing.assert_allclose(coordinates(mean), exact, atol=1e-8)
    # forecasts of the others, with coordinates at their posterior mean: the means are those of the whole process
    query = batch.mask & ~support
    one = Posterior({"coordinates": exact.numpy()[None]}, batch.names, None, 0.0, 0.0, 1.0, 1e3, 0)
    forecasts = forecast_with_discrepancy(one, prior, batch, support, query)
    asked = linearised(
        prior.problem(batch.with_mask(query)), design, state, state.origin.expand(len(batch), -1)
    )
    expected = kernel.whole(asked.rows, data.rows) @ weights + asked.raw
    np.testing.assert_allclose(np.concatenate([mean[0] for mean, _ in forecasts]), expected, rtol=1e-8)


def test_a_prior_without_a_discrepancy_is_refused():
    prior = ms.load("theophylline")
    with pytest.raises(InputError, match="has no discrepancy; `hierarchical` builds"):
        with_discrepancy(prior, prior.batch(ms.dataset("theophylline")))


def test_a_limit_is_not_taken_for_a_number(steels):
    prior, tasks = steels
    batch = prior.batch(tasks)
    first = torch.zeros_like(batch.mask)
    first[2, 0] = True
    with pytest.raises(InputError, match=f"task '{batch.names[2]}' has a measurement that is a limit"):
        with_discrepancy(prior, replace(batch, censored=first))


@pytest.mark.parametrize("which", ["straight", "steels"])
def test_draws_say_of_a_new_task_what_the_process_does(which, request):
    """Mean and covariance of a new task, over standard normal offsets, add up to the process's own covariance."""
    prior, tasks = request.getfixturevalue(which)
    batch, state = prior.batch(tasks), prior.state
    count, size = len(batch), len(state.origin)
    offset = {
        free.name: free.eval().shape
        for free in with_discrepancy(prior, batch, scales_known=True).free_RVs
        if free.name in ("common_offset", "effect_offset")
    }
    number = sum(math.prod(shape) for shape in offset.values())
    parts = np.split(np.vstack([np.zeros(number), np.eye(number)]), [size], 1)
    draws = {
        name: part.reshape(-1, *shape) for (name, shape), part in zip(offset.items(), parts, strict=False)
    }
    draws["coordinates"] = np.zeros((number + 1, count, size))
    told = _population(prior, batch, Posterior(draws, batch.names, None, 0.0, 0.0, 1.0, 1e3, 0))
    assert told["coordinate_mean"][0] == pytest.approx(state.origin.numpy(), abs=1e-12)
    moved = told["coordinate_mean"][1:] - told["coordinate_mean"][0]
    sd = told["coordinate_sd"][0]
    whole = moved.T @ moved + sd[:, None] * told["coordinate_correlation"][0] * sd
    rows = state._ordinary
    expected = state.kernel.shared(rows, rows) + state.kernel.own(rows, rows)
    np.testing.assert_allclose(whole, expected.numpy(), atol=1e-7)


def test_a_comparison_knows_what_the_equation_leaves_out():
    """PyMC with the same scales forecasts nearly what the learned prior does, of a straight line that bends."""
    old = lines(["north", "north", "south", "south", "east", "east"], 3, {"north": 0.5, "south": -0.4})
    new = lines(["west", "west", "north"], 4, {"north": 0.5, "west": 0.2})
    prior = ms.meta_calibrate(line, old, DiscrepancyPrior(iterations=4, members=5))
    found = ms.bayes.compare(prior, new, known=old, shots=2, draws=300, tune=300)
    told = ms.bayes.summary(found)
    assert list(found["forecaster"].values) == ["learned prior, as given", "PyMC, joint"]
    assert "PyMC takes the scales of that as the prior has learned them" in told["verdict"]
    assert 0.7 < told["rmse_ratio"] < 1.4
    assert abs(told["nlpd_difference"]) < 0.4
    assert all(0.5 < ratio < 2.0 for ratio in told["spread_ratio"].values())
    assert told["against_population"] == {}


def test_every_variable_that_is_sampled_has_numbers(straight):
    """Of a prior without covariates there is no length of one to sample: draws of nothing cannot be told by chains."""
    prior, tasks = straight
    assert not prior.covariates.names
    built = with_discrepancy(prior, prior.batch(tasks))
    assert "scales_covariate_lengths" not in built.named_vars
    assert {name.removeprefix("scales_") for name in built.named_vars if name.startswith("scales_")} == {
        name for name, value in prior.state.scales.items() if value.numel()
    }
    assert all(np.size(value) for value in built.initial_point().values())


def test_chains_start_where_the_prior_expects_the_tasks(straight, monkeypatch):
    """From anywhere, a chain on cracks ended 900 nats below the others and stayed there."""
    from metasci.bayes import joint_discrepancy

    prior, tasks = straight
    begun = {}

    def begin(built, **how):
        begun.update(how["initial"])
        raise InterruptedError

    monkeypatch.setattr(joint_discrepancy, "sample", begin)
    with pytest.raises(InterruptedError):
        joint_discrepancy.posterior_with_discrepancy(prior, prior.batch(tasks), draws=1, tune=1)
    assert {"common_offset", "own_offset"} <= set(begun)
    assert not any(np.any(value) for name, value in begun.items() if name.endswith("_offset"))
