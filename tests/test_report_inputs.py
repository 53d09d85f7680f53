"""Reports carry all that a calibration was given, the version that made them, and the day."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest

import metasci as ms

EXAMPLES = Path(__file__).resolve().parent.parent / "docs" / "examples"


def cells(page: str, section: str) -> list[str]:
    """Texts of the cells under a heading."""
    part = page.partition(f"<h2>{section}</h2>")[2].partition("<h2>")[0]
    return [html.unescape(text) for text in re.findall(r"<(?:td|th|dt|dd)(?: [^>]*)?>([^<]*)<", part)]


def page(prior: str, file: str) -> str:
    return ms.load(prior).calibrate(EXAMPLES / file).contents()["report.html"].decode()


def test_composition_stands_in_the_report_and_what_was_not_given_is_said() -> None:
    found = cells(page("steel_tempering", "my_steel.csv"), "What was given")
    told = dict(zip(found[::2], found[1::2], strict=True))
    assert (told["carbon"], told["manganese"], told["copper"]) == ("0.4 %", "0.85 %", "not given")


def test_weight_and_every_dose_stand_in_the_report() -> None:
    found = cells(page("phenobarbital", "my_newborn.csv"), "What was given")
    assert found[:4] == ["weight", "1.5 kg", "apgar", "not given"]
    assert found[4:8] == ["task", "dose time (h)", "dose (mg)", "my_newborn"]
    assert found[8:10] == ["0", "30"]
    assert found[-2:] == ["73", "3.7"]
    assert found.count("3.7") == 6


def test_the_day_and_the_version_stand_in_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    found = cells(page("theophylline", "my_patient.csv"), "Where it comes from")
    assert found[found.index("Calibrated with") + 1] == f"metasci {ms.__version__}, 1970-01-02"
