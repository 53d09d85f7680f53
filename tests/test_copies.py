"""Copies of a measurement count once: ten rows that say the same tell no more than one of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import metasci as ms
from metasci.data.copies import copies

STEEL = pd.DataFrame(
    {
        "task": ["a", "a", "b", "b", "b"],
        "time [h]": [1.0, 1.0, 1.0, 2.0, 2.0],
        "temperature [degC]": [200.0, 400.0, 300.0, 500.0, 500.0],
        "hardness [HRC]": [55.0, 45.5, 50.0, 38.0, 38.4],
    }
)


@pytest.mark.parametrize("times", [2, 9, 30])
def test_intervals_of_copied_rows_are_those_of_the_rows(times: int):
    prior = ms.load("steel_tempering")
    once = prior.calibrate(STEEL)
    many = prior.calibrate(STEEL.iloc[np.repeat(np.arange(len(STEEL)), times)])
    held, again = once.to_xarray(), many.to_xarray()
    for name in ("estimate", "lower", "upper", "shrinkage"):
        np.testing.assert_allclose(again[name], held[name], rtol=1e-8)
    assert len(many.at_measurements()) == len(STEEL)
    note = f"{(times - 1) * len(STEEL)} measurements repeat another of the same task to the digit"
    assert any(note in warning and warning.endswith("count once.") for warning in many.warnings)
    assert not any("count once" in warning for warning in once.warnings)


def test_coverage_does_not_fall_with_the_number_of_copies():
    """Boiling points of families: of one reading each copied, 90 % intervals of the other members hold as many."""
    prior, families = ms.load("boiling_point"), ms.dataset("boiling_points").select(slice(0, 8))
    frame = families.to_frame(units=True)
    shares = []
    for times in (1, 30):
        inside = []
        for family, rows in frame.groupby("task", sort=False):
            support, rest = rows.iloc[:1], rows.iloc[1:9]
            both = pd.concat([*[support] * times, rest.assign(**{"boiling_point [K]": np.nan})])
            said = prior.calibrate(both.drop(columns=["family"], errors="ignore")).table()
            said = said[said["boiling_point"].isna()].set_index("molecule")
            truth = rest.set_index("molecule")["boiling_point [K]"].reindex(said.index)
            inside += ((said["lower"] <= truth) & (truth <= said["upper"])).tolist()
            assert family
        shares.append(np.mean(inside))
    assert shares[0] == shares[1]
    assert shares[0] > 0.5


def test_readings_that_differ_are_no_copies_and_copies_are_found_wherever_they_stand():
    tasks = ms.TaskSet.from_frame(STEEL, ms.load("steel_tempering").card)
    assert not copies(tasks.dataset, tasks.card).any()
    assert tasks.counted_once() is tasks
    mixed = pd.concat([STEEL, STEEL.iloc[[3, 0]]]).sort_values("task", kind="stable")
    tasks = ms.TaskSet.from_frame(mixed, ms.load("steel_tempering").card)
    assert copies(tasks.dataset, tasks.card).sum(axis=1).tolist() == [1, 1]
    kept = tasks.counted_once()
    assert kept.counts.tolist() == [2, 3]
    assert kept.dataset["hardness"].values[1].tolist() == [50.0, 38.0, 38.4]
    many = ms.load("steel_tempering").calibrate_many(tasks)
    np.testing.assert_allclose(
        many["estimate"], ms.load("steel_tempering").calibrate(STEEL).to_xarray()["estimate"]
    )
