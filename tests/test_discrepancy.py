"""An equation and what it leaves out, as one Gaussian process: against dense algebra, and as a prior."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

import metasci as ms
from metasci.constraints import Monotone, NonNegative
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.fits.posterior import posterior_draws
from metasci.fits.predictive import predictive, sampled
from metasci.meta import DiscrepancyPrior, DiscrepancyState, GaussianPrior
from metasci.meta.covariates import Design
from metasci.meta.discrepancy import condensing
from metasci.meta.discrepancy.condensing import condensed, inducing_rows, likeliest_tails, with_tasks
from metasci.meta.discrepancy.kernel import Rows, first_scales
from metasci.meta.discrepancy.lawful import rises_and_bounds
from metasci.meta.discrepancy.likelihood import belief, linearised, posterior_means
from metasci.meta.discrepancy.objective import cost_and_slopes, sample
from metasci.meta.laplace.gauss_newton import map_estimate
from metasci.meta.problem import Problem
from metasci.report.residuals import conditional_weighted_residuals

F64 = torch.float64


@ms.equation(
    inputs={"x": "1"}, output=("y", "1"), name="test.discrepancy_line",
    parameters=[ms.Parameter("intercept", "1", 0.0, spread=1.0), ms.Parameter("slope", "1", 0.0, spread=1.0)],
    noise=ms.Additive((0.1,)), covariates={"size": "1"},
)  # fmt: skip
def line(x, *, intercept, slope):
    """A straight line."""
    return intercept + slope * x


def some_tasks(count: int, seed: int = 0, places: int = 6) -> TaskSet:
    """Lines with a bend that they share, which grows with the size, and one of their own."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    rows = []
    for task in range(count):
        size, x = rng.normal(), np.sort(rng.uniform(0.0, 3.0, places))
        own = rng.normal(0.0, 0.1)
        y = 1.0 + rng.normal(0, 0.3) + (0.5 + 0.2 * size) * x + 0.4 * np.sin(2.5 * x) + own * np.cos(2.0 * x)
        rows += [
            (f"t{task}", size, each, value)
            for each, value in zip(x, y + rng.normal(0, 0.03, places), strict=True)
        ]
    frame = pd.DataFrame(rows, columns=["task", "size [1]", "x [1]", "y [1]"])
    return TaskSet.from_frame(frame, ms.Card.from_model(line))


def problem_of(tasks: TaskSet) -> tuple[Problem, Design]:
    """Tasks and their sizes, not standardised."""
    batch = tasks.batch(line, covariates=("size",))
    return Problem(line, batch), Design(batch.covariates, torch.zeros(len(batch), 1, 1, dtype=F64))


def by_hand(problem: Problem, design: Design, inducing: int | None = None) -> DiscrepancyState:
    """A state with scales of no special kind, which knows the tasks of a problem."""
    scales = first_scales(torch.tensor([[0.3, 0.1], [0.1, 0.2]], dtype=F64), 1, 1)
    scales["shared_lengths"] = torch.tensor([-0.4], dtype=F64)
    scales["covariate_lengths"] = torch.tensor([0.3], dtype=F64)
    one, none = torch.ones((), dtype=F64), torch.zeros(0, dtype=F64)
    empty = torch.zeros(0, 1, dtype=F64)
    state = DiscrepancyState(
        scales=scales, log_noise=torch.tensor([-1.0], dtype=F64), unit=0.8 * one, level=1.5 * one,
        origin=torch.tensor([0.2, -0.1], dtype=F64), centre=torch.tensor([1.5], dtype=F64),
        width=torch.tensor([0.9], dtype=F64),
        rows=Rows(empty, torch.zeros(0, 2, dtype=F64), empty, empty, none, none, empty[:, :0]),
        precision=torch.zeros(0, 0, dtype=F64), pull=none, freedom=1e9 * one, stretch=one, iteration=one,
    )  # fmt: skip
    data = linearised(problem, design, state, torch.zeros(len(problem), 2, dtype=F64))
    chosen = (
        torch.arange(len(data.rows)) if inducing is None else inducing_rows(state.kernel, data.rows, inducing)
    )
    return condensed(problem, data, state, chosen)


