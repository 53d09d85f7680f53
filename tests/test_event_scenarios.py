"""How doses act: event tables against closed forms, written out dose by dose, and against SciPy.

The scenarios are those in which programs have been found to differ: overlapping infusions, additional doses and resets,
steady states of both kinds, lags longer than the interval, two ways in, covariates that change.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

import metasci as ms
from metasci.errors import InputError
from metasci.patients import Occasion, Power, Structure, compartment_model

K, V = 5.0 / 40.0, 40.0
"""Rate of elimination and volume of the typical patient of one compartment."""
KA = 1.0


def predicted(
    frame: pd.DataFrame,
    structure: Structure,
    changing: bool = False,
    options: dict | None = None,
    **values: float,
) -> np.ndarray:
    """What a model says at the measurements of the only patient, also with records in which nothing changes."""
    effects = {"clearance": [Power("size", "1", 1.0, 1.0)]} if changing else None
    model = compartment_model(
        structure, name="test_scenario", effects=effects, changing=("size",) if changing else ()
    )
    if changing:
        frame = frame.assign(size=1.0)
    inputs = ms.TaskSet.from_events(frame, model, **(options or {})).batch(model).inputs
    parameters = {each.name: values.get(each.name, each.typical) for each in model.parameters}
    given = {name: torch.full((1, 1), value, dtype=torch.float64) for name, value in parameters.items()}
    return model(inputs, given)[0].numpy()


def bolus(time: np.ndarray, amount: float, at: float) -> np.ndarray:
    since = np.maximum(time - at, 0.0)
    return np.where(time >= at, amount / V * np.exp(-K * since), 0.0)


def infusion(time: np.ndarray, rate: float, begin: float, end: float) -> np.ndarray:
    """Concentration by an infusion of constant rate from begin, which may be −∞, to end."""
    running = np.clip(time, begin, end) - begin
    return rate / (K * V) * -np.expm1(-K * running) * np.exp(-K * np.maximum(time - end, 0.0))


def oral(time: np.ndarray, amount: float, at: float) -> np.ndarray:
    since = np.maximum(time - at, 0.0)
    return amount / V * KA / (KA - K) * (np.exp(-K * since) - np.exp(-KA * since))


T = np.array([0.5, 3.0, 7.9, 11.0, 19.0, 30.0, 55.0])
NAMES = ("TIME", "AMT", "RATE", "EVID", "ADDL", "II", "SS", "CMT")


def events(*doses: dict, at: np.ndarray = T) -> pd.DataFrame:
    rows = [{"EVID": 1, "DV": ".", **dose} for dose in doses]
    rows += [{"EVID": 0, "DV": 1.0, "TIME": time} for time in at]
    rows.sort(key=lambda row: (row["TIME"], row["EVID"] == 0))
    return pd.DataFrame(rows).assign(ID=1).reindex(columns=["ID", *NAMES, "DV"]).fillna(0)


IV, ORAL = Structure(1), Structure(1, "first-order")
SCENARIOS = {
    "overlapping infusions": (
        IV,
        [{"TIME": 0, "AMT": 100, "RATE": 10}, {"TIME": 4, "AMT": 60, "RATE": 20}, {"TIME": 5, "AMT": 7}],
        infusion(T, 10, 0, 10) + infusion(T, 20, 4, 7) + bolus(T, 7, 5),
    ),
    "additional infusions that overlap": (
        IV,
        [{"TIME": 0, "AMT": 100, "RATE": 10, "ADDL": 2, "II": 8}],
        sum(infusion(T, 10, 8 * n, 8 * n + 10) for n in range(3)),
    ),
    "additional doses and a reset": (
        IV,
        [{"TIME": 0, "AMT": 100, "ADDL": 9, "II": 6}, {"TIME": 20, "EVID": 3}],
        np.where(T < 20, sum(bolus(T, 100, 6 * n) for n in range(4)), 0.0),
    ),
    "a reset with a dose while an infusion runs": (
        IV,
        [{"TIME": 0, "AMT": 200, "RATE": 10}, {"TIME": 9, "AMT": 50, "EVID": 4, "ADDL": 1, "II": 12}],
        np.where(T < 9, infusion(T, 10, 0, 20), bolus(T, 50, 9) + bolus(T, 50, 21)),
    ),
    "a steady state forgets": (
        IV,
        [{"TIME": 0, "AMT": 100}, {"TIME": 10, "AMT": 80, "SS": 1, "II": 12}],
        np.where(T < 10, bolus(T, 100, 0), sum(bolus(T, 80, 10 - 12 * n) for n in range(200))),
    ),
    "a steady state of the second kind adds": (
        IV,
        [{"TIME": 0, "AMT": 100, "SS": 1, "II": 24}, {"TIME": 4, "AMT": 30, "SS": 2, "II": 24}],
        sum(bolus(T, 100, -24 * n) for n in range(100))
        + np.where(T >= 4, sum(bolus(T, 30, 4 - 24 * n) for n in range(100)), 0.0),
    ),
    "a steady state goes on with additional doses": (
        IV,
        [{"TIME": 0, "AMT": 100, "SS": 1, "II": 8, "ADDL": 3}],
        sum(bolus(T, 100, 24 - 8 * n) for n in range(200)),
    ),
    "infusions at steady state": (
        IV,
        [{"TIME": 0, "AMT": 100, "RATE": 25, "SS": 1, "II": 12}],
        sum(infusion(T, 25, -12 * n, 4 - 12 * n) for n in range(100)),
    ),
    "infusions at steady state, longer than the interval": (
        IV,
        [{"TIME": 0, "AMT": 100, "RATE": 10, "SS": 1, "II": 4}],
        sum(infusion(T, 10, -4 * n, 10 - 4 * n) for n in range(300)),
    ),
    "infusions at steady state, twice the interval": (
        IV,
        [{"TIME": 0, "AMT": 100, "RATE": 10, "SS": 1, "II": 5}],
        sum(infusion(T, 10, -5 * n, 10 - 5 * n) for n in range(300)),
    ),
    "an endless infusion": (
        IV,
        [{"TIME": 0, "AMT": 0, "RATE": 10, "SS": 1}, {"TIME": 6, "AMT": 20}],
        10 / (K * V) * np.exp(-K * T) + bolus(T, 20, 6),
    ),
    "an endless infusion after doses": (
        IV,
        [{"TIME": 0, "AMT": 100}, {"TIME": 9, "AMT": 0, "RATE": 10, "SS": 1}],
        np.where(T < 9, bolus(T, 100, 0), 10 / (K * V) * np.exp(-K * (T - 9))),
    ),
    "two ways in": (
        ORAL,
        [{"TIME": 0, "AMT": 100, "CMT": 1}, {"TIME": 2, "AMT": 50, "CMT": 2},
         {"TIME": 6, "AMT": 40, "RATE": 8, "CMT": 2}],
        oral(T, 100, 0) + bolus(T, 50, 2) + infusion(T, 8, 6, 11),
    ),
    "two ways in at steady state": (
        ORAL,
        [{"TIME": 0, "AMT": 100, "CMT": 1, "SS": 1, "II": 12}, {"TIME": 0, "AMT": 50, "CMT": 2, "SS": 2, "II": 24}],
        sum(oral(T, 100, -12 * n) for n in range(100)) + sum(bolus(T, 50, -24 * n) for n in range(100)),
    ),
}  # fmt: skip
LAGGED = {
    "a lag longer than the interval": (
        [{"TIME": 0, "AMT": 100, "ADDL": 2, "II": 6}],
        sum(oral(T, 100, 6 * n + 7.5) for n in range(3)),
    ),
    "a lag longer than the interval at steady state": (
        [{"TIME": 0, "AMT": 100, "SS": 1, "II": 6}],
        sum(oral(T, 100, 7.5 - 6 * n) for n in range(200)),
    ),
    "a dose that waits for longer than until a reset": (
        [{"TIME": 0, "AMT": 100}, {"TIME": 7, "AMT": 50, "EVID": 4}],
        oral(T, 50, 7 + 7.5),
    ),
}


@pytest.mark.parametrize("changing", [False, True])
@pytest.mark.parametrize("name", SCENARIOS)
def test_doses_act_as_written_out(name: str, changing: bool) -> None:
    structure, doses, expected = SCENARIOS[name]
    found = predicted(events(*doses), structure, changing, absorption_rate=KA)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("changing", [False, True])
@pytest.mark.parametrize("name", LAGGED)
def test_lagged_doses_act_as_written_out(name: str, changing: bool) -> None:
    doses, expected = LAGGED[name]
    structure = Structure(1, "first-order", lag=True)
    found = predicted(events(*doses), structure, changing, absorption_rate=KA, lag=7.5)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("changing", [False, True])
def test_absorption_at_an_even_rate_may_last_longer_than_the_interval(changing: bool) -> None:
    structure = Structure(1, "zero-order", lag=True)
    frame = events({"TIME": 0, "AMT": 100, "SS": 1, "II": 6})
    found = predicted(frame, structure, changing, absorption_duration=9.0, lag=4.0)
    expected = sum(infusion(T, 100 / 9, 4 - 6 * n, 13 - 6 * n) for n in range(300))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_slopes_where_infusions_overlap_are_those_of_finite_differences() -> None:
    structure = Structure(1, "zero-order", lag=True)
    model = compartment_model(
        structure,
        name="test_slopes",
        effects={"clearance": [Power("size", "1", 1.0, 1.0)]},
        changing=("size",),
    )
    frame = events({"TIME": 0, "AMT": 100, "SS": 1, "II": 6}, {"TIME": 8, "AMT": 50}).assign(size=1.0)
    inputs = ms.TaskSet.from_events(frame, model).batch(model).inputs
    values = torch.tensor([5.0, 40.0, 9.3, 4.1], dtype=torch.float64, requires_grad=True)
    names = model.parameters.names
    assert names == ("clearance", "volume", "absorption_duration", "lag")
    assert torch.autograd.gradcheck(
        lambda x: model(inputs, {name: x[place].reshape(1, 1) for place, name in enumerate(names)}), (values,)
    )


@pytest.mark.parametrize(
    ("keeps", "expected"), [("rate", (3.30, 3.56, 2.39)), ("duration", (1.65, 2.26, 3.16))]
)
@pytest.mark.parametrize("changing", [False, True])
def test_a_fraction_of_an_infusion_shortens_it(keeps: str, expected: tuple, changing: bool) -> None:
    structure = Structure(1, bioavailability=True, bioavailability_keeps=keeps)
    at = np.array([4.0, 6.0, 10.0])
    frame = events({"TIME": 0, "AMT": 100, "RATE": 10}, at=at)
    found = predicted(frame, structure, changing, clearance=1.0, volume=10.0, bioavailability=0.5)
    np.testing.assert_allclose(found, expected, atol=0.005)
    with pytest.raises(InputError, match="bioavailability_keeps is 'rate' or 'duration'"):
        Structure(1, bioavailability_keeps="amount")


def test_a_sample_before_the_first_steady_state_sees_the_doses_before() -> None:
    at = np.array([-13.0, -1.0, 0.0, 3.0])
    samples = events({"TIME": 0, "AMT": 100, "SS": 1, "II": 12}, at=at).sort_values(
        ["TIME", "EVID"], kind="stable"
    )
    found = predicted(samples, IV)
    long_ago = np.array([-13.0, -1.0, np.nextafter(0.0, -1.0), 3.0])  # the one at 0 stands before the dose
    np.testing.assert_allclose(found, sum(bolus(long_ago, 100, -12 * n) for n in range(200)), rtol=1e-9)
    endless = events({"TIME": 2, "AMT": 0, "RATE": 10, "SS": 1}, at=np.array([0.0, 1.0, 4.0]))
    expected = 10 / (K * V) * np.exp(-K * np.array([0.0, 0.0, 2.0]))
    np.testing.assert_allclose(predicted(endless, IV), expected, rtol=1e-9)
    reset = pd.concat([samples.iloc[:1].assign(EVID=3, DV=".", TIME=-14), samples])
    with pytest.raises(InputError, match="measured before the first dose"):
        predicted(reset, IV)


def test_additional_doses_come_before_a_record_of_their_time() -> None:
    found = predicted(events({"TIME": 0, "AMT": 100, "ADDL": 1, "II": 8}, at=np.array([8.0])), IV)
    np.testing.assert_allclose(found, 100 / V * (np.exp(-8 * K) + 1), rtol=1e-12)


def solved(
    model_values: dict, sizes: list[tuple[float, float]], pulses: list[tuple], at: np.ndarray, last: float
) -> np.ndarray:
    """SciPy's solution of a gut and two compartments whose clearance is in proportion to a size that changes.

    Sizes are pairs of the time until which one holds, and it; pulses are begin, duration, amount, and 0 for the gut or
    1 for the centre.
    """
    p = model_values

    def size(time: float) -> float:
        return next((held for until, held in sizes if time <= until), last)

    def rate(time: float, x: np.ndarray) -> np.ndarray:
        gut, centre, outer = x
        flux = p["exchange_clearance"] * (centre / p["central_volume"] - outer / p["peripheral_volume"])
        inflow = sum(a / d for b, d, a, _ in pulses if d > 0 and b <= time < b + d)
        taken = p.get("absorption_rate", 0.0) * gut
        lost = p["clearance"] * size(time) * centre / p["central_volume"]
        return np.array([-taken, taken - lost - flux + inflow, flux])

    stops = {
        0.0,
        *at,
        *(until for until, _ in sizes),
        *(b for b, *_ in pulses),
        *(b + d for b, d, *_ in pulses),
    }
    x, found = np.zeros(3), {}
    for here, there in itertools.pairwise([*sorted(stops), max(stops) + 1.0]):
        for begin, lasting, amount, place in pulses:
            if begin == here and lasting == 0.0:
                x[place] += amount
        found[here] = x[1] / p["central_volume"]
        inside = (np.nextafter(here, there), np.nextafter(there, here))
        x = solve_ivp(rate, inside, x, "DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
    return np.array([found[time] for time in at])


SIZE = {"clearance": [Power("size", "1", 1.0, 1.0)]}
ROWS = [  # time, amount, rate, compartment, size
    (0.0, 100.0, 0, 1, 1.0), (3.0, 0, 0, 0, 1.4), (6.0, 80.0, 0, 1, 0.7), (8.0, 0, 0, 0, 0.9),
    (9.0, 50.0, 25.0, 2, 2.0), (10.5, 0, 0, 0, 1.1), (15.0, 0, 0, 0, 0.5), (24.0, 0, 0, 0, 1.6),
]  # fmt: skip


@pytest.mark.parametrize("carried", ["backward", "forward"])
@pytest.mark.parametrize("absorption", ["first-order", "zero-order"])
def test_what_changes_acts_together_with_lag_and_ways_in(absorption: str, carried: str) -> None:
    model = compartment_model(
        Structure(2, absorption, lag=True, bioavailability=True),
        name="test_changing",
        effects=SIZE,
        changing=("size",),
    )
    routes = absorption == "first-order"
    rows = [
        {"ID": 1, "TIME": t, "AMT": a, "RATE": r if routes else 0, "CMT": c if routes else min(c, 1), "size": s,
         "EVID": int(a > 0), "DV": 1.0 if a == 0 else "."}
        for t, a, r, c, s in ROWS
    ]  # fmt: skip
    values = {each.name: each.typical for each in model.parameters} | {"lag": 2.5, "absorption_duration": 4.0}
    values = {name: value for name, value in values.items() if name in model.parameters.names}
    inputs = ms.TaskSet.from_events(pd.DataFrame(rows), model, carried=carried).batch(model).inputs
    given = {name: torch.full((1, 1), value, dtype=torch.float64) for name, value in values.items()}
    found = model(inputs, given)[0].numpy()
    whole, pulses = values["bioavailability"], []
    for time, amount, rate, way, _ in ROWS:
        if amount and routes:
            pulses.append(
                (time + 2.5, 0.0, whole * amount, 0)
                if way == 1
                else (time, amount / rate if rate else 0.0, amount, 1)
            )
        elif amount:
            pulses.append((time + 2.5, 4.0, whole * amount, 1))
    at = np.array([time for time, amount, *_ in ROWS if not amount])
    times, sizes = [row[0] for row in ROWS], [row[4] for row in ROWS]
    held = (
        list(zip(times, sizes, strict=True))
        if carried == "backward"
        else list(zip(times[1:], sizes, strict=False))
    )
    np.testing.assert_allclose(found, solved(values, held, pulses, at, sizes[-1]), rtol=1e-7)


def test_occasions_change_lag_and_duration_of_the_doses_given_on_them() -> None:
    effects = {name: [Occasion(parameter=name, count=2)] for name in ("lag", "absorption_duration")}
    model = compartment_model(Structure(1, "zero-order", lag=True), name="test_on_occasions", effects=effects)
    rows = [(0, 1, 100, ".", 1), (11, 0, 0, 1.0, 1), (12, 1, 100, ".", 2), (30, 0, 0, 1.0, 2)]
    frame = pd.DataFrame(rows, columns=["TIME", "EVID", "AMT", "DV", "OCC"]).assign(ID=1)
    inputs = ms.TaskSet.from_events(frame, model).batch(model).inputs
    values = {each.name: each.typical for each in model.parameters} | {
        "lag": 2.0, "absorption_duration": 3.0, "lag_occasion_1": 0.3, "absorption_duration_occasion_2": -0.4,
    }  # fmt: skip
    given = {name: torch.full((1, 1), value, dtype=torch.float64) for name, value in values.items()}
    at, one, two = np.array([11.0, 30.0]), 2.0 * np.exp(0.3), 3.0 * np.exp(-0.4)
    expected = infusion(at, 100 / 3, one, one + 3) + infusion(at, 100 / two, 14, 14 + two)
    np.testing.assert_allclose(model(inputs, given)[0].numpy(), expected, rtol=1e-9)


def test_covariates_are_carried_backward_as_nonmem_does() -> None:
    # NONMEM's etas of one patient, as RxODE's tests have them: CL 4·(weight/75)^1.5·0.75^sex, V 70, both ω² 0.2
    model = compartment_model(
        Structure(1), name="test_nonmem", amount="mg", effects={"clearance": [Power("weight", "kg", 75.0, 1.5),
            ms.patients.Category("sex", "1", 1.0, 0.75)]},
        changing=("weight", "sex"), typical={"clearance": 4.0, "volume": 70.0},
    )  # fmt: skip
    weight = [77, 113, 92, 132, 126, 128, 41, 56, 68, 45, 93, 126]
    sex = [0, 0, 1, 0, 1, 1, 1, 1, 0, 0, 1, 1]
    time = [0, 1.5, 4.4, 7.1, 24.6, *range(72, 217, 24)]
    level = [".", 107.267, 100.995, 54.0546, 5.97081, *["."] * 7]
    dose = [1, 0, 0, 0, 0, *[1] * 7]
    frame = pd.DataFrame({"ID": 1, "TIME": time, "EVID": dose, "AMT": np.array(dose) * 10000.0,
                          "RATE": np.array(dose) * 10000.0, "DV": level,
                          "weight [kg]": weight, "sex": sex})  # fmt: skip
    seen = np.array(level[1:5], float)

    for carried, expected in (("backward", (0.39885, 0.07622)), ("forward", (0.230, 0.164))):
        batch = ms.TaskSet.from_events(frame, model, carried=carried).batch(model)

        def target(eta: np.ndarray, inputs: dict = batch.inputs) -> float:
            given = {
                name: torch.full((1, 1), start * np.exp(each), dtype=torch.float64)
                for name, start, each in zip(("clearance", "volume"), (4.0, 70.0), eta, strict=True)
            }
            f = model(inputs, given)[0].numpy()
            variance = 0.05 * f**2
            return float(((seen - f) ** 2 / variance + np.log(variance)).sum() + (eta**2 / 0.2).sum())

        found = minimize(target, np.zeros(2), method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-10}).x
        np.testing.assert_allclose(found, expected, atol=2e-5 if carried == "backward" else 6e-4)
