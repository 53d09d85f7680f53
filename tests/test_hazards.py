"""Hazards in pieces, times watched from an entry on, events that recur: against closed forms and SciPy's laws."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.stats as st
import torch

import metasci as ms
from metasci.errors import InputError
from metasci.evaluation.integrated_brier import integrated_brier
from metasci.evaluation.outcome_scores import concordance
from metasci.math import exp
from metasci.meta.problem import Problem
from metasci.model import Model, equation
from metasci.outcomes import (
    Exponential,
    Gompertz,
    LogLogistic,
    LogNormalTime,
    PiecewiseExponential,
    Poisson,
    TimeToEvent,
    Weibull,
)
from metasci.parameters import Parameter
from metasci.report.outcome_figures import kaplan_meier

CUTS = (5.0, 12.0)
FAMILIES: dict[str, tuple[TimeToEvent, tuple[float, ...], Any]] = {
    "exponential": (Exponential(entry="start"), (), lambda e: st.expon(scale=np.exp(e))),
    "weibull": (Weibull(entry="start"), (1.7,), lambda e: st.weibull_min(1.7, scale=np.exp(e))),
    "log-logistic": (LogLogistic(entry="start"), (2.2,), lambda e: st.fisk(2.2, scale=np.exp(e))),
    "log-normal": (LogNormalTime(entry="start"), (0.6,), lambda e: st.lognorm(0.6, scale=np.exp(e))),
    "gompertz": (Gompertz(entry="start"), (0.3,), lambda e: st.gompertz(np.exp(-e) / 0.3, scale=1 / 0.3)),
}


def logs(scales: tuple[float, ...]) -> np.ndarray:
    return np.log(np.array(scales)) if scales else np.zeros(0)


def watched(noise: TimeToEvent | Poisson, name: str) -> Model:
    parameters = [
        Parameter("mean_time", "day", 10.0, positive=True, spread=0.8),
        Parameter("effect", "1", 0.0, spread=1.0, shared=True),
    ]

    @equation(
        inputs={"start": "day", "treated": "1"},
        output=("time", "day"),
        parameters=parameters,
        noise=noise,
        name=name,
    )
    def model(start: Any, treated: Any, *, mean_time: Any, effect: Any) -> Any:
        """Mean time under the hazard at first, longer by a factor with treatment."""
        return mean_time * exp(effect * treated)

    return model


def recurring(tasks: int, seed: int = 0, until: float = 25.0) -> pd.DataFrame:
    """Simulated patients with events that come back, each row from one event to the next."""
    random, law, rows = np.random.default_rng(seed), PiecewiseExponential(entry="start", cuts=CUTS), []
    for task in range(tasks):
        treated, now = task % 2, 0.0
        predictor = np.array([np.log(8.0) + 0.5 * random.normal() + 0.6 * treated])
        while now < until:
            time = float(law.sample(predictor, logs((2.0, 0.5)), {"start": np.array([now])}, random)[0])
            rows.append((f"p{task}", now, treated, f"{time:.17g}" if time < until else f">{until}"))
            now = time
    return pd.DataFrame(rows, columns=["task", "start [day]", "treated", "time [day]"])


def exposure(frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Events and time watched in each piece, (row, piece), by plain subtraction."""
    cells = frame["time [day]"].astype(str)
    came, end = ~cells.str.startswith(">").to_numpy(), cells.str.lstrip(">").astype(float).to_numpy()
    start = frame["start [day]"].astype(float).to_numpy()
    edges = np.array([0.0, *CUTS, np.inf])
    inside = np.minimum(end[:, None], edges[1:]) - np.maximum(start[:, None], edges[:-1])
    events = (edges[:-1] < end[:, None]) & (end[:, None] <= edges[1:]) & came[:, None]
    return events.astype(float), np.maximum(inside, 0.0)


