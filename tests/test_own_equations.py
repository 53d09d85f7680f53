"""Patients' own differential equations: each kind of model against SciPy, steady states, slopes, outputs, refusals."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from math import exp, factorial, inf, log
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from scipy.integrate import solve_ivp

import metasci as ms
from metasci.errors import InputError
from metasci.model import Model
from metasci.ode.tangents import along
from metasci.patients import Entry, Observed, Occasion, Power, Structure, compartment_model, ode_model
from metasci.patients.entering import through_transit

FLOAT = torch.float64
Pulse = tuple[float, float, float, str]
"""When, over how long, how much, into which state."""


def solved(
    slopes: Callable[..., Mapping[str, float]],
    begin: Mapping[str, float],
    pulses: Sequence[Pulse],
    at: Sequence[float],
    p: Any,
) -> list[dict[str, float]]:
    """States at times, by SciPy from one event to the next; `p` is a namespace, or a function of time."""
    names = list(begin)
    of = p if callable(p) else lambda time: p
    changes = getattr(p, "times", ())
    stops = sorted({0.0, *at, *changes, *(t for t, *_ in pulses), *(t + d for t, d, *_ in pulses)})
    state, found = np.array([float(begin[name]) for name in names]), {}
    for here, there in itertools.pairwise([*stops, stops[-1] + 1.0]):
        for time, lasting, amount, into in pulses:
            if time == here and lasting == 0.0:
                state[names.index(into)] += amount
        found[here] = dict(zip(names, state, strict=True))
        inflow = dict.fromkeys(names, 0.0)
        for time, lasting, amount, into in pulses:
            if lasting > 0.0 and time <= here < time + lasting - 1e-12:
                inflow[into] += amount / lasting
        now = of(0.5 * (here + there))

        def rate(t: float, x: np.ndarray, now: Any = now, inflow: dict[str, float] = inflow) -> list[float]:
            slope = slopes(t, Space(dict(zip(names, x, strict=True))), now)
            return [slope[name] + inflow[name] for name in names]

        state = solve_ivp(rate, (here, there), state, "LSODA", rtol=1e-10, atol=1e-12).y[:, -1]
    return [found[time] for time in at]


class Space:
    """Numbers by name, as attributes."""

    def __init__(self, values: Mapping[str, float]) -> None:
        self.__dict__.update(values)


def table(doses: Sequence[tuple[float, float, Any]], at: Sequence[float], output: Any = "") -> pd.DataFrame:
    """An event table: doses (time, amount, CMT), and samples at times."""
    rows = [{"TIME": t, "AMT": a, "CMT": c, "EVID": 1, "DV": ".", "DVID": ""} for t, a, c in doses]
    rows += [{"TIME": t, "AMT": 0, "CMT": 0, "EVID": 0, "DV": 1.0, "DVID": output} for t in at]
    return pd.DataFrame(rows).sort_values("TIME", kind="stable").assign(ID=1)


def predicted(model: Model, rows: pd.DataFrame, **values: float) -> np.ndarray:
    """What a model predicts at the samples of a table, at its typical values or others."""
    rows = rows if model.outputs else rows.drop(columns="DVID", errors="ignore")
    inputs = ms.TaskSet.from_events(rows, model).batch(model).inputs
    known = {each.name: each.typical for each in model.parameters} | values
    given = {name: torch.full((1, 1), value, dtype=FLOAT) for name, value in known.items()}
    with torch.no_grad():
        return np.asarray(model(inputs, given)[0].numpy())


def oral(t: Any, x: Any, p: Any) -> dict[str, Any]:
    return {"depot": -p.ka * x.depot, "central": p.ka * x.depot - p.cl / p.v * x.central}


def saturable(t: Any, x: Any, p: Any) -> dict[str, Any]:
    taken = p.vmax * (x.central / p.v) / (p.km + x.central / p.v)
    return {"depot": -p.ka * x.depot, "central": p.ka * x.depot - taken - p.cl / p.v * x.central}


def three(t: Any, x: Any, p: Any) -> dict[str, Any]:
    out, back = p.q / p.v * x.central - p.q / p.v2 * x.near, p.q3 / p.v * x.central - p.q3 / p.v3 * x.far
    return {"central": -p.cl / p.v * x.central - out - back, "near": out, "far": back}


def two_depots(t: Any, x: Any, p: Any) -> dict[str, Any]:
    return {
        "fast": -p.ka * x.fast,
        "slow": -p.kb * x.slow,
        "central": p.ka * x.fast + p.kb * x.slow - p.cl / p.v * x.central,
    }


def metabolite(t: Any, x: Any, p: Any) -> dict[str, Any]:
    return {
        "depot": -p.ka * x.depot,
        "parent": p.ka * x.depot - p.cl / p.v * x.parent,
        "metabolite": 0.7 * p.cl / p.v * x.parent - p.clm / p.vm * x.metabolite,
    }


def chain(t: Any, x: Any, p: Any) -> dict[str, Any]:
    steps = ["depot", "transit_1", "transit_2", "transit_3"]
    found = {"depot": -p.ktr * x.depot}
    for before, here in itertools.pairwise(steps):
        found[here] = p.ktr * (getattr(x, before) - getattr(x, here))
    return {**found, "central": p.ktr * x.transit_3 - p.cl / p.v * x.central}


def effect(t: Any, x: Any, p: Any) -> dict[str, Any]:
    return {"central": -p.cl / p.v * x.central, "site": p.ke0 * (x.central / p.v - x.site)}


def turnover(t: Any, x: Any, p: Any) -> dict[str, Any]:
    c = x.central / p.v
    return {
        "central": -p.cl / p.v * x.central,
        "response": p.kin * (1 - c / (p.ic50 + c)) - p.kout * x.response,
    }


def tumour(t: Any, x: Any, p: Any) -> dict[str, Any]:
    return {
        "central": -p.cl / p.v * x.central,
        "size": p.growth * x.size * (1 - x.size / p.most) - p.kill * x.central / p.v * x.size,
    }


def binding(t: Any, x: Any, p: Any) -> dict[str, Any]:
    bound = p.kon * x.drug * x.target - p.koff * x.complex
    return {
        "drug": -p.kel * x.drug - bound,
        "target": p.ksyn - p.kdeg * x.target - bound,
        "complex": bound - p.kint * x.complex,
    }


def inhibited(t: Any, x: Any, p: Any) -> dict[str, Any]:
    """Saturable elimination whose maximum falls with time, as in a published model of voriconazole."""
    vmax = p.vmax * (1 - 0.8 * (t / (t + 1.41)))
    c = x.central / p.v
    return {"depot": -p.ka * x.depot, "central": p.ka * x.depot - p.cl * c - vmax * c / (p.km + c)}


ABSORBED = {"ka": 1.0, "cl": 4.0, "v": 70.0}
AT = (1.3, 9.0, 30.0)
TWO = ((0.0, 100.0), (12.0, 80.0))


def pulses(into: str, fraction: float = 1.0, lag: float = 0.0, over: float = 0.0) -> list[Pulse]:
    return [(time + lag, over, fraction * amount, into) for time, amount in TWO]


KINDS: dict[str, tuple[Any, ...]] = {
    # slopes, values, entries, states before any dose, what SciPy is given
    "first-order absorption": (oral, ABSORBED, ["depot"], {}, pulses("depot")),
    "into the centre": (oral, ABSORBED, ["central"], {}, pulses("central")),
    "lag": (oral, {**ABSORBED, "lag": 0.7}, [Entry("depot", lag="lag")], {}, pulses("depot", lag=0.7)),
    "zero-order absorption": (
        oral, {**ABSORBED, "d": 4.0}, [Entry("central", duration="d")], {}, pulses("central", over=4.0),
    ),
    "zero- then first-order absorption": (
        oral, {**ABSORBED, "d": 1.5}, [Entry("depot", duration="d")], {}, pulses("depot", over=1.5),
    ),
    "zero- and first-order absorption at once": (
        oral, {**ABSORBED, "d": 4.0, "f": 0.2},
        [Entry("depot", fraction="f"), Entry("central", fraction=lambda p: 1 - p.f, duration="d", compartment=1)], {},
        [*pulses("depot", 0.2), *pulses("central", 0.8, over=4.0)],
    ),
    "two depots, one of them late": (
        two_depots, {**ABSORBED, "kb": 0.25, "f": 0.2, "lag": 2.0},
        [Entry("fast", fraction="f"), Entry("slow", fraction=lambda p: 1 - p.f, lag="lag", compartment=1)], {},
        [*pulses("fast", 0.2), *pulses("slow", 0.8, lag=2.0)],
    ),
    "bioavailability": (
        oral, {**ABSORBED, "f": 0.5}, [Entry("depot", fraction="f")], {}, pulses("depot", 0.5),
    ),
    "three compartments": (
        three, {"cl": 4.0, "v": 30.0, "q": 6.0, "v2": 40.0, "q3": 1.0, "v3": 90.0}, ["central"], {}, pulses("central"),
    ),
    "saturable elimination": (
        saturable, {**ABSORBED, "cl": 1e-9, "vmax": 10.0, "km": 2.5}, ["depot"], {}, pulses("depot"),
    ),
    "saturable and linear elimination side by side": (
        saturable, {**ABSORBED, "vmax": 10.0, "km": 2.5}, ["depot"], {}, pulses("depot"),
    ),
    "elimination that falls with time": (
        inhibited, {**ABSORBED, "vmax": 10.0, "km": 1.2, "lag": 0.9}, [Entry("depot", lag="lag")], {},
        pulses("depot", lag=0.9),
    ),
    "transit compartments one by one": (chain, {"ktr": 2.0, "cl": 4.0, "v": 70.0}, ["depot"], {}, pulses("depot")),
    "effect compartment": (effect, {"cl": 4.0, "v": 70.0, "ke0": 0.3}, ["central"], {}, pulses("central")),
    "turnover": (
        turnover, {"cl": 4.0, "v": 70.0, "kin": 5.0, "kout": 0.25, "ic50": 0.5}, ["central"],
        {"response": lambda p: p.kin / p.kout}, pulses("central"),
    ),
    "tumour growth": (
        tumour, {"cl": 4.0, "v": 70.0, "growth": 0.05, "most": 900.0, "kill": 0.08, "size_0": 100.0}, ["central"],
        {"size": lambda p: p.size_0}, pulses("central"),
    ),
    "target-mediated disposition": (
        binding, {"kon": 2.0, "koff": 0.1, "kel": 0.05, "ksyn": 1.0, "kdeg": 0.1, "kint": 0.03}, ["drug"],
        {"target": lambda p: p.ksyn / p.kdeg}, pulses("drug"),
    ),
}  # fmt: skip
STIFF = {"target-mediated disposition"}
STATES: dict[Any, tuple[str, ...]] = {
    oral: ("depot", "central"), saturable: ("depot", "central"), inhibited: ("depot", "central"),
    three: ("central", "near", "far"), two_depots: ("fast", "slow", "central"),
    chain: ("depot", "transit_1", "transit_2", "transit_3", "central"), effect: ("central", "site"),
    turnover: ("central", "response"), tumour: ("central", "size"), binding: ("drug", "target", "complex"),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_is_solved_as_by_scipy(kind: str) -> None:
    slopes, values, entries, begin, given = KINDS[kind]
    states = STATES[slopes]
    model = ode_model(
        name="kind", states=states, slopes=slopes, doses_into=entries, listed=False,
        parameters={name: f"{value!r}" for name, value in values.items()},
        outputs={f"of_{name}": Observed("mg", lambda x, p, name=name: getattr(x, name)) for name in states},
        initial=(lambda p: {name: of(p) for name, of in begin.items()}) if begin else None,
        method="stiff" if kind in STIFF else "explicit", constraints=(), relative=1e-7 if kind in STIFF else 1e-8,
    )  # fmt: skip
    p = Space(values)
    before = {name: begin[name](p) if name in begin else 0.0 for name in states}
    expected = solved(slopes, before, given, AT, p)
    rows = pd.concat(
        [table([(t, a, "") for t, a in TWO], []), *(table([], AT, f"of_{name}") for name in states)]
    )
    found = predicted(model, rows.sort_values("TIME", kind="stable")).reshape(len(AT), len(states))
    right = np.array([[each[name] for name in states] for each in expected])
    np.testing.assert_allclose(found, right, rtol=1e-6, atol=1e-6 * right.max(0).max())


def test_transit_compartments_in_one_formula_are_the_chain_of_compartments() -> None:
    """n = 3 of rate k: a chain of four first-order steps, and its closed form without absorption."""
    number, mean = 3, 2.0
    model = ode_model(
        name="transit", states=("central",), doses_into=[Entry("central", transit=("number", "mean"))],
        slopes=lambda t, x, p: {"central": -p.cl / p.v * x.central}, listed=False,
        parameters={"number": "3", "mean": "2 h", "cl": "4 L/h", "v": "70 L"},
        outputs={"amount": Observed("mg", lambda x, p: x.central)},
    )  # fmt: skip
    speed = (number + 1) / mean
    expected = solved(
        chain,
        dict.fromkeys(STATES[chain], 0.0),
        pulses("depot"),
        AT,
        Space({"ktr": speed, "cl": 4.0, "v": 70.0}),
    )
    found = predicted(model, table([(t, a, "") for t, a in TWO], AT))
    np.testing.assert_allclose(found, [each["central"] for each in expected], rtol=1e-6)
    still = predicted(model, table([(0.0, 100.0, "")], [5.0]), cl=1e-12)[0]
    gone = sum((speed * 5.0) ** k / factorial(k) for k in range(number + 1)) * exp(-speed * 5.0)
    assert still == pytest.approx(100.0 * (1.0 - gone), rel=1e-7)


def test_nothing_has_passed_transit_compartments_at_the_time_of_the_dose() -> None:
    """Not even in the slopes, where the logarithm of no time at all stands; later they are a Gamma density's."""
    number, mean = (torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in (3.0, 2.0))
    dose = {"amount": 100.0, "start": 1.5, "until": inf}
    parameters = {f"_0_{name}": torch.tensor([[value]], dtype=torch.float64) for name, value in dose.items()}
    parameters |= {"_0_number": number[:, None], "_0_mean": mean[:, None]}
    for since in (0.0, 2.0):
        rate = through_transit(torch.tensor([1.5 + since], dtype=torch.float64), parameters, 0)
        slopes = torch.autograd.grad(rate.sum(), [number, mean])
        assert float(rate.detach()) == pytest.approx(
            100.0 * stats.gamma(4.0, scale=0.5).pdf(since), rel=1e-12
        )
        assert all(bool(torch.isfinite(slope).all()) for slope in slopes)


