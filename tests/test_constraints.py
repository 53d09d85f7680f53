"""Physical laws: what breaks them and by how much, where they are looked at, what they cost, what is said of them."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
import torch
from known import as_known
from torch import nn

import metasci as ms
from metasci.constraints import (
    Bounded,
    Concave,
    Conserved,
    Convex,
    Even,
    Grid,
    Integral,
    Limit,
    Monotone,
    NonNegative,
    Odd,
    OfOutput,
    QuasiRandom,
    Residual,
    Within,
)
from metasci.constraints.collocation import with_measured
from metasci.constraints.derivatives import derivatives
from metasci.data.cards import Card
from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.fits.warnings import warnings_of
from metasci.meta import (
    MAML,
    Composition,
    Descent,
    GaussianPrior,
    LawfulEpisode,
    Network,
    NetworkEpisode,
    Outer,
    adapt,
    compile_meta_gradient,
    initial,
    law_weights,
    meta_gradient,
    meta_train,
    named,
    query_loss,
)
from metasci.meta.compositions.training import learn
from metasci.meta.covariates import Covariates
from metasci.meta.laplace.gauss_newton import full_curvature, map_estimate, normal_equations
from metasci.meta.problem import Problem
from metasci.report.sections import calibration_report

FLOAT = torch.float64
INFINITY = float("inf")


def column(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=FLOAT)


def batch_of(
    inputs: dict[str, torch.Tensor], output: torch.Tensor, mask: torch.Tensor | None = None
) -> Batch:
    seen = torch.ones(output.shape, dtype=torch.bool) if mask is None else mask
    return Batch(inputs, output, seen, output[:, :0], tuple(f"task {k}" for k in range(len(output))))


# what breaks a law ------------------------------------------------------------------------------

X = column(0.0, 1.0, 2.0)
TWO = {"x": X, "t": column(1.0, 3.0, 2.0)}
DECAY = Residual("dy/dt = -0.5 y", lambda at, y, d: d("t") + 0.5 * y, scale="t")
WAVE = Residual("y'' = -4 y", lambda at, y, d: d("x", "x") + 4.0 * y, scale=0.25)


@pytest.mark.parametrize(
    ("law", "kept", "broken", "size"),
    [
        (Convex("x"), lambda i: i["x"] ** 2 + i["t"], lambda i: -3.0 * i["x"] ** 2, [12.0, 12.0, 12.0]),
        (Concave("x"), lambda i: -(i["x"] ** 2), lambda i: i["x"] ** 3, [0.0, 12.0, 24.0]),
        (Even("x"), lambda i: torch.cos(i["x"]), lambda i: i["x"] ** 2 - 0.5 * i["x"], [0.0, 1.0, 2.0]),
        (Even("x", 1.0), lambda i: (i["x"] - 1.0) ** 2, lambda i: i["x"], [2.0, 0.0, 2.0]),
        (Odd("x"), lambda i: i["x"] ** 3, lambda i: i["x"] + 0.25, [0.5, 0.5, 0.5]),
        (Odd("t", 2.0), lambda i: i["t"] - 2.0, lambda i: i["t"], [4.0, 4.0, 4.0]),
        (Monotone("t", increasing=True), lambda i: i["t"] ** 3, lambda i: -i["t"], [3.0, 3.0, 3.0]),
        (Limit("t", 0.0, 1.5), lambda i: 1.5 + i["t"] * i["x"], lambda i: 1.0 + i["x"], [0.5, 0.5, 1.5]),
        (Limit("t", INFINITY, 2.0), lambda i: 2.0 - torch.exp(-i["t"]), lambda i: 2.5 + i["x"] / i["t"],
         [0.5, 0.5 + 1 / 3000, 0.5 + 2 / 3000]),
        (Limit("t", -INFINITY, 0.0), lambda i: torch.exp(i["t"]), lambda i: torch.tanh(i["t"]), [1.0, 1.0, 1.0]),
        (Limit("t", 0.0, "x"), lambda i: i["x"] + i["t"], lambda i: 2.0 * i["x"], [0.0, 1.0, 2.0]),
        (Conserved(1.0, over="t", at=(0.0, 1.0)), lambda i: 0.5 + 0.0 * i["t"], lambda i: i["t"] + i["x"],
         [0.0, 2.0, 4.0]),
        (Conserved("x", over="t", at=(0.0, 1.0), weights=(1.0, 2.0)), lambda i: i["x"] / 3.0, lambda i: i["t"],
         [2.0, 1.0, 0.0]),
        (Integral("x", -1.0, 1.0, 2.0 / 3.0), lambda i: i["x"] ** 2, lambda i: i["x"] ** 2 + i["t"], [1.0, 3.0, 2.0]),
        (DECAY, lambda i: 2.0 * torch.exp(-0.5 * i["t"]), lambda i: 0.0 * i["t"] + 1.0, [1.5, 1.5, 1.5]),
        (WAVE, lambda i: torch.sin(2.0 * i["x"]), lambda i: i["x"] ** 2, [0.5, 1.5, 4.5]),
        (Within(NonNegative(), 0.5), lambda i: -0.5 + i["x"], lambda i: -i["x"], [0.0, 0.5, 1.5]),
    ],
    ids=lambda value: value.law if hasattr(value, "law") else "",
)  # fmt: skip
def test_each_law_knows_what_keeps_it_and_what_breaks_it_by_how_much(law, kept, broken, size) -> None:
    assert float(law.violation(kept, TWO).detach().max()) < 1e-12
    np.testing.assert_allclose(law.violation(broken, TWO).detach()[0], size, rtol=1e-12, atol=1e-12)


def test_laws_about_several_outputs() -> None:
    shares = lambda i: torch.stack([i["x"], 1.0 - i["x"], 0.5 * i["t"]], -1)  # noqa: E731
    first_two = Conserved(1.0, weights=(1.0, 1.0, 0.0))
    np.testing.assert_allclose(first_two.violation(shares, TWO)[0], 0.0, atol=1e-15)
    np.testing.assert_allclose(Conserved(1.0).violation(shares, TWO)[0], [0.5, 1.5, 1.0])
    np.testing.assert_allclose(OfOutput(1, NonNegative()).violation(shares, TWO)[0], [0.0, 0.0, 1.0])
    rising = Monotone("x", increasing=True).violation(shares, TWO).detach()
    np.testing.assert_allclose(rising[0], [[0.0, 2.0, 0.0]] * 3)
    assert OfOutput(1, Monotone("x", increasing=True)).violation(shares, TWO).shape == (1, 3)


def test_laws_in_words() -> None:
    told = [
        (Convex("x"), "convex in x"),
        (Concave("x"), "concave in x"),
        (Even("x", 1.0), "even in x about 1"),
        (Odd("x"), "odd in x"),
        (Limit("time", 0.0, "dose"), "equal to dose at time 0"),
        (Limit("time", -INFINITY, 0.0), "tending to 0 as time falls"),
        (Conserved(), "summed over outputs equal to 1"),
        (Conserved(2.0, "phase", (0, 1), (1, 2)), "weighted and summed over phase equal to 2"),
        (Integral("x", 0.0, 1.0, "dose"), "integrated over x from 0 to 1 equal to dose"),
        (DECAY, "obeying dy/dt = -0.5 y"),
        (Within(Even("x"), 0.1), "even in x, to within 0.1"),
        (OfOutput(2, Convex("x")), "output 2 convex in x"),
    ]
    assert [law.law for law, _ in told] == [words for _, words in told]
    assert Within(Bounded(0.0, 1.0), 0.5).limits == (-0.5, 1.5)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: NonNegative(weight=-1.0), "weight"),
        (lambda: Bounded(1.0, 0.0), "lower"),
        (lambda: Conserved(over="x"), "`at`"),
        (lambda: Conserved(over="x", at=(0.0, 1.0), weights=(1.0,)), "2 terms"),
        (lambda: QuasiRandom({"x": (1.0, 1.0)}), "empty"),
        (lambda: Even("y").violation(lambda i: i["x"], TWO), "'y' is not an input"),
        (lambda: Limit("y", 0.0, 1.0).violation(lambda i: i["x"], TWO), "'y' is not an input"),
        (lambda: Convex("y").violation(lambda i: i["x"], TWO), "'y' is not an input"),
        (lambda: Conserved().violation(lambda i: i["x"], TWO), "one output"),
        (lambda: Conserved(weights=(1.0,)).violation(lambda i: torch.stack([i["x"]] * 2, -1), TWO), "2 outputs"),
        (lambda: with_measured(TWO, X > -1.0, Grid({"y": (0.0,)})), "'y' is not an input"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(make, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()


def test_derivatives_against_finite_differences() -> None:
    def predict(at):
        return torch.stack([torch.sin(at["x"]) * at["t"] ** 2, torch.exp(0.3 * at["x"] * at["t"])], -1)

    d, h = derivatives(predict, TWO), 1e-4

    def moved(**by: float) -> torch.Tensor:
        return predict({name: values + by.get(name, 0.0) for name, values in TWO.items()})

    first = (moved(x=h) - moved(x=-h)) / (2 * h)
    second = (moved(t=h) - 2 * moved() + moved(t=-h)) / h**2
    mixed = (moved(x=h, t=h) - moved(x=h, t=-h) - moved(x=-h, t=h) + moved(x=-h, t=-h)) / (4 * h * h)
    for made, numeric in ((d("x"), first), (d("t", "t"), second), (d("x", "t"), mixed), (d("t", "x"), mixed)):
        np.testing.assert_allclose(made.detach(), numeric, rtol=1e-6, atol=1e-6)
    assert float(derivatives(lambda at: at["x"], TWO)("t").abs().max()) == 0.0
    assert float(derivatives(lambda at: at["x"], TWO)("x", "x").abs().max()) == 0.0


# where laws are looked at -----------------------------------------------------------------------


def test_points_repeat_with_the_seed_and_fill_their_ranges() -> None:
    ranges = {"x": (-5.0, 5.0), "t": (0.0, 1.0)}
    one, same, other = (QuasiRandom(ranges, 50, seed).points for seed in (1, 1, 2))
    np.testing.assert_array_equal(one["x"], same["x"])
    assert (one["x"] != other["x"]).any()
    counts = np.histogram(one["x"], np.linspace(-5.0, 5.0, 6))[0]
    assert counts.sum() == 50
    assert counts.min() >= 8  # evenly: ten each, give or take two
    assert one["t"].min() > 0.0
    assert one["t"].max() < 1.0


def test_unnamed_inputs_take_the_tasks_own_values_in_turn_whatever_the_padding() -> None:
    mask = torch.tensor([[True, True, False], [False, True, False]])
    inputs = {"x": torch.arange(6.0).reshape(2, 3), "t": 10.0 + torch.arange(6.0).reshape(2, 3)}
    points, seen = with_measured(inputs, mask, Grid({"x": (7.0, 8.0, 9.0)}))
    assert points["x"].tolist() == [[0, 1, 2, 7, 8, 9], [3, 4, 5, 7, 8, 9]]
    assert points["t"][:, 3:].tolist() == [[10, 11, 10], [14, 14, 14]]
    assert seen.tolist() == [[True, True, False, True, True, True], [False, True, False, True, True, True]]


# equations ----------------------------------------------------------------------------------------


def hump(**options: object) -> ms.Model:
    """Dips below zero between whole numbers where `depth` is large, and is not even where `tilt` is not zero."""

    @ms.equation(
        inputs={"x": "mm"},
        output=("height", "kPa"),
        parameters=[
            ms.Parameter("level", "kPa", typical=1.0, spread=1.0),
            ms.Parameter("depth", "kPa", typical=0.5, spread=1.0),
            ms.Parameter("tilt", "kPa/mm", typical=0.0, spread=0.5),
        ],
        noise=ms.Additive((0.1,)),
        name="test.hump",
        **options,  # type: ignore[arg-type]
    )
    def made(x, *, level, depth, tilt):
        """Level at whole numbers, lower between them."""
        from metasci.math import cos

        return level - depth * (0.5 - 0.5 * cos(2.0 * math.pi * x)) + tilt * x

    return made


LAWS = (
    NonNegative(weight=2.0),
    Even("x", weight=0.5),
    Convex("x", weight=0.01),
    Limit("x", 0.5, 0.7),
    Integral("x", 0.0, 1.0, 0.9, nodes=4),
    Residual("dy/dx = 0", lambda at, y, d: d("x"), scale="x", weight=0.1),
)
COLLOCATION = QuasiRandom({"x": (-1.0, 3.0)}, count=7)


def humps(tasks: int, depth: float = 3.0, seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    x = torch.arange(4.0, dtype=FLOAT).expand(tasks, 4)
    level = 1.0 + 0.3 * torch.randn(tasks, 1, generator=generator, dtype=FLOAT)
    near = 0.05 * torch.randn(tasks, 4, generator=generator, dtype=FLOAT)
    mask = torch.ones(tasks, 4, dtype=torch.bool)
    mask[0, 3] = False
    return batch_of({"x": x}, level + near, mask)


def test_collocation_finds_what_measured_points_miss() -> None:
    """The equation is above zero at every whole number, where it was measured, and far below between them."""
    at = torch.tensor([[0.0, 2.5, 0.0]], dtype=FLOAT)  # level 1, depth 3
    measured, everywhere = (
        Problem(hump(constraints=[NonNegative()], collocation=points), humps(1), 1.0)
        for points in (None, Grid({"x": (0.25, 0.5)}))
    )
    assert float(measured.penalty_cost(at)) == 0.0
    broken = everywhere.violation(at)[0, 0] * 0.1
    np.testing.assert_allclose(broken, [0.0, 0.0, 0.0, 0.0, 0.5, 2.0], atol=1e-12)
    # three measured points count, one is padding: a mean over five
    assert float(everywhere.penalty_cost(at)) == pytest.approx(0.5 * (5.0**2 + 20.0**2) / 5.0)


def test_a_penalty_at_collocation_points_makes_a_calibration_lawful() -> None:
    model = hump(constraints=[NonNegative()], collocation=Grid({"x": (0.5,)}))
    batch, mean = humps(1), torch.tensor([[0.0, 3.0, 0.0]], dtype=FLOAT)
    precision, noise = torch.eye(3, dtype=FLOAT)[None], torch.tensor([0.1], dtype=FLOAT).log()
    free, bound = (map_estimate(Problem(model, batch, w), mean, precision, noise) for w in (0.0, 1e4))
    worst = [float(Problem(model, batch).violation(fit.coordinates).max()) for fit in (free, bound)]
    assert worst[0] > 10.0
    assert worst[1] < 0.05


@pytest.mark.parametrize("joint", [False, True])
def test_slope_of_the_penalty_in_the_normal_equations(joint: bool) -> None:
    model = dataclasses.replace(hump(constraints=LAWS, collocation=COLLOCATION), joint=joint)
    weights = torch.tensor([1.0, 0.3, 2.0, 0.5, 1.0, 0.7], dtype=FLOAT)
    problem = Problem(model, humps(3), weights)
    at = 0.8 * torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=FLOAT)
    nothing, ones = torch.zeros(3, 3, 3, dtype=FLOAT), torch.ones(3, dtype=FLOAT)
    noise = torch.tensor([0.1], dtype=FLOAT).log()
    gradient, hessian = normal_equations(problem, at, at, nothing, noise, ones)[:2]
    whole = full_curvature(problem, at, at, nothing, noise, ones)[0]
    np.testing.assert_allclose(gradient, whole, rtol=1e-9)
    assert (torch.linalg.eigvalsh(hessian) > 0).any()
    for k in range(3):
        step = torch.zeros_like(at)
        step[:, k] = 1e-6
        numeric = (
            (problem.negative_log_likelihood(at + step, noise) + problem.penalty_cost(at + step))
            - (problem.negative_log_likelihood(at - step, noise) + problem.penalty_cost(at - step))
        ) / 2e-6
        np.testing.assert_allclose(gradient[:, k], numeric.detach(), rtol=1e-5)


def test_a_law_that_no_parameter_moves_costs_nothing_to_differentiate() -> None:
    @ms.equation(
        inputs={"x": "1"}, output=("y", "1"), parameters=[ms.Parameter("level", typical=1.0)], name="test.slope",
        constraints=[Monotone("x", increasing=False)],
    )  # fmt: skip
    def steady(x, *, level):
        """Rises whatever the parameter."""
        return level + x

    problem = Problem(steady, batch_of({"x": column(0.0, 1.0)}, column(1.0, 2.0)), 1.0)
    zero = torch.zeros(1, 1, dtype=FLOAT)
    found = map_estimate(problem, zero, torch.eye(1, dtype=FLOAT)[None], torch.zeros(1, dtype=FLOAT))
    assert bool(found.converged.all())


def equation_episode(**options: object):
    model = hump(constraints=LAWS, collocation=COLLOCATION)
    method = MAML(step_size=0.002, penalty=0.5, learn_penalty=True, steps=3, **options)  # type: ignore[arg-type]
    batch = humps(4)
    design = Covariates.learn((), (), batch.covariates).design(batch.covariates)
    problem = Problem(model, batch, method.penalty)
    state = method.initial(problem, design)
    support = torch.zeros_like(batch.mask)
    support[:, ::2] = True
    learned = dict(state.learned)
    learned["mean"] = torch.tensor([0.2, 1.5, 0.3], dtype=FLOAT)
    return method, method.episode(problem, design, support), learned


def test_meta_gradient_of_laws_and_their_weights_against_central_differences() -> None:
    method, episode, learned = equation_episode()
    composition = method.adaptation(0.002)
    _, slopes = meta_gradient(composition, episode, learned)
    assert learned["log_penalty"].shape == (len(LAWS),)
    for name in ("mean", "log_penalty"):
        for k in range(len(learned[name])):
            values = []
            for shift in (1e-5, -1e-5):
                moved = learned[name].clone()
                moved[k] += shift
                values.append(
                    float(query_loss(composition, episode, {**learned, name: moved}).mean().detach())
                )
            numeric = (values[0] - values[1]) / 2e-5
            assert abs(numeric) > 1e-6
            assert float(slopes[name][k]) == pytest.approx(numeric, rel=2e-4, abs=1e-8)


def test_learned_weights_move_each_by_itself_and_stay_positive() -> None:
    model = hump(constraints=[NonNegative(), Even("x")], collocation=Grid({"x": (0.5, 1.5)}))
    batch = humps(6)
    design = Covariates.learn((), (), batch.covariates).design(batch.covariates)
    method = MAML(3, penalty=2.0, learn_penalty=True, iterations=15)
    state, _ = learn(method, Problem(model, batch, method.penalty), design)
    weights = state.log_penalty.exp()
    assert weights.shape == (2,)
    assert float((weights - 2.0).abs().max()) > 1e-2
    assert float((weights[0] - weights[1]).abs()) > 1e-2
    assert float(weights[0]) != float(weights[1])


def test_a_checkpoint_belongs_to_its_laws(tmp_path) -> None:
    def run(*laws: ms.constraints.Constraint, collocation=None) -> None:
        batch = humps(4)
        design = Covariates.learn((), (), batch.covariates).design(batch.covariates)
        model = hump(constraints=laws, collocation=collocation)
        learn(
            GaussianPrior(2, penalty=1.0), Problem(model, batch, 1.0), design, checkpoint=tmp_path / "state"
        )

    def residual(size: float) -> Residual:
        return Residual("something", lambda at, y, d: size * d("x"))

    run(residual(1.0))
    run(residual(1.0))  # a function made anew is the same law
    for other in ((residual(2.0),), (NonNegative(),)):
        with pytest.raises(InputError, match="another run"):
            run(*other)
    with pytest.raises(InputError, match="another run"):
        run(residual(1.0), collocation=COLLOCATION)


def hump_tasks(tasks: int = 6) -> TaskSet:
    random = np.random.default_rng(0)
    x = np.tile(np.arange(0.0, 2.01, 0.25), tasks)
    task = np.repeat([f"specimen {k}" for k in range(tasks)], 9)
    level = np.repeat(1.0 + 0.1 * random.standard_normal(tasks), 9)
    depth = np.repeat(np.where(np.arange(tasks) == 2, 2.0, 0.5), 9)
    height = level - depth * np.sin(np.pi * x) ** 2 + 0.01 * random.standard_normal(len(x))
    frame = pd.DataFrame({"task": task, "x [mm]": x, "height [kPa]": height})
    return TaskSet.from_frame(frame, Card.from_model(hump()))


def test_every_calibration_says_which_laws_are_broken_where_and_by_how_much(tmp_path) -> None:
    model = hump(constraints=[NonNegative(), Limit("x", 5.5, 20.0)], collocation=Grid({"x": (0.5, 3.5)}))
    tasks = hump_tasks()
    prior = as_known(ms.meta_calibrate(model, tasks))
    fit = prior.calibrate(tasks)
    laws = fit.laws().set_index(["law", "task"])
    assert list(laws.columns) == ["satisfied", "violation", "points", "broken", "x"]
    kept, broken = (laws.loc[("not below zero", f"specimen {k}")] for k in (1, 2))
    assert bool(kept["satisfied"])
    assert kept["violation"] == 0.0
    assert np.isnan(kept["x"])
    assert not bool(broken["satisfied"])
    assert broken["violation"] == pytest.approx(
        1.0, abs=0.25
    )  # 1 less 2 between whole numbers, and a slight tilt
    assert broken["x"] % 1.0 == 0.5
    assert broken["points"] == 11
    said = fit.predict(x=[broken["x"]])["median"].values[2, 0]
    assert -said == pytest.approx(broken["violation"], rel=1e-9)
    assert (laws.loc["equal to 20 at x 5.5"]["x"] == 5.5).all()
    found = [
        text for text in warnings_of(fit) if text.startswith("task specimen 2") and "not below zero" in text
    ]
    assert len(found) == 1
    assert f"by up to {broken['violation']:.3g} kPa (at x {broken['x']:g} mm)" in found[0]
    told = {(row["task"], row["law"]): row for row in fit.to_json()["laws"]}
    assert told["specimen 1", "not below zero"]["satisfied"] is True
    assert told["specimen 1", "not below zero"]["x"] is None
    page = calibration_report(fit)
    assert "at the measured and 2 further conditions" in page
    assert f"x {broken['x']:g} mm" in page
    stored = fit.to_xarray()["law_violation"].sel(law="not below zero").values
    np.testing.assert_array_equal(stored > 0.0, ~laws.loc["not below zero"]["satisfied"].values.astype(bool))
    assert stored[2] == pytest.approx(broken["violation"])
    many = prior.calibrate_many(tasks, chunk=4)["law_violation"].sel(law="not below zero")
    np.testing.assert_allclose(many.values, stored, rtol=1e-9)
    nowhere = fit.laws(Grid({"x": (100.0,)})).set_index(["law", "task"])
    assert nowhere.loc[("not below zero", "specimen 2")]["points"] == 10


def test_learned_weights_of_laws_come_back_from_a_file(tmp_path) -> None:
    model = hump(constraints=[NonNegative(), Even("x")], collocation=COLLOCATION)
    method = MAML(2, penalty=1.0, learn_penalty=True, iterations=3)
    prior = ms.meta_calibrate(model, hump_tasks(), method)
    again = ms.Prior.load(prior.save(tmp_path / "prior"), model)
    assert torch.equal(again.state.log_penalty, prior.state.log_penalty)
    one, two = (p.calibrate(hump_tasks()).parameters["estimate"] for p in (prior, again))
    np.testing.assert_array_equal(one, two)
    for others in ((NonNegative(),), (NonNegative(), Odd("x"))):
        with pytest.raises(InputError, match="weights were learned for the laws"):
            ms.Prior.load(tmp_path / "prior", dataclasses.replace(model, constraints=others))
    with pytest.raises(InputError, match="states no physical law"):
        ms.meta_calibrate(dataclasses.replace(model, constraints=()), hump_tasks(), method)


def test_laws_that_hold_by_construction_are_satisfied_to_rounding() -> None:
    bell = Integral("x", -40.0, 40.0, 1000.0, nodes=200)
    even_in_x = [NonNegative(), Even("x"), Limit("x", INFINITY, 0.0), Limit("x", -INFINITY, 0.0), bell]
    heat = Residual("du/dt = u''", lambda at, y, d: d("t") - d("x", "x"), scale="t")

    @ms.equation(
        inputs={"x": "m", "t": "s"},
        output=("temperature", "K"),
        parameters=[ms.Parameter("age", "s", typical=1.0, bounds=(0.5, 3.0))],
        constraints=[*even_in_x, heat],
        collocation=QuasiRandom({"x": (-4.0, 4.0), "t": (0.1, 2.0)}, 40),
        name="test.heat",
    )
    def spreading(x, t, *, age):
        """Heat let go at a point spreads: the fundamental solution of du/dt = u''."""
        from metasci.math import exp, sqrt

        return 1000.0 / sqrt(4.0 * math.pi * (t + age)) * exp(-(x**2) / (4.0 * (t + age)))

    rows = [(name, x, 0.5, float(y)) for name, y in (("a", 200.0), ("b", 240.0)) for x in (-1.0, 0.0, 0.5)]
    frame = pd.DataFrame(rows, columns=["task", "x [m]", "t [s]", "temperature [K]"])
    laws = (
        ms.meta_calibrate(spreading, TaskSet.from_frame(frame, Card.from_model(spreading)))
        .calibrate(frame)
        .laws()
    )
    assert len(laws) == 12
    assert laws["satisfied"].all()
    assert laws["violation"].max() > 0.0  # rounding, and no more
    assert laws["violation"].max() < 1e-8
    assert (laws["points"] == 43).all()


# networks -----------------------------------------------------------------------------------------


def perceptron(outputs: int = 1, inputs: int = 2) -> Network:
    module = nn.Sequential(nn.Linear(inputs, 6), nn.Tanh(), nn.Linear(6, outputs)).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for value in module.parameters():
            value.copy_(0.7 * torch.randn(value.shape, generator=generator, dtype=FLOAT))
    return Network(module)


def network_episode(network: Network, outputs: int = 1, **options: object) -> LawfulEpisode:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(3, 9, 2, generator=generator, dtype=FLOAT)
    y = torch.randn(3, 9, outputs, generator=generator, dtype=FLOAT)
    episode = NetworkEpisode(network, x[:, :4], y[:, :4], x[:, 4:], y[:, 4:])
    return LawfulEpisode(episode, features=("x", "t"), **options)  # type: ignore[arg-type]


NETWORK_LAWS = (
    NonNegative(),
    Even("x", weight=0.5),
    Convex("t"),
    Monotone("t", increasing=True),
    Limit("x", 0.0, 1.0),
    Integral("x", -1.0, 1.0, 1.0, nodes=4),
    Residual("heat", lambda at, y, d: d("t") - d("x", "x")),
)
POINTS = QuasiRandom({"x": (-2.0, 2.0), "t": (0.0, 1.0)}, 6)


def test_meta_gradient_of_a_network_under_laws_against_central_differences() -> None:
    network = perceptron()
    episode = network_episode(network, laws=NETWORK_LAWS, collocation=POINTS, outer=0.7)
    composition = Composition(Descent(0.02, "scalar"), steps=2)
    learned = initial(composition, network.start()) | law_weights(NETWORK_LAWS, 0.3, network.start())
    _, slopes = meta_gradient(composition, episode, learned)
    assert set(slopes) == set(learned)
    for name in ("0.weight", "2.bias", "log_penalty", "rule/rate"):
        flat = learned[name].reshape(-1)
        for k in range(min(len(flat), 7)):
            values = []
            for shift in (1e-6, -1e-6):
                moved = flat.clone()
                moved[k] += shift
                changed = {**learned, name: moved.reshape(learned[name].shape)}
                values.append(float(query_loss(composition, episode, changed).mean().detach()))
            numeric = (values[0] - values[1]) / 2e-6
            assert float(slopes[name].reshape(-1)[k]) == pytest.approx(numeric, rel=1e-5, abs=1e-7)
    assert float(slopes["log_penalty"].abs().min()) > 0.0


def test_laws_can_be_traced(monkeypatch) -> None:
    """Tracing is tested here, without the minutes that a compiler takes."""
    monkeypatch.setattr(torch, "compile", lambda graph, backend: graph)
    network = perceptron()
    method, equation, of_equation = equation_episode()
    laws = NETWORK_LAWS[:3]
    of_network = initial(named.maml(1), network.start()) | law_weights(laws, 0.3, network.start())
    lawful = network_episode(network, laws=laws, collocation=POINTS)
    for composition, episode, learned in (
        (dataclasses.replace(method.adaptation(0.002), steps=1), equation, of_equation),
        (named.maml(1), lawful, of_network),
    ):
        quick = compile_meta_gradient(composition, episode, learned)
        assert quick.holds_for(episode)
        loss, slopes = quick(episode, learned)
        expected, gradient = meta_gradient(composition, episode, learned)
        torch.testing.assert_close(loss, expected, rtol=1e-10, atol=0)
        for name, slope in gradient.items():
            torch.testing.assert_close(slopes[name], slope, rtol=1e-8, atol=1e-12)
    same = network_episode(network, laws=laws, collocation=QuasiRandom(POINTS.ranges, 6))
    assert quick.holds_for(same)
    assert not quick.holds_for(dataclasses.replace(lawful, outer=2.0))


@pytest.mark.parametrize(("loss", "weight"), [("support", "inner"), ("query", "outer")])
def test_a_broken_law_costs_in_proportion_to_its_weight(loss: str, weight: str) -> None:
    network = perceptron()
    episode = network_episode(network, laws=(NonNegative(), Even("x")), collocation=POINTS)

    def cost(of: float) -> torch.Tensor:
        one = dataclasses.replace(episode, **{weight: of})
        own, shared = one.start(network.start())
        value: torch.Tensor = getattr(one, loss)({**own, **shared})
        return value.detach()

    free, once, thrice = (cost(of) for of in (0.0, 1.0, 3.0))
    assert bool((once > free).all())
    torch.testing.assert_close(thrice - free, 3.0 * (once - free), rtol=1e-9, atol=0.0)


def test_a_network_learns_to_be_lawful_and_weights_of_laws_are_learned_beside() -> None:
    network = perceptron()
    laws = (NonNegative(), Even("x"))
    episode = network_episode(network, laws=laws, collocation=POINTS, outer=10.0)
    method = named.maml(steps=1, step_size=0.02)
    start = initial(method, network.start()) | law_weights(laws, 1.0, network.start())
    plan = Outer(iterations=60, learning_rate=0.02)
    plain, lawful = (
        meta_train(method, lambda seed, made=made: made, start, plan).learned
        for made in (dataclasses.replace(episode, outer=0.0), episode)
    )
    sizes = []
    for learned in (plain, lawful):
        told = episode.verdicts(adapt(method, episode, learned))
        sizes.append(told.groupby("law")["violation"].max())
    assert (sizes[1] < 0.7 * sizes[0]).all()
    assert float((lawful["log_penalty"]).abs().max()) > 1e-2
    assert float((lawful["log_penalty"][0] - lawful["log_penalty"][1]).abs()) > 1e-2


def test_several_outputs_of_a_network_add_up() -> None:
    network = perceptron(outputs=3)
    episode = network_episode(
        network, 3, laws=(Conserved(1.0), OfOutput(0, NonNegative()), Even("t")), inner=2.0
    )
    weights = {name: value.expand(3, *value.shape) for name, value in network.start().items()}
    x = episode.episode.query_inputs
    said = network(weights, x)
    mirrored = network(weights, x * torch.tensor([1.0, -1.0], dtype=FLOAT))
    by_hand = (
        (said.sum(-1) - 1.0).square().mean(1)
        + (-said[..., 0]).clamp(min=0.0).square().mean(1)
        + (said - mirrored).square().mean((1, 2))
    )
    cost = episode.query(weights) - episode.episode.query(weights)
    np.testing.assert_allclose(cost.detach(), by_hand.detach(), rtol=1e-12)
    told = episode.verdicts(weights, ("a", "b", "c")).set_index(["law", "task"])
    worst = (said[1].sum(-1) - 1.0).abs()
    row = told.loc[("summed over outputs equal to 1", "b")]
    assert row["violation"] == pytest.approx(float(worst.max()))
    assert row["x"] == float(x[1, int(worst.argmax()), 0])


def test_a_lawful_module_is_found_lawful_and_padding_counts_for_nothing() -> None:
    class Bell(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.height = nn.Parameter(torch.tensor([2.0], dtype=FLOAT))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.height * torch.exp(-x.square())

    network = Network(Bell())
    x = torch.linspace(-1.0, 2.0, 6, dtype=FLOAT).reshape(1, 6, 1)
    mask = torch.tensor([[True, True, True, True, True, False]])
    x[0, 5] = 50.0  # padding
    laws = (NonNegative(), Even("x"), Limit("x", INFINITY, 0.0), Monotone("x", increasing=False))
    episode = LawfulEpisode(
        NetworkEpisode(network, x, x, x, x, mask, mask), laws, ("x",), Grid({"x": (-0.5, 3.0)})
    )
    weights = {"height": torch.full((1, 1), 2.0, dtype=FLOAT, requires_grad=True)}
    told = episode.verdicts(weights).set_index("law")
    assert told["satisfied"].tolist() == [True, True, True, False]
    assert (told["points"] == 7).all()
    # 2 exp(-x²) rises most steeply at -1/√2; of the points looked at, at -0.5
    assert told.loc["falling with x", "x"] == -0.5
    assert told.loc["falling with x", "violation"] == pytest.approx(2.0 * math.exp(-0.25) * 3.0)
    (slope,) = torch.autograd.grad(episode.support(weights).sum(), weights["height"])
    assert bool(torch.isfinite(slope).all())


def test_inputs_that_are_a_dict_need_no_names() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.ones(1, dtype=FLOAT))

        def forward(self, given: dict[str, torch.Tensor]) -> torch.Tensor:
            return self.factor * given["parts"].sum(-1) * given["temperature"]

    made = {"parts": torch.ones(2, 3, 4, dtype=FLOAT), "temperature": -torch.ones(2, 3, dtype=FLOAT)}
    y = torch.zeros(2, 3, dtype=FLOAT)
    episode = NetworkEpisode(Network(Sum()), made, y, made, y)
    lawful = LawfulEpisode(episode, (NonNegative(), Monotone("temperature", increasing=False)))
    told = lawful.verdicts({"factor": torch.ones(2, 1, dtype=FLOAT)})
    assert told["violation"].tolist() == [4.0, 4.0, 4.0, 4.0]
    with pytest.raises(InputError, match="features"):
        LawfulEpisode(episode, (NonNegative(),), collocation=POINTS)


def test_lawful_episodes_that_make_no_sense_are_refused() -> None:
    network = perceptron()
    with pytest.raises(InputError, match="2 columns"):
        LawfulEpisode(network_episode(network, laws=()).episode, (), ("x",))
    with pytest.raises(InputError, match="above zero"):
        law_weights((NonNegative(),), 0.0, network.start())
    normal = Network(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Linear(2, 1)).double())
    with pytest.raises(InputError, match="batch normalisation"):
        network_episode(normal, laws=())


def test_laws_and_points_that_make_no_sense_are_refused() -> None:
    for made, wrong in (
        (lambda: Grid({"x": ()}), "at least one"),
        (lambda: Grid({"x": (0.0, math.nan)}), "finite"),
        (lambda: Grid({}), "at least one input"),
        (lambda: QuasiRandom({"x": (0.0, 1.0)}, 0), "at least one point"),
        (lambda: QuasiRandom({"x": (0.0, math.inf)}), "has no end"),
        (lambda: Within(Even("x"), -0.1), "margin -0.1"),
        (lambda: Integral("x", 1.0, 0.0, 1.0), "must be finite and not empty"),
        (lambda: Integral("x", 0.0, math.inf, 1.0), "must be finite and not empty"),
    ):
        with pytest.raises(InputError, match=wrong):
            made()


def test_points_are_not_taken_for_outputs() -> None:
    here = {"x": torch.tensor([[-1.0, 2.0, 3.0]])}
    assert OfOutput(0, NonNegative()).violation(lambda at: at["x"], here).tolist() == [[1.0, 0.0, 0.0]]
    with pytest.raises(InputError, match="outputs are counted from 0, and there are 1"):
        OfOutput(2, NonNegative()).violation(lambda at: at["x"], here)
    two = lambda at: torch.stack([at["x"], -at["x"]], -1)  # noqa: E731
    with pytest.raises(InputError, match="and there are 2"):
        OfOutput(2, NonNegative()).violation(two, here)


def test_a_law_that_no_point_tells_of_is_not_called_satisfied() -> None:
    """Nothing measured; or only at zero, where a slope over the input's size, and a far end, are nothing."""

    @ms.equation(
        inputs={"time": "h"},
        output=("level", "mg/L"),
        name="tests.laws_unchecked",
        parameters=[
            ms.Parameter("first", "mg/L", typical=10.0, positive=True, spread=0.3),
            ms.Parameter("slope", "mg/L/h", typical=-1.0, spread=3.0),
        ],
        noise=ms.Additive((0.5,)),
        constraints=[NonNegative(), Monotone("time", increasing=False), Limit("time", float("inf"), 0.0)],
    )
    def line(time, *, first, slope):
        """A line, which breaks the last law as soon as there is a time."""
        return first + slope * time

    prior = ms.Prior.declared(line)
    empty = prior.calibrate(pd.DataFrame({"time [h]": [1.0], "level [mg/L]": [np.nan]}))
    assert empty.laws()["satisfied"].isna().all()
    assert empty.to_json()["laws"][0]["satisfied"] is None
    assert empty.to_xarray()["law_violation"].isnull().all()
    assert calibration_report(empty).count("not checked: no point tells of it") == 3
    both = pd.DataFrame({"task": ["a", "b"], "time [h]": [0.0, 2.0], "level [mg/L]": [9.0, 8.0]})
    fit = prior.calibrate(both)
    laws = fit.laws().set_index(["law", "task"])["satisfied"]
    assert laws["falling with time", "a"] is None
    assert laws["falling with time", "b"] is True
    assert laws["tending to 0 as time grows", "a"] is None
    assert laws["tending to 0 as time grows", "b"] is False
    assert laws["not below zero", "a"] is True
    assert not [text for text in fit.warnings if "task a" in text and "breaks the law" in text]
    assert "satisfied in the 1 of 2 tasks in which it was checked" in calibration_report(fit)