@pytest.mark.parametrize("name", FAMILIES)
def test_after_an_entry_a_time_has_scipys_law_given_that_it_had_not_come(name: str) -> None:
    outcome, scales, law = FAMILIES[name]
    entry, time, end = (
        np.array([0.0, 0.4, 1.0, 2.0]),
        np.array([0.3, 1.0, 1.4, 9.0]),
        np.array([0.5, 1.6, 1.5, 11.0]),
    )
    inputs = {"start": entry}
    for eta in (-1.0, 0.3, 1.5):
        here, known = np.full(4, eta), law(eta)
        still, number = known.logsf(entry), np.full(4, np.nan)
        np.testing.assert_allclose(
            outcome.log_density(time, here, logs(scales), inputs, upper=number), known.logpdf(time) - still,
            rtol=1e-9, atol=1e-9,
        )  # fmt: skip
        later = outcome.log_density(time, here, logs(scales), inputs, upper=np.full(4, np.inf))
        np.testing.assert_allclose(later, known.logsf(time) - still, rtol=1e-8, atol=1e-9)
        between = outcome.log_density(time, here, logs(scales), inputs, upper=end)
        np.testing.assert_allclose(
            np.exp(between), (known.sf(time) - known.sf(end)) / known.sf(entry), rtol=1e-6, atol=1e-12
        )
        cumulative = outcome.cumulative(time, here, logs(scales), inputs)
        np.testing.assert_allclose(cumulative, 1.0 - known.sf(time) / known.sf(entry), rtol=1e-8, atol=1e-12)
        median = outcome.expected(here, logs(scales), inputs)
        np.testing.assert_allclose(outcome.cumulative(median, here, logs(scales), inputs), 0.5, rtol=1e-9)
        assert (outcome.cumulative(entry - 0.1, here, logs(scales), inputs) == 0.0).all()


def test_an_entry_keeps_its_digits_where_the_hazard_is_great() -> None:
    """H(t) − H(entry) of two hazards of 10⁹ and a little more."""
    for outcome, scales in (
        (Exponential(entry="start"), ()),
        (PiecewiseExponential(entry="start", cuts=(1.0,)), (1.0,)),
    ):
        found = outcome.log_survival_since_entry(
            np.array([1e3 + 1e-7]), np.array([-np.log(1e6)]), logs(scales), {"start": np.array([1e3])}
        )
        assert found[0] == pytest.approx(-0.1, rel=1e-4)


def test_a_hazard_in_pieces_is_the_density_of_its_pieces() -> None:
    law, scales = PiecewiseExponential(cuts=CUTS), logs((2.0, 0.5))
    eta, grid = np.array(np.log(8.0)), np.linspace(1e-6, 300.0, 600_001)
    hazard = np.where(grid <= 5.0, 1.0, np.where(grid <= 12.0, 2.0, 0.5)) / 8.0
    np.testing.assert_allclose(np.exp(law.log_hazard(grid, eta, scales)), hazard)
    whole = np.concatenate([[0.0], np.cumsum(0.5 * (hazard[1:] + hazard[:-1]) * np.diff(grid))])
    np.testing.assert_allclose(law.log_survival(grid, eta, scales), -whole, atol=2e-4)
    for survival in (0.9, 0.4, 0.1, 0.01):
        time = law.quantile(survival, eta, scales)
        assert np.exp(law.log_survival(time, eta, scales)) == pytest.approx(survival, rel=1e-12)
    drawn = law.sample(np.full(20_000, eta), scales, None, np.random.default_rng(0))
    assert st.kstest(drawn, lambda t: law.cumulative(t, eta, scales)).pvalue > 0.01
    # constant, it is the exponential law
    np.testing.assert_allclose(
        law.log_density(np.array([3.0, 9.0]), eta, logs((1.0, 1.0))), st.expon(scale=8.0).logpdf([3.0, 9.0])
    )


