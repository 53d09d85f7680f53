"""What must change nothing, for a few priors; `python tests/metamorphic.py` holds all of them to it."""

from __future__ import annotations

import metamorphic
import pytest

import metasci as ms


@pytest.mark.parametrize("name", ["alloy_fatigue", "phenobarbital_grasela_1985"])
def test_order_units_pieces_threads_and_copies_change_nothing(name: str):
    prior = ms.load(name)
    found = metamorphic.deviations(prior, metamorphic.table(prior, name))
    assert all(value <= metamorphic.TOLERANCE for value in found.values()), found


def test_a_difference_is_seen():
    prior = ms.load("alloy_fatigue")
    frame = metamorphic.table(prior, "alloy_fatigue")
    other = frame.copy()
    other.iloc[-1, -1] *= 1.0001
    assert metamorphic._deviation(metamorphic.answers(prior, frame), metamorphic.answers(prior, other)) > 1e-8
