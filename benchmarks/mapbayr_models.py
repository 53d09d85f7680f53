"""The 42 models of mapbayr's validation, written here and held against SciPy's solution of their equations.

    python benchmarks/mapbayr_models.py

Structures and numbers: Le Louedec et al., CPT Pharmacometrics Syst Pharmacol 10 (2021) 1208, whose files number the
models as the table does. Two patients a model are drawn with its variability; doses are 10,000 at 0 h and a day later,
seven times, by mouth (odd numbers) or as infusions into the centre. What is printed is the greatest difference of a
prediction from SciPy's LSODA (tolerance 1e-11), relative to the patient's highest.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import exp, log
from types import SimpleNamespace as Space
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.integrate import solve_ivp

import metasci as ms
from metasci import math
from metasci.model import Model
from metasci.patients import (
    Category,
    Entry,
    Observed,
    Occasion,
    Power,
    Structure,
    compartment_model,
    ode_model,
)

Pulse = tuple[float, float, float, str]
"""When, over how long, how much, into which state."""
DAY = 24.0
GIVEN = [DAY * each for each in (0, 1, 2, 3, 4, 5, 6, 7)]
SAMPLES = (1.5, 4.4, 7.1, 23.0, 145.5, 169.0, 171.5, 180.0)


@dataclass(frozen=True)
class Case:
    """A model, how it is written, its equations for SciPy, and its doses.

    `ways` gives of a patient's parameters where a dose goes: state, share, lag, duration. `values` gives each output of
    states and parameters; `covariates` columns of the table, `own` parameters after them.
    """

    numbers: str
    written: str
    model: Model
    slopes: Callable[[float, Any, Any], Mapping[str, float]]
    ways: Callable[[Any], Sequence[tuple[str, float, float, float]]]
    values: Mapping[str, Callable[[Any, Any], float]]
    spread: float = 0.2**0.5
    infused: float = 0.0
    into: int = 1
    columns: Mapping[str, Any] = field(default_factory=dict)
    own: Callable[[Any, Any], Any] = lambda p, row: p


def table(case: Case) -> pd.DataFrame:
    """Doses and samples of one patient."""
    rows: list[dict[str, Any]] = [{"TIME": t, "AMT": 1e4, "EVID": 1, "DV": "."} for t in GIVEN]
    for output in case.values if len(case.values) > 1 else ("",):
        rows += [{"TIME": t, "AMT": 0.0, "EVID": 0, "DV": 1.0, "DVID": output} for t in SAMPLES]
    frame = pd.DataFrame(rows).sort_values("TIME", kind="stable", ignore_index=True).assign(ID=1)
    if case.infused:
        given = frame["EVID"] == 1
        frame["RATE"] = np.where(given, 1e4 / case.infused, 0.0)
        frame["CMT"] = np.where(given, case.into, 0)
    for name, of_time in case.columns.items():
        frame[name] = [of_time(t) if callable(of_time) else of_time for t in frame["TIME"]]
    return frame if len(case.values) > 1 else frame.drop(columns="DVID", errors="ignore")


def solved(case: Case, frame: pd.DataFrame, values: Mapping[str, float]) -> np.ndarray:
    """Predictions by SciPy, from record to record; what stands on a record holds in the interval before it."""
    records = frame.rename(columns=lambda name: name.split(" [")[0]).drop_duplicates("TIME")

    def at(time: float) -> Any:
        later = records[records["TIME"] >= time - 1e-9]
        row = (later if len(later) else records).iloc[0 if len(later) else -1]
        return case.own(Space(**values), row)

    pulses: list[Pulse] = []
    for time in GIVEN:
        for state, share, lag, lasting in case.ways(at(time)):
            over = share * case.infused if case.infused else lasting
            pulses.append((time + lag, over, 1e4 * share, state))
    names = list(case.slopes(1.0, Zero(), at(0.0)))
    stops = sorted({0.0, *frame["TIME"], *(t for t, *_ in pulses), *(t + over for t, over, *_ in pulses)})
    state, found = np.zeros(len(names)), {}
    for here, there in itertools.pairwise([*stops, stops[-1] + 1.0]):
        for time, over, amount, into in pulses:
            if time == here and not over:
                state[names.index(into)] += amount
        found[here] = (Space(**dict(zip(names, state, strict=True))), at(here))
        inflow = [
            sum(
                a / over
                for t, over, a, into in pulses
                if over and into == name and t <= here < t + over - 1e-12
            )
            for name in names
        ]
        p = at(0.5 * (here + there))

        def rate(t: float, x: np.ndarray, p: Any = p, inflow: Sequence[float] = inflow) -> list[float]:
            slope = case.slopes(t, Space(**dict(zip(names, x, strict=True))), p)
            return [float(slope[name]) + more for name, more in zip(names, inflow, strict=True)]

        state = solve_ivp(rate, (here, there), state, "LSODA", rtol=1e-11, atol=1e-9).y[:, -1]
    samples = frame[frame["EVID"] == 0]
    outputs = samples["DVID"] if "DVID" in samples else [next(iter(case.values))] * len(samples)
    return np.array([case.values[o](*found[t]) for t, o in zip(samples["TIME"], outputs, strict=True)])


class Zero:
    """A state of which every amount is zero."""

    def __getattr__(self, name: str) -> float:
        return 0.0


def apart(case: Case, patients: int = 2, seed: int = 1) -> float:
    """The greatest difference of a prediction, relative to the patient's highest of that output."""
    random = np.random.default_rng(seed)
    frame, worst = table(case), 0.0
    for _ in range(patients):
        values = {
            each.name: each.typical * exp(case.spread * random.standard_normal()) if each.positive
            else float(case.spread * random.standard_normal())
            for each in case.model.parameters
        }  # fmt: skip
        inputs = ms.TaskSet.from_events(frame, case.model).batch(case.model).inputs
        given = {name: torch.full((1, 1), value, dtype=torch.float64) for name, value in values.items()}
        with torch.no_grad():
            here = np.asarray(case.model(inputs, given)[0].numpy())
        right = solved(case, frame, values)
        kinds = frame.loc[frame["EVID"] == 0, "DVID"].to_numpy() if "DVID" in frame else np.zeros(len(right))
        for kind in set(kinds):
            own = kinds == kind
            worst = max(worst, float(np.abs(here - right)[own].max() / np.abs(right[own]).max()))
    return worst


