"""Groups that differ in their noise: the mixture over its levels, against numerical integration and simulation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from metasci.meta.group_covariance import GroupCovariance, Points, covariances, noise_levels
from metasci.meta.group_process import GroupProcess, left_out_cost
from metasci.meta.group_state import ProcessState
from metasci.meta.outlook import Outlook

FLOAT = torch.float64
BY = torch.tensor([0.1, 1.0, 4.0], dtype=FLOAT)
WEIGHT = torch.tensor([0.25, 0.5, 0.25], dtype=FLOAT)


def test_levels_are_of_a_log_normal_law() -> None:
    points = Points(torch.ones(2, 1, dtype=FLOAT), torch.zeros(2, 1, dtype=FLOAT))
    free = replace(GroupCovariance.start(points, True), noise_between=torch.tensor(0.3, dtype=FLOAT).log())
    by, log_weight = noise_levels(free)
    weight = log_weight.exp()
    assert float(weight.sum()) == pytest.approx(1.0)
    log_sd = 0.5 * by.log()
    assert float(weight @ log_sd) == pytest.approx(0.0, abs=1e-12)
    assert float(weight @ log_sd**2) == pytest.approx(0.3**2)
    assert float(weight @ by) == pytest.approx(math.exp(2.0 * 0.3**2), rel=1e-4)
    assert noise_levels(GroupCovariance.start(points))[0].tolist() == [1.0]


def test_the_cost_of_a_group_is_the_mixtures() -> None:
    """Groups of two points each, the others' part by the conditional normal law."""
    random = np.random.default_rng(0)
    root = random.normal(size=(4, 4))
    noise = np.array([0.3, 0.5, 0.4, 0.2])
    signal, target = root @ root.T, random.normal(size=4)
    whole = signal + np.diag(noise)
    expected = 0.0
    for own, other in (([0, 1], [2, 3]), ([2, 3], [0, 1])):
        across = whole[np.ix_(own, other)] @ np.linalg.inv(whole[np.ix_(other, other)])
        mean = across @ target[other]
        left = signal[np.ix_(own, own)] - across @ whole[np.ix_(other, own)]
        density = sum(
            weight * stats.multivariate_normal(mean, left + by * np.diag(noise[own])).pdf(target[own])
            for by, weight in zip(BY.tolist(), WEIGHT.tolist(), strict=True)
        )
        expected -= math.log(density) / 4.0
    groups = [torch.tensor([0, 1]), torch.tensor([2, 3])]
    levels = torch.as_tensor(noise), BY, WEIGHT.log()
    found = left_out_cost(torch.as_tensor(whole), torch.as_tensor(target), groups, None, levels)
    assert float(found) == pytest.approx(expected, rel=1e-9)
    single = torch.as_tensor(noise), torch.ones(1, dtype=FLOAT), torch.zeros(1, dtype=FLOAT)
    freedom = torch.tensor(5.0, dtype=FLOAT)
    plain, mixed = (
        left_out_cost(torch.as_tensor(whole), torch.as_tensor(target), groups, freedom, levels)
        for levels in (None, single)
    )
    assert float(plain) == pytest.approx(float(mixed), rel=1e-9)


def test_an_outlook_after_readings_has_the_moments_of_the_mixture() -> None:
    covariance = torch.tensor([[1.0, 0.6], [0.6, 1.0]], dtype=FLOAT)
    before = Outlook(
        torch.zeros(2, dtype=FLOAT), covariance, torch.full((2,), 0.5, dtype=FLOAT), levels=(BY, WEIGHT.log())
    )
    after = before.given(torch.tensor([True, False]), torch.tensor([0.9, 0.0], dtype=FLOAT))
    density = np.array([stats.norm(0.0, math.sqrt(1.0 + 0.5 * by)).pdf(0.9) for by in BY.tolist()])
    share = WEIGHT.numpy() * density / (WEIGHT.numpy() @ density)
    mean = np.array([0.6 * 0.9 / (1.0 + 0.5 * by) for by in BY.tolist()])
    left = np.array([1.0 - 0.36 / (1.0 + 0.5 * by) for by in BY.tolist()])
    assert float(after.mean[1]) == pytest.approx(share @ mean)
    spread = share @ (left + 0.5 * BY.numpy()) + share @ (mean - share @ mean) ** 2
    assert float(after.scale[1] ** 2) == pytest.approx(spread)
    assert float(before.scale[0] ** 2) == pytest.approx(1.0 + 0.5 * float(BY @ WEIGHT))
    assert before.given(torch.zeros(2, dtype=torch.bool), torch.zeros(2, dtype=FLOAT)) is before


