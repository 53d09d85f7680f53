"""The app without a browser: sheets, places of errors, charts, questions, lines of text, the guard, and a session."""

from __future__ import annotations

import asyncio
import io
import json
import re
import threading
import time
import zipfile
from html import unescape
from typing import Any

import numpy as np
import openpyxl
import pandas as pd
import pytest

import metasci as ms
from metasci.app import faces, parts, tables
from metasci.app.choices import blank_sheet, columns_needed, example_of
from metasci.app.classes import class_charts
from metasci.app.comparing import compared
from metasci.app.curves import curves_of
from metasci.app.drawing import ticks_of
from metasci.app.fitting import Fitted, Refused, try_to_fit
from metasci.app.grammar import line_of, question_of
from metasci.app.guard import Guard
from metasci.app.listing import choice_of, choices
from metasci.app.page import EXAMPLES
from metasci.app.questions import QUESTIONS, answer, questions_for
from metasci.app.sheets import MOST_ROWS, Sheet, sheet_of_cells, sheet_of_file, sheet_of_text
from metasci.errors import InputError

HEADER = ("time [h]", "temperature [degC]", "hardness [HRC]")
HOSTILE = "</textarea><script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


def fitted(prior: str, sheet: Sheet | None = None) -> Fitted:
    found = try_to_fit(prior, sheet or example_of(prior))
    assert isinstance(found, Fitted), found
    return found


@pytest.fixture(scope="module")
def steel() -> Fitted:
    return fitted("steel_tempering")


@pytest.fixture(scope="module")
def infant() -> Fitted:
    return fitted("phenobarbital")


# -------------------------------------------------------------------------------------------- sheets


@pytest.mark.parametrize(
    "text",
    [
        "time [h],y\n1,55.5\n",
        "time [h];y\n1;55,5\n",
        "time [h]\ty\n1\t55,5\n",
        "# oven\ntime [h];y\n1;55,5\n\n",
    ],
    ids=["commas", "semicolons", "tabs", "comment"],
)
def test_pasted_tables_are_read_as_they_come(text: str) -> None:
    sheet = sheet_of_text(text)
    assert (sheet.header, sheet.rows) == (("time [h]", "y"), (("1", "55.5"),))


def test_workbooks_are_read() -> None:
    book, content = openpyxl.Workbook(), io.BytesIO()
    book.active.append(["time [h]", "hardness [HRC]"])
    book.active.append([1, 55.5])
    book.save(content)
    assert sheet_of_file("a.XLSX", content.getvalue()).rows == (("1", "55.5"),)


