"""The study of markets: its recursions, and that neither forecasts nor trades know what comes after."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

import metasci as ms
from metasci.errors import MissingExtra
from metasci.responses import volatility
from metasci.studies import markets


def test_garch_is_the_recursion_of_bollerslev() -> None:
    returns = np.random.default_rng(0).standard_normal((2, 30))
    level, first = np.array([0.1, 0.3]), np.array([1.0, 2.0])
    found = markets.garch(returns, level, 0.08, 0.9, first)
    variance = first
    for day in range(31):
        np.testing.assert_allclose(found[:, day], variance, rtol=1e-12)
        if day < 30:
            variance = level + 0.08 * returns[:, day] ** 2 + 0.9 * variance


def test_garch_fitted_alone_has_the_variances_of_its_library() -> None:
    arch = pytest.importorskip("arch", reason="GARCH fitted alone is that of the library arch")
    returns = np.random.default_rng(1).standard_normal(300) * 1.3
    fit = arch.arch_model(returns[:250], mean="Zero", vol="GARCH", p=1, q=1, rescale=False).fit(disp="off")
    ahead = fit.forecast(horizon=1).variance.to_numpy()[-1, 0]
    assert markets._alone(returns[None], 250)[0, 0] == pytest.approx(ahead, rel=1e-8)


def test_a_forecast_does_not_know_its_own_day() -> None:
    prior = ms.Prior.declared(volatility)
    returns = np.random.default_rng(2).standard_normal((2, 30))
    before = markets.forecasts(prior, returns, 20, 1.0)
    returns[:, 25:] = 8.0
    after = markets.forecasts(prior, returns, 20, 1.0)
    np.testing.assert_array_equal(before[:, :6], after[:, :6])
    assert (after[:, 6] > before[:, 6]).all()


def test_a_portfolio_drifts_pays_what_it_trades_and_earns_what_its_shares_do() -> None:
    returns = np.log(np.array([[1.1, 1.0, 1.0], [1.0, 1.0, 1.2]]))
    shares = np.full((2, 3), 0.5)
    daily, traded = markets.portfolio(shares, returns, every=2, cost=0.01)
    moved = abs(0.5 - 0.55 / 1.05) * 2.0  # back to halves on the third day
    assert np.exp(daily).tolist() == pytest.approx([1.05, 1.0, 1.1 * (1.0 - 0.01 * moved)])
    assert traded == pytest.approx(moved * 252.0 / 3.0)


def test_stretches_of_coarse_prices_are_not_learned_from() -> None:
    returns = np.random.default_rng(4).standard_normal((2, 2500))
    returns[1, 1250:1500] = 0.0
    assert len(markets.stretches(returns)) == 3


def test_qlike_is_least_for_the_variance_itself() -> None:
    returns = np.random.default_rng(3).standard_normal(200_000) * 2.0
    tried = np.array([2.0, 3.0, 4.0, 5.0, 6.0])
    assert tried[np.argmin([markets.qlike(np.array(v), returns).mean() for v in tried])] == 4.0


def test_prices_that_are_not_there_are_asked_for_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(name: str) -> Any:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", nowhere)
    with pytest.raises(MissingExtra, match=r"prices needs the library 'skfolio': pip install .*\[markets\]"):
        markets.prices()
