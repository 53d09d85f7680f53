"""Files as laboratories export them: each is read right, or refused in a sentence that names the way out."""

from __future__ import annotations

import gzip
import io
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import metasci as ms
from metasci.data.cards import Card, Column
from metasci.data.door import read
from metasci.data.tasks import TaskSet
from metasci.data.text_tables import cells_of
from metasci.errors import InputError

STEEL = Card(
    "steel",
    columns=(
        Column("task", "task", "task"),
        Column("time_s", "time", "input", "s"),
        Column("temperature_degC", "temperature", "input", "degC"),
        Column("C_wt_percent", "carbon", "covariate", "percent"),
        Column("Mn_wt_percent", "manganese", "covariate", "percent"),
        Column("hardness_HRC", "hardness", "output", "HRC"),
    ),
    task=("task",),
)
TOUGH = Card(
    "tough",
    columns=(
        Column("stress", "stress", "input", "MPa"),
        Column("mass", "mass_gain", "input", "mg/cm**2"),
        Column("peak", "phonon_peak", "input", "1/cm"),
        Column("k", "toughness", "output", "MPa*m**0.5"),
    ),
)
RIGHT = ([3600.0, 3600.0, 7200.0], [200.0, 400.0, 600.0], [55.0, 45.5, 30.0])
POINT = "1{0}200{0}55.0\n1{0}400{0}45.5\n2{0}600{0}30.0\n"
COMMA = POINT.replace(".", ",")
HEAD = "time [h]{0}temperature [degC]{0}hardness [HRC]\n"


def with_head(head: str, rows: str = POINT, separator: str = ",") -> bytes:
    return (head + "\n" + rows.format(separator)).encode()


