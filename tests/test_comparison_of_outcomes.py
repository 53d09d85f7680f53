"""The comparison with hierarchical Bayes where outcomes are classes or of several kinds."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.special
import torch
import xarray as xr

pytest.importorskip("pymc")

import metasci as ms
from metasci.bayes import comparison
from metasci.bayes.folds import GIVEN, Arrangement, Fold
from metasci.bayes.joint import Joint, together
from metasci.bayes.sampling import Posterior
from metasci.bayes.scores import LEVELS, HeldOut
from metasci.bayes.scoring import spreads
from metasci.data.batch import Batch
from metasci.evaluation.protocol import Protocol, split_tasks
from metasci.fits.predictive import predictive
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


def laplace(prior: ms.Prior, old: Batch, new: Batch | None = None, support: Any = None, **_: Any) -> Joint:
    """Draws of every task's Laplace posterior under the learned prior, in the place of PyMC's."""
    batch, random, count = together(old, new, support), np.random.default_rng(0), 3000
    adapted, state = prior.adapt(batch), prior.state
    root = torch.linalg.cholesky(adapted.covariance).numpy()
    normal = random.standard_normal((count, *adapted.coordinates.shape))
    mean, covariance = state.mean.numpy(), (state.covariance * state.widening).numpy()
    sd = np.sqrt(np.diag(covariance))
    jitter = 0.05 * random.standard_normal((count, len(mean)))
    draws = {
        "coordinates": adapted.coordinates.numpy() + np.einsum("tij,dtj->dti", root, normal),
        "coordinate_mean": mean + jitter - jitter.mean(0),
        "coordinate_sd": np.broadcast_to(sd, (count, len(sd))),
        "coordinate_correlation": np.broadcast_to(covariance / np.outer(sd, sd), (count, len(sd), len(sd))),
        "log_noise": np.broadcast_to(adapted.log_noise.numpy(), (count, len(adapted.log_noise))),
    }
    posterior = Posterior(
        draws=draws, tasks=batch.names, data=None, seconds=20.0, compile_seconds=5.0, rhat=1.0, effective_size=4000.0,
        divergences=0, chains=2, judged=("coordinate_mean",),
    )  # fmt: skip
    return Joint(posterior, batch, len(old))


def compared_with(prior: ms.Prior, tasks: ms.TaskSet, old: int, shots: int, keep: Path) -> xr.Dataset:
    """The comparison of a prior with the same Laplace posteriors as draws."""

    def parts(*_: Any) -> Arrangement:
        known, new = (prior.batch(tasks.select(part)) for part in (range(old), range(old, 36)))
        return Arrangement(GIVEN, "", 1, "As given", iter([Fold(prior, None, prior, known, new)]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "joint_posterior", laplace)
        patch.setattr(comparison, "arranged", parts)
        return comparison.compare(prior, tasks, shots=shots, keep=keep)


def test_classes_with_the_same_posterior_are_told_alike(tmp_path: Path) -> None:
    tasks = read(phases(36), phase)
    prior = ms.meta_calibrate(phase, tasks.select(range(24)), ms.GaussianPrior(iterations=20))
    compared = compared_with(prior, tasks, 24, 3, tmp_path)
    found = ms.bayes.summary(compared)
    assert found["error_name"] == "root of half Brier's score"
    assert abs(found["nlpd_difference"]) < 0.02  # what is not known of the spread is in the one alone
    assert found["rmse_ratio"] == pytest.approx(1.0, abs=0.02)
    assert "root of half Brier's score ratio" in found["verdict"]
    # what the learned prior says of one task, by its own door
    batch = prior.batch(tasks.select(range(24, 36)))
    # the card compares no supports, so that all that this one leaves is judged by
    split = split_tasks(batch.mask, 3, replace(Protocol.from_card(tasks.card), shots=(3,)), seeds=1)
    one, query = batch.select([0]), split.query[[0]]
    adapted = prior.adapt(one.with_mask(one.mask & split.support[[0]]))
    forecast = predictive(prior.problem(one.with_mask(query)), adapted)
    own = compared.isel(measurement=compared["measured_task"].values == one.names[0], forecaster=0)
    np.testing.assert_allclose(own["log_density"], forecast.log_density()[query], rtol=1e-9)
    seen = one.output[query].long()
    chances = forecast.probabilities[query].numpy()
    off = chances - np.eye(3)[seen.numpy()]
    np.testing.assert_allclose(own["error"] ** 2, 0.5 * (off**2).sum(1), rtol=1e-9)
    ms.report.save_comparison(compared, tmp_path / "compared")
    text = (tmp_path / "compared" / "report.html").read_text(encoding="utf-8")
    assert "root of half Brier&#x27;s score" in text


def test_each_output_is_counted_in_its_own_spread() -> None:
    which = np.array([1.0, 2.0, 1.0, 2.0, 1.0, 2.0])
    values = np.array([3.0, 0.0, 5.0, 1.0, 7.0, 1.0])
    seen = xr.Dataset({"output": ("measurement", which), "measured": ("measurement", values)})
    expected = np.where(which == 1.0, math.sqrt(8.0 / 3.0), math.sqrt(2.0 / 9.0))
    np.testing.assert_allclose(spreads(effect.noise, seen), expected)


def test_outputs_of_several_kinds_are_judged_each_by_its_own_spread(tmp_path: Path) -> None:
    tasks = read(effects(36), effect)
    prior = ms.meta_calibrate(effect, tasks.select(range(24)), ms.GaussianPrior(iterations=20))
    compared = compared_with(prior, tasks, 24, 2, tmp_path)
    unit = spreads(effect.noise, compared)
    which, seen = compared["output"].values, compared["measured"].values
    for place in (1.0, 2.0):
        np.testing.assert_allclose(unit[which == place], seen[which == place].std())
    off = seen - compared["median"].isel(forecaster=0).values
    np.testing.assert_allclose(compared["error"].isel(forecaster=0), off / unit, atol=1e-12)
    # log-odds are linear in the coordinates, so that both say the same of whether there is an effect
    learned, pymc = (compared["log_density"].isel(forecaster=place).values for place in (0, 1))
    np.testing.assert_allclose(learned[which == 2.0].mean(), pymc[which == 2.0].mean(), atol=0.02)
    learned, pymc = (compared["pit"].isel(forecaster=place).values for place in (0, 1))
    np.testing.assert_allclose(learned[which == 2.0], pymc[which == 2.0], atol=0.06)
    error = [compared["error"].isel(forecaster=place).values[which == 1.0] for place in (0, 1)]
    np.testing.assert_allclose(*[np.sqrt((each**2).mean()) for each in error], rtol=0.1)
    assert "RMSE in each output's standard deviations" in str(compared.attrs["verdict"])


@pytest.mark.slow
def test_classes_are_compared_with_pymc(tmp_path: Path) -> None:
    tasks = read(phases(20), phase)
    prior = ms.meta_calibrate(phase, tasks, ms.GaussianPrior(iterations=20))
    compared = ms.bayes.compare(prior, tasks, shots=3, folds=2, draws=300, tune=300, keep=tmp_path)
    found = ms.bayes.summary(compared)
    assert abs(found["nlpd_difference"]) < 0.05
    assert found["rmse_ratio"] == pytest.approx(1.0, abs=0.05)
    assert found["nlpd"]["pymc"] < np.log(3.0)
