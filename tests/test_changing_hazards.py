"""A hazard that follows a biomarker's course: rows from look to look, against closed forms and SciPy's minimum."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import optimize, stats

import metasci as ms
from metasci.math import exp, integral, log, where
from metasci.meta.laplace.gauss_newton import map_estimate
from metasci.meta.laplace.gaussian import GaussianPrior

LEVEL, SLOPE, LINK, BASE, NOISE = 1.0, 0.08, 0.8, -5.0, 0.2
LOOKS = np.arange(0.0, 25.0)


@ms.equation(
    inputs={"start": "day", "stop": "day", "output": "1"},
    output=("seen", "1"),
    name="tests.joint_course",
    parameters=[
        ms.Parameter("level", "1", typical=LEVEL, spread=0.5),
        ms.Parameter("slope", "1/day", typical=SLOPE, spread=0.06),
        ms.Parameter("link", "1", typical=0.5, spread=0.5, shared=True),
        ms.Parameter("base", "1", typical=-4.0, spread=1.0, shared=True),
    ],
    noise=ms.outcomes.Mixed(by="output", kinds=(ms.Additive((NOISE,)), ms.outcomes.Bernoulli(of="cloglog"))),
)
def course(start: Any, stop: Any, output: Any, *, level: Any, slope: Any, link: Any, base: Any) -> Any:
    """A biomarker at `stop` (1), and the logarithm of the hazard summed from `start` to `stop` (2)."""
    until = where(output < 1.5, start + 1.0, stop)

    def hazard(time: Any) -> Any:
        return exp(base + link * (level + slope * time))

    return where(output < 1.5, level + slope * stop, log(integral(hazard, start, until)))


def summed(level: Any, slope: Any, start: Any, stop: Any, link: float = LINK, base: float = BASE) -> Any:
    """The hazard's integral in closed form."""
    rate = link * slope
    return np.exp(base + link * level) * (np.exp(rate * stop) - np.exp(rate * start)) / rate


def patients(count: int, seed: int) -> tuple[ms.TaskSet, np.ndarray]:
    """Simulated: a biomarker on four days, and looks once a day until the event or day 24."""
    random = np.random.default_rng(seed)
    rows, truth = [], []
    for patient in range(count):
        level, slope = random.normal([LEVEL, SLOPE], [0.5, 0.04])
        truth.append((level, slope))
        for day in (0.0, 4.0, 8.0, 12.0):
            seen = level + slope * day + NOISE * random.normal()
            rows.append((f"p{patient}", day, day, 1, seen))
        left = random.exponential()
        for start, stop in pairwise(LOOKS):
            left -= summed(level, slope, start, stop)
            rows.append((f"p{patient}", start, stop, 2, float(left < 0.0)))
            if left < 0.0:
                break
    table = pd.DataFrame(rows, columns=["task", "start [day]", "stop [day]", "output", "seen"])
    return ms.TaskSet.from_frame(table, ms.Card.from_model(course), model=course), np.array(truth)


@pytest.fixture(scope="module")
def learned() -> ms.Prior:
    tasks, _ = patients(150, 0)
    return ms.meta_calibrate(course, tasks, GaussianPrior(objective="marginal", correlated=False))


def test_rows_from_look_to_look_multiply_to_the_chance_of_the_whole() -> None:
    outcome = ms.outcomes.Bernoulli(of="cloglog")
    rows = np.log(summed(1.2, 0.1, LOOKS[:-1], LOOKS[1:]))
    event = (np.arange(len(rows)) == len(rows) - 1).astype(float)
    told = outcome.log_density(event, rows, ()).sum()
    until = [summed(1.2, 0.1, 0.0, stop) for stop in LOOKS[-2:]]
    assert told == pytest.approx(np.log(np.exp(-until[0]) - np.exp(-until[1])), abs=1e-10)