def dense(state: DiscrepancyState, one: dict, other: dict) -> np.ndarray:
    """The covariance of rows with slopes, places, sizes and tasks, written out entry by entry."""
    value = {name: np.exp(array.numpy()) for name, array in state.scales.items()}
    unit, level = float(state.unit), float(state.level)

    def factor(packed: torch.Tensor) -> np.ndarray:
        a, b, below = packed.tolist()
        return np.array([[np.exp(a), 0.0], [below, np.exp(b)]])

    effects, spread = factor(state.scales["effects"]), factor(state.scales["spread"])

    def matern(squared: float) -> float:
        r = np.sqrt(5.0 * squared)
        return (1.0 + r + r**2 / 3.0) * np.exp(-r)

    out = np.zeros((len(one["task"]), len(other["task"])))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            left, right = one["slope"][i], other["slope"][j]
            alike = matern(((one["size"][i] - other["size"][j]) / value["covariate_lengths"][0]) ** 2)
            together = one["task"][i] == other["task"][j]
            total = level * left @ right + alike * left @ effects @ effects.T @ right
            total += together * left @ spread @ spread.T @ right
            if one["seen"][i] and other["seen"][j]:
                x = (one["x"][i] - other["x"][j]) / 0.9
                far = (x / value["shared_lengths"][0]) ** 2
                far += ((one["size"][i] - other["size"][j]) / value["covariate_lengths"][0]) ** 2
                total += (unit * value["shared"]) ** 2 * matern(far)
                own = value["own"] ** 2 * np.exp(-0.5 * (x / value["own_lengths"][0]) ** 2)
                total += together * unit**2 * (value["own_level"] ** 2 + own)
            out[i, j] = total
    return out


def written_out(tasks: TaskSet, first: int) -> dict:
    """All measurements as plain rows; tasks are numbered from `first`."""
    batch = tasks.batch(line, covariates=("size",))
    x, mask = batch.inputs["x"].numpy(), batch.mask.numpy()
    number = np.broadcast_to(np.arange(len(batch))[:, None] + first, x.shape)
    size = np.broadcast_to(batch.covariates.numpy(), x.shape)
    x = x[mask]
    return {
        "x": x, "slope": np.stack([np.ones_like(x), x], 1), "size": size[mask], "task": number[mask],
        "seen": np.ones(len(x)), "y": batch.output.numpy()[mask],
    }  # fmt: skip


def test_a_linear_equation_is_the_dense_process_to_1e_8() -> None:
    """Known tasks, one new task, and its parameters, conditioned at once by dense algebra."""
    known, new = some_tasks(4, seed=1, places=4), some_tasks(1, seed=2, places=5)
    state = by_hand(*problem_of(known))
    assert len(state.rows) == 16  # every measurement stands for itself
    problem, design = problem_of(new)
    support = torch.tensor([[True, False, True, True, False]])
    adapted = DiscrepancyPrior().adapt(problem.with_mask(support), design, state)
    forecast = predictive(problem, adapted)

    old, here = written_out(known, 0), written_out(new, 9)
    seen = {name: values[support[0].numpy()] for name, values in here.items()}
    told = {name: np.concatenate([old[name], seen[name]]) for name in old}
    size = here["size"][0]
    parameters = {
        "x": np.zeros(2), "slope": np.eye(2), "size": np.full(2, size), "task": np.full(2, 9), "seen": np.zeros(2),
    }  # fmt: skip
    origin = state.origin.numpy()
    noise = np.exp(2.0 * float(state.log_noise))
    whole = dense(state, told, told) + noise * np.eye(len(told["x"]))
    gain = np.linalg.solve(whole, np.stack([told["y"] - told["slope"] @ origin], 1))[:, 0]
    for rows, centre, mean, covariance in (
        (parameters, origin, adapted.coordinates[0], adapted.covariance[0]),
        (here, here["slope"] @ origin, forecast.median[0], None),
    ):
        across = dense(state, rows, told)
        after = dense(state, rows, rows) - across @ np.linalg.solve(whole, across.T)
        np.testing.assert_allclose(mean.numpy(), centre + across @ gain, rtol=0, atol=1e-8)
        if covariance is None:
            low, high = forecast.interval(0.9)
            width = stats.norm.ppf(0.95) * np.sqrt(np.diag(after) + noise)
            np.testing.assert_allclose((high - low)[0].numpy() / 2, width, rtol=1e-3)  # on a grid of factors
            here_line = problem.linearise(adapted.coordinates, state.log_noise)
            covariance = adapted.discrepancy.covariance_at(problem, here_line)[0]
            np.testing.assert_allclose(covariance.numpy(), after, rtol=0, atol=1e-8)
        else:
            np.testing.assert_allclose(covariance.numpy(), after, rtol=0, atol=2e-4)  # factors near one


