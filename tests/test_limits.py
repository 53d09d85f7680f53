"""Measurements that are limits or intervals: their likelihood against scipy, and what becomes of them further on."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import optimize, stats

import metasci as ms
from metasci.data.cards import Card, Column
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.evaluation.scores import Score
from metasci.fits.predictive import predictive
from metasci.meta.likelihood import (
    Limits,
    cost,
    information_share,
    log_probability,
    pull_and_curvature,
    squared_residual,
)

# measurement less prediction; how far above it the value may lie (NaN of a number); whether it only lies below
RESIDUAL = torch.tensor([0.3, 0.3, -0.7, 0.3, -2.0, 25.0, -25.0, 25.0], dtype=torch.float64)
SPAN = torch.tensor([math.nan, math.nan, math.inf, 0.5, 4.0, math.inf, math.inf, 0.5], dtype=torch.float64)
BELOW = torch.tensor([False, True, False, False, False, False, False, False])
LIMITS = Limits(BELOW, SPAN)


def by_scipy(residual: float, span: float, below: bool, variance: float) -> float:
    """Minus the logarithm of the likelihood, by difference of normal distribution functions in the better tail."""
    normal = stats.norm(scale=math.sqrt(variance))
    if below:
        return -normal.logcdf(residual)
    if math.isnan(span):
        return -normal.logpdf(residual)
    if math.isinf(span):
        return -normal.logsf(residual)
    near, far = sorted((normal.logsf(residual), normal.logsf(residual + span)), reverse=True)
    return -(near + math.log1p(-math.exp(far - near)))


@pytest.mark.parametrize("variance", [1.0, 0.25, 9.0])
def test_the_likelihood_is_that_of_scipy(variance: float):
    expected = [
        by_scipy(*row, variance) for row in zip(RESIDUAL.tolist(), SPAN.tolist(), BELOW.tolist(), strict=True)
    ]
    found = cost(RESIDUAL, torch.full_like(RESIDUAL, variance), LIMITS)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("follows", [False, True], ids=["constant variance", "variance that follows"])
def test_the_pull_is_minus_the_slope_of_the_cost(follows: bool):
    prediction = torch.linspace(0.5, 2.0, len(RESIDUAL), dtype=torch.float64, requires_grad=True)
    measured = (prediction + RESIDUAL.clamp(-3.0, 3.0)).detach()
    variance = 0.2 + 0.3 * prediction**2 if follows else torch.full_like(prediction, 0.7)
    each = cost(measured - prediction, variance, LIMITS)
    (slope,) = torch.autograd.grad(each.sum(), prediction)
    relative = (0.6 * prediction / variance).detach() if follows else None
    pull, curvature = pull_and_curvature(
        (measured - prediction).detach(), variance.detach(), relative, LIMITS
    )
    torch.testing.assert_close(pull, -slope, rtol=1e-9, atol=1e-12)
    assert (curvature >= 0.0).all()
    if not follows:  # then it is the second derivative, of numbers and limits alike
        again = cost(measured - prediction, variance, LIMITS)
        (first,) = torch.autograd.grad(again.sum(), prediction, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), prediction)
        torch.testing.assert_close(curvature, second, rtol=1e-7, atol=1e-9)
        torch.testing.assert_close(
            information_share(measured - prediction, variance, LIMITS), second * variance
        )


def test_what_is_expected_of_the_squared_residual():
    """Of a truncated normal distribution, by scipy: mean square of what lies between the ends."""
    variance = torch.ones(3, dtype=torch.float64)
    residual = torch.tensor([0.3, -0.7, -2.0], dtype=torch.float64)
    span = torch.tensor([math.inf, math.inf, 4.0], dtype=torch.float64)
    ends = zip(residual.tolist(), (residual + span).tolist(), strict=True)
    expected = [stats.truncnorm(low, high).moment(2) for low, high in ends]
    np.testing.assert_allclose(squared_residual(residual, variance, Limits(span=span)), expected, rtol=1e-6)


def test_an_interval_becomes_its_number_as_it_closes_and_its_limit_as_it_opens():
    one, residual = torch.ones(1, dtype=torch.float64), torch.tensor([0.4], dtype=torch.float64)
    for span in (1e-3, 1e-6):
        closing = cost(residual, one, Limits(span=torch.tensor([span], dtype=torch.float64)))
        torch.testing.assert_close(closing + math.log(span), cost(residual, one), rtol=0, atol=2 * span)
    opening = cost(residual, one, Limits(span=torch.tensor([60.0], dtype=torch.float64)))
    torch.testing.assert_close(opening, cost(residual, one, Limits(span=torch.tensor([math.inf]))))


def test_tails_keep_their_digits():
    low = torch.tensor([37.0, -38.0, 8.0], dtype=torch.float64)
    high = torch.tensor([38.0, -37.0, 8.0 + 1e-9], dtype=torch.float64)
    expected = [stats.norm.logsf(37.0), stats.norm.logsf(37.0), stats.norm.logpdf(8.0) + math.log(1e-9)]
    np.testing.assert_allclose(log_probability(low, high), expected, rtol=1e-6)


# a line through the origin, learned nowhere: whether limits reach the estimate

LINE = Card(
    "line",
    columns=(
        Column("task", "task", "task"),
        Column("x", "time", "input", "h"),
        Column("y", "level", "output", "HRC"),
    ),
    task=("task",),
)


def frame(cells: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"task": "a", "time [h]": [1.0, 2.0, 3.0, 4.0], "level [HRC]": cells})


def test_cells_become_limits_and_intervals_and_come_back():
    tasks = TaskSet.from_frame(frame([">65", "<0.5", "10..20", 3.5]), LINE)
    dataset = tasks.dataset
    assert dataset["level"].values.tolist() == [[65.0, 0.5, 10.0, 3.5]]
    assert dataset["level_above"].values.tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert dataset["level_below"].values.tolist() == [[0.0, 1.0, 0.0, 0.0]]
    np.testing.assert_array_equal(dataset["level_upper"], [[np.nan, np.nan, 20.0, np.nan]])
    written = tasks.to_frame(units=True)
    assert written["level [HRC]"].tolist() == [">65.0", "<0.5", "10.0..20.0", 3.5]
    assert TaskSet.from_frame(written, LINE).checksum == tasks.checksum
    assert TaskSet.from_frame(tasks.to_frame(), LINE).checksum == tasks.checksum


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("20..10", "'20..10' begins above its end"),
        (">", "'>' is not a number"),
        ("><5", "'<5' is not a number"),
        ("1..2..3", "'2..3' is not a number"),
        (">inf", "not a finite number"),
        ("about 5", "'about 5' is not a number"),
    ],
)
def test_cells_that_are_neither(cell: str, reason: str):
    with pytest.raises(InputError, match=r"column 'level \[HRC\]', row 2: ") as caught:
        TaskSet.from_frame(frame([1.0, 2.0, cell, 3.5]), LINE)
    assert reason in str(caught.value)


def test_only_what_is_measured_may_be_a_limit():
    rows = frame([1.0, 2.0, 3.0, 4.0]).assign(**{"time [h]": ["1", ">2", "3", "4"]})
    with pytest.raises(
        InputError, match=r"row 1: '>2' is not a number \(only what is measured may be a limit"
    ):
        TaskSet.from_frame(rows, LINE)


def test_a_calibration_takes_limits_for_what_they_are():
    """Tempered steel, one reading off the scale: the estimate is that of the censored likelihood."""
    prior = ms.load("steel_tempering")
    head = "time [h],temperature [degC],hardness [HRC]\n"
    rows = "1,20,{}\n1,400,45.5\n2,600,30.0\n"

    def fitted(cell: str) -> ms.Calibration:
        lines = (head + rows.format(cell)).strip().splitlines()
        table = pd.DataFrame([line.split(",") for line in lines[1:]], columns=lines[0].split(","))
        return prior.calibrate(table)

    exact, above, higher = fitted("65"), fitted(">65"), fitted("68")
    start = [float(each.forecast().median[0, 0]) for each in (exact, above, higher)]
    assert start[0] < start[1]  # a limit lets the curve rise above it
    assert float(
        above.problem.negative_log_likelihood(above.adapted.coordinates, above.adapted.log_noise)
    ) < float(above.problem.negative_log_likelihood(exact.adapted.coordinates, exact.adapted.log_noise))
    density = float(predictive(above.problem, above.adapted).log_density()[0, 0])
    forecast = above.forecast()
    assert density == pytest.approx(math.log(1.0 - float(forecast.cumulative()[0, 0])), rel=1e-6)


def test_the_estimate_is_that_of_an_independent_optimiser():
    """A Gaussian mean of known scatter under limits: cost minimised by scipy, and by steps on pull and curvature."""
    measured = torch.tensor([1.0, 2.0, 3.0, 2.5], dtype=torch.float64)
    limits = Limits(
        torch.tensor([False, True, False, False]), torch.tensor([math.nan, math.nan, math.inf, 1.0]).double()
    )
    one = torch.ones(4, dtype=torch.float64)
    mean = torch.zeros(1, dtype=torch.float64)
    for _ in range(50):
        pull, curve = pull_and_curvature(measured - mean, one, None, limits)
        mean = mean + pull.sum() / curve.sum()

    def total(value: np.ndarray) -> float:
        rows = zip(measured.tolist(), limits.span.tolist(), limits.below.tolist(), strict=True)
        return sum(by_scipy(y - float(value), span, below, 1.0) for y, span, below in rows)

    best = optimize.minimize_scalar(total, bounds=(-5.0, 8.0), method="bounded", options={"xatol": 1e-10}).x
    assert float(mean) == pytest.approx(best, abs=1e-6)


def test_scores_know_limits_and_intervals():
    score = Score([], [], [], [], [])
    measured = torch.tensor([65.0, 65.0, 10.0, 10.0, 10.0, 5.0])
    up_to = torch.tensor([math.inf, math.inf, 20.0, 20.0, 20.0, math.nan])
    median = torch.tensor([70.0, 60.0, 15.0, 23.0, 8.0, 6.0])
    score.add(measured, median, median - 4.0, median + 4.0, torch.zeros(6), None, up_to)
    assert score.errors[0].tolist() == [0.0, 5.0, 0.0, -3.0, 2.0, -1.0]
    assert score.covered[0].tolist() == [1.0, 0.0, 1.0, 1.0, 1.0, 1.0]


def test_every_kind_of_reading_is_drawn_and_reported(tmp_path):
    """Points, limits on both sides and intervals, each with an entry of its own in the legend."""
    rows = {"time [h]": [1.0, 1.0, 2.0, 2.0], "temperature [degC]": [200, 400, 500, 600]}
    table = pd.DataFrame({**rows, "hardness [HRC]": [">55", "44..46", "38", "<35"], "task": "steel"})
    fit = ms.load("steel_tempering").calibrate(table)
    names = {text.get_text() for text in fit.plot().legends[0].get_texts()}
    assert {"above the limit", "between the ends", "below the limit", "measured"} <= names
    fit.report(tmp_path / "report.html")
    assert "44" in (tmp_path / "report.html").read_text()