def test_an_output_without_a_noise_has_that_of_compartments() -> None:
    assert (
        Observed("mg/L", lambda x, p: x.central).noise == compartment_model(Structure(1), name="usual").noise
    )


def test_a_steady_state_with_a_lag_is_that_of_doses_written_out() -> None:
    model = ode_model(
        name="steady", states=STATES[saturable], slopes=saturable, listed=False,
        doses_into=[Entry("depot", lag="lag", duration="d")],
        parameters={"ka": "1", "cl": "20", "v": "70", "vmax": "10", "km": "2.5", "lag": "1.7", "d": "0.9"},
        outputs={"amount": Observed("mg", lambda x, p: x.central)},
    )  # fmt: skip
    rows = table([(0.0, 100.0, "")], [0.5, 3.0, 11.0]).assign(SS=lambda t: t.EVID, II=lambda t: 12.0 * t.EVID)
    out = table([(0.0, 100.0, "")], [96.5, 99.0, 107.0]).assign(
        ADDL=lambda t: 8 * t.EVID, II=lambda t: 12.0 * t.EVID
    )
    np.testing.assert_allclose(predicted(model, rows), predicted(model, out), rtol=1e-6)


def test_an_infusion_since_forever_into_a_saturable_model_has_its_closed_form() -> None:
    """Input is output, R = Vmax·c/(Km + c), while it runs; it ends at its row."""
    model = ode_model(
        name="forever", states=("central",), doses_into=["central"], parameters={"vmax": "10", "km": "2.5", "v": "70"},
        slopes=lambda t, x, p: {"central": -p.vmax * (x.central / p.v) / (p.km + x.central / p.v)}, listed=False,
        outputs={"concentration": Observed("mg/L", lambda x, p: x.central / p.v)},
    )  # fmt: skip
    rows = table([(0.0, 0.0, "")], [0.0]).assign(RATE=lambda t: 4.0 * t.EVID, SS=lambda t: t.EVID)
    assert predicted(model, rows)[0] == pytest.approx(2.5 * 4.0 / (10.0 - 4.0), rel=1e-7)
    with pytest.raises(InputError, match="longer than II"):
        predicted(model, table([(0.0, 100.0, "")], [1.0]).assign(
            RATE=lambda t: 5.0 * t.EVID, SS=lambda t: t.EVID, II=lambda t: 12.0 * t.EVID))  # fmt: skip


