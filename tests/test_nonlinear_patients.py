"""Patients' differential equations against SciPy, against limits in closed form, and as models among others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.integrate import solve_ivp

import metasci as ms
from metasci.errors import InputError
from metasci.model import Model
from metasci.patients.nonlinear import (
    indirect_response,
    michaelis_menten,
    michaelis_menten_oral,
    viral_decay_biphasic,
    viral_load,
)

FLOAT = torch.float64
JOINT = [michaelis_menten, michaelis_menten_oral, indirect_response, viral_load]
each_model = pytest.mark.parametrize("model", JOINT, ids=lambda model: model.name)
TIMES = np.array([30.0, 2.0, 0.0, 24.0, 25.0, 48.0, 48.0])  # unsorted, the last repeated as padding does


def typical(model: Model, **others: float) -> dict[str, float]:
    return {parameter.name: parameter.typical for parameter in model.parameters} | others


def inputs_of(model: Model, times: np.ndarray = TIMES) -> dict[str, np.ndarray]:
    """Times, and if the model takes doses a bolus, an infusion, and a padded event."""
    given: dict[str, np.ndarray] = {"time": times}
    if "output" in model.inputs:
        given["output"] = np.where(np.arange(len(times)) % 2, 2.0, 1.0)
    if model.histories:
        columns = {
            "dose": [300.0, 200.0, 0.0], "dose_time": [0.0, 24.0, 0.0], "dose_duration": [0.0, 1.5, 0.0],
            "dose_interval": [0.0, 0.0, 0.0], "dose_until": [np.inf, np.inf, np.inf],
        }  # fmt: skip
        given |= {name: np.array(values)[None] for name, values in columns.items()}
    return given


def by_scipy(slope: Any, start: list[float], bolus: float, entering: int, scale: float) -> np.ndarray:
    """States at `TIMES` after the doses of `inputs_of`; `bolus` and the infusion are multiplied by `scale`."""
    state, found = np.array(start), {}
    halts = [0.0, 2.0, 24.0, 25.0, 25.5, 30.0, 48.0]
    state[entering] += bolus * scale
    for at, to in zip(halts, [*halts[1:], None], strict=True):
        found[at] = state
        if to is not None:
            supply = np.zeros(len(start))
            supply[entering] = 200.0 / 1.5 * scale if 24.0 <= at < 25.5 else 0.0
            solved = solve_ivp(
                lambda t, x, u=supply: np.array(slope(x)) + u, (at, to), state,
                method="DOP853", rtol=1e-12, atol=1e-13,
            )  # fmt: skip
            state = solved.y[:, -1]
    return np.array([found[time] for time in TIMES])


def test_saturable_elimination_agrees_with_scipy() -> None:
    p = typical(michaelis_menten)
    most, half, volume = p["maximum_rate"], p["michaelis_constant"], p["volume"]
    expected = by_scipy(lambda x: -most * x / (volume * (half + x)), [0.0], 300.0, 0, 1.0 / volume)
    np.testing.assert_allclose(michaelis_menten(inputs_of(michaelis_menten), p), expected[:, 0], rtol=3e-8)


def test_saturable_elimination_after_doses_by_mouth_agrees_with_scipy() -> None:
    p = typical(michaelis_menten_oral)
    enter, most, half, volume = (
        p[n] for n in ("absorption_rate", "maximum_rate", "michaelis_constant", "volume")
    )

    def slope(x: np.ndarray) -> list[float]:
        return [-enter * x[0], enter * x[0] / volume - most * x[1] / (volume * (half + x[1]))]

    expected = by_scipy(slope, [0.0, 0.0], 300.0, 0, 1.0)
    found = michaelis_menten_oral(inputs_of(michaelis_menten_oral), p)
    np.testing.assert_allclose(found, expected[:, 1], rtol=3e-7, atol=1e-8)


def test_indirect_response_agrees_with_scipy_for_both_outputs() -> None:
    p = typical(indirect_response)

    def slope(x: np.ndarray) -> list[float]:
        gut, blood, response = x
        inhibited = p["maximum_inhibition"] * blood / (p["half_inhibition"] + blood)
        return [
            -p["absorption_rate"] * gut,
            (p["absorption_rate"] * gut - p["clearance"] * blood) / p["volume"],
            p["production_rate"] * (1.0 - inhibited) - p["loss_rate"] * response,
        ]

    expected = by_scipy(slope, [0.0, 0.0, 100.0], 300.0, 0, 1.0)
    given = inputs_of(indirect_response)
    chosen = np.where(given["output"] == 1.0, expected[:, 1], expected[:, 2])
    np.testing.assert_allclose(indirect_response(given, p), chosen, rtol=3e-7, atol=1e-8)


@pytest.mark.parametrize("clearance", [3.0, 23.0, 100.0])
def test_viral_load_agrees_with_scipy(clearance: float) -> None:
    p = typical(viral_load, virus_clearance=clearance)
    days = np.array([0.0, 0.5, 2.0, 7.0, 28.0, 84.0])
    infecting, share = 1.0 - p["efficacy"], p["long_lived_fraction"]

    def slope(_: float, x: np.ndarray) -> list[float]:
        short, long, virus = x
        return [
            p["infected_loss"] * (infecting * virus - short),
            p["long_lived_loss"] * (infecting * virus - long),
            clearance * ((1.0 - share) * short + share * long - virus),
        ]

    expected = solve_ivp(slope, (0.0, 84.0), [1.0] * 3, t_eval=days, method="Radau", rtol=1e-11, atol=1e-15)
    found = viral_load({"time": days}, p)
    np.testing.assert_allclose(found, 5.0 + np.log10(expected.y[2]), atol=2e-7)


def test_under_full_efficacy_viral_load_falls_in_phases_of_closed_form() -> None:
    """Perelson et al. 1996, equation for V(t), with long-lived cells added: three exponentials."""
    p = typical(viral_load, efficacy=1.0 - 1e-12)
    days = np.array([0.0, 0.3, 1.0, 5.0, 20.0, 60.0])
    c, short, long, share = (
        p[n] for n in ("virus_clearance", "infected_loss", "long_lived_loss", "long_lived_fraction")
    )
    first, second = (1.0 - share) * c / (c - short), share * c / (c - long)
    virus = first * np.exp(-short * days) + second * np.exp(-long * days)
    virus = virus + (1.0 - first - second) * np.exp(-c * days)
    np.testing.assert_allclose(viral_load({"time": days}, p), 5.0 + np.log10(virus), atol=1e-6)
    biphasic = {
        "log10_first": 5.0 + np.log10(first), "first_loss": short,
        "log10_second": 5.0 + np.log10(second), "second_loss": long,
    }  # fmt: skip
    late = {"time": days[3:]}
    np.testing.assert_allclose(viral_load(late, p), viral_decay_biphasic(late, biphasic), atol=1e-6)


def test_before_therapy_the_viral_load_is_the_baseline() -> None:
    found = viral_load({"time": np.array([-14.0, -1.0, 0.0])}, typical(viral_load, log10_baseline=4.5))
    np.testing.assert_allclose(found, 4.5, rtol=1e-12)


def test_without_therapy_nothing_changes() -> None:
    found = viral_load({"time": np.array([0.0, 50.0])}, typical(viral_load, efficacy=0.0))
    np.testing.assert_allclose(found, 5.0, atol=1e-9)


def test_biphasic_decay_is_a_sum_of_exponentials_and_does_not_overflow() -> None:
    p = {"log10_first": 5.0, "first_loss": 0.5, "log10_second": 3.0, "second_loss": 0.03}
    days = np.array([0.0, 10.0, 100.0])
    virus = 1e5 * np.exp(-0.5 * days) + 1e3 * np.exp(-0.03 * days)
    np.testing.assert_allclose(viral_decay_biphasic({"time": days}, p), np.log10(virus), rtol=1e-12)
    assert np.isfinite(viral_decay_biphasic({"time": np.array([1e5])}, p)).all()


def test_saturable_elimination_at_low_concentrations_is_linear() -> None:
    """Far below Km the clearance is Vmax/Km."""
    p = typical(michaelis_menten)
    given = inputs_of(michaelis_menten)
    given["dose"] = given["dose"] * np.array([1e-4, 0.0, 0.0])
    rate = p["maximum_rate"] / p["michaelis_constant"] / p["volume"]
    expected = 0.03 / p["volume"] * np.exp(-rate * TIMES)
    np.testing.assert_allclose(michaelis_menten(given, p), expected, rtol=1e-3)


# as models ----------------------------------------------------------------------------------------


def batched(model: Model, tasks: int) -> dict[str, torch.Tensor]:
    given = {}
    for name, values in inputs_of(model).items():
        tensor = torch.as_tensor(values, dtype=FLOAT)
        given[name] = tensor.expand(tasks, *tensor.shape).clone()
    return given


@each_model
def test_predictions_of_many_tasks_are_those_of_each(model: Model) -> None:
    scatter = torch.randn(
        3, 1, len(model.parameters), generator=torch.Generator().manual_seed(1), dtype=FLOAT
    )
    found = model.at(scatter, batched(model, 3))
    assert found.shape == (3, len(TIMES))
    assert bool(torch.isfinite(found).all())
    for task in range(3):
        alone = model(
            inputs_of(model), {k: float(v[task, 0]) for k, v in model.parameters.to_physical(scatter).items()}
        )
        assert isinstance(alone, np.ndarray)
        np.testing.assert_allclose(alone, found[task], rtol=1e-11)


@each_model
def test_slopes_in_both_modes_agree_with_differences(model: Model) -> None:
    size = len(model.parameters)
    weight = torch.randn(2, len(TIMES), generator=torch.Generator().manual_seed(2), dtype=FLOAT)
    along = torch.randn(2, 1, size, generator=torch.Generator().manual_seed(3), dtype=FLOAT)
    given = batched(model, 2)

    def total(at: torch.Tensor) -> torch.Tensor:
        return (model.at(at, given) * weight).sum()

    at = (0.3 * torch.ones(2, 1, size, dtype=FLOAT)).requires_grad_()
    (slope,) = torch.autograd.grad(total(at), at)
    _, forward = torch.func.jvp(total, (at.detach(),), (along,))
    reverse = float((slope * along).sum())
    assert float(forward) == pytest.approx(reverse, rel=1e-9)
    with torch.no_grad():
        up, down = (total(at + sign * 1e-3 * along) for sign in (1.0, -1.0))
    assert float(up - down) / 2e-3 == pytest.approx(reverse, rel=3e-5, abs=1e-5)


@each_model
def test_the_error_of_the_integration_can_be_told(model: Model) -> None:
    solution = model.solution(inputs_of(model), typical(model))
    assert solution.converged.tolist() == [True]
    assert 0.0 < float(solution.error) <= 1.0
    assert int(solution.steps) > 0


@each_model
def test_models_are_joint_and_say_their_source(model: Model) -> None:
    assert model.joint
    assert "Source" in model.description


def test_what_cannot_be_solved_is_not_a_number() -> None:
    given = inputs_of(michaelis_menten)
    p = typical(michaelis_menten, michaelis_constant=1e-12)  # a corner that no step of finite size can turn
    solution = michaelis_menten.solution(given, p)
    found = michaelis_menten(given, p)
    assert bool(solution.converged) == bool(np.isfinite(found).all())
    lost = michaelis_menten(given, typical(michaelis_menten, volume=float("nan")))
    assert np.isnan(lost).all()


def test_steady_state_column_starts_from_the_periodic_state() -> None:
    given = inputs_of(michaelis_menten)
    given["dose"], given["dose_duration"] = np.array([[150.0, 0.0, 0.0]]), np.zeros((1, 3))
    given["dose_interval"] = np.array([[12.0, 0.0, 0.0]])
    given["time"] = np.array([12.0 - 1e-9, 0.0, 6.0])
    found = michaelis_menten(given, typical(michaelis_menten))
    assert found[1] - found[0] == pytest.approx(150.0 / 45.0, rel=1e-6)


def response_slope(p: dict[str, float]) -> Any:
    def slope(_: float, x: np.ndarray) -> list[float]:
        gut, blood, response = x
        inhibited = p["maximum_inhibition"] * blood / (p["half_inhibition"] + blood)
        return [
            -p["absorption_rate"] * gut,
            (p["absorption_rate"] * gut - p["clearance"] * blood) / p["volume"],
            p["production_rate"] * (1.0 - inhibited) - p["loss_rate"] * response,
        ]

    return slope


def after(slope: Any, state: list[float] | np.ndarray, hours: float) -> np.ndarray:
    solved = solve_ivp(slope, (0.0, hours), state, method="DOP853", rtol=1e-12, atol=1e-13)
    return np.asarray(solved.y[:, -1])


def predicted(model: Model, rows: list[dict[str, float]]) -> np.ndarray:
    """At the measurements of one patient's event table."""
    blank = {"ID": 1, "EVID": 1, "AMT": 0.0, "DV": 0.0, "SS": 0, "II": 0.0, "DVID": 1}
    frame = pd.DataFrame([blank | row for row in rows])
    frame = frame if "output" in model.inputs else frame.drop(columns="DVID")
    tasks = ms.TaskSet.from_events(frame, model, allow_before_dose=True)
    inputs = tasks.batch(model).inputs
    return model.at(torch.zeros(1, 1, len(model.parameters), dtype=FLOAT), inputs)[0].numpy()


