"""Outcomes of any kind: densities held against SciPy, information against sums and differences, draws against both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats as st
import torch

from metasci.errors import InputError
from metasci.outcomes import (
    Bernoulli,
    Binomial,
    Deviation,
    Exponential,
    Gompertz,
    LogLogistic,
    LogNormalTime,
    NegativeBinomial,
    Ordinal,
    Outcome,
    Poisson,
    StudentDeviation,
    TimeToEvent,
    Weibull,
    ZeroInflatedPoisson,
)

TRIALS = {"trials": np.array(7.0)}
ETA = np.array([-2.3, -0.4, 0.0, 0.7, 1.9])
COUNTS = np.arange(0.0, 400.0)

DISCRETE: dict[str, tuple[Outcome, tuple[float, ...], np.ndarray, Any]] = {
    "logit": (Bernoulli(), (), np.arange(2.0), lambda e: st.bernoulli(1 / (1 + np.exp(-e)))),
    "probit": (Bernoulli(of="probit"), (), np.arange(2.0), lambda e: st.bernoulli(st.norm.cdf(e))),
    "cloglog": (Bernoulli(of="cloglog"), (), np.arange(2.0), lambda e: st.bernoulli(-np.expm1(-np.exp(e)))),
    "binomial": (Binomial(), (), np.arange(8.0), lambda e: st.binom(7, 1 / (1 + np.exp(-e)))),
    "poisson": (Poisson(), (), COUNTS, lambda e: st.poisson(np.exp(e))),
    "negative binomial": (
        NegativeBinomial(),
        (0.8,),
        COUNTS,
        lambda e: st.nbinom(1 / 0.8, 1 / (1 + 0.8 * np.exp(e))),
    ),
}
TIMES: dict[str, tuple[TimeToEvent, tuple[float, ...], Any]] = {
    "exponential": (Exponential(), (), lambda e: st.expon(scale=np.exp(e))),
    "weibull": (Weibull(), (1.7,), lambda e: st.weibull_min(1.7, scale=np.exp(e))),
    "log-logistic": (LogLogistic(), (2.2,), lambda e: st.fisk(2.2, scale=np.exp(e))),
    "log-normal": (LogNormalTime(), (0.6,), lambda e: st.lognorm(0.6, scale=np.exp(e))),
    "gompertz": (Gompertz(), (0.3,), lambda e: st.gompertz(np.exp(-e) / 0.3, scale=1 / 0.3)),
}
ALL: dict[str, tuple[Outcome, tuple[float, ...]]] = {
    **{name: case[:2] for name, case in DISCRETE.items()},
    **{name: case[:2] for name, case in TIMES.items()},
    "zero-inflated": (ZeroInflatedPoisson(), (0.4,)),
    "ordinal": (Ordinal(grades=4), (0.7, 1.9)),
    "deviation": (Deviation(), ()),
    "Student's deviation": (StudentDeviation(), (4.0,)),
}


def logs(scales: tuple[float, ...]) -> np.ndarray:
    return np.log(np.array(scales)) if scales else np.zeros(0)


@pytest.mark.parametrize("name", DISCRETE)
def test_probabilities_and_their_sums_are_those_of_scipy(name: str) -> None:
    outcome, scales, values, law = DISCRETE[name]
    for eta in ETA:
        here = np.full_like(values, eta)
        np.testing.assert_allclose(
            outcome.log_density(values, here, logs(scales), TRIALS),
            law(eta).logpmf(values),
            rtol=1e-8,
            atol=1e-9,
        )
        np.testing.assert_allclose(
            outcome.cumulative(values, here, logs(scales), TRIALS),
            law(eta).cdf(values),
            rtol=1e-9,
            atol=1e-12,
        )
        assert outcome.expected(np.array(eta), logs(scales), TRIALS) == pytest.approx(
            law(eta).mean(), rel=1e-9
        )


@pytest.mark.parametrize("name", TIMES)
def test_times_have_the_density_and_survival_of_scipy_also_where_they_are_not_seen(name: str) -> None:
    outcome, scales, law = TIMES[name]
    time, end = np.array([0.02, 0.3, 1.0, 2.5]), np.array([0.5, 0.9, 1.001, 3.0])
    for eta in ETA:
        here = np.full_like(time, eta)
        number = np.full_like(time, np.nan)
        exact = outcome.log_density(time, here, logs(scales), upper=number)
        np.testing.assert_allclose(exact, law(eta).logpdf(time), rtol=1e-9, atol=1e-9)
        later = outcome.log_density(time, here, logs(scales), upper=np.full_like(time, np.inf))
        np.testing.assert_allclose(later, law(eta).logsf(time), rtol=1e-9, atol=1e-12)
        earlier = outcome.log_density(time, here, logs(scales), below=np.ones_like(time, bool))
        np.testing.assert_allclose(earlier, law(eta).logcdf(time), rtol=1e-7, atol=1e-12)
        between = np.exp(outcome.log_density(time, here, logs(scales), upper=end))
        np.testing.assert_allclose(between, law(eta).cdf(end) - law(eta).cdf(time), rtol=1e-6, atol=1e-14)
        np.testing.assert_allclose(outcome.expected(here[:1], logs(scales)), law(eta).median(), rtol=1e-9)


def test_a_zero_inflated_count_is_a_mixture() -> None:
    counts, zero = ZeroInflatedPoisson(), 0.4 / 1.4
    for eta in ETA:
        expected = (1 - zero) * st.poisson(np.exp(eta)).pmf(COUNTS) + zero * (COUNTS == 0)
        got = np.exp(counts.log_density(COUNTS, np.full_like(COUNTS, eta), logs((0.4,))))
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-300)


def test_grades_have_the_probabilities_of_a_cumulative_logit_also_far_out() -> None:
    grades = Ordinal(grades=4, first=1)
    cuts = np.array([0.0, 0.7, 2.6])
    for eta in ETA:
        edges = np.concatenate([[0.0], 1 / (1 + np.exp(-(cuts - eta))), [1.0]])
        np.testing.assert_allclose(
            grades.probabilities(np.array(eta), logs((0.7, 1.9))), np.diff(edges), rtol=1e-9
        )
    far = grades.log_density(np.array([2.0]), np.array([60.0]), logs((0.7, 1.9)))
    assert far[0] == pytest.approx(-60.0 + np.log(np.expm1(0.7)), rel=1e-12)


def test_a_deviation_has_the_density_of_scipy_and_tells_a_half_of_its_log_variance() -> None:
    deviation, values = Deviation(), np.array([-3.0, -0.2, 0.0, 1.5])
    nodes, weights = np.polynomial.hermite_e.hermegauss(
        21
    )  # exact for the fourth power that the slope's square is
    for eta in ETA:
        law, here = st.norm(scale=np.exp(0.5 * eta)), np.full(4, eta)
        np.testing.assert_allclose(deviation.log_density(values, here, ()), law.logpdf(values), rtol=1e-12)
        np.testing.assert_allclose(deviation.cumulative(values, here, ()), law.cdf(values), rtol=1e-12)
        assert deviation.expected(np.array(eta), ()) == pytest.approx(law.std())
        at = torch.full((21,), float(eta), dtype=torch.float64, requires_grad=True)
        density = deviation.log_density(torch.as_tensor(nodes * law.std()), at, ())
        (slope,) = torch.autograd.grad(density.sum(), at)
        squared = weights @ slope.numpy() ** 2 / weights.sum()
        assert float(deviation.information(None, at.detach(), ())[0]) == pytest.approx(squared, rel=1e-10)


def test_students_deviation_has_the_density_of_scipy_the_variance_that_is_said_and_fishers_information() -> (
    None
):
    deviation, values = StudentDeviation(), np.array([-3.0, -0.2, 0.0, 1.5])
    for eta in ETA:
        law = st.t(6.0, scale=np.exp(0.5 * eta) * np.sqrt(4.0 / 6.0))
        here = np.full(4, eta)
        np.testing.assert_allclose(
            deviation.log_density(values, here, logs((4.0,))), law.logpdf(values), rtol=1e-12
        )
        np.testing.assert_allclose(
            deviation.cumulative(values, here, logs((4.0,))), law.cdf(values), rtol=1e-12
        )
        assert deviation.expected(np.array(eta), logs((4.0,))) == pytest.approx(law.std())

        def squared_slope(y: float, eta: float = eta, law: Any = law) -> float:
            ends = [
                deviation.log_density(np.array(y), np.array(eta + s), logs((4.0,))) for s in (-1e-5, 1e-5)
            ]
            return float(((ends[1] - ends[0]) / 2e-5) ** 2 * law.pdf(y))

        expected = scipy.integrate.quad(squared_slope, -np.inf, np.inf)[0]
        told = deviation.information(None, torch.tensor([float(eta)]).double(), torch.as_tensor(logs((4.0,))))
        assert float(told[0]) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", [name for name in ALL if "deviation" not in name])
def test_information_is_what_the_density_bends_by(name: str) -> None:
    """Expected over all outcomes of an outcome; of times that of the very one."""
    outcome, scales = ALL[name]
    inputs, log_scales = {"trials": torch.tensor(7.0, dtype=torch.float64)}, torch.as_tensor(logs(scales))
    for eta in ETA:
        if outcome.whole:
            values = torch.arange(0.0, 4.0 if name == "ordinal" else (8.0 if name == "binomial" else 400.0))
            values = values[:2] if name in ("logit", "probit", "cloglog") else values
            values = values.double()
        else:
            values = torch.tensor([0.3, 1.0, 2.5], dtype=torch.float64)
        at = torch.full_like(values, float(eta), requires_grad=True)
        density = outcome.log_density(values, at, log_scales, inputs)
        (slope,) = torch.autograd.grad(density.sum(), at, create_graph=True)
        told = outcome.information(values, at.detach(), log_scales, inputs)
        if outcome.whole:
            probability = density.detach().exp()
            assert float(probability.sum()) == pytest.approx(1.0, abs=1e-8)
            assert float((probability * slope.detach()).sum()) == pytest.approx(0.0, abs=1e-8)
            assert float(told[0]) == pytest.approx(float((probability * slope.detach() ** 2).sum()), rel=1e-7)
        else:
            step = 1e-4
            ends = [outcome.log_density(values, at.detach() + s, log_scales) for s in (-step, 0.0, step)]
            bend = (ends[0] - 2.0 * ends[1] + ends[2]) / step**2
            torch.testing.assert_close(told, -bend.detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_draws_follow_the_cumulative_probability(name: str) -> None:
    outcome, scales = ALL[name]
    drawn = outcome.sample(np.full(20_000, 0.6), logs(scales), TRIALS, np.random.default_rng(3))
    for value in np.quantile(drawn, [0.1, 0.4, 0.8]):
        share = float((drawn <= value).mean())
        here = np.array([0.6])
        assert float(outcome.cumulative(np.array([value]), here, logs(scales), TRIALS)[0]) == pytest.approx(
            share, abs=0.015
        )


@pytest.mark.parametrize("name", ALL)
def test_pytensor_says_the_same(name: str) -> None:
    pytensor = pytest.importorskip("pytensor")
    outcome, scales = ALL[name]
    values = np.array([1.0, 0.0, 1.0, 1.0, 0.0]) if outcome.whole else np.array([0.3, 1.0, 2.5, 4.0, 1.5])
    upper = None if outcome.whole else np.array([np.nan, np.inf, 3.0, np.nan, np.inf])
    eta = pytensor.tensor.dvector()
    density = outcome.log_density(values, eta, list(logs(scales)), TRIALS, upper=upper)
    found = pytensor.function([eta], density, mode="FAST_COMPILE")(ETA)  # nothing is compiled by a C compiler
    np.testing.assert_allclose(
        found, outcome.log_density(values, ETA, logs(scales), TRIALS, upper=upper), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize(
    ("outcome", "values", "place", "words"),
    [
        (Bernoulli(), [0.0, 2.0], 1, "neither 0 nor 1"),
        (Poisson(), [3.0, 1.5], 1, "whole number"),
        (Ordinal(grades=3), [0.0, 1.0, 3.0], 2, "grades 0 to 2"),
        (Weibull(), [0.0, 3.0], 0, "above zero"),
        (Deviation(), [-1.0, np.inf], 1, "finite number"),
        (Binomial(), [3.0, 9.0], 1, "more than the 7 trials"),
    ],
)
def test_what_is_no_such_outcome_is_told_in_a_sentence(
    outcome: Outcome, values: list[float], place: int, words: str
) -> None:
    found = outcome.fault(np.array(values), {"trials": np.full(len(values), 7.0)})
    assert found is not None
    assert found[0] == place
    assert words in found[1]
    sound = np.array([1.0, 1.0])
    assert outcome.fault(sound, {"trials": np.full(2, 7.0)}) is None


def test_a_wrong_declaration_is_refused() -> None:
    with pytest.raises(InputError, match="three grades"):
        Ordinal(grades=2)
    with pytest.raises(InputError, match="'logit', 'probit' or 'cloglog'"):
        Bernoulli(of="cauchit")
    with pytest.raises(InputError, match="number of trials"):
        Binomial().log_density(np.array([1.0]), np.array([0.0]), ())
