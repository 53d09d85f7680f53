"""Differences between forecasters: standard errors clustered by task, and the test of equivalence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

pytest.importorskip("pymc")

from metasci.bayes.differences import Difference, difference, jackknife, log_rmse


def test_two_one_sided_tests_reject_at_the_tabulated_quantile_of_student() -> None:
    """t(0.95, 10) = 1.812 (Student's table): a difference of zero is equivalent from that many errors on."""
    at = Difference(0.0, 1.0, 0.0, 10.0, 11, margin=1.8125)
    assert at.p_equivalent == pytest.approx(0.05, abs=2e-5)
    assert at.interval == pytest.approx((-1.8125, 1.8125), abs=1e-4)
    # against SciPy's one-sample tests of the same values
    values = np.random.default_rng(0).normal(0.1, 0.5, 11)
    found = difference(lambda kept: float(values[kept].mean()), np.arange(11), margin=0.4)
    lower = stats.ttest_1samp(values, -0.4, alternative="greater").pvalue
    upper = stats.ttest_1samp(values, 0.4, alternative="less").pvalue
    assert found.p_equivalent == pytest.approx(max(lower, upper), rel=1e-10)
    assert found.p_not_worse == pytest.approx(upper, rel=1e-10)


@pytest.mark.parametrize("estimate", np.linspace(-0.1, 0.1, 9))
@pytest.mark.parametrize("error", [0.002, 0.01, 0.04])
def test_equivalence_is_the_interval_inside_the_margins(estimate: float, error: float) -> None:
    found = Difference(float(estimate), error, 0.0, 11.0, 12, margin=0.02)
    low, high = found.interval
    assert found.equivalent == (low > -0.02 and high < 0.02)
    assert (found.judgement == "cannot tell") == (not found.equivalent and low <= 0.0 <= high)


def test_a_task_is_one_witness_however_often_it_was_measured() -> None:
    """Intervals over tasks hold the truth nine times in ten; over measurements they would not."""
    random = np.random.default_rng(1)
    labels = np.repeat(np.arange(15), random.integers(1, 12, 15))
    clustered, apart = 0, 0
    for _ in range(400):
        values = random.standard_normal(15)[labels] + 0.3 * random.standard_normal(len(labels))
        low, high = difference(lambda kept, v=values: float(v[kept].mean()), labels, 0.02).interval
        clustered += low < 0.0 < high
        error = values.std(ddof=1) / math.sqrt(len(values))
        apart += abs(values.mean()) < stats.t.ppf(0.95, len(values) - 1) * error
    assert clustered / 400 == pytest.approx(0.9, abs=0.05)
    assert apart / 400 < 0.7


def test_one_task_alone_tells_nothing() -> None:
    found = difference(lambda kept: 0.0, np.zeros(5), 0.02)
    assert found.interval == (-math.inf, math.inf)
    assert found.p_equivalent == 1.0
    assert found.judgement == "cannot tell"


def test_chains_add_to_the_error_and_take_degrees_of_freedom() -> None:
    values = np.random.default_rng(2).standard_normal(20)

    def mean(kept: np.ndarray) -> float:
        return float(values[kept].mean())

    quiet, noisy = (difference(mean, np.arange(20), 0.02, runs) for runs in ((), (0.5, -0.5)))
    assert noisy.between_runs == pytest.approx(0.5)
    assert noisy.standard_error**2 == pytest.approx(quiet.standard_error**2 + 0.25)
    # Welch and Satterthwaite by hand
    of_tasks, of_runs = quiet.standard_error**2, 0.25
    assert noisy.freedom == pytest.approx((of_tasks + of_runs) ** 2 / (of_tasks**2 / 19 + of_runs**2 / 1))
    assert quiet.freedom == 19


def test_the_jackknife_of_a_ratio_is_that_of_the_delta_method() -> None:
    """Many tasks: the logarithm of two RMSEs' ratio scatters as its linearisation does."""
    random = np.random.default_rng(3)
    ours, theirs = 1.3 * random.standard_normal(4000), random.standard_normal(4000)
    labels = np.arange(4000)

    def ratio(kept: np.ndarray) -> float:
        return log_rmse(ours[kept], labels[kept], "pooled") - log_rmse(theirs[kept], labels[kept], "pooled")

    some = slice(0, 400)
    ours, theirs, labels = ours[some], theirs[some], labels[some]
    linear = 0.5 * (ours**2 / (ours**2).mean() - theirs**2 / (theirs**2).mean())
    assert jackknife(ratio, labels) == pytest.approx(linear.std(ddof=1) / math.sqrt(400), rel=0.02)
