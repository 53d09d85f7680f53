"""The units known without a registry, beside the registry."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from metasci import common_units
from metasci.units import convert, registry, same_dimension, unit

TEXTS = (
    "1", "", "h", "min", "day", "s", "mg", "kg", "ug/L", "(ug)/(L)", "mg/L", "ng/mL", "ug/mL", "L/h/kg", "1/h",
    "L kg-1", "MPa", "kJ/mol", "K", "HRC", "HV10", "HBW", "um", "mm2", "mg**2/cm**4/h", "1/cm", "cm-1", "mL/min",
    "J/(mol*K)", "kg/kg", "degC", "deg C", "wt%", "percent", "year", "umol/L", "g/dL", "g/L",
)  # fmt: skip


def test_kinds_and_equality_are_the_registry_s() -> None:
    unknown = 0
    for first, second in itertools.combinations_with_replacement(TEXTS, 2):
        one, other = unit(first), unit(second)
        kind = common_units.same_kind(first, second)
        unknown += kind is None
        assert kind in (None, one.dimensionality == other.dimensionality), (first, second)
        assert common_units.alike(first, second) == (one == other), (first, second)
    assert unknown == 2 * (len(TEXTS) - 2)  # beside a wavenumber, of which there are two


@pytest.mark.parametrize(("first", "second"), [*common_units._FACTORS, ("(mg)/(L)", "mg/L"), ("h", "h")])
def test_factors_are_the_registry_s_to_the_last_bit(first: str, second: str) -> None:
    values = np.random.default_rng(0).lognormal(size=50)
    wanted = (
        values
        if unit(first) == unit(second)
        else registry().Quantity(values, unit(first)).to(unit(second)).magnitude
    )
    assert convert(values, first, second).tolist() == wanted.tolist()
    assert common_units.factor(first, second) is not None


def test_what_is_not_common_is_left_to_the_registry() -> None:
    assert common_units.same_kind("degF", "K") is None
    assert common_units.factor("degC", "K") is None
    assert common_units.same_kind("no_such_unit", "h") is None
    assert same_dimension("THz", "1/cm")
    assert convert(212.0, "degF", "K") == pytest.approx(373.15)


@pytest.mark.parametrize(("first", "second"), [("degC", "K"), ("K", "degC"), ("℃", "K"), ("deg C", "K")])
def test_zeros_of_temperatures_are_the_registry_s_to_the_last_bit(first: str, second: str) -> None:
    values = np.random.default_rng(0).uniform(-273.0, 2000.0, size=50)
    wanted = registry().Quantity(values, unit(first)).to(unit(second)).magnitude
    assert convert(values, first, second).tolist() == wanted.tolist()
    assert common_units.shift(first, second) is not None


@pytest.mark.parametrize("text", ["degC/min", "1/degC", "degC*m", "degC**2"])
def test_differences_of_temperatures_are_left_to_the_registry(text: str) -> None:
    assert common_units.alike(text, text) is None
    assert common_units.shift(text, "K") is None
