"""Control streams of NONMEM: against NONMEM's own print, and against the package's models of the same equations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fuzz.control_streams import HEAD, INTRAVENOUS, ORAL, SATURABLE
from typer.testing import CliRunner

import metasci as ms
from metasci.cli import app
from metasci.errors import InputError
from metasci.expressions import compiled, expression_of
from metasci.fits.objective import objective_function
from metasci.noise import Additive, Combined, CombinedDeviations, PowerNoise, Proportional
from metasci.patients import Structure, compartment_model, from_nonmem, michaelis_menten
from metasci.patients.estimates import final_estimates
from metasci.patients.residual import form_of
from metasci.patients.symbols import expression_from

pytest.importorskip("pharmpy", reason="the extra `nonmem` (pharmpy) is not installed")


def stream(folder: Path, body: str, columns: str = "", name: str = "run1.mod") -> Path:
    path = folder / name
    path.write_text(HEAD.format(columns=columns) + body)
    return path


@pytest.fixture(scope="module")
def phenobarbital() -> tuple[ms.Prior, pd.DataFrame, Path]:
    """The example that pharmpy carries, with NONMEM's output beside it."""
    import pharmpy.internals

    folder = Path(pharmpy.internals.__file__).parent / "example_models"
    frame = pd.read_csv(folder / "pheno.dta", sep=r"\s+")
    frame.attrs["units"] = {"WGT": "kg"}
    return ms.Prior.from_nonmem(folder / "pheno.mod"), frame, folder


def test_etas_and_objective_are_those_nonmem_prints(
    phenobarbital: tuple[ms.Prior, pd.DataFrame, Path],
) -> None:
    prior, frame, folder = phenobarbital
    assert prior.training["published"]["source"] == "pheno.mod, final estimates, objective 586.276056"
    fit = prior.calibrate(frame)
    printed = pd.read_csv(folder / "pheno.phi", sep=r"\s+", skiprows=1)
    etas = prior.model.parameters.to_physical(fit.adapted.coordinates.numpy())
    # six digits are printed of estimates and etas
    for name, column in (("ETA_CL", "ETA(1)"), ("ETA_VC", "ETA(2)")):
        assert etas[name] == pytest.approx(printed[column].to_numpy(), abs=1e-6)
    assert objective_function(fit).sum() == pytest.approx(586.27605628520962, abs=5e-8)


