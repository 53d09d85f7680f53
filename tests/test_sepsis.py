"""Hospitals that treat sepsis: rollouts against exact survival, and a tilt that is found again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip(
    "icu_sepsis",
    reason="hospitals need the extra metasci-calibration[rewards]: icu_sepsis, stable_baselines3",
)

from metasci.studies.sepsis import Admissions, probabilities
from metasci.studies.sepsis_hospitals import ACTIONS, STATES, drawn, hospitals, sepsis
from metasci.studies.sepsis_rivals import likeliest_tilt
from metasci.studies.sepsis_wards import environment, treated

EVEN = torch.full((1, STATES, ACTIONS), 1.0 / ACTIONS, dtype=torch.float64)


def test_an_ordinary_hospital_has_the_published_survival():
    """0.78 at random and 0.88 at best, by the package's own table."""
    ordinary = drawn(np.zeros((1, 3)))
    assert float(ordinary.returns(EVEN)) == pytest.approx(0.78, abs=0.005)
    values, table = ordinary.best()
    assert float(sepsis().first @ values) == pytest.approx(0.88, abs=0.006)
    best = torch.nn.functional.one_hot(torch.as_tensor(table.argmax(1)), ACTIONS)[None].double()
    assert float(ordinary.returns(best)) == pytest.approx(float(sepsis().first @ values), abs=1e-5)


def test_patients_survive_as_often_as_they_should_and_tell_the_tilt():
    where = hospitals(2, 5)
    policy = EVEN.expand(2, -1, -1)
    stay = treated(policy.numpy(), where, 4000, 0)
    found = stay.survived.reshape(2, -1).mean(1)
    np.testing.assert_allclose(found, where.returns(policy), atol=0.03)
    for at in range(2):
        own = stay.hospital == at
        np.testing.assert_allclose(likeliest_tilt(stay.row[own], stay.after[own]), where.tilt[at], atol=0.05)
    assert likeliest_tilt(stay.row[:0], stay.after[:0]).tolist() == [0.0, 0.0, 0.0]


def test_the_ward_of_gymnasium_s_interface_is_the_same_hospital():
    ward, ends = environment(drawn(np.zeros((1, 3))), 0), []
    random = np.random.default_rng(0)
    for patient in range(400):
        ward.reset(seed=patient)
        done = False
        while not done:
            _, reward, done, _, _ = ward.step(int(random.integers(ACTIONS)))
        ends.append(reward)
    assert float(np.mean(ends)) == pytest.approx(0.78, abs=0.08)


def test_the_likelihood_ratio_is_the_slope_of_exact_survival():
    """Of a number that all states share: one patient's estimate scatters a hundred times as far, so many are taken."""
    where = drawn(np.array([[0.8, -0.6, 0.0]]))
    table = torch.zeros(1, STATES, ACTIONS, dtype=torch.float64)
    dose = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    survive = where.returns(probabilities({"table": table, "dose": dose})).sum()
    (exact,) = torch.autograd.grad(survive, dose)
    episode = Admissions(where, where.values(EVEN[0]), 200_000, 0)
    (slope,) = torch.autograd.grad(episode.support({"table": table, "dose": dose}).sum(), dose)
    assert float(exact[0, 0]) == pytest.approx(-0.0141, abs=1e-3)
    assert -float(slope[0, 0]) == pytest.approx(
        float(exact[0, 0]), abs=0.01
    )  # three of its standard deviations
    assert -float(slope[0, 0]) < -0.004
