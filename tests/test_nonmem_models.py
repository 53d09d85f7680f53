"""Control streams of every kind of compartments against matrix exponentials and SciPy's integrator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.linalg import expm

import metasci as ms
from metasci.errors import InputError
from metasci.learned.recipes import model_of_recipe
from metasci.patients import from_nonmem

pytest.importorskip("pharmpy", reason="the extra `nonmem` (pharmpy) is not installed")

TIMES = np.array([0.7, 3.0, 7.9, 12.4, 20.0, 30.0])
CONSTANTS = {"CL": 5.0, "V": 20.0, "Q2": 7.0, "V2": 35.0, "Q3": 2.0, "V3": 90.0, "KA": 0.9}


def stream(folder: Path, body: str, columns: str = "") -> Path:
    path = folder / "run1.mod"
    head = f"$PROBLEM a drug\n$INPUT ID TIME AMT RATE EVID DV {columns}\n$DATA none.csv IGNORE=@\n"
    path.write_text(head + body)
    return path


def predicted(model: ms.Model, frame: pd.DataFrame, **values: float) -> np.ndarray:
    inputs = ms.TaskSet.from_events(frame, model).batch(model).inputs
    given = {
        each.name: torch.full((1, 1), values.get(each.name, each.typical), dtype=torch.float64)
        for each in model.parameters
    }
    return model(inputs, given)[0].numpy()


def events(
    doses: list[dict[str, float]], measured: list[dict[str, float]], **columns: object
) -> pd.DataFrame:
    rows = [{"EVID": 1, **dose} for dose in doses] + [{"EVID": 0, "DV": 1.0, **row} for row in measured]
    return (
        pd.DataFrame(sorted(rows, key=lambda r: (r["TIME"], r["EVID"] == 0)))
        .fillna(0.0)
        .assign(ID=1, **columns)
    )


@pytest.mark.parametrize(
    ("advan", "names", "depot", "around"),
    [
        ("ADVAN3 TRANS4", "CL V1=V Q=Q2 V2", False, 1),
        ("ADVAN11 TRANS4", "CL V1=V Q2 V2 Q3 V3", False, 2),
        ("ADVAN12 TRANS4", "CL V2=V Q3=Q2 V3=V2 Q4=Q3 V4=V3 KA", True, 2),
        ("ADVAN4 TRANS1", "K=CL/V K23=Q2/V K32=Q2/V2 KA", True, 1),
    ],
)
def test_linear_compartments_are_matrix_exponentials(
    advan: str, names: str, depot: bool, around: int, tmp_path: Path
) -> None:
    """Doses into either compartment of a drug that is absorbed; infusions into a vein."""
    pairs = [each.split("=") if "=" in each else (each, each) for each in names.split()]
    theta = {name: place for place, name in enumerate(CONSTANTS, 1)}
    statements = [f"T{name} = THETA({place})" for name, place in theta.items()]
    statements[0] += "*EXP(ETA(1))"
    for left, right in pairs:
        formula = "/".join(f"T{part}" for part in right.split("/"))
        statements.append(f"{left} = {formula}")
    central = 2 if depot else 1
    body = (
        f"$SUBROUTINES {advan}\n$PK\n" + "\n".join(statements) + f"\nS{central} = TV\n$ERROR\nY = F + EPS(1)\n"
        + "$THETA " + " ".join(f"(0,{value})" for value in CONSTANTS.values()) + "\n$OMEGA 0.1\n$SIGMA 1\n"
    )  # fmt: skip
    model = from_nonmem(stream(tmp_path, body, "CMT")).model
    doses = [{"TIME": 0.0, "AMT": 100.0, "CMT": 1}, {"TIME": 6.0, "AMT": 60.0, "RATE": 20.0, "CMT": central}]
    found = predicted(model, events(doses, [{"TIME": t, "CMT": central} for t in TIMES]), ETA_1=0.3)
    c = CONSTANTS | {"CL": 5.0 * np.exp(0.3)}
    size = 1 + around + depot
    system = np.zeros((size + 1, size + 1))  # the last state is the rate of the infusion
    system[0, 0] = -c["CL"] / c["V"]
    for place in range(1, around + 1):
        out, back = c[f"Q{place + 1}"] / c["V"], c[f"Q{place + 1}"] / c[f"V{place + 1}"]
        system[0, 0] -= out
        system[0, place], system[place, 0], system[place, place] = back, out, -back
    if depot:
        system[size - 1, size - 1], system[0, size - 1] = -c["KA"], c["KA"]
    system[0, size] = 1.0
    state, at, expected = np.zeros(size + 1), 0.0, []
    state[size - 1 if depot else 0] = 100.0
    for until in sorted({6.0, 9.0, *TIMES}):
        state, at = expm(system * (until - at)) @ state, until
        state[size] = 20.0 if until == 6.0 else 0.0 if until == 9.0 else state[size]
        if until in TIMES:
            expected.append(state[0] / c["V"])
    assert found == pytest.approx(np.array(expected), rel=1e-9)


PARENT = """$SUBROUTINES ADVAN13 TOL=9
$MODEL COMP=(CENTRAL) COMP=(GUT DEFDOSE) COMP=(METAB NODOSE)
$PK
CL = THETA(1)*(WT/70)**0.75*EXP(ETA(1))
V = THETA(2)
KA = THETA(3)
ALAG2 = THETA(4)
D2 = THETA(5)
F2 = 0.6
R1 = THETA(6)
KM = THETA(7)
A_0(3) = 4
$DES
GONE = CL*A(1)/V
DADT(1) = KA*A(2) - GONE
DADT(2) = -KA*A(2)
DADT(3) = 0.4*GONE - 3*A(3)/(KM + A(3))
$ERROR
{error}
$THETA (0,5) (0,40) (0,0.8) (0,0.5) (0,2) (0,25) (0,8)
$OMEGA 0.09
$SIGMA 0.02 0.01
"""
BY_DVID = "IF (DVID.EQ.1) THEN\nY = A(1)/V + EPS(1)\nELSE\nY = A(3) + A(3)*EPS(2)\nENDIF"
BY_CMT = (
    "IPRED = A(1)/V\nIF (CMT.EQ.3) IPRED = A(3)\nY = IPRED + EPS(1)\nIF (CMT.EQ.3) Y = IPRED*(1 + EPS(2))"
)

BY_EITHER = "Y = F\nIF (CMT.EQ.1) Y = A(1)/V + EPS(1)\nIF (CMT.EQ.3) Y = A(3) + A(3)*EPS(2)"


def both_by_scipy(doses: list[tuple[float, int, float, float]], eta: float, weight) -> np.ndarray:
    """Levels of parent and metabolite at `TIMES`; doses are (time, state, amount, duration), durations above zero."""
    halts = sorted({0.0, 10.0, *TIMES, *(t for t, *_ in doses), *(t + d for t, _, _, d in doses)})
    state, found = np.array([0.0, 0.0, 4.0]), {}
    for at, to in zip(halts, [*halts[1:], None], strict=True):
        state = state + sum(
            np.eye(3)[into] * amount for t, into, amount, lasts in doses if t == at and not lasts
        )
        found[at] = (state[0] / 40.0, state[2])
        if to is None:
            break
        supply = sum(
            np.eye(3)[into] * amount / lasts
            for t, into, amount, lasts in doses
            if lasts and t <= at < t + lasts
        )
        clearance = 5.0 * (weight(0.5 * (at + to)) / 70.0) ** 0.75 * np.exp(eta)

        def slope(t: float, x: np.ndarray, cl: float = clearance, supply: np.ndarray = supply) -> np.ndarray:
            gone = cl * x[0] / 40.0
            return np.array([0.8 * x[1] - gone, -0.8 * x[1], 0.4 * gone - 3.0 * x[2] / (8.0 + x[2])]) + supply

        state = solve_ivp(slope, (at, to), state, method="DOP853", rtol=1e-12, atol=1e-12).y[:, -1]
    return np.array([found[t] for t in TIMES]).T


@pytest.mark.parametrize(
    ("error", "code", "first", "second"),
    [(BY_DVID, "DVID", 1, 2), (BY_CMT, "CMT", 1, 3), (BY_EITHER, "CMT", 1, 3)],
)
def test_equations_with_two_outputs_lag_rates_and_a_weight_that_changes(
    error: str, code: str, first: int, second: int, tmp_path: Path
) -> None:
    read = from_nonmem(stream(tmp_path, PARENT.format(error=error), "WT CMT DVID"), changing=["WT"])
    assert [type(noise).__name__ for noise in read.noise.noises] == ["Additive", "Proportional"]
    assert read.noise.typical == pytest.approx((0.02**0.5, 0.1))
    doses = [
        {"TIME": 0.0, "AMT": 100.0, "RATE": -2.0, "CMT": 2},  # 60 over 2 h, half an hour late
        {"TIME": 5.0, "AMT": 50.0, "RATE": -1.0, "CMT": 1},  # 50 at 25 an hour
        {"TIME": 8.0, "AMT": 30.0, "RATE": 0.0, "CMT": 1},
        {"TIME": 10.0, "AMT": 40.0, "RATE": 20.0, "CMT": 2},  # 24 at 20 an hour
    ]
    measured = [{"TIME": t, code: number} for t in TIMES for number in (first, second)]
    frame = events(doses, measured)
    frame["WT"] = np.where(frame["TIME"] <= 10.0, 50.0, 80.0)  # the next row's value backward
    frame["CMT"] = frame["CMT"].replace(0, 2) if code == "DVID" else frame["CMT"]
    found = predicted(read.model, frame, ETA_1=0.2).reshape(-1, 2).T
    given = [(0.5, 1, 60.0, 2.0), (5.0, 0, 50.0, 2.0), (8.0, 0, 30.0, 0.0), (10.5, 1, 24.0, 1.2)]
    expected = both_by_scipy(given, 0.2, lambda t: 50.0 if t < 10.0 else 80.0)
    np.testing.assert_allclose(found, expected, rtol=2e-7)
    again = model_of_recipe(read.model.recipe, "here")
    np.testing.assert_array_equal(predicted(again, frame, ETA_1=0.2).reshape(-1, 2).T, found)


def test_outputs_of_several_units_have_none_in_common(tmp_path: Path) -> None:
    path = stream(tmp_path, PARENT.format(error=BY_DVID), "WT CMT DVID")
    assert from_nonmem(path, units={"DV": "ug/L"}).model.output.unit == "ug/L"
    assert from_nonmem(path, units={"Y_2": "umol/L"}).model.output.unit == "1"


ONE = "$SUBROUTINES ADVAN1 TRANS2\n$PK\nCL = THETA(1)*EXP(ETA(1))\nV = THETA(2)\nS1 = V\n{pk}\n$ERROR\nY = F + EPS(1)\n"
ONE += "$THETA (0,5) (0,40) (0,3)\n$OMEGA 0.09\n$SIGMA 0.02\n"


@pytest.mark.parametrize("changing", [False, True])
@pytest.mark.parametrize(
    ("pk", "rate", "share", "lasts"),
    [
        ("D1 = THETA(3)", -2.0, 1.0, 3.0),
        ("R1 = THETA(3)*10", -1.0, 1.0, 4.0),
        ("D1 = THETA(3)\nF1 = 0.5", -2.0, 0.5, 3.0),
        ("R1 = THETA(3)*10\nF1 = 0.5", -1.0, 0.5, 2.0),
        ("D1 = THETA(3)", 0.0, 1.0, 0.0),
        ("D1 = THETA(3)\nF1 = 0.5", 60.0, 0.5, 1.0),
    ],
)
def test_a_dose_enters_as_its_row_asks(
    pk: str, rate: float, share: float, lasts: float, changing: bool, tmp_path: Path
) -> None:
    """RATE -2 for the duration of the model, -1 at its rate, 0 at once, and above zero at that rate."""
    body = ONE.format(pk=pk)
    if changing:
        body = body.replace("THETA(1)*", "THETA(1)*(WT/70)*")
    model = from_nonmem(stream(tmp_path, body, "WT"), changing=["WT"] if changing else []).model
    frame = events([{"TIME": 0.0, "AMT": 120.0, "RATE": rate}], [{"TIME": t} for t in TIMES])
    frame = frame.assign(WT=70.0)
    k, amount = 5.0 / 40.0, 120.0 * share
    since = np.maximum(TIMES - lasts, 0.0)
    expected = amount * np.exp(-k * TIMES) if not lasts else (
        amount / lasts / k * (1.0 - np.exp(-k * np.minimum(TIMES, lasts))) * np.exp(-k * since)
    )  # fmt: skip
    np.testing.assert_allclose(predicted(model, frame), expected / 40.0, rtol=1e-10)


def test_a_rate_that_the_model_does_not_have_is_refused(tmp_path: Path) -> None:
    model = from_nonmem(stream(tmp_path, PARENT.format(error=BY_DVID), "WT CMT DVID"), changing=[]).model
    doses = [{"TIME": 0.0, "AMT": 100.0, "RATE": -1.0, "CMT": 2}]
    frame = events(doses, [{"TIME": 3.0, "DVID": 1}]).assign(WT=70.0)
    with pytest.raises(InputError, match="asks for the rate of the model"):
        predicted(model, frame)


def test_a_description_of_an_earlier_version_is_still_read(tmp_path: Path) -> None:
    body = "$SUBROUTINES ADVAN6 TOL=9\n$MODEL COMP=(CENTRAL)\n$PK\nCL = THETA(1)*EXP(ETA(1))\nV = THETA(2)\nF1 = 0.5\n"
    body += "S1 = V\n$DES\nDADT(1) = -CL/V*T*A(1)\n$ERROR\nY = F + EPS(1)\n$THETA 5 40\n$OMEGA 0.09\n$SIGMA 0.02\n"
    recipe = from_nonmem(stream(tmp_path, body)).model.recipe
    recipe = {key: value for key, value in recipe.items() if key not in ("ways", "measured")}
    recipe["rates"] = {"bioavailability": 0.5}
    frame = events([{"TIME": 0.0, "AMT": 100.0}], [{"TIME": t} for t in TIMES])
    expected = 50.0 / 40.0 * np.exp(-0.5 * 5.0 / 40.0 * TIMES**2)
    found = predicted(model_of_recipe(recipe, "here"), frame)
    np.testing.assert_allclose(found, expected, rtol=2e-7, atol=1e-10)
