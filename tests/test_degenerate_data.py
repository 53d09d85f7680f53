"""Data at the edge: without scatter, without a query, laws of what is linear piece by piece."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import metasci as ms
from metasci.constraints import Concave, Convex, Grid
from metasci.data.cards import Card
from metasci.data.tasks import TaskSet
from metasci.meta import LawfulEpisode, Network, NetworkEpisode, initial, meta_gradient, named
from metasci.meta.laplace.resolution import last_digit

LINE = torch.linspace(-2, 3, 11)[None, :, None]


@ms.equation(
    inputs={"time": "h"}, output=("level", "mg/L"), name="mine.straight",
    parameters=[ms.Parameter("height", "mg/L", typical=10.0), ms.Parameter("slope", "mg/L/h", typical=1.0)],
)  # fmt: skip
def straight(time: float, *, height: float, slope: float) -> float:
    """A line."""
    return height + slope * time


def lines(digits: int | None, noise: float = 0.0) -> TaskSet:
    draw = np.random.default_rng(0)
    rows = []
    for task in range(8):
        height, slope = 10 + draw.normal(), 1 + 0.5 * draw.normal()
        for time in (0.0, 1.0, 2.0, 3.0, 5.0):
            value = height + slope * time + noise * draw.normal()
            value = value if digits is None else round(value, digits)
            rows.append({"task": f"t{task}", "time [h]": time, "level [mg/L]": value})
    return TaskSet.from_frame(pd.DataFrame(rows), Card.from_model(straight), model=straight)


def noise_of(tasks: TaskSet) -> float:
    return float(ms.meta_calibrate(straight, tasks, name="mine").state["log_noise"].exp())


def test_without_scatter_noise_stays_at_the_rounding_and_a_warning_says_so() -> None:
    with pytest.warns(UserWarning, match=r"do not scatter about 'mine.straight'.*held at 1e-06"):
        assert noise_of(lines(None)) == pytest.approx(1e-6 * straight.noise.typical[0])


def test_rounded_data_have_at_least_the_noise_of_rounding() -> None:
    rows = [
        {"task": t, "time [h]": x, "level [mg/L]": a + b * x}
        for t, a, b in (("p", 10.0, 1.0), ("q", 12.0, 2.0), ("r", 9.0, 0.5), ("s", 11.0, 1.5))
        for x in (0.0, 2.0, 4.0, 6.0)
    ]
    tasks = TaskSet.from_frame(pd.DataFrame(rows), Card.from_model(straight), model=straight)
    with pytest.warns(UserWarning, match=r"held at 0.29"):
        assert noise_of(tasks) == pytest.approx(1.0 / math.sqrt(12.0))


def test_noise_above_the_rounding_is_what_it_was(recwarn: pytest.WarningsRecorder) -> None:
    found = noise_of(lines(3, noise=0.1))
    assert 0.05 < found < 0.2
    assert not [one for one in recwarn if "do not scatter" in str(one.message)]


@pytest.mark.parametrize(
    ("values", "digit"), [([5.0, 15.0], 1.0), ([1.25, 3.5], 0.01), ([300.0, 100.0], 100.0), ([0.0], 0.0)]
)
def test_the_last_digit(values: list[float], digit: float) -> None:
    assert last_digit(torch.tensor(values, dtype=torch.float64)) == pytest.approx(digit)


def test_a_task_without_a_query_is_not_in_the_mean() -> None:
    torch.manual_seed(0)
    inputs, targets = torch.randn(3, 4, 2), torch.randn(3, 4, 1)
    mask = torch.ones(3, 4, dtype=torch.bool)
    mask[1] = False
    network = Network(nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)))
    whole = NetworkEpisode(network, inputs, targets, inputs, targets, query_mask=mask)
    judged = whole.select(torch.tensor([0, 2]))
    for composition in (named.maml(2, 0.1), named.fomaml(2, 0.1), named.imaml(2, 0.1)):
        learned = initial(composition, network.start())
        found = meta_gradient(composition, whole, learned)[1]
        expected = meta_gradient(composition, judged, learned)[1]
        for name in learned:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("slopes", "convex", "concave"),
    [
        ((1.0, 1.0), True, False),
        ((-1.0, -1.0), False, True),
        ((1.0, -2.0), False, False),
        ((1.0, 0.0), True, False),
    ],
)
def test_the_shape_of_what_is_linear_piece_by_piece(
    slopes: tuple[float, float], convex: bool, concave: bool
) -> None:
    module = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():  # s₁·max(x, 0) + s₂·max(x − 1, 0)
        module[0].weight[:] = 1.0
        module[0].bias[:] = torch.tensor([0.0, -1.0])
        module[2].weight[:] = torch.tensor([slopes])
        module[2].bias[:] = 0.0
    episode = NetworkEpisode(Network(module), LINE, module(LINE).detach(), LINE, module(LINE).detach())
    grid = Grid({"x": tuple(torch.linspace(-2, 3, 201).tolist())})
    laws = LawfulEpisode(episode, (Convex("x"), Concave("x")), ("x",), grid)
    verdicts = laws.verdicts({name: value[None] for name, value in Network(module).start().items()})
    assert verdicts["satisfied"].tolist() == [convex, concave]
    if slopes == (
        -1.0,
        -1.0,
    ):  # the widest chord, from (−2, 0) to (3, −5), lies 2 below the curve in its middle
        assert float(verdicts["violation"][0]) == pytest.approx(2.0, rel=1e-5)
        assert float(verdicts["x"][0]) == pytest.approx(0.5, abs=1e-5)


def test_the_shape_of_a_smooth_curve_is_told_by_its_curvature_alone() -> None:
    x = torch.linspace(0.5, 2.0, 7, dtype=torch.float64)[None]
    found = Convex("x").violation(lambda at: -(at["x"] ** 3), {"x": x})
    torch.testing.assert_close(found, 0.5 * 6.0 * x * 4.0)
    line = Convex("x").violation(lambda at: 3.0 * at["x"], {"x": x})
    assert float(line.max()) < 1e-12