CL, V, KA = "4 L/h", "70 L", "1 1/h"
LEVEL = {"concentration": lambda x, p: x.central / p.v}
ORAL = {"ka": KA, "cl": CL, "v": V}


def observed(unit: str = "mg/L", **values: Callable[[Any, Any], Any]) -> dict[str, Observed]:
    return {name: Observed(unit, value) for name, value in values.items()}


def closed(numbers: str, structure: Structure, written: str, **more: Any) -> Case:
    """Compartments in closed form; the equations stand here a second time."""
    typical = {"clearance": 4.0, "volume": 70.0, "central_volume": 70.0, "peripheral_volume": 50.0,
               "exchange_clearance": 4.0, "absorption_rate": 1.0, "lag": 1.0, "absorption_duration": 4.0,
               "bioavailability": 0.5}  # fmt: skip
    model = compartment_model(
        structure, name=f"mapbayr_{numbers.split(',')[0]}", effects=more.pop("effects", {}), listed=False
    )
    model = replace(
        model,
        parameters=type(model.parameters)(
            tuple(replace(p, typical=typical.get(p.name, p.typical)) for p in model.parameters)
        ),
    )
    absorbed = structure.absorption == "first-order"

    def slopes(t: float, x: Any, p: Any) -> Mapping[str, float]:
        v = p.volume if hasattr(p, "volume") else p.central_volume
        out: dict[str, float] = {"central": -p.clearance / v * x.central}
        if absorbed:
            out = {
                "depot": -p.absorption_rate * x.depot,
                "central": out["central"] + p.absorption_rate * x.depot,
            }
        if structure.compartments == 2:
            flow = p.exchange_clearance * (x.central / v - x.peripheral / p.peripheral_volume)
            out |= {"central": out["central"] - flow, "peripheral": flow}
        return out

    into = "depot" if absorbed and not more.get("infused") else "central"
    return Case(
        numbers, written, model, slopes,
        lambda p: [
            (into, getattr(p, "bioavailability", 1.0), getattr(p, "lag", 0.0), getattr(p, "absorption_duration", 0.0))
        ],
        {"concentration": lambda x, p: x.central / (p.volume if hasattr(p, "volume") else p.central_volume)}, **more,
    )  # fmt: skip