def test_the_integral_is_the_closed_form_in_every_library() -> None:
    import pytensor.tensor as pt

    expected = summed(1.2, 0.1, 0.0, 20.0)
    ends = np.array([0.0]), np.array([20.0])

    def hazard(time: Any) -> Any:
        return exp(BASE + LINK * (1.2 + 0.1 * time))

    assert integral(hazard, *ends) == pytest.approx(expected, rel=1e-12)
    assert integral(hazard, *map(torch.tensor, ends)).numpy() == pytest.approx(expected, rel=1e-12)
    assert integral(hazard, *map(pt.as_tensor, ends)).eval() == pytest.approx(expected, rel=1e-12)


def test_what_is_the_same_for_all_is_found_again(learned: ms.Prior) -> None:
    table = learned.calibrate(patients(1, 5)[0]).parameters.set_index("name")
    for name, truth in (("link", LINK), ("base", BASE)):
        row = table.loc[name]
        sd = (row["upper"] - row["lower"]) / (2.0 * stats.norm.ppf(0.95))
        assert 0.02 < sd < 0.5
        assert abs(row["prior"] - truth) < 2.5 * sd
    assert table["prior"][["level", "slope"]].to_numpy() == pytest.approx([LEVEL, SLOPE], abs=0.1)


def test_a_patient_s_estimate_is_the_minimum_of_the_closed_form(learned: ms.Prior) -> None:
    """One patient with an event: what SciPy finds for the density that is written out here."""
    tasks, _ = patients(12, 7)
    which = next(at for at in range(12) if tasks.counts[at] < 4 + len(LOOKS) - 1)
    one = tasks.select([which])
    batch, problem = learned.batch(one), learned.problem(learned.batch(one))
    precision = torch.linalg.inv(learned.state.covariance)
    mean = learned.state.coefficients[:, 0]
    found = (
        map_estimate(problem, mean[None], precision[None], learned.state.log_noise, tolerance=1e-9)
        .coordinates[0]
        .numpy()
    )
    inputs = {name: values[0].numpy() for name, values in batch.inputs.items()}
    output, seen = inputs["output"], batch.output[0].numpy()
    noise = float(learned.state.log_noise[0].exp())

    def cost(z: np.ndarray) -> float:
        level, slope, link, base = (
            float(p.to_physical(at)) for p, at in zip(course.parameters, z, strict=True)
        )
        off = seen - level - slope * inputs["stop"]
        each = summed(level, slope, inputs["start"], inputs["stop"], link, base)
        event = np.where(seen > 0.5, np.log(-np.expm1(-np.maximum(each, 1e-12))), -each)
        told = np.where(output < 1.5, stats.norm.logpdf(off, scale=noise), event).sum()
        return float(0.5 * (z - mean.numpy()) @ precision.numpy() @ (z - mean.numpy()) - told)

    best = optimize.minimize(cost, mean.numpy(), method="BFGS", options={"gtol": 1e-8}).x
    best = optimize.minimize(cost, best, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13}).x
    np.testing.assert_allclose(found, best, atol=1e-5)
    assert abs(found[0] - float(mean[0])) > 0.05  # the readings were listened to


def test_a_biomarker_tells_of_the_event(learned: ms.Prior) -> None:
    """Chance of an event within eight days, from four readings and no look."""
    tasks, truth = patients(100, 9)
    early = tasks.dataset.where(tasks.dataset["output"] < 1.5)
    rows = early[["start", "stop", "output", "seen"]].to_dataframe().reset_index().dropna()
    rows = rows.drop(columns="observation").rename(columns={"start": "start [day]", "stop": "stop [day]"})
    fit = learned.calibrate(rows)
    forecast = fit.predict(start=[12.0], stop=[20.0], output=[2.0])
    told = forecast["mean"].values[:, 0]
    exact = -np.expm1(-summed(*truth.T, 12.0, 20.0))
    nobody = float(forecast["prior"].values[0, 0])
    order = fit.batch.names
    exact = np.array([exact[int(name[1:])] for name in order])
    assert np.abs(told - exact).mean() < 0.5 * np.abs(nobody - exact).mean()
    assert stats.spearmanr(told, exact).statistic > 0.8


