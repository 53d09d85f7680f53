"""Threads of one process may calibrate at once: every one gets the numbers that it would get alone."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pandas as pd
import pytest
import torch
from torch import Tensor

import metasci as ms
from metasci.data.cards import Card
from metasci.data.tasks import TaskSet
from metasci.library import find
from metasci.meta.problem import Problem
from metasci.model import Model
from metasci.ode import solve
from metasci.ode.tangents import along

THREADS = 8


def from_threads(work: Callable[[], Tensor], times: int) -> list[Tensor]:
    """What so many threads get that begin together."""
    together = Barrier(THREADS)

    def one(number: int) -> Tensor:
        if number < THREADS:
            together.wait()
        return work()

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(one, range(times)))


def saturable() -> Problem:
    """Two patients after one dose each, by a differential equation: forward mode within forward mode."""
    model = find("patients.michaelis_menten")
    rows = []
    for patient, dose in (("1", 300.0), ("2", 500.0)):
        rows.append({"ID": patient, "TIME": 0.0, "AMT": dose, "DV": ".", "EVID": 1})
        rows += [
            {"ID": patient, "TIME": t, "AMT": 0.0, "DV": v, "EVID": 0} for t, v in ((2.0, 5.0), (9.0, 3.0))
        ]
    units = {"TIME": model.inputs["time"].unit, "AMT": "mg", "DV": model.output.unit}
    frame = pd.DataFrame(rows).rename(columns={name: f"{name} [{unit}]" for name, unit in units.items()})
    return _problem(model, TaskSet.from_events(frame, model, Card.from_model(model)))


def changing() -> Problem:
    """Two patients whose weight changes: matrix exponentials along their records."""
    prior, tasks = ms.load("quinidine"), ms.dataset("quinidine")
    return _problem(
        prior.model, prior.read(tasks.select([str(name) for name in tasks.dataset["task"].values[:2]]))
    )


def _problem(model: Model, tasks: TaskSet) -> Problem:
    return Problem(model, tasks.batch(model))


@pytest.mark.parametrize("make", [saturable, changing])
def test_every_thread_gets_the_jacobian_that_one_alone_gets(make: Callable[[], Problem]) -> None:
    problem = make()
    at = torch.full((len(problem), len(problem.model.parameters)), 0.1, dtype=torch.float64)
    log_noise = at.new_tensor(problem.model.noise.typical).log()

    def work() -> Tensor:
        line = problem.linearise(at, log_noise)
        return torch.cat([line.jacobian.flatten(), line.prediction.flatten()])

    alone = work()
    step = 1e-6  # and what it gets is the derivative
    for place in range(at.shape[1]):
        moved = at.clone()
        moved[:, place] += step
        back = at.clone()
        back[:, place] -= step
        slope = (problem.predict(moved) - problem.predict(back)) / (2 * step)
        link = problem.model.noise.link
        assert torch.equal(link(slope), slope)
        jacobian = alone[: -slope.numel()].reshape(*slope.shape, -1)[..., place]
        seen = problem.batch.mask
        assert torch.allclose(jacobian[seen], slope[seen], rtol=1e-5, atol=1e-6)
    assert all(torch.equal(other, alone) for other in from_threads(work, 2 * THREADS))


def test_forward_mode_in_one_thread_and_differential_equations_in_others() -> None:
    rate = torch.tensor([0.7, 1.3], dtype=torch.float64)
    one = torch.ones(2, 1, dtype=torch.float64)

    def work() -> Tensor:
        def ending(rate: Tensor) -> Tensor:
            return solve(lambda t, x, p: -p["rate"][:, None] * x, one, one, {"rate": rate}).states[:, 0, 0]

        return along(ending, (rate,), (torch.ones_like(rate),))[1]

    for slope in from_threads(work, 3 * THREADS):
        assert torch.allclose(slope, -(-rate).exp(), rtol=1e-8)  # d e^(−k)/dk
