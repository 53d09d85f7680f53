"""Grades by name, wherever a composition may be written, against the shipped compositions of the same grades."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

import metasci as ms
from metasci.data.grades import contents_of_grade, grade_named, grades, near_grades
from metasci.elements import NAMES
from metasci.errors import InputError
from metasci.heat_treatment import hardness_by_composition
from metasci.heat_treatment.transformations import Martensite
from metasci.materials.compositions import canonical, family, fractions

STEEL = {"carbon": 0.405, "manganese": 0.875, "silicon": 0.25, "chromium": 0.95, "molybdenum": 0.2}


def test_the_table_is_sound() -> None:
    for name, grade in grades().items():
        assert grade.base in NAMES, name
        assert grade.standard, name
        shares = grade.weight_percent
        assert set(shares) <= set(NAMES), name
        assert sum(shares.values()) == pytest.approx(100.0)
        assert min(shares.values()) > 0.0, name
        assert all(low <= high for low, high in grade.ranges.values()), name


def test_no_grade_is_a_formula_of_several_elements() -> None:
    """What is read as atoms today stays so: a name that is a formula as well is of one element, as H13."""
    for grade in grades().values():
        parts = re.fullmatch(r"(?:[A-Z][a-z]?\d*\.?\d*)+", grade.name)
        known = [part for part in re.findall(r"[A-Z][a-z]?", grade.name) if part in NAMES]
        assert parts is None or len(known) < 2, grade.name


def test_grades_are_near_the_steels_of_the_same_name_that_were_analysed() -> None:
    """Of 28 steels of the data of tempering, each of a heat: within what heats differ by."""
    steels = ms.dataset("steel_tempering").dataset
    compared = 0
    for place, name in enumerate(steels["task"].values):
        numbered = re.search(r"AISI E?\d+", str(name))
        if numbered is None or grade_named(numbered[0]) is None:
            continue
        contents = contents_of_grade(numbered[0])
        for element, room in (("carbon", 0.06), ("manganese", 0.2), ("chromium", 0.2), ("nickel", 0.35)):
            assert float(steels[element][place]) == pytest.approx(contents.get(element, 0.0), abs=room), name
        compared += 1
    assert compared >= 20


def test_names_are_read_however_they_are_written() -> None:
    for text in ("AISI 4140", "4140", "SAE-4140", "aisi4140"):
        assert contents_of_grade(text) == pytest.approx(STEEL)
    assert contents_of_grade("E52100")["chromium"] == pytest.approx(1.45)
    assert grade_named("IN 718") is grade_named("Inconel 718") is grade_named("2.4668")


def test_a_formula_may_be_a_grade_and_says_so() -> None:
    atoms = fractions("Ti-6Al-4V")  # ASTM B348: Al 5.5 to 6.75, V 3.5 to 4.5 % by weight
    by_weight = {"Al": 6.125 / 26.982, "V": 4.0 / 50.942, "Ti": 89.875 / 47.867}
    total = sum(by_weight.values())
    assert atoms == pytest.approx({element: share / total for element, share in by_weight.items()}, rel=1e-4)
    with pytest.warns(UserWarning, match="'316 l' is taken as the middle of ASTM A240"):
        assert canonical("316 l") == "316L"
    assert family("316L") == "Cr-Fe-Mo-Ni"
    assert grade_named("Ti6Al4V") is None  # a formula of atoms, as it was


def test_unknown_grades_are_refused_with_those_that_are_near() -> None:
    assert near_grades("42CrMo5")[0] == "42CrMo4"
    for text, near in (("AISI 4341", "4340"), ("42CrMo5", "42CrMo4")):
        with pytest.raises(InputError, match=near):
            fractions(text)
    with pytest.raises(InputError, match=r"'AISI 4341' is no grade that is known here \(near are 4340"):
        contents_of_grade("AISI 4341")


def test_a_column_of_grades_tells_the_contents() -> None:
    rows = {"time [h]": [1.0, 1.0], "temperature [degC]": [200.0, 400.0], "hardness [HRC]": [55.0, 45.5]}
    prior = ms.load("steel_tempering")
    named = prior.calibrate(pd.DataFrame({**rows, "grade": "AISI 4140"}))
    by_hand = {
        f"{name} [wt%]": content for name, content in {**STEEL, "nickel": 0.0, "vanadium": 0.0}.items()
    }
    told = prior.calibrate(pd.DataFrame({**rows, **by_hand}))
    np.testing.assert_allclose(named.parameters["estimate"], told.parameters["estimate"])
    assert any("grade 4140 is taken as the middle of SAE J404" in line for line in named.warnings)
    measured = prior.calibrate(pd.DataFrame({**rows, "grade": "4140", "carbon [wt%]": 0.43}))
    assert float(measured.tasks.dataset["carbon"][0]) == pytest.approx(0.43)
    with pytest.raises(InputError, match=r"column 'grade', row 1: 'AISI 4141' is no grade"):
        prior.calibrate(pd.DataFrame({**rows, "grade": ["4140", "AISI 4141"]}))


def test_steels_are_named_where_their_composition_is_asked_for() -> None:
    assert Martensite.of_composition("AISI 4140") == Martensite.of_composition(STEEL)
    assert hardness_by_composition("AISI 4140")(30.0) == pytest.approx(hardness_by_composition(STEEL)(30.0))


def test_what_is_asked_for_may_stand_in_the_table_already() -> None:
    rows = pd.DataFrame(
        {"formula": "CoCrFeNi", "temperature [degC]": [25, 300], "yield_strength [MPa]": [250.0, None]}
    )
    fit = ms.load("alloy_strength").calibrate(rows)
    asked = fit.predict(["CoCrFeNi", "CoCrFeNi"], temperature="300 degC")
    assert asked["predicted"].to_numpy() == pytest.approx(np.full(2, fit.predictions["predicted"].iloc[1]))


def test_readings_of_ones_own_alloy_are_listened_to() -> None:
    """Five readings that fall smoothly, in one laboratory: the next is told as such a laboratory scatters."""
    measured = {25: 250.0, 200: 205.0, 400: 180.0, 600: 160.0, 800: 120.0, 300: None}
    rows = pd.DataFrame(
        {
            "formula": "CoCrFeNi",
            "temperature [degC]": list(measured),
            "yield_strength [MPa]": list(measured.values()),
        }
    )
    told = ms.load("alloy_strength").calibrate(rows).predictions.iloc[5]
    assert told["predicted"] == pytest.approx(190.0, rel=0.05)
    assert told["upper"] / told["lower"] < 1.8  # of a literature it is 6
    assert told["lower"] < 190.0 < told["upper"]


def test_names_of_european_standards_are_read() -> None:
    for text, name in (
        ("X5CrNi18-10", "304"),
        ("X 40 CrMoV 5-1", "H13"),
        ("HS6-5-2", "M2"),
        ("1.7147", "20MnCr5"),
    ):
        found = grade_named(text)
        assert found is not None
        assert found.name == name


@pytest.mark.parametrize("text", ["S355", "P92", "W2"])
def test_a_steel_is_not_read_as_many_atoms_of_one_element(text: str) -> None:
    with pytest.raises(
        InputError, match=f"'{text}' would be {text[0]} alone, and is no grade that is known here"
    ):
        canonical(text)
    assert canonical("Fe100") == "Fe100"
    assert canonical("Ni") == "Ni"
