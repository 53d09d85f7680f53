"""Simultaneous bands of ranks: against ArviZ's own, by their coverage, and by what they catch."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pymc")

from metasci.bayes import ecdf_bands, leaves_bands
from metasci.errors import InputError


def test_two_values_at_one_place_are_binomial() -> None:
    """P(both of two uniform values below ½) = ¼: a band of 70 % cannot leave that out, one of 40 % leaves out both."""
    assert [float(values[0]) for values in ecdf_bands(2, 0.7, points=2)[1:]] == [0.0, 1.0]
    assert [float(values[0]) for values in ecdf_bands(2, 0.4, points=2)[1:]] == [0.5, 0.5]


@pytest.mark.parametrize("count", [30, 120])
def test_they_are_those_of_arviz(count: int) -> None:
    """ArviZ 0.23 takes the coverage nearest to the one asked for, this the least that holds it: a count apart."""
    theirs = pytest.importorskip("arviz.stats.ecdf_utils").ecdf_confidence_band
    at, lower, upper = ecdf_bands(count, points=count)
    low, high = theirs(count, at, at, prob=0.95, method="optimized")
    for ours, other in ((lower, low), (upper, high)):
        apart = np.abs(np.rint(count * ours) - np.rint(count * other))
        assert apart.max() <= 1
        assert (apart == 0).mean() > 0.9


def test_uniform_ranks_stay_within_as_often_as_said() -> None:
    random = np.random.default_rng(0)
    left = leaves_bands(random.random((80, 4000)), 0.9).mean()
    assert left == pytest.approx(0.1, abs=0.02)  # counts are whole numbers: not to the last digit
    narrow = leaves_bands(random.beta(2.0, 2.0, (80, 500)), 0.9).mean()
    assert narrow > 0.5


def test_a_level_is_a_probability() -> None:
    with pytest.raises(InputError, match="level: 95"):
        ecdf_bands(10, 95)
    with pytest.raises(InputError, match="count: 0"):
        ecdf_bands(0)