@ms.equation(
    inputs={"start": "day", "stop": "day"},
    output=("seen", "1"),
    name="tests.gompertz_by_rows",
    parameters=[
        ms.Parameter("base", "1", typical=-3.0, spread=0.5),
        ms.Parameter("slope", "1/day", typical=0.02, spread=0.02),
    ],
    noise=ms.outcomes.Bernoulli(of="cloglog"),
)
def gompertz(start, stop, *, base, slope):
    """A hazard that grows exponentially, row by row."""
    return log(integral(lambda day: exp(base + slope * day), start, stop))


def rows_of(*rows: tuple[float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["start [day]", "stop [day]", "seen"])


def test_a_row_of_no_length_without_an_event_tells_nothing() -> None:
    prior = ms.Prior.declared(gompertz)
    looks = (0.0, 8.0, 0.0), (8.0, 16.0, 1.0)
    fit = prior.calibrate(rows_of(looks[0], (8.0, 8.0, 0.0), looks[1]))
    known = prior.calibrate(rows_of(*looks))
    assert fit.adapted.coordinates.numpy() == pytest.approx(known.adapted.coordinates.numpy(), abs=1e-6)
    assert fit.adapted.covariance.numpy() == pytest.approx(known.adapted.covariance.numpy(), rel=1e-5)


def test_a_row_of_no_length_with_an_event_is_an_event_at_that_very_time() -> None:
    """The mode against that of prior times h(12) e^(−H(12)), in closed form."""
    fit = ms.Prior.declared(gompertz).calibrate(rows_of((0.0, 8.0, 0.0), (8.0, 12.0, 0.0), (12.0, 12.0, 1.0)))

    def cost(at: np.ndarray) -> float:
        base, slope = at
        hazard = base + slope * 12.0
        summed_up = np.exp(base) * np.expm1(slope * 12.0) / slope
        return summed_up - hazard + 0.5 * (((base + 3.0) / 1.0) ** 2 + ((slope - 0.02) / 0.04) ** 2)

    best = optimize.minimize(
        cost, [-3.0, 0.02], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}
    ).x
    assert fit.table()["estimate"].to_numpy() == pytest.approx(best, abs=1e-4)


def test_a_row_that_ends_before_it_starts_is_named_with_its_conditions() -> None:
    fit = ms.Prior.declared(gompertz).calibrate(rows_of((0.0, 8.0, 0.0), (8.0, 7.0, 0.0)))
    assert "at measurement 2 (start 8 day, stop 7 day, seen 0)" in fit.warnings[0]


def test_integrals_that_are_not_exact_are_told() -> None:
    """e^(5t) over 60 days grows by e³⁰⁰; over 3 days it is exact."""

    def steep(days: float) -> list[str]:
        fit = ms.Prior.declared(grows_steeply).calibrate(
            pd.DataFrame({"until [day]": [days], "seen": [float(np.expm1(5.0 * days) / 5.0)]})
        )
        return [each for each in fit.warnings if "integrals of the equation are not exact" in each]

    assert steep(3.0) == []
    assert len(steep(60.0)) == 1


@ms.equation(
    inputs={"until": "day"},
    output=("seen", "1"),
    name="tests.steep_integral",
    parameters=[ms.Parameter("rate", "1/day", typical=5.0, spread=0.1)],
    noise=ms.LogNormal((0.1,)),
)
def grows_steeply(until, *, rate):
    """An integral."""
    return integral(lambda day: exp(rate * day), 0.0 * until, until)


def test_the_integral_of_an_exponential_is_as_exact_as_it_says() -> None:
    for growth, exact in ((20.0, 1e-13), (40.0, 1e-8), (100.0, 5e-4)):
        found = float(integral(np.exp, np.array(0.0), np.array(growth)))
        assert found == pytest.approx(np.expm1(growth), rel=exact)