def bomb() -> bytes:
    with io.BytesIO() as buffer:
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("xl/worksheets/sheet1.xml", b"0" * (30 << 20))
        return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"a,b\n" + b"1,2\n" * (MOST_ROWS + 1), "301 rows; the app takes up to 300"),
        ("a.csv", ",".join("abcdefgh" * 6).encode() + b"\n" + b",".join([b"1"] * 48), "48 columns"),
        ("a.csv", b"1" * (2 * 2**20 + 1), "the app reads up to 2 MB"),
        ("a.csv", b"a,b\n" + b"x" * 300 + b",1\n", "row 1: a cell has more than 200 letters"),
        ("a.exe", b"a,b\n1,2\n", "is none of .csv"),
        ("a.csv.gz", b"\x1f\x8b", "is none of .csv"),
        ("a.xlsx", b"PK nonsense", "is no workbook that can be read"),
        ("a.csv", b"a,b\n1,2,3\n", "row 2: the row has 3 cells where the header has 2"),
        ("a.csv", b"", "empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_sentence(name: str, content: bytes, words: str) -> None:
    with pytest.raises(InputError, match=re.escape(words)):
        sheet_of_file(name, content)


def test_a_workbook_that_unpacks_to_much_more_is_refused() -> None:
    with pytest.raises(InputError, match="unpacks to more than 20 MB"):
        sheet_of_file("a.xlsx", bomb())


@pytest.mark.parametrize(
    "sent", [None, 3, {}, {"header": ["a"], "rows": [["1", "2"]]}, {"header": "a", "rows": []}, {"header": [1], "rows": []}]
)  # fmt: skip
def test_what_a_browser_would_not_send_is_refused(sent: Any) -> None:
    with pytest.raises(InputError, match="did not arrive whole"):
        sheet_of_cells(sent)


def test_empty_rows_keep_the_numbers_of_the_others() -> None:
    found = try_to_fit("steel_tempering", Sheet(HEADER, (("1", "200", "55"), ("", "", ""), ("2", "x", "40"))))
    assert isinstance(found, Refused)
    assert (found.row, found.column) == (3, "temperature [degC]")


@pytest.mark.parametrize(
    ("prior", "header", "rows", "place"),
    [
        ("steel_tempering", HEADER, (("1", "200", "55"), ("2", "600", "")), (2, "hardness [HRC]")),
        ("phenobarbital", ("ID", "TIME [h]", "AMT [mg]", "DV [mg/L]", "weight [kg]"),
         (("1", "0", "25", "", "1.4"), ("1", "2", "", "abc", "1.4")), (2, "DV [mg/L]")),
        ("boiling_point", ("molecule", "boiling_point [K]"), (("CCO", "351"), ("C(C", "400")), (2, "molecule")),
        ("steel_tempering", ("time [kg]", *HEADER[1:]), (("1", "200", "55"),), (None, "time [kg]")),
    ],
)  # fmt: skip
def test_errors_name_their_place(prior: str, header: Any, rows: Any, place: tuple[int | None, str]) -> None:
    found = try_to_fit(prior, Sheet(header, rows))
    assert isinstance(found, Refused)
    assert (found.row, found.column) == place


def test_every_prior_has_an_example_that_it_takes_and_a_blank_that_names_its_columns() -> None:
    for name in ("alloy_fatigue", "theophylline", "vancomycin_goti_2018"):
        fitted(name)
        assert set(blank_sheet(name).header) == {
            one["column"] for one in columns_needed(name) if one["needed"]
        }


# -------------------------------------------------------------------------------------------- charts


def test_curves_are_those_of_the_fit(steel: Fitted) -> None:
    first = curves_of(steel.fit)[0]
    calibrated = next(mark.series for mark in first.marks if mark.series.name == "calibrated")
    said = steel.fit.predict(time="1 h", temperature=calibrated.x * ms.unit("degC")).isel(task=0)
    np.testing.assert_allclose(calibrated.y, said["median"], rtol=1e-9)
    np.testing.assert_allclose(calibrated.upper, said["upper"], rtol=1e-9)
    points = next(mark.series for mark in first.marks if mark.look == "points")
    assert (points.x.round(6).tolist(), points.y.tolist()) == ([200.0, 400.0], [55.0, 45.5])


def test_levels_of_a_drug_are_drawn_from_zero_and_whole(infant: Fitted) -> None:
    chart = curves_of(infant.fit)[0]
    shown = [mark.series for mark in chart.marks if mark.look in ("curve", "points")]
    assert chart.axes.y[0] == 0.0
    assert chart.axes.y[1] >= max(float(np.nanmax(series.y)) for series in shown)


def test_ticks_are_round_and_inside() -> None:
    assert ticks_of(-1.0, 1.0, 4) == [-1.0, -0.5, 0.0, 0.5, 1.0]
    assert ticks_of(0.0, 0.0) == []
    assert ticks_of(3.0, 8.0, 5, logarithmic=True) == [3.0, 4.0, 5.0, 6.0, 7.0, 8.0]


@pytest.mark.parametrize("name", [each.name for each in choices()])
def test_every_prior_of_the_list_begins_with_a_table_that_it_reads(name: str) -> None:
    found = try_to_fit(name, example_of(name))
    assert isinstance(found, Fitted), found
    assert any(cell for row in found.sheet.rows for cell in row)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("bacteria", '<td class="number">n</td>'),
        ("kidney", '<td class="number">&gt; 60</td>'),
        ("wine", "cold"),
        ("epilepsy", "placebo"),
        ("alloy_phases", "<td>BCC</td>"),
    ],
)
def test_outcomes_of_every_kind_are_tabled_and_what_is_offered_to_be_asked_is_answered(
    name: str, cells: str
) -> None:
    fit = fitted(name).fit
    assert cells in tables.predictions(fit)
    for question in questions_for(fit):
        assert answer(fit, question.name, {}).words


