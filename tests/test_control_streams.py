"""Control streams as people write them: each is read as NM-TRAN reads it, or refused by the name of what it says."""

from __future__ import annotations

from collections.abc import Callable
from math import erf, exp, lgamma, sqrt
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.integrate import solve_ivp

import metasci as ms
from metasci.errors import InputError
from metasci.patients import from_nonmem
from metasci.patients.nonmem import ImportedModel
from metasci.patients.stream_conditions import with_plain_conditions

pytest.importorskip("pharmpy", reason="the extra `nonmem` (pharmpy) is not installed")

ONE = """$PROBLEM one compartment
$INPUT ID TIME AMT DV EVID WT SEX BLQ LLOQ
$DATA none.csv IGNORE=@
$SUBROUTINE ADVAN1 TRANS2
$PK
{pk}
CL = TVCL*EXP(ETA(1))
V = 40*EXP(ETA(2))
S1 = V
$ERROR
{error}
$THETA (0,4) 2
$OMEGA {omega}
$SIGMA 0.04
"""


def read(folder: Path, text: str) -> ImportedModel:
    path = folder / "run1.mod"
    path.write_text(text)
    return from_nonmem(path)


def one(pk: str = "TVCL = THETA(1)", error: str = "Y = F + F*EPS(1)", omega: str = "0.1 0.2") -> str:
    return ONE.format(pk=pk, error=error, omega=omega)


def predicted(model: ms.Model, rows: pd.DataFrame, etas: tuple[float, ...] = (0.2, -0.3)) -> np.ndarray:
    inputs = ms.TaskSet.from_events(rows, model).batch(model).inputs
    given = {
        each.name: torch.full((1, 1), value, dtype=torch.float64)
        for each, value in zip(model.parameters, etas, strict=True)
    }
    return model(inputs, given)[0].numpy()


NESTED = """IF (SEX.EQ.1) THEN
  IF (WT.GT.50) THEN
    TVCL = THETA(1)*2
  ELSE
    TVCL = THETA(1)*3
  ENDIF
ELSE
  TVCL = THETA(1)
END IF"""
TWICE = """TVCL = THETA(1)
IF (WT.GT.50) THEN
  TVCL = TVCL+1
  X = 2
  TVCL = TVCL*X
ENDIF"""
ASKED_AND_GIVEN = """X = WT/10
TVCL = 1
IF (X.GT.5) THEN
  X = 0
  TVCL = THETA(1) ; though X is 0 now
ELSEIF (X.GT.0) THEN
  X = 9
  TVCL = X
ENDIF"""
IN_TURN = """IF (SEX.EQ.1) THEN
  A = 1
  TVCL = A+1
ELSE
  TVCL = 3
  A = TVCL*2
  TVCL = A
ENDIF"""


@pytest.mark.parametrize(
    ("pk", "clearance"),
    [
        (NESTED, lambda wt, sex: (8 if wt > 50 else 12) if sex == 1 else 4),
        (TWICE, lambda wt, sex: 10 if wt > 50 else 4),
        (ASKED_AND_GIVEN, lambda wt, sex: 4 if wt > 50 else 9),
        (IN_TURN, lambda wt, sex: 2 if sex == 1 else 6),
        ("TVCL = 1\nIF (.NOT.(SEX.EQ.0.OR.WT>50)) TVCL = THETA(1)", lambda wt, sex: 4 if sex and wt <= 50 else 1),
        ("TVCL = THETA(1)*EXP(-2**2+4)", lambda wt, sex: 4),
        ("TVCL = THETA(1) & ; goes on\n  *2", lambda wt, sex: 8),
        ("tvcl = Theta(1)*Exp(0)", lambda wt, sex: 4),
        ("TVCL = THETA(1)*2*PHI(WT/60)", lambda wt, sex: 4 * (1 + erf(wt / 60 / sqrt(2)))),
        ("TVCL = GAMLN(WT/10) + INT(-WT/7) + 9", lambda wt, sex: lgamma(wt / 10) - int(wt / 7) + 9),
        ("IF (NEWIND.NE.2) BWT = WT\nTVCL = BWT/10", lambda wt, sex: wt / 10),
        ("IF (AMT.GT.0) TDOS = TIME\nTAD = TIME-TDOS\nTVCL = THETA(1)", lambda wt, sex: 4),
    ],
)  # fmt: skip
def test_statements_are_computed_as_fortran_does(
    pk: str, clearance: Callable[[float, float], float], tmp_path: Path
) -> None:
    model = read(tmp_path, one(pk)).model
    for weight, sex in ((61.0, 1.0), (41.0, 0.0), (75.0, 0.0), (33.0, 1.0)):
        rows = pd.DataFrame(
            {"ID": 1, "TIME": [0.0, 1.0, 5.0], "AMT": [100.0, 0.0, 0.0], "DV": [0.0, 1.0, 1.0]}
        )
        volume, flow = 40 * exp(-0.3), clearance(weight, sex) * exp(0.2)
        curve = 100 / volume * np.exp(-flow / volume * np.array([1.0, 5.0]))
        assert predicted(model, rows.assign(WT=weight, SEX=sex)) == pytest.approx(curve, rel=1e-10)