def equations(
    numbers: str, written: str, parameters: Mapping[str, str], slopes: Any, entries: Sequence[Any], ways: Any,
    values: Mapping[str, Any] | None = None, **more: Any,
) -> Case:  # fmt: skip
    """Equations of one's own, with the same slopes for SciPy."""
    outputs = values or LEVEL
    options = {key: more.pop(key) for key in ("effects", "changing", "covariates") if key in more}
    model = ode_model(
        name=f"mapbayr_{numbers[:3]}", states=tuple(slopes(1.0, Zero(), Ones())), slopes=slopes, doses_into=entries,
        parameters=parameters, outputs=observed(**outputs), listed=False, constraints=(), **options,
    )  # fmt: skip
    return Case(numbers, written, model, slopes, ways, outputs, **more)


class Ones:
    """Parameters of which every one is one."""

    def __getattr__(self, name: str) -> float:
        return 1.0


def oral(t: Any, x: Any, p: Any) -> dict[str, Any]:
    return {"depot": -p.ka * x.depot, "central": p.ka * x.depot - p.cl / p.v * x.central}


def depots(t: Any, x: Any, p: Any) -> dict[str, Any]:
    return {
        "fast": -p.ka * x.fast,
        "central": p.ka * x.fast + p.kb * x.slow - p.cl / p.v * x.central,
        "slow": -p.kb * x.slow,
    }


def saturable(linear: bool) -> Any:
    def slopes(t: Any, x: Any, p: Any) -> dict[str, Any]:
        c = x.central / p.v
        out = p.vmax * c / (p.km + c) + (p.cl * c if linear else 0.0)
        return {"depot": -p.ka * x.depot, "central": p.ka * x.depot - out}

    return slopes


def metabolite(t: Any, x: Any, p: Any) -> dict[str, Any]:
    formed = p.cl / p.v * x.central
    return oral(t, x, p) | {"metabolite": 0.7 * formed - p.clm / p.vm * x.metabolite}


def ibrutinib(t: Any, x: Any, p: Any) -> dict[str, Any]:
    flow, flow_met = p.q * (x.central / p.v2 - x.near / p.v3), p.qm * (x.diol / p.v2 - x.diol_near / p.v3)
    made = p.cl_met / p.v2 * x.central
    return {
        "depot": -(p.ka + p.k14) * x.depot,
        "central": p.ka * x.depot - flow - made - p.cl / p.v2 * x.central,
        "near": flow,
        "diol": p.k14 * x.depot + made - p.cl_diol / p.v2 * x.diol - flow_met,
        "diol_near": flow_met,
    }


def pazopanib(t: Any, x: Any, p: Any) -> dict[str, Any]:
    flow = p.q * (x.central / p.v - x.near / p.v4)
    return {
        "fast": -p.ka * x.fast,
        "central": p.ka * x.fast + p.kb * x.slow - p.cl / p.v * x.central - flow,
        "slow": -p.kb * x.slow,
        "near": flow,
    }


def relative_share(p: Any) -> Any:
    """Bioavailability that falls with the dose and with time on treatment (Yu, pazopanib)."""
    of_dose = 1.0 - (p.dose_mg - 200.0) / (480.0 + p.dose_mg - 200.0)
    return p.f * of_dose * (1.0 - 0.501 + 0.501 * math.exp(-0.15 / 24.0 * p.since))


def two(t: Any, x: Any, p: Any) -> dict[str, Any]:
    flow = p.q * (x.central / p.v - x.near / p.v3)
    return {"depot": -p.ka * x.depot, "central": p.ka * x.depot - p.cl / p.v * x.central - flow, "near": flow}


def sunitinib(t: Any, x: Any, p: Any) -> dict[str, Any]:
    liver = (0.34 * x.depot + p.qh / p.v * x.central) / (p.qh + p.cl)
    flow = p.q * (x.metabolite / p.vm - x.near / p.vn)
    return {
        "depot": -0.34 * x.depot,
        "central": p.qh * (liver - x.central / p.v),
        "metabolite": 0.21 * p.cl * liver - p.clm / p.vm * x.metabolite - flow,
        "near": flow,
    }


def methotrexate(t: Any, x: Any, p: Any) -> dict[str, Any]:
    flow = p.q * (x.central / p.v - x.near / p.vp)
    return {"central": -p.cl / p.v * x.central - flow, "near": flow}


