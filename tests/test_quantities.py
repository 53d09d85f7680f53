"""Every public function of alloys that takes a physical number converts a quantity, or refuses it."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import metasci as ms
from metasci.data.hardness import between_scales
from metasci.errors import InputError
from metasci.heat_treatment import (
    CoolingCurve,
    Martensite,
    constant_rate,
    end_quench,
    hardness_by_composition,
    measured_cooling,
)
from metasci.heat_treatment.cooling import jominy_rate
from metasci.kinetics import critical_temperature
from metasci.kinetics.ageing import precipitation_hardening
from metasci.kinetics.arrhenius import arrhenius_factor
from metasci.kinetics.clocks import Arrhenius
from metasci.kinetics.histories import equivalent_time, equivalent_time_of_ramp
from metasci.kinetics.parametric import (
    hollomon_jaffe,
    hollomon_jaffe_time,
    kissinger,
    larson_miller,
    larson_miller_time,
)
from metasci.kinetics.transformation import time_to_fraction, undercooling

unit = ms.unit
HISTORY = {
    "temperature_time": np.array([[0.0, 600.0]]),
    "temperature_cycle": np.array([[1.0, 1.0]]),
    "activation_energy": 200.0,
}

# of each function: what is said with units, and the same in numbers
SAME: dict[Callable[..., Any], tuple[Callable[[], Any], Callable[[], Any]]] = {
    hollomon_jaffe: (
        lambda: hollomon_jaffe(60.0 * unit("min"), 600.0 * unit("degC")),
        lambda: hollomon_jaffe(1.0, 873.15),
    ),
    hollomon_jaffe_time: (
        lambda: hollomon_jaffe_time(17463.0, 600.0 * unit("degC")),
        lambda: hollomon_jaffe_time(17463.0, 873.15),
    ),
    larson_miller: (
        lambda: larson_miller(9878.0 * unit("h"), 900.0 * unit("degF")),
        lambda: larson_miller(9878.0, (900.0 - 32.0) / 1.8 + 273.15),
    ),
    larson_miller_time: (
        lambda: larson_miller_time(18125.0, 900.0 * unit("degF")),
        lambda: larson_miller_time(18125.0, (900.0 - 32.0) / 1.8 + 273.15),
    ),
    kissinger: (
        lambda: (
            kissinger(
                [5.0, 10.0, 20.0] * unit("K/min"), [426.85, 441.85, 457.35] * unit("degC")
            ).activation_energy
        ),
        lambda: kissinger([5.0, 10.0, 20.0], [700.0, 715.0, 730.5]).activation_energy,
    ),
    time_to_fraction: (
        lambda: time_to_fraction(50.0 * unit("percent"), 1.0, 3.6 * unit("1/h"), 2.0),
        lambda: time_to_fraction(0.5, 1.0, 1e-3, 2.0),
    ),
    undercooling: (
        lambda: undercooling(726.85 * unit("degC"), np.array(900.0)),
        lambda: undercooling(1000.0, np.array(900.0)),
    ),
    arrhenius_factor: (
        lambda: arrhenius_factor(626.85 * unit("degC"), 2e5 * unit("J/mol"), 800.0 * unit("K")),
        lambda: arrhenius_factor(np.array(900.0), np.array(200.0), 800.0),
    ),
    precipitation_hardening: (
        lambda: precipitation_hardening(np.array([50.0]) * unit("percent")),
        lambda: precipitation_hardening(np.array([0.5])),
    ),
    equivalent_time: (
        lambda: equivalent_time(
            Arrhenius(900.0),
            np.array([600.0]),
            np.array([1.0]),
            np.array([[26.85, 626.85]]) * unit("degC"),
            **HISTORY,
        ),
        lambda: equivalent_time(
            Arrhenius(900.0), np.array([600.0]), np.array([1.0]), np.array([[300.0, 900.0]]), **HISTORY
        ),
    ),
    equivalent_time_of_ramp: (
        lambda: equivalent_time_of_ramp(
            Arrhenius(900.0),
            np.array([60.0]),
            626.85 * unit("degC"),
            np.array([0.0]),
            activation_energy=200.0,
        ),
        lambda: np.array([60.0]),
    ),
    critical_temperature: (
        lambda: critical_temperature("Ms", {"carbon": 0.004 * unit("g/g")}).value,
        lambda: critical_temperature("Ms", {"carbon": 0.4}).value,
    ),
    between_scales: (lambda: between_scales(595.0 * unit("HV"), "HV", "HRC"), lambda: 55.0),
    constant_rate: (
        lambda: constant_rate(60.0 * unit("K/min"), 850.0 * unit("degC"), 20.0 * unit("degC")).time,
        lambda: constant_rate(1.0, 1123.15, 293.15).time,
    ),
    end_quench: (lambda: end_quench(1.0 * unit("inch")).time, lambda: end_quench(25.4).time),
    jominy_rate: (lambda: jominy_rate([1.0] * unit("inch")), lambda: jominy_rate([25.4])),
    measured_cooling: (
        lambda: measured_cooling([0.0, 1.0] * unit("min"), [850.0, 20.0] * unit("degC")).temperature,
        lambda: measured_cooling([0.0, 60.0], [1123.15, 293.15]).temperature,
    ),
    hardness_by_composition: (
        lambda: hardness_by_composition({"carbon": 0.4 * unit("percent")})(10.0)["martensite"],
        lambda: hardness_by_composition({"carbon": 0.4})(10.0)["martensite"],
    ),
}
# which take no physical number, or leave it to the readers of conditions, which have tests of their own
OTHERS = {
    "along", "along_cycle", "by_product", "constant_inputs", "curves", "curves_of", "furnace_time", "in_output_unit",
    "kinetic_law", "next_test", "one_alloy", "power", "prior_along", "range_of", "reference_for", "scale_of",
    "time_until", "transformation_diagram", "transformations", "values",
}  # fmt: skip


def public_functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Functions that the modules of alloys' equations and heat treatment offer, once each."""
    seen = set()
    packages = [importlib.import_module(name) for name in ("metasci.kinetics", "metasci.heat_treatment")]
    names = [
        f"{package.__name__}.{module.name}"
        for package in packages
        for module in pkgutil.iter_modules(package.__path__)
    ]
    for name in [*(package.__name__ for package in packages), *names, "metasci.data.hardness"]:
        if "figures" in name:
            continue
        module = importlib.import_module(name)
        for key in getattr(module, "__all__", ()):
            found = getattr(module, key)
            if inspect.isfunction(found) and found not in seen:
                seen.add(found)
                yield key, found