def test_slopes_of_lags_and_durations_are_those_of_finite_differences() -> None:
    slopes, values, entries, *_ = KINDS["zero- and first-order absorption at once"]
    model = ode_model(
        name="slopes", states=STATES[slopes], slopes=slopes, listed=False,
        doses_into=[Entry(entries[0].into, fraction="f", lag="lag"), entries[1]],
        parameters={name: f"{value!r}" for name, value in {**values, "lag": 0.8}.items()},
        outputs={"amount": Observed("mg", lambda x, p: x.central)},
    )  # fmt: skip
    inputs = ms.TaskSet.from_events(
        table([(0.0, 100.0, ""), (6.0, 50.0, "")], [1.0, 3.0, 9.0]).drop(columns="DVID"), model
    )
    inputs = inputs.batch(model).inputs
    names, zero = model.parameters.names, torch.zeros(1, 1, 6, dtype=FLOAT)
    for name in ("d", "lag", "f"):
        move = torch.zeros_like(zero)
        move[..., names.index(name)] = 1.0
        differences = (model.at(zero + 1e-4 * move, inputs) - model.at(zero - 1e-4 * move, inputs)) / 2e-4
        forward = along(lambda at: model.at(at, inputs), (zero,), (move,))[1]
        at = zero.clone().requires_grad_()
        (backward,) = torch.autograd.grad(model.at(at, inputs).sum(), at)
        torch.testing.assert_close(forward, differences, rtol=1e-6, atol=1e-7)
        assert float(backward[..., names.index(name)]) == pytest.approx(float(differences.sum()), rel=1e-6)