def test_the_most_likely_hazards_are_events_over_the_time_that_was_watched() -> None:
    frame = recurring(30).assign(treated=0)
    model = watched(PiecewiseExponential(entry="start", cuts=CUTS), "tests.pieces")
    tasks = ms.TaskSet.from_frame(frame.assign(task="all"), ms.Card.from_model(model), model=model)
    problem = Problem(model, tasks.batch(model))

    def cost(free: np.ndarray) -> tuple[float, np.ndarray]:
        at = torch.tensor(free, requires_grad=True)
        coordinates = torch.stack([at[0], torch.zeros_like(at[0])])[None]
        value = problem.negative_log_likelihood(coordinates, at[1:]).sum()
        return float(value.detach()), torch.autograd.grad(value, at)[0].numpy()

    best = scipy.optimize.minimize(cost, np.zeros(3), jac=True, method="BFGS", options={"gtol": 1e-8})
    mean_time = float(model.parameters.parameters[0].to_physical(torch.tensor(best.x[0])))
    events, time = exposure(frame)
    hazards = events.sum(0) / time.sum(0)
    assert 1.0 / mean_time == pytest.approx(hazards[0], rel=1e-5)
    np.testing.assert_allclose(np.exp(best.x[1:]), hazards[1:] / hazards[0], rtol=1e-5)


def test_a_hazard_in_pieces_is_a_poisson_count_of_rows_that_are_split(tmp_path: Any) -> None:
    """Holford, Biometrics 36 (1980) 299: the same likelihood but for a constant, whatever parameters."""
    frame = recurring(6)
    model = watched(PiecewiseExponential(entry="start", cuts=CUTS), "tests.pieces_of_poisson")
    batch = ms.TaskSet.from_frame(frame, ms.Card.from_model(model), model=model).batch(model)
    events, time = exposure(frame)
    number = frame["task"].str[1:].astype(int).to_numpy()
    values = []
    for seed in range(3):
        random = np.random.default_rng(seed)
        z, log_scales = random.normal(size=(6, 2)), random.normal(size=2) * 0.5
        own = -float(
            Problem(model, batch).negative_log_likelihood(torch.tensor(z), torch.tensor(log_scales)).sum()
        )
        f = 10.0 * np.exp(0.8 * z[number, 0] + z[number, 1] * frame["treated"].to_numpy())
        rate = np.exp(np.array([0.0, *log_scales])) / f[:, None]
        counted = Poisson().log_density(events, np.log(rate * np.maximum(time, 1e-300)), ())
        values.append(own - float(counted[time > 0.0].sum()))
    np.testing.assert_allclose(values, values[0], rtol=1e-9)  # Σ of ln exposure at events
    assert values[0] == pytest.approx(-np.log(time[events > 0.5]).sum(), rel=1e-9)


def test_events_that_recur_are_learned_and_judged_from_rows_that_follow_one_another() -> None:
    model = watched(PiecewiseExponential(entry="start", cuts=CUTS), "tests.recurrent")
    tasks = ms.TaskSet.from_frame(recurring(150), ms.Card.from_model(model), model=model)
    prior = ms.meta_calibrate(model, tasks)
    mean_time, effect = prior.model.parameters.to_physical(prior.state.mean.numpy()).values()
    assert mean_time == pytest.approx(8.0, rel=0.2)
    assert effect == pytest.approx(0.6, abs=0.35)
    np.testing.assert_allclose(prior.state.log_noise.exp(), [2.0, 0.5], rtol=0.25)
    few = tasks.select(slice(0, 8))
    fit = prior.calibrate(few)
    after = fit.predict(start=12.0, treated=1.0)
    assert (after["lower"] >= 12.0).all()
    assert np.isfinite(after["prior_upper"]).all()
    judged = ms.evaluate(prior, few, (1,), seeds=1)
    assert np.isfinite(judged.frame["log_score"]).all()
    axes = fit.plot().axes[0]
    drawn = {line.get_label(): line.get_ydata() for line in axes.lines}
    assert (np.diff(drawn["predicted"]) <= 0.0).all()


def test_who_enters_late_counts_from_then_on() -> None:
    times, share = kaplan_meier([2.0, 3.0, 5.0], [True, True, True], [0.0, 2.5, 0.0])
    assert times.tolist() == [0.0, 2.0, 3.0, 5.0]
    np.testing.assert_allclose(share, [1.0, 0.5, 0.25, 0.0])  # two watched at 2, two at 3, one at 5
    assert concordance([2.0, 4.0], [True, True], [1.0, 0.5]) == 0.0
    assert np.isnan(
        concordance([2.0, 4.0], [True, True], [1.0, 0.5], entry=[0.0, 3.0])
    )  # never watched together


