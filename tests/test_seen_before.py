"""What updates forget, and what regains an old task."""

from __future__ import annotations

import pytest
from test_federated import line, lines

import metasci as ms
from metasci.diagnostics import forgetting, reacquisition
from metasci.errors import InputError
from metasci.meta import GaussianPrior


def test_a_linear_models_updates_forget_nothing():
    """Tasks measured at the same places: updating by sums is learning from all, to rounding and the tolerance."""
    tasks = _at_the_same_places()
    parts = [tasks.select(slice(at, at + 6)) for at in (0, 6, 12)]
    first = ms.meta_calibrate(line, parts[0], GaussianPrior(tolerance=1e-7), covariates=())
    found = forgetting(first, parts[1:], parts[0], shots=2, seeds=2)
    assert found["seen"].values.tolist() == [6, 12, 18]
    assert found["updated"].values == pytest.approx(found["joint"].values, rel=1e-4)
    assert "After 2 updates the error on the first 6 tasks" in found.attrs["verdict"]
    with pytest.raises(InputError, match="at least one batch"):
        forgetting(first, [], parts[0])


def _at_the_same_places():
    frame = lines(18).to_frame(units=True)
    frame = frame[frame.groupby("task").cumcount() < 3].copy()
    place = frame.groupby("task").cumcount()
    frame["x"] = place - 1.0
    return ms.TaskSet.from_frame(frame, lines(2).card, model=line)


def test_a_learned_prior_regains_a_task_before_one_that_learned_nothing():
    tasks = lines(10)
    tasks = tasks.select(tasks.counts > 4)
    starts = {
        "learned": ms.meta_calibrate(line, lines(10), covariates=()),
        "declared": ms.meta_calibrate(line, lines(10), ms.FromScratch(iterations=1), covariates=()),
    }
    found = reacquisition(starts, tasks, shots=(0, 1, 3), seeds=2)
    assert float(found["error"].sel(start="learned", shots=1)) < float(
        found["error"].sel(start="declared", shots=1)
    )
    assert found["error"].sel(start="learned").values.argmin() == 2
    with pytest.raises(InputError, match="has more than 40"):
        reacquisition(starts, tasks, shots=(40,))