def test_covariates_and_occasions_that_change_act_between_their_records() -> None:
    """Clearance by a creatinine that changes and by occasions, lag and absorption at an even rate beside it."""
    model = ode_model(
        name="changing", states=("central",), listed=False, changing=("crcl",),
        slopes=lambda t, x, p: {"central": -p.cl / p.v * x.central},
        doses_into=[Entry("central", lag="lag", duration="d")],
        parameters={"cl": "4 L/h", "v": "70 L", "lag": "1.5 h", "d": "2 h"},
        effects={
            "cl": [Power("crcl", "mL/min", 100.0, 1.0), Occasion(parameter="cl", count=2)],
            "lag": [Occasion(parameter="lag", count=2)],
        },
        outputs={"concentration": Observed("mg/L", lambda x, p: x.central / p.v)},
    )  # fmt: skip
    rows = [  # time, amount, creatinine clearance, occasion
        (0.0, 100.0, 100.0, 1), (4.0, 0, 60.0, 1), (12.0, 80.0, 90.0, 2), (14.0, 0, 90.0, 2), (20.0, 0, 40.0, 2),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["TIME", "AMT", "crcl [mL/min]", "OCC"]).assign(
        ID=1, DV=lambda t: np.where(t.AMT > 0, np.nan, 1.0)
    )
    found = predicted(model, frame, cl_occasion_1=0.3, cl_occasion_2=-0.2, lag_occasion_2=0.4)

    class Changing:
        """Each record's values hold in the interval before it."""

        times = (0.0, 4.0, 12.0, 14.0, 20.0)

        def __call__(self, time: float) -> Space:
            size = next((c for t, _, c, _ in rows if time <= t), 40.0)
            kappa = 0.3 if time <= 4.0 else -0.2
            return Space({"cl": 4.0 * size / 100.0 * exp(kappa), "v": 70.0})

    given = [(1.5, 2.0, 100.0, "central"), (12.0 + 1.5 * exp(0.4), 2.0, 80.0, "central")]
    expected = solved(
        lambda t, x, p: {"central": -p.cl / p.v * x.central},
        {"central": 0.0},
        given,
        [4.0, 14.0, 20.0],
        Changing(),
    )
    np.testing.assert_allclose(found, [each["central"] / 70.0 for each in expected], rtol=1e-7)