def test_what_pharmpy_reads_right_is_left_as_it_is() -> None:
    plain = "CL = 1\nIF (SEX.EQ.1) THEN\nCL = CL*2\nV = 3\nELSE\nV = 4\nENDIF"
    assert with_plain_conditions(plain, "$PK") == plain


THREE = """$PROBLEM three outputs
$INPUT ID TIME AMT DV EVID DVID
$DATA none.csv IGNORE=@
$SUBROUTINE ADVAN6 TOL=9
$MODEL COMP=(A) COMP=(B) COMP=(C)
$PK
K1 = THETA(1)*EXP(ETA(1))
K2 = THETA(2)*EXP(ETA(2))
$DES
DADT(1) = -K1*A(1)
DADT(2) = K1*A(1)-K2*A(2)
DADT(3) = K2*A(2)-0.05*A(3)
$ERROR
IF (DVID.EQ.1) THEN
  Y = A(1)*(1+EPS(1))
ELSEIF (DVID.EQ.2) THEN
  Y = A(2)*(1+EPS(2))
ELSE
  Y = A(3)*(1+EPS(3))
ENDIF
$THETA 0.3 0.2
$OMEGA 0.1 0.2
$SIGMA 0.04 0.09 0.01
"""


def test_every_output_of_a_condition_is_one(tmp_path: Path) -> None:
    found = read(tmp_path, THREE)
    assert [each.typical for each in found.noise.noises] == [(0.2,), (0.3,), (0.1,)]
    times = np.array([1.0, 2.0, 9.0])
    rows = [{"ID": 1, "TIME": 0.0, "AMT": 100.0, "DVID": 1}]
    rows += [
        {"ID": 1, "TIME": time, "AMT": 0.0, "DV": 1.0, "DVID": which} for time in times for which in (1, 2, 3)
    ]
    first, second = 0.3 * exp(0.2), 0.2 * exp(-0.3)

    def slopes(_: float, x: np.ndarray) -> list[float]:
        return [-first * x[0], first * x[0] - second * x[1], second * x[1] - 0.05 * x[2]]

    curve = solve_ivp(slopes, (0, 9), [100, 0, 0], t_eval=times, rtol=1e-11, atol=1e-12).y.T.ravel()
    assert predicted(found.model, pd.DataFrame(rows)) == pytest.approx(curve, rel=1e-6)


def test_outputs_that_are_told_apart_by_which_is_greater_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not by which is greater"):
        read(tmp_path, THREE.replace("DVID.EQ.1", "DVID.LE.1"))


FLAGGED = """IPRED = F
W = SQRT(0.01+0.04*IPRED**2)/0.2
{said}"""
ABOVE, BELOW = "F_FLAG = 0\n Y = IPRED+W*EPS(1)", "F_FLAG = 1\n Y = PHI((LLOQ-IPRED)/(0.2*W))"


