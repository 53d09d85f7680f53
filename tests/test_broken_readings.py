"""One reading of a task may come from a broken sensor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from known import as_known
from test_federated import line, lines

import metasci as ms
from metasci.errors import InputError
from metasci.fits.broken import one_may_be_broken
from metasci.meta import GaussianPrior, MetaSGD
from metasci.meta.compositions.adapting import query_loss
from metasci.meta.episodes import sample_support
from metasci.meta.problem import Problem
from metasci.studies.attacked_learning import UnderAttack, worst_reading
from metasci.studies.broken_sensors import attacked


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


def _one_episode(method, tasks):
    prior = ms.meta_calibrate(line, lines(6), replace(method, iterations=2), covariates=())
    batch = prior.batch(tasks)
    support = sample_support(batch.mask, (3, 3), "first", 0)
    problem, design = Problem(line, batch), prior.covariates.design(batch.covariates)
    episode = prior.method.episode(problem, design, support)
    return prior.method.adaptation(float(prior.state.first_step)), episode, dict(prior.state.learned)


def test_the_reading_that_is_moved_is_the_one_that_raises_the_query_s_loss_most():
    composition, episode, learned = _one_episode(MetaSGD(steps=1, shots=(3, 3)), lines(5, seed=3))
    far = torch.full((5,), 1e-4, dtype=torch.float64)
    found = worst_reading(composition, episode, learned, far, -np.inf)
    loss = query_loss(composition, found, learned)
    for task in range(5):
        one = episode.select(torch.tensor([task]))
        readings = one.seen.batch.mask[0].nonzero()[:, 0]
        copies = attacked(one.seen.batch.output[0], readings, far[:1].expand(one.seen.batch.output.shape[1]))
        each = []
        for copy in copies:
            moved = replace(one.seen, batch=replace(one.seen.batch, output=copy[None]))
            each.append(float(query_loss(composition, replace(one, seen=moved), learned)))
        assert float(loss[task]) == pytest.approx(max(each), rel=1e-12)
        assert max(each) > float(query_loss(composition, one, learned))
    changed = (found.seen.batch.output != episode.seen.batch.output).sum(1)
    assert changed.tolist() == [1] * 5


def test_learned_under_attack_one_step_is_led_astray_less():
    shared = {"steps": 1, "shots": (3, 3), "iterations": 60}
    usual = ms.meta_calibrate(line, lines(20), MetaSGD(**shared), covariates=())
    robust = ms.meta_calibrate(line, lines(20), UnderAttack(moved=(0.0, 4.0), **shared), covariates=())
    batch = usual.batch(lines(10, seed=5))
    batch = batch.with_mask(batch.mask & (torch.arange(batch.mask.shape[1]) < 3))
    moved = batch.output.clone()
    moved[:, 1] += 4.0
    led = [
        float((each.adapt(replace(batch, output=moved)).coordinates - each.adapt(batch).coordinates).norm())
        for each in (usual, robust)
    ]
    assert led[1] < 0.8 * led[0]