def voriconazole(t: Any, x: Any, p: Any) -> dict[str, Any]:
    """Saturable elimination whose maximum falls with time; one η moves maximum and Michaelis constant."""
    c = x.central / p.v
    size = 0.8175744761936437 * (t - 1.0) / (t - 1.0 + 1.41)  # e^1.5/(1 + e^1.5)
    most = 114000.0 * p.weight_power * exp_of(0.584 * p.eta) * (1.0 - size)
    return {
        "depot": -p.ka * x.depot,
        "central": p.ka * x.depot
        - p.cl * c
        - p.q * (c - x.near / p.v3)
        - most * c / (1150.0 * exp_of(p.eta) + c),
        "near": p.q * (c - x.near / p.v3),
    }


def exp_of(value: Any) -> Any:
    return exp(value) if isinstance(value, float) else math.exp(value)


def boxed_share(p: Any) -> Any:
    """A fraction whose logit has a Box-Cox transformed η."""
    logit = log(0.585 / 0.415) + (exp_of(0.367 * p.eta_f) - 1.0) / 0.367
    return 1.0 / (1.0 + exp_of(-logit))


def occasion(time: float) -> int:
    return 1 if time <= 2.5 * DAY else 2


def with_occasions(*names: str) -> Callable[[Any, Any], Any]:
    """Parameters of a record's occasion."""

    def own(p: Any, row: Any) -> Any:
        values = dict(vars(p))
        for name in names:
            values[name] = values[name] * exp(values[f"{name}_occasion_{int(row['OCC'])}"])
        return Space(**values)

    return own


def swallowed(p: Any) -> list[tuple[str, float, float, float]]:
    return [("depot", 1.0, 0.0, 0.0)]


def injected(p: Any) -> list[tuple[str, float, float, float]]:
    return [("central", 1.0, 0.0, 0.0)]


