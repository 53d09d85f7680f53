"""What the command line can be asked beside calibrating: what a prior is for, a file to fill in, forecasts."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

import metasci as ms
from metasci import cli
from metasci.dosing import loading_and_maintenance

PATIENT = "time [h],dose [mg/kg],weight [kg],concentration [mg/L]\n1,4.02,79.6,6.6\n5,4.02,79.6,8.4\n9,4.02,79.6,6.9\n"
STEEL = "time [h],temperature [degC],hardness [HRC]\n1,200,55.5\n1,400,46.5\n1,600,33.0\n"
INFANT = "ID,TIME [h],AMT [mg],DV [mg/L],weight [kg]\nann,0,30,,1.5\nann,1.5,,18,1.5\n"
OWN = '''
import metasci as ms
from metasci.math import log


@ms.equation(name="fatigue.basquin", inputs={"amplitude": "MPa"}, output=("log_life", "1"), parameters=[
    ms.Parameter("strength", "MPa", 900.0, positive=True, spread=0.3),
    ms.Parameter("exponent", "1", 0.1, bounds=(0.02, 0.4), spread=0.4),
], noise=ms.Additive((0.2,)))
def basquin(amplitude, *, strength, exponent):
    """Life at a stress amplitude, S = S_f (2N)^-b. Source: Basquin, Proc ASTM 10 (1910) 625."""
    return log(strength / amplitude) / exponent / log(10.0)
'''
CARD = """
name = "coupons"
title = "Fatigue of coupons, simulated"
simulated = true
file = "data.csv"
task = ["heat"]
[columns.heat]
role = "task"
[columns.amplitude]
role = "input"
unit = "MPa"
[columns.log_life]
role = "output"
unit = "1"
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run the command line in this process, in a folder with a few files."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("ann.csv", PATIENT), ("steel.csv", STEEL), ("infant.csv", INFANT), ("laws.py", OWN)):
        (tmp_path / name).write_text(text)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["metasci", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def test_the_version(run: Run) -> None:
    assert run("--version") == (0, f"metasci {ms.__version__}\n", "")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_keeps_the_units_in_brackets(run: Run, flag: str) -> None:
    status, out, _ = run("calibrate", flag)
    assert status == 0
    assert "'time [h]'" in " ".join(out.split())


def test_every_command_says_in_a_whole_sentence_what_it_does(run: Run) -> None:
    _, out, _ = run("-h")
    lines = out[out.index("Commands:") :].splitlines()[1:]
    assert {line.split()[0] for line in lines} >= {
        "info",
        "template",
        "predict",
        "plot",
        "recommend",
        "furnace",
    }
    assert [line for line in lines if not line.endswith(".") or line.endswith("...")] == []


def test_list_says_what_each_prior_is_of(run: Run) -> None:
    _, out, _ = run("list")
    assert "theophylline       Theophylline by mouth, 12 patients" in out


@pytest.mark.parametrize("name", ["steel_tempering", "steel-tempering", "Steel_Tempering"])
def test_a_prior_is_found_under_one_spelling_or_the_other(run: Run, name: str) -> None:
    status, out, _ = run("info", name)
    assert status == 0
    for part in ("kinetics.tempering_rockwell", "temperature [degC]", "optional", "CARD.md", "MIT"):
        assert part in out


def test_info_of_patients_names_the_columns_of_events(run: Run) -> None:
    described = json.loads(run("info", "phenobarbital", "--json")[1])
    columns = {column["column"]: column["needed"] for column in described["columns"]}
    assert {"TIME [h]", "AMT [mg]", "DV [mg/L]", "weight [kg]"} <= set(columns)
    assert columns["weight [kg]"]
    assert len(columns) == len(described["columns"]), "no column is named twice"
    assert described["noise"] == "Additive, sd 2.78"


def test_info_tells_two_priors_of_the_same_data_apart(run: Run) -> None:
    assert "noise: Additive, sd 0.682\n" in run("info", "theophylline")[1]
    assert (
        "noise: EarlyAdditive, sd 0.213, early 6.39, over 2.19\n"
        in run("info", "theophylline_early_noise")[1]
    )


def test_info_of_a_model_and_of_data(run: Run) -> None:
    assert "Avrami exponent" in run("info", "kinetics.avrami")[1]
    assert "beware" in run("info", "indomethacin")[1]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (("info", "theophyline"), "(did you mean 'theophylline'?)"),
        (("calibrate", "fenobarbital", "ann.csv"), "(did you mean 'phenobarbital'?)"),
        (("train", "kinetics.temperring", "theophylline", "-o", "x"), "(did you mean 'kinetics.tempering'?)"),
        (("evaluate", "theophylline", "theophiline"), "(did you mean 'theophylline'?)"),
    ],
)
def test_a_slip_is_met_with_the_name_that_was_meant(run: Run, call: tuple[str, ...], sentence: str) -> None:
    status, out, err = run(*call)
    assert (status, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_a_filled_template_is_calibrated(run: Run, tmp_path: Path) -> None:
    status, out, _ = run("template", "theophylline")
    assert (status, out) == (0, "time [h],dose [mg/kg],concentration [mg/L],weight [kg]\n")
    (tmp_path / "filled.csv").write_text(out + "1,4.02,6.6,79.6\n5,4.02,8.4,79.6\n9,4.02,6.9,79.6\n")
    filled = json.loads(run("calibrate", "theophylline", "filled.csv", "--json")[1])["parameters"]
    known = json.loads(run("calibrate", "theophylline", "ann.csv", "--json")[1])["parameters"]
    assert [row["estimate"] for row in filled] == [row["estimate"] for row in known]
    assert run("template", "theophylline", "-o", "ann.csv")[0] == 2, "what is there is not written over"


def test_standard_input_is_a_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    known = json.loads(run("calibrate", "theophylline", "ann.csv", "--json")[1])["parameters"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PATIENT.encode())))
    piped = json.loads(run("calibrate", "theophylline", "-", "--json")[1])["parameters"]
    assert [row["estimate"] for row in piped] == [row["estimate"] for row in known]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(PATIENT.replace("[h]", "[kg]").encode())))
    status, _, err = run("calibrate", "theophylline", "-")
    assert status == 2
    assert err.startswith("metasci: standard input, column 'time [kg]'")