def test_what_no_interval_can_be_is_refused_with_its_row() -> None:
    model = watched(PiecewiseExponential(entry="start", cuts=CUTS), "tests.refused_intervals")
    frame = pd.DataFrame({"task": "a", "start [day]": [0.0, 4.0], "treated": 0, "time [day]": ["4", ">3"]})
    with pytest.raises(InputError, match="row 1: >3 is not later than the start 4 beside it"):
        ms.Prior.declared(model).calibrate(frame)
    for cuts in ((), (0.0,), (3.0, 2.0), (np.inf,), [1.0]):
        with pytest.raises(InputError, match="cuts above zero, in order"):
            PiecewiseExponential(cuts=cuts)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="need the input 'start'"):
        Weibull(entry="start").log_density(np.array([1.0]), np.array([0.0]), np.zeros(1))


def test_the_hierarchical_model_knows_entries_and_pieces() -> None:
    pytest.importorskip("pymc")
    import pytensor
    from pytensor.compile.mode import Mode

    from metasci.bayes import hierarchical

    model = watched(PiecewiseExponential(entry="start", cuts=CUTS), "tests.pieces_in_pytensor")
    batch = ms.TaskSet.from_frame(recurring(4), ms.Card.from_model(model), model=model).batch(model)
    built = hierarchical(model, batch)
    density = built.logp(vars=[built["measurement"]], jacobian=False)
    at = pytensor.function(
        built.value_vars, density, mode=Mode(linker="py", optimizer=None), on_unused_input="ignore"
    )
    point = built.initial_point()
    point["coordinate_mean"], point["log_noise"] = np.array([0.3, -0.4]), np.array([0.5, -0.7])
    expected = -Problem(model, batch).negative_log_likelihood(
        torch.as_tensor(point["coordinate_mean"]).expand(4, 2), torch.as_tensor(point["log_noise"])
    )
    found = at(*[point[value.name] for value in built.value_vars])
    assert float(found) == pytest.approx(float(expected.sum()), rel=1e-9)


def test_times_are_predicted_at_any_number_of_conditions() -> None:
    """Also after measurements of which some are no numbers."""
    fit = ms.load("kidney").calibrate(ms.dataset("kidney").select(slice(0, 3)))
    several = fit.predict(age=[40.0, 45.0, 50.0])
    assert several.sizes == {"task": 3, "point": 3}
    one = fit.predict(age=45.0)
    for name in ("median", "lower", "upper", "prior"):
        np.testing.assert_allclose(several[name][:, 1], one[name][:, 0], rtol=1e-8)


def test_briers_score_over_time_does_not_mind_who_is_no_longer_watched():
    """With censoring that has nothing to do with the event its mean is that without; the truth scores best."""
    random = np.random.default_rng(0)
    rate, at = random.uniform(0.3, 2.0, 20_000), np.linspace(0.05, 1.0, 20)
    event, lost = random.exponential(1.0 / rate), random.exponential(1.5, 20_000)
    seen = np.minimum(event, lost)
    scores = []
    for survival in (np.exp(-rate[:, None] * at), np.exp(-np.full((20_000, 1), 0.9) * at)):
        whole = ((survival - (event[:, None] > at)) ** 2).mean()
        judged = integrated_brier(seen, event <= lost, at, survival)
        assert judged == pytest.approx(whole, rel=0.02)
        assert integrated_brier(event, np.ones(20_000, bool), at, survival) == pytest.approx(whole, rel=1e-12)
        scores.append(judged)
    assert scores[0] < scores[1] < 0.25


def test_an_evaluation_of_times_has_briers_score_over_time():
    report = ms.evaluate(ms.load("kidney"), ms.dataset("kidney"), [1])
    (row,) = [row for row in report["results"] if row["method"] == "prior"]
    assert 0.05 < row["integrated_brier"] < 0.25