@pytest.fixture(scope="module")
def learned() -> ProcessState:
    """of 40 groups about their own levels, half of which scatter ten times as much as the others."""
    generator = torch.Generator().manual_seed(0)
    group = torch.arange(40).repeat_interleave(5)
    line = torch.rand(200, 1, generator=generator, dtype=FLOAT)
    loud = torch.where(group % 2 == 0, 0.03, 0.3).double()
    level = torch.randn(40, generator=generator, dtype=FLOAT)[group]
    values = level + loud * torch.randn(200, generator=generator, dtype=FLOAT)
    points = Points(torch.ones(200, 1, dtype=FLOAT), line)
    return GroupProcess(members=5, iterations=30, noise_levels=True).learn(points, values, group)


def test_readings_that_agree_promise_another_that_does(learned: ProcessState) -> None:
    between = learned.covariance.noise_between
    assert between is not None
    assert 0.6 < float(between.exp()) < 2.0  # ln 10 / 2 is 1.15
    new = Points(torch.ones(6, 1, dtype=FLOAT), torch.linspace(0.1, 0.9, 6, dtype=FLOAT)[:, None])
    outlook = GroupProcess(noise_levels=True).outlook(new, learned)
    seen = torch.arange(6) < 5
    scatter = torch.tensor([0.5, -1.2, 0.8, -0.6, 0.4, 0.0], dtype=FLOAT)
    quiet, loud = (outlook.given(seen, 0.7 + size * scatter) for size in (0.03, 0.3))
    assert float(quiet.mean[5]) == pytest.approx(0.7, abs=0.05)
    ratio = float(loud.scale[5] / quiet.scale[5])
    assert 4.0 < ratio < 12.0  # 10 of what simulated them, less for what five readings cannot tell


def test_levels_are_kept_on_disk(learned: ProcessState) -> None:
    again = ProcessState.of({name: value.clone() for name, value in learned.tensors().items()})
    assert again.covariance.noise_between == learned.covariance.noise_between
    shapes = ProcessState.shapes(learned.tensors())
    assert shapes == {name: tuple(value.shape) for name, value in learned.tensors().items()}


def test_covariances_are_rational_quadratic_in_mean_squared_differences() -> None:
    """Entry by entry, with numbers that no constant hides."""
    random = np.random.default_rng(3)
    first, second = random.normal(size=(4, 3)), random.normal(size=(5, 3))
    points = [Points(torch.ones(len(x), 1).double(), torch.as_tensor(x)) for x in (first, second)]
    free = GroupCovariance.start(points[0])
    free = replace(
        free, lengths=torch.tensor([0.3, -0.2, 0.5], dtype=FLOAT), own_length=torch.tensor(0.4, dtype=FLOAT)
    )
    alike = torch.zeros(4, 5).double()
    shared, own = covariances(*points, free, alike)
    size, level, along = (np.exp(2.0 * float(x)) for x in (free.shared_whole, free.own_level, free.own_whole))
    for i, x in enumerate(first):
        for j, z in enumerate(second):
            far = np.mean((x - z) ** 2 * np.exp([-0.6, 0.4, -1.0]))
            assert float(shared[i, j]) == pytest.approx(size / (1.0 + 0.5 * far), rel=1e-10)
            assert float(own[i, j]) == pytest.approx(
                level + along / (1.0 + 0.5 * far * np.exp(-0.8)), rel=1e-10
            )