def test_a_category_is_chosen_by_its_name_and_not_asked_as_a_number() -> None:
    """The wine's grapes are cold or warm when crushed; between the two there is nothing."""
    wine = fitted("wine").fit
    asked = next(each for each in questions_for(wine) if each.name == "predict").fields(wine)
    assert [(each.name, each.choices) for each in asked] == [
        ("temperature", ("cold", "warm")),
        ("contact", ("no", "yes")),
    ]
    said = answer(wine, "predict", {"temperature": "warm", "contact": "yes"}).words
    known = float(wine.predict(temperature=1.0, contact=1.0)["median"].item())
    assert said.startswith(f"mean bitterness at temperature warm and contact yes: {known:.3g} ")
    with pytest.raises(InputError, match="temperature: 'hot' is none of cold, warm"):
        answer(wine, "predict", {"temperature": "hot", "contact": "yes"})


def test_what_is_predicted_of_an_outcome_is_called_what_it_is() -> None:
    bacteria = fitted("bacteria").fit
    assert answer(bacteria, "predict", {"week": "4"}).words.startswith(
        "probability of bacteria found at week 4: "
    )
    assert line_of(bacteria, "when") == "when is it 0.5"
    assert question_of(bacteria, "when is it 0.5") == ("when", {"value": "0.5"})
    assert "probability of present" in answer(bacteria, "when", {"value": "0.5"}).words


def test_outcomes_are_listed_as_such_and_not_as_families_of_materials() -> None:
    assert {choice_of(name).face for name in ("alloy_phases", "bacteria", "kidney")} == {"outcome"}
    assert choice_of("boiling_point").face == "family"


def test_faces_show_what_belongs_to_them(steel: Fitted, infant: Fitted) -> None:
    assert faces.tempering(steel.fit, 700.0).count("<rect") > 500
    assert faces.tempering(infant.fit, 700.0) == faces.transformation(infant.fit, 700.0) == ""
    line = faces.timeline(infant.fit, 390.0)
    assert line.count('class="given"') == 4
    assert "25 mg at 0 h; 3.5 mg at 12.5 h" in line
    assert "17.3 mg/L at 2 h" in line


def panel_of(text: str) -> Any:
    return json.loads(unescape(re.search(r'data-values="([^"]*)"', text)[1]))[0]


