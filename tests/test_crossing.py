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
from metasci.data.conditions import followed
from metasci.errors import InputError
from metasci.fits.posterior import posterior_draws
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


def test_a_line_that_may_be_past_the_value_from_the_start_says_how_likely() -> None:
    """Most of what is believed lies below 7.5 at the start already, and the rest falls below it soon."""
    readings = pd.DataFrame({"time [h]": [0.0, 1.0, 2.0], "level [mg/L]": [10.4, 9.1, 8.3]})
    fit = ms.Prior.declared(falling).calibrate(readings)
    late = fit.predict(time=3.0)
    median, upper = (float(late[name].item()) for name in ("median", "curve_upper"))
    value = median + 0.5 * (upper - median) / stats.norm.ppf(0.95)  # half a standard deviation above the line
    found = fit.when(value, "time", start=3.0, until="20 h", draws=20_000)
    row = found.table.iloc[0]
    assert row["below"] == pytest.approx(stats.norm.cdf(0.5), abs=0.02)
    assert row["probability"] == pytest.approx(stats.norm.sf(0.5), abs=0.02)
    assert row["median"] == row["earliest"] == 3.0 < row["latest"] < 6.0
    assert f"already at 3 h with a probability of {100.0 * row['below']:.3g} %" in str(found)
    close = fit.when(median - 0.5 * (upper - median) / stats.norm.ppf(0.95), "time", start=3.0, until="20 h")
    assert close.table["median"].item() > 3.0 == close.table["earliest"].item()
    assert "interval before 3 h to" in str(close)
    assert "level stays below 9 mg/L from 10 h to 20 h" in str(fit.when(9.0, "time", start=10.0, until=20.0))


def test_levels_between_doses_are_those_of_the_closed_form() -> None:
    """Troughs just before a dose, of forty doses within two thousand hours."""
    times = 48.0 * np.arange(40)
    doses = pd.DataFrame(
        {"time [h]": times, "dose [mg]": 12.0, "concentration [mg/L]": np.nan, "weight [kg]": 1.5}
    )
    reading = pd.DataFrame({"time [h]": [60.0], "concentration [mg/L]": [14.0], "weight [kg]": [1.5]})
    table = pd.concat([doses, reading]).sort_values("time [h]")
    fit = ms.load("phenobarbital").calibrate(table)
    values = fit.prior.model.parameters.to_physical(posterior_draws(fit, draws=1000).coordinates.numpy())
    rate = values["clearance"] / values["volume"]
    peak = 12.0 / (1.5 * values["volume"])

    def first_below(value: float, start: float) -> np.ndarray:
        level, before = peak + 0.0, np.full(1000, np.inf)
        for at in times:
            # of one dose after the other, while nothing was below it
            reached = at + np.log(level / value) / rate
            before = np.where(np.isinf(before) & (reached < at + 48.0) & (reached > start), reached, before)
            level = level * np.exp(-48.0 * rate) + peak
        return before

    expected = first_below(14.0, 481.0)
    found = fit.when(14.0, "time", start=481.0, until=2000.0 - 81.0, draws=1000).table.iloc[0]
    known = np.quantile(expected, [0.5, 0.05, 0.95], method="inverted_cdf")
    assert found["probability"] == pytest.approx(np.isfinite(expected).mean(), abs=0.002)
    for name, place in zip(("median", "earliest", "latest"), known, strict=True):
        assert found[name] == pytest.approx(place, abs=0.05) if np.isfinite(place) else np.isnan(found[name])


def test_covariates_that_are_carried_forward_are_as_if_they_were_said() -> None:
    fit = ms.load("quinidine").calibrate(ms.dataset("quinidine").select([0]))
    own = {name: float(fit.batch.inputs[name][0, 0]) for name in followed(fit.prior.model)}
    carried, said = (fit.when("2 mg/L", "time", start=1, until=30, **each).table for each in ({}, own))
    assert 0.1 < carried["probability"].item() < 0.5
    pd.testing.assert_frame_equal(carried, said)


def test_an_answer_beyond_what_the_prior_knows_says_so(cracks: ms.TaskSet) -> None:
    fit = ms.load("alloy_fatigue").calibrate(early(cracks.select([7]), 4))
    assert fit.when(1.2, "cycles").extrapolates == ""
    assert "so the forecast extrapolates" in fit.when(1.8, "cycles", until=0.3).extrapolates


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
    assert "relative length stays below 1.8 from" in str(soon)
    late = fit.when(1.8, "cycles")
    assert late.table["latest"].isna().all()
    assert "beyond" in str(late)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"along": "cycles", "cycles": 0.1}, "cycles is what is followed"),
        ({"along": "cycles", "until": float("inf")}, "until: inf is no place along cycles"),
        ({"along": "cycles", "start": float("nan")}, "start: nan is no place along cycles"),
        ({"along": "cycles", "draws": 1.5}, "whole number of draws"),
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


def test_doses_alone_are_asked_when_as_an_event_table_of_them_is() -> None:
    """Nothing is measured yet; the answer is that of the prior, by draws of the closed form."""
    doses = pd.DataFrame({"time [h]": [0.0, 12.0], "dose [mg]": [25.0, 5.0], "concentration [mg/L]": np.nan})
    plain = ms.load("phenobarbital").calibrate(doses.assign(**{"weight [kg]": 1.4}))
    events = pd.DataFrame(
        {"ID": "b", "TIME [h]": [0.0, 12.0], "AMT [mg]": [25.0, 5.0], "DV [mg/L]": np.nan, "EVID": 1}
    )
    told = ms.load("phenobarbital").calibrate(events.assign(**{"weight [kg]": 1.4}))
    asked = {"value": "15 mg/L", "along": "time", "start": 13.0, "until": 400.0, "draws": 4000}
    found, same = (fit.when(**asked).table.iloc[0] for fit in (plain, told))
    random = np.random.default_rng(3)
    start = plain.adapted.start_mixture  # Gaussians, of which each is drawn from by its weight
    centre, counts = plain.adapted.start[0].numpy(), random.multinomial(100_000, start.weight[:, 0].numpy())
    drawn = [
        random.multivariate_normal(
            centre + start.shift[level, 0].numpy(), start.covariance[level, 0].numpy(), count
        )
        for level, count in enumerate(counts)
    ]
    values = plain.prior.model.parameters.to_physical(np.concatenate(drawn))
    rate, volume = values["clearance"] / values["volume"], 1.4 * values["volume"]
    level = 25.0 / volume * np.exp(-13.0 * rate) + 5.0 / volume * np.exp(-rate)
    reached = np.where(level > 15.0, 13.0 + np.log(level / 15.0) / rate, 13.0)
    assert found["below"] == pytest.approx((level < 15.0).mean(), abs=0.03)
    for name, p in (("median", 0.5), ("earliest", 0.05), ("latest", 0.95)):
        assert found[name] == pytest.approx(same[name], rel=1e-6)
        assert found[name] == pytest.approx(np.quantile(reached, p), abs=3.0)  # of a spread of 37 h