def test_predictions_are_those_of_python_in_the_units_asked_for(run: Run, tmp_path: Path) -> None:
    call = ("predict", "steel_tempering", "steel.csv", "--at", "time=2 h", "--at", "temperature=200,400 degC")
    said = json.loads(run(*call, "--json")[1])
    assert [(row["time"], row["temperature"]) for row in said["predictions"]] == [
        (pytest.approx(2.0), pytest.approx(200.0)), (pytest.approx(2.0), pytest.approx(400.0))
    ]  # fmt: skip
    fit = ms.load("steel_tempering").calibrate(tmp_path / "steel.csv")
    known = fit.predict(time="2 h", temperature=[200, 400] * ms.unit("degC"))
    assert [row["median"] for row in said["predictions"]] == known["median"].values[0].tolist()
    run(*call, "-o", "out/table.csv")
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert {"median [HRC]", "time [h]"} <= set(table.columns)
    assert said["warnings"] == fit.warnings
    far = ("predict", "steel_tempering", "steel.csv", "--at", "time=2 h", "--at", "temperature=200,900 degC")
    for line in (*fit.warnings, "temperature 900 °C lies outside the range that the prior was learned from"):
        assert f"warning: {line}" in run(*far)[2]
    assert "outside" not in run(*call)[2].replace("lies outside the range of the tasks", "")
    status, _, err = run("predict", "steel_tempering", "steel.csv", "--at", "time 2 h")
    assert status == 2
    assert "'time 2 h' is no condition" in err


def test_where_nothing_is_measured_the_prior_says_what_it_knows(run: Run, tmp_path: Path) -> None:
    head = "task,time [h],temperature [degC],carbon [percent],hardness [HRC]\n"
    (tmp_path / "new.csv").write_text(head + "new,1,400,0.4,\nnew,2,500,0.4,\n")
    call = ("predict", "steel_tempering", "new.csv", "--at", "time=1 h", "--at", "temperature=400 degC")
    row = json.loads(run(*call, "--json")[1])["predictions"][0]
    typical = ms.load("steel_tempering").typical(carbon="0.4 %")
    known = typical.predict(time="1 h", temperature=400 * ms.unit("degC"))
    assert row["median"] == pytest.approx(float(known["median"][0, 0]), rel=1e-9)
    assert row["lower"] == pytest.approx(float(known["lower"][0, 0]), rel=1e-9)
    assert "nothing was measured" in run("calibrate", "steel_tempering", "new.csv")[1]
    (tmp_path / "some.csv").write_text(head + "new,1,400,0.4,\nnew,2,500,0.4,45\n")
    status, _, err = run("calibrate", "steel_tempering", "some.csv")
    assert (status, "row 2: the cell is empty" in err) == (2, True)
    status, _, err = run("train", "kinetics.tempering_rockwell", "new.csv", "-o", "learned")
    assert (status, (tmp_path / "learned").exists()) == (2, False)

    classes = "task,electrons,phase\nmine,8.2,\n"
    (tmp_path / "alloy.csv").write_text(classes)
    said = run("predict", "alloy_phases", "alloy.csv", "--at", "electrons=7.5", "--json")[1]
    shares = json.loads(said)["predictions"][0]
    assert sum(shares[f"probability_{name}"] for name in ("FCC", "BCC", "other")) == pytest.approx(1.0)