def parent_and_metabolite() -> Model:
    """Two outputs, as in mapbayr's validation set."""
    return ode_model(
        name="parent_and_metabolite", states=("depot", "parent", "metabolite"), slopes=metabolite, doses_into=["depot"],
        parameters={"ka": "1 1/h", "cl": "4 L/h", "v": "70 L", "clm": "2.5 L/h", "vm": "60 L"}, listed=False,
        outputs={
            "parent": Observed("mg/L", lambda x, p: x.parent / p.v, ms.Proportional((0.05**0.5,))),
            "metabolite": Observed("mg/L", lambda x, p: x.metabolite / p.vm, ms.Proportional((0.05**0.5,))),
        },
    )  # fmt: skip


SAID = {  # the same samples four times: by number, by name, by a column each, by compartment
    "DVID": {"DVID": ["", 1, 2, 1, 2], "CMT": 1},
    "names": {"DVID": ["", "parent", "metabolite", "parent", "metabolite"], "CMT": 1},
    "CMT": {"CMT": ["depot", "parent", "metabolite", "parent", "metabolite"]},
    "numbers of CMT": {"CMT": [1, 2, 3, 2, 3]},
}
SAMPLES = pd.DataFrame(
    {"ID": 1, "TIME": [0, 2, 6, 12, 24], "AMT": [100, 0, 0, 0, 0], "DV": [np.nan, 1.3, 0.21, 0.55, 0.3]}
)


