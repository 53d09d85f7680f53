"""One reading of a task may come from a broken sensor."""

from __future__ import annotations

import pytest
import torch
from known import as_known
from test_federated import line, lines

import metasci as ms
from metasci.errors import InputError
from metasci.fits.broken import one_may_be_broken
from metasci.meta import GaussianPrior
from metasci.meta.problem import Problem


@pytest.fixture(scope="module")
def prior():
    """Learned from simulated lines."""
    return as_known(ms.meta_calibrate(line, lines(30), covariates=()))


def test_probabilities_are_those_of_whole_gaussian_densities(prior):
    """In a linear model each case's evidence is a Gaussian density, written out here with whole matrices."""
    batch = prior.batch(lines(3, seed=4))
    batch = batch.with_mask(batch.mask & (torch.arange(batch.mask.shape[1]) < 3))
    found = one_may_be_broken(prior, batch, chance=0.1, times=8.0)
    start, covariance = prior.method.start(prior.state, prior.covariates.design(batch.covariates))
    noise = float(prior.state.log_noise.exp()[0]) ** 2
    for task in range(3):
        x, y = batch.inputs["x"][task, :3], batch.output[task, :3]
        jacobian = torch.stack([torch.ones_like(x), x], 1)
        scale = torch.tensor([1.0, 1.0], dtype=torch.float64)
        curve = jacobian @ (scale[:, None] * covariance[task] * scale) @ jacobian.T
        logs = []
        for case in range(4):
            times = torch.ones(3, dtype=torch.float64)
            if case:
                times[case - 1] = 64.0
            law = torch.distributions.MultivariateNormal(
                jacobian @ (start[task] * scale), curve + noise * torch.diag(times)
            )
            logs.append(law.log_prob(y) + (0.0 if case == 0 else torch.log(torch.tensor(0.1 / 0.9))))
        expected = torch.softmax(torch.stack(logs), 0)
        torch.testing.assert_close(found.weight[:4, task], expected, rtol=1e-5, atol=1e-7)


def test_a_broken_reading_is_found_and_no_longer_moves_the_curve(prior):
    tasks = lines(10, seed=6)
    batch = prior.batch(tasks.select(tasks.counts >= 5))
    whole = Problem(line, batch)
    clean = one_may_be_broken(prior, batch)
    moved = batch.output.clone()
    moved[:, 1] += 20 * float(prior.state.log_noise.exp()[0])
    from dataclasses import replace

    found = one_may_be_broken(prior, replace(batch, output=moved))
    assert float(found.broken[:, 1].min()) > 0.99
    assert float(clean.broken.max()) < 0.9
    robust = (found.mean(whole) - clean.mean(whole))[batch.mask].abs().max()
    plain = prior.adapt(replace(batch, output=moved)).coordinates - prior.adapt(batch).coordinates
    assert float(robust) < 0.3 * float(plain.abs().max())
    torch.testing.assert_close(found.weight.sum(0), torch.ones(len(batch), dtype=torch.float64))


def test_what_explains_any_reading_is_refused(prior):
    batch = prior.batch(lines(3))
    with pytest.raises(InputError, match="not between 0 and 1"):
        one_may_be_broken(prior, batch, chance=0.0)
    noisy = ms.meta_calibrate(line, lines(6), GaussianPrior(task_noise=True, iterations=2), covariates=())
    with pytest.raises(InputError, match="explains a broken reading"):
        one_may_be_broken(noisy, batch)
