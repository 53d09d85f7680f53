"""Levels above the task: what a laboratory has of its own, against dense algebra and on simulated laboratories."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import Tensor

import metasci as ms
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.fits.predictive import predictive
from metasci.meta import DiscrepancyPrior, DiscrepancyState
from metasci.meta.covariates import Design
from metasci.meta.discrepancy.condensing import condensed, with_new_groups, with_tasks
from metasci.meta.discrepancy.kernel import Rows, first_scales
from metasci.meta.discrepancy.likelihood import (
    expected_spread,
    linearised,
    posterior_means,
    stretched,
)
from metasci.meta.discrepancy.objective import cost_and_slopes, sample
from metasci.meta.problem import Problem

F64 = torch.float64
NOISE = 0.1


@ms.equation(
    inputs={"x": "1"}, output=("y", "1"), name="test.levels_line",
    parameters=[ms.Parameter("intercept", "1", 0.0, spread=1.0), ms.Parameter("slope", "1", 0.0, spread=1.0)],
    noise=ms.Additive((NOISE,)),
)  # fmt: skip
def line(x, *, intercept, slope):
    """A straight line."""
    return intercept + slope * x


CARD = ms.Card.from_model(line, levels=("laboratory",))


def lines(laboratories: list[str], seed: int, off: dict[str, float], places: int = 5) -> TaskSet:
    """A line of each laboratory named, which measures too high by an amount of its own, and along a wave of its own."""
    rng = np.random.default_rng(seed)
    rows = []
    for task, laboratory in enumerate(laboratories):
        x = np.sort(rng.uniform(0.0, 3.0, places))
        high = off.get(laboratory, 0.0)
        y = 1.0 + rng.normal(0.0, 0.2) + high + (0.5 + rng.normal(0.0, 0.1)) * x
        y = y + 0.3 * high * np.sin(2.0 * x) + rng.normal(0.0, 0.03, places)
        rows += [(f"s{seed}.{task}", laboratory, *each) for each in zip(x, y, strict=True)]
    return TaskSet.from_frame(pd.DataFrame(rows, columns=["task", "laboratory", "x", "y"]), CARD)


def problem_of(tasks: TaskSet, known: tuple[str, ...] = ()) -> tuple[Problem, Design]:
    batch = tasks.batch(line, levels={"laboratory": known})
    none = torch.zeros(len(batch), 0, dtype=F64)
    return Problem(line, batch), Design(none, none[:, :, None], batch.groups)


def by_hand(problem: Problem, design: Design, know: bool = True) -> DiscrepancyState:
    """A state with scales of no special kind, which knows the tasks of a problem, each measurement for itself."""
    scales = first_scales(torch.tensor([[0.3, 0.1], [0.1, 0.2]], dtype=F64), 1, 0, levels=1)
    scales["group_spread"] = torch.tensor([[-0.2, 0.4]], dtype=F64)
    scales["group_lengths"] = torch.tensor([[0.2]], dtype=F64)
    scales["group_level"] = torch.tensor([-0.7], dtype=F64)
    one, none = torch.ones((), dtype=F64), torch.zeros(0, dtype=F64)
    rows = Rows(
        *(torch.zeros(0, size, dtype=F64) for size in (1, 2, 0, 0)), none, none, torch.zeros(0, 1, dtype=F64)
    )
    state = DiscrepancyState(
        scales=scales, log_noise=torch.tensor([-1.0], dtype=F64), unit=0.8 * one, level=1.5 * one,
        origin=torch.tensor([0.2, -0.1], dtype=F64), centre=torch.tensor([1.5], dtype=F64),
        width=torch.tensor([0.9], dtype=F64), rows=rows, precision=torch.zeros(0, 0, dtype=F64), pull=none,
        freedom=1e9 * one, stretch=one, iteration=one,
    )  # fmt: skip
    if not know:
        return state
    data = linearised(problem, design, state, torch.zeros(len(problem), 2, dtype=F64))
    return condensed(problem, data, state, torch.arange(len(data.rows)))


def matern(squared: float) -> float:
    r = np.sqrt(5.0 * squared)
    return float((1.0 + r + r**2 / 3.0) * np.exp(-r))


def dense(state: DiscrepancyState, one: dict, other: dict) -> np.ndarray:
    """The covariance of rows with slopes, places, tasks and laboratories, written out entry by entry."""
    value = {name: np.exp(array.numpy()) for name, array in state.scales.items()}
    unit, level = float(state.unit), float(state.level)

    def factor(packed: Tensor) -> np.ndarray:
        a, b, below = packed.tolist()
        return np.array([[np.exp(a), 0.0], [below, np.exp(b)]])

    effects, spread = factor(state.scales["effects"]), factor(state.scales["spread"])
    own_sd = np.sqrt(np.diag(spread @ spread.T))
    of_group = np.diag((value["group_spread"][0] * own_sd) ** 2)
    out = np.zeros((len(one["task"]), len(other["task"])))
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            left, right = one["slope"][i], other["slope"][j]
            task = one["task"][i] == other["task"][j]
            group = task or one["laboratory"][i] == other["laboratory"][j]
            both = one["seen"][i] * other["seen"][j]
            x = (one["x"][i] - other["x"][j]) / 0.9
            total = level * left @ right + left @ effects @ effects.T @ right
            total += both * (unit * value["shared"]) ** 2 * matern((x / value["shared_lengths"][0]) ** 2)
            total += task * left @ spread @ spread.T @ right
            own = value["own"] ** 2 * np.exp(-0.5 * (x / value["own_lengths"][0]) ** 2)
            total += task * both * unit**2 * (value["own_level"] ** 2 + own)
            along = value["group"][0] ** 2 * matern((x / value["group_lengths"][0, 0]) ** 2)
            total += group * left @ of_group @ right
            total += group * both * unit**2 * (value["group_level"][0] ** 2 + along)
            out[i, j] = total
    return out


def written_out(tasks: TaskSet, first: int = 0) -> dict:
    """All measurements as plain rows; a laboratory that is not named is a new one for each task."""
    batch, names = tasks.batch(line), tasks.groups("laboratory")
    mask = batch.mask.numpy()
    number = np.broadcast_to(np.arange(len(batch))[:, None] + first, mask.shape)[mask]
    x = batch.inputs["x"].numpy()[mask]
    laboratory = np.array([name or f"unnamed {first + at}" for at, name in enumerate(names)])[number - first]
    return {
        "x": x, "slope": np.stack([np.ones_like(x), x], 1), "task": number, "seen": np.ones(len(x)),
        "laboratory": laboratory, "y": batch.output.numpy()[mask],
    }  # fmt: skip


def joined(*parts: dict) -> dict:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def conditioned(state: DiscrepancyState, told: dict, asked: dict) -> tuple[np.ndarray, np.ndarray]:
    origin, noise = state.origin.numpy(), np.exp(2.0 * float(state.log_noise))
    whole = dense(state, told, told) + noise * np.eye(len(told["x"]))
    across = dense(state, asked, told)
    mean = asked["slope"] @ origin + across @ np.linalg.solve(whole, told["y"] - told["slope"] @ origin)
    return mean, dense(state, asked, asked) - across @ np.linalg.solve(whole, across.T)


def parameters_of(task: int, laboratory: str) -> dict:
    return {
        "x": np.zeros(2), "slope": np.eye(2), "task": np.full(2, task), "seen": np.zeros(2),
        "laboratory": np.full(2, laboratory),
    }  # fmt: skip


KNOWN = lines(["north", "north", "south", ""], 1, {"north": 0.5, "south": -0.4})


@pytest.mark.parametrize("laboratory", ["south", "west", ""])
def test_a_task_of_a_group_is_the_dense_process_to_1e_8(laboratory: str) -> None:
    """Of a laboratory that is known, of a new one, and of one that is not said."""
    state = by_hand(*problem_of(KNOWN))
    new = lines([laboratory], 2, {}, places=4)
    problem, design = problem_of(new, ("north", "south"))
    adapted = DiscrepancyPrior().adapt(problem, design, state)
    told = joined(written_out(KNOWN), written_out(new, 9))
    mean, _ = conditioned(state, told, parameters_of(9, laboratory or "unnamed 9"))
    np.testing.assert_allclose(adapted.coordinates[0].numpy(), mean, rtol=0, atol=1e-8)
    row = problem.linearise(adapted.coordinates, state.log_noise)
    mean, covariance = conditioned(state, told, written_out(new, 9))
    left_out = adapted.discrepancy.left_out(problem, row, adapted.coordinates)
    np.testing.assert_allclose((row.prediction + left_out)[0].numpy(), mean, rtol=0, atol=1e-8)
    np.testing.assert_allclose(
        adapted.discrepancy.covariance_at(problem, row)[0].numpy(), covariance, rtol=0, atol=1e-8
    )


def test_an_update_is_the_dense_process_of_all_tasks_and_so_is_calibrating_together() -> None:
    """Three lines of a new laboratory, then a fourth; and all four in one table."""
    state, method = by_hand(*problem_of(KNOWN)), DiscrepancyPrior(levels=("laboratory",))
    first, fourth = (
        lines(["west"] * 3, 3, {"west": 0.8}, places=4),
        lines(["west"], 4, {"west": 0.8}, places=2),
    )
    told = joined(written_out(KNOWN), written_out(first, 4), written_out(fourth, 9))
    mean, covariance = conditioned(state, told, parameters_of(9, "west"))
    problem, design = problem_of(first, ("north", "south"))
    data = linearised(problem, design, state, torch.zeros(3, 2, dtype=F64), known=False)
    exact = with_tasks(problem, data, with_new_groups(data, state, most=1000, least=0.0))
    assert len(exact.rows) == 32
    told_fourth = problem_of(fourth, ("north", "south", "west"))
    adapted = method.adapt(*told_fourth, exact)
    np.testing.assert_allclose(adapted.coordinates[0].numpy(), mean, rtol=0, atol=1e-8)
    np.testing.assert_allclose(
        adapted.covariance[0].numpy(), covariance, rtol=0, atol=1e-4
    )  # factors near one
    few = method.adapt(*told_fourth, method.update(problem, design, state))
    np.testing.assert_allclose(few.coordinates[0].numpy(), mean, rtol=0, atol=1e-3)
    twice = lines(["west"] * 2, 5, {"west": 0.8}, places=3)
    again = method.update(*problem_of(twice, ("north", "south", "west")), exact)
    assert len(again.rows) == len(exact.rows)  # of a group that is known now

    all_four = TaskSet.from_frame(pd.concat([first.to_frame(units=True), fourth.to_frame(units=True)]), CARD)
    together = method.adapt_together(*problem_of(all_four, ("north", "south")), state)
    for task, number in ((3, 9), (0, 4)):
        mean, _ = conditioned(state, told, parameters_of(number, "west"))
        np.testing.assert_allclose(together.coordinates[task].numpy(), mean, rtol=0, atol=1e-3)
    alone = method.adapt(*problem_of(all_four, ("north", "south")), state)
    assert float((alone.coordinates - together.coordinates).abs().max()) > 0.05
    torch.testing.assert_close(
        together.select(torch.tensor([3])).discrepancy.parameters()[0],
        together.discrepancy.parameters()[0][3:],
    )


def test_posterior_means_and_slopes_know_the_groups() -> None:
    problem, design = problem_of(KNOWN)
    state, start = by_hand(problem, design, know=False), torch.zeros(4, 2, dtype=F64)
    data = linearised(problem, design, state, start)
    means = posterior_means(problem, data, state, start)
    told = written_out(KNOWN)
    for task, name in enumerate(KNOWN.groups("laboratory")):
        mean, _ = conditioned(state, told, parameters_of(task, name or f"unnamed {task}"))
        np.testing.assert_allclose(means[task].numpy(), np.clip(mean, -1.0, 1.0), atol=1e-8)
    learned = {**state.scales, "log_noise": state.log_noise}
    some = sample(problem, design, state, start, 12, seed=0)
    _, slopes = cost_and_slopes(some, state, learned)
    for name in ("group_spread", "group_level", "group", "group_lengths", "spread"):
        for place in np.ndindex(*slopes[name].shape):
            ends = []
            for sign in (1.0, -1.0):
                moved = {key: array.clone() for key, array in learned.items()}
                moved[name][place] += sign * 1e-5
                ends.append(float(cost_and_slopes(some, state, moved)[0]))
            assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(float(slopes[name][place]), rel=1e-5, abs=1e-6)


def test_the_spread_of_groups_is_its_average_and_not_its_mode() -> None:
    """By a sum over a fine grid; of one laboratory measurements tell next to nothing, and the belief remains."""
    problem, design = problem_of(KNOWN)
    state = by_hand(problem, design, know=False)
    data = linearised(problem, design, state, torch.zeros(4, 2, dtype=F64))
    rows, grid = written_out(KNOWN), np.linspace(-2.0, 3.0, 26)
    far = np.mean([np.mean([-0.2, 0.4]) - np.log(0.5), -0.7 - np.log(0.3), 0.0])
    density = []
    for stretch in grid:
        wider = replace(state, scales=stretched(state.scales, 0, torch.tensor(stretch)))
        whole = dense(wider, rows, rows) + np.exp(2.0 * float(state.log_noise)) * np.eye(len(rows["y"]))
        left = rows["y"] - rows["slope"] @ state.origin.numpy()
        density.append(
            stats.multivariate_normal(np.zeros(20), whole).logpdf(left) - 0.5 * (far + stretch) ** 2
        )
    weight = np.exp(np.array(density) - max(density))
    expected = 0.5 * np.log(weight @ np.exp(2.0 * grid) / weight.sum())
    scales = expected_spread(problem, data, state)
    for name in ("group_spread", "group_level", "group"):
        np.testing.assert_allclose((scales[name] - state.scales[name]).numpy(), expected, atol=1e-9)
    assert torch.equal(scales["group_lengths"], state.scales["group_lengths"])


METHOD = DiscrepancyPrior(iterations=30, members=6)


@pytest.fixture(scope="module")
def learned() -> ms.Prior:
    """From three laboratories, one of which measures half a unit too high."""
    names = ["north"] * 6 + ["south"] * 6 + ["east"] * 6
    return ms.meta_calibrate(line, lines(names, 10, {"north": 0.5, "south": -0.4, "east": 0.1}), METHOD)


def test_a_second_line_of_a_new_laboratory_is_forecast_better_after_its_first(learned: ms.Prior) -> None:
    """From no reading of its own, over thirty new laboratories; and intervals hold nine tenths all the while."""
    assert learned.method.levels == ("laboratory",)
    assert learned.levels == {"laboratory": ("north", "south", "east")}
    off = dict(zip(map(str, range(30)), np.random.default_rng(5).normal(0.0, 0.5, 30), strict=True))
    batch = learned.batch(lines([name for name in off for _ in range(2)], 20, off))
    firsts = batch.mask & (torch.arange(60) % 2 == 0)[:, None]
    problem, seconds = learned.problem(batch), ~firsts & batch.mask
    ratio = {}
    for together in (False, True):
        forecast = predictive(problem, learned.adapt(batch.with_mask(firsts), together=together))
        low, high = forecast.interval(0.9)
        ratio[together] = (batch.output - forecast.median)[seconds].square().mean().sqrt()
        assert 0.8 < float(((batch.output > low) & (batch.output < high))[seconds].double().mean()) < 0.99
    assert float(ratio[True]) < 0.75 * float(ratio[False])


def test_lines_that_were_learned_from_tell_their_laboratory_once(learned: ms.Prior) -> None:
    """A table that holds old lines of a laboratory beside a new one forecasts it as the new one alone does."""
    old = lines(["west"] * 3, 7, {"west": 0.6})
    wiser = learned.update(old)
    new = pd.DataFrame({"task": ["new"], "laboratory": ["west"], "x": [1.5], "y": [np.nan]})
    both = pd.concat([old.to_frame(units=True)[new.columns], new])
    beside, alone = (
        wiser.calibrate(TaskSet.from_frame(frame, CARD, require_output=False)).predict(x=1.5).sel(task="new")
        for frame in (both, new)
    )
    for name in ("median", "lower", "upper"):
        assert beside[name].item() == pytest.approx(alone[name].item(), abs=1e-9)


def test_what_is_learned_from_twice_is_told(learned: ms.Prior) -> None:
    old = lines(["west"] * 3, 7, {"west": 0.6})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wiser = learned.update(old)
    some = old.select(slice(1, 3))
    with pytest.warns(
        UserWarning, match=r"2 of 2 tasks \(s7.1 and s7.2\) were learned from before and now count twice"
    ):
        wiser.update(some)
    alone = ms.meta_calibrate(line, lines(["north"] * 8, 3, {}), ms.GaussianPrior())
    with pytest.warns(UserWarning, match="were learned from before"):
        alone.update(lines(["north"] * 8, 3, {}))


def test_tasks_of_which_nobody_says_the_laboratory_are_told(learned: ms.Prior) -> None:
    """In learning as in calibration; where nobody says any, a sentence does not end in empty brackets."""
    frame = lines(["north"] * 3, 7, {}).to_frame(units=True)
    one = TaskSet.from_frame(
        frame.assign(laboratory=frame["laboratory"].where(frame["task"] != "s7.1")), CARD
    )
    with pytest.warns(
        UserWarning, match=r"laboratory not given for 1 of 3 tasks \(s7.1\): each is taken for the only"
    ):
        learned.update(one)
    none = TaskSet.from_frame(frame.drop(columns="laboratory"), CARD)
    with pytest.warns(UserWarning, match="laboratory not given for 3 of 3 tasks"):
        prior = ms.meta_calibrate(line, none, replace(METHOD, iterations=1))
    assert any(text.endswith("the prior was learned from none.") for text in prior.calibrate(none).warnings)


def test_a_models_covariate_or_the_task_can_be_a_level() -> None:
    card = ms.Card.from_model(line, {"batch_number": "1"}, levels=("batch_number", "task"))
    assert [column.role for column in card.columns] == ["task", "input", "covariate", "output"]
    assert card.levels == ("batch_number", "task")
    with pytest.raises(InputError, match="the level 'x', which is no column that is constant within a task"):
        ms.Card.from_model(line, levels=("x",))


def test_known_laboratories_are_told_apart(learned: ms.Prior) -> None:
    """Before any reading a line of the north lies higher than one of the south, by about what was simulated."""
    frame = pd.DataFrame({"task": ["a", "b"], "laboratory": ["north", "south"], "x": 1.5, "y": np.nan})
    fit = learned.calibrate(TaskSet.from_frame(frame, CARD, require_output=False))
    expected = fit.predict(x=1.5)
    higher = (expected["median"][0] - expected["median"][1]).item()
    # two standard errors of the difference between means of six lines each
    assert higher == pytest.approx(0.9 * (1.0 + 0.3 * np.sin(3.0)), abs=0.3)
    widths = (expected["upper"] - expected["lower"]).values
    unsaid = learned.calibrate(
        TaskSet.from_frame(frame.drop(columns="laboratory"), CARD, require_output=False)
    )
    far = unsaid.predict(x=1.5)
    assert any(
        "laboratory not given: taken for a new one, which makes the prior wider; the prior was learned from 3"
        in text
        for text in unsaid.warnings
    )
    west = learned.calibrate(TaskSet.from_frame(frame.assign(laboratory="west"), CARD, require_output=False))
    assert any("laboratory 'west' is new" in text for text in west.warnings)
    assert not any("laboratory" in text for text in fit.warnings)
    assert (far["upper"] - far["lower"]).values.min() > 1.3 * widths.max()


def test_files_keep_the_groups_and_bad_ones_are_refused(learned: ms.Prior, tmp_path) -> None:
    updated = learned.update(lines(["west"], 7, {"west": 0.3}))
    updated.save(tmp_path / "prior")
    again = ms.load(tmp_path / "prior", model=line)
    assert again.levels == updated.levels
    assert again.digest() == updated.digest()
    new = lines(["west"], 8, {"west": 0.3})
    one, other = (prior.calibrate(new).predict(x=[0.5, 1.0]) for prior in (updated, again))
    assert all(bool((one[name] == other[name]).all()) for name in one.data_vars)
    path = tmp_path / "prior" / "prior.json"
    good = json.loads(path.read_text())
    for change, sentence in (
        ({"levels": []}, "groups are listed of"),
        (
            {"levels": [{"column": "laboratory", "groups": ["north", "north", "a", "b"]}]},
            "not names that differ",
        ),
        ({"levels": [{"column": "laboratory", "groups": ["north"]}]}, "none of the groups"),
        ({"method": {**good["method"], "levels": ["laboratory", "study"]}}, "levels|shape"),
    ):
        path.write_text(json.dumps({**good, **change}))
        with pytest.raises(InputError, match=sentence):
            ms.load(tmp_path / "prior", model=line)


def test_levels_that_are_none_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="no column that is constant within a task"):
        ms.Card.from_dict({**CARD.to_dict(), "levels": ["x"]})
    assert ms.Card.from_dict(CARD.to_dict()) == CARD
    with pytest.raises(InputError, match="give the columns in a list"):
        DiscrepancyPrior(levels="laboratory")
    frame = lines(["north", "south"], 1, {}).to_frame(units=True)
    mixed = TaskSet.from_frame(frame.assign(laboratory=["north", "south"] * (len(frame) // 2)), CARD)
    with pytest.raises(InputError, match="varies within a task"):
        ms.meta_calibrate(line, mixed, METHOD)
    with pytest.raises(InputError, match="no column 'study'"):
        ms.meta_calibrate(line, mixed, replace(METHOD, levels=("study",)))