def test_the_cost_is_that_of_halves_given_each_other_and_its_derivative_that_of_finite_differences() -> None:
    tasks = some_tasks(4, seed=3, places=4)
    problem, design = problem_of(tasks)
    state = by_hand(problem, design)
    some = sample(problem, design, state, torch.zeros(4, 2, dtype=F64), 12, seed=0)
    learned = {**state.scales, "log_noise": state.log_noise}
    value, slopes = cost_and_slopes(some, state, learned)
    rows = written_out(tasks, 0)
    whole = dense(state, rows, rows) + np.exp(2.0 * float(state.log_noise)) * np.eye(16)
    left = rows["y"] - rows["slope"] @ state.origin.numpy()

    def density(index: np.ndarray) -> float:
        part = whole[np.ix_(index, index)]
        return float(stats.multivariate_normal(np.zeros(len(part)), part).logpdf(left[index]))

    given = []
    order = some.chosen.numpy()
    for one, other in zip(some.halves[::2], some.halves[1::2], strict=True):
        assert sorted([*one.tolist(), *other.tolist()]) == list(range(16))
        assert {len(set(rows["task"][order[half.numpy()]])) for half in (one, other)} == {2}
        both = density(np.arange(16))
        given += [both - density(order[half.numpy()]) for half in (one, other)]
    # of eight measurements given the other eight, twice
    expected = -2.0 * np.mean(given) - 8.0 * np.log(2.0 * np.pi)
    assert float(value - belief(learned, state.first)) == pytest.approx(expected, rel=1e-9)
    step = 1e-5
    for name, slope in slopes.items():
        for place in np.ndindex(*slope.shape):
            ends = []
            for sign in (1.0, -1.0):
                moved = {key: array.clone() for key, array in learned.items()}
                moved[name][place] += sign * step
                ends.append(float(cost_and_slopes(some, state, moved)[0]))
            assert (ends[0] - ends[1]) / (2.0 * step) == pytest.approx(
                float(slope[place]), rel=1e-5, abs=1e-6
            )


def test_the_tasks_means_are_those_of_the_dense_process() -> None:
    tasks = some_tasks(3, seed=4, places=3)
    problem, design = problem_of(tasks)
    state = by_hand(problem, design)
    start = torch.zeros(3, 2, dtype=F64)
    means = posterior_means(problem, linearised(problem, design, state, start), state, start)
    rows = written_out(tasks, 0)
    whole = dense(state, rows, rows) + np.exp(2.0 * float(state.log_noise)) * np.eye(9)
    origin = state.origin.numpy()
    gain = np.linalg.solve(whole, rows["y"] - rows["slope"] @ origin)
    for task in range(3):
        of_task = {
            "x": np.zeros(2), "slope": np.eye(2), "size": np.full(2, rows["size"][3 * task]),
            "task": np.full(2, task), "seen": np.zeros(2),
        }  # fmt: skip
        expected = np.clip(origin + dense(state, of_task, rows) @ gain, -1.0, 1.0)  # a move's greatest length
        np.testing.assert_allclose(means[task].numpy(), expected, atol=1e-8)


