"""The study of laws in meta-training, in a setting of seconds; and that its simulated tasks are what it says."""

from __future__ import annotations

import matplotlib.pyplot as plt
import torch

from metasci.studies.physics_instinct import (
    INSIDE,
    NOISE,
    WAYS,
    Setting,
    compared,
    figure,
    simulated,
    summary,
)


def test_simulated_tasks_are_even_never_negative_and_measured_where_it_says() -> None:
    for sides in ("both", "right"):
        tasks = simulated(200, 20, sides, seed=1)
        x = torch.linspace(0.0, 4.5, 50).expand(200, 50)
        torch.testing.assert_close(tasks.truth(x), tasks.truth(-x))
        assert float(tasks.truth(x).min()) >= 0.0
        assert float(tasks.x.abs().max()) <= INSIDE
        assert bool((tasks.x >= 0.0).all()) is (sides == "right")
        off = tasks.y - tasks.truth(tasks.x)
        assert abs(float(off.std()) - NOISE) < 0.005
        assert torch.equal(tasks.y, simulated(200, 20, sides, seed=1).y)


def test_laws_in_meta_training_reach_the_side_that_nobody_measured() -> None:
    setting = Setting(seeds=1, iterations=80, old=60, new=30, hidden=16)
    comparison = compared(setting, ("right",))
    table = comparison.table.set_index("way")
    assert list(table.index) == [way.name for way in WAYS]
    without, taught = table.loc["no penalty"], table.loc["penalty in meta-training"]
    assert taught["uneven"] < 0.3 * without["uneven"]
    assert taught["error left"] < without["error left"]
    assert table.loc["laws by construction", "uneven"] == 0.0
    assert table.loc["laws by construction", "negative"] == 0.0
    assert (comparison.weights.filter(like="learned") > 0.0).all(axis=None)
    assert "±" in summary(comparison.table).iloc[0, 0]
    with torch.no_grad():
        drawn = figure(comparison, setting)
    assert len(drawn.axes) == 4
    plt.close(drawn)