def test_a_transformation_diagram_says_when_the_curve_is_there(steel: Fitted) -> None:
    """Its median is that of draws, so that the curve's own median is near, and not the same."""
    series = panel_of(faces.transformation(steel.fit, 700.0))["series"]
    assert len(series) >= 2
    for one in series:
        at = [place for place, value in enumerate(one["x"]) if value is not None]
        middle = at[len(at) // 2]
        said = steel.fit.predict(time=one["x"][middle], temperature=f"{one['y'][middle]} degC")["median"]
        assert float(said.squeeze()) == pytest.approx(float(one["name"].split()[0]), abs=1.0)


def test_a_map_has_the_numbers_of_the_fit(steel: Fitted) -> None:
    field = panel_of(faces.tempering(steel.fit, 700.0))["field"]
    said = steel.fit.predict(time=field["x"][7], temperature=f"{field['y'][5]} degC")["median"]
    assert field["values"][5][7] == pytest.approx(float(said.squeeze()), rel=2e-3)


def test_structures_are_drawn() -> None:
    pytest.importorskip("rdkit", reason="rdkit is not installed")
    drawn = faces.structures(fitted("boiling_point").fit)
    assert drawn.count("<svg ") == 4
    assert 'aria-label="Structure of CCCCC=O"' in drawn
    assert "<?xml" not in drawn


def test_of_a_salt_the_largest_molecule_is_taken_where_that_is_asked_for() -> None:
    pytest.importorskip("rdkit", reason="rdkit is not installed")
    rows = (("CCCN.Cl", "322"), ("CCCCN", "350"), ("CCCCCN", ""))
    salts = Sheet(("molecule", "boiling_point [K]"), rows)
    plain = Sheet(salts.header, (("CCCN", "322"), *rows[1:]))
    refused_salt = try_to_fit("boiling_point", salts)
    assert isinstance(refused_salt, Refused)
    assert refused_salt.row == 1
    taken, alone = try_to_fit("boiling_point", salts, True), try_to_fit("boiling_point", plain)
    assert isinstance(taken, Fitted)
    assert "'CCCN' of 'CCCN.Cl'" in unescape(tables.warned(taken.fit.warnings))
    assert tables.predictions(taken.fit).replace("CCCN.Cl", "CCCN") == tables.predictions(alone.fit)
    assert 'id="largest_molecule" type="checkbox"' in tables.needs("boiling_point")
    assert "largest_molecule" not in tables.needs("steel_tempering")
    steel = try_to_fit("steel_tempering", example_of("steel_tempering"), True)
    assert isinstance(steel, Fitted)  # which has no molecules: what was ticked before is no matter


def test_nothing_that_a_user_wrote_becomes_part_of_the_page() -> None:
    header = ("task", *HEADER)
    sheet = Sheet(header, ((HOSTILE, "1", "200", "55"), (HOSTILE, "1", "400", "45"), ("b", "2", "300", "50")))
    found = fitted("steel_tempering", sheet)
    shown = [
        parts.sheet_part(sheet), parts.sheet_part(Sheet((HOSTILE,), ((HOSTILE,),), (HOSTILE,))), parts.fit_part(found.fit, 700.0),
        parts.message(try_to_fit("steel_tempering", Sheet(HEADER, ((HOSTILE, "200", "55"),)))),
        parts.message(try_to_fit("steel_tempering", Sheet((HOSTILE, *HEADER), ((HOSTILE, "1", "200", "55"),)))),
        tables.parameters(found.fit), tables.predictions(found.fit), tables.warned(found.fit.warnings),
        parts.answered(HOSTILE, Refused(HOSTILE)), compared(found, found, 700.0),
    ]  # fmt: skip
    for text in shown:
        assert "<script" not in text
        assert "<img" not in text
        assert "</textarea" not in text


# ----------------------------------------------------------------------------------------- questions


def test_answers_are_those_of_the_library(steel: Fitted, infant: Fitted) -> None:
    from metasci.dosing import Target, recommend, solve_dose
    from metasci.heat_treatment import furnace_time

    said = steel.fit.predict(time="2 h", temperature="500 degC")
    words = answer(steel.fit, "predict", {"time": "2 h", "temperature": "500 °C"}).words
    assert f": {float(said['median'].squeeze()):.3g} HRC" in words
    given = {"temperature": "600 °C", "at_most": "40", "probability": "90"}
    assert (
        answer(steel.fit, "furnace", given).words
        == f"{furnace_time(steel.fit, '600 degC', at_most=40.0, draws=1000).words}."
    )
    dose = answer(infant.fit, "dose", {"low": "15", "high": "25", "doses": "2, 3, 4 mg", "intervals": "12 h"})
    best = recommend(
        infant.fit,
        Target("trough", 15.0, 25.0),
        doses=["2 mg", "3 mg", "4 mg"],
        intervals=["12 h"],
        draws=600,
    )
    solved = solve_dose(
        infant.fit, Target("trough", 15.0, 25.0), interval=12.0, sizes=["2 mg", "3 mg", "4 mg"], draws=600
    )
    assert dose.words == f"{best.words}; solved for, {solved.words}."
    asked = {
        "target": "concentration",
        "low": "20",
        "high": "30",
        "at": "90 min",
        "loading": "yes",
        "number": "3",
    }
    both = answer(infant.fit, "dose", {**asked, "doses": "2, 3, 4, 20 mg", "intervals": "24 h"}).words
    assert "concentration 1.5 h after the dose between 20 and 30 mg/L" in both
    assert "mg first, then 2 doses, one every 24 h" in both
    assert "a clinician decides the dose" in " ".join(dose.warnings)
    assert "at 49.5 h" in answer(infant.fit, "before_next", {}).words


def test_when_a_curve_reaches_a_value_is_that_of_the_library(steel: Fitted, infant: Fitted) -> None:
    assert "when" not in {each.name for each in questions_for(steel.fit)}  # two inputs to follow
    said = answer(infant.fit, "when", {"value": "5", "start": "50 h", "until": "300 h"}).words
    assert said == f"{infant.fit.when('5 mg/L', 'time', start='50 h', until='300 h').sentences[0]}."
    asked = question_of(infant.fit, "When is it 5 mg/L until 300 h?")
    assert asked == ("when", {"value": "5 mg/L", "until": "300 h"})
    assert "at" in answer(infant.fit, *asked).words
    with pytest.raises(InputError, match="say which value"):
        answer(infant.fit, "when", {})


def test_a_bare_number_is_in_the_unit_that_people_read(steel: Fitted) -> None:
    both = [answer(steel.fit, "predict", {"time": "2 h", "temperature": at}).rows for at in ("500", "500 °C")]
    assert both[0] == both[1]


def test_next_measurements(steel: Fitted, infant: Fitted) -> None:
    assert answer(steel.fit, "next", {}).words.startswith("A test of")
    assert "tells most at time" in answer(infant.fit, "next", {}).words
    family = fitted("boiling_point").fit
    frame = family.table()
    blank = frame[frame["boiling_point"].isna()]
    widest = blank.loc[(blank["upper"] - blank["lower"]).idxmax(), "molecule"]
    assert answer(family, "next", {}).words.startswith(f"Measure {widest} next")


def test_lines_are_understood(steel: Fitted, infant: Fitted) -> None:
    lines = {
        "Hardness at 500 degC after 30 min?": ("predict", {"temperature": "500 degC", "time": "30 min"}),
        "furnace time to at least 40 HRC at 500 °C": (
            "furnace",
            {"temperature": "500 °C", "at_least": "40 HRC", "at_most": ""},
        ),
        "which test next": ("next", {}),
    }
    for line, expected in lines.items():
        assert question_of(steel.fit, line) == expected
    assert question_of(infant.fit, "level before the next dose") == ("before_next", {})
    assert question_of(infant.fit, "dose for a trough of 10 to 15 mg/L from 2, 3 mg every 8, 12 h") == (
        "dose", {"target": "trough", "low": "10", "high": "15", "doses": "2, 3 mg", "intervals": "8, 12 h"},
    )  # fmt: skip
    for fit in (steel.fit, infant.fit):
        for question in questions_for(fit):
            if question.name != "predict" or fit is steel.fit:
                assert question_of(fit, EXAMPLES[question.name])[0] == question.name
    assert {each.name for each in QUESTIONS} == set(EXAMPLES)


def test_an_input_without_a_unit_may_be_named_and_its_line_is_the_example() -> None:
    phases = fitted("alloy_phases").fit
    for line in ("phase at 8.1 electrons", "which phase at electrons 8.1?", "phase at 8.1"):
        assert question_of(phases, line) == ("predict", {"electrons": "8.1"})
    with pytest.raises(InputError, match=r"'phase at 5\.7'; 'what to measure next'"):
        question_of(phases, "tell me a joke")
    bacteria = fitted("bacteria").fit
    assert question_of(bacteria, line_of(bacteria, "predict"))[0] == "predict"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("tell me a joke", "Lines that are"), ("hardness after 2 h", "say at which temperature"),
        ("hardness after 2 kg", "no condition of this prior"), ("dose for a trough of 10 to 15 mg/L", "Lines that are"),
        ("a" * 5000, "Lines that are"), ("dose " * 500, "Lines that are"), ("hardness after 1 h at 2 h at 3 h", "no condition"),
    ],
)  # fmt: skip
def test_lines_that_are_not_understood_are_one_sentence(steel: Fitted, line: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        question_of(steel.fit, line)


def test_a_target_in_another_unit_is_refused(infant: Fitted) -> None:
    with pytest.raises(InputError, match="in mg/L, the unit of this prior's levels"):
        question_of(infant.fit, "dose for a trough of 10 to 15 ug/mL")


def test_two_fits_side_by_side(steel: Fitted, infant: Fitted) -> None:
    fewer = fitted("steel_tempering", Sheet(HEADER, (("1", "200", "55.0"), ("1", "400", "45.5"))))
    text = compared(steel, fewer, 700.0)
    assert "now: steel_tempering, 2 measurements" in text
    assert "line other" in text
    assert "activation energy" in compared(infant, steel, 700.0)
    assert "different kinds" in compared(infant, fitted("boiling_point"), 700.0)


# ------------------------------------------------------------------------------------ guard, session


@pytest.fixture(scope="module")
def classes() -> Fitted:
    """Simulated phases of one alloy along a composition."""
    phases = ms.outcomes.Categorical(classes=("fcc", "bcc <i>", "mixed"))
    model = ms.responses.linear_predictor(["share"], noise=phases, name="tests.app_classes", spread=2.0)
    rows = [("0.1", "fcc"), ("0.2", "fcc"), ("0.5", "mixed"), ("0.8", "bcc <i>"), ("0.9", "bcc <i>")]
    sheet = Sheet(("share", "outcome"), tuple(rows))
    return Fitted("tests.app_classes", sheet, ms.Prior.declared(model).calibrate(sheet.frame()))


def test_classes_are_shown_by_their_names_and_probabilities(classes: Fitted) -> None:
    fit = classes.fit
    (chart,) = class_charts(fit)
    *bands, came = [mark.series for mark in chart.marks]
    assert [band.name for band in bands] == ["fcc", "bcc <i>", "mixed"]
    np.testing.assert_allclose(sum(band.y for band in bands), 1.0, atol=1e-9)
    said = fit.predict(share=0.8)
    at = int(np.argmin(np.abs(bands[1].x - 0.8)))
    assert bands[1].y[at] == pytest.approx(float(said["probability_bcc <i>"].squeeze()), abs=1e-9)
    assert came.y[3] == pytest.approx(bands[1].y[at])
    text = parts.fit_part(fit, 700.0) + tables.predictions(fit)
    assert "bcc <i>" not in text
    assert "bcc &lt;i&gt;" in text
    found = answer(fit, "predict", {"share": "0.9"})
    assert "bcc <i>, with probability 0." in found.words
    assert sum(float(row[1]) for row in found.rows) == pytest.approx(1.0, abs=0.02)
    beside = compared(classes, Fitted("kept", classes.sheet, fit), 700.0)
    assert "Classes have a curve each" in beside
    assert "<table>" in beside


def test_classes_of_two_inputs_stand_in_the_order_of_their_rows() -> None:
    phases = ms.outcomes.Categorical(classes=("fcc", "bcc"))
    model = ms.responses.linear_predictor(["share", "size"], noise=phases, name="tests.app_two")
    table = pd.DataFrame(
        {"share": [0.1, 0.9, 0.4], "size": [1.0, 2.0, 3.5], "outcome": ["fcc", "bcc", "bcc"]}
    )
    fit = ms.Prior.declared(model).calibrate(table)
    (chart,) = class_charts(fit)
    assert chart.x == "row"
    expected = fit.at_measurements()["predicted_probability_bcc"]
    np.testing.assert_allclose(chart.marks[1].series.y, expected)
    np.testing.assert_allclose(chart.marks[-1].series.y[1:], expected[1:])


def answered_by_guard(headers: dict[str, str], kind: str = "http", method: str = "GET") -> Any:
    sent: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": kind, "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    asyncio.run(Guard(inner)(scope | ({"method": method} if kind == "http" else {}), receive, send))
    return sent[0]


def test_the_guard_lets_only_its_own_page_in() -> None:
    ours = {"host": "127.0.0.1:8000"}
    welcome = answered_by_guard(ours)
    assert welcome["status"] == 200
    policy = dict(welcome["headers"])[b"content-security-policy"]
    assert policy.startswith(b"default-src 'self'")
    assert answered_by_guard({"host": "evil.example"})["status"] == 403
    assert answered_by_guard({})["status"] == 403
    for no_host in ("[bad", "127.0.0.1.evil.example", "localhost:80@evil.example", "127.0.0.1\0.example"):
        assert answered_by_guard({"host": no_host})["status"] == 403
    assert (
        answered_by_guard(ours | {"origin": "http://127.0.0.1:8000"}, "websocket")["type"]
        == "http.response.start"
    )
    for origin in ("http://evil.example", "http://127.0.0.1:9999", "null"):
        assert answered_by_guard(ours | {"origin": origin}, "websocket")["type"] == "websocket.close"
    assert answered_by_guard(ours, method="POST")["status"] == 403  # uploads would be written to the disk


def test_the_page_names_what_it_loads_by_its_own_address_only() -> None:
    from metasci.app.page import page

    text = page()
    assert re.findall(r'(?:src|href)="(?!static/|data:,|#main|")([^"]*)"', text) == []
    assert text.count("<option") >= len(choices())
    assert "For research use only" in text


def test_without_shiny_the_command_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    def absent(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] in ("shiny", "uvicorn"):
            raise ImportError(name)
        return found(name, *rest)

    found = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", absent)
    from metasci.app.serving import run

    with pytest.raises(InputError, match=re.escape("metasci-calibration[app]")):
        run(0, open_browser=False)


def test_two_sessions_of_one_server_know_nothing_of_each_other() -> None:
    """Over two sockets, as two browsers would: what one types, the other never hears of."""
    pytest.importorskip("shiny", reason="shiny is not installed")
    import uvicorn
    from websockets.sync.client import connect

    from metasci.app.serving import application

    server = uvicorn.Server(uvicorn.Config(application(), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]

    def opening(width: int) -> str:
        shown = {f".clientdata_output_{name}_hidden": False for name in ("message", "parameters", "answer")}
        return json.dumps({"method": "init", "data": {"prior": "steel_tempering", "width": width, **shown}})

    def typed(*rows: list[str]) -> str:
        cells = {"header": list(HEADER), "rows": list(rows)}
        return json.dumps({"method": "update", "data": {"cells": cells}})

    def heard(socket: Any, until: str) -> str:
        text = ""
        while until not in text:
            text += socket.recv(timeout=60)
        return text

    address = f"ws://127.0.0.1:{port}/websocket/"
    with connect(address, proxy=None) as ann, connect(address, proxy=None) as ben:
        ann.send(opening(700))
        heard(ann, "Calibrated from 3 measurements")
        ben.send(opening(400))
        first = heard(ben, "Calibrated from 3 measurements")
        ann.send(typed(["1", "200", "61.73219"], ["2", "oops", "40"]))
        assert "is not a number" in heard(ann, "oops")
        ben.send(typed(["1", "200", "50"]))
        second = heard(ben, "Calibrated from 1 measurement")
        assert "oops" not in first + second
        assert "61.73219" not in first + second
    server.should_exit = True
    thread.join(20)
