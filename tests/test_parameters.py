"""Parameters: coordinates there and back, limits kept, declarations that make no sense refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

import metasci as ms
from metasci.errors import InputError
from metasci.library import find, registered
from metasci.model import Model
from metasci.parameters import Parameter, ParameterSpace

moderate = st.floats(-8.0, 8.0, allow_subnormal=False)


@st.composite
def parameters(draw: st.DrawFn) -> Parameter:
    kind = draw(st.sampled_from(["free", "positive", "bounded"]))
    spread = draw(st.floats(0.05, 1.5))
    if kind == "free":
        return Parameter("p", typical=draw(st.floats(-1e3, 1e3)), spread=spread)
    if kind == "positive":
        return Parameter("p", typical=10.0 ** draw(st.floats(-6, 6)), positive=True, spread=spread)
    lower = draw(st.floats(-100, 100))
    width = draw(st.floats(0.1, 100))
    share = draw(st.floats(0.05, 0.95))
    return Parameter("p", typical=lower + share * width, bounds=(lower, lower + width), spread=spread)


@given(parameters(), moderate)
def test_there_and_back(parameter: Parameter, coordinate: float) -> None:
    value = parameter.to_physical(np.float64(coordinate))
    assert float(parameter.to_coordinate(value)) == pytest.approx(coordinate, abs=1e-4)
    lower, upper = parameter.limits
    assert lower < value < upper
    on_torch = parameter.to_physical(torch.tensor(coordinate, dtype=torch.float64))
    assert float(on_torch) == pytest.approx(float(value), rel=1e-12, abs=1e-12)


@given(parameters())
def test_coordinate_zero_is_the_typical_value(parameter: Parameter) -> None:
    assert float(parameter.to_physical(0.0)) == pytest.approx(parameter.typical, rel=1e-12, abs=1e-10)


@given(parameters(), st.lists(moderate, min_size=2, max_size=2, unique=True))
def test_coordinates_keep_the_order(parameter: Parameter, pair: list[float]) -> None:
    low, high = (float(parameter.to_physical(np.float64(c))) for c in sorted(pair))
    assert low <= high
    if pair[0] - pair[1] > 1e-6:
        assert low < high


def test_one_unit_of_coordinate_is_the_spread() -> None:
    assert Parameter("k", typical=2.0, positive=True, spread=0.7).to_physical(1.0) == pytest.approx(
        2 * np.exp(0.7)
    )
    assert Parameter("k", typical=2.0, spread=0.7).to_physical(-1.0) == pytest.approx(1.3)
    bounded = Parameter("k", typical=0.5, bounds=(0.0, 1.0), spread=0.7)
    assert bounded.to_physical(1.0) == pytest.approx(1.0 / (1.0 + np.exp(-0.7)))


def test_values_outside_the_limits_have_no_coordinate() -> None:
    with np.errstate(all="ignore"):
        assert not np.isfinite(Parameter("k", typical=1.0, positive=True).to_coordinate(np.float64(-1.0)))
        assert not np.isfinite(Parameter("k", typical=1.0, bounds=(0, 2)).to_coordinate(np.float64(3.0)))
        assert not np.isfinite(Parameter("k", typical=1.0, bounds=(0, 2)).to_coordinate(np.float64(2.0)))


def test_gradients_live_at_any_coordinate_an_estimate_reaches() -> None:
    free = torch.tensor([-20.0, -1.0, 0.0, 1.0, 20.0], dtype=torch.float64, requires_grad=True)
    for parameter in (Parameter("k", typical=1.0, positive=True), Parameter("k", typical=1.0, bounds=(0, 2))):
        (slope,) = torch.autograd.grad(parameter.to_physical(free).sum(), free)
        assert torch.isfinite(slope).all()
        assert (slope > 0).all()


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"typical": 0.0, "positive": True}, "typical value 0 must lie inside"),
        ({"typical": -1.0, "positive": True}, "must lie inside"),
        ({"typical": 2.0, "bounds": (0.0, 2.0)}, "must lie inside"),
        ({"typical": 1.0, "bounds": (2.0, 0.0)}, "must lie inside"),
        ({"typical": float("nan")}, "must lie inside"),
        ({"typical": float("inf")}, "must lie inside"),
        ({"typical": 1.0, "bounds": (0.0, float("inf"))}, "must be finite; .* positive=True"),
        ({"typical": 1.0, "bounds": (float("nan"), 2.0)}, "must be finite"),
        ({"typical": 1.0, "spread": 0.0}, "spread must be above zero"),
        ({"typical": 1.0, "spread": float("nan")}, "spread must be above zero"),
    ],
)
def test_declarations_that_make_no_sense(options: dict, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Parameter("k", **options)


def test_space() -> None:
    space = ParameterSpace((Parameter("a", typical=2.0, positive=True), Parameter("b", typical=1.0)))
    assert len(space) == 2
    physical = space.to_physical(np.array([[0.0, 0.0], [1.0, -2.0]]))
    np.testing.assert_allclose(physical["a"], [2.0, 2.0 * np.exp(0.5)])
    np.testing.assert_allclose(physical["b"], [1.0, 0.0])
    np.testing.assert_allclose(space.to_coordinates(physical), [[0, 0], [1, -2]], atol=1e-14)
    with pytest.raises(InputError, match="no value is given for parameter 'b'"):
        space.to_coordinates({"a": 1.0})
    with pytest.raises(InputError, match="'a' is declared twice"):
        ParameterSpace((Parameter("a"), Parameter("a")))


# the models that these belong to ------------------------------------------------------------------


def test_models_of_the_package_are_found_by_name() -> None:
    own = {name for name, model in registered().items() if model.function.__module__.startswith("metasci.")}
    assert own >= {
        "kinetics.avrami", "kinetics.crack_growth", "kinetics.tempering", "kinetics.tempering_rockwell",
        "patients.one_compartment_bolus", "patients.one_compartment_oral",
    }  # fmt: skip
    with pytest.raises(InputError, match=r"no model 'kinetics\.magic'; known are .*kinetics\.avrami"):
        find("kinetics.magic")


@pytest.mark.parametrize("name", ["kinetics.avrami", "kinetics.crack_growth", "kinetics.tempering",
                                  "kinetics.tempering_rockwell", "patients.one_compartment_bolus",
                                  "patients.one_compartment_oral"])  # fmt: skip
def test_models_say_their_units_and_source(name: str) -> None:
    model: Model = find(name)
    for text in (
        model.output.unit,
        *(p.unit for p in model.parameters),
        *(i.unit for i in model.inputs.values()),
    ):
        ms.unit(text)
    assert any(word in model.description for word in ("Source", "law of"))
    assert len(model.noise.typical) == len(model.noise.scales)
    assert model.constraints


def test_an_equation_that_does_not_match_its_declaration_is_refused() -> None:
    with pytest.raises(InputError, match="'extra' is not declared"):
        ms.equation(inputs={"x": "1"}, output=("y", "1"), parameters=[Parameter("a")])(
            lambda x, *, a, extra: a * x
        )
    with pytest.raises(InputError, match="'b' is declared but not an argument"):
        ms.equation(inputs={"x": "1"}, output=("y", "1"), parameters=[Parameter("a"), Parameter("b")])(
            lambda x, *, a: a * x
        )
