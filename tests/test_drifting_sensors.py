"""A sensor may drift while a task's readings are taken."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from known import as_known
from test_federated import line, lines

import metasci as ms
from metasci.errors import InputError
from metasci.fits.drifting import drifts_of, sensor_may_drift
from metasci.meta import GaussianPrior
from metasci.meta.problem import Problem


@pytest.fixture(scope="module")
def prior():
    """Learned from simulated lines."""
    return as_known(ms.meta_calibrate(line, lines(30), covariates=()))


def _of_three(prior, count=3, seed=4):
    batch = prior.batch(lines(count, seed=seed))
    return batch.with_mask(batch.mask & (torch.arange(batch.mask.shape[1]) < 3))


@pytest.mark.parametrize("how", ["steadily", "wandering"])
def test_probabilities_and_estimates_are_those_of_whole_gaussian_densities(prior, how):
    """In a linear model every case is one Gaussian over readings and coordinates, written out here."""
    batch = _of_three(prior)
    found = sensor_may_drift(prior, batch, chance=0.1, times=8.0, how=how)
    start, covariance = prior.method.start(prior.state, prior.covariates.design(batch.covariates))
    variance = float(prior.state.log_noise.exp()[0]) ** 2
    ramps = [torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.0, 0.0, 1.0])]
    shapes = [torch.outer(ramp, ramp).double() for ramp in ramps]
    if how == "wandering":
        place = torch.arange(3).double() / 2
        shapes = [torch.minimum(place[:, None], place)]
    for task in range(3):
        x, y = batch.inputs["x"][task, :3], batch.output[task, :3]
        jacobian = torch.stack([torch.ones_like(x), x], 1)
        logs, means = [], []
        for case, shape in enumerate([0.0 * shapes[0], *shapes]):
            spread = variance * (torch.eye(3).double() + 64.0 * shape)
            whole = jacobian @ covariance[task] @ jacobian.T + spread
            law = torch.distributions.MultivariateNormal(jacobian @ start[task], whole)
            share = 0.1 / len(shapes) if case else 0.9
            logs.append(law.log_prob(y) + torch.log(torch.tensor(share)))
            gain = covariance[task] @ jacobian.T @ torch.linalg.inv(whole)
            means.append(start[task] + gain @ (y - jacobian @ start[task]))
        expected = torch.softmax(torch.stack(logs), 0)
        kept = [*range(len(shapes) + 1)]
        torch.testing.assert_close(found.weight[kept, task], expected, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(found.coordinates[kept, task], torch.stack(means), rtol=1e-5, atol=1e-7)
        assert float(found.drifts[task]) == pytest.approx(float(expected[1:].sum()), abs=1e-6)


def test_a_drift_is_told_and_no_longer_turns_the_curve(prior):
    tasks = lines(10, seed=6)
    batch = prior.batch(tasks.select(tasks.counts >= 5))
    sd = float(prior.state.log_noise.exp()[0])
    off = batch.output + 30.0 * sd * drifts_of(batch.mask)[0]
    whole = Problem(line, batch)
    plain = whole.predict(prior.adapt(replace(batch, output=off)).coordinates) - batch.output
    for how in ("steadily", "wandering"):
        sound = sensor_may_drift(prior, batch, how=how)
        found = sensor_may_drift(prior, replace(batch, output=off), how=how)
        assert float(sound.drifts.median()) < 0.3
        assert float(found.drifts.min()) > 0.9
        robust = found.mean(whole) - batch.output
        assert float(robust[batch.mask].square().mean()) < 0.5 * float(plain[batch.mask].square().mean())


def test_without_a_drift_the_estimate_is_the_plain_one(prior):
    """The case of a sound sensor is the prior's own calibration; one reading alone tells of no drift."""
    batch = _of_three(prior)
    found, plain = sensor_may_drift(prior, batch), prior.adapt(batch).coordinates
    torch.testing.assert_close(found.coordinates[0], plain, rtol=1e-6, atol=1e-8)
    one = batch.with_mask(batch.mask & (torch.arange(batch.mask.shape[1]) < 1))
    assert sensor_may_drift(prior, one).drifts.tolist() == [0.0, 0.0, 0.0]
    assert sensor_may_drift(prior, one, chance=1.0).drifts.tolist() == [0.0, 0.0, 0.0]
    assert sensor_may_drift(prior, batch, chance=1.0).drifts.tolist() == [1.0, 1.0, 1.0]


def test_what_it_cannot_tell_is_refused(prior):
    batch = prior.batch(lines(3))
    with pytest.raises(InputError, match="not above 0 and at most 1"):
        sensor_may_drift(prior, batch, chance=0.0)
    for times in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match=r"times: .* is no number above zero"):
            sensor_may_drift(prior, batch, times=times)
    with pytest.raises(InputError, match="'leaping' is not a way to drift"):
        sensor_may_drift(prior, batch, how="leaping")
    noisy = ms.meta_calibrate(line, lines(6), GaussianPrior(task_noise=True, iterations=2), covariates=())
    with pytest.raises(InputError, match="explains a drift"):
        sensor_may_drift(noisy, batch)
