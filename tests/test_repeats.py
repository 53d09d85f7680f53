"""Repeats under the same conditions share an error where they agree far better than the noise lets expect."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metasci as ms
from metasci.data.repeats import independent

STEEL = pd.DataFrame(
    {
        "time [h]": [1.0, 1.0, 2.0],
        "temperature [degC]": [200.0, 400.0, 600.0],
        "hardness [HRC]": [55.0, 45.5, 30.0],
    }
)
PRIOR = ms.load("steel_tempering")


def repeated(times: int, scatter: float, seed: int = 0) -> pd.DataFrame:
    """Every reading so many times, scattered by so many of the prior's standard deviations."""
    sd = float(np.sqrt(np.nanmean(PRIOR.measurement_variance(PRIOR.read(STEEL)))))
    rows = STEEL.loc[STEEL.index.repeat(times)].copy()
    rows["hardness [HRC]"] += scatter * sd * np.random.default_rng(seed).standard_normal(len(rows))
    return rows


def test_what_repeats_count_for_is_the_precision_of_their_mean():
    """Of an error that is shared and one of each reading's own: Var(mean) = (1 − r + r/n) σ², by simulation."""
    random, count, share = np.random.default_rng(1), 5, 0.3
    shared = np.sqrt(1.0 - share) * random.standard_normal(200_000)
    own = np.sqrt(share) * random.standard_normal((200_000, count))
    variance = (shared[:, None] + own).mean(1).var()
    assert 1.0 / variance == pytest.approx(float(independent(np.array(count), np.array(share))), rel=0.02)


@pytest.mark.parametrize("times", [2, 9, 30])
def test_near_copies_tell_hardly_more_than_one_reading_each(times: int):
    once = PRIOR.calibrate(STEEL).to_xarray(predictions=False)
    fit = PRIOR.calibrate(repeated(times, 0.05))
    many = fit.to_xarray(predictions=False)
    width, wide = (np.asarray(each["upper"] - each["lower"]) for each in (many, once))
    np.testing.assert_allclose(width, wide, rtol=0.1)
    assert any("share an error, and count as 3" in warning for warning in fit.warnings)


def test_repeats_that_scatter_as_measurements_do_all_count():
    kept = [PRIOR.counted(PRIOR.read(repeated(9, 1.0, seed))).counts.sum() == 27 for seed in range(20)]
    assert np.mean(kept) >= 0.8  # one of twenty is taken for repeats that share an error
    assert PRIOR.counted(PRIOR.read(STEEL)).counts.sum() == 3


def test_pieces_and_the_order_of_rows_change_nothing():
    rows = repeated(4, 0.05)
    mixed = rows.sample(frac=1.0, random_state=1)
    here, there = (PRIOR.calibrate(each).to_xarray(predictions=False) for each in (rows, mixed))
    np.testing.assert_allclose(here["estimate"], there["estimate"], rtol=1e-8)
    many = PRIOR.calibrate_many(rows)
    np.testing.assert_allclose(many["estimate"].values.ravel(), here["estimate"].values.ravel(), rtol=1e-8)