def test_more_tasks_add_their_terms() -> None:
    """Learning from eight tasks is learning from five, then from three, under the same scales and rows."""
    problem, design = problem_of(some_tasks(8, seed=5))
    state = by_hand(problem, design, inducing=20)
    nothing = torch.zeros_like(state.pull)
    bare = replace(state, precision=torch.outer(nothing, nothing), pull=nothing)
    first, then = torch.arange(5), torch.arange(5, 8)
    method = DiscrepancyPrior()
    some = with_tasks(
        problem.select(first),
        linearised(problem.select(first), design.select(first), state, torch.zeros(5, 2, dtype=F64)),
        bare,
    )
    both = method.update(problem.select(then), design.select(then), some)
    torch.testing.assert_close(both.precision, state.precision, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(both.pull, state.pull, rtol=1e-9, atol=1e-9)


def test_inducing_rows_leave_little_unknown() -> None:
    problem, design = problem_of(some_tasks(8, seed=6))
    state = by_hand(problem, design)
    data = linearised(problem, design, state, torch.zeros(8, 2, dtype=F64))
    for least in (1e-1, 1e-3):
        chosen = inducing_rows(state.kernel, data.rows, 1000, least)
        few = data.rows.select(chosen)
        whole = state.kernel.shared(data.rows, data.rows)
        across = state.kernel.shared(data.rows, few)
        rest = whole - across @ torch.linalg.solve(state.kernel.shared(few, few), across.T)
        assert float(rest.diagonal().max()) < 1.01 * least
        assert float(rest.diagonal().min()) > -1e-8


def test_without_discrepancy_it_is_the_gaussian_prior() -> None:
    """A curved equation, all other scales at zero: mode and Laplace's covariance."""
    tasks = ms.dataset("theophylline")
    model = ms.patients.one_compartment_oral
    prior = ms.meta_calibrate(model, tasks, GaussianPrior(), covariates=())
    batch = prior.batch(tasks) if hasattr(prior, "batch") else tasks.batch(model, covariates=())
    problem, design = Problem(model, batch), prior.covariates.design(batch.covariates)
    covariance, origin = prior.state.covariance, prior.state.mean
    scales = first_scales(covariance, 2, 0)
    scales |= {name: torch.tensor(-30.0, dtype=F64) for name in ("shared", "own_level", "own")}
    scales["effects"] = torch.cat([torch.full((3,), -30.0, dtype=F64), torch.zeros(3, dtype=F64)])
    one, none = torch.ones((), dtype=F64), torch.zeros(0, dtype=F64)
    rows = Rows(torch.zeros(0, 2, dtype=F64), torch.zeros(0, 3, dtype=F64), torch.zeros(0, 0, dtype=F64),
                torch.zeros(0, 0, dtype=F64), none, none, torch.zeros(0, 0, dtype=F64))  # fmt: skip
    state = DiscrepancyState(
        scales=scales, log_noise=prior.state.log_noise, unit=one, level=1e-12 * one, origin=origin,
        centre=none.new_zeros(2), width=none.new_ones(2), rows=rows, precision=torch.zeros(0, 0, dtype=F64),
        pull=none, freedom=1e9 * one, stretch=one, iteration=one,
    )  # fmt: skip
    mask = batch.mask & (torch.arange(batch.mask.shape[1]) < 4)
    adapted = DiscrepancyPrior().adapt(problem.with_mask(mask), design, state)
    precision = torch.linalg.inv(covariance).expand(len(batch), -1, -1)
    expected = map_estimate(
        problem.with_mask(mask), origin.expand(len(batch), -1), precision, state.log_noise
    )
    assert bool(adapted.converged.all())
    torch.testing.assert_close(adapted.coordinates, expected.coordinates, rtol=0, atol=1e-4)
    torch.testing.assert_close(adapted.covariance, expected.covariance, rtol=1e-3, atol=1e-4)


def test_tails_are_students() -> None:
    """After n measurements at a squared distance D: ν + n degrees of freedom, squared scale (νs + D)/(ν + n)."""
    known, new = some_tasks(4, seed=7), some_tasks(1, seed=8)
    freedom, stretch = 5.0, 0.7
    state = by_hand(*problem_of(known))
    state = replace(state, freedom=torch.tensor(freedom, dtype=F64), stretch=torch.tensor(stretch, dtype=F64))
    problem, design = problem_of(new)
    support = torch.tensor([[True, True, True, False, False, False]])
    adapted = DiscrepancyPrior().adapt(problem.with_mask(support), design, state)
    process = adapted.discrepancy
    noise = float((2.0 * state.log_noise).exp())
    mean, covariance = state.mean_of(process.rows), state.covariance(process.rows, process.rows)
    among = covariance[0] + noise * torch.eye(3, dtype=F64)
    off = process.left[0] - mean[0]
    distance = float(off @ torch.linalg.solve(among, off))
    after = (freedom * stretch + distance) / (freedom + 3)
    line_here = problem.linearise(adapted.coordinates, state.log_noise)
    spread = process.covariance_at(problem, line_here)[0].diagonal()
    low, high = predictive(problem, adapted).interval(0.9)
    expected = stats.t(freedom + 3).ppf(0.95) * np.sqrt(after * (spread.numpy() + noise))
    np.testing.assert_allclose((high - low)[0].numpy() / 2.0, expected, rtol=0.01)
    low, high = predictive(problem, adapted, prior=True).interval(0.9)
    before = process.covariance_at(problem, problem.linearise(adapted.start, state.log_noise), prior=True)[0]
    expected = stats.t(freedom).ppf(0.95) * np.sqrt(stretch * (before.diagonal().numpy() + noise))
    np.testing.assert_allclose((high - low)[0].numpy() / 2.0, expected, rtol=0.01)


def test_tails_are_learned_from_each_task_given_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Squared distances from the conditional of a joint Gaussian, in its own covariance."""
    rng = np.random.default_rng(3)
    root, left = rng.normal(size=(7, 7)), rng.normal(size=7)
    joint, task = root @ root.T + 0.5 * np.eye(7), np.array([0, 0, 1, 1, 1, 2, 2])
    data = SimpleNamespace(rows=SimpleNamespace(task=torch.as_tensor(task)), left=torch.as_tensor(left))
    state = SimpleNamespace(kernel=None, log_noise=None, pull=torch.zeros(1, dtype=F64))
    monkeypatch.setattr(condensing, "covariance", lambda *_: torch.as_tensor(joint))
    monkeypatch.setattr(condensing, "likeliest_tails", lambda far, count, share: (far, count))
    far, count = condensing.tails(None, data, state, members=3)
    expected = {}
    for label in range(3):
        own, rest = task == label, task != label
        gain = joint[np.ix_(own, rest)] @ np.linalg.inv(joint[np.ix_(rest, rest)])
        off = left[own] - gain @ left[rest]
        expected[label] = off @ np.linalg.solve(
            joint[np.ix_(own, own)] - gain @ joint[np.ix_(rest, own)], off
        )
    each = far.reshape(3, -1)
    np.testing.assert_allclose(each, np.broadcast_to([[value] for value in expected.values()], each.shape))
    np.testing.assert_array_equal(count.reshape(3, -1)[:, 0], [2, 3, 2])


def test_learned_tails_are_those_that_tasks_were_drawn_from() -> None:
    """Tasks whose variances have a common factor of their own, from four degrees of freedom."""
    rng = np.random.default_rng(0)
    count, each = 400, 11
    factor = 0.8 * 4.0 / rng.chisquare(4.0, count)
    far = factor * rng.chisquare(each, count)
    freedom, stretch = likeliest_tails(torch.as_tensor(far), torch.full((count,), float(each), dtype=F64))
    assert 3.0 < float(freedom) < 5.5
    assert 0.65 < float(stretch) < 0.95


def test_it_learns_what_the_equation_leaves_out(tmp_path) -> None:
    """Bent lines: from three measurements a line misses the bend; saved and loaded to the bit."""
    known, new = some_tasks(20, seed=9, places=10), some_tasks(30, seed=10, places=10)
    method = DiscrepancyPrior(iterations=40, members=8)
    errors, covered = {}, {}
    for name, prior in (
        ("both", ms.meta_calibrate(line, known, method)), ("line", ms.meta_calibrate(line, known))
    ):  # fmt: skip
        report = ms.evaluate(prior, new, shots=(3,), seeds=1)
        row = next(row for row in report["results"] if row["method"] == "prior")
        errors[name], covered[name] = row["rmse"], row["coverage90"]
        if name == "both":
            learned = prior
    assert errors["both"] < 0.6 * errors["line"]
    assert 0.84 < covered["both"] < 0.96
    learned.save(tmp_path / "bent")
    again = ms.load(tmp_path / "bent", model=line)
    assert again.method == method
    one, other = (prior.calibrate(new.select([0, 1])).predict(x=[0.5, 1.0]) for prior in (learned, again))
    assert all(bool((one[name] == other[name]).all()) for name in one.data_vars)


def test_runs_repeat_to_the_bit_and_go_on_where_they_stopped(tmp_path) -> None:
    known = some_tasks(6, seed=11)
    method = DiscrepancyPrior(iterations=13)
    first = ms.meta_calibrate(line, known, method, checkpoint=tmp_path / "run.safetensors")
    again = ms.meta_calibrate(line, known, method, checkpoint=tmp_path / "run.safetensors")
    for name, values in first.state.lasting().tensors().items():
        assert torch.equal(values, again.state.lasting().tensors()[name]), name


def test_weighted_residuals_scatter_by_one_where_tasks_are_as_learned(tmp_path) -> None:
    prior = ms.meta_calibrate(line, some_tasks(20, seed=12), DiscrepancyPrior(iterations=40))
    fit = prior.calibrate(some_tasks(30, seed=13))
    assert fit.report(tmp_path / "report.html").exists()
    weighted = conditional_weighted_residuals(fit)
    assert 0.8 < np.nanstd(weighted) < 1.25
    with pytest.raises(InputError, match="knows what its equation leaves out"):
        posterior_draws(fit)
    forecast = fit.forecast()
    _, drawn = sampled(fit.problem.select(torch.arange(2)), prior.adapt(fit.batch.select([0, 1])), draws=4000)
    low, high = (end[:2] for end in forecast.interval(0.9))
    inside = ((drawn > low) & (drawn < high)).double().mean(0)[fit.batch.mask[:2]]
    assert float((inside - 0.9).abs().max()) < 0.025


def test_what_it_cannot_do_it_refuses() -> None:
    with pytest.raises(InputError, match="members: 0 is too few"):
        DiscrepancyPrior(members=0)
    tasks = some_tasks(3)
    problem, design = problem_of(tasks)
    below = replace(problem.batch, censored=problem.batch.mask)
    with pytest.raises(InputError, match="limits and intervals"):
        DiscrepancyPrior().initial(replace(problem, batch=below), design)


@ms.equation(
    inputs={"x": "1"}, output=("y", "1"), name="test.discrepancy_falling",
    parameters=[ms.Parameter("rate", "1", 1.0, positive=True, spread=0.5)],
    noise=ms.Additive((0.1,)), constraints=(ms.constraints.Monotone("x", increasing=False),),
)  # fmt: skip
def falling(x, *, rate):
    """Exponential decay."""
    return ms.math.exp(-rate * x)


def test_laws_are_looked_at_in_the_whole_prediction_and_can_be_kept() -> None:
    import pandas as pd

    rng = np.random.default_rng(3)
    x = np.linspace(0.0, 3.0, 9)
    rows = [
        (f"t{task}", each, np.exp(-rate * each) + 0.08 * np.sin(5.0 * each) + 0.01 * rng.normal())
        for task, rate in enumerate(rng.lognormal(0.0, 0.2, 8)) for each in x
    ]  # fmt: skip
    tasks = TaskSet.from_frame(
        pd.DataFrame(rows, columns=["task", "x [1]", "y [1]"]), ms.Card.from_model(falling)
    )
    prior = ms.meta_calibrate(falling, tasks, DiscrepancyPrior(iterations=40))
    fit = prior.calibrate(tasks.select([0]))
    measured, alone = fit.forecast().median[0], fit.predict(x=x)["equation"].values[0]
    more, share = measured.numpy() - alone, fit.beside_equation["share"][0]
    assert share == pytest.approx(
        np.sum(more**2) / np.sum((measured - measured.mean()).numpy() ** 2), rel=1e-9
    )
    line = f"beside the equation: {np.sqrt(np.mean(more**2)):.2g} (root mean square; "
    assert line in fit.summary()
    assert not any("cannot bend" in text for text in fit.warnings)  # that is what the discrepancy is for
    assert f"{100.0 * share:.2g} % of how the predictions vary" in fit.summary()
    assert fit.to_json()["beside_equation"][0]["share"] == share
    grid = ms.constraints.Grid({"x": np.linspace(0.0, 3.0, 31).tolist()})
    curve = fit.predict(x=np.linspace(0.0, 3.0, 31))
    rises = np.diff(curve["median"].values[0]).max()
    assert rises > 0.01  # the wave is learned, and what it breaks is said
    assert (np.diff(curve["equation"].values[0]) < 0).all()
    before = fit.laws(grid)
    assert not before["satisfied"].any()
    assert float(before["violation"].max()) > 3.0 * rises  # the steepest slope, times the range
    kept = fit.lawful(grid)
    lawful = kept.predict(x=np.linspace(0.0, 3.0, 31))
    assert np.diff(lawful["median"].values[0]).max() < 1e-3
    far = np.abs(lawful["median"] - curve["median"]).values[0]
    assert far.max() < 0.15
    np.testing.assert_allclose(
        (lawful["upper"] - lawful["lower"]).values, (curve["upper"] - curve["lower"]).values, rtol=1e-9
    )


def test_laws_are_inequalities_of_a_curve() -> None:
    """It falls from each place to the next greater, and −m ≤ −lowest says that it is at least the lowest."""
    x, eye = torch.tensor([2.0, 0.0, 1.0], dtype=F64), torch.eye(3, dtype=F64)
    laws = [NonNegative(), Monotone("x", increasing=False)]
    falls, at_most = rises_and_bounds(laws, {"x": x}, -1.5)
    torch.testing.assert_close(
        falls, torch.stack([-eye[0], -eye[1], -eye[2], eye[2] - eye[1], eye[0] - eye[2]])
    )
    torch.testing.assert_close(at_most, torch.tensor([1.5, 1.5, 1.5, 0.0, 0.0], dtype=F64))
    falls, at_most = rises_and_bounds(laws, {"x": x}, -math.inf)  # as of a logarithm
    assert (falls.shape, at_most.tolist()) == ((2, 3), [0.0, 0.0])
    falls, at_most = rises_and_bounds(laws[1:], {"x": x}, -1.5)
    assert (falls.shape, at_most.tolist()) == ((2, 3), [0.0, 0.0])


def test_the_nearest_lawful_curve_is_that_of_a_general_solver() -> None:
    from scipy.optimize import minimize

    from metasci.meta.discrepancy.lawful import nearest_lawful

    rng = np.random.default_rng(5)
    root = rng.normal(size=(6, 6))
    covariance, mean = root @ root.T + 0.1 * np.eye(6), rng.normal(size=6)
    falls, at_most = np.diff(np.eye(6), axis=0), np.zeros(5)
    weights = nearest_lawful(
        *(torch.as_tensor(each) for each in (mean, covariance, falls, at_most)), tolerance=1e-10
    )
    found = mean + covariance @ weights.numpy()
    precision = np.linalg.inv(covariance)
    best = minimize(
        lambda m: (m - mean) @ precision @ (m - mean), np.sort(mean)[::-1],
        constraints={"type": "ineq", "fun": lambda m: at_most - falls @ m}, tol=1e-12,
    )  # fmt: skip
    np.testing.assert_allclose(found, best.x, atol=1e-4)
