"""Every published prior that ships, against scipy's integration of its equations, typed anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

import metasci as ms
from metasci.catalogue import shipped
from metasci.studies.published import PUBLISHED, card_of

E = np.exp
Own = dict[str, float]


def _ffm(weight: float, height: float, woman: bool) -> float:
    bmi = weight / (height / 100.0) ** 2
    return 9270 * weight / ((8780 + 244 * bmi) if woman else (6680 + 216 * bmi))


def _hennig(c: Own, e: Own) -> Own:
    woman, ffm = c["sex"] == 2, _ffm(c["weight"], c["height"], c["sex"] == 2)
    slope = -0.021 if c["age"] <= 18 else -0.010
    size = (ffm / 70) ** 0.952
    return {
        "CL": (8.1 if woman else 9.4) * size * (1 + slope * (c["age"] - 18)) * (1 / c["relative_creatinine"]) ** 0.222
        * E(e["clearance"]),
        "V": (20.1 if woman else 25.1) * ffm / 70 * E(e["central_volume"]),
        "Q": 1.5 * size * E(e["exchange_clearance"]), "V2": 10 * ffm / 70 * E(e["peripheral_volume"]),
    }  # fmt: skip


def _tacrolimus(c: Own, e: Own) -> Own:
    hct = (c["haematocrit"] / 0.3) ** -0.44 if c["haematocrit"] < 0.3 else 1.0
    clearance = 50.5 * (c["weight"] / 70) ** 0.75 * (1.98 if c["cyp3a5_expresser"] else 1.04) * hct
    clearance *= (0.74 if c["living_donor"] else 1.0) * (c["filtration_rate"] / 69) ** 0.19
    size = c["weight"] / 70
    return {
        "CL": clearance * E(e["clearance"]), "V": 206 * size * E(e["central_volume"]), "Q": 114 * size**0.75,
        "V2": 1520 * size * E(e["peripheral_volume"]), "ka": 0.56 * E(e["absorption_rate"]), "lag": 0.37,
        "scale": 1000.0,
    }  # fmt: skip


CASES: dict[str, tuple[Own, Callable[[Own, Own], Own]]] = {
    "vancomycin_goti_2018": ({"weight": 92, "creatinine_clearance": 40, "haemodialysis": 1}, lambda c, e: {
        "CL": 4.5 * (c["creatinine_clearance"] / 120) ** 0.8 * 0.7 * E(e["clearance"]),
        "V": 58.4 * c["weight"] / 70 * 0.5 * E(e["central_volume"]), "Q": 6.5, "V2": 38.4 * E(e["peripheral_volume"])}),
    "vancomycin_thomson_2009": ({"weight": 80, "creatinine_clearance": 90}, lambda c, e: {
        "CL": 2.99 * (1 + 0.0154 * (c["creatinine_clearance"] - 66)) * E(e["clearance"]),
        "V": 0.675 * c["weight"] * E(e["central_volume"]), "Q": 2.28 * E(e["exchange_clearance"]),
        "V2": 0.732 * c["weight"] * E(e["peripheral_volume"])}),
    "vancomycin_buelga_2005": ({"weight": 65, "creatinine_clearance": 90}, lambda c, e: {
        "CL": 1.08 * c["creatinine_clearance"] * 60 / 1000 * E(e["clearance"]),
        "V": 0.98 * c["weight"] * E(e["volume"])}),
    "amikacin_burdet_2015": ({"weight": 62, "creatinine_clearance": 50, "oxygenation": 220}, lambda c, e: {
        "CL": 4.3 * (c["creatinine_clearance"] / 82) ** 0.7 * E(e["clearance"]),
        "V": 15.9 * (c["weight"] / 78) ** 0.9 * (c["oxygenation"] / 169) ** 0.4 * E(e["central_volume"]),
        "Q": 12.1 * E(e["exchange_clearance"]), "V2": 21.4 * E(e["peripheral_volume"])}),
    "meropenem_li_2006": ({"weight": 85, "age": 60, "creatinine_clearance": 55}, lambda c, e: {
        "CL": 14.6 * (c["creatinine_clearance"] / 83) ** 0.62 * (c["age"] / 35) ** -0.34 * E(e["clearance"]),
        "V": 10.8 * (c["weight"] / 70) ** 0.99 * E(e["central_volume"]), "Q": 18.6 * E(e["exchange_clearance"]),
        "V2": 12.6 * E(e["peripheral_volume"])}),
    "tobramycin_hennig_2008": ({"weight": 30}, lambda c, e: {
        "CL": 6.37 * (c["weight"] / 70) ** 0.75 * E(e["clearance"]),
        "V": 18.7 * c["weight"] / 70 * E(e["central_volume"]), "Q": 0.393 * (c["weight"] / 70) ** 0.75,
        "V2": 1.32 * c["weight"] / 70 * E(e["peripheral_volume"]), "lag": 0.4}),
    "tobramycin_hennig_2013": (
        {"weight": 40, "height": 150, "sex": 2, "age": 12, "relative_creatinine": 1.3}, _hennig),
    "busulfan_choe_2012": ({"weight": 58, "sex": 2}, lambda c, e: {
        "CL": 0.947 * c["weight"] ** 0.5 * 7.6 / (0.947 * 65**0.5) * E(e["clearance"]),
        "V": 32.2 / 1.105 * (c["weight"] / 65) ** 0.5 * E(e["volume"])}),
    "digoxin_zhou_2010": ({"weight": 55, "creatinine": 160, "spironolactone": 1}, lambda c, e: {
        "CL": 5.9 * (1 - 0.412) * (1 - 0.0101 * (c["weight"] - 62.9)) * (1 - 0.0012 * (c["creatinine"] - 126.8))
        * E(e["clearance"]), "V": 550 * E(e["volume"]), "ka": 1.63, "scale": 1000.0}),
    "imatinib_widmer_2006": ({"weight": 82, "age": 61, "sex": 1, "gist": 1}, lambda c, e: {
        "CL": (14.3 + 5.42 * (c["weight"] - 70) / 70 + 1.49 - 5.81 * (c["age"] - 50) / 50 - 0.806) * E(e["clearance"]),
        "V": (347 + 46.2) * E(e["volume"]), "ka": 0.609, "scale": 1000.0}),
    "infliximab_fasanmade_2009": ({"weight": 60, "albumin": 3.5, "antibodies": 1, "sex": 2}, lambda c, e: {
        "CL": 0.407 * (c["albumin"] / 4.1) ** -1.54 * (1 + 0.471) * (1 - 0.236) * E(e["clearance"]),
        "V": 3.29 * (c["weight"] / 77) ** 0.538 * (1 - 0.137) * E(e["central_volume"]), "Q": 7.14, "V2": 4.13}),
    "phenobarbital_grasela_1985": ({"weight": 1.4, "apgar": 4}, lambda c, e: {
        "CL": 0.00469555 * c["weight"] * E(e["clearance"]),
        "V": 0.984258 * c["weight"] * (1 + 0.15892) * E(e["volume"])}),
    "phenobarbital_voller_2017": ({"weight": 3.1, "birth_weight": 2.9, "age": 9}, lambda c, e: {
        "CL": 0.00909 * (1 + 0.0533 * (c["age"] - 4.5)) * (1 + 0.369 * (c["birth_weight"] - 2.59)) * E(e["clearance"]),
        "V": 2.38 * (1 + 0.309 * (c["weight"] - 2.7)) * E(e["volume"]), "ka": 50.0, "F": 0.594}),
    "tacrolimus_andrews_2017": (
        {"weight": 25, "cyp3a5_expresser": 1, "living_donor": 1, "filtration_rate": 80, "haematocrit": 0.25},
        _tacrolimus),
    "warfarin_holford": ({"weight": 80}, lambda c, e: {
        "CL": 0.131 * (c["weight"] / 70) ** 0.75 * E(e["clearance"]), "V": 8.06 * c["weight"] / 70 * E(e["volume"]),
        "ka": np.log(2) / 0.944 * E(e["absorption_rate"]), "lag": 1.03 * E(e["lag"])}),
}  # fmt: skip


def _integrated(own: Own, dose: float, lasting: float, times: np.ndarray) -> np.ndarray:
    """Concentrations after one dose, by scipy."""
    lag, oral = own.get("lag", 0.0), "ka" in own

    def slope(t: float, a: np.ndarray) -> list[float]:
        enters = 0.0 if oral or not lag <= t < lag + lasting else dose / lasting
        enters += own.get("ka", 0.0) * a[2]
        to = own.get("Q", 0.0) * (a[0] / own["V"] - a[1] / own.get("V2", 1.0))
        return [enters - own["CL"] / own["V"] * a[0] - to, to, -own.get("ka", 0.0) * a[2]]

    state, at, found = np.array([0.0, 0.0, 0.0]), 0.0, []
    stops = sorted({lag, *([] if oral else [lag + lasting]), *times})
    for stop in stops:
        if stop > at:
            state = solve_ivp(slope, (at, stop - 1e-12), state, "DOP853", rtol=1e-11, atol=1e-12).y[:, -1]
        if oral and stop == lag:
            state = state + np.array([0.0, 0.0, dose * own.get("F", 1.0)])
        at = stop
        if stop in times:
            found.append(state[0] / own["V"] * own.get("scale", 1.0))
    return np.array(found)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_prior_predicts_what_scipy_integrates(name: str) -> None:
    known, equation = CASES[name]
    prior = ms.load(name)
    assert "published" in prior.training
    assert prior.training["published"]["source"]
    oral = "absorption_rate" in {p.name for p in (*prior.model.parameters, *prior.model.fixed)}
    dose, lasting = 100.0, 0.0 if oral else 1.5
    times = np.array([0.8, 2.0, 7.0, 26.0])
    units = {**{key: one.unit for key, one in prior.model.inputs.items()}, "creatinine_clearance": "mL/min"}
    rows: list[dict[str, Any]] = [
        {"TIME": 0.0, "AMT": dose, "EVID": 1, "DV": ".", "RATE": dose / lasting if lasting else 0}
    ]
    rows += [{"TIME": t, "AMT": 0.0, "EVID": 0, "DV": 1.0, "RATE": 0.0} for t in times]
    table = pd.DataFrame(
        [{"ID": 1, **row, **{f"{k} [{units[k]}]": v for k, v in known.items()}} for row in rows]
    )
    table = table.rename(columns=lambda column: column.removesuffix(" [1]"))
    problem = prior.problem(prior.batch(prior.read(table)))
    spread = np.array([parameter.spread for parameter in prior.model.parameters])
    etas = np.random.default_rng(3).normal(size=len(spread)) * 0.3
    import torch

    predicted = problem.predict(torch.as_tensor(etas / spread)[None])[0].numpy()
    own = equation(known, dict(zip(prior.model.parameters.names, etas, strict=True)))
    assert predicted == pytest.approx(_integrated(own, dose, lasting, times), rel=1e-7)


def test_every_published_prior_is_covered() -> None:
    assert set(CASES) == set(PUBLISHED)
    assert len(PUBLISHED) >= 12


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_what_ships_is_what_its_numbers_make(name: str, tmp_path: Path) -> None:
    prior = PUBLISHED[name]()
    folder = prior.save(tmp_path / name)
    for file in ("prior.json", "prior.safetensors"):
        assert (folder / file).read_bytes() == (shipped("models") / name / file).read_bytes(), file
    assert card_of(prior) == (shipped("models") / name / "CARD.md").read_text(encoding="utf-8")


def _two_compartments(
    clearance: float, central: float, exchange: float, far: float, times: Own
) -> np.ndarray:
    """Concentrations of 2,000 mg over 2 h at 0 h and 1,400 mg over 2 h at 24.2 h, in closed form."""
    k, k12, k21 = clearance / central, exchange / central, exchange / far
    total = k + k12 + k21
    gap = np.sqrt(total**2 - 4.0 * k * k21)
    rates = np.array([total + gap, total - gap])[:, None] / 2.0
    shares = (k21 - rates) / (rates[::-1] - rates) / central
    found = np.zeros(len(times))
    for amount, begin in ((2000.0, 0.0), (1400.0, 24.2)):
        since = np.maximum(np.asarray(times) - begin, 0.0)
        runs = np.minimum(since, 2.0)
        found += (
            shares * amount / 2.0 / rates * (np.exp(-rates * (since - runs)) - np.exp(-rates * since))
        ).sum(0)
    return found


# posologyr's case study of vancomycin prints these: etas of clearance, central and peripheral volume; two areas
POSOLOGYR = (0.10796053, 0.04652873, 0.06865759), (336.4356, 387.1362)


def test_vancomycin_is_the_minimum_of_a_closed_form_and_what_posologyr_prints() -> None:
    typical = {"clearance": "4.5 L/h", "central_volume": "58.4 L", "peripheral_volume": "38.4 L"}
    variance = np.array([0.147, 0.510, 0.282])
    prior = ms.Prior.published(
        ms.patients.Structure(2), name="goti", source="posologyr",
        typical={**typical, "exchange_clearance": "6.5 L/h"},
        variability=dict(zip(typical, variance, strict=True)), noise=ms.CombinedDeviations((3.4, 0.227)),
        covariates={"clearance": ms.patients.Power("creatinine_clearance", "mL/min", 120, 0.8)},
    )  # fmt: skip
    table = pd.DataFrame(
        {"ID": 1, "TIME": [0.0, 13.0, 24.2, 48.0], "DV": [".", 12, ".", 10.5], "AMT": [2000, 0, 1400, 0]}
    ).assign(DUR=[2, 0, 2, 0], EVID=[1, 0, 1, 0], **{"creatinine_clearance [mL/min]": 65.0})
    fit = prior.calibrate(table)
    spread = np.array([parameter.spread for parameter in prior.model.parameters])
    etas = dict(zip(prior.model.parameters.names, fit.adapted.coordinates[0].numpy() * spread, strict=True))

    def own(eta: np.ndarray) -> tuple[float, float, float, float]:
        return 4.5 * (65 / 120) ** 0.8 * E(eta[0]), 58.4 * E(eta[1]), 6.5, 38.4 * E(eta[2])

    def cost(eta: np.ndarray) -> float:
        predicted = _two_compartments(*own(eta), [13.0, 48.0])
        sd = 3.4 + 0.227 * predicted
        off = (np.array([12.0, 10.5]) - predicted) / sd
        return float((off**2 + 2.0 * np.log(sd)).sum() + (eta**2 / variance).sum())

    best = minimize(cost, np.zeros(3), method="BFGS", options={"gtol": 1e-8})
    here = np.array([etas[name] for name in typical])
    assert here == pytest.approx(best.x, abs=2e-6)
    assert here == pytest.approx(POSOLOGYR[0], abs=2e-6)
    # areas by the integral of the closed form, in fine pieces
    for (begin, end), told in zip(((0.0, 24.0), (24.0, 48.0)), POSOLOGYR[1], strict=True):
        times = np.linspace(begin, end, 24_001)
        assert np.trapezoid(_two_compartments(*own(here), times), times) == pytest.approx(told, rel=1e-5)


def test_the_vancomycin_that_ships_is_the_minimum_of_a_closed_form() -> None:
    """With weight and haemodialysis, and variances that add up."""
    prior, variance = ms.load("vancomycin_goti_2018"), np.log1p(np.array([0.398, 0.816, 0.571]) ** 2)
    table = pd.DataFrame(
        {"ID": 1, "TIME": [0.0, 13.0, 24.2, 48.0], "DV": [".", 22, ".", 19.5], "AMT": [2000, 0, 1400, 0]}
    ).assign(
        DUR=[2, 0, 2, 0], haemodialysis=1, **{"creatinine_clearance [mL/min]": 30.0, "weight [kg]": 92.0}
    )
    fit = prior.calibrate(table)
    spread = np.array([parameter.spread for parameter in prior.model.parameters])
    names = ("clearance", "central_volume", "peripheral_volume")
    etas = dict(zip(prior.model.parameters.names, fit.adapted.coordinates[0].numpy() * spread, strict=True))

    def cost(eta: np.ndarray) -> float:
        clearance = 4.5 * (30 / 120) ** 0.8 * 0.7 * E(eta[0])
        central = 58.4 * 92 / 70 * 0.5 * E(eta[1])
        predicted = _two_compartments(clearance, central, 6.5, 38.4 * E(eta[2]), [13.0, 48.0])
        own = 3.4**2 + (0.227 * predicted) ** 2
        return float(
            ((np.array([22.0, 19.5]) - predicted) ** 2 / own + np.log(own)).sum() + (eta**2 / variance).sum()
        )

    best = minimize(cost, np.zeros(3), method="BFGS", options={"gtol": 1e-8})
    assert np.array([etas[name] for name in names]) == pytest.approx(best.x, abs=2e-6)


def test_tables_say_of_whom_their_parameters_are(tmp_path: Path) -> None:
    patient = ms.load("vancomycin_goti_2018").typical(
        weight="10 kg", creatinine_clearance="40 mL/min", haemodialysis=0
    )
    folder = patient.save(tmp_path / "patient")
    calibrated, own = (
        pd.read_csv(folder / name).set_index("name") for name in ("parameters.csv", "individual.csv")
    )
    assert calibrated.loc["clearance", "estimate"] == pytest.approx(4.5)
    assert calibrated.loc["clearance", "of"] == "70 kg, creatinine clearance 120 mL/min reference"
    assert own.loc["clearance", "estimate"] == pytest.approx(4.5 * (40 / 120) ** 0.8)
    assert own.loc["central_volume", "estimate"] == pytest.approx(58.4 * 10 / 70)
