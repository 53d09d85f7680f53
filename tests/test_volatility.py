"""Volatility as a calibration: no row knows of its own day, GARCH(1,1) is a special case, and doors take deviations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import metasci as ms
from metasci.errors import InputError
from metasci.fits.predictive import predictive
from metasci.meta.problem import Problem
from metasci.report.outcome_figures import outcome_caption, outcome_figure
from metasci.responses import past_volatility, volatility
from metasci.responses.volatility import SPANS

TYPICAL = {parameter.name: parameter.typical for parameter in volatility.parameters}


def table(returns: np.ndarray, names: list[str]) -> pd.DataFrame:
    past = past_volatility(returns, 1.5)
    columns = {f"{span} [percent]": values[:, :-1].ravel() for span, values in past.items()}
    task = np.repeat(names, returns.shape[1])
    return pd.DataFrame({"task": task, **columns, "daily_return [percent]": returns.ravel()})


def tasks_of(returns: np.ndarray) -> ms.TaskSet:
    frame = table(returns, [f"asset {at}" for at in range(len(returns))])
    return ms.TaskSet.from_frame(frame, ms.Card.from_model(volatility), model=volatility)


def simulated(tasks: int, days: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Returns of the equation itself, and the floors they were drawn with."""
    random = np.random.default_rng(seed)
    floors = TYPICAL["floor"] * np.exp(0.4 * random.standard_normal(tasks))
    returns = np.zeros((tasks, days))
    for day in range(days):
        past = {span: values[:, -1] for span, values in past_volatility(returns[:, :day], 1.5).items()}
        variance = volatility.function(**past, **{**TYPICAL, "floor": floors})
        returns[:, day] = np.sqrt(variance * 3.0 / 5.0) * random.standard_t(5.0, tasks)
    return returns, floors


def test_a_day_is_told_nothing_of_itself_or_of_what_comes_after() -> None:
    returns = np.random.default_rng(0).standard_normal((2, 40))
    before = past_volatility(returns, 1.0)
    other = returns.copy()
    other[:, 25:] = 9.0
    after = past_volatility(other, 1.0)
    for span in SPANS:
        np.testing.assert_array_equal(before[span][:, :26], after[span][:, :26])
        assert (before[span][:, 26] != after[span][:, 26]).all()


def test_garch_is_a_floor_and_one_exponential_mean() -> None:
    """v = ω + α y² + β v has the weights α βⁱ on past squares, and ω/(1 − β) beside them."""
    returns = np.random.default_rng(1).standard_normal(300)
    keep = SPANS["month"] / (1.0 + SPANS["month"])
    omega, alpha = 0.02, 0.6 * (1.0 - keep)
    variance = omega / (1.0 - keep) + 0.6 * 1.5**2
    past = past_volatility(returns, 1.5, worth=1.0 + SPANS["month"])  # as if the start had always been there
    weights = {"of_week": 0.0, "of_month": 0.6, "of_half_year": 0.0, "floor": np.sqrt(omega / (1.0 - keep))}
    for day, told in enumerate(volatility.function(**past, **weights)):
        assert told == pytest.approx(variance, rel=1e-10)
        if day < 300:
            variance = omega + alpha * returns[day] ** 2 + keep * variance


def test_returns_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(InputError, match="finite"):
        past_volatility([0.1, np.nan], 1.0)
    with pytest.raises(InputError, match="above zero"):
        past_volatility([0.1], 0.0)


def test_a_learned_prior_of_volatilities_comes_back_from_its_files_and_is_judged(tmp_path: Path) -> None:
    returns, _ = simulated(8, 12)
    data = tasks_of(returns)
    method = ms.GaussianPrior(correlated=False, iterations=3)
    prior = ms.meta_calibrate(volatility, data.select(slice(0, 6)), method)
    prior.save(tmp_path / "prior")
    again = ms.load(tmp_path / "prior", volatility)
    assert isinstance(again.model.noise, ms.outcomes.StudentDeviation)
    new = data.select(slice(6, 8))
    fit = again.calibrate(new)
    assert fit.parameters["estimate"].tolist() == prior.calibrate(new).parameters["estimate"].tolist()
    caption = outcome_caption(fit)
    assert "deviations" in caption
    assert outcome_figure(fit).axes
    report = ms.evaluate(prior, new, (9,))
    assert report["outcome"] == "deviation"
    assert {"log_score", "coverage90"} <= set(report["results"][0])


def test_the_equations_own_returns_are_forecast_as_often_as_promised_and_better_than_at_the_start() -> None:
    returns, floors = simulated(40, 240)
    prior = ms.Prior.declared(volatility)
    batch = prior.batch(tasks_of(returns))
    known = torch.zeros_like(batch.mask)
    known[:, :200] = True
    adapted = prior.adapt(batch.with_mask(known))
    forecast = predictive(Problem(volatility, batch), adapted)
    below = forecast.cumulative().numpy()[:, 200:]
    assert ((below > 0.05) & (below < 0.95)).mean() == pytest.approx(0.9, abs=0.02)
    past = {span: values[:, 200:240] for span, values in past_volatility(returns, 1.5).items()}
    true = np.log(volatility.function(**past, **{**TYPICAL, "floor": floors[:, None]}))
    start = np.log(volatility.function(**past, **TYPICAL))
    found = 2.0 * np.log(forecast.median.numpy()[:, 200:])
    assert np.mean((found - true) ** 2) < 0.7 * np.mean((start - true) ** 2)
