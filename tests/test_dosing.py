"""Recommended doses against closed forms of linear kinetics."""

from __future__ import annotations

import numpy as np
import pytest

import metasci as ms
from metasci.dosing import Target, recommend
from metasci.errors import InputError


@pytest.fixture(scope="module")
def infant() -> ms.Calibration:
    return ms.load("phenobarbital").calibrate(ms.dataset("phenobarbital").select(["1"]))


def test_recommended_dose_agrees_with_the_closed_form_of_a_steady_state(infant: ms.Calibration) -> None:
    values = infant.parameters.set_index("name")["estimate"]
    weight = float(infant.batch.inputs["weight"][0, 0])
    rate = values["clearance"] / values["volume"]
    trough = 20.0
    gap = 12.0
    exact = trough * values["volume"] * weight * (1.0 - np.exp(-rate * gap)) / np.exp(-rate * gap)
    sizes = np.arange(0.5, 6.0, 0.1)
    advice = recommend(
        infant, Target("trough", 17.0, 23.0), doses=sizes, intervals=[gap], number=120, draws=400
    )
    assert advice.dose == pytest.approx(exact, rel=0.06)
    assert advice.median == pytest.approx(trough, rel=0.06)
    lower, upper = advice.lower, advice.upper
    assert lower < advice.median < upper


def test_probability_is_the_share_of_draws_and_repeats_to_the_bit(infant: ms.Calibration) -> None:
    target = Target("peak", 20.0, 40.0)
    first, again = (recommend(infant, target, doses=[2.0, 4.0], intervals=[12.0, 24.0]) for _ in range(2))
    assert first.table.equals(again.table)
    wider = recommend(infant, Target("peak", 10.0, 60.0), doses=[2.0, 4.0], intervals=[12.0, 24.0])
    assert (wider.table["probability"] >= first.table["probability"]).all()
    assert first.probability == first.table["probability"].max() or first.reached


def test_area_of_a_steady_state_is_dose_over_clearance(infant: ms.Calibration) -> None:
    advice = recommend(
        infant, Target("auc", low=0.0, per=24.0), doses=[3.0], intervals=[12.0], number=120, draws=400
    )
    clearance = infant.parameters.set_index("name")["estimate"]["clearance"]
    weight = float(infant.batch.inputs["weight"][0, 0])
    assert advice.median == pytest.approx(2 * 3.0 / (clearance * weight), rel=0.02)


def test_a_patient_without_measurements_is_said_to_be_uninformed(infant: ms.Calibration) -> None:
    import torch

    prior, batch = infant.prior, infant.batch
    blank = batch.with_mask(torch.zeros_like(batch.mask))
    unseen = ms.Calibration(prior, infant.tasks, blank, prior.adapt(blank))
    advice = recommend(unseen, Target("trough", 15.0, 25.0), doses=[2.0, 3.0], intervals=[24.0])
    assert any("hardly inform" in warning for warning in advice.warnings)
    informed = recommend(infant, Target("trough", 15.0, 25.0), doses=[2.0, 3.0], intervals=[24.0])
    assert not any("hardly inform" in warning for warning in informed.warnings)
    assert all("no medical device" in found.warnings[-1] for found in (advice, informed))


def test_a_target_out_of_reach_is_said_to_be(infant: ms.Calibration) -> None:
    advice = recommend(infant, Target("trough", 200.0, 210.0), doses=[1.0, 2.0], intervals=[24.0])
    assert not advice.reached
    assert any("comes nearest" in warning for warning in advice.warnings)
    assert "probability of 0 %" in str(advice)


def test_share_of_time_above_a_threshold_is_exact_on_straight_lines() -> None:
    times, curve = np.array([0.0, 1.0, 2.0]), np.array([[0.0, 2.0, 0.0], [3.0, 3.0, 3.0], [0.0, 0.0, 0.0]])
    found = Target("time_above", low=0.5, threshold=1.0).of(times, curve)
    np.testing.assert_allclose(found, [0.5, 1.0, 0.0])


def test_nonsense_is_refused(infant: ms.Calibration) -> None:
    target = Target("trough", 15.0, 25.0)
    with pytest.raises(InputError, match="doses: give one or more numbers above zero"):
        recommend(infant, target, doses=[0.0], intervals=[12.0])
    everybody = ms.load("phenobarbital").calibrate(ms.dataset("phenobarbital"))
    with pytest.raises(InputError, match="one patient, not to 59"):
        recommend(everybody, target, doses=[1.0], intervals=[12.0])
    patient = ms.load("theophylline").calibrate(ms.dataset("theophylline").select(["1"]))
    with pytest.raises(InputError, match="takes no doses"):
        recommend(patient, target, doses=[1.0], intervals=[12.0])
    with pytest.raises(InputError, match="knows no infusions"):
        recommend(infant, target, doses=[1.0], intervals=[12.0], duration=1.0)
    with pytest.raises(InputError, match="must lie below"):
        Target("trough", 3.0, 2.0)
    with pytest.raises(InputError, match="a threshold belongs"):
        Target("time_above", 0.5)