def cases() -> list[Case]:
    """All of them; numbers that differ in what is given only, or in how much patients or residuals vary, together."""
    first = Structure(1, "first-order")
    third = Structure(2, "first-order")
    over = {"infused": 2.0, "into": 2}
    saturation = {"ka": KA, "v": V, "vmax": "10000 mg/h", "km": "2500 mg/L"}
    sex = {"clearance": [Power("BW", "kg", 75, 1.5), Category("SEX", code=1, times=0.75)]}

    def person(p: Any, row: Any) -> Any:
        return Space(**{**vars(p), "clearance": p.clearance * (row["BW"] / 75) ** 1.5 * 0.75 ** row["SEX"]})

    by_sex = {"effects": sex, "columns": {"BW [kg]": 61.0, "SEX": 1}, "own": person}
    half = 'Structure(1, "first-order"'
    found = [
        closed("001, 403, 405, 407, 501, 502, 503, 504, 511, 512, 513", first, f"`{half})`"),
        closed("002, 404, 406, 408", first, f"`{half})`, infusions into CMT 2", **over),
        closed("003", replace(first, lag=True), f"`{half}, lag=True)`"),
        closed("004", Structure(1, "zero-order"), '`Structure(1, "zero-order")`'),
        closed("008", replace(first, bioavailability=True), f"`{half}, bioavailability=True)`"),
        closed("101", third, '`Structure(2, "first-order")`'),
        closed("102", third, '`Structure(2, "first-order")`, infusions into CMT 2', **over),
        closed("301", first, f"`{half})`, `Power`, `Category`", **by_sex),
        closed("302", first, f"`{half})`, `Power`, `Category`, infusions", **by_sex, **over),
        equations(
            "005", '`Entry("depot", duration="d")`', {**ORAL, "d": "1 h"}, oral, [Entry("depot", duration="d")],
            lambda p: [("depot", 1.0, 0.0, p.d)],
        ),
        equations(
            "006", "two entries of one compartment, the second with a duration", {**ORAL, "d": "4 h"}, oral,
            [Entry("depot", fraction=0.2), Entry("central", fraction=0.8, duration="d", compartment=1)],
            lambda p: [("depot", 0.2, 0.0, 0.0), ("central", 0.8, 0.0, p.d)],
        ),
        equations(
            "007", "two entries of one compartment, each a depot", {**ORAL, "kb": "0.25 1/h"}, depots,
            [Entry("fast", fraction=0.2), Entry("slow", fraction=0.8, compartment=1)],
            lambda p: [("fast", 0.2, 0.0, 0.0), ("slow", 0.8, 0.0, 0.0)],
        ),
        equations("201", "`vmax·c/(km + c)`", saturation, saturable(False), ["depot", "central"], swallowed),
        equations("202", "the same, infusions", saturation, saturable(False), ["depot", "central"], injected, **over),
        equations(
            "203, 205, 207", "`vmax·c/(km + c) + cl·c`", {**saturation, "cl": CL}, saturable(True),
            ["depot", "central"], swallowed,
        ),
        equations(
            "204, 206, 208", "the same, infusions", {**saturation, "cl": CL}, saturable(True), ["depot", "central"],
            injected, **over,
        ),
    ]  # fmt: skip
    both = {"parent": lambda x, p: x.central / p.v, "metabolite": lambda x, p: x.metabolite / p.vm}
    made = {**ORAL, "clm": "2.5 L/h", "vm": "60 L"}
    found += [
        equations("401", "a state and an output more", made, metabolite, ["depot", "central"], swallowed, both),
        equations("402", "the same, infusions", made, metabolite, ["depot", "central"], injected, both, **over),
        closed(
            "901", Structure(2), "`Structure(2)`, `Power`", infused=2.0, columns={"BSA [m^2]": 1.7},
            effects={"central_volume": [Power("BSA", "m^2", 1.0, 1.0)]},
            own=lambda p, row: Space(**{**vars(p), "central_volume": p.central_volume * row["BSA"]}),
        ),
        equations(
            "911", "zero- then first-order entry with a lag, five states, two outputs, `Occasion`",
            {"cl_met": "149.622 L/h", "v2": "1005.03 L", "ka": "1.55664 1/h", "q": "171.094 L/h", "v3": "1481.01 L",
             "lag": ".238192 h", "d": ".988671 h", "cl": "241.899 L/h", "cl_diol": "180.972 L/h", "k14": "1.20812 1/h",
             "qm": "50.3012 L/h"},
            ibrutinib, [Entry("depot", lag="lag", duration="d")], lambda p: [("depot", 1.0, p.lag, p.d)],
            {"drug": lambda x, p: 1000 * x.central / p.v2, "diol": lambda x, p: 1000 * x.diol / p.v2},
            effects={name: [Occasion(parameter=name, count=2)] for name in ("cl", "cl_diol")},
            columns={"OCC": occasion}, own=with_occasions("cl", "cl_diol"),
        ),
        equations(
            "921", "two depots, one late; a fraction of dose, time and `Occasion`",
            {"cl": "0.27 L/h", "v": "2.43 L", "ka": "0.4 1/h", "kb": "0.12 1/h", "lag": "0.98 h", "q": "0.99 L/h",
             "v4": "25.1 L", "f": "1 1"},
            pazopanib,
            [Entry("fast", fraction=lambda p: 0.361 * relative_share(p)),
             Entry("slow", fraction=lambda p: 0.639 * relative_share(p), lag="lag", compartment=1)],
            lambda p: [("fast", 0.361 * relative_share(p), 0.0, 0.0), ("slow", 0.639 * relative_share(p), p.lag, 0.0)],
            effects={"f": [Occasion(parameter="f", count=2)]}, covariates={"dose_mg": "mg", "since": "h"},
            changing=("dose_mg", "since"),
            columns={
                "OCC": occasion, "since [h]": lambda t: t, "dose_mg [mg]": lambda t: 800.0 if t <= 3 * DAY else 400.0,
            },
            own=lambda p, row: Space(
                **vars(with_occasions("f")(p, row)), dose_mg=float(row["dose_mg"]), since=float(row["since"])
            ),
        ),
        equations(
            "931", "a depot and a zero-order entry; a fraction on the logit; `Power`, `Category`",
            {"ka": "1.24 1/h", "cl": "2.48 L/h", "v": "212 L", "q": "30 L/h", "v3": "177 L", "lag": "0.821 h",
             "d": "2.48 h", "odds": "4.882352941176471 1"},
            two,
            [Entry("depot", fraction=lambda p: p.odds / (1 + p.odds), lag="lag"),
             Entry("central", fraction=lambda p: 1 / (1 + p.odds), duration="d", compartment=1)],
            lambda p: [("depot", p.odds / (1 + p.odds), p.lag, 0.0), ("central", 1 / (1 + p.odds), 0.0, p.d)],
            effects={
                "cl": [
                    Power("AGE", "year", 60, -0.157), Power("WT", "kg", 80, -0.0393),
                    Category("SEX", code=1, times=0.76),
                ],
                "v": [
                    Power("AGE", "year", 60, 0.0644), Power("WT", "kg", 80, 1.19),
                    Category("SEX", code=1, times=1.1),
                ],
                "ka": [Power("AOLA", "mg", 60, 0.734)],
            },
            columns={"AGE [year]": 52.0, "WT [kg]": 91.0, "SEX": 1, "AOLA [mg]": 40.0},
            own=lambda p, row: Space(**{
                **vars(p), "cl": p.cl * (52 / 60) ** -0.157 * (91 / 80) ** -0.0393 * 0.76,
                "v": p.v * (52 / 60) ** 0.0644 * (91 / 80) ** 1.19 * 1.1, "ka": p.ka * (40 / 60) ** 0.734,
            }),
        ),
        equations(
            "941", "a metabolite formed in the liver, `Power`",
            {"cl": "35.7 L/h", "v": "1360 L", "clm": "17.1 L/h", "vm": "635 L", "q": "20.1 L/h", "vn": "388 L",
             "qh": "80 L/h"},
            sunitinib, ["depot"], swallowed,
            {"drug": lambda x, p: 1000 * x.central / p.v, "metabolite": lambda x, p: 1000 * x.metabolite / p.vm},
            effects={name: [Power("WT", "kg", 70, 0.75 if name in ("cl", "clm", "q", "qh") else 1.0)]
                     for name in ("cl", "v", "clm", "vm", "q", "vn", "qh")},
            columns={"WT [kg]": 58.0},
            own=lambda p, row: Space(**{
                name: value * (58 / 70) ** (0.75 if name in ("cl", "clm", "q", "qh") else 1.0)
                for name, value in vars(p).items()
            }),
        ),
        equations(
            "951", "infusions; µmol/L of mg; `Occasion`, `Power`",
            {"cl": "7.1 L/h", "v": "25.1 L", "q": "0.15 L/h", "vp": "2.7 L"}, methotrexate, ["central"], injected,
            {"concentration": lambda x, p: 2.2 * x.central / p.v}, infused=2.0,
            effects={"cl": [
                Occasion(parameter="cl", count=2), Power("SCR", "umol/L", 67, -0.43), Power("AGE", "year", 62, -0.22),
            ]},
            columns={"OCC": occasion, "SCR [umol/L]": 80.0, "AGE [year]": 50.0},
            own=lambda p, row: Space(**{
                **vars(with_occasions("cl")(p, row)),
                "cl": with_occasions("cl")(p, row).cl * (80 / 67) ** -0.43 * (50 / 62) ** -0.22,
            }),
        ),
        equations(
            "962", "an elimination that falls with time, a fraction with a Box-Cox η on the logit",
            [ms.Parameter("eta", "1", 0.0), ms.Parameter("eta_f", "1", 0.0),
             *(ms.Parameter(name, unit, value, positive=True) for name, unit, value in (
                 ("cl", "L/h", 6.16), ("v", "L", 79.0), ("v3", "L", 103.0), ("q", "L/h", 15.5), ("ka", "1/h", 100.0),
                 ("weight_power", "1", 1.0)))],
            voriconazole, [Entry("depot", fraction=boxed_share, lag=0.949)],
            lambda p: [("depot", float(boxed_share(p)), 0.949, 0.0)],
            effects={"cl": [Power("WT", "kg", 70, 0.75)], "v": [Power("WT", "kg", 70, 1.0)],
                     "v3": [Power("WT", "kg", 70, 1.0)], "q": [Power("WT", "kg", 70, 0.75)],
                     "weight_power": [Power("WT", "kg", 70, 0.75)]},
            columns={"WT [kg]": 81.0},
            own=lambda p, row: Space(**{
                name: value
                * (81 / 70) ** {"cl": 0.75, "q": 0.75, "weight_power": 0.75, "v": 1.0, "v3": 1.0}.get(name, 0.0)
                for name, value in vars(p).items()
            }),
        ),
    ]  # fmt: skip
    return found


def main() -> None:
    found = cases()
    print("| mapbayr's models | written | apart |\n|---|---|---|")
    for case in found:
        print(f"| {case.numbers} | {case.written} | {apart(case):.0e} |", flush=True)
    print(f"\n{sum(len(case.numbers.split(',')) for case in found)} models")


if __name__ == "__main__":
    main()