@pytest.mark.parametrize("model", JOINT[:3], ids=lambda model: model.name)
def test_a_trough_before_a_dose_of_the_same_time_does_not_see_it(model: Model) -> None:
    """Nor a first sample the first dose; and slopes are those of differences across steps of a rounding error."""
    output = 2 if "output" in model.inputs else 1
    sample = {"EVID": 0, "DVID": output, "DV": 1.0}
    rows = [
        {"TIME": 0.0, **sample}, {"TIME": 0.0, "AMT": 300.0}, {"TIME": 12.0, **sample},
        {"TIME": 12.0, "AMT": 300.0}, {"TIME": 12.0, **sample}, {"TIME": 20.0, **sample},
    ]  # fmt: skip
    p = typical(model)
    if model is indirect_response:
        slope, first, given, seen = response_slope(p), [0.0, 0.0, 100.0], np.array([300.0, 0.0, 0.0]), 2
    elif model is michaelis_menten:
        first, given, seen = [0.0], np.array([300.0 / 45.0]), 0

        def slope(_: float, x: np.ndarray) -> list[float]:
            return [-17.0 * x[0] / (45.0 * (4.0 + x[0]))]
    else:
        first, given, seen = [0.0, 0.0], np.array([300.0, 0.0]), 1

        def slope(_: float, x: np.ndarray) -> list[float]:
            absorbed = p["absorption_rate"] * x[0]
            return [-absorbed, absorbed / 45.0 - 17.0 * x[1] / (45.0 * (4.0 + x[1]))]

    trough = after(slope, np.array(first) + given, 12.0)
    peak = trough + given
    late = after(slope, peak, 8.0)
    expected = np.array([first, trough, peak, late])[:, seen]
    np.testing.assert_allclose(predicted(model, rows), expected, rtol=3e-7, atol=1e-8)
    if model is michaelis_menten:
        np.testing.assert_allclose(expected[1:3], [4.089, 10.755], atol=1e-3)


