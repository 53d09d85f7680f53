"""Classes without an order: held against softmax, yes or no, scikit-learn's multinomial logit and plain sums."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.special
import torch

import metasci as ms
from metasci.class_forecasts import ClassForecast
from metasci.errors import InputError
from metasci.fits.posterior import posterior_draws
from metasci.fits.predictive import predictive
from metasci.math import stack
from metasci.meta.laplace.evidence import Population, log_marginal
from metasci.meta.laplace.gauss_newton import map_estimate, normal_equations
from metasci.meta.problem import Problem
from metasci.model import Model, equation
from metasci.noise import Noise
from metasci.outcomes import Bernoulli, Categorical
from metasci.parameters import Parameter
from metasci.responses import linear_predictor

PHASES = Categorical(classes=("fcc", "bcc", "mixed"))
NONE = torch.zeros(0, dtype=torch.float64)


def phase_model(noise: Noise = PHASES) -> Model:
    parameters = [
        Parameter(name, "1", 0.0, spread=0.7) for name in ("bcc", "bcc_slope", "mixed", "mixed_slope")
    ]

    @equation(
        inputs={"x": "1"}, output=("phase", "1"), parameters=parameters, noise=noise, name="tests.phase"
    )
    def phase(x, *, bcc, bcc_slope, mixed, mixed_slope):  # type: ignore[no-untyped-def]
        """Log-odds of two phases against the first."""
        return stack([bcc + bcc_slope * x, mixed + mixed_slope * x])

    return phase


def simulated(tasks: int, count: int, seed: int = 0) -> pd.DataFrame:
    """Simulated tasks of three classes."""
    random = np.random.default_rng(seed)
    z, x = random.normal(size=(tasks, 4, 1)) * 0.7, random.normal(size=(tasks, count))
    log_odds = np.stack([z[:, 0] + z[:, 1] * x, z[:, 2] + z[:, 3] * x], -1)
    drawn = PHASES.sample(log_odds, (), None, random).astype(int).ravel()
    return pd.DataFrame(
        {
            "task": np.repeat([f"t{at}" for at in range(tasks)], count),
            "x": x.ravel(),
            "phase": np.array(PHASES.classes)[drawn],
        }
    )


def problem_of(frame: pd.DataFrame, model: Model) -> Problem:
    return Problem(model, ms.TaskSet.from_frame(frame, ms.Card.from_model(model), model=model).batch(model))


def test_probabilities_are_those_of_softmax_also_far_out() -> None:
    random = np.random.default_rng(0)
    law = Categorical(classes=tuple("abcde"))
    log_odds = random.normal(size=(200, 4)) * 5.0
    whole = scipy.special.log_softmax(np.concatenate([np.zeros((200, 1)), log_odds], 1), 1)
    np.testing.assert_allclose(law.probabilities(log_odds), np.exp(whole), rtol=1e-9)
    for value in range(5):
        seen = np.full(200, float(value))
        np.testing.assert_allclose(
            law.log_density(seen, log_odds, ()), whole[:, value], rtol=1e-9, atol=1e-12
        )
        on_torch = law.log_density(torch.as_tensor(seen), torch.as_tensor(log_odds), ())
        np.testing.assert_allclose(on_torch.numpy(), whole[:, value], rtol=1e-9, atol=1e-12)
    far = law.log_density(np.array([2.0]), np.array([[700.0, 0.0, -700.0, 0.0]]), ())
    assert far[0] == pytest.approx(-700.0, rel=1e-12)
    np.testing.assert_allclose(law.cumulative(np.arange(5.0), log_odds[:1], ())[-1], 1.0)


def test_classes_are_drawn_as_often_as_they_are_probable() -> None:
    at = np.broadcast_to(np.log([2.0, 0.5]), (40_000, 2))
    drawn = PHASES.sample(at, (), None, np.random.default_rng(1)).astype(int)
    share = np.bincount(drawn, minlength=3) / len(drawn)
    np.testing.assert_allclose(share, np.array([1.0, 2.0, 0.5]) / 3.5, atol=0.01)


def test_what_rows_tell_is_the_second_derivative_of_a_task() -> None:
    """Where log-odds are linear Fisher's information is the observed one, whatever classes came."""
    problem = problem_of(simulated(3, 7), phase_model())
    at = torch.as_tensor(np.random.default_rng(2).normal(size=(3, 4)))
    nothing = torch.zeros(3, 4, 4, dtype=torch.float64)
    gradient, curvature, _, _ = normal_equations(problem, at, at, nothing, NONE, torch.ones(3).double())
    free = at.clone().requires_grad_()
    (slope,) = torch.autograd.grad(problem.negative_log_likelihood(free, NONE).sum(), free, create_graph=True)
    torch.testing.assert_close(gradient, slope.detach(), rtol=1e-9, atol=1e-9)
    bends = [torch.autograd.grad(slope[:, i].sum(), free, retain_graph=True)[0] for i in range(4)]
    torch.testing.assert_close(curvature, torch.stack(bends, 1), rtol=1e-8, atol=1e-9)


