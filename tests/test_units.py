"""Units: lists times offset units, own hardness scales, plain counts, and sentences for what does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metasci.errors import InputError
from metasci.units import convert, same_dimension, unit


def test_list_times_offset_unit_is_a_quantity_in_that_unit():
    for values in ([200, 400, 600], (200.0, 400.0, 600.0), np.array([200, 400, 600])):
        quantity = values * unit("degC")
        assert str(quantity.units) == "degree_Celsius"
        np.testing.assert_allclose(quantity.to("K").magnitude, [473.15, 673.15, 873.15])
    assert (5 * unit("degC")).to("K").magnitude == pytest.approx(278.15)


@pytest.mark.parametrize("text", ["percent", "%", "wt%", "wt.%", "weight percent", "mass%"])
def test_spellings_of_percent(text: str):
    assert convert(1.2, text, "percent") == 1.2
    assert convert(50, text, "1") == pytest.approx(0.5)


def test_cycles_are_a_plain_count():
    assert convert(0.12, "Mcycle", "cycle") == pytest.approx(120_000)
    assert convert(0.12, "Mcycle", "1") == pytest.approx(120_000)  # no stray 2 pi
    assert unit("cycles") == unit("cycle")


def test_hardness_scales_are_dimensions_of_their_own():
    assert convert([20, 60], "HRC", "HRC").tolist() == [20, 60]
    assert not same_dimension("HRC", "HV")
    assert not same_dimension("HRC", "1")


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [(25, "degC", "K", 298.15), (32, "degF", "degC", 0), (1.5, "h", "s", 5400), (1, "mcg/mL", "mg/L", 1)],
)
def test_conversion(value: float, source: str, target: str, expected: float):
    assert convert(value, source, target) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "text",
    ["furlongs per fortnite", "h]", "3*m", "1/0", "h**h", "10**10**10", "(" * 80, "__import__('os')", "\n"],
)
def test_what_is_no_unit_is_said_so(text: str):
    if text == "\n":
        assert unit(text) == unit("1")
        return
    with pytest.raises(InputError, match="is not a unit"):
        unit(text)


def test_wrong_dimension_names_both_units_and_the_place():
    with pytest.raises(InputError, match=r"my.csv, column 'time': 'kg' cannot be converted to 'h'\."):
        convert([1.0], "kg", "h", where="my.csv, column 'time'")


@given(
    st.floats(-200, 5000), st.sampled_from([("degC", "K"), ("degF", "degC"), ("h", "s"), ("mg/L", "ng/mL")])
)
def test_conversion_there_and_back(value: float, units: tuple[str, str]):
    there = convert(value, *units)
    assert convert(there, units[1], units[0]) == pytest.approx(value, abs=1e-9)


def test_nan_stays_nan():
    assert np.isnan(convert([np.nan], "degC", "K")).all()


def test_a_coulomb_for_a_degree_is_told() -> None:
    with pytest.raises(InputError, match=r"'C' \(the coulomb; for temperatures say 'degC'\) cannot be"):
        convert(500.0, "C", "K")
    with pytest.raises(InputError, match=r"'C' cannot be converted to 's'"):
        convert(500.0, "C", "s")
