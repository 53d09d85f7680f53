"""Quantiles of many distributions at once, held against SciPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats as st
import torch

from metasci.outcome_forecasts import OutcomeForecast
from metasci.outcomes import (
    Deviation,
    Exponential,
    LogNormalTime,
    NegativeBinomial,
    Ordinal,
    Outcome,
    Poisson,
    Weibull,
)
from metasci.quantiles import quantiles

CHANCES = (1e-6, 0.05, 0.5, 0.8, 0.95, 1.0 - 1e-6)


@pytest.mark.parametrize("chance", CHANCES)
@pytest.mark.parametrize(
    ("law", "low", "high", "logarithmic"),
    [
        (st.gamma(np.array([0.3, 2.0, 40.0])), 1e-30, 1e4, 0.0),
        (st.norm(np.array([-3.0, 0.0, 5.0]), 2.0), -100.0, 1e3, None),
        (st.t(np.array([1.0, 2.0, 30.0])), -1e7, 1e7, None),
        (st.expon(scale=np.array([1e-6, 1.0, 1e6])), 1e-20, 1e12, 0.0),
    ],
)
def test_of_numbers_they_are_scipys_and_found_in_few_steps(
    law: Any, low: float, high: float, logarithmic: float | None, chance: float
) -> None:
    asked = []

    def reached(values: np.ndarray, places: np.ndarray) -> np.ndarray:
        asked.append(len(places))
        whole = np.full(3, 1.0)
        whole[places] = values
        return np.asarray(law.cdf(whole))[places]

    found = quantiles(reached, chance, np.full(3, low), np.full(3, high), logarithmic=logarithmic)
    np.testing.assert_allclose(law.cdf(found), chance, rtol=1e-7)
    np.testing.assert_allclose(found, law.ppf(chance), rtol=1e-6, atol=1e-9)
    assert len(asked) < 45  # halving alone takes 70 and more from ends as far apart


@pytest.mark.parametrize("chance", CHANCES)
def test_of_counts_they_are_scipys_to_the_last_one(chance: float) -> None:
    law = st.nbinom(np.array([0.3, 2.0, 50.0]), np.array([0.02, 0.5, 0.1]))

    def reached(values: np.ndarray, places: np.ndarray) -> np.ndarray:
        whole = np.zeros(3)
        whole[places] = values
        return np.asarray(law.cdf(whole))[places]

    found = quantiles(reached, chance, np.full(3, -1.0), np.full(3, 2e5), True, 1.5)
    np.testing.assert_array_equal(found, law.ppf(chance))


@pytest.mark.parametrize("probability", [0.05, 0.5, 0.975])
@pytest.mark.parametrize(
    ("outcome", "scales"),
    [
        (Poisson(), ()),
        (NegativeBinomial(), (0.7,)),
        (Ordinal(grades=5, first=1), (0.5, 1.0, 2.0)),
        (Exponential(), ()),
        (Weibull(), (0.6,)),
        (LogNormalTime(), (2.0,)),
        (Deviation(), ()),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_forecasts_quantile_is_the_first_outcome_that_is_as_probable(
    outcome: Outcome, scales: tuple[float, ...], probability: float
) -> None:
    """Of a mixture of two scales of the predictor's spread, near and far."""
    centre = torch.tensor([[-2.0, 0.0], [1.0, 6.0]]).double()
    sd = torch.tensor([[[0.1, 0.5], [1.0, 2.0]], [[0.3, 1.5], [2.0, 0.2]]]).double()
    weight = torch.tensor([[0.6, 0.5], [0.4, 0.5]]).double()
    log_scales = torch.tensor(scales).double().log()
    forecast = OutcomeForecast(outcome, centre, 0.0 * sd, sd, weight, log_scales, {}, torch.ones_like(centre))
    found = forecast.quantile(probability).numpy()
    reached = forecast.probability_of_at_most(found)
    if outcome.whole:
        assert (reached >= probability - 1e-12).all()
        before = forecast.probability_of_at_most(found - 1.0)
        assert ((before < probability) | (found == outcome.least)).all()
    else:
        np.testing.assert_allclose(reached, probability, rtol=1e-7)