READ = {
    "semicolons, decimal commas, mark, Windows lines": b"\xef\xbb\xbf"
    + (HEAD + COMMA).format(";").replace("\n", "\r\n").encode(),
    "semicolons, decimal points": (HEAD + POINT).format(";").encode(),
    "Excel's own first line": ("sep=;\n" + (HEAD + COMMA).format(";")).encode(),
    "tabs": (HEAD + POINT).format("\t").encode(),
    "tabs, decimal commas": (HEAD + COMMA).format("\t").encode(),
    "UTF-16, as Excel's Unicode text": (HEAD + COMMA).format("\t").encode("utf-16"),
    "capitals and brackets, cp1252": with_head("Time (h),Temperature (°C),Hardness (HRC)")
    .decode()
    .encode("cp1252"),
    "capitals and brackets, UTF-8": with_head("TIME (h),Temperature (°C),Hardness (HRC)"),
    "slashes": with_head("time/h,temperature/degC,hardness/HRC"),
    "slashes with blanks": with_head("Time / h,Temperature / °C,Hardness / HRC"),
    "commas in headers": with_head("time, h;temperature, °C;hardness, HRC", separator=";"),
    "in": with_head("time in h,temperature in °C,hardness in HRC"),
    "blanks": with_head("time h,temperature °C,hardness HRC"),
    "deg C": with_head("time [hr],temperature [deg C],hardness [HRC]"),
    "kelvin": with_head("time [min],temperature [K],hardness [HRC]", "60,473.15,55\n60,673.15,45.5\n120,873.15,30\n"),
    "fahrenheit": with_head("time [s],temperature [°F],hardness [HRC]", "3600,392,55\n3600,752,45.5\n7200,1112,30\n"),
    "comments, an empty row": b"# furnace 3, operator, 2024-05-02\n\n"
    + HEAD.format(",").encode() + b"1,200,55.0\n,,\n1,400,45.5\n# the oven was opened\n2,600,30.0\n",
    "a header behind a mark": b"# time [h],temperature [degC],hardness [HRC]\n" + POINT.format(",").encode(),
    "symbols of elements": with_head("time [h],temperature [degC],hardness [HRC],C [wt%],Mn [wt%]",
                                     "1,200,55.0,0.40,0.85\n1,400,45.5,0.40,0.85\n2,600,30.0,0.40,0.85\n"),
    "symbols and blanks": with_head("time [h],temperature [degC],hardness [HRC],C (wt.%),Manganese wt%",
                                    "1,200,55.0,0.40,0.85\n1,400,45.5,0.40,0.85\n2,600,30.0,0.40,0.85\n"),
    "empty columns at the end": with_head("time [h];temperature [degC];hardness [HRC];;",
                                          "1;200;55,0;;\n1;400;45,5;;\n2;600;30,0;;\n"),
    "Vickers": with_head("time [h],temperature [degC],hardness [HV10]", "1,200,595\n1,400,452\n2,600,302\n"),
    "a scale as header": with_head("time [h],temperature [degC],HRC"),
    "Brinell": with_head("time [h],temperature [degC],hardness [HBW]", "1,200,560\n1,400,426.5\n2,600,286\n"),
    "Knoop": with_head("time [h],temperature [degC],HK0.5", "1,200,630\n1,400,473\n2,600,311\n"),
    "quotes": with_head('"time [h]","temperature [degC]","hardness [HRC]"', '"1",200,"55.0"\n1,400,45.5\n2,600,30\n'),
    "underscores and spaces": with_head(" time_s ,Temperature_degC [degC],hardness [HRC]".replace("_degC", ""),
                                        "3600,200,55\n3600,400,45.5\n7200,600,30\n"),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_it_is_read_right(tmp_path: Path, case: str):
    path = tmp_path / "export.csv"
    path.write_bytes(READ[case])
    data = TaskSet.from_csv(path, STEEL).dataset
    for name, values in zip(("time", "temperature", "hardness"), RIGHT, strict=True):
        np.testing.assert_allclose(data[name].values[0], values, rtol=1e-12, err_msg=name)
    if "symbols" in case:
        assert (float(data["carbon"][0]), float(data["manganese"][0])) == (0.40, 0.85)


PLAIN = "time [h],temperature [degC],hardness [HRC]"
REFUSED = {
    "thousands or decimals": ((HEAD + "1{0}200{0}1,234\n").format(";"), "may be 1234 or 1.234"),
    "points of thousands": ((HEAD + "1{0}1.234{0}55,0\n").format(";"), "may be 1234 or 1.234"),
    "quoted thousands": ((HEAD + '1{0}200{0}"1,234"\n').format(","), "may be 1234 or 1.234"),
    "commas and points": ((HEAD + "1{0}200{0}55,0\n1{0}400{0}45.5\n").format(";"), "write points throughout"),
    "no unit": (with_head("time,temperature [degC],hardness [HRC]"), "write it as 'time [s]'"),
    "two units": ("time [h,min];temperature [degC];hardness [HRC]\n1;2;3\n", "'h,min' is not a unit"),
    "per cent of atoms": (
        f"{PLAIN},C [at%]\n1,200,55,2\n",
        "take the whole composition to per cent by weight",
    ),
    "carbon of 101 %": (f"{PLAIN},C [wt%]\n1,200,55,101\n", "more than the whole"),
    "more than the whole": (
        f"{PLAIN},C [wt%],Mn [wt%]\n1,200,55,40,70\n",
        "add up to 110 %, more than the whole",
    ),
    "less than nothing": (f"{PLAIN},C [wt%]\n1,200,55,-0.1\n", "is negative"),
    "coulombs": (with_head("time [h],temperature [C],hardness [HRC]"), "for temperatures say 'degC'"),
    "a slip": (with_head("time [h],temprature [degC],hardness [HRC]"), "did you mean 'temperature [degC]'?"),
    "Rockwell B": (
        "time [h],temperature [degC],hardness [HRB]\n1,200,95\n",
        "no table leads from HRB to HRC",
    ),
    "pipes": ("sep=|\n" + HEAD.format("|"), "save it with commas"),
    "an old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "save it as .xlsx or as CSV"),
    "a control character": (f"{PLAIN},task\n1,200,55,a\x07b\n", "remove it"),
    "10,000 columns": (",".join(f"c{at}" for at in range(10_000)) + "\n1\n", "tables of up to 1000 are read"),
    "two separators": ("a;b,c;d\n1;2,3;4\n", "may be separated by commas or semicolons"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_or_refused_with_the_way_out(tmp_path: Path, case: str):
    path = tmp_path / "export.csv"
    content, reason = REFUSED[case]
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError) as caught:
        TaskSet.from_csv(path, STEEL)
    sentence = str(caught.value)
    assert reason in sentence
    assert sentence.endswith(".")
    assert sentence.isprintable()
    assert len(sentence.replace(str(path), "")) <= 300


def test_units_of_materials(tmp_path: Path):
    path = tmp_path / "units.csv"
    path.write_text("stress/N/mm2,mass gain (mg/cm2),phonon_peak [THz],toughness [MPa m^0.5]\n350,1.5,3,25\n")
    data = TaskSet.from_csv(path, TOUGH).dataset
    found = [data[name].item() for name in ("stress", "mass_gain", "phonon_peak", "toughness")]
    np.testing.assert_allclose(found, [350.0, 1.5, 3e12 / 29979245800.0, 25.0])
    path.write_text(
        "stress [MPa],mass gain [mg/cm2],phonon_peak [meV],toughness [N/mm2*m^0.5]\n350,1.5,10,25\n"
    )
    assert TaskSet.from_csv(path, TOUGH).dataset["phonon_peak"].item() == pytest.approx(80.65543937)
    path.write_text(
        "stress [MPa],mass gain [mg/cm2],phonon_peak [cm-1],toughness [MPa*m^0.5]\n350,1.5,80,25\n"
    )
    assert TaskSet.from_csv(path, TOUGH).dataset["phonon_peak"].item() == 80.0


def test_a_hardness_beyond_the_table_is_a_limit_and_said():
    path = (
        "time [h],temperature [degC],hardness [HV30]\n1,200,595\n1,700,150\n1,20,1000\n2,20,>900\n3,20,<300\n"
    )
    tasks = TaskSet.from_frame(pd.read_csv(io.StringIO(path), dtype=str), STEEL)
    data = tasks.dataset
    assert data["hardness"].values[0] == pytest.approx([55.0, 20.0, 68.0, 67.0, 29.75])
    assert data["hardness_below"].values.tolist() == [[0.0, 1.0, 0.0, 0.0, 1.0]]
    assert data["hardness_above"].values.tolist() == [[0.0, 0.0, 1.0, 1.0, 0.0]]
    assert "2 of 5 values lie outside 238 to 940 HV, where the table ends" in tasks.notes[1]
    assert "converted from HV to HRC by ASTM E140, for steels that are not austenitic" in tasks.notes[0]
    with pytest.raises(InputError, match=r"200 HV lies outside 238 to 940, where ASTM E140 leads to HRC"):
        TaskSet.from_frame(pd.read_csv(io.StringIO(path.replace(">900", ">200")), dtype=str), STEEL)


def test_a_gzip_bomb_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("metasci.data.cells.MOST_BYTES", 2**20)
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"0" * (2**20 + 1)))
    with pytest.raises(InputError, match="unpacks to more than 1 MB"):
        TaskSet.from_csv(path, STEEL)