def test_saved_tables_are_in_the_units_of_the_file_and_are_read_again(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(
        "time/min;Temperature [degF];hardness [HRC];C [wt%]\n60;392;55,5;0,4\n60;752;46,5;0,4\n60;1112;33;0,4\n"
    )
    assert run("calibrate", "steel_tempering", "mine.csv", "-o", "result")[0] == 0
    table = pd.read_csv(tmp_path / "result" / "predictions.csv")
    assert table["time [min]"].tolist() == [60, 60, 60]
    assert table["temperature [degF]"].tolist() == [392, 752, 1112]
    assert table["carbon [wt%]"].tolist() == [0.4, 0.4, 0.4]
    assert {"hardness [HRC]", "predicted_lower [HRC]", "prior [HRC]"} <= set(table.columns)
    first, again = (
        json.loads(run("calibrate", "steel_tempering", file, "--json")[1])["parameters"]
        for file in ("mine.csv", "result/predictions.csv")
    )
    for row, same in zip(first, again, strict=True):
        assert same["estimate"] == pytest.approx(row["estimate"], rel=1e-9)


def test_a_picture(run: Run, tmp_path: Path) -> None:
    assert run("plot", "theophylline", "ann.csv", "-o", "curve.svg")[0] == 0
    assert "<svg" in (tmp_path / "curve.svg").read_text(encoding="utf-8")
    assert run("plot", "theophylline", "ann.csv", "-o", "curve.docx")[0] == 2


def test_the_next_dose_is_that_of_python(run: Run, tmp_path: Path) -> None:
    said = json.loads(
        run("recommend", "phenobarbital", "infant.csv", "--target", "trough", "--low", "15", "--high", "30",
            "--doses", "3,5,7 mg", "--intervals", "12,24 h", "--json")[1]
    )  # fmt: skip
    fit = ms.load("phenobarbital").calibrate(tmp_path / "infant.csv")
    best = ms.recommend(
        fit, ms.Target("trough", 15.0, 30.0), doses=["3 mg", "5 mg", "7 mg"], intervals=["12 h", "24 h"]
    )
    assert said["words"] == best.words
    assert len(said["table"]) == 6


def test_a_dose_is_solved_for_beside_the_sizes_that_can_be_given(run: Run, tmp_path: Path) -> None:
    asked = ["recommend", "phenobarbital", "infant.csv", "--target", "auc", "--low", "400", "--high", "600"]
    asked += ["--per", "24", "--intervals", "12,24 h", "--number", "4", "--start", "60 h"]
    _, out, _ = run(*asked, "--solve", "--loading", "--doses", "3,5,7 mg")
    fit = ms.load("phenobarbital").calibrate(tmp_path / "infant.csv")
    told = {"number": 4, "start": "60 h"}
    goal = ms.Target("auc", 400.0, 600.0, per=24.0)
    for gap in ("12 h", "24 h"):
        for each in loading_and_maintenance(fit, goal, interval=gap, sizes=["3 mg", "5 mg", "7 mg"], **told):
            assert each.words in out
    best = ms.recommend(fit, goal, doses=["3 mg", "5 mg", "7 mg"], intervals=["12 h", "24 h"], **told)
    assert f"of the sizes that can be given: {best.words}" in out
    assert "median [mg/L*h per 24 h]" in out
    assert all("per 24 h" in line for line in out.splitlines() if "area under the curve" in line)
    for more, sentence in (
        ([], "--solve"), (["--doses", "3 mg", "--loading"], "--loading goes with --solve"),
        (["--solve", "--doses", "3 mg", "--multiple", "1 mg"], "not by both"),
    ):  # fmt: skip
        status, _, error = run(*asked, *more)
        assert status == 2
        assert sentence in error


def test_a_furnace_time_is_that_of_python(run: Run, tmp_path: Path) -> None:
    said = json.loads(
        run(
            "furnace",
            "steel_tempering",
            "steel.csv",
            "--temperature",
            "550 degC",
            "--at-most",
            "40 HRC",
            "--json",
        )[1]
    )
    fit = ms.load("steel_tempering").calibrate(tmp_path / "steel.csv")
    assert said["words"] == ms.heat_treatment.furnace_time(fit, "550 degC", at_most="40 HRC").words
    assert run("furnace", "steel_tempering", "steel.csv", "--temperature", "550 degC")[0] == 2


def test_a_map_is_that_of_python_and_says_where_it_ends(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metasci.report import tempering_map
    from metasci.report.style import save_figure

    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")  # pictures tell when they were drawn
    spans = ("--times", "0.1,10 h", "--temperatures", "300,700 degC")
    status, out, _ = run("map", "steel_tempering", "steel.csv", "-o", "map.svg", *spans)
    assert status == 0
    assert out == "written to map.svg; hatched: outside of 20 to 68 HRC\n"
    fit = ms.load("steel_tempering").calibrate(tmp_path / "steel.csv")
    figure = tempering_map(fit, shortest=360.0, longest=36000.0, temperatures=(573.15, 973.15))
    save_figure(figure, tmp_path / "python.svg", dpi=200)
    assert (tmp_path / "map.svg").read_text() == (tmp_path / "python.svg").read_text()


def test_a_map_of_a_composition_needs_no_readings(run: Run) -> None:
    status, out, error = run(
        "map", "steel-tempering", "--composition", "C=0.4,Mn=0.8,tungsten=1", "--temperatures", "650,850 degC"
    )
    assert status == 0
    assert "above Ac1" in out
    assert "knows nothing of tungsten" in error
    assert "nothing was measured" in error
    assert Path("map.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["steel_tempering"], "give either a file with measurements or --composition"),
        (["steel_tempering", "steel.csv", "--composition", "C=1"], "give either"),
        (["steel_tempering", "steel.csv", "--times", "10,1 h"], "does not lie below"),
        (["steel_tempering", "steel.csv", "--times", "10 h"], "--times takes two numbers and their unit"),
        (["steel_tempering", "steel.csv", "--temperatures", "1,2"], "--temperatures takes two numbers"),
        (
            ["steel_tempering", "steel.csv", "--times", "1,100 K"],
            "--times: 'kelvin' cannot be converted to 's'",
        ),
        (["steel_tempering", "steel.csv", "--temperatures", "1,100 h"], "'hour' cannot be converted to 'K'"),
        (["steel_tempering", "steel.csv", "--times", "0,100 h"], "shortest (0) must be above zero"),
        (["steel_tempering", "steel.csv", "--task", "other"], "there is no task 'other'; say one of steel"),
        (["steel_tempering", "steel.csv", "-o", "map.doc"], "ends in .png, .svg or .pdf"),
        (["steel_tempering", "--composition", "W=1"], "knows none of what 'W=1' tells"),
        (["theophylline", "ann.csv"], "needs these two inputs"),
        (["alloy_strength", "--composition", "C=1"], "which 'alloy_strength' is not"),
    ],
)
def test_a_map_that_cannot_be_drawn_says_why(run: Run, arguments: list[str], sentence: str) -> None:
    status, out, error = run("map", *arguments)
    assert status == 2
    assert sentence in error
    assert len(error.strip().splitlines()) == 1
    assert not out
    assert not Path("map.png").exists()


def coupons(folder: Path) -> None:
    """Simulated fatigue tests of six heats, from Basquin's law."""
    (folder / "dataset.toml").write_text(CARD)
    rows = ["heat,amplitude,log_life"]
    for number in range(6):
        strength, exponent = 850.0 + 25.0 * number, 0.09 + 0.004 * number
        for amplitude in (300.0, 350.0, 400.0, 500.0):
            life = math.log10(strength / amplitude) / exponent
            rows.append(f"heat {number},{amplitude:g},{life + 0.05 * (-1) ** number:.3f}")
    (folder / "data.csv").write_text("\n".join(rows) + "\n")


def test_an_own_equation_is_trained_used_and_judged(run: Run, tmp_path: Path) -> None:
    (tmp_path / "coupons").mkdir()
    coupons(tmp_path / "coupons")
    assert run("train", "laws.py:basquin", "coupons", "-o", "prior")[0] == 0
    (tmp_path / "new.csv").write_text("amplitude [MPa],log_life\n400,3.6\n")
    status, out, err = run("calibrate", "prior", "new.csv", "--model", "laws.py:basquin", "--json")
    assert (status, err) == (0, "")
    assert [row["name"] for row in json.loads(out)["parameters"]] == ["strength", "exponent"]
    status, out, _ = run(
        "evaluate", "laws.py:basquin", "coupons", "--shots", "1", "--leave-out", "heat", "--json"
    )
    assert status == 0
    assert json.loads(out)["tasks"] == 6


def test_a_prior_named_where_a_model_is_asked_for_is_told_with_its_model(run: Run) -> None:
    status, _, err = run("train", "boiling_point_solvation", "boiling_points", "-o", "prior")
    assert status != 0
    assert "is a learned prior" in err
    assert "'materials.boiling_point'" in err


def test_a_table_without_a_card_trains_by_the_columns_of_the_model(run: Run, tmp_path: Path) -> None:
    """The same coupons, their heats in a column `task`: the same prior as with a card."""
    (tmp_path / "coupons").mkdir()
    coupons(tmp_path / "coupons")
    table = pd.read_csv(tmp_path / "coupons" / "data.csv").rename(
        columns={"heat": "task", "amplitude": "amplitude [MPa]"}
    )
    table.to_csv(tmp_path / "sn.csv", index=False)
    for data, out in (("coupons", "first"), ("sn.csv", "second")):
        assert run("train", "laws.py:basquin", data, "-o", out)[0] == 0
    model = cli.arguments.own_equation(str(tmp_path / "laws.py") + ":basquin")
    first, second = (
        ms.load(tmp_path / name, model=model).typical().parameters for name in ("first", "second")
    )
    assert second["estimate"].tolist() == first["estimate"].tolist()
    assert (
        run("evaluate", "laws.py:basquin", "sn.csv", "--shots", "1", "--leave-out", "task", "--json")[0] == 0
    )


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ("laws.py", "FILE.py:NAME"),
        ("absent.py:basquin", "there is no file 'absent.py'"),
        ("laws.py:paris", "laws.py has no model 'paris'; its models are basquin"),
        ("broken.py:law", "broken.py: running it failed with ZeroDivisionError"),
    ],
)
def test_an_own_equation_that_cannot_be_read_is_named(
    run: Run, tmp_path: Path, place: str, sentence: str
) -> None:
    (tmp_path / "broken.py").write_text("law = 1 / 0\n")
    status, out, err = run("calibrate", "theophylline", "ann.csv", "--model", place)
    assert (status, out) == (2, "")
    assert sentence in err


