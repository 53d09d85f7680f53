"""What covariates do to the start, kept as the equation's prior alone has learned it, under a discrepancy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import metasci as ms
from metasci.data.tasks import TaskSet
from metasci.meta import DiscrepancyPrior
from metasci.meta.covariates import Design
from metasci.meta.discrepancy.condensing import condensed
from metasci.meta.discrepancy.likelihood import linearised, posterior_means
from metasci.meta.discrepancy.places import rows_of
from metasci.meta.discrepancy.state import DiscrepancyState
from metasci.meta.problem import Problem

from test_discrepancy import by_hand, line, problem_of, some_tasks  # isort: skip

F64 = torch.float64
TREND = torch.tensor([[0.4], [-0.7]], dtype=F64)


def knowing(problem: Problem, design: Design, trend: torch.Tensor | None) -> DiscrepancyState:
    """A state that knows all measurements of a problem."""
    state = replace(by_hand(problem, design), trend=trend)
    data = linearised(problem, design, state, torch.zeros(len(problem), 2, dtype=F64))
    return condensed(problem, data, state, torch.arange(len(data.rows)))


def without_trend(problem: Problem, design: Design) -> Problem:
    """The lines less what the trend adds to them."""
    batch = problem.batch
    moved = design.values @ TREND.T
    less = moved[:, :1] + moved[:, 1:] * batch.inputs["x"]
    return Problem(line, replace(batch, output=batch.output - less))


def test_a_trend_is_a_line_that_covariates_add() -> None:
    """Of a model that is linear in its parameters, taking the trend off the measurements is the same."""
    problem, design = problem_of(some_tasks(6, seed=2, places=4))
    plain = without_trend(problem, design)
    with_it, without = knowing(problem, design, TREND), knowing(plain, design, None)
    new, of_new = problem_of(some_tasks(3, seed=9, places=4))
    some = torch.tensor([[True, True, False, False]] * 3)
    method, moved = DiscrepancyPrior(), of_new.values @ TREND.T
    adapted = method.adapt(Problem(line, new.batch.with_mask(some)), of_new, with_it)
    bare = without_trend(new, of_new)
    other = method.adapt(Problem(line, bare.batch.with_mask(some)), of_new, without)
    torch.testing.assert_close(adapted.coordinates, other.coordinates + moved, rtol=0, atol=1e-8)
    torch.testing.assert_close(adapted.start, other.start + moved, rtol=0, atol=1e-8)
    torch.testing.assert_close(adapted.covariance, other.covariance, rtol=0, atol=1e-8)
    start = torch.zeros(6, 2, dtype=F64)
    means = posterior_means(problem, linearised(problem, design, with_it, start), with_it, start)
    lines = linearised(plain, design, without, start)
    back = posterior_means(plain, lines, without, start)
    inside = (means.abs() < 0.99) & ((back + design.values @ TREND.T).abs() < 0.99) & (back.abs() < 0.99)
    assert int(inside.sum()) > 4  # others are moved no farther than one
    torch.testing.assert_close(means[inside], (back + design.values @ TREND.T)[inside], rtol=0, atol=1e-8)


def test_what_is_not_known_of_a_covariate_widens_the_start_along_the_trend() -> None:
    problem, design = problem_of(some_tasks(4, seed=3, places=4))
    state = knowing(problem, design, TREND)
    # of scales under which the process itself does not look at the covariate
    state = replace(state, scales={**state.scales, "covariate_lengths": torch.tensor([12.0], dtype=F64)})
    none = Problem(line, problem.batch.with_mask(torch.zeros_like(problem.batch.mask)))
    known = DiscrepancyPrior().adapt(none, design, state)
    unsure = Design(design.values, torch.full((4, 1, 1), 0.5, dtype=F64))
    found = DiscrepancyPrior().adapt(none, unsure, state)
    stretch = found.start_covariance / (known.start_covariance + 0.5 * TREND @ TREND.T)
    torch.testing.assert_close(stretch, torch.ones_like(stretch), rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def learned() -> ms.Prior:
    return ms.meta_calibrate(line, some_tasks(40, seed=1), DiscrepancyPrior(trend=True, iterations=6))


def test_a_trend_goes_on_where_no_task_was(learned: ms.Prior, tmp_path) -> None:
    """The slope of these lines grows by 0.2 for each unit of size; sizes learned from end at about two."""
    plain = ms.meta_calibrate(line, some_tasks(40, seed=1), DiscrepancyPrior(iterations=6))
    far = some_tasks(1, seed=5)
    dataset = far.dataset.copy(deep=True)
    dataset["size"].values[:] = 6.0
    batch = learned.batch(replace(far, dataset=dataset))
    none = batch.with_mask(torch.zeros_like(batch.mask))
    with_it, without = (float(prior.adapt(none).start[0, 1]) for prior in (learned, plain))
    assert with_it == pytest.approx(0.5 + 0.2 * 6.0, abs=0.3)
    assert without < with_it - 0.3  # a process that is sure of nothing there goes back to the common start
    learned.save(tmp_path / "trend")
    again = ms.load(tmp_path / "trend", model=line)
    assert torch.equal(again.adapt(none).start, learned.adapt(none).start)


def test_a_trend_of_another_shape_is_refused_by_name(learned: ms.Prior) -> None:
    tensors = learned.state.lasting().tensors()
    with pytest.raises(ms.InputError, match="'trend' is of shape"):
        DiscrepancyState.of({**tensors, "trend": torch.zeros(3, 1, dtype=F64)})


def unknown_size(tasks: TaskSet, place: int) -> TaskSet:
    dataset = tasks.dataset.copy(deep=True)
    dataset["size"].values[place] = np.nan
    return replace(tasks, dataset=dataset)


def test_pymc_has_the_trend_and_what_is_not_known_of_covariates(learned: ms.Prior) -> None:
    from metasci.bayes.discrepancy import with_discrepancy

    batch, state = learned.batch(unknown_size(some_tasks(4, seed=8), 2)), learned.state
    built = with_discrepancy(learned, batch, scales_known=True)
    point = {name: np.zeros_like(value) for name, value in built.initial_point().items()}
    graph = built.replace_rvs_by_values([built["coordinates"]])[0]

    def coordinates(at: dict[str, np.ndarray]) -> np.ndarray:
        return np.asarray(graph.eval({variable: at[variable.name] for variable in built.value_vars}))

    middle = coordinates(point)
    design = learned.design(batch)
    np.testing.assert_allclose(middle, state.origin_of(design.values).numpy(), atol=1e-9)
    # linear in standard normal offsets, so that their covariance is W Wᵀ
    columns = []
    for name, value in point.items():
        for place in range(value.size):
            unit = {**point, name: (np.arange(value.size) == place).astype(float).reshape(value.shape)}
            columns.append((coordinates(unit) - middle).ravel())
    eye = torch.eye(2, dtype=F64).expand(4, -1, -1)
    rows = rows_of(torch.zeros(4, 2, 1, dtype=F64), eye, design, seen=0.0, task=torch.arange(4.0, dtype=F64))
    flat = rows.select(torch.ones(4, 2, dtype=torch.bool))
    expected = state.kernel.whole(flat, flat).numpy()
    np.testing.assert_allclose(np.array(columns).T @ np.array(columns), expected, atol=1e-6 * expected.max())
