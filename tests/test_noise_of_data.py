"""Noise that follows the time, and the sentence that says that one noise does not hold all measurements."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

import metasci as ms
from metasci.cli.recipes import Scatter
from metasci.data.cards import Card
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.noise import EarlyAdditive
from metasci.noises import NOISES
from metasci.priors.starting_noise import starting_noise

TIMES = np.array([0.25, 0.5, 1.0, 1.5, 2.0, 4.0, 6.0, 8.0, 12.0, 24.0])
ORAL = ms.patients.one_compartment_oral


def patients(scatter, count=16, seed=3):
    """Simulated: one dose by mouth; `scatter` gives the deviation at a time and a concentration."""
    draws = np.random.default_rng(seed)
    rows = []
    for name in range(count):
        absorbed, cleared, volume = np.array([1.5, 0.04, 0.5]) * np.exp(0.2 * draws.standard_normal(3))
        at = {"time": TIMES, "dose": np.full(len(TIMES), 5.0)}
        curve = np.asarray(ORAL(at, {"absorption_rate": absorbed, "clearance": cleared, "volume": volume}))
        value = curve + scatter(TIMES, curve) * draws.standard_normal(len(TIMES))
        rows += [(f"p{name}", time, 5.0, reading) for time, reading in zip(TIMES, value, strict=True)]
    frame = pd.DataFrame(rows, columns=["task", "time [h]", "dose [mg/kg]", "concentration [mg/L]"])
    return TaskSet.from_frame(frame, Card.from_model(ORAL))


def early(time, curve):
    return 0.1 * np.sqrt(1.0 + 16.0 * np.exp(-2.0 * time / 1.5))


def learned(tasks, model=ORAL):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        prior = ms.meta_calibrate(model, tasks, covariates=())
    return prior, [str(each.message) for each in told if "scatter about" in str(each.message)]


def test_scales_of_early_noise_are_found_again():
    prior, told = learned(patients(early, count=60), ORAL.with_noise(EarlyAdditive((0.3, 1.0, 5.0))))
    sd, ratio, over = prior.state.log_noise.exp().tolist()
    assert sd == pytest.approx(0.1, rel=0.1)
    assert ratio == pytest.approx(4.0, rel=0.3)
    assert over == pytest.approx(1.5, rel=0.4)
    assert not told


def test_early_noise_is_saved_and_loaded(tmp_path):
    model = ORAL.with_noise(EarlyAdditive((0.3, 1.0, 5.0)))
    prior, _ = learned(patients(early), model)
    prior.save(tmp_path / "prior")
    again = ms.load(tmp_path / "prior")
    assert again.model.noise == model.noise
    assert torch.equal(again.state.log_noise, prior.state.log_noise)


def test_uneven_scatter_is_told_with_the_noise_that_holds_it():
    _, told = learned(patients(early, count=40))
    assert len(told) == 1
    assert "times as much where time is below" in told[0]
    assert "--noise early-additive" in told[0]


def test_scatter_in_proportion_is_told():
    _, told = learned(patients(lambda time, curve: 0.15 * curve, count=80))
    assert len(told) == 1
    assert "--noise combined" in told[0]


@pytest.mark.parametrize("seed", range(4))
def test_even_scatter_is_not_told(seed):
    assert not learned(patients(lambda time, curve: 0.3 + 0.0 * curve, seed=seed))[1]


def test_theophylline_is_absorbed_unevenly():
    _, told = learned(ms.dataset("theophylline"))
    assert len(told) == 1
    assert "early-additive" in told[0]
    assert not learned(ms.dataset("theophylline"), ms.load("theophylline_early_noise").model)[1]


@pytest.mark.parametrize("kind", NOISES)
def test_noise_begins_where_the_data_are(kind):
    tasks = patients(early)
    noise = starting_noise(kind, tasks.batch(ORAL), ORAL)
    assert type(noise) is NOISES[kind]
    assert all(0.0 < value < math.inf for value in noise.typical)
    if kind == "additive":
        spread = tasks.batch(ORAL).output.std()
        assert noise.typical[0] == pytest.approx(0.1 * float(spread))


def test_noise_that_cannot_be_is_refused():
    tasks = patients(early)
    with pytest.raises(InputError, match="known are"):
        starting_noise("cauchy", tasks.batch(ORAL), ORAL)
    law = ms.load("alloy_fatigue").model
    with pytest.raises(InputError, match=r"needs an input 'time', and 'kinetics\.crack_growth' has cycles"):
        starting_noise("early-additive", ms.dataset("alloy_fatigue").batch(law), law)


def test_a_noise_without_its_input_is_refused():
    with pytest.raises(InputError, match="needs the input 'time'"):
        EarlyAdditive().variance(np.ones(1), np.zeros(3))


def test_the_command_line_names_every_noise() -> None:
    assert {each.value for each in Scatter} == set(NOISES)


def test_tasks_are_simulated_with_noise_that_is_greater_at_first():
    model = ORAL.with_noise(EarlyAdditive((0.05, 20.0, 0.5)))
    inputs = {"time": np.array([0.25, 24.0]), "dose": np.array([5.0, 5.0])}
    parameters = {"absorption_rate": np.full(400, 1.5), "clearance": 0.04, "volume": 0.5}
    values = ms.diagnostics.simulated_tasks(model, parameters, inputs).batch(model).output
    at_first, late = values.std(0).tolist()
    assert at_first == pytest.approx(0.05 * math.sqrt(1.0 + 400.0 * math.exp(-1.0)), rel=0.15)
    assert late == pytest.approx(0.05, rel=0.15)