def test_an_estimate_is_scikit_learns_multinomial_logit() -> None:
    """Iris, one task; its ridge is a prior of every class's log-odds, with a line of its own each."""
    datasets, linear = pytest.importorskip("sklearn.datasets"), pytest.importorskip("sklearn.linear_model")
    table = datasets.load_iris()
    features = (table.data[:, :2] - table.data[:, :2].mean(0)) / table.data[:, :2].std(0)
    ridge = linear.LogisticRegression(C=1.0, tol=1e-10, max_iter=10_000).fit(features, table.target)
    names = tuple(str(name) for name in table.target_names)
    model = linear_predictor(["sepal_length", "sepal_width"], noise=Categorical(classes=names), spread=1.0)
    assert model.parameters.names[3:] == (
        "level_virginica", "of_sepal_length_virginica", "of_sepal_width_virginica",
    )  # fmt: skip
    frame = pd.DataFrame({"task": "iris", "outcome": np.array(names)[table.target]})
    frame[["sepal_length", "sepal_width"]] = features
    problem = problem_of(frame, model)
    # three lines under a ridge of one, of which only differences count: ½ Σ(w − w̄)², for the least norm has mean zero
    differences = torch.as_tensor(np.eye(2) - 1.0 / 3.0)
    precision = torch.zeros(6, 6, dtype=torch.float64)
    for at, loose in enumerate((1e-9, 1.0, 1.0)):
        precision[at::3, at::3] = loose * differences
    found = map_estimate(problem, torch.zeros(1, 6).double(), precision[None], NONE, tolerance=1e-10)
    both = np.column_stack([ridge.intercept_, ridge.coef_])
    np.testing.assert_allclose(found.coordinates[0].reshape(2, 3).numpy(), both[1:] - both[0], atol=2e-4)