def test_slopes_at_troughs_are_those_of_differences() -> None:
    sample = {"EVID": 0, "DV": 1.0}
    table = pd.DataFrame(
        [{"ID": 1, "TIME": time, **row} for time in (0.0, 12.0, 24.0)
         for row in ({**sample, "AMT": 0.0}, {"EVID": 1, "AMT": 300.0, "DV": 0.0})]
    )  # fmt: skip
    tasks = ms.TaskSet.from_events(table, michaelis_menten, allow_before_dose=True)
    inputs = tasks.batch(michaelis_menten).inputs

    def troughs(at: torch.Tensor) -> torch.Tensor:
        return michaelis_menten.at(at, inputs)[0]

    at = torch.zeros(1, 1, 3, dtype=FLOAT)
    found = torch.autograd.functional.jacobian(troughs, at)[:, 0, 0]
    for parameter in range(3):
        step = torch.zeros_like(at)
        step[..., parameter] = 1e-4
        difference = (troughs(at + step) - troughs(at - step)) / 2e-4
        torch.testing.assert_close(found[:, parameter], difference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", [michaelis_menten, indirect_response], ids=lambda model: model.name)
def test_a_second_steady_state_is_added_to_what_is_there_and_a_first_takes_its_place(model: Model) -> None:
    """The response's own rest is there once: what is added is what differs from it."""
    p = typical(model)
    if model is michaelis_menten:
        rest, given, seen = np.zeros(1), np.array([1.0 / 45.0]), 0

        def slope(_: float, x: np.ndarray) -> list[float]:
            return [-17.0 * x[0] / (45.0 * (4.0 + x[0]))]
    else:
        rest, given, seen = np.array([0.0, 0.0, 100.0]), np.array([1.0, 0.0, 0.0]), 2
        slope = response_slope(p)
    steady = rest
    for _ in range(100):
        steady = after(slope, steady + 100.0 * given, 12.0)
    carried = after(slope, rest + 300.0 * given, 12.0)
    sample = {"TIME": 16.0, "EVID": 0, "DV": 1.0, "DVID": 1 + (seen == 2)}
    for kind, before in ((1, steady), (2, carried + steady - rest)):
        rows = [{"TIME": 0.0, "AMT": 300.0}, {"TIME": 12.0, "AMT": 100.0, "SS": kind, "II": 12.0}, sample]
        expected = after(slope, before + 100.0 * given, 4.0)[seen]
        np.testing.assert_allclose(predicted(model, rows), expected, rtol=1e-6)
        if model is michaelis_menten:
            assert expected == pytest.approx((4.2517, 8.1201)[kind - 1], abs=1e-4)


def test_parameters_that_differ_between_times_are_refused() -> None:
    parameters: dict[str, Any] = typical(viral_load)
    parameters["efficacy"] = np.array([0.5, 0.6])
    with pytest.raises(InputError, match="same for all observations"):
        viral_load({"time": np.array([0.0, 1.0])}, parameters)