def test_what_unpacks_to_far_more_than_a_table_is_refused_stream_by_stream(tmp_path: Path):
    sound = gzip.compress(b"time [h],temperature [degC],hardness [HRC]\n1,400,")
    path = tmp_path / "two.csv.gz"
    path.write_bytes(sound + gzip.compress(b"45.5\n"))  # as `cat` joins them
    assert TaskSet.from_csv(path, STEEL).dataset["hardness"].values.tolist() == [[45.5]]
    path.write_bytes(sound + gzip.compress(b"\0" * (18 << 20)))
    with pytest.raises(InputError, match="unpacks to more than 16 MB"):
        TaskSet.from_csv(path, STEEL)
    path.write_bytes(sound[:-4])
    with pytest.raises(InputError, match="ends too early"):
        TaskSet.from_csv(path, STEEL)


def test_a_workbook_is_as_large_as_its_cells_and_not_as_it_says(tmp_path: Path):
    path = workbook(tmp_path / "huge.xlsx", ROWS)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    sheet = "xl/worksheets/sheet1.xml"
    for old, new, words in (
        (rb'ref="[A-Z0-9:]+"', b'ref="A1:XFD1048576"', ""),
        (rb'r="([A-Z]?)2"', rb'r="\g<1>1048576"', "10000 empty rows"),
        (rb'r="C3"', b'r="XFD3"', "16384 columns"),
    ):
        with zipfile.ZipFile(path, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, re.sub(old, new, part) if name == sheet else part)
        if words:
            with pytest.raises(InputError, match=words):
                read(path, STEEL)
        else:
            assert len(read(path, STEEL)) == 1


def test_tasks_of_unlike_length_do_not_fill_the_memory(tmp_path: Path):
    rows = ["task,time [h],temperature [degC],hardness [HRC]"]
    rows += [f"long,{at},400,50" for at in range(8_000)] + [f"{at},1,400,50" for at in range(8_000)]
    path = tmp_path / "ragged.csv"
    path.write_text("\n".join(rows))
    with pytest.raises(InputError, match="take too much memory side by side"):
        TaskSet.from_csv(path, STEEL)


# workbooks ---------------------------------------------------------------------------------------


def workbook(path: Path, *sheets: list[list[object]]) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for place, rows in enumerate(sheets):
        sheet = book.create_sheet(f"Sheet{place + 1}")
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