@pytest.mark.parametrize(
    "said",
    [
        f"IF (BLQ.EQ.0) THEN\n {ABOVE}\nENDIF\nIF (BLQ.EQ.1) THEN\n {BELOW}\nENDIF",
        f"IF (BLQ.EQ.1) THEN\n {BELOW}\nELSE\n {ABOVE}\nENDIF",
        f"{ABOVE}\nIF (BLQ.EQ.1) THEN\n {BELOW}\nENDIF",
        f"LOQ = 0.3\nIF (DV.GE.LOQ) THEN\n {ABOVE}\nELSE\n {BELOW.replace('LLOQ', 'LOQ')} + 1E-20\nENDIF",
    ],
)
def test_measurements_below_a_limit_count_by_their_probability(said: str, tmp_path: Path) -> None:
    (tmp_path / "run1.mod").write_text(one(error=FLAGGED.format(said=said)))
    prior = ms.Prior.from_nonmem(tmp_path / "run1.mod")
    assert prior.model.noise.typical == pytest.approx((0.1, 0.2))
    assert not set(prior.model.inputs) & {"BLQ", "LLOQ"}
    assert any("BLQ and LLOQ" in each for each in prior.training["published"]["remarks"])
    rows = pd.DataFrame(
        {"ID": 1, "TIME": [0.0, 1.0, 30.0], "AMT": [100.0, 0.0, 0.0], "DV": [0.0, 2.0, 0.0],
         "BLQ": [0, 0, 1], "LLOQ": 0.3}
    )  # fmt: skip
    fit = prior.calibrate(rows)
    same = ms.Prior.published(
        ms.patients.Structure(1), name="same", source="here", typical={"clearance": "4 L/h", "volume": "40 L"},
        variability={"clearance": 0.1, "volume": 0.2}, noise=ms.Combined((0.1, 0.2)),
    ).calibrate(rows)  # fmt: skip
    assert fit.adapted.coordinates[0].numpy() == pytest.approx(same.adapted.coordinates[0].numpy(), abs=1e-6)


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (f"{ABOVE}\nIF (BLQ.EQ.1) THEN\n {BELOW.replace('0.2*W', '0.4*W')}\nENDIF", "the likelihood M3"),
        (
            f"{ABOVE}\nIF (BLQ.EQ.1) THEN\n {BELOW.replace('LLOQ-IPRED', 'IPRED-LLOQ')}\nENDIF",
            "the likelihood M3",
        ),
        (f"{ABOVE}\nIF (BLQ.EQ.1.AND.WT.GT.3) THEN\n {BELOW}\nENDIF", "one condition"),
    ],
)
def test_another_probability_is_refused(said: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence):
        read(tmp_path, one(error=FLAGGED.format(said=said)))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (one(omega="BLOCK(2)\n0.1\n0.3 0.2"), r"\$OMEGA BLOCK\(2\) 0.1 0.3 0.2 is no covariance"),
        (one() + "$PROBLEM another\n", "2 .PROBLEM records"),
        (one().replace("$PK", "$INCLUDE pk.txt\n$PK"), r"\$INCLUDE is not taken"),
        (one().replace("$PK", "$AES\n$PK"), r"\$AES is not taken"),
        (one("TVCL = 1\nDO WHILE (TVCL.LT.3)\nTVCL = TVCL+1\nENDDO"), "DO WHILE is not taken"),
        (one("IF (SEX.EQ.1) THEN\nTVCL = 1"), r"\$PK: IF \(SEX.EQ.1\) THEN has no ENDIF"),
        (one("TVCL = 1\nENDIF"), "'ENDIF' closes no IF"),
        (one("IF (AMT.GT.0) TDOS = TIME\nTVCL = TDOS"), "TDOS = forward"),
    ],
)
def test_what_would_be_passed_over_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence) as caught:
        read(tmp_path, text)
    assert "run1.mod" in str(caught.value)


def test_a_first_value_of_what_changes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run1.mod"
    path.write_text(one("IF (NEWIND.NE.2) BWT = WT\nTVCL = BWT/10"))
    with pytest.raises(InputError, match="BWT is the first WT of a patient, but WT changes"):
        from_nonmem(path, changing=("WT",))


def test_ways_to_write_estimates(tmp_path: Path) -> None:
    text = one().replace("(0,4) 2", "(0,4D0)x2").replace("0.04", "4.D-2")
    occasions = (
        "IOV = 0\nIF (SEX.EQ.1) IOV = ETA(3)\nIF (SEX.EQ.2) IOV = ETA(4)\nIF (SEX.EQ.3) IOV = ETA(5)\n"
    )
    text = text.replace("TVCL = THETA(1)", f"{occasions}TVCL = THETA(2)*EXP(IOV)")
    found = read(
        tmp_path, text.replace("$SIGMA", "$OMEGA BLOCK(1) 0.03\n$OMEGA BLOCK(1) SAME(2)\n$OMEGA 9\n$SIGMA")
    )
    assert np.diag(found.variability).tolist() == [0.1, 0.2, 0.03, 0.03, 0.03]
    assert found.noise.typical == pytest.approx((0.2,))
    assert found.model.recipe["constants"] == {"THETA_1": 4.0, "THETA_2": 4.0}
    assert any(each.startswith("ETA_6: left out") for each in found.notes)
