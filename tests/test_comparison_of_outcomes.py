"""The comparison with hierarchical Bayes where outcomes are classes or of several kinds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.special
import torch

pytest.importorskip("pymc")

import metasci as ms
from metasci.bayes.scores import LEVELS, HeldOut
from metasci.bayes.scoring import spreads
from metasci.math import exp, log, stack, where
from metasci.noise import Proportional
from metasci.outcomes import Bernoulli, Categorical, Mixed

PHASES = Categorical(classes=("fcc", "bcc", "mixed"))


@ms.equation(
    inputs={"x": "1"}, output=("phase", "1"), noise=PHASES, name="tests.compared_phase",
    parameters=[ms.Parameter(name, "1", 0.0, spread=0.8) for name in ("bcc", "mixed")],
)  # fmt: skip
def phase(x, *, bcc, mixed):  # type: ignore[no-untyped-def]
    """Log-odds of two phases against the first."""
    return stack([bcc + x, mixed - x])


@ms.equation(
    inputs={"time": "h", "output": "1"}, output=("seen", "mg/L"), name="tests.compared_effect",
    parameters=[
        ms.Parameter("initial", "mg/L", 10.0, positive=True, spread=0.4),
        ms.Parameter("rate", "1/h", 0.1, positive=True, spread=0.5),
    ],
    noise=Mixed(by="output", kinds=(Proportional((0.15,)), Bernoulli())),
)  # fmt: skip
def effect(time, output, *, initial, rate):  # type: ignore[no-untyped-def]
    """A concentration that falls (output 1), and log-odds of an effect that follow the exposure (2)."""
    return where(output < 1.5, initial * exp(-rate * time), -5.0 + 1.2 * log(initial / rate))


def phases(tasks: int, count: int = 10) -> pd.DataFrame:
    """Simulated."""
    random = np.random.default_rng(0)
    z, x = 0.8 * random.normal(size=(tasks, 2, 1)), random.normal(size=(tasks, count))
    drawn = PHASES.sample(np.stack([z[:, 0] + x, z[:, 1] - x], -1), (), None, random).astype(int)
    task = np.repeat([f"t{at}" for at in range(tasks)], count)
    return pd.DataFrame({"task": task, "x": x.ravel(), "phase": np.array(PHASES.classes)[drawn.ravel()]})


def effects(tasks: int) -> pd.DataFrame:
    """Simulated."""
    random, rows = np.random.default_rng(0), []
    for task in range(tasks):
        initial, rate = 10.0 * np.exp(0.4 * random.normal()), 0.1 * np.exp(0.5 * random.normal())
        for time in (1.0, 4.0, 8.0, 12.0):
            level = initial * np.exp(-rate * time) * (1.0 + 0.15 * random.normal())
            rows.append((f"p{task}", time, 1.0, round(float(level), 3)))
        yes = scipy.special.expit(-5.0 + 1.2 * np.log(initial / rate)) > random.random(4)
        rows += [(f"p{task}", 24.0, 2.0, float(each)) for each in yes]
    return pd.DataFrame(rows, columns=["task", "time [h]", "output", "seen [mg/L]"])


def read(frame: pd.DataFrame, model: ms.Model) -> ms.TaskSet:
    return ms.TaskSet.from_frame(frame, ms.Card.from_model(model), model=model)


def test_of_two_classes_errors_are_those_of_yes_or_no() -> None:
    random = np.random.default_rng(0)
    p, yes = random.random(200), (random.random(200) < 0.5).astype(float)
    held = HeldOut()
    held.add_classes(yes, np.stack([1.0 - p, p], 1), np.log(np.where(yes == 1.0, p, 1.0 - p)))
    found = held.stacked()
    np.testing.assert_allclose(found["error"], np.abs(p - yes))
    np.testing.assert_allclose(found["crps"], (p - yes) ** 2)
    np.testing.assert_allclose(found["pit"], np.where(yes == 1.0, 1.0 - 0.5 * p, 0.5 * (1.0 - p)))
    likelier = np.where(yes == 1.0, p, 1.0 - p) >= 0.5
    for place, level in enumerate(LEVELS):
        both = np.maximum(p, 1.0 - p) < level  # then the set needs both classes
        np.testing.assert_array_equal(found["covered"][:, place], (likelier | both).astype(float))


def test_a_set_of_classes_holds_at_least_what_it_says() -> None:
    random = np.random.default_rng(1)
    p = random.dirichlet(np.ones(5), 20_000)
    drawn = (random.random((len(p), 1)) > p.cumsum(1)).sum(1).astype(float)
    held = HeldOut()
    held.add_classes(drawn, p, np.zeros(len(p)))
    assert (held.stacked()["covered"].mean(0) > np.array(LEVELS) - 0.005).all()
    assert held.stacked()["pit"].mean() == pytest.approx(0.5, abs=0.01)


def test_classes_are_compared_with_pymc(tmp_path: Path) -> None:
    tasks = read(phases(36), phase)
    prior = ms.meta_calibrate(phase, tasks.select(range(24)), ms.GaussianPrior(iterations=20))
    compared = ms.bayes.compare(
        prior, tasks.select(range(24, 36)), known=tasks.select(range(24)), shots=3, draws=300, tune=300,
        keep=tmp_path / "draws",
    )  # fmt: skip
    found = ms.bayes.summary(compared)
    assert found["error_name"] == "root of half Brier's score"
    assert abs(found["nlpd_difference"]) < 0.05
    assert found["rmse_ratio"] == pytest.approx(1.0, abs=0.05)
    assert found["nlpd"]["pymc"] < np.log(3.0)
    # what the learned prior says of one task, by its own door
    batch = prior.batch(tasks.select([24]))
    from metasci.evaluation.protocol import Protocol, split_tasks
    from metasci.fits.predictive import predictive

    split = split_tasks(
        prior.batch(tasks.select(range(24, 36))).mask, 3, Protocol.from_card(tasks.card), seeds=1
    )
    adapted = prior.adapt(batch.with_mask(batch.mask & split.support[[0]]))
    forecast = predictive(prior.problem(batch.with_mask(split.query[[0]])), adapted)
    own = compared.isel(measurement=compared["measured_task"].values == "t24")
    np.testing.assert_allclose(
        own["log_density"].isel(forecaster=0), forecast.log_density()[0, split.query[0]], rtol=1e-9
    )
    ms.report.save_comparison(compared, tmp_path / "compared")
    text = (tmp_path / "compared" / "report.html").read_text(encoding="utf-8")
    assert "root of half Brier&#x27;s score" in text


def test_outputs_of_several_kinds_are_compared_with_pymc_each_by_its_own_spread(tmp_path: Path) -> None:
    tasks = read(effects(30), effect)
    prior = ms.meta_calibrate(effect, tasks.select(range(20)), ms.GaussianPrior(iterations=20))
    compared = ms.bayes.compare(
        prior, tasks.select(range(20, 30)), known=tasks.select(range(20)), shots=2, draws=300, tune=300,
        keep=tmp_path / "draws",
    )  # fmt: skip
    unit = spreads(effect.noise, compared)
    which, seen = compared["output"].values, compared["measured"].values
    for place in (1.0, 2.0):
        np.testing.assert_allclose(unit[which == place], seen[which == place].std())
    off = seen - compared["median"].isel(forecaster=0).values
    np.testing.assert_allclose(compared["error"].isel(forecaster=0), off / unit, atol=1e-12)
    found = ms.bayes.summary(compared)
    assert abs(found["nlpd_difference"]) < 0.05
    assert found["rmse_ratio"] == pytest.approx(1.0, abs=0.05)
    assert torch.isfinite(torch.as_tensor(compared["pit"].values)).all()
