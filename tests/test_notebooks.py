"""What a notebook shows: tables with intervals, pictures, ArviZ's draws, an evaluation's frame, scikit-learn's face."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import metasci as ms
from metasci.library import find
from metasci.markup import table


@pytest.fixture(scope="module")
def prior() -> ms.Prior:
    return ms.load("theophylline")


@pytest.fixture(scope="module")
def fit(prior: ms.Prior) -> ms.Calibration:
    return prior.calibrate(ms.dataset("theophylline").select(["1", "2"]))


def cells(html: str) -> list[list[str]]:
    return [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)]


def test_a_calibration_shows_its_table_with_intervals(fit: ms.Calibration) -> None:
    header, *rows = cells(fit._repr_html_())
    assert header == [
        "task",
        "name",
        "unit",
        "estimate",
        "90 % interval",
        "prior",
        "of the prior",
        "shrinkage",
    ]
    assert [row[1] for row in rows] == ["absorption rate", "clearance", "volume"] * 2
    clearance = fit.parameters.iloc[1]
    low, high = map(float, rows[1][4].split(" to "))
    assert low == pytest.approx(clearance["lower"], rel=0.01)
    assert high == pytest.approx(clearance["upper"], rel=0.01)


def test_a_calibration_of_members_does_too() -> None:
    pytest.importorskip("rdkit", reason="structures need the extra metasci-calibration[materials]: rdkit")
    rows = pd.DataFrame({"smiles": ["CCCCC=O", "CCCCCC=O"], "boiling_point [degC]": [103, 131]})
    header, *rows_shown = cells(ms.load("boiling_point").calibrate(rows)._repr_html_())
    assert "90 % interval" in header
    assert len(rows_shown) == 2


def test_a_prior_shows_the_typical_task_and_the_range_of_tasks(prior: ms.Prior) -> None:
    html = prior._repr_html_()
    header, *rows = cells(html)
    assert header[2] == "90 % of tasks, at given covariates"
    typical = prior.model.parameters.to_physical(prior.state.mean)
    assert float(rows[2][1]) == pytest.approx(float(typical["volume"]), rel=0.01)
    assert "12 tasks" in html


@pytest.mark.parametrize("name", ["boiling_point", "vancomycin_goti_2018", "alloy_fatigue"])
def test_every_kind_of_prior_shows_itself(name: str) -> None:
    pytest.importorskip("rdkit", reason="structures need the extra metasci-calibration[materials]: rdkit")
    assert f"prior {name}" in ms.load(name)._repr_html_()


def test_tasks_and_models_show_their_columns() -> None:
    header, *rows = cells(ms.dataset("theophylline")._repr_html_())
    assert header == ["column", "role", "unit", "range", "meaning"]
    assert ["time", "input", "h", "0 to 24.6", "Time since the dose"] in rows
    model = find("kinetics.tempering_rockwell")
    _, *rows = cells(model._repr_html_())
    assert [row[0] for row in rows] == [name.replace("_", " ") for name in model.parameters.names]


def test_what_is_shown_is_escaped_and_bounded() -> None:
    html = table(["<b>"], [["<script>alert(1)</script>"]] * 50)
    assert "<script>" not in html
    assert "<b>" not in html
    assert "and 10 more rows" in html


def test_a_picture_shows_itself(fit: ms.Calibration) -> None:
    figure = fit.plot()
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_draws_for_arviz_are_those_of_the_posterior(fit: ms.Calibration) -> None:
    pytest.importorskip("arviz", reason="draws need the extra metasci-calibration[bayes]: arviz")
    from metasci.bayes import versions

    found = fit.to_arviz(draws=2000, seed=1)
    posterior, before = versions.group(found, "posterior"), versions.group(found, "prior")
    assert posterior["clearance"].shape == (1, 2000, 2)
    assert posterior["clearance"].attrs["units"] == "L/h/kg"
    known = fit.parameters.set_index(["task", "name"])
    for task in ("1", "2"):
        row = known.loc[(task, "volume")]
        drawn = posterior["volume"].sel(task=task)
        assert float(drawn.median()) == pytest.approx(row["estimate"], rel=0.05)
        assert float(before["volume"].sel(task=task).std()) > 1.2 * float(drawn.std())
    # independent draws: what is beside each other is not alike
    series = np.log(posterior["volume"].values[0, :, 0])
    assert abs(np.corrcoef(series[:-1], series[1:])[0, 1]) < 0.1
    assert fit.to_arviz(draws=50)["posterior"]["volume"].equals(fit.to_arviz(draws=50)["posterior"]["volume"])


def test_an_evaluation_is_numbers_a_frame_a_figure_and_a_table(prior: ms.Prior) -> None:
    found = ms.evaluate(prior, ms.dataset("theophylline"), (1, 3))
    assert json.loads(json.dumps(found))["results"][0]["method"] == "prior"
    frame = found.frame
    assert frame["rmse"].tolist() == [row["rmse"] for row in found["results"]]
    assert frame.attrs["unit"] == "mg/L"
    left, right = found.plot().axes
    assert [line.get_ydata().tolist() for line in left.get_lines()] == [
        rows["rmse"].tolist() for _, rows in frame.groupby("method", sort=False)
    ]
    assert "mg/L" in left.get_ylabel()
    assert len(right.get_lines()) == 1 + frame["method"].nunique()
    assert len(cells(found._repr_html_())) == 1 + len(frame)


def test_a_comparison_shows_a_table_with_intervals() -> None:
    pytest.importorskip("pymc", reason="a comparison needs the extra metasci-calibration[bayes]: pymc")
    from metasci.bayes.summary import Summary

    both = {"prior": 1.5, "pymc": 1.4}
    found = Summary(
        tasks=12, measurements=90, shots=3, judged="learned prior", rmse=both, nlpd=both, crps=both, coverage90=both,
        seconds_per_task=both, rmse_ratio=1.07, rmse_ratio_interval={"lower": 0.98, "upper": 1.16},
        nlpd_difference=0.1, nlpd_difference_interval={"lower": -0.05, "upper": 0.25}, verdict="Undecided.",
    )  # fmt: skip
    shown = cells(found._repr_html_())
    assert ["RMSE", "1.5", "1.4"] in shown
    assert ["RMSE, ratio", "1.07", "0.98 to 1.16"] in shown


# ------------------------------------------------------------------------------- the face of scikit-learn


def theophylline() -> tuple[pd.DataFrame, pd.Series]:
    rows = ms.dataset("theophylline").to_frame()
    return rows[["task", "time", "dose", "weight"]], rows["concentration"]


def estimator() -> object:
    pytest.importorskip(
        "sklearn", reason="the estimator needs the extra metasci-calibration[studies]: sklearn"
    )
    from metasci.sklearn import Calibrator

    return Calibrator("patients.one_compartment_oral", group="task", covariates=["weight"])


def test_groups_left_out_by_scikit_learn_are_those_left_out_by_evaluate() -> None:
    fresh = estimator()
    from sklearn.model_selection import GroupKFold, cross_val_score

    X, y = theophylline()
    scores = cross_val_score(
        fresh, X, y, groups=X["task"], cv=GroupKFold(3), scoring="neg_root_mean_squared_error"
    )
    assert scores.shape == (3,)
    assert np.isfinite(scores).all()
    # a new patient's curve, of whom nothing is measured: what `evaluate` finds with no measurement is 2.2 mg/L
    assert 1.5 < -scores.mean() < 3.0


def test_a_known_group_is_calibrated_and_a_new_one_is_expected() -> None:
    X, y = theophylline()
    known = X["task"] != "12"
    fitted = estimator().fit(X[known], y[known])
    mean, sd = fitted.predict(X, return_std=True)
    seen = fitted.prior_.calibrate(fitted.tasks_.select(["1"]))
    rows = (X["task"] == "1").to_numpy()
    direct = seen.predict(time=X["time"][rows].to_numpy(), dose=X["dose"][rows].to_numpy())
    np.testing.assert_allclose(mean[rows], direct["median"].values[0], rtol=1e-9)
    new = ~known.to_numpy()
    assert sd[new].mean() > sd[~new].mean(), "what was never measured is less sure"
    three = X[new].iloc[[2, 5, 8]]
    more = fitted.calibrate(three, y[three.index])
    error = np.abs(mean[new] - y[new]).mean()
    assert np.abs(more.predict(X[new]) - y[new]).mean() < error
    np.testing.assert_array_equal(fitted.predict(X[new]), mean[new])  # the first is as it was
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(fitted.predict(X.iloc[order]), mean[order], rtol=1e-9)


def test_the_estimator_is_cloned_and_refuses_in_a_sentence() -> None:
    from sklearn.base import clone
    from sklearn.exceptions import NotFittedError

    fresh = clone(estimator())
    X, y = theophylline()
    with pytest.raises(NotFittedError):
        fresh.predict(X)
    with pytest.raises(ms.InputError, match="no column 'patient' that names the group"):
        clone(fresh).set_params(group="patient").fit(X, y)
    with pytest.raises(ms.InputError, match="X is a DataFrame"):
        fresh.fit(X.to_numpy(), y)
