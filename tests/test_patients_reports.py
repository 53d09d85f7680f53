"""Reports of patients from event tables: limits, covariates that change, resets, additional doses, what cannot be."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from known import as_known
from matplotlib.figure import Figure
from scipy.integrate import solve_ivp

import metasci as ms
from metasci.errors import InputError
from metasci.priors.calibrated import Calibration
from metasci.report import (
    calibration_figure,
    calibration_report,
    goodness_of_fit_figure,
    individual_fits_figure,
    normalised_prediction_errors,
    random_effects_figure,
    visual_predictive_check,
    visual_predictive_check_figure,
    warnings_of,
)
from metasci.report.marks import _joined
from metasci.report.time_axis import AFTER_DOSE, abscissa

HEADER = "ID,TIME,AMT,DV,EVID,ADDL,II,weight [kg],alpha_1_acid_glycoprotein [g/L],creatinine_clearance,heart_failure"
ROWS = (
    "p,0,400,.,1,2,6,70,1,0,0", "p,7,.,2.1,0,.,.,70,1,0,0", "p,9,.,.,2,.,.,65,2.5,1,0",
    "p,20,.,1.9,0,.,.,65,2.5,1,0",
)  # fmt: skip


def events(*rows: str, header: str = HEADER) -> pd.DataFrame:
    return pd.read_csv(io.StringIO("\n".join([header, *rows])))


def infused(*rows: str) -> pd.DataFrame:
    """Remifentanil at 250 ug/min over ten minutes, and some rows: time, value, whether below a limit of 0.2 ng/mL."""
    header = "ID,TIME [min],AMT [ug],RATE [ug/min],EVID,DV [ng/mL],BLQ,LLOQ"
    known = ("weight [kg],age [year],height [cm],lean_body_mass [kg],sex", "64,58,166,46.5,2")
    told = ["ann,0,2500,250,1,.,.,.", *(f"ann,{row.replace(',', ',0,0,0,', 1)},0.2" for row in rows)]
    return events(*(f"{row},{known[1]}" for row in told), header=f"{header},{known[0]}")


@pytest.fixture(scope="module")
def quinidine() -> ms.Prior:
    return ms.load("quinidine")


@pytest.fixture(scope="module")
def changing(quinidine: ms.Prior) -> Calibration:
    known = as_known(quinidine)  # whose median is the curve at the estimate
    return known.calibrate(ms.TaskSet.from_events(events(*ROWS), known.model, carried="forward"))


def names(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def marks(figure: Figure, marker: str) -> list[list[float]]:
    return [
        list(zip(line.get_xdata(), line.get_ydata(), strict=True))  # type: ignore[arg-type]
        for axes in figure.axes
        for line in axes.get_lines()
        if line.get_marker() == marker
    ]


# ------------------------------------------------------------------- covariates that change with time


def test_covariates_are_carried_forward_and_the_curve_is_that_of_a_solver(changing: Calibration) -> None:
    time = np.array([0.5, 7.0, 8.9, 9.0, 15.0, 20.0, 40.0])
    said = changing.predict(time=time)
    assert said["weight"].values.tolist() == [[70.0] * 3 + [65.0] * 4]
    assert said["alpha_1_acid_glycoprotein"].values.tolist() == [[1.0] * 3 + [2.5] * 4]
    assert said["weight"].attrs["units"] == "kg"
    estimate = changing.table().set_index("name")["estimate"]

    def slope(at: float, state: Any) -> list[float]:
        weight, glycoprotein, renal = (70.0, 1.0, 1.0) if at < 9.0 else (65.0, 2.5, 0.0)
        flow = estimate["clearance"] * (weight / 70.0) ** 0.75
        flow *= glycoprotein ** estimate["glycoprotein_exponent"] * np.exp(renal * estimate["renal_effect"])
        volume = estimate["volume"] * weight / 70.0
        gut = estimate["absorption_rate"] * state[0]
        return [-gut, gut - flow / volume * state[1]]

    state, found = np.zeros(2), {}
    for begin, end in ((0.0, 6.0), (6.0, 9.0), (9.0, 12.0), (12.0, 40.0)):
        state = state + ([400.0, 0.0] if begin in (0.0, 6.0, 12.0) else [0.0, 0.0])
        inside = sorted({*time[(time >= begin) & (time <= end)], end})
        path = solve_ivp(slope, (begin, end), state, t_eval=inside, rtol=1e-10, atol=1e-12, max_step=0.5).y
        state = path[:, -1]
        found |= dict(zip(inside, path[1], strict=True))
    volume = estimate["volume"] * np.where(time < 9.0, 70.0, 65.0) / 70.0
    expected = np.array([found[at] for at in time]) / volume
    assert said["median"].values[0] == pytest.approx(expected, rel=1e-6)


def test_one_point_is_predicted_as_among_many_and_as_at_measurements(
    changing: Calibration, quinidine: ms.Prior
) -> None:
    backward = quinidine.calibrate(events(*ROWS))  # the next value holds in the interval before it
    assert backward.predict(time=[6.9, 7.0, 7.1])["weight"].values.tolist() == [[70.0, 70.0, 65.0]]
    measured = backward.at_measurements()["predicted"].to_numpy()
    assert backward.predict(time=[7.0, 20.0])["median"].values[0] == pytest.approx(measured, rel=1e-9)
    many = changing.predict(time=np.linspace(0.0, 40.0, 81))["median"].values[0]
    assert changing.predict(time=33.0)["median"].values[0] == pytest.approx(many[66], rel=1e-9)
    measured = changing.at_measurements()["predicted"].to_numpy()
    assert changing.predict(time=[7.0, 20.0])["median"].values[0] == pytest.approx(measured, rel=1e-9)
    lighter = changing.predict(time=33.0, weight=30.0)
    assert "weight" in lighter.coords
    assert "heart_failure" in lighter.coords
    with pytest.raises(InputError, match="say at which time"):
        changing.predict(weight=70.0)


def test_curves_and_effects_of_patients_whose_covariates_change(quinidine: ms.Prior) -> None:
    rows = [f"{who},{row.partition(',')[2].replace(',70,', f',{weight},')}"
            for who, weight in (("a", 60), ("b", 70), ("c", 80)) for row in ROWS]  # fmt: skip
    fit = quinidine.calibrate(events(*rows))
    for figure in (calibration_figure(fit), individual_fits_figure(fit)):
        assert [axes.get_title(loc="left") for axes in figure.axes] == ["a", "b", "c"]
        assert figure.axes[0].get_xlabel() == "time (h)"
        assert [at for at, _ in marks(figure, "|")[0]] == [0.0, 6.0, 12.0]
        assert "dose given" in names(figure)
    effects = random_effects_figure(fit)
    assert effects.axes[-4].get_xlabel() == "first weight (kg)"
    points = effects.axes[0].get_lines()[3]
    assert sorted(points.get_xdata()) == [60.0, 70.0, 80.0]


# --------------------------------------------------------------------------------------------- limits


def test_a_value_below_a_limit_is_no_surprise_where_little_is_expected() -> None:
    prior = ms.load("remifentanil")
    fit = prior.calibrate(infused("6,52,0", "200,.,1"))
    assert not [text for text in warnings_of(fit) if "far outside" in text]
    text = calibration_report(fit)
    assert "&lt;0.2</td>" in text
    assert "Open triangles: limits" in text
    figure = calibration_figure(fit)
    assert marks(figure, "v") == [[(200.0, 0.2)]]
    assert marks(figure, "o") == [[(6.0, 52.0)]]
    assert {"below the limit", "dose infused"} <= set(names(figure))
    surprising = prior.calibrate(infused("6,52,0", "9,.,1"))
    found = [text for text in warnings_of(surprising) if "far outside" in text]
    assert len(found) == 1
    assert "measurement 2 (concentration <0.2 ng/mL)" in found[0]


# -------------------------------------------------------------------------------------- what was read


def test_the_report_says_what_was_read_and_what_to_mind(quinidine: ms.Prior) -> None:
    rows = (*ROWS, "p,0,400,.,4,.,.,65,2.5,1,0", "p,4,.,1.6,0,.,.,65,2.5,1,0")
    fit = quinidine.calibrate(events(ROWS[0], "p,6,.,2.0,0,.,.,70,1,0,0", *rows[1:]))
    anew, at_dose = fit.warnings[-2:]
    assert anew.startswith("time began anew at 1 record of the table")
    assert "1 measurement of the table at the very time of an additional dose (ADDL) is taken" in at_dose
    text = calibration_report(fit)
    assert "<h2>What was read</h2>" in text
    for name, value in (("Rows", 7), ("Doses", 4), ("Passed over", "rows without dose or measurement: 1")):
        assert f"<dt>{name}</dt><dd>{value}</dd>" in text
    assert "AMT: mg" in text


def test_a_measurement_without_a_likelihood_is_named(quinidine: ms.Prior) -> None:
    fit = quinidine.calibrate(events(ROWS[0], "p,0,.,0.1,0,.,.,70,1,0,0", *ROWS[1:]))
    assert not fit.adapted.finite.any()
    found = [text for text in fit.warnings if "no finite numbers" in text]
    assert len(found) == 1
    assert "at measurement 1 (time 0 h, concentration 0.1 mg/L), where 0 mg/L is predicted" in found[0]
    assert not [text for text in fit.warnings if "check its unit" in text]
    assert calibration_report(fit)
    several = quinidine.calibrate(
        events(ROWS[0], "p,0,.,0.1,0,.,.,70,1,0,0", *ROWS[1:], *(row.replace("p,", "q,", 1) for row in ROWS))
    )
    assert len(goodness_of_fit_figure(several).axes) == 4
    assert "task p: the calculation" in several.warnings[0]


def test_a_law_of_what_is_no_number(changing: Calibration) -> None:
    lost = torch.full_like(changing.adapted.coordinates, torch.nan)
    fit = replace(changing, adapted=replace(changing.adapted, coordinates=lost))
    found = [text for text in warnings_of(fit) if "law" in text]
    assert found == [
        "task p: the calibrated curve is not a finite number everywhere, as the law 'not below zero' demands."
    ]


# ------------------------------------------------------------------------------------------- the axis


def test_the_axis_is_time_after_the_last_dose_where_one_patient_comes_back_late(quinidine: ms.Prior) -> None:
    rows = [f"{who},{row.partition(',')[2]}" for who in "abcdef" for row in ROWS]
    late = ("a,4000,400,.,1,.,.,65,2.5,1,0", "a,4008,.,2.0,0,.,.,65,2.5,1,0")
    usual = quinidine.calibrate(events(*rows))
    crowded = quinidine.calibrate(events(*rows[:4], *late, *rows[4:]))
    assert abscissa(usual)[0].label == "time (h)"
    axis, values = abscissa(crowded)
    assert axis.label == "time after last dose (h)"
    assert values[0].tolist() == [1.0, 8.0, 8.0]
    assert values[1, :2].tolist() == [1.0, 8.0]
    assert abscissa(crowded, "time")[0].label == "time (h)"
    assert abscissa(usual, AFTER_DOSE)[1][:, :2].tolist() == [[1.0, 8.0]] * 6
    check = visual_predictive_check(quinidine, crowded.tasks, 60, bins=2)
    assert visual_predictive_check_figure(check).axes[0].get_xlabel() == "time after last dose (h)"
    assert check["count"].values.tolist() == [6, 7]
    errors = normalised_prediction_errors(quinidine, crowded.tasks, 100, over="time")
    assert float(errors["time"].max()) == 4008.0
    with pytest.raises(InputError, match="over: there is 'time' and 'time after last dose'"):
        visual_predictive_check(quinidine, usual.tasks, over="space")


def test_infusions_that_follow_upon_one_another_are_one_mark() -> None:
    begin, end = _joined(np.array([0.0, 10.0, 30.0]), np.array([10.0, 20.0, 40.0]))
    assert (begin.tolist(), end.tolist()) == ([0.0, 30.0], [20.0, 40.0])
