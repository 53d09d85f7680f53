"""Every input that ever failed, once more; and a few new ones of each door that needs no learning."""

from __future__ import annotations

import random

import pytest
from fuzz.case import Case, corpus
from fuzz.doors import DOORS, call
from fuzz.judge import tried

pytest.importorskip("ase", reason="needs the extra metasci-calibration[materials]")
pytest.importorskip("rdkit", reason="needs the extra metasci-calibration[materials]")
CASES = dict(corpus())


@pytest.mark.parametrize("name", CASES)
def test_what_once_failed_is_a_sentence_or_a_sane_result(name: str):
    assert not tried(CASES[name], call)


@pytest.mark.parametrize("door", ["unit", "formula", "smiles", "cif", "card"])
def test_new_inputs(door: str):
    for number in range(6):
        case = DOORS[door](random.Random(f"suite {door} {number}"))
        assert not tried(case, call), case.to_json()


def test_a_fault_is_seen():
    """The judge can fail: of a traceback, of two lines, of a number that is none, of a file left behind."""
    case = Case("unit", ("python:unit",), {})

    def failing(case: Case, folder: object) -> None:
        raise ZeroDivisionError

    assert "ZeroDivisionError" in tried(case, failing)
    assert "not finite" in tried(case, lambda case, folder: [1.0, float("nan")])
    assert "lies outside" in tried(case, lambda case, folder: {"lower": 2.0, "estimate": 1.0, "upper": 3.0})

    def leaving(case: Case, folder: object) -> None:
        from pathlib import Path

        from metasci.errors import InputError

        Path("left").write_text("x")
        raise InputError("no.")

    assert "changes files" in tried(case, leaving)
