"""Figures, warnings and the HTML report."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

import metasci as ms
from metasci.data.cards import Card
from metasci.data.tasks import TaskSet
from metasci.diagnostics.simulated import simulated_tasks
from metasci.errors import InputError
from metasci.library import find
from metasci.meta.adapted import NoiseMixture
from metasci.priors.calibrated import Calibration
from metasci.report import (
    Band,
    Section,
    calibration_figure,
    calibration_report,
    comparison_figure,
    page,
    parameters_figure,
    parity_figure,
    shots_figure,
    tempering_map,
    to_png_base64,
    to_svg,
    warnings_of,
)
from metasci.report.html import paragraph, table

VOID = {"meta", "img", "br", "hr", "link"}


class Reader(HTMLParser):
    """Checks that tags close in order, and collects what is pointed at and what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.targets: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.targets += [
            value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset", "action")
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    return reader


@pytest.fixture(scope="module")
def cracks() -> ms.Prior:
    return ms.meta_calibrate(find("kinetics.crack_growth"), ms.dataset("alloy_fatigue"))


@pytest.fixture(scope="module")
def theophylline() -> ms.Prior:
    return ms.meta_calibrate(find("patients.one_compartment_oral"), ms.dataset("theophylline"))


@pytest.fixture(scope="module")
def steel() -> ms.Prior:
    """A prior of tempering learned from steels that are simulated, so that the test needs no data."""
    model = find("kinetics.tempering_rockwell")
    draw = np.random.default_rng(0)
    rows = []
    for task in range(8):
        physical = model.parameters.to_physical(0.5 * draw.standard_normal(4))
        for time in (600.0, 3600.0, 14400.0, 86400.0):
            for temperature in (473.0, 673.0, 873.0):
                value = model({"time": np.array(time), "temperature": np.array(temperature)}, physical)
                rows.append(
                    (f"steel {task}", time, temperature, 0.2 + 0.1 * task, float(value) + draw.normal())
                )
    names = ["task", "time [s]", "temperature [K]", "carbon [percent]", "hardness [HRC]"]
    card = replace(Card.from_model(model), simulated=True, name="steels")
    tasks = TaskSet.from_frame(pd.DataFrame(rows, columns=names), card)
    return ms.meta_calibrate(model, tasks, covariates=("carbon",))


def crack_readings(
    cracks: ms.Prior, name: str = "A", cycles: Any = (0.01, 0.02, 0.03), lengths: Any = None
) -> Calibration:
    at = np.asarray(cycles)
    lengths = 1.0 + 4.0 * at if lengths is None else lengths
    frame = pd.DataFrame({"task": name, "cycles [Mcycle]": at, "relative_length": lengths})
    return cracks.calibrate(frame)


def patient(
    theophylline: ms.Prior,
    weight: float | None = 70.0,
    concentrations: Any = (6.0, 8.0, 5.0),
    last: float = 9.0,
) -> Calibration:
    frame = pd.DataFrame(
        {
            "task": "P",
            "time [h]": [0.5, 2.0, last],
            "dose [mg/kg]": 4.5,
            "concentration [mg/L]": concentrations,
        }
    )
    if weight is not None:
        frame["weight [kg]"] = weight
    return theophylline.calibrate(frame)


def labels(figure: Figure) -> list[str]:
    return [text for axes in figure.axes for text in (axes.get_xlabel(), axes.get_ylabel()) if text]


def titles(figure: Figure) -> str:
    said = [axes.get_title(loc="left") for axes in figure.axes]
    return " ".join([*said, figure.get_suptitle()])


# ------------------------------------------------------------------------------------------- report


def test_report_is_one_sound_page_that_asks_for_nothing(theophylline: ms.Prior) -> None:
    reader = read(calibration_report(patient(theophylline)))
    assert "svg" in reader.tags, "the figures are inside"
    assert all(target.startswith(("data:image/", "#")) for target in reader.targets)
    assert not {"link", "iframe"} & set(reader.tags)
    assert reader.tags.count("script") == 1
    for expected in (
        "Shrinkage",
        "clearance",
        "L/(h·kg)",
        "not a medical device",
        "GPL",
        "Seed",
        "not below zero",
        "torch",
    ):
        assert expected in reader.text
    assert "(simulated)" not in reader.text


def test_report_does_not_pass_off_a_users_file_as_the_training_data(theophylline: ms.Prior) -> None:
    assert "given by the user" in read(calibration_report(patient(theophylline))).text
    shipped = theophylline.calibrate(ms.dataset("theophylline").select(["1"]))
    assert "given by the user" not in read(calibration_report(shipped)).text


def test_report_escapes_what_the_user_wrote(cracks: ms.Prior) -> None:
    name = "<script>alert('$x_1$ & more')</script>"
    text = calibration_report(crack_readings(cracks, name))
    reader = read(text)
    assert reader.tags.count("script") == 1, "the page's own"
    assert name in reader.text
    assert "not a medical device" not in reader.text


def test_report_says_simulated(steel: ms.Prior) -> None:
    card = steel.card
    frame = pd.DataFrame(
        {
            "task": "S",
            "time [h]": [1.0, 1.0, 4.0],
            "temperature [degC]": [200.0, 400.0, 500.0],
            "carbon [percent]": 0.4,
            "hardness [HRC]": [54.0, 45.0, 36.0],
        }
    )
    fit = steel.calibrate(TaskSet.from_frame(frame, card, model=steel.model))
    reader = read(calibration_report(fit))
    assert "(simulated)" in reader.text
    assert "measurements in this report are simulated" in reader.text
    for figure in (fit.plot(), tempering_map(fit), parameters_figure(fit)):
        assert "simulated" in titles(figure)


def test_report_of_many_tasks_stays_short(theophylline: ms.Prior) -> None:
    fit = theophylline.calibrate(ms.dataset("theophylline"))
    assert "The first six of 12 tasks" in read(calibration_report(fit)).text


def test_page_escapes_its_plain_texts() -> None:
    reader = read(
        page("<i>", [Section("<b>", paragraph("<u>") + table(["<a>", "n"], [["<p>", 1]], [1]))], "<s>")
    )
    assert not {"i", "b", "u", "s", "a"} & set(reader.tags)
    for said in ("<i>", "<b>", "<u>", "<a>", "<p>", "<s>"):
        assert said in reader.text


# ------------------------------------------------------------------------------------------ figures


def test_axes_carry_units(cracks: ms.Prior, theophylline: ms.Prior, steel: ms.Prior) -> None:
    assert labels(crack_readings(cracks).plot()) == [
        "cycles (10⁶ cycles)",
        "crack length relative to the first",
    ]
    assert labels(patient(theophylline).plot()) == ["time (h)", "plasma concentration (mg/L)"]
    frame = pd.DataFrame(
        {
            "task": "S",
            "time [h]": [1.0, 24.0],
            "temperature [degC]": [200.0, 400.0],
            "carbon [percent]": 0.4,
            "hardness [HRC]": [54.0, 42.0],
        }
    )
    fit = steel.calibrate(frame)
    figure = fit.plot()
    assert set(labels(figure)) == {"temperature (°C)", "hardness (HRC)"}
    assert "time 1 h" in titles(figure)
    assert "time 24 h" in titles(figure)
    assert "temperature (°C)" in labels(tempering_map(fit))
    said = " ".join(axes.get_title(loc="left") for axes in parameters_figure(fit).axes)
    assert "activation energy (kJ/mol)" in said


def test_map_of_an_alloy_that_is_timed_in_hours_is_drawn_at_these_hours() -> None:
    model = ms.kinetics.age_hardening
    alloys = model.parameters.to_physical(0.4 * np.random.default_rng(0).standard_normal((6, 5)))
    hours, kelvin = np.tile([0.5, 4.0, 40.0], 2), np.repeat([430.0, 470.0], 3)
    tasks = simulated_tasks(model, alloys, {"time": hours, "temperature": kelvin})
    method = ms.GaussianPrior(iterations=3)
    fit = ms.meta_calibrate(model, tasks.select(slice(1, 6)), method).calibrate(tasks.select([0]))
    axes = tempering_map(fit, temperatures=(430.0, 470.0), points=24).axes[0]
    assert axes.get_xlim() == (60.0, 144000.0)
    time = np.geomspace(60.0, 144000.0, 24)[None, :] / 3600.0
    said = fit.predict(time=time, temperature=np.linspace(430.0, 470.0, 24)[:, None])["median"]
    filled = next(each for each in axes.collections if hasattr(each, "zmax"))
    assert (filled.zmin, filled.zmax) == pytest.approx((float(said.min()), float(said.max())), rel=1e-9)
    points = [each.get_offsets() for each in axes.collections if isinstance(each, PathCollection)]
    assert sorted(points[0][:, 0]) == pytest.approx(sorted(3600.0 * hours))
    with pytest.raises(InputError, match="must be above zero and below longest"):
        tempering_map(fit, shortest=100.0, longest=10.0)


def test_map_is_hatched_where_scale_and_law_end(steel: ms.Prior) -> None:
    """By hand: Ac1 of this steel is 723 − 10.7 · 0.9 °C, and the scale begins at 20 HRC; HRC · T of an hour is 20 T."""
    frame = pd.DataFrame(
        {
            "task": "S",
            "time [h]": [1.0, 1.0],
            "temperature [degC]": [300.0, 600.0],
            "manganese [percent]": 0.9,
            "hardness [HRC]": [48.0, 25.0],
        }
    )
    fit = steel.calibrate(frame)
    figure = tempering_map(fit, temperatures=(573.15, 1073.15), points=60)
    said = figure._supxlabel.get_text()
    assert "outside of 20 to 68 HRC" in said
    assert "above Ac1" in said
    left, right = figure.axes[:2]
    hatched = [each for each in left.collections if getattr(each, "hatches", None) and each.hatches[0]]
    corners = np.concatenate([path.vertices for path in hatched[0].get_paths()])
    at_once = corners[corners[:, 0] == corners[:, 0].min()]
    assert at_once[:, 1].min() == pytest.approx(723.0 - 10.7 * 0.9, abs=9.0)  # the grid's step
    beside = right.child_axes[0]
    assert beside.get_ylabel().startswith("T (20 + lg t/h)")
    figure.draw_without_rendering()
    low, high = right.get_ylim()
    assert beside.get_ylim() == pytest.approx((0.02 * (low + 273.15), 0.02 * (high + 273.15)))
    plain = tempering_map(fit, temperatures=(573.15, 673.15), points=12)
    assert plain._supxlabel is None  # nothing ends there
    for axes in (left, right):  # numbers lie inside, and apart
        boxes = [text.get_window_extent() for text in axes.texts]
        assert len(boxes) >= 2
        assert all(axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1 for box in boxes)
        assert all(axes.bbox.y0 <= box.y0 and box.y1 <= axes.bbox.y1 for box in boxes)
        assert not any(one.overlaps(other) for at, one in enumerate(boxes) for other in boxes[:at])


def test_many_tempering_times_and_several_steels_share_a_panel(steel: ms.Prior) -> None:
    rows = [(name, 60.0 * 2**k, 600.0, 0.4, 50.0 - k) for name in "AB" for k in range(9)]
    frame = pd.DataFrame(
        rows, columns=["task", "time [s]", "temperature [K]", "carbon [percent]", "hardness [HRC]"]
    )
    assert len(steel.calibrate(frame[frame["task"] == "A"]).plot().axes) == 1
    assert len(steel.calibrate(frame).plot().axes) == 2


def test_an_equation_of_three_inputs_gets_a_parity_plot() -> None:
    @ms.equation(
        name="test.plane",
        inputs={"a": "1", "b": "1", "c": "1"},
        output=("force", "N"),
        parameters=[ms.Parameter("p", "N", typical=1.0), ms.Parameter("q", "N", typical=1.0)],
    )
    def plane(a: Any, b: Any, c: Any, *, p: Any, q: Any) -> Any:
        """A plane."""
        return p * a + q * b * c

    draw = np.random.default_rng(1)
    values = draw.normal(size=(40, 3))
    force = values[:, 0] + values[:, 1] * values[:, 2] + 0.1 * draw.normal(size=40)
    frame = pd.DataFrame(
        {"task": np.repeat(list("abcde"), 8), **dict(zip("abc", values.T, strict=True)), "force [N]": force}
    )
    tasks = TaskSet.from_frame(frame, Card.from_model(plane))
    fit = ms.meta_calibrate(plane, tasks).calibrate(tasks)
    assert set(labels(fit.plot())) == {"measured force (N)", "predicted force (N)"}
    assert "states no physical law" in read(calibration_report(fit)).text


def test_a_prior_that_does_not_exist_is_left_out_of_the_picture(cracks: ms.Prior) -> None:
    fit = crack_readings(cracks)
    blank = torch.full_like(fit.adapted.start_covariance, torch.nan)
    unknown = replace(fit.adapted, start_covariance=blank, start_mixture=NoiseMixture.single(blank))
    fit = replace(fit, adapted=unknown)
    assert fit.plot().axes
    assert "—" in read(calibration_report(fit)).text


def test_comparisons_of_methods() -> None:
    x = np.linspace(0.0, 10.0, 20)
    band = Band("learned prior", x, x, x - 1.0, x + 1.0)
    figure = comparison_figure(
        [band, replace(band, name="prior alone", reference=True)], x[::5], x[::5], np.array([True, False, True, False]),
        xlabel="time (h)", ylabel="concentration (mg/L)", title="Patient", simulated=True,
    )  # fmt: skip
    assert "simulated" in titles(figure)
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {
        "learned prior", "prior alone", "kept back", "used to calibrate",
    }  # fmt: skip
    rows = [
        {"method": method, "shots": k, "rmse": 3.0 / (1 + k)}
        for method in ("prior", "start only")
        for k in (0, 1, 5)
    ]
    assert labels(shots_figure({"results": rows, "unit": "HRC"}))[1].endswith("(HRC)")
    parity = parity_figure(x, x + 0.1, x - 1.0, x + 1.0, quantity="hardness", unit="HRC")
    assert labels(parity) == ["measured hardness (HRC)", "predicted hardness (HRC)"]


def test_pictures_repeat_and_leave_settings_alone(cracks: ms.Prior) -> None:
    before = dict(matplotlib.rcParams)
    fit = crack_readings(cracks)
    first, second = to_svg(fit.plot()), to_svg(calibration_figure(fit))
    assert first == second
    assert first.lstrip().startswith("<?xml")
    assert to_png_base64(fit.plot()).startswith("iVBOR")
    assert dict(matplotlib.rcParams) == before


# ----------------------------------------------------------------------------------------- warnings


def test_an_ordinary_calibration_warns_of_nothing(theophylline: ms.Prior) -> None:
    assert warnings_of(patient(theophylline, concentrations=(5.0, 8.0, 4.0))) == []


def test_a_wrong_unit_is_noticed(theophylline: ms.Prior) -> None:
    found = warnings_of(patient(theophylline, concentrations=(6.0, 8000.0, 5.0)))
    assert any(
        re.match(r"task P: measurement 2 \(concentration 8000 mg/L\) is far outside .*check its unit\.", line)
        for line in found
    )


def test_missing_and_unusual_covariates(theophylline: ms.Prior) -> None:
    assert "task P: weight not given: the prior is wider." in warnings_of(patient(theophylline, weight=None))
    assert any(
        line.startswith("task P: weight 700 kg lies outside")
        for line in warnings_of(patient(theophylline, weight=700.0))
    )


def test_extrapolation(cracks: ms.Prior) -> None:
    found = warnings_of(crack_readings(cracks, cycles=(0.01, 0.2), lengths=(1.02, 1.5)))
    assert any(
        "cycles 0.2 × 10⁶ cycles lies outside the range" in line and "extrapolates" in line for line in found
    )


def test_failures_are_named(cracks: ms.Prior) -> None:
    fit = crack_readings(cracks)
    never = torch.zeros_like(fit.adapted.converged)
    assert (
        "task A: the calibration has not converged"
        in warnings_of(replace(fit, adapted=replace(fit.adapted, converged=never)))[0]
    )
    assert (
        "task A: the calculation gave no finite numbers"
        in warnings_of(replace(fit, adapted=replace(fit.adapted, finite=never)))[0]
    )
    noted = replace(fit, adapted=replace(fit.adapted, notes=("the implied prior does not exist.",)))
    assert "the implied prior does not exist." in warnings_of(noted)


def test_intervals_cut_at_a_limit(theophylline: ms.Prior) -> None:
    found = warnings_of(patient(theophylline, concentrations=(6.0, 8.0, 0.6), last=24.0))
    assert any("reach below 0 mg/L and are cut there" in line for line in found)


def test_broken_laws() -> None:
    @ms.equation(
        name="test.line",
        inputs={"time": "h"},
        output=("level", "m"),
        parameters=[ms.Parameter("slope", "m/h", typical=0.5), ms.Parameter("start", "m", typical=1.0)],
        constraints=[ms.Monotone("time", increasing=True)],
    )
    def line(time: Any, *, slope: Any, start: Any) -> Any:
        """A line."""
        return start + slope * time

    time = np.tile([0.0, 1.0, 2.0, 3.0], 3)
    task = np.repeat(list("abc"), 4)
    slope = np.where(task == "c", -1.0, 0.5)
    noise = 0.05 * np.random.default_rng(2).standard_normal(12)
    tasks = TaskSet.from_frame(
        pd.DataFrame({"task": task, "time [h]": time, "level [m]": 1.0 + slope * time + noise}),
        Card.from_model(line),
    )
    fit = ms.meta_calibrate(line, tasks).calibrate(tasks)
    broken = [text for text in warnings_of(fit) if "breaks the law 'rising with time'" in text]
    assert len(broken) == 1
    assert broken[0].startswith("task c:")
    assert "broken by up to" in read(calibration_report(fit)).text


def test_many_tasks_share_a_sentence(theophylline: ms.Prior) -> None:
    rows = [
        (f"P{k}", time, 4.5, value) for k in range(25) for time, value in ((0.5, 6.0), (2.0, 8.0), (9.0, 5.0))
    ]
    frame = pd.DataFrame(rows, columns=["task", "time [h]", "dose [mg/kg]", "concentration [mg/L]"])
    found = [line for line in warnings_of(theophylline.calibrate(frame)) if "weight" in line]
    assert found == ["25 of 25 tasks (P0, P1, P2 and 22 others): weight not given: the prior is wider."]


def test_a_curve_that_ends_before_it_begins_is_refused() -> None:
    fit = ms.load("theophylline").calibrate(ms.dataset("theophylline").select(slice(0, 1)))
    with pytest.raises(InputError, match="does not lie below -72"):
        fit.plot(until="-72 h")
