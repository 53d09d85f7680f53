"""Units: lists times offset units, own hardness scales, plain counts, and sentences for what does not fit."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, strategies as st

from metasci.errors import InputError
from metasci.units import convert, same_dimension, stated, unit


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


@pytest.mark.parametrize(
    "text",
    [
        "h,min",
        "h,h",
        "9²²²²",
        "m²²",
        "(9)**(9)**(9)",
        "m**99",
        "m**2.123",
        "((m))",
        "J/(mol/K)",
        "W/m K",
        "h;min",
        "h^1/3h",
        "m^2/1",
        "m*",
        "/h",
        "*",
        "m**",
        "10**6",
        "1e3 m",
        "-h",
        "m" + "*m" * 40,
        "m\0",
        "h\nmin",
    ],
)
def test_the_grammar_refuses_at_once_and_in_one_short_sentence(text: str):
    start = time.process_time()
    with pytest.raises(InputError) as caught:
        unit(text)
    assert time.process_time() - start < 0.1
    assert len(str(caught.value)) < 120
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("N/mm2", "MPa"),
        ("N/mm²", "MPa"),
        ("cm-1", "1/cm"),
        ("cm⁻¹", "1/cm"),
        ("MPa m^0.5", "MPa*m**0.5"),
        ("mg/cm2", "mg/cm**2"),
        ("J mol-1 K-1", "J/(mol*K)"),
        ("°C", "degC"),
        ("deg C", "degC"),
        ("℃", "degC"),
        ("mg·L⁻¹", "mg/L"),
        ("µg/mL", "ug/mL"),
        ("HV10", "HV"),
        ("HV 0.5", "HV"),
        ("HBW 10/3000", "HB"),
        ("HRBW", "HRB"),
        ("MPa m^1/2", "MPa*m**0.5"),
        ("MPa·m^(1/2)", "MPa*m**0.5"),
        ("MPa m½", "MPa*m**0.5"),
        ("J/(mol K)", "J/(mol*K)"),
        ("Gew.-%", "wt%"),
        ("wt.-%", "wt%"),
        ("at.-%", "at%"),
        ("min.", "min"),
        ("BHN", "HB"),
        ("VHN", "HV"),
        ("HRc", "HRC"),
        ("kilogram / meter ** 2", "kg/m**2"),
    ],
)
def test_notations_of_laboratories(text: str, same: str):
    assert convert([1.0, 2.5], text, same) == pytest.approx([1.0, 2.5])


def test_differences_of_temperature_are_no_temperatures():
    with pytest.raises(InputError, match="is a difference of temperatures and no temperature; write 'degC'"):
        convert(25.0, "delta_degC", "K")
    assert convert(2.0, "J/degC", "J/K") == 2.0


def test_at_percent_is_not_weight_percent():
    assert not same_dimension("at%", "wt%")
    assert same_dimension("at%", "mol%")


def test_wavenumbers_frequencies_and_energies_of_light():
    """CODATA 2018: 1 eV/(hc) = 8065.543937 1/cm, c = 299792458 m/s."""
    assert convert([1.0, 0.0], "meV", "1/cm") == pytest.approx([8.065543937, 0.0], rel=1e-9)
    assert convert(1.0, "THz", "cm-1") == pytest.approx(1e12 / 29979245800.0, rel=1e-12)
    assert convert(100.0, "1/cm", "THz") == pytest.approx(2.99792458, rel=1e-12)
    assert convert(1.0, "cm-1", "meV") == pytest.approx(0.1239841984, rel=1e-9)
    for rate, wavenumber in (
        ("1/s", "1/cm"),
        ("kJ/mol", "1/cm"),
        ("kJ", "1/cm"),
    ):  # a rate constant is no vibration
        assert not same_dimension(rate, wavenumber)


@pytest.mark.parametrize(
    ("text", "number", "symbol"),
    [("64kg", 64.0, "kg"), ("1e3 mg", 1000.0, "mg"), (".5h", 0.5, "h"), ("-20°C", -20.0, "°C")],
)
def test_a_number_with_its_unit_needs_no_blank(text: str, number: float, symbol: str):
    assert stated(text, "weight") == (number, symbol)


@pytest.mark.parametrize("text", ["64,5 kg", "kg", "1 000 kg", "1e999 kg", "nan kg", "64 kg,h", ""])
def test_what_is_no_number_with_a_unit(text: str):
    with pytest.raises(InputError, match="is not a number with a unit, such as '64 kg'"):
        stated(text, "weight")


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


@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_unit_is_that_of_a_pure_number(blank: str) -> None:
    """Wherever a model declares one; its columns then need no unit in their headers."""
    import pandas as pd

    import metasci as ms

    @ms.equation(
        inputs={"x": blank},
        output=("share", blank),
        parameters=[ms.Parameter("level", blank, typical=0.5)],
        name=f"tests.blank_unit_{len(blank)}",
    )
    def level(x, *, level):
        """Constant."""
        return level + 0.0 * x

    assert (level.output.unit, level.inputs["x"].unit, next(iter(level.parameters)).unit) == ("1", "1", "1")
    fit = ms.Prior.declared(level).calibrate(pd.DataFrame({"x": [1.0, 2.0], "share": [0.4, 0.5]}))
    assert fit.batch.mask.all()
    with pytest.raises(InputError, match="output 'share': its unit is a text, such as 'mg/L'"):
        ms.model.Output("share", None)
