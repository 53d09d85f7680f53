"""Who measured: sources in a table, and what several readings from one say in a process over groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from metasci.data.cards import SOURCE, UNKNOWN, Card, Column
from metasci.data.tasks import TaskSet
from metasci.learned.places import points_of
from metasci.materials.properties import property_of_card
from metasci.meta.group_covariance import GroupCovariance, Points, covariances, noise_variance, overlap
from metasci.meta.group_process import GroupProcess
from metasci.meta.group_state import ProcessState
from metasci.noise import LogNormal

pytest.importorskip("chemicals", reason="needs the extra metasci-calibration[materials]: chemicals")

FLOAT = torch.float64
CARD = Card(
    "strengths",
    columns=(
        Column("system", "system", "task", of="formula"),
        Column("formula", "formula", "input", "1", kind="formula"),
        Column("temperature", "temperature", "input", "degC"),
        Column("laboratory", "laboratory", "input", "1", kind=SOURCE),
        Column("strength", "strength", "output", "MPa"),
    ),
    task=("system",),
    without_copies=True,
)
STRENGTH = property_of_card("materials.strength", CARD, LogNormal((0.1,)))


def table(**columns: list[object]) -> pd.DataFrame:
    rows = {
        "formula": ["CoNi", "CoNi", "Co2Ni"],
        "temperature [degC]": [25, 600, 25],
        "strength [MPa]": [200, 150, 230],
    }
    return pd.DataFrame(rows | columns)


def test_no_property_depends_on_who_measured_and_a_table_may_leave_it_out() -> None:
    assert list(STRENGTH.inputs) == ["formula", "temperature"]
    untold = TaskSet.from_frame(table(), CARD, model=STRENGTH)
    assert untold.structures("laboratory") == [UNKNOWN]
    source = points_of(untold, STRENGTH).source
    assert source is not None
    assert len(source.unique()) == 1


def test_sources_are_told_apart_and_empty_cells_are_one() -> None:
    rows = table(laboratory=["A", None, "A "])
    tasks = TaskSet.from_frame(rows, CARD, model=STRENGTH)
    source = points_of(tasks, STRENGTH).source
    assert source is not None
    assert (source[0] == source[2], source[0] == source[1]) == (True, False)
    again = TaskSet.from_frame(tasks.to_frame().drop(columns="task"), CARD, model=STRENGTH)
    assert again.to_frame()["laboratory"].tolist() == ["A", UNKNOWN, "A"]


def test_a_copy_is_one_whoever_names_it() -> None:
    rows = pd.concat(
        [table(laboratory=["A", "A", "A"]), table(laboratory=["B", "B", "B"])], ignore_index=True
    )
    assert TaskSet.from_frame(rows, CARD, model=STRENGTH).counts.tolist() == [3]


def test_members_of_one_source_have_its_levels_in_common() -> None:
    counts = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5], [1.0, 0.0]], dtype=FLOAT)
    warm = torch.tensor([[0.0], [2.0], [0.0], [0.0]], dtype=FLOAT)
    points = Points(counts, warm, source=torch.tensor([0, 0, 0, 1]))
    free = GroupCovariance.start(points)
    own = {"source": 0.3, "source_alike": 0.4, "source_course": 0.5, "own_length": 1.0}
    free = replace(free, **{name: torch.tensor(value, dtype=FLOAT).log() for name, value in own.items()})
    plain = replace(points, source=None)
    added = [
        with_source - without
        for with_source, without in zip(
            covariances(points, points, free, overlap(points, points)),
            covariances(plain, plain, free, overlap(plain, plain)),
            strict=True,
        )
    ]
    assert added[0].abs().max() == 0.0  # what all groups share is the same
    along = 0.25 + 0.25 / (1.0 + 0.5 * 2.0**2)  # levels, and a course over the one descriptor
    expected = np.array(
        [
            [0.50, along, 0.09, 0.0],
            [along, 0.50, 0.09, 0.0],
            [0.09, 0.09, 0.50, 0.0],
            [0.0, 0.0, 0.0, 0.50],
        ]
    )
    assert added[1].numpy() == pytest.approx(expected)
    louder = replace(
        free, noise_slopes=torch.tensor([0.25], dtype=FLOAT)
    )  # at 2: noise, and source, by e^0.5
    more = covariances(points, points, louder, overlap(points, points))[1]
    plainly = covariances(plain, plain, louder, overlap(plain, plain))[1]
    by = np.exp([0.0, 0.5, 0.0, 0.0])
    assert (more - plainly).numpy() == pytest.approx(expected * np.outer(by, by))
    assert noise_variance(points, louder).numpy() == pytest.approx(0.01 * by**2, rel=1e-3)


def simulated(
    groups: int = 40, sources: int = 3, each: int = 4, seed: int = 0
) -> tuple[Points, torch.Tensor, torch.Tensor]:
    """Groups of a level of their own, whose sources differ by 0.5, and readings within one by 0.05."""
    generator = torch.Generator().manual_seed(seed)
    group = torch.arange(groups).repeat_interleave(sources * each)
    source = torch.arange(groups * sources).repeat_interleave(each)
    size = len(group)
    descriptor = torch.randn(size, 1, generator=generator, dtype=FLOAT)
    level = 0.5 * torch.randn(groups * sources, generator=generator, dtype=FLOAT)
    noise = 0.05 * torch.randn(size, generator=generator, dtype=FLOAT)
    values = descriptor[:, 0] + level[source] + noise
    return Points(torch.ones(size, 1, dtype=FLOAT), descriptor, source=source), values, group


def test_scatter_between_sources_and_within_are_learned_and_own_readings_count() -> None:
    points, values, group = simulated()
    method = GroupProcess(members=6, iterations=30)
    state = method.learn(points, values, group)
    free, size = state.covariance, float(state.standard.target_scale)
    assert free.source is not None
    assert free.source_alike is not None
    between = size * float(((2 * free.source).exp() + (2 * free.source_alike).exp()).sqrt())
    assert between == pytest.approx(0.5, abs=0.15)
    assert size * float(free.noise.exp()) < 0.12
    blind = method.learn(replace(points, source=None), values, group)
    line = torch.linspace(-1, 1, 6, dtype=FLOAT)[:, None]
    new = Points(torch.ones(6, 1, dtype=FLOAT), line, source=torch.zeros(6).long())
    truth = new.descriptors[:, 0] + 0.7
    measured = torch.arange(6) < 4
    after = method.outlook(new, state).given(measured, truth)
    without = method.outlook(replace(new, source=None), blind).given(measured, truth)
    assert (after.mean - truth)[4:].abs().max() < 0.1
    assert float(after.scale[4:].mean()) < 0.5 * float(without.scale[4:].mean())
    other = replace(new, source=torch.tensor([0, 0, 0, 0, 1, 1]))
    elsewhere = method.outlook(other, state).given(measured, truth)
    assert float(elsewhere.scale[4:].mean()) > 2.0 * float(after.scale[4:].mean())


def test_levels_of_sources_are_kept_on_disk() -> None:
    points, values, group = simulated(groups=6)
    state = GroupProcess(members=6, iterations=2).learn(points, values, group)
    tensors = state.tensors()
    shapes = ProcessState.shapes(tensors)
    assert {name: tuple(value.shape) for name, value in tensors.items()} == shapes
    again = ProcessState.of(tensors)
    assert again.covariance.tensors().keys() == state.covariance.tensors().keys()
    assert "source" in again.covariance.tensors()