def test_two_classes_are_yes_or_no() -> None:
    """Learned, calibrated and predicted: the same numbers."""
    frame = simulated(12, 8).replace({"mixed": "bcc"})
    classes = linear_predictor(["x"], noise=Categorical(classes=("fcc", "bcc")), name="tests.two_classes")
    yes = linear_predictor(["x"], noise=Bernoulli(), name="tests.yes_or_no")
    frames = frame.rename(columns={"phase": "outcome"}), frame.assign(outcome=frame["phase"].eq("bcc") * 1)
    fits = []
    for model, table in zip((classes, yes), frames, strict=True):
        tasks = ms.TaskSet.from_frame(table[["task", "x", "outcome"]], ms.Card.from_model(model), model=model)
        prior = ms.meta_calibrate(model, tasks)
        fits.append((prior, prior.calibrate(tasks.select(slice(0, 3)))))
    (one, of_classes), (other, of_yes) = fits
    torch.testing.assert_close(one.state.covariance, other.state.covariance, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(of_classes.adapted.covariance, of_yes.adapted.covariance, rtol=1e-5, atol=1e-7)
    seen = of_classes.predict(x=[-1.0, 0.5])
    known = of_yes.predict(x=[-1.0, 0.5])
    np.testing.assert_allclose(seen["probability_bcc"], known["probability"], atol=2e-4)
    np.testing.assert_allclose(seen["probability_bcc_lower"], known["curve_lower"], atol=0.02)
    np.testing.assert_allclose(seen["probability_bcc_upper"], known["curve_upper"], atol=0.02)


def test_the_marginal_likelihood_is_that_of_quadrature() -> None:
    """Of two levels alone, one measurement; Laplace's approximation of it is close, and rises with the right prior."""
    model = linear_predictor(["x"], noise=PHASES, name="tests.marginal_of_classes")
    frame = simulated(1, 9).assign(x=0.0).rename(columns={"phase": "outcome"})
    problem = problem_of(frame, model)
    spread = torch.diag(torch.tensor([0.6, 1e-3, 0.6, 1e-3]).double())
    value, _ = log_marginal(problem, Population(torch.zeros(1, 4).double(), spread, NONE))
    nodes, weights = np.polynomial.hermite_e.hermegauss(30)
    first, second = np.meshgrid(0.6 * nodes, 0.6 * nodes)
    share = np.outer(weights, weights) / weights.sum() ** 2
    counts = np.bincount(problem.batch.output[0].long().numpy(), minlength=3)
    probabilities = PHASES.probabilities(np.stack([first, second], -1))
    exact = np.log((share * np.exp((np.log(probabilities) * counts).sum(-1))).sum())
    assert float(value[0].detach()) == pytest.approx(exact, abs=0.02)


def test_a_forecast_averages_log_odds_together_and_counts_levels_by_their_weight() -> None:
    random = np.random.default_rng(3)
    centre, root = torch.tensor([[[0.4, -0.8]]]).double(), torch.tensor([[1.5, 0.0], [-1.1, 0.6]]).double()
    covariance = torch.stack([root @ root.T, 4.0 * root @ root.T])[:, None, None]
    shift = torch.tensor([0.0, 1.0]).double()[:, None, None, None].expand(2, 1, 1, 2)
    weight = torch.tensor([[0.7], [0.3]]).double()
    measured = torch.tensor([[2.0]]).double()
    forecast = ClassForecast(PHASES, centre, shift, covariance, weight, measured)
    normal = random.standard_normal((200_000, 2)) @ root.numpy().T
    level = random.random(200_000) < 0.3
    drawn = centre[0, 0].numpy() + np.where(level[:, None], 1.0 + 2.0 * normal, normal)
    each = PHASES.probabilities(drawn)
    np.testing.assert_allclose(forecast.probabilities[0, 0], each.mean(0), atol=4e-3)
    np.testing.assert_allclose(forecast.log_density()[0, 0], np.log(each.mean(0)[2]), atol=0.02)
    lower, upper = forecast.bands(0.8)
    np.testing.assert_allclose(lower[0, 0], np.quantile(each, 0.1, 0), atol=0.02)
    np.testing.assert_allclose(upper[0, 0], np.quantile(each, 0.9, 0), atol=0.02)
    share = np.bincount(forecast.sample(20_000, seed=4)[:, 0, 0].long().numpy(), minlength=3) / 20_000
    np.testing.assert_allclose(share, each.mean(0), atol=0.012)


def test_a_learned_prior_calibrates_judges_reports_and_comes_back_from_its_files(tmp_path: Path) -> None:
    model = phase_model()
    tasks = ms.TaskSet.from_frame(simulated(60, 25), ms.Card.from_model(model), model=model)
    prior = ms.meta_calibrate(model, tasks)
    assert prior.method.objective == "marginal"
    spread = prior.state.covariance.diagonal().sqrt().numpy()
    np.testing.assert_allclose(spread, 1.0, atol=0.35)  # what the tasks were drawn with
    prior.save(tmp_path / "prior")
    again = ms.load(tmp_path / "prior", model)
    assert again.model.noise == PHASES
    few = tasks.select(slice(0, 4))
    fit = again.calibrate(few)
    many = again.calibrate_many(few)
    np.testing.assert_allclose(many["estimate"], fit.to_xarray()["estimate"], atol=1e-9)
    draws = posterior_draws(fit, draws=4000)
    found = fit.predict(x=[-1.0, 1.0])
    for at, x in enumerate((-1.0, 1.0)):
        z = 0.7 * draws.coordinates.numpy()
        each = PHASES.probabilities(np.stack([z[:, 0] + z[:, 1] * x, z[:, 2] + z[:, 3] * x], -1))
        for place, name in enumerate(PHASES.classes):
            assert float(found[f"probability_{name}"][0, at]) == pytest.approx(
                each[:, place].mean(), abs=0.04
            )
    assert set(np.unique(found["likeliest"].values)) <= set(PHASES.classes)
    fit.save(tmp_path / "result")
    written = pd.read_csv(tmp_path / "result" / "predictions.csv")
    assert set(written["predicted"]) <= set(PHASES.classes)
    page = (tmp_path / "result" / "report.html").read_text()
    assert "mixed" in page
    assert "Above: the class that came" in page
    judged = ms.evaluate(again, tasks, (0, 6), seeds=2)
    figures = {(row["method"], row["shots"]): row for row in judged["results"]}
    assert figures["prior", 6]["log_score"] < figures["prior", 0]["log_score"]
    assert "outcomes of class" in repr(judged)
    assert judged.plot() is not None


def test_scores_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    from metasci.evaluation.outcome_scores import OutcomeScore

    model = phase_model()
    fit = ms.Prior.declared(model).calibrate(simulated(5, 10))
    forecast = predictive(fit.problem, fit.adapted)
    assert isinstance(forecast, ClassForecast)
    score = OutcomeScore("class")
    score.add(forecast, fit.batch.mask)
    figures = score.figures("pooled")
    p, seen = forecast.probabilities.reshape(-1, 3).numpy(), fit.batch.output.reshape(-1).numpy()
    assert figures["log_score"] == pytest.approx(metrics.log_loss(seen, p, labels=[0, 1, 2]))
    each = [metrics.brier_score_loss(seen == at, p[:, at]) for at in range(3)]
    assert figures["brier"] == pytest.approx(sum(each))
    assert figures["accuracy"] == metrics.accuracy_score(seen, p.argmax(1))


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("hcp", "column 'phase', row 3: 'hcp' is none of fcc, bcc, mixed"),
        ("1", "column 'phase', row 3: '1' is none of fcc, bcc, mixed"),
        ("", "column 'phase', row 3: the cell is empty; say one of fcc, bcc, mixed"),
        (">bcc", "column 'phase', row 3: '>bcc' is none of fcc, bcc, mixed"),
    ],
)
def test_a_cell_that_is_no_class_is_told_with_row_and_column(cell: str, words: str) -> None:
    frame = simulated(1, 5)
    frame.loc[3, "phase"] = cell
    with pytest.raises(InputError) as caught:
        ms.Prior.declared(phase_model()).calibrate(frame)
    assert words in str(caught.value)


