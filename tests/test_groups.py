"""Figures by group, and learning for the worst-served one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_federated import line, lines

import metasci as ms
from metasci.errors import InputError
from metasci.evaluation.groups import by_group, metric_frame
from metasci.meta.worst_group import WorstGroup


def test_figures_by_group_are_those_of_each_group_alone():
    random = np.random.default_rng(0)
    truth, group = random.normal(size=200), random.choice(["a", "b", "c"], 200)
    guess = truth + np.where(group == "c", 2.0, 0.5) * random.normal(size=200)
    report = by_group(truth, guess, group, guess - 1.0, guess + 1.0)
    for name, row in report.frame.iterrows():
        own = group == name
        assert row["mae"] == pytest.approx(np.abs(guess - truth)[own].mean())
        assert row["coverage"] == pytest.approx(100.0 * (np.abs(guess - truth)[own] <= 1.0).mean())
        assert row["below"] + row["above"] + row["coverage"] == pytest.approx(100.0)
    assert report.frame["mae"].idxmax() == "c"
    assert report.worst - report.gap == pytest.approx(report.frame["mae"].min())
    assert len(by_group(truth, guess, group, least=int(report.frame["count"].max())).frame) < 3


def test_figures_by_group_are_fairlearns():
    pytest.importorskip("fairlearn", reason="figures by group need fairlearn to be held against it")
    random = np.random.default_rng(1)
    truth, guess, group = random.normal(size=50), random.normal(size=50), random.choice(["a", "b"], 50)
    theirs, ours = metric_frame(truth, guess, group), by_group(truth, guess, group)
    assert theirs.by_group["mae"].to_dict() == pytest.approx(ours.frame["mae"].to_dict())
    assert float(theirs.difference()["mae"]) == pytest.approx(ours.gap)


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(InputError, match="one entry for each"):
        by_group([1.0, 2.0], [1.0], ["a", "b"])
    with pytest.raises(InputError, match="no group has 5"):
        by_group([1.0], [1.0], ["a"], least=5)


def _two_kinds():
    """Simulated lines of which a fifth are quite other than the rest."""
    tasks = lines(20)
    dataset = tasks.dataset.copy()
    dataset["y"] = dataset["y"] + 3.0 * (np.arange(20) >= 16)[:, None]
    return ms.TaskSet.from_dataset(dataset, tasks.card), np.where(np.arange(20) >= 16, "few", "many")


def test_learning_for_the_worst_group_gives_it_a_lower_loss():
    tasks, groups = _two_kinds()
    method = ms.FOMAML(steps=1, step_size=0.02, shots=(1, 2), iterations=40, learning_rate=0.1)
    of = {"few": groups == "few", "many": groups == "many"}
    plain = ms.meta_calibrate(line, tasks, method, covariates=())
    fair = ms.meta_calibrate(line, tasks, WorstGroup(method, tuple(groups.tolist()), rate=0.2), covariates=())
    fit = {}
    for name, prior in (("plain", plain), ("fair", fair)):
        batch = prior.batch(tasks)
        cost = prior.problem(batch).negative_log_likelihood(
            prior.state.mean.expand(20, -1), prior.state.log_noise
        ) / batch.mask.sum(1)
        fit[name] = {group: float(cost[torch.as_tensor(own)].mean()) for group, own in of.items()}
    assert max(fit["fair"].values()) < max(fit["plain"].values())
    assert fit["fair"]["many"] > fit["plain"]["many"]


def test_with_no_rate_every_group_counts_alike():
    tasks, groups = _two_kinds()
    method = ms.FOMAML(steps=1, step_size=0.02, shots=(1, 2), iterations=3)
    alike = WorstGroup(method, tuple(groups.tolist()), rate=0.0)
    state = ms.meta_calibrate(line, tasks, alike, covariates=()).state
    torch.testing.assert_close(alike.weights(state), torch.full((2,), 0.5, dtype=torch.float64))
    with pytest.raises(InputError, match="20 tasks"):
        ms.meta_calibrate(line, tasks, WorstGroup(method, ("a", "b")), covariates=())
