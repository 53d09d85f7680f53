"""Priors of outcomes: estimates held against a general optimiser, populations against R, and every door."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.integrate
import scipy.optimize
import scipy.special
import scipy.stats
import torch

import metasci as ms
from metasci.errors import InputError
from metasci.evaluation.outcome_scores import area_under_curve, average_precision, brier, concordance
from metasci.fits.posterior import posterior_draws
from metasci.library import find
from metasci.meta.laplace.evidence import Population, log_marginal
from metasci.meta.laplace.gauss_newton import map_estimate
from metasci.meta.laplace.gaussian_state import GaussianState
from metasci.meta.laplace.levels import levels_of
from metasci.meta.laplace.refinement import marginal_cost, packed
from metasci.meta.problem import Problem
from metasci.model import Model, equation
from metasci.outcome_forecasts import OutcomeForecast
from metasci.outcomes import (
    Bernoulli,
    Binomial,
    Deviation,
    Exponential,
    Gompertz,
    LogLogistic,
    LogNormalTime,
    NegativeBinomial,
    Ordinal,
    Outcome,
    Poisson,
    StudentDeviation,
    Weibull,
    ZeroInflatedPoisson,
)
from metasci.parameters import Parameter

LINE = (Parameter("intercept", spread=0.8), Parameter("slope", spread=0.6))
POSITIVE = (Parameter("level", typical=2.0, positive=True, spread=0.8), Parameter("slope", spread=0.4))


@equation(inputs={"x": "1", "trials": "1"}, output=("y", "1"), parameters=LINE, name="tests.line_of_outcomes")
def line(x: Any, trials: Any, *, intercept: Any, slope: Any) -> Any:
    """A straight line."""
    return intercept + slope * x


@equation(
    inputs={"x": "1", "trials": "1"},
    output=("y", "1"),
    parameters=POSITIVE,
    name="tests.exponential_of_outcomes",
)
def growth(x: Any, trials: Any, *, level: Any, slope: Any) -> Any:
    """An exponential."""
    from metasci.math import exp

    return level * exp(slope * x)


KINDS: tuple[tuple[Model, Outcome], ...] = (
    (line, Bernoulli()), (line, Bernoulli(of="probit")), (line, Bernoulli(of="cloglog")),
    (line, Binomial()), (line, Ordinal(grades=4)),
    (growth, Poisson()), (growth, NegativeBinomial()), (growth, ZeroInflatedPoisson()), (growth, Exponential()),
    (growth, Weibull()), (growth, LogLogistic()), (growth, LogNormalTime()), (growth, Gompertz()),
    (growth, Deviation()), (growth, StudentDeviation()),
)  # fmt: skip


def simulated(model: Model, outcome: Outcome, tasks: int, count: int, seed: int = 0) -> ms.TaskSet:
    """Tasks drawn from a population; times are cut off, so that some are only known to lie above."""
    random = np.random.default_rng(seed)
    x, trials = random.normal(size=(tasks, count)), np.full((tasks, count), 5.0)
    z = random.normal(size=(tasks, 2, 1)) * np.array([0.8, 0.6])[:, None]
    parameters = {p.name: p.to_physical(z[:, at]) for at, p in enumerate(model.parameters)}
    predictor = outcome.link(model({"x": x, "trials": trials}, parameters))
    y = outcome.sample(predictor, np.log(outcome.typical), {"trials": trials}, random)
    cells = [f"{value!r}" for value in y.ravel().tolist()]
    if outcome.kind == "time":
        cells = [f">{4.0!r}" if value > 4.0 else f"{value!r}" for value in y.ravel().tolist()]
    frame = pd.DataFrame(
        {
            "task": np.repeat([f"t{at}" for at in range(tasks)], count),
            "x": x.ravel(),
            "trials": 5.0,
            "y": cells,
        }
    )
    declared = model.with_noise(outcome)
    return ms.TaskSet.from_frame(frame, ms.Card.from_model(declared), model=declared)


@pytest.mark.parametrize(
    ("model", "outcome"), KINDS, ids=lambda each: getattr(each, "of", type(each).__name__)
)
def test_an_estimate_is_that_of_a_general_optimiser(model: Model, outcome: Outcome) -> None:
    """Gauss–Newton with Fisher's information ends where Nelder and Mead's simplex and Newton's steps do."""
    declared = model.with_noise(outcome)
    tasks = simulated(model, outcome, 2, 8)
    problem = Problem(declared, tasks.batch(declared))
    log_scales = (
        torch.tensor(np.log(outcome.typical)) if outcome.typical else torch.zeros(0, dtype=torch.float64)
    )
    mean, precision = torch.tensor([[0.2, -0.1]]).double(), torch.diag(torch.tensor([1.0, 2.0])).double()
    found = map_estimate(problem, mean.expand(2, -1), precision.expand(2, -1, -1), log_scales, tolerance=1e-9)
    assert bool(found.converged.all())
    one = problem.select(torch.tensor([0]))

    def cost(z: np.ndarray) -> float:
        at = torch.tensor(z)[None]
        off = (at - mean)[0]
        return float(one.negative_log_likelihood(at, log_scales)[0] + 0.5 * off @ precision @ off)

    best = scipy.optimize.minimize(cost, [0.0, 0.0], method="BFGS", options={"gtol": 1e-9})
    best = scipy.optimize.minimize(
        cost, best.x, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13, "maxiter": 400}
    )
    np.testing.assert_allclose(found.coordinates[0].numpy(), best.x, atol=1e-6)