def test_parent_and_metabolite_have_one_estimate_however_a_table_tells_them_apart() -> None:
    from scipy.optimize import minimize

    model = parent_and_metabolite()
    prior = ms.Prior.published(
        model, variability={"cl": 0.2, "vm": 0.2}, noise=model.noise, source="an example"
    )
    first = ms.TaskSet.from_events(SAMPLES.assign(**SAID["DVID"]), model).batch(model)
    wide = SAMPLES.drop(columns="DV").assign(**{
        "parent [ug/mL]": [np.nan, 1.3, np.nan, 0.55, np.nan], "metabolite [ug/L]": [np.nan, np.nan, 210, np.nan, 300],
    })  # fmt: skip
    found = prior.calibrate(SAMPLES.assign(**SAID["DVID"])).adapted.coordinates
    for rows in (wide, *(SAMPLES.assign(**said) for said in SAID.values())):
        read = ms.TaskSet.from_events(rows, model).batch(model)
        torch.testing.assert_close(read.output, first.output)
        for name, values in read.inputs.items():
            torch.testing.assert_close(values, first.inputs[name])

    def objective(eta: np.ndarray) -> float:
        ka, cl, v, clm, vm = 1.0, 4.0 * exp(eta[0]), 70.0, 2.5, 60.0 * exp(eta[1])
        k, km = cl / v, clm / vm
        made, way = 70.0 * k * ka, [(ka, k, km), (k, ka, km), (km, ka, k)]

        def parent(t: float) -> float:
            return float(100.0 * ka * (exp(-ka * t) - exp(-k * t)) / (k - ka) / v)

        def after(t: float) -> float:
            return float(sum(made * exp(-one * t) / ((b - one) * (c - one)) for one, b, c in way) / vm)

        expected = parent(2.0), after(6.0), parent(12.0), after(24.0)
        seen = zip((1.3, 0.21, 0.55, 0.3), expected, strict=True)
        lost = sum((y - f) ** 2 / (0.05 * f**2) + log(0.05 * f**2) for y, f in seen)
        return lost + float((eta**2).sum()) / 0.2

    best = minimize(objective, np.zeros(2), method="BFGS", options={"gtol": 1e-7})
    np.testing.assert_allclose(0.2**0.5 * found[0].numpy(), best.x, atol=1e-5)


