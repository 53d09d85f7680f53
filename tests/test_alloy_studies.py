"""Studies of alloys in small: baselines against closed forms, simulated truths, and what is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import metasci as ms
from metasci.data.cards import Card, Column
from metasci.errors import InputError
from metasci.evaluation.evaluate import held_out
from metasci.evaluation.protocol import Protocol
from metasci.kinetics import crack_growth, tempering_rockwell, yield_strength
from metasci.meta import GaussianPrior
from metasci.studies import (
    alloy_fatigue,
    avrami,
    high_entropy_alloys,
    softening_laws,
    softening_models,
    steel_tempering,
)
from metasci.studies.baselines import Table, parts_of, tabular_results

# baselines --------------------------------------------------------------------------------------


class Nothing:
    """An estimator that predicts zero."""

    def fit(self, features: np.ndarray, output: np.ndarray) -> Nothing:
        return self

    def predict(self, features: np.ndarray) -> np.ndarray:
        return np.zeros(len(features))


def shifted_tasks(between: float, within: float, tasks: int = 300, size: int = 6) -> Table:
    draw = np.random.default_rng(0)
    level = between * draw.standard_normal(tasks)
    output = [level[task] + within * draw.standard_normal(size) for task in range(tasks)]
    return Table([np.zeros((size, 1))] * tasks, output, np.arange(tasks))


@pytest.mark.parametrize("shots", [0, 1, 3])
def test_the_shift_is_the_best_linear_prediction_of_a_level(shots: int) -> None:
    """RMSE must be √(σ² + τ²σ²/(σ² + kτ²)), and 90 % intervals must cover 90 %."""
    table = shifted_tasks(2.0, 1.0)
    protocol = Protocol(support="random", shots=(0, 1, 3), aggregate="pooled")
    found = tabular_results(table, {"zero": Nothing}, protocol, folds=3, seeds=2)
    row = next(row for row in found if row["shots"] == shots)
    left = 4.0 / (1.0 + 4.0 * shots)
    assert row["rmse"] == pytest.approx(np.sqrt(1.0 + left), rel=0.06)
    assert row["coverage90"] == pytest.approx(0.9, abs=0.03)


def test_baselines_hold_out_what_the_learned_prior_holds_out() -> None:
    tasks = ms.dataset("alloy_fatigue")
    prior = ms.meta_calibrate(crack_growth, tasks, GaussianPrior(iterations=2))
    ours = [np.asarray(tasks.names)[held].tolist() for held in parts_of(tasks.groups("specimen"), 4)]
    assert ours == [list(new.names) for _, new in held_out(prior, tasks, "specimen", 4)]


# fatigue ----------------------------------------------------------------------------------------


def test_life_inverts_the_equation() -> None:
    said = {"exponent": np.array([0.3, 1.6]), "growth_rate": np.array([5.0, 3.0])}
    cycles = alloy_fatigue.life(**said)
    np.testing.assert_allclose(crack_growth({"cycles": cycles}, said), alloy_fatigue.FAILURE, rtol=1e-12)


def test_lives_are_forecast_from_the_first_readings_only() -> None:
    tasks = ms.dataset("alloy_fatigue")
    assert np.isinf(alloy_fatigue.read_life(tasks, "21"))
    assert 0.08 < alloy_fatigue.read_life(tasks, "1") < 0.1
    prior = ms.load("alloy_fatigue")
    fit = alloy_fatigue.first_readings(prior, tasks.select(["1"]), 3)
    seen = fit.batch.inputs["cycles"][fit.batch.mask]
    np.testing.assert_allclose(seen, [0.01, 0.02, 0.03])


# transformations, simulated -----------------------------------------------------------------------


def test_kissinger_gives_back_the_simulated_energy() -> None:
    found = avrami.kissinger_check(energy=180.0)
    assert found.attrs["activation_energy"] == pytest.approx(180.0, rel=0.01)


def test_two_temperatures_tell_the_activation_energy_and_one_does_not() -> None:
    found = avrami.identified(avrami.learned(count=12), count=8).set_index(["design", "parameter"])
    left = found["left"].unstack()["activation_energy"]
    assert left["two temperatures, 60 K apart"] < 0.3 < 0.5 < left["one temperature"]
    assert left["one heating run"] > 0.5
    assert (found["drawn"].groupby("design").mean() > 0.6).all()


def test_intervals_hold_the_truth_of_alloys_that_are_spread_as_the_prior_believes() -> None:
    prior = avrami.learned(count=12)
    found = avrami.identified(prior, truths=avrami.as_believed(prior, 36)).set_index(["design", "parameter"])
    mean = found["drawn"].mean()  # fifteen shares of 36 alloys, dependent
    assert 0.84 < mean < 0.96


# high-entropy alloys ------------------------------------------------------------------------------


def test_composition_is_told_by_means_and_spreads() -> None:
    pytest.importorskip("chemicals")
    pytest.importorskip("rdkit")
    told = high_entropy_alloys.composition_covariates("Al1 Ni1")
    assert told["mean_melting_temperature"] == pytest.approx(0.5 * (0.93347 + 1.728), rel=1e-3)
    assert told["spread_melting_temperature"] == pytest.approx(0.5 * (1.728 - 0.93347), rel=1e-3)
    assert told["mixing_entropy"] == pytest.approx(np.log(2.0))
    alone = high_entropy_alloys.composition_covariates("Nb1")
    assert alone["spread_radius"] == alone["mixing_entropy"] == 0.0
    with pytest.raises(InputError, match="is not a formula"):
        high_entropy_alloys.fractions("Al-Ni")


def test_the_compilation_is_read_and_repeated_rows_are_taken_once() -> None:
    pytest.importorskip("chemicals")
    pytest.importorskip("rdkit")
    whole = ms.dataset("mpea", model=yield_strength)
    assert (len(whole), int(whole.counts.sum())) == (395, 1067)
    tasks = high_entropy_alloys.alloys()
    assert (len(tasks), int(tasks.counts.sum())) == (395, 1005)
    assert "Al-Co-Cr-Fe-Ni" in set(tasks.groups("system").tolist())
    table = high_entropy_alloys.as_table(tasks)
    assert sum(map(len, table.output)) == 1005
    kelvin = tasks.batch(yield_strength).inputs["temperature"]
    assert float(kelvin.min()) == pytest.approx(4.35, abs=0.01)


def test_a_compilation_may_lack_outputs_and_order_another_table_may_not(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("alloy,t,y\na,1,5\nb,1,\na,1,6\n")
    columns = (
        Column("alloy", "alloy", "task"),
        Column("t", "t", "input", "s"),
        Column("y", "y", "output", "1"),
    )
    card = Card("all", task=("alloy",), columns=columns)
    with pytest.raises(InputError, match="row 3: the cell is empty"):
        ms.TaskSet.from_csv(tmp_path / "all.csv", card)
    loose = Card("all", task=("alloy",), columns=columns, compilation=True)
    assert ms.TaskSet.from_csv(tmp_path / "all.csv", loose).counts.tolist() == [2]


# laws ---------------------------------------------------------------------------------------------


def surface(**changed: float) -> np.ndarray:
    values = {"level": 42.0, "by_time": -2.0, "by_temperature": -6.0, "by_both": 0.0}
    values |= {"by_time_squared": 0.0, "by_temperature_squared": 0.0} | changed
    model = softening_models.softening_surface
    time, kelvin = (values[None] for values in softening_models.grid())
    found = softening_models.SoftensEverywhere().violation(
        lambda inputs: model(inputs, values), {"time": time, "temperature": kelvin}
    )
    return found.numpy()


def test_what_breaks_the_law_of_softening_is_found_and_measured() -> None:
    assert surface().max() == 0.0
    step = np.log10(softening_models.TIMES[1] / softening_models.TIMES[0]) / 5
    assert surface(by_time=1.0).max() == pytest.approx(step)  # harder by one for ten times the time
    assert surface(level=10.0).max() == pytest.approx(-(10.0 - 2.0 * np.log10(32.0) - 6.0 * 3.04), rel=1e-6)


def test_the_law_is_checked_everywhere_from_few_points() -> None:
    model, rising = (
        softening_models.softening_surface,
        torch.tensor([[[0.0, 0.0, 0.0, 0.0, 0.0, 3.0]]], dtype=torch.float64),
    )
    here = {
        "time": torch.full((1, 3), 60.0),
        "temperature": torch.full((1, 3), 400.0),
    }  # far from where it rises
    here = {name: values.double() for name, values in here.items()}
    found = softening_models.SoftensEverywhere().violation(
        lambda inputs: model.at(rising.expand(1, 3, 6), inputs), here
    )
    assert found.shape == (1, 3)
    assert float(found.max()) > 0.5


def test_the_kinetic_equation_never_breaks_its_laws_and_a_forest_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    small = ensemble.RandomForestRegressor(20, min_samples_leaf=2, random_state=0)
    monkeypatch.setattr(steel_tempering, "forest", lambda: small)
    tasks = ms.dataset("steel_tempering", model=tempering_rockwell)
    tasks = tasks.select(np.flatnonzero(np.asarray(tasks.counts) >= 17)[::2])
    chosen = ["kinetic equation, Gaussian prior", softening_laws.FOREST]
    found = softening_laws.summary(softening_laws.law_scores(tasks, folds=2, seeds=1, chosen=chosen))
    assert found["models that break a law (%)"].iloc[0] == 0.0
    assert found["RMSE above"].iloc[0] < found["RMSE above"].iloc[1]


def test_a_forest_sees_composition_and_the_hollomon_jaffe_parameter() -> None:
    tasks = ms.dataset("steel_tempering", model=tempering_rockwell).select([0])
    table = steel_tempering.as_table(tasks)
    assert table.features[0].shape == (len(table.output[0]), 3 + 11)
    hour = np.isclose(table.features[0][:, 1], np.log10(3600.0))
    np.testing.assert_allclose(table.features[0][hour, 0], 0.02 * table.features[0][hour, 2], rtol=1e-12)
