"""Parameters keep their meaning under a discrepancy."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

import metasci as ms
from metasci.errors import InputError
from metasci.meta import DiscrepancyPrior, DiscrepancyState, GaussianPrior
from metasci.meta.discrepancy import method as method_of_learning
from metasci.meta.discrepancy.objective import cost_and_slopes, sample

HEIGHT_AND_RATE = [
    ms.Parameter("height", "mg/L", typical=10.0, positive=True),
    ms.Parameter("rate", "1/h", typical=0.3, positive=True),
]


@ms.equation(inputs={"time": "h"}, output=("level", "mg/L"), parameters=HEIGHT_AND_RATE, name="test.meaning")
def decay(time, *, height, rate):
    """Exponential decay."""
    return height * ms.math.exp(-rate * time)


def decays(tasks: int) -> ms.TaskSet:
    """Heights scatter about 10 mg/L and rates about 0.3 1/h, and nothing is left out."""
    draw, rows = np.random.default_rng(0), []
    for task in range(tasks):
        height, rate = np.array([10.0, 0.3]) * np.exp(0.3 * draw.normal(size=2))
        for time in np.linspace(0.5, 10.0, 8):
            rows.append((f"t{task}", time, height * np.exp(-rate * time) + 0.2 * draw.normal()))
    frame = pd.DataFrame(rows, columns=["task", "time [h]", "level [mg/L]"])
    return ms.TaskSet.from_frame(frame, ms.Card.from_model(decay), model=decay)


def test_a_true_equation_keeps_its_parameters() -> None:
    """With slopes that are taken as given the prior has a height of 17."""
    tasks = decays(40)
    alone = ms.meta_calibrate(decay, tasks, GaussianPrior()).calibrate(tasks.select(["t0"]))
    prior = ms.meta_calibrate(decay, tasks, DiscrepancyPrior())
    fit = prior.calibrate(tasks.select(["t0"]))
    expected = alone.table().set_index("name")["prior"]
    start = fit.table().set_index("name")["prior"]
    assert start["height"] == pytest.approx(expected["height"], rel=0.03)
    assert start["rate"] == pytest.approx(expected["rate"], rel=0.03)
    assert float(fit.beside_equation["share"].iloc[0]) < 0.002
    assert float(prior.state.log_noise.exp()[0]) == pytest.approx(0.2, rel=0.1)


def test_slopes_of_the_cost_go_along_the_way_of_the_estimates() -> None:
    """By finite differences of costs of which each linearises the equation anew, where its scales lead the tasks."""
    tasks = decays(6)
    prior = ms.meta_calibrate(decay, tasks, DiscrepancyPrior(iterations=3))
    problem, design = prior.problem(prior.batch(tasks)), prior.design(prior.batch(tasks))
    state = prior.state
    assert isinstance(state, DiscrepancyState)
    at = prior.adapt(prior.batch(tasks)).coordinates + 0.1
    some = sample(problem, design, state, at, 5, seed=1)
    learned = {**state.scales, "log_noise": state.log_noise}
    _, slopes = cost_and_slopes(some, state, learned)
    checked = 0
    for name, slope in slopes.items():
        for place in np.ndindex(*slope.shape):
            ends = []
            for sign in (1.0, -1.0):
                moved = {key: array.clone() for key, array in learned.items()}
                moved[name][place] += sign * 1e-5
                ends.append(float(cost_and_slopes(some, state, moved)[0]))
            assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(float(slope[place]), rel=2e-5, abs=2e-5)
            checked += 1
    assert checked > 10


@ms.equation(inputs={"time": "h"}, output=("level", "mg/L"), parameters=HEIGHT_AND_RATE, name="test.weibull")
def weibull(time, *, height, rate):
    """A decay whose second derivative by the rate is infinite at time zero."""
    return height * ms.math.exp(-((rate * time) ** 1.5))


def test_a_law_that_bends_without_end_at_time_zero_is_learned() -> None:
    draw = np.random.default_rng(0)
    rows = [
        (f"t{task}", time, 10.0 * np.exp(-((0.3 * time) ** 1.5)) + 0.2 * draw.normal())
        for task in range(20)
        for time in np.linspace(0.0, 8.0, 9)
    ]
    frame = pd.DataFrame(rows, columns=["task", "time [h]", "level [mg/L]"])
    tasks = ms.TaskSet.from_frame(frame, ms.Card.from_model(weibull), model=weibull)
    prior = ms.meta_calibrate(weibull, tasks, DiscrepancyPrior(iterations=30))
    start = prior.calibrate(tasks.select(["t0"])).table().set_index("name")["prior"]
    assert start["height"] == pytest.approx(10.0, rel=0.05)
    assert start["rate"] == pytest.approx(0.3, rel=0.05)


def test_slopes_that_are_no_numbers_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """They once went into the scales, and the next step ended in torch's own error."""

    def cost(*of: object) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        value, slopes = cost_and_slopes(*of)  # type: ignore[arg-type]
        return value, {**slopes, "own": torch.full_like(slopes["own"], torch.nan)}

    monkeypatch.setattr(method_of_learning, "cost_and_slopes", cost)
    with pytest.raises(InputError, match=r"'test.meaning' with a discrepancy gave no finite numbers"):
        ms.meta_calibrate(decay, decays(4), DiscrepancyPrior(iterations=2))


@pytest.mark.parametrize("method", [GaussianPrior(iterations=3), DiscrepancyPrior(iterations=3)])
def test_tasks_of_one_reading_are_told(method: GaussianPrior | DiscrepancyPrior) -> None:
    rows = decays(12).to_frame(units=True)
    single = rows.groupby("task", sort=False).head(1)
    told = "each of the 12 tasks has one level only, which cannot tell how it scatters"
    for frame, expected in ((single, True), (pd.concat([single, rows.iloc[[1]]]), False)):
        tasks = ms.TaskSet.from_frame(frame, ms.Card.from_model(decay), model=decay)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ms.meta_calibrate(decay, tasks, method)
        assert any(told in str(each.message) for each in caught) == expected