def test_what_a_reader_cannot_know_is_refused_in_a_sentence() -> None:
    model, bare = parent_and_metabolite(), SAMPLES.drop(columns=[])
    with pytest.raises(InputError, match="which of the outputs"):
        ms.TaskSet.from_events(bare, model)
    with pytest.raises(InputError, match=r"no way in .* doses go into 1 \(depot\)"):
        ms.TaskSet.from_events(SAMPLES.assign(CMT=[3, 2, 3, 2, 3]), model)


def test_slips_of_own_equations_are_named() -> None:
    def made(**changes: Any) -> Model:
        given: dict[str, Any] = {
            "name": "slip", "states": STATES[oral], "slopes": oral, "doses_into": ["depot"], "listed": False,
            "parameters": {"ka": "1 1/h", "cl": "4 L/h", "v": "70 L"},
            "outputs": {"concentration": Observed("mg/L", lambda x, p: x.central / p.v)},
        }  # fmt: skip
        return ode_model(**{**given, **changes})

    rows = table([(0.0, 100.0, "")], [2.0])
    for changes, match in (
        ({"slopes": lambda t, x, p: {"depot": -p.ka * x.depot}}, "'central' has no slope"),
        ({"slopes": lambda t, x, p: {**oral(t, x, p), "centre": x.depot}}, "'centre' is no state"),
        ({"outputs": {"c": Observed("mg/L", lambda x, p: x.central / p.volume)}}, "no parameter 'volume'"),
        ({"outputs": {"c": Observed("mg/L", lambda x, p: x.centrall)}}, "did you mean 'central'"),
        ({"doses_into": ["gut"]}, "'gut', which is no state"),
        ({"initial": lambda p: {"gut": p.v}}, "initial: 'gut' is no state"),
        ({"parameters": {"ka": "1", "cl": "4", "v": "seventy"}}, "is not a number with a unit"),
        ({"parameters": {"time": "1", "cl": "4"}}, "'time' is taken"),
    ):
        with pytest.raises(InputError, match=match):
            predicted(made(**changes), rows)
    steady = rows.assign(SS=lambda t: t.EVID, II=lambda t: 12.0 * t.EVID)
    twice = made(doses_into=[Entry("depot", fraction=0.5), Entry("central", fraction=0.5, compartment=1)])
    with pytest.raises(InputError, match=r"write the doses before it out \(ADDL\)"):
        predicted(twice, steady)


def test_a_task_that_does_not_meet_the_tolerance_is_no_number_and_said_to_be() -> None:
    model = ode_model(
        name="blows_up", states=("x",), slopes=lambda t, x, p: {"x": p.k * x.x**2}, parameters={"k": "1 1/h"},
        initial=lambda p: {"x": 1.0}, outputs={"x": Observed("1", lambda x, p: x.x)}, listed=False,
    )  # fmt: skip
    inputs = {"time": torch.tensor([[0.5, 2.0]], dtype=FLOAT)}
    found = model(inputs, {"k": torch.tensor([[1.0]], dtype=FLOAT)})
    assert bool(torch.isnan(found[0, 1]))
    assert (
        inf
        > float(model(inputs, {"k": torch.tensor([[0.1]], dtype=FLOAT)})[0, 1])
        == pytest.approx(1.25, rel=1e-7)
    )