ROWS: list[list[object]] = [
    ["Time (h)", "Temperature (°C)", "Hardness (HRC)"],
    [1, 200, 55.0],
    [1, 400, 45.5],
    [2, 600, 30],
]


def test_a_workbook_is_read(tmp_path: Path):
    path = workbook(tmp_path / "steel.xlsx", [["# furnace 3"], [], *ROWS, []], [])
    data = read(path, STEEL).dataset
    for name, values in zip(("time", "temperature", "hardness"), RIGHT, strict=True):
        np.testing.assert_allclose(data[name].values[0], values)
    assert data["task"].values.tolist() == ["steel"]


def test_workbooks_that_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(
        InputError, match=r"has 2 sheets with cells \(Sheet1, Sheet2\); say which, as .*#Sheet1"
    ):
        read(workbook(tmp_path / "two.xlsx", ROWS, ROWS), STEEL)
    with pytest.raises(InputError, match=r"row 3: the row has more cells than the header has"):
        read(workbook(tmp_path / "wide.xlsx", [*ROWS[:2], [1, 2, 3, 4]]), STEEL)
    with pytest.raises(InputError, match="is empty"):
        read(workbook(tmp_path / "empty.xlsx", []), STEEL)
    whole = workbook(tmp_path / "whole.xlsx", ROWS).read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 5):
        (tmp_path / "cut.xlsx").write_bytes(whole[:cut])
        with pytest.raises(InputError, match="is no workbook that can be read"):
            read(tmp_path / "cut.xlsx", STEEL)
    with zipfile.ZipFile(tmp_path / "bomb.xlsx", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("xl/worksheets/sheet1.xml", b"0" * (2**20 + 1))
    monkeypatch.setattr("metasci.data.workbooks._MOST_UNPACKED", 2**20)
    with pytest.raises(InputError, match="unpacks to more than 1 MB"):
        read(tmp_path / "bomb.xlsx", STEEL)
    (tmp_path / "old.xls").write_bytes(b"\xd0\xcf\x11\xe0")
    with pytest.raises(InputError, match=r"save it as \.xlsx or as CSV"):
        read(tmp_path / "old.xls", STEEL)


@pytest.mark.skipif(os.name != "posix", reason="names of files are bytes on POSIX only")
def test_a_file_whose_name_is_no_utf8_names_its_task_all_the_same(tmp_path: Path):
    path = tmp_path / os.fsdecode(b"Probe \xfc 3.csv")
    path.write_bytes(READ["tabs"])
    assert TaskSet.from_csv(path, STEEL).names == ("Probe \N{REPLACEMENT CHARACTER} 3",)


@pytest.mark.parametrize("separator", [";", "\t", ","])
def test_lines_that_an_instrument_writes_above_the_table_are_told(separator: str) -> None:
    rows = [
        ["task", "time [h]", "temperature [degC]", "HRC"],
        ["a", "1", "200", "55.5"],
        ["a", "1", "400", "46.5"],
    ]
    table = "\n".join(separator.join(row) for row in rows)
    content = f"Hardness tester 20\nOperator: A. Smith\n\n{table}\n".encode()
    with pytest.raises(
        InputError, match=r"begin in line 4, 'task.*delete the lines above it, or begin them with '#'"
    ):
        cells_of(content, "export.csv")
    commented = content.replace(b"Hardness", b"# Hardness").replace(b"Operator", b"# Operator")
    assert cells_of(commented, "export.csv").shape == (2, 4)


@pytest.mark.parametrize("written", ["30.1 ± 0.4", "30.1 +/- 0.4", "30.1±0.4"])
def test_a_number_with_its_error_is_asked_for_alone(written: str) -> None:
    frame = pd.DataFrame({"task": "a", "time [h]": [1], "temperature [degC]": [200], "HRC": [written]})
    with pytest.raises(InputError, match=r"is not a number \(write the number alone, without its error\)"):
        read(frame, STEEL)


def test_a_column_of_a_patient_is_asked_for_with_its_unit(tmp_path: Path) -> None:
    """As a control stream's table has it: WT and CRCL say neither what they are nor their units."""
    table = tmp_path / "levels.csv"
    table.write_text("ID,TIME,AMT,DV,WT,CRCL\n1,0,1000,,70,90\n1,23.5,,12.5,70,90\n")
    with pytest.raises(InputError, match=r"name it 'creatinine_clearance \[mL/min\]'.*not in use: WT, CRCL"):
        ms.load("vancomycin_goti_2018").calibrate(table)