def test_a_reader_that_leaves_early_ends_the_program_quietly(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "metasci", "list"]
    ended = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")


def test_a_poor_code_page_is_no_reason_to_fail(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "metasci", "info", "steel_tempering"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_errors_of_a_second_process_are_said_with_its_number(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setenv("RANK", "1")
    assert "no learned prior" in run("calibrate", "magic", "ann.csv")[2]
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run("calibrate", "magic", "ann.csv")[2].startswith(
        "metasci, process 1 of 2: there is no learned prior"
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["study", "hospitls"], "warfarin (did you mean 'hospitals'?)."),
        (["evaluate", "theophylline", "theophylline", "--seeds", "0"], "0 is too small; the least is 1."),
        (["evaluate", "theophylline", "theophylline", "--seeds", "x"], "'x' is not a whole number."),
        (["evaluate", "theophylline", "theophylline", "--support", "frist"],
         "'frist' is not one of 'first', 'random' (did you mean 'first'?)."),
        (["train", "x", "y", "--out", "z", "--penalty", "much"], "'much' is not a number."),
        (["train", "x", "y", "--out", "z", "--method", "gausian"], "(did you mean 'gaussian'?)."),
        (["calibrate", "theophylline", "ann.csv", "--level", "2"], "2 is too large; the most is 1."),
    ],
    ids=lambda each: each[-1] if isinstance(each, list) else "",
)  # fmt: skip
def test_a_wrong_option_is_told_in_our_own_words(run: Run, arguments: list[str], sentence: str) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert err.splitlines()[-1].endswith(sentence)
    assert "Value error" not in err
    assert "Input should" not in err


def test_both_spellings_of_a_study_and_a_method_work(run: Run) -> None:
    Path("taken").touch()
    for command in (
        ("study", "high_entropy_alloys"),
        ("study", "high-entropy-alloys"),
        ("train", "kinetics.tempering", "steel_tempering", "--method", "Meta_SGD"),
    ):
        status, _, err = run(*command, "--out", "taken")
        assert (status, err) == (2, "metasci: taken: 'taken' is a file, not a folder to write into.\n")


def test_a_wrong_name_of_a_case_is_told_in_a_sentence_that_names_the_one_meant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from metasci.cli.main import run

    assert run(["study", "alloy-fatige"]) == 2
    sentence = capsys.readouterr().err.strip().splitlines()[-1]
    assert len(sentence) <= 300
    assert sentence.endswith("(did you mean 'alloy-fatigue'?).")
    for bad in (str(2**64), "-1"):
        assert run(["furnace", "steel_tempering", "x.csv", "--temperature", "600 degC", "--seed", bad]) == 2
        assert "--seed" in capsys.readouterr().err
