"""What must change nothing, for a few priors; `python tests/metamorphic.py` holds all of them to it."""

from __future__ import annotations

from typing import Any

import metamorphic
import pandas as pd
import pytest

import metasci as ms
from metasci import catalogue


def held(prior: Any, frame: pd.DataFrame, times: int) -> None:
    found = metamorphic.deviations(prior, frame, times)
    assert found.pop("times") >= metamorphic.THREADS
    assert not found.pop("threads")  # to the bit
    assert all(value <= metamorphic.TOLERANCE for value in found.values()), found


@pytest.mark.parametrize("name", ["alloy_fatigue", "phenobarbital_grasela_1985", "epilepsy"])
def test_order_units_pieces_threads_and_copies_change_nothing(name: str):
    prior = ms.load(name)
    held(prior, metamorphic.table(prior, name), 12)


@pytest.mark.parametrize(
    "name",
    [
        "alloy_strength",
        pytest.param("propofol", marks=pytest.mark.needs_data("propofol")),
        "quinidine",
        "remifentanil",
        "steel_tempering",
        "wine",
    ],
)
def test_data_that_were_written_as_a_table_are_read_as_they_were(name: str):
    prior, tasks = ms.load(name), metamorphic.cases(name).select(slice(0, 3))
    assert metamorphic.deviation(
        metamorphic.answers(prior, tasks), metamorphic.answers(prior, tasks.to_frame(units=True)), exactly=True
    ) == 0.0  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", catalogue.names("models"))
def test_they_change_nothing_for_any_prior_that_ships(name: str):
    prior = ms.load(name)
    held(prior, metamorphic.table(prior, name), 96)


@pytest.mark.slow
@pytest.mark.parametrize("name", metamorphic.METHODS)
def test_they_change_nothing_for_any_method(name: str):
    held(*metamorphic.prior_of_method(name), 96)


def test_a_difference_is_seen():
    prior = ms.load("alloy_fatigue")
    frame = metamorphic.table(prior, "alloy_fatigue")
    other = frame.copy()
    other.iloc[-1, -1] *= 1.0001
    assert metamorphic.deviation(metamorphic.answers(prior, frame), metamorphic.answers(prior, other)) > 1e-8