def test_no_public_function_is_forgotten() -> None:
    """A new function that takes a physical number stands in the table above, or says why not."""
    unknown = [name for name, function in public_functions() if function not in SAME and name not in OTHERS]
    assert unknown == []


@pytest.mark.parametrize("function", SAME, ids=lambda function: function.__name__)
def test_a_quantity_is_converted(function: Callable[..., Any]) -> None:
    said, numbers = SAME[function]
    np.testing.assert_allclose(np.asarray(said(), float), np.asarray(numbers(), float), rtol=1e-9)


def test_what_cannot_be_converted_is_refused() -> None:
    for wrong in (
        lambda: hollomon_jaffe(1.0 * unit("mm"), 873.15),
        lambda: larson_miller(1.0, 1.0 * unit("MPa")),
        lambda: undercooling(1.0 * unit("h"), 900.0),
        lambda: equivalent_time_of_ramp(
            Arrhenius(900.0), 1.0 * unit("min"), 900.0, 0.0, activation_energy=200.0
        ),
        lambda: constant_rate(1.0 * unit("mm/s")),
        lambda: end_quench(1.0 * unit("s")),
        lambda: critical_temperature("Ms", {"carbon": 1.0 * unit("K")}),
        lambda: hardness_by_composition({"carbon": 1.0 * unit("K")}),
        lambda: CoolingCurve("x", [0.0, 1.0] * unit("mm"), [900.0, 300.0]),
        lambda: Martensite(1.0 * unit("s")),
        lambda: between_scales(1.0 * unit("MPa"), "HV", "HRC"),
    ):
        with pytest.raises(InputError):
            wrong()


def test_a_spread_of_temperatures_is_a_difference() -> None:
    for sd in (10.0, "10 K", "10 degC", 18.0 * unit("degF")):
        found = Martensite.at("230 degC", sd)
        assert (found.start, found.sd) == pytest.approx((503.15, 10.0))