@pytest.mark.parametrize(("rate", "lasts"), [(-1.0, 2.5), (0.0, 2.5), (100.0, 0.5)])
def test_a_dose_enters_at_the_rate_of_the_model_unless_its_row_says_another(
    rate: float, lasts: float
) -> None:
    """50 of 100 mg at 20 or 100 mg/h, a fraction of one half leaving the rate as it is."""
    model = ode_model(
        name="even_rate", states=("central",), doses_into=[Entry("central", fraction=0.5, rate="rate")],
        parameters={"k": "0.2 1/h", "rate": "20 mg/h"}, slopes=lambda t, x, p: {"central": -p.k * x.central},
        outputs={"amount": Observed("mg", lambda x, p: x.central)}, listed=False,
    )  # fmt: skip
    at = np.array([0.25, 0.5, 2.0, 2.5, 6.0])
    found = predicted(model, table([(0.0, 100.0, 1)], at).assign(RATE=[rate, *[0.0] * 5]))
    inside = 1.0 - np.exp(-0.2 * np.minimum(at, lasts))
    expected = 50.0 / lasts / 0.2 * inside * np.exp(-0.2 * np.maximum(at - lasts, 0.0))
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def one_compartment(**changes: Any) -> Model:
    """A bolus that is eliminated by first order."""
    parts: dict[str, Any] = {
        "name": "leaving",
        "states": ("central",),
        "doses_into": ["central"],
        "parameters": {"k": "0.1 1/h", "v": "40 L"},
        "slopes": lambda t, x, p: {"central": -p.k * x.central},
        "outputs": {"level": Observed("mg/L", lambda x, p: x.central / p.v)},
        "listed": False,
    }
    return ode_model(**(parts | changes))


ONE_DOSE = pd.DataFrame(
    {"ID": ["a"] * 3, "TIME [h]": [0, 1, 4], "AMT [mg]": [100, None, None], "DV [mg/L]": [None, 2.2, 1.7]}
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "dopri5"}, "there is no method 'dopri5'"),
        ({"states": "central"}, "would be read letter by letter"),
        ({"slopes": None}, "give a function of time, states and parameters, not a NoneType"),
        ({"outputs": {"level": "mg/L"}}, "'level' is a str; write Observed"),
        ({"absolute": -1.0}, r"absolute: -1\.0 is no amount"),
        ({"absolute": float("nan")}, "absolute: nan is no amount"),
    ],
)
def test_parts_of_another_kind_are_refused_where_a_model_is_written(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        one_compartment(**changes)


def test_slopes_that_are_no_dict_are_refused() -> None:
    model = one_compartment(slopes=lambda t, x, p: (-p.k * x.central,))
    with pytest.raises(InputError, match=r"a dict of the states' names, .* and are a tuple"):
        ms.Prior.declared(model).calibrate(ONE_DOSE)


def test_no_times_have_no_predictions() -> None:
    fit = ms.Prior.declared(one_compartment()).calibrate(ONE_DOSE)
    assert fit.predict(time=[] * ms.unit("h"))["median"].shape == (1, 0)


def test_a_rate_without_numbers_is_told_and_not_by_numpy(recwarn: pytest.WarningsRecorder) -> None:
    model = one_compartment(
        states=("gut", "central"),
        doses_into=["gut"],
        slopes=lambda t, x, p: {"gut": -p.k * x.gut, "central": (x.central - 1.0) ** 0.5},
    )
    fit = ms.Prior.declared(model).calibrate(ONE_DOSE)
    assert any("gave no finite numbers" in sentence for sentence in fit.warnings)
    assert not [each for each in recwarn if "rtol or atol" in str(each.message)]