def test_what_classes_cannot_be_is_refused_in_a_sentence() -> None:
    for wrong in ((), ("a",), ("a", "a"), ("a", ""), ["a", "b"]):
        with pytest.raises(InputError, match="two or more different names"):
            Categorical(classes=wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="states physical laws"):
        equation(
            inputs={"x": "1"}, output=("y", "1"), parameters=[Parameter("a")], noise=PHASES, name="tests.lawful",
            constraints=[ms.NonNegative()],
        )(lambda x, *, a: stack([a + x, a]))  # fmt: skip
    one = equation(
        inputs={"x": "1"},
        output=("phase", "1"),
        parameters=[Parameter("a")],
        noise=PHASES,
        name="tests.one_number",
    )(lambda x, *, a: a + x)
    with pytest.raises(InputError, match="return the 2 log-odds"):
        ms.Prior.declared(one).calibrate(simulated(1, 5))
    tasks = ms.TaskSet.from_frame(simulated(4, 5), ms.Card.from_model(phase_model()), model=phase_model())
    for method in (ms.GaussianPrior(task_noise=True), ms.DiscrepancyPrior()):
        with pytest.raises(InputError, match="Categorical outcomes"):
            ms.meta_calibrate(phase_model(), tasks, method)


def test_the_hierarchical_model_has_the_same_likelihood_and_draws_classes() -> None:
    pm = pytest.importorskip("pymc")
    import pytensor
    from pytensor.compile.mode import Mode

    from metasci.bayes import hierarchical

    model = phase_model()
    batch = problem_of(simulated(3, 4), model).batch
    built = hierarchical(model, batch)
    density = built.logp(vars=[built["measurement"]], jacobian=False)
    plain = Mode(linker="py", optimizer=None)  # nothing is compiled
    at = pytensor.function(built.value_vars, density, mode=plain, on_unused_input="ignore")
    point = built.initial_point()
    random = np.random.default_rng(0)
    point["coordinate_mean"] = random.normal(size=4)
    truth = torch.as_tensor(point["coordinate_mean"]).expand(3, 4)
    expected = -float(Problem(model, batch).negative_log_likelihood(truth, NONE).sum())
    assert float(at(*[point[value.name] for value in built.value_vars])) == pytest.approx(expected, rel=1e-9)
    with built:
        drawn = pm.draw(built["measurement"], random_seed=1, mode=plain)
    assert set(drawn.tolist()) <= {0.0, 1.0, 2.0}