def test_an_imported_prior_needs_neither_pharmpy_nor_the_control_stream_again(
    phenobarbital: tuple[ms.Prior, pd.DataFrame, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prior, frame, _ = phenobarbital
    before = prior.calibrate(frame).adapted.coordinates
    prior.save(tmp_path / "pheno")
    for name in ("pharmpy", "pharmpy.model", "sympy"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    again = ms.load(tmp_path / "pheno")
    assert torch.equal(again.calibrate(frame).adapted.coordinates, before)
    own = again.calibrate(frame).to_json()
    assert "CL" in json.dumps(own)


def test_the_command_line_imports_and_calibrates(tmp_path: Path) -> None:
    path = stream(tmp_path, INTRAVENOUS.format(pk="S1 = V", error="Y = F + F*EPS(1) + EPS(2)"))
    out = tmp_path / "mine"
    run = CliRunner().invoke(app, ["import", str(path), "-o", str(out)])
    assert run.exit_code == 0, run.output
    assert "initial" in run.output
    assert (out / "run1.mod").read_text() == path.read_text()
    csv = tmp_path / "one.csv"
    csv.write_text("ID,TIME,AMT,DV\n1,0,100,.\n1,4,0,1.5\n1,12,0,0.4\n")
    told = CliRunner().invoke(app, ["calibrate", str(out), str(csv)])
    assert told.exit_code == 0, told.output
    assert "CL" in told.output
    assert isinstance(CliRunner().invoke(app, ["import", str(path), "-o", str(out)]).exception, InputError)


def at(model: ms.Model, frame: pd.DataFrame, values: dict[str, float]) -> np.ndarray:
    """Predictions at the measurements of the only patient."""
    inputs = ms.TaskSet.from_events(frame, model).batch(model).inputs
    given = {
        each.name: torch.full((1, 1), values.get(each.name, each.typical), dtype=torch.float64)
        for each in model.parameters
    }
    return model(inputs, given)[0].numpy()


TIMES = np.array([0.5, 1.0, 3.0, 7.9, 12.1, 19.0, 30.0])


def events(doses: list[dict[str, float]], **columns: float) -> pd.DataFrame:
    rows = [{"EVID": 1, **dose} for dose in doses] + [{"EVID": 0, "DV": 1.0, "TIME": time} for time in TIMES]
    frame = pd.DataFrame(sorted(rows, key=lambda row: (row["TIME"], row["EVID"] == 0))).fillna(0.0)
    return frame.assign(ID=1, **columns)


@pytest.mark.parametrize("changing", [(), ("OCC",)])
def test_two_compartments_with_covariates_lag_and_occasions(
    changing: tuple[str, ...], tmp_path: Path
) -> None:
    read = from_nonmem(stream(tmp_path, ORAL, "WT OCC SEX"), changing=changing)
    assert isinstance(read.noise, Combined)
    assert read.noise.typical == pytest.approx((0.2, 0.1))
    assert read.variability.loc["ETA_1", "ETA_2"] == 0.03
    tied = {each.name: each.tied for each in read.model.parameters}
    assert tied["ETA_4"] == tied["ETA_5"] != ""  # one quantity, on two occasions
    assert not any(tied[f"ETA_{number}"] for number in (1, 2, 3))
    frame = events([{"TIME": 0, "AMT": 100}, {"TIME": 12, "AMT": 100}], WT=50.0, OCC=1.0, SEX=2.0)
    if changing:
        frame["OCC"] = np.where(frame["TIME"] < 12.0, 1.0, 2.0)
    etas = {"ETA_1": 0.2, "ETA_2": -0.3, "ETA_3": 0.4, "ETA_4": 0.1, "ETA_5": -0.15}
    found = at(read.model, frame, etas)
    same = compartment_model(
        Structure(2, "first-order", lag=True),
        name="test_oral",
        effects={
            "clearance": [ms.patients.Occasion(parameter="clearance", count=2)]
            if changing
            else [ms.patients.Power("OCC", "1", 1.0, 0.0)]
        },
    )
    clearance = 5.0 * 0.8 * (50 / 70) ** 0.75 * np.exp(0.2 if changing else 0.3)
    values = {
        "clearance": clearance, "central_volume": 30 * 50 / 70 * np.exp(-0.3), "exchange_clearance": 8.0,
        "peripheral_volume": 50.0, "absorption_rate": 1.2 * np.exp(0.4), "lag": 0.3,
        "clearance_occasion_1": 0.1, "clearance_occasion_2": -0.15,
    }  # fmt: skip
    frame = frame.drop(columns=["WT", "SEX"]).rename(columns={"OCC": "occasion"} if changing else {})
    assert found == pytest.approx(at(same, frame, values), rel=1e-10)


def test_a_differential_equation_and_the_logarithm_of_a_level(tmp_path: Path) -> None:
    read = from_nonmem(stream(tmp_path, SATURABLE))
    assert read.noise == Additive((0.2,))
    assert read.model.output.unit == "1"
    assert any("logarithm" in note for note in read.notes)
    frame = events([{"TIME": 0, "AMT": 500}, {"TIME": 12, "AMT": 400, "RATE": 200}])
    found = at(read.model, frame, {"ETA_1": 0.3, "ETA_2": -0.1})
    values = {
        "maximum_rate": 17 * np.exp(0.3), "michaelis_constant": 4.0, "volume": 45 * np.exp(-0.1)
    }  # fmt: skip
    assert found == pytest.approx(np.log(at(michaelis_menten, frame, values)), abs=1e-7)


@pytest.mark.parametrize(
    ("error", "noise"),
    [
        ("Y = F*EXP(EPS(1))", Proportional((0.02**0.5,))),
        ("Y = F + EPS(1)", Additive((0.02**0.5,))),
        ("Y = F + F*EPS(1) + EPS(2)", Combined((0.1, 0.02**0.5))),
        ("W = THETA(3)*F\nY = F + W*EPS(1)", Proportional((0.3 * 0.02**0.5,))),
        ("W = 1 + THETA(3)*F\nY = F + W*EPS(2)", CombinedDeviations((0.1, 0.03))),
        ("Y = F + F**0.7*EPS(2)", PowerNoise((0.1, 0.7))),
        ("IPRED = A(1)/V\nIF (IPRED.EQ.0) THEN\nP = 1E-9\nELSE\nP = IPRED\nENDIF\nY = IPRED + P*EPS(1)",
         Proportional((0.02**0.5,))),
        # what is said of the rows of doses, on which nothing is measured
        ("FLAG = 0\nIF (AMT.NE.0) FLAG = 1\nIPRED = LOG(F + FLAG)\nY = IPRED + EPS(1)", Additive((0.02**0.5,))),
    ],
)  # fmt: skip
def test_the_usual_forms_of_residual_error(error: str, noise: ms.Noise, tmp_path: Path) -> None:
    read = from_nonmem(stream(tmp_path, INTRAVENOUS.format(pk="S1 = V", error=error)))
    assert type(read.noise) is type(noise)
    assert read.noise.typical == pytest.approx(noise.typical)


@pytest.mark.parametrize(
    ("pk", "error", "columns", "sentence"),
    [
        ("S1 = V", "Y = F + F*EPS(1)*EXP(ETA(1))", "", "none of the usual forms"),
        ("S1 = V\nIF (NEWIND.NE.2) X = 1\nALAG1 = X", "Y = F + EPS(1)", "", "newind is not taken"),
        ("S1 = V", "IF (FLAG.EQ.0) THEN\nY = F + EPS(1)\nELSE\nY = F + F*EPS(2)\nENDIF", "FLAG", "as 0, 1; number"),
        ("S1 = V", "IF (CMT.EQ.3) THEN\nY = F + EPS(1)\nELSE\nY = F + F*EPS(2)\nENDIF", "CMT", "CMT 3 is no comp"),
        ("S1 = V*TANH(THETA(3))", "Y = F + EPS(1)", "", r"cannot read 'S1 = V\*TANH\(THETA\(3\)\)' in .PK"),
        ('S1 = V\n" WRITE(*,*) CL', "Y = F + EPS(1)", "", "verbatim"),
    ],
)  # fmt: skip
def test_what_is_not_taken_is_named_in_a_sentence(
    pk: str, error: str, columns: str, sentence: str, tmp_path: Path
) -> None:
    path = stream(tmp_path, INTRAVENOUS.format(pk=pk, error=error), columns)
    with pytest.raises(InputError, match=sentence) as caught:
        from_nonmem(path)
    assert "\n" not in str(caught.value)
    assert "run1.mod" in str(caught.value)


def test_a_duration_that_is_modelled(tmp_path: Path) -> None:
    body = INTRAVENOUS.format(pk="S1 = V\nD1 = THETA(3)*10", error="Y = F + EPS(1)")
    read = from_nonmem(stream(tmp_path, body))
    assert at(read.model, events([{"TIME": 0, "AMT": 100, "RATE": -2}]), {}) == pytest.approx(
        at(compartment_model(Structure(1), name="test_infusion"),
           events([{"TIME": 0, "AMT": 100, "RATE": 100 / 3}]), {"clearance": 5.0, "volume": 40.0}), rel=1e-12
    )  # fmt: skip


def test_rates_that_trans_asks_for_and_pk_lacks_are_named(tmp_path: Path) -> None:
    text = "$SUBROUTINES ADVAN4\n$PK\nCL = THETA(1)*EXP(ETA(1))\nV2 = THETA(2)*EXP(ETA(2))\nQ = 2\nV3 = 9\nKA = 1\n"
    path = stream(tmp_path, text + "$ERROR\nY = F + EPS(1)\n$THETA 5 40\n$OMEGA 0.1 0.1\n$SIGMA 0.02\n")
    with pytest.raises(InputError, match=r"\$SUBROUTINES .* takes K, which \$PK does not compute"):
        from_nonmem(path)


def test_a_mixture_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    path = stream(tmp_path, "$MIX\nNSPOP = 2\n")
    with pytest.raises(InputError, match=r"\$MIX is not taken \(a mixture of populations\)"):
        from_nonmem(path)


def test_final_estimates_are_those_of_their_row_and_no_other(tmp_path: Path) -> None:
    rows = [
        "0 4.0 0.3 20.0",
        "-1000000000 5.0 0.2 12.5",
        "-1000000001 0.5 0.02 0.0",
        "1000000000 9.0 0.9 90.0",
    ]
    table = " ITERATION THETA1 OMEGA(1,1) OBJ\n" + "".join(f" {row}\n" for row in rows)
    (tmp_path / "run.ext").write_text(f"TABLE NO. 1\n{table}")
    found = final_estimates(tmp_path / "run.mod", 1, 1, 0)
    assert found is not None
    assert (found.fixed, found.between.tolist(), found.objective) == ([5.0], [[0.2]], 12.5)


def test_final_estimates_of_another_run_are_refused(tmp_path: Path) -> None:
    path = stream(tmp_path, INTRAVENOUS.format(pk="S1 = V", error="Y = F + EPS(1)"))
    path.with_suffix(".ext").write_text("TABLE NO. 1\n ITERATION THETA1 OBJ\n -1000000000 5.0 12.5\n")
    with pytest.raises(InputError, match="no final estimate of THETA2"):
        from_nonmem(path)


def test_forms_that_are_none_are_not_taken_for_one() -> None:
    level = np.geomspace(0.1, 50.0, 20)
    assert form_of(level, 0.01 + 0.04 * level**3) is None
    assert form_of(level, np.where(level > 3.0, 1.0, 2.0)) is None


def test_conditions_that_are_settled_are_as_numbers_have_them() -> None:
    import sympy

    for truth, expected in ((sympy.true, 2.0), (sympy.false, 3.0)):
        condition = expression_from(truth, "here")
        assert compiled(("where", condition, 2.0, 3.0))({}) == expected


def test_a_formula_with_an_unknown_operation_is_refused() -> None:
    assert compiled(expression_of(["pow", "x", 0.5]))({"x": 4.0}) == 2.0
    with pytest.raises(InputError, match="'system' is not known"):
        expression_of(["system", "rm"], "prior.json")
    slope = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    value = compiled(("where", ("gt", "x", 0.0), ("log", "x"), -5.0))({"x": slope})
    assert torch.autograd.grad(value.sum(), slope)[0].item() == 0.0


@pytest.mark.parametrize(
    "text",
    [
        "$subs advan1,trans2 tol=6\n$pk\n\tcl = theta(1)*exp(eta(1)) ; Clearance\n\tv = theta(2)*exp(eta(2))\n"
        "\ts1 = v\n"
        "$err\n\ty = f*(1 + eps(1))\n$thet (0,5,10)\n$thet 40 fix\n$omeg 0.09 0.04\n$sigm 0.01\n",
        "$ABBR REPLACE THETA(CL)=THETA(1)\n$ABBR REPLACE ETA(CL)=ETA(1)\n$SUBROUTINES ADVAN1 TRANS2\n$PK\n"
        "CL = THETA(CL)*EXP(ETA(CL))\nV = THETA(2)*EXP(ETA(2))\nS1 = V\n$ERROR\nY = F*(1 + EPS(1))\n"
        "$THETA 5 40\n$OMEGA 0.09 0.04\n$SIGMA 0.01\n",
    ],
)  # fmt: skip
def test_what_nm_tran_takes_besides_capitals_and_numbers(text: str, tmp_path: Path) -> None:
    read = from_nonmem(stream(tmp_path, text))
    assert read.noise == Proportional((0.1,))
    assert np.diag(read.variability).tolist() == [0.09, 0.04]
    assert [name.endswith("CL") for name in read.variability] == [text.startswith("$ABBR"), False]
    frame = events([{"TIME": 0, "AMT": 100}, {"TIME": 12, "AMT": 80}])
    clearance, volume = 5 * np.exp(0.2), 40 * np.exp(-0.1)
    since = np.stack([TIMES, TIMES - 12.0])
    each = np.where(since >= 0.0, np.exp(-clearance / volume * since), 0.0)
    expected = np.array([100.0, 80.0]) @ each / volume
    etas = dict(zip(read.variability, (0.2, -0.1), strict=True))
    assert at(read.model, frame, etas) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("advan", "pk", "exponents", "rates"),
    [
        ("ADVAN3 TRANS5", "AOB=THETA(1)*EXP(ETA(1))", (1.5, 0.1), None),
        ("ADVAN3 TRANS6", "K21=0.6*EXP(ETA(1))", (1.5, 0.1), (0.6,)),
        ("ADVAN11 TRANS6", "K21=0.6*EXP(ETA(1))\nK31=0.05\nGAMMA=0.02", (1.5, 0.1, 0.02), (0.6, 0.05)),
        ("ADVAN4 TRANS6", "K32=0.6*EXP(ETA(1))\nKA=0.9", (1.5, 0.1), (0.6,)),
    ],
)
def test_rates_by_exponents_give_the_curve_of_these_exponents(
    advan: str, pk: str, exponents: tuple[float, ...], rates: tuple[float, ...] | None, tmp_path: Path
) -> None:
    oral = advan.startswith("ADVAN4")
    body = f"$SUBROUTINES {advan}\n$PK\n{pk}\nALPHA=1.5\nBETA=0.1\nS{1 + oral}=40\n"
    rest = "$ERROR\nY=F+EPS(1)\n$THETA 2\n$OMEGA 0.09\n$SIGMA 0.01\n"
    read = from_nonmem(stream(tmp_path, body + rest))
    frame = events([{"TIME": 0, "AMT": 100}])
    found = at(read.model, frame, {"ETA_1": 0.1})
    if rates is None:  # the ratio of the two terms
        ratio = 2 * np.exp(0.1)
        shares = np.array([ratio, 1.0]) / (ratio + 1.0)
    else:
        back = np.array([rates[0] * np.exp(0.1), *rates[1:]])
        shares = np.array(
            [
                np.prod(back - own) / np.prod([other - own for other in exponents if other != own])
                for own in exponents
            ]
        )
    terms = np.exp(-np.multiply.outer(np.array(exponents), TIMES))
    if oral:
        away = np.array(exponents)[:, None]
        terms = 0.9 / (0.9 - away) * (terms - np.exp(-0.9 * TIMES))
    assert found == pytest.approx(100.0 / 40.0 * shares @ terms, rel=1e-8)