def test_the_marginal_likelihood_of_one_answer_is_that_of_quadrature() -> None:
    declared = find("responses.bacteria_present")
    tasks = ms.dataset("bacteria", model=declared).select(["X02"])
    batch = tasks.batch(declared)
    spread = torch.diag(torch.tensor([1.2, 1e-3, 1e-3, 1e-3]).double())
    mean = torch.tensor([[1.0, -1.0, -0.5, -1.5]]).double()
    problem, none = Problem(declared, batch), torch.zeros(0, dtype=torch.float64)
    value, _ = log_marginal(problem, Population(mean, spread, none))
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    each = [
        float(
            -problem.negative_log_likelihood(mean + torch.tensor([[1.2 * node, 0, 0, 0]]).double(), none)[0]
        )
        for node in nodes
    ]
    exact = np.log(np.sum(weights / weights.sum() * np.exp(each)))
    assert float(value[0]) == pytest.approx(exact, abs=0.05)  # Laplace's approximation, of four answers


# Rscript -e 'library(lme4); e <- MASS::epil; e$lb <- log(e$base/23.4); e$la <- log(e$age/28);
#   e$t <- as.integer(e$trt=="progabide"); o <- glmerControl(optimizer="bobyqa", optCtrl=list(maxfun=1e5));
#   n <- glmer.nb(y ~ lb*t + la + V4 + (1|subject), e, control=o); print(n, digits=6); 1/getME(n, "glmer.nb.theta");
#   b <- MASS::bacteria; print(glmer(y=="y" ~ I(ap=="a" & hilo=="lo") + I(ap=="a" & hilo=="hi") + I(week>2) + (1|ID), b,
#   binomial, control=o), digits=6); k <- survival::kidney; k$w <- as.integer(k$sex==2); k$a <- (k$age-45)/10;
#   m <- glmer(status ~ w + a + offset(log(time)) + (1|id), k, poisson, control=o); print(m, digits=6);
#   as.numeric(logLik(m)) - sum(k$status*log(k$time)); library(ordinal);
#   print(clmm(rating ~ temp + contact + (1|judge), data=wine))'
# lme4 1.1-31, MASS 7.3-58.2, survival 3.5-3, ordinal 2022.11-16. The exponential law with a frailty of each patient is
# Poisson's with the time as an offset. Standard deviations are of the intercept.
POPULATIONS: dict[str, tuple[dict[str, float], float, float, dict[str, float]]] = {
    "epilepsy": (
        {
            "usual_count": np.exp(1.832844), "baseline_power": 0.882300, "treatment_effect": -0.334456,
            "age_power": 0.478835, "last_visit": -0.116434, "treatment_baseline": 0.337237,
        },
        0.463785, -624.89302, {"overdispersion": 1.0 / 7.41673},
    ),
    "bacteria": (
        {"log_odds": 3.547948, "drug_effect": -1.366653, "compliant_drug_effect": -0.782651, "later": -1.598488},
        1.24232, -96.130721, {},
    ),
    "wine": (
        {"log_odds": 1.62367, "warm": 3.06300, "skins": 1.83488}, 1.131133, -81.565409,
        {"gap_1": 1.51337 + 1.62367, "gap_2": 4.22853 - 1.51337, "gap_3": 6.08877 - 4.22853},
    ),
    "kidney": (
        {"mean_time": np.exp(3.7231832), "woman": 1.3559161, "decade": -0.0451123}, 0.584774, -333.60612, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", POPULATIONS)
def test_the_population_that_ships_is_the_one_that_r_finds(name: str) -> None:
    means, sd, log_likelihood, scales = POPULATIONS[name]
    prior = ms.load(name)
    parameters = prior.model.parameters
    physical = {p.name: float(p.to_physical(m)) for p, m in zip(parameters, prior.state.mean, strict=True)}
    for key, value in means.items():
        # where the mean is a logarithm, 1 % is of what it is of
        assert physical[key] == pytest.approx(value, rel=0.013 if key == "usual_count" else 0.01), key
    assert float(prior.state.covariance[0, 0].sqrt()) * parameters.parameters[0].spread == pytest.approx(
        sd, rel=0.05
    )
    for at, key in enumerate(prior.model.noise.scales):
        assert float(prior.state.log_noise[at].exp()) == pytest.approx(scales[key], rel=0.05)
    batch = prior.batch(ms.dataset(name))
    shared = torch.tensor([parameter.shared for parameter in parameters])
    cost, _ = marginal_cost(
        prior.problem(batch), prior.covariates.design(batch.covariates), packed(prior.state),
        lambda *_: torch.zeros(()), False, shared=shared,
    )  # fmt: skip
    assert -float(cost.detach()) == pytest.approx(log_likelihood, abs=0.5)


def test_a_learned_prior_calibrates_predicts_draws_and_comes_back_from_its_files(tmp_path: Path) -> None:
    declared = line.with_noise(Bernoulli())
    prior = ms.meta_calibrate(declared, simulated(line, Bernoulli(), 40, 12))
    assert prior.method.objective == "marginal"
    prior.save(tmp_path / "prior")
    again = ms.load(tmp_path / "prior", declared)
    assert again.model.noise == Bernoulli()
    new = simulated(line, Bernoulli(), 2, 12, seed=1)
    fit = again.calibrate(new)
    assert fit.parameters["estimate"].tolist() == prior.calibrate(new).parameters["estimate"].tolist()
    found = fit.predict(x=[-1.0, 1.0], trials=5.0)
    draws = posterior_draws(fit, draws=2000)
    drawn = 1.0 / (
        1.0 + np.exp(-(draws.coordinates.numpy() * [0.8, 0.6] @ np.array([[1.0, 1.0], [-1.0, 1.0]])))
    )
    np.testing.assert_allclose(found["probability"].values[0], drawn.mean(0), atol=0.03)
    assert ((found["curve_lower"] < found["median"]) & (found["median"] < found["curve_upper"])).all()
    assert "RMSE" not in fit.summary()
    assert fit.warnings == []


def test_scores_of_outcomes_are_those_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    yes, score = random.integers(0, 2, 200), random.random(200).round(2)
    assert area_under_curve(yes, score) == pytest.approx(metrics.roc_auc_score(yes, score))
    assert average_precision(yes, score) == pytest.approx(metrics.average_precision_score(yes, score))
    assert brier(yes, score) == pytest.approx(metrics.brier_score_loss(yes, score))
    assert concordance(yes + 0.0, yes >= 0, score) == pytest.approx(metrics.roc_auc_score(yes, score))


def test_evaluation_scores_yes_or_no_as_such() -> None:
    report = ms.evaluate(ms.load("bacteria"), ms.dataset("bacteria"), (2,))
    assert report["outcome"] == "yes or no"
    row = next(row for row in report["results"] if row["method"] == "prior" and row["shots"] == 2)
    assert {"log_score", "brier", "auc", "auprc", "accuracy", "calibration_error"} <= set(row)
    assert "rmse" not in row
    always = next(row for row in report["results"] if row["method"] == "start only" and row["shots"] == 2)
    assert row["log_score"] < always["log_score"]


@pytest.mark.parametrize(
    ("name", "figure", "most"),
    [
        ("wine", "ranked_probability_score", 0.5),
        ("epilepsy", "mae", 5.0),
        ("kidney", "log_score", 4.5),
        ("alloy_phases", "log_score", 0.62),
    ],
)
def test_an_evaluation_of_outcomes_is_a_frame_and_a_figure(name: str, figure: str, most: float) -> None:
    """Of several tasks at once, each with more measurements than one; figures are the kind's own."""
    found = ms.evaluate(ms.load(name), ms.dataset(name), (1,), seeds=1)
    frame = found.frame
    assert frame.loc[0, figure] < most
    assert "nlpd" not in frame  # of measurements about a curve
    assert f"outcomes of {found['outcome']}" in repr(found)
    assert "<table" in found._repr_html_()
    assert len(found.plot().axes) == 2


def test_the_probabilities_of_grades_of_several_tasks_are_those_of_each_alone() -> None:
    prior, judges = ms.load("wine"), ms.dataset("wine")
    together = prior.calibrate(judges.select(slice(0, 3)))
    alone = prior.calibrate(judges.select(slice(2, 3)))
    for name in ("probability_1", "probability_4"):
        both = (
            together.predict(temperature=1.0, contact=0.0)[name],
            alone.predict(temperature=1.0, contact=0.0)[name],
        )
        np.testing.assert_allclose(both[0].values[2], both[1].values[0], rtol=1e-6)
    assert together.plot().axes  # the figure that reports have


def test_a_range_to_aim_at_is_of_curves_only() -> None:
    fit = ms.load("bacteria").calibrate(ms.dataset("bacteria").select(["X02"]))
    with pytest.raises(InputError, match="within is of measurements about a curve"):
        fit.plot(within=(0.0, 1.0))


@pytest.mark.parametrize(
    ("name", "column", "cell", "words"),
    [
        ("bacteria", "present", "maybe", "row 4: 'maybe' is none of n, y"),
        ("kidney", "time", "0", "row 4: 0 is not above zero"),
        ("epilepsy", "seizures", "2.5", "row 4: 2.5 is no whole number"),
        ("epilepsy", "seizures", ">20", "row 4: >20 is no single count"),
        ("wine", "rating", "7", "row 4: 7 is none of the grades 1 to 5"),
        ("alloy_phases", "phase", "HCP", "row 4: 'HCP' is none of FCC, BCC, other"),
    ],
)
def test_a_bad_cell_is_told_with_row_and_column(
    name: str, column: str, cell: str, words: str, tmp_path: Path
) -> None:
    prior = ms.load(name)
    data = Path(ms.catalogue.shipped("datasets")) / name / "data.csv"
    frame = pd.read_csv(data, dtype=str, keep_default_na=False)
    frame.loc[2, column] = cell
    frame.to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(InputError) as caught:
        prior.calibrate(tmp_path / "mine.csv")
    assert words in str(caught.value)
    assert f"column '{column}" in str(caught.value)


@pytest.mark.parametrize(
    ("outcome", "cell", "words"),
    [
        (Bernoulli(), "yes", "'yes' is not a number; write yes as 1 and no as 0"),
        (Ordinal(grades=4), "II", "'II' is not a number; write grades as 0 to 3"),
        (
            Weibull(),
            "400+",
            "'400+' is not a number; write 65 where the event came then, >65 where it had not",
        ),
    ],
    ids=lambda each: type(each).__name__,
)
def test_a_cell_that_is_no_number_is_told_how_to_be_written(outcome: Outcome, cell: str, words: str) -> None:
    own = (growth if outcome.kind == "time" else line).with_noise(outcome)
    frame = pd.DataFrame({"task": "a", "x": [0.0, 1.0], "trials": 5.0, "y": ["1", cell]})
    with pytest.raises(InputError) as caught:
        ms.Prior.declared(own).calibrate(frame)
    assert words in str(caught.value)


def test_what_is_of_gaussian_measurements_only_is_refused() -> None:
    tasks = simulated(line, Bernoulli(), 4, 5)
    declared = line.with_noise(Bernoulli())
    for method in (
        ms.GaussianPrior(task_noise=True),
        ms.GaussianPrior(objective="predictive"),
        ms.DiscrepancyPrior(),
    ):
        with pytest.raises(InputError, match="Bernoulli outcomes"):
            ms.meta_calibrate(declared, tasks, method)
    with pytest.raises(InputError, match="all tasks share"):
        ms.meta_calibrate(find("responses.bacteria_present"), ms.dataset("bacteria"), ms.GaussianPrior())


def test_ten_thousand_tasks_of_yes_or_no_are_calibrated_in_one_go() -> None:
    """Each as if it were alone."""
    declared = line.with_noise(Bernoulli())
    prior = ms.Prior.declared(declared)
    few = simulated(line, Bernoulli(), 30, 20)
    batch = prior.batch(few)
    together = prior.adapt(batch)
    alone = prior.adapt(batch.select(torch.tensor([7])))
    assert bool(together.converged.all())
    torch.testing.assert_close(together.coordinates[7], alone.coordinates[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["kidney", "wine"])
def test_the_hierarchical_model_has_the_same_likelihood(name: str) -> None:
    """With its offsets at zero all tasks are at the population's mean, the typical values."""
    pytest.importorskip("pymc")
    import pytensor
    from pytensor.compile.mode import Mode

    from metasci.bayes import hierarchical

    prior = ms.load(name)
    batch = prior.batch(ms.dataset(name))
    built = hierarchical(prior.model, batch)
    density = built.logp(vars=[built["measurement"]], jacobian=False)
    plain = Mode(linker="py", optimizer=None)  # nothing is compiled
    at = pytensor.function(built.value_vars, density, mode=plain, on_unused_input="ignore")
    point = built.initial_point()
    zero = torch.zeros(len(batch), len(prior.model.parameters), dtype=torch.float64)
    log_scales = torch.tensor(np.log(prior.model.noise.typical), dtype=torch.float64)
    expected = -float(prior.problem(batch).negative_log_likelihood(zero, log_scales).sum())
    assert float(at(*[point[value.name] for value in built.value_vars])) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("freedom", [1.0, 2.0, 6.0])
@pytest.mark.parametrize("slope", [1.0, 8.0])
def test_a_yes_is_averaged_over_students_tails_not_over_a_variance(freedom: float, slope: float) -> None:
    """Of log-odds that are Student's t the probability of yes is that of quadrature, and its interval Student's."""
    levels = levels_of(
        replace(
            GaussianState.of(
                {
                    "coefficients": torch.tensor([[1.0]], dtype=torch.float64),
                    "covariance": torch.eye(1, dtype=torch.float64),
                    "design_covariance": torch.zeros(1, 1, dtype=torch.float64),
                    "log_noise": torch.zeros(0, dtype=torch.float64),
                    "noise_shape": torch.tensor(1e8, dtype=torch.float64),
                }
            ),
            spread_freedom=torch.tensor(freedom, dtype=torch.float64),
        ),
        False,
    )
    one = torch.ones(1, 1, dtype=torch.float64)
    forecast = OutcomeForecast(
        Bernoulli(), one, torch.zeros(len(levels), 1, 1), slope * levels.spread.sqrt()[:, None, None],
        levels.probability[:, None], torch.zeros(0), {}, one,
    )  # fmt: skip
    exact, _ = scipy.integrate.quad(
        lambda share: scipy.special.expit(1.0 + slope * scipy.stats.t.ppf(share, freedom)),
        0.0, 1.0, points=[float(scipy.stats.t.cdf(-1.0 / slope, freedom))],
    )  # fmt: skip
    assert float(forecast.mean) == pytest.approx(exact, abs=3e-3)
    drawn = forecast.sample(20_000, seed=1).double().mean()
    assert float(drawn) == pytest.approx(exact, abs=0.015)
    low, high = forecast.interval(0.5)
    reach = slope * scipy.stats.t.ppf(0.75, freedom)
    assert float(torch.logit(high)) == pytest.approx(1.0 + reach, rel=0.03, abs=0.03)
    assert float(torch.logit(low)) == pytest.approx(1.0 - reach, rel=0.03, abs=0.03)


def test_how_well_a_spread_is_known_is_told_with_what_all_share_known() -> None:
    """Of fifty children with four answers each; taken to differ, shared effects would hide all that is told of it."""
    model, tasks = find("responses.bacteria_present"), ms.dataset("bacteria")
    state = ms.meta_calibrate(model, tasks).state
    told = 1.0 - (1.0 / (1.0 / float(state.covariance[0, 0]) + 4.4 * 0.16)) / float(state.covariance[0, 0])
    # 220/50 answers at a share of four in five: an information of about 0.16 each, squared, of fifty less four effects
    assert 0.3 * 46 * told**2 < float(state.spread_freedom) < 50.0
    assert float(state.widening) < 1.5


def test_what_all_tasks_share_has_no_spread_in_pymcs_population() -> None:
    pytest.importorskip("pymc")
    from metasci.bayes import initial_point
    from metasci.bayes.joint import without_shared

    assert "log_noise" not in initial_point(
        np.ones((3, 2)), np.zeros(0)
    )  # yes or no has no scale to start at
    shared = np.array([False, True])
    covariance = without_shared(np.array([[[4.0, 1.0], [1.0, 2.0]]]), shared)
    np.testing.assert_allclose(covariance, [[[4.0, 0.0], [0.0, 1e-6]]])


def test_conditions_of_categories_are_asked_by_their_texts(tmp_path: Path, capsys) -> None:
    from metasci.cli.main import run

    fit = ms.load("wine").calibrate(ms.dataset("wine").select([0]))
    by_text = fit.predict(temperature=["cold", "warm"], contact="yes")
    by_code = fit.predict(temperature=[0.0, 1.0], contact=1.0)
    np.testing.assert_array_equal(by_text["median"].values, by_code["median"].values)
    with pytest.raises(InputError, match="contact: 'perhaps' is none of no, yes"):
        fit.predict(temperature="cold", contact="perhaps")
    table = tmp_path / "wine.csv"
    table.write_text("temperature,contact,rating\ncold,no,2\nwarm,yes,4\n")
    call = ["predict", "wine", str(table), "--at", "temperature=cold,warm", "--at"]
    assert run([*call, "contact=yes"]) == 0
    assert [line.split()[1:3] for line in capsys.readouterr().out.splitlines()[1:]] == [
        ["cold", "yes"],
        ["warm", "yes"],
    ]
    assert run([*call, "contact=perhaps"]) == 2
    assert "contact: 'perhaps' is none of no, yes" in capsys.readouterr().err