def test_the_evidence_of_classes_is_that_of_quadrature() -> None:
    """Of the two levels of one task, drawn against a grid of them."""
    from metasci.fits.evidence import evidence

    model = linear_predictor(["x"], noise=PHASES, name="tests.evidence_of_classes", spread=1e-6)
    frame = simulated(1, 9).assign(x=0.0).rename(columns={"phase": "outcome"})
    fit = ms.Prior.declared(model).calibrate(frame)
    found = evidence(fit)
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    log_odds = np.stack(np.meshgrid(2.0 * nodes, 2.0 * nodes), -1)  # a declared spread of one, doubled
    counts = np.bincount(fit.batch.output[0].long().numpy(), minlength=3)
    share = np.outer(weights, weights) / weights.sum() ** 2
    exact = np.log((share * np.exp((np.log(PHASES.probabilities(log_odds)) * counts).sum(-1))).sum())
    assert found.log_marginal == pytest.approx(exact, abs=0.05)


def test_what_looks_along_one_curve_is_refused() -> None:
    model = phase_model()
    tasks = ms.TaskSet.from_frame(simulated(4, 6), ms.Card.from_model(model), model=model)
    prior = ms.Prior.declared(model)
    fit = prior.calibrate(tasks)
    with pytest.raises(InputError, match="no one curve to aim at"):
        ms.diagnostics.next_measurement(fit, {"x": [0.0, 1.0]}, target={"x": 1.0})
    assert np.diff(ms.diagnostics.next_measurement(fit, {"x": [0.0, 3.0]})["gain"][0]) > 0.0
    with pytest.raises(InputError, match="squared errors about a curve"):
        ms.diagnostics.leave_one_task_out(prior, tasks)


def test_a_card_that_numbers_classes_otherwise_is_refused() -> None:
    model = phase_model()
    card = ms.Card.from_model(model)
    column = replace(card.output, codes={"bcc": 0.0, "fcc": 1.0, "mixed": 2.0})
    other = replace(card, columns=tuple(column if each.role == "output" else each for each in card.columns))
    with pytest.raises(InputError, match="fcc = 0, bcc = 1, mixed = 2"):
        ms.TaskSet.from_frame(simulated(1, 5), other, model=model)
    with pytest.raises(InputError, match="fcc = 0, bcc = 1, mixed = 2"):
        ms.TaskSet.from_frame(simulated(1, 5), other).batch(model)
    without = replace(column, codes={})
    other = replace(card, columns=tuple(without if each.role == "output" else each for each in card.columns))
    with pytest.raises(InputError, match=r"no number; give it `codes = \{ fcc = 0, bcc"):
        ms.TaskSet.from_frame(simulated(1, 5), other, model=model)
