"""When a curve reaches a value: against roots of the belief's own quantiles, and against draws of curves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import optimize, stats

import metasci as ms
from metasci.errors import InputError
from metasci.studies.alloy_fatigue import life


@pytest.fixture(scope="module")
def cracks() -> ms.TaskSet:
    return ms.dataset("alloy_fatigue")


def early(tasks: ms.TaskSet, count: int) -> ms.TaskSet:
    """The first readings of each crack."""
    frame = tasks.to_frame().groupby("task", sort=False).head(count)
    return ms.TaskSet.from_frame(frame, tasks.card, model=ms.load("alloy_fatigue").model)


@ms.equation(
    inputs={"time": "h"},
    output=("level", "mg/L"),
    parameters=[
        ms.Parameter("start", "mg/L", typical=10.0, spread=2.0),
        ms.Parameter("slope", "mg/L/h", typical=-1.0, spread=0.2),
    ],
    noise=ms.Additive((0.5,)),
    name="tests.falling_line",
)
def falling(time, *, start, slope):
    """A straight line, of which all is Gaussian."""
    return start + slope * time


def test_of_a_straight_line_it_is_the_root_of_the_closed_form() -> None:
    readings = pd.DataFrame({"time [h]": [0.0, 1.0, 2.0], "level [mg/L]": [10.4, 9.1, 8.3]})
    fit = ms.Prior.declared(falling).calibrate(readings)
    found = fit.when("4 mg/L", "time", start=0.0, until="20 h", draws=20_000).table.iloc[0]
    mean, covariance = fit.adapted.coordinates[0].numpy(), fit.adapted.covariance[0].numpy()
    first, slope = (p.to_physical(at) for p, at in zip(falling.parameters, mean, strict=True))
    scale = np.array([2.0, 0.2])  # a coordinate is counted in spreads

    def below(time: float, p: float) -> float:
        """How much more than p is believed of the line to be below 4 at a time."""
        jacobian = scale * np.array([1.0, time])
        return stats.norm.cdf((4.0 - first - slope * time) / np.sqrt(jacobian @ covariance @ jacobian)) - p

    for label, p in (("earliest", 0.05), ("median", 0.5), ("latest", 0.95)):
        assert found[label] == pytest.approx(optimize.brentq(below, 1.0, 20.0, args=(p,)), rel=0.01)
    assert found["probability"] == pytest.approx(below(20.0, 0.0), abs=0.003)


def test_the_life_of_a_crack_is_that_of_the_posterior_on_a_grid(cracks: ms.TaskSet) -> None:
    """Two parameters: prior times likelihood at each place of a grid, and the life of each in closed form."""
    prior, one = ms.load("alloy_fatigue"), early(cracks.select([7]), 4)
    fit = prior.calibrate(one)
    found = fit.when(1.6, "cycles", until=1.0, draws=20_000).table.iloc[0]
    before = posterior_of(fit)
    centre, sd = fit.adapted.coordinates[0].numpy(), fit.adapted.covariance[0].diagonal().sqrt().numpy()
    axes = [np.linspace(c - 6.0 * s, c + 6.0 * s, 121) for c, s in zip(centre, sd, strict=True)]
    grid = torch.tensor(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2))
    weight = np.exp(before(grid))
    physical = prior.model.parameters.to_physical(grid.numpy())
    lives = life(physical["exponent"], physical["growth_rate"], 1.6)
    order = np.argsort(lives)
    below = np.cumsum(weight[order]) / weight.sum()
    for label, p in (("earliest", 0.05), ("median", 0.5), ("latest", 0.95)):
        assert found[label] == pytest.approx(lives[order][np.searchsorted(below, p)], rel=0.01)


def posterior_of(fit: ms.Calibration) -> Callable[[torch.Tensor], np.ndarray]:
    """Log prior times likelihood, less its greatest value, at coordinates (place, parameter)."""
    adapted, problem = fit.adapted, fit.problem
    start = adapted.start_mixture

    def log_density(grid: torch.Tensor) -> np.ndarray:
        parts = []
        for level in range(len(start.weight)):
            mean = adapted.start[0] + start.shift[level, 0]
            normal = torch.distributions.MultivariateNormal(mean, start.covariance[level, 0])
            many = problem.select(torch.zeros(len(grid), dtype=torch.long))
            costs = many.measurement_costs(
                grid, adapted.log_noise, 1.0 / start.factor[level, 0] + 0.0 * grid[:, 0]
            )
            parts.append(start.weight[level, 0].log() + normal.log_prob(grid) - costs.sum(1))
        whole = torch.logsumexp(torch.stack(parts), 0).detach()
        return (whole - whole.max()).numpy()

    return log_density


def test_lives_that_were_read_lie_in_the_intervals_as_often_as_they_say(cracks: ms.TaskSet) -> None:
    """Specimens left out in three parts, five readings each."""
    prior, inside, count = ms.load("alloy_fatigue"), 0, 0
    for part in range(3):
        new = cracks.select(np.arange(len(cracks)) % 3 == part)
        learned = prior.retrain(cracks.select(np.arange(len(cracks)) % 3 != part))
        table = learned.calibrate(early(new, 5)).when(1.3, "cycles", until=1.0).table
        for name, row in table.set_index("task").iterrows():
            read = new.select([name]).to_frame()
            reached = np.interp(1.3, read["relative_length"], read["cycles"])
            inside += row["earliest"] <= reached <= row["latest"]
            count += 1
    assert count == len(cracks)
    assert inside >= 15  # of 21 nine tenths are 19; fewer than 15 have a chance of 1 in 100


def test_with_what_the_equation_leaves_out_curves_are_drawn_too(cracks: ms.TaskSet) -> None:
    """By a median curve that reaches it once, half of the draws have."""
    fit = ms.load("alloy_fatigue_discrepancy").calibrate(early(cracks.select([7]), 5))
    found = fit.when(1.5, "cycles", draws=4000).table.iloc[0]
    predicted = fit.predict(cycles=float(found["median"]))
    assert float(predicted["median"].item()) == pytest.approx(1.5, abs=0.01)
    assert found["earliest"] < found["median"] < found["latest"]


def test_what_is_not_reached_is_said(cracks: ms.TaskSet) -> None:
    fit = ms.load("alloy_fatigue").calibrate(early(cracks.select([7]), 4))
    soon = fit.when(1.8, "cycles", until="50 kcycle")
    assert soon.table[["median", "earliest", "latest"]].isna().all(axis=None)
    assert "with a probability of 0 %" in str(soon)
    late = fit.when(1.8, "cycles")
    assert late.table["latest"].isna().all()
    assert "beyond" in str(late)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"along": "time"}, "has no input 'time'; it has cycles"),
        ({"along": "cycles", "start": 0.1, "until": 0.05}, "does not lie beyond the start"),
        ({"along": "cycles", "until": "3 h"}, "cannot be converted"),
    ],
)
def test_what_cannot_be_asked_is_refused(cracks: ms.TaskSet, asked: dict, words: str) -> None:
    fit = ms.load("alloy_fatigue").calibrate(early(cracks.select([7]), 4))
    with pytest.raises(InputError, match=words):
        fit.when(1.8, **asked)


def test_a_value_that_is_none_is_refused(cracks: ms.TaskSet) -> None:
    fit = ms.load("alloy_fatigue").calibrate(early(cracks.select([7]), 4))
    for value in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="is no value that a curve could reach"):
            fit.when(value, "cycles")


def test_another_condition_is_one_number() -> None:
    steel = ms.load("steel_tempering").calibrate(ms.dataset("steel_tempering").select([0]))
    found = steel.when("34 HRC", "time", temperature="500 degC").table.iloc[0]
    predicted = steel.predict(time=float(found["median"]), temperature="500 degC")
    assert float(predicted["median"].item()) == pytest.approx(
        34.0, abs=0.1
    )  # within the first minute of 32 hours
    with pytest.raises(InputError, match="temperature: give one number"):
        steel.when("45 HRC", "time", temperature=[500, 600] * ms.unit("degC"))


def test_the_command_says_what_python_says(tmp_path: Path, capsys, cracks: ms.TaskSet) -> None:
    from metasci.cli.main import run

    one = early(cracks.select([7]), 4)
    one.to_frame().to_csv(tmp_path / "crack.csv", index=False)
    call = ["when", "alloy_fatigue", str(tmp_path / "crack.csv"), "--reaches", "1.8", "--along", "cycles"]
    assert run([*call, "--until", "300 kcycle", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["when"][0]
    known = ms.load("alloy_fatigue").calibrate(one).when(1.8, "cycles", until=0.3).table.iloc[0]
    assert said["median"] == pytest.approx(known["median"], rel=1e-9)
    assert said["latest"] == pytest.approx(known["latest"], rel=1e-9)
    assert run([*call[:3], "--reaches", "1.8"]) == 2
