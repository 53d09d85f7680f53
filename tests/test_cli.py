"""The command line: what it prints and writes, and one sentence with status 2 for all that is wrong."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import xarray as xr

from metasci import cli
from metasci.__main__ import main
from metasci.cli.recipes import method_of
from metasci.errors import InputError
from metasci.library import find
from metasci.methods import command_names

PATIENT = "time [h],dose [mg/kg],weight [kg],concentration [mg/L]\n1,4.02,79.6,6.6\n5,4.02,79.6,8.4\n9,4.02,79.6,6.9\n"
WRITTEN = ["calibration.nc", "parameters.csv", "predictions.csv", "report.html"]
KEYS = {"name", "unit", "estimate", "lower", "upper", "prior", "shrinkage"}
SHOWN = {"method", "shots", "rmse", "mae", "mdape", "coverage90", "nlpd", "seconds_per_task"}
FIGURES = SHOWN | {
    "tasks", "left_out", "mdpe", "f20", "f30", "mdape_of_prediction", "mdpe_of_prediction", "mae_sd_over_seeds",
}  # fmt: skip


class Ended(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ended]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["metasci", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capfd.readouterr()
        return Ended(int(ended.value.code or 0), out, err)

    return call


@pytest.fixture
def patient(tmp_path: Path) -> str:
    (tmp_path / "ann.csv").write_text(PATIENT)
    return "ann.csv"


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# what it prints and writes ----------------------------------------------------------------------


def test_list(run: Run) -> None:
    told = run("list")
    assert (told.status, told.err) == (0, "")
    for heading in ("Learned priors", "Data sets", "Models", "theophylline", "kinetics.tempering"):
        assert heading in told.out
    found = run("list", "--json").json
    assert {"alloy_fatigue", "phenobarbital", "steel_tempering", "theophylline"} <= set(found["priors"])
    assert found["datasets"]["theophylline"] == "Theophylline by mouth, 12 patients"
    assert found["models"]["kinetics.avrami"].startswith("Transformed fraction")


def test_calibrate_prints_a_table(run: Run, patient: str, tmp_path: Path) -> None:
    told = run("calibrate", "theophylline", patient)
    assert (told.status, told.err) == (0, "")
    assert told.out.startswith("ann: patients.one_compartment_oral, 3 measurements\n")
    for word in ("absorption_rate", "clearance", "volume", "estimate", "90 % interval", "prior", "L/h/kg"):
        assert word in told.out
    assert files(tmp_path) == ["ann.csv"]


def test_calibrate_as_json(run: Run, patient: str) -> None:
    told = run("calibrate", "theophylline", patient, "--json")
    assert (told.status, told.err) == (0, "")
    assert {"parameters", "noise", "warnings"} <= set(told.json)
    names = [parameter["name"] for parameter in told.json["parameters"]]
    assert names == ["absorption_rate", "clearance", "volume"]
    for parameter in told.json["parameters"]:
        assert set(parameter) >= KEYS
        assert parameter["lower"] < parameter["estimate"] < parameter["upper"]
        assert 0.0 < parameter["shrinkage"] < 1.0
    assert [parameter["unit"] for parameter in told.json["parameters"]] == ["1/h", "L/h/kg", "L/kg"]
    assert told.json["noise"] == {"sd": pytest.approx(0.68, abs=0.02)}
    assert told.json["warnings"] == []


def test_calibrate_writes_tables_and_a_report(run: Run, patient: str, tmp_path: Path) -> None:
    told = run("calibrate", "theophylline", patient, "--out", "new/result", "--json")
    assert told.status == 0
    folder = tmp_path / "new" / "result"
    assert files(folder) == WRITTEN
    with (folder / "parameters.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == ["absorption_rate", "clearance", "volume"]
    for row, parameter in zip(rows, told.json["parameters"], strict=True):
        assert float(row["estimate"]) == pytest.approx(parameter["estimate"], rel=1e-12)
    with (folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(float(row["time [h]"]), float(row["concentration [mg/L]"])) for row in rows] == [
        (1, 6.6),
        (5, 8.4),
        (9, 6.9),
    ]
    for row in rows:
        lower, predicted, upper = (float(row[f"predicted{end} [mg/L]"]) for end in ("_lower", "", "_upper"))
        assert lower < predicted < upper
    with xr.open_dataset(folder / "calibration.nc", engine="h5netcdf") as stored:
        assert stored["estimate"].values[0, 1] == pytest.approx(
            told.json["parameters"][1]["estimate"], rel=1e-12
        )
        assert stored.attrs["model"] == "patients.one_compartment_oral"
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "ann" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert (
        run("calibrate", "theophylline", patient, "--out", "new/result").status == 0
    )  # again, over the old ones
    assert files(folder) == WRITTEN


def test_two_tasks_in_one_file_are_told_apart(run: Run, tmp_path: Path) -> None:
    rows = PATIENT.splitlines()
    text = [f"task,{rows[0]}", *(f"{who},{row}" for who in ("ann", "ben") for row in rows[1:])]
    (tmp_path / "two.csv").write_text("\n".join(text) + "\n")
    found = run("calibrate", "theophylline", "two.csv", "--json").json
    assert found["tasks"] == ["ann", "ben"]
    assert [row["task"] for row in found["parameters"]] == ["ann"] * 3 + ["ben"] * 3


def test_a_warning_is_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "late.csv").write_text("time [h],dose [mg/kg],concentration [mg/L]\n1,4,6\n90,4,0.2\n")
    found = run("calibrate", "theophylline", "late.csv", "--json")
    assert found.status == 0
    assert any("weight not given" in warning for warning in found.json["warnings"])
    assert any("extrapolates" in warning for warning in found.json["warnings"])
    assert "warning: " in run("calibrate", "theophylline", "late.csv").out


def train(run: Run, *more: str, out: str = "mine") -> Ended:
    return run("train", "patients.one_compartment_oral", "theophylline", "--out", out, *more)


def test_train_then_use_what_was_learned(run: Run, patient: str, tmp_path: Path) -> None:
    told = train(run, "--seed", "4")
    assert told.status == 0
    assert told.out.startswith("learned from 12 tasks in ")
    assert files(tmp_path / "mine") == ["prior.json", "prior.safetensors"]
    assert json.loads((tmp_path / "mine" / "prior.json").read_text())["training"]["seed"] == 4
    assert run("calibrate", "mine", patient, "--json").json["prior"] == "theophylline"
    shipped = run("calibrate", "theophylline", patient, "--json").json["parameters"]
    own = run("calibrate", "mine", patient, "--json").json["parameters"]
    for ours, theirs in zip(own, shipped, strict=True):
        assert ours["estimate"] == pytest.approx(theirs["estimate"], rel=0.1)
    told = run("evaluate", "mine", "theophylline", "--shots", "0,3", "--json")
    assert told.status == 0
    assert "tasks that the prior learned from" in told.err
    assert told.json["tasks"] == 12


def test_train_goes_on_from_a_checkpoint_and_refuses_another_runs(run: Run, tmp_path: Path) -> None:
    assert train(run, "--checkpoint", "run.safetensors").status == 0
    first = (tmp_path / "mine" / "prior.safetensors").read_bytes()
    assert train(run, "--checkpoint", "run.safetensors", out="again").status == 0
    assert (tmp_path / "again" / "prior.safetensors").read_bytes() == first
    told = train(run, "--checkpoint", "run.safetensors", "--seed", "9", out="third")
    refused(told)
    assert "run.safetensors: this checkpoint is of another run" in told.err
    assert not (tmp_path / "third").exists()


def test_covariates_are_chosen(run: Run, tmp_path: Path) -> None:
    def covariates(*more: str) -> list[str]:
        assert train(run, *more).status == 0
        described = json.loads((tmp_path / "mine" / "prior.json").read_text())
        return [covariate["name"] for covariate in described["covariates"]]

    assert covariates() == ["weight"]
    assert covariates("--covariates", "none") == []
    assert covariates("--covariates", "weight") == ["weight"]


def test_evaluate_as_json(run: Run) -> None:
    told = run("evaluate", "theophylline", "theophylline", "--shots", "0,3", "--json")
    assert told.status == 0
    assert told.json["tasks"] == 12
    found = {(row["method"], row["shots"]) for row in told.json["results"]}
    assert found == {(m, k) for m in ("prior", "start only", "per-task least squares") for k in (0, 3)}
    for row in told.json["results"]:
        assert set(row) == FIGURES
        assert all(isinstance(row[key], (int, float)) for key in FIGURES - {"method", "left_out"})
    covered = {(row["method"], row["shots"]): row["coverage90"] for row in told.json["results"]}
    assert covered["prior", 0] == covered["start only", 0]
    assert 0.75 < covered["prior", 3] < 1.0


def test_evaluate_prints_columns_that_stand_apart(run: Run) -> None:
    told = run(
        "evaluate", "theophylline", "theophylline", "--shots", "1", "--support", "random", "--seeds", "2"
    )
    lines = told.out.splitlines()
    assert lines[0] == "12 tasks, Gaussian prior, errors in mg/L"
    assert set(lines[1].split()) == SHOWN
    assert len({len(line) for line in lines[1:]}) == 1
    assert len(lines) == 5


def test_evaluate_a_model_leaves_groups_out(run: Run, tmp_path: Path) -> None:
    """No prior at all: it is learned anew without each group, which the card names."""
    folder = tmp_path / "few"
    folder.mkdir()
    rows = ["subject,time [h],dose [mg/kg],concentration [mg/L]"]
    rows += [f"{who},{at},4,{(6 + who) * 0.93**at:.2f}" for who in (1, 2, 3) for at in (1, 3, 6, 9)]
    (folder / "data.csv").write_text("\n".join(rows) + "\n")
    columns = {"subject": ("task", ""), "time [h]": ("input", "h"), "dose [mg/kg]": ("covariate", "mg/kg"),
               "concentration [mg/L]": ("output", "mg/L")}  # fmt: skip
    card = ['name = "few"', 'file = "data.csv"', 'task = ["subject"]']
    for header, (role, unit) in columns.items():
        card += [
            f'[columns."{header}"]',
            f'name = "{header.split()[0]}"',
            f'role = "{role}"',
            f'unit = "{unit}"',
        ]
    card += ["[protocol]", 'leave_out = "subject"', 'support = "first"', "shots = [1]"]
    (folder / "dataset.toml").write_text("\n".join(card) + "\n")
    told = run("evaluate", "patients.one_compartment_oral", "few", "--json")
    assert told.status == 0
    # these data have no noise, and that is said in a sentence of the program's own
    assert all(line.startswith("metasci: the measurements do not scatter") for line in told.err.splitlines())
    assert (told.json["leave_out"], told.json["tasks"], told.json["support"]) == ("subject", 3, "first")
    whole = run("evaluate", "theophylline", "few/data.csv", "--shots", "1", "--support", "first", "--json")
    assert whole.json["tasks"] == 3


# what is wrong ----------------------------------------------------------------------------------


def refused(told: Ended) -> None:
    """Status 2, one sentence on stderr, nothing on stdout, no traceback."""
    assert told.status == 2, told
    assert told.out == ""
    assert told.err.startswith("metasci: ")
    assert told.err.endswith(".\n")
    assert told.err.count("\n") == 1
    assert "Traceback" not in told.err


HEAD = "time [h],dose [mg/kg],weight [kg],concentration [mg/L]\n"
BAD_FILES: dict[str, tuple[str, Sequence[str]]] = {
    "wrong dimension": (PATIENT.replace("[h]", "[kg]"), ["column 'time [kg]'", "cannot be in 'kg'"]),
    "unknown unit": (
        PATIENT.replace("[h]", "[parsnip]"),
        ["column 'time [parsnip]'", "'parsnip' is not a unit"],
    ),
    "missing column": ("time [h],concentration [mg/L]\n1,6\n", ["no column 'dose'", "'dose [mg/kg]'"]),
    "no output": ("time [h],dose [mg/kg]\n1,4\n", ["no column 'concentration'"]),
    "unknown column": (HEAD[:-1] + ",colour\n1,4,70,6,red\n", ["column 'colour'", "no such column"]),
    "text": (HEAD + "1,4,70,6\nnoon,4,70,6\n", ["column 'time [h]', row 3", "'noon' is not a number"]),
    "NaN": (HEAD + "1,4,70,NaN\n", ["column 'concentration [mg/L]', row 2"]),
    "empty cell": (HEAD + "1,4,70,6\n2,4,70,\n", ["column 'concentration [mg/L]', row 3"]),
    "infinity": (HEAD + "1,4,70,inf\n", ["column 'concentration [mg/L]', row 2", "not a finite number"]),
    "negative time": (HEAD + "1,4,70,6\n-1,4,70,6\n", ["column 'time [h]', row 3", "-1"]),
    "empty file": ("", ["is empty"]),
    "header only": (HEAD, ["no rows"]),
    "duplicated task": (
        "task," + HEAD + "a,1,4,70,6\na,2,4,70,6\nb,1,4,70,6\na,1,4,70,5\n",
        ["column 'task'", "comes back in row 5"],
    ),
    "two weights": ("task," + HEAD + "a,1,4,70,6\na,2,4,71,6\n", ["weight of task 'a'", "row 3"]),
    "negative weight": (HEAD + "1,4,-70,6\n", ["weight"]),
    "zero weight": (HEAD + "1,4,0,6\n", ["weight"]),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused_and_nothing_is_written(case: str, run: Run, tmp_path: Path) -> None:
    text, said = BAD_FILES[case]
    (tmp_path / "bad.csv").write_text(text)
    told = run("calibrate", "theophylline", "bad.csv", "--out", "result", "--json")
    refused(told)
    for part in said:
        assert part in told.err
    if "weight" not in case:
        assert "bad.csv" in told.err
    assert files(tmp_path) == ["bad.csv"]


TRAIN = ("train", "patients.one_compartment_oral", "theophylline", "--out", "result")
EVALUATE = ("evaluate", "theophylline", "theophylline")
BAD_CALLS: dict[str, tuple[Sequence[str], str]] = {
    "no file": (("calibrate", "theophylline", "absent.csv"), "there is no file 'absent.csv'"),
    "a folder": (("calibrate", "theophylline", "."), "is a folder"),
    "unknown prior": (("calibrate", "magic", "ann.csv"), "no learned prior 'magic'; known are alloy_fatigue"),
    "folder without a prior": (("calibrate", "empty", "ann.csv"), "no learned prior 'empty'"),
    "spoiled prior": (("calibrate", "spoiled", "ann.csv"), "not the description of a learned prior"),
    "out is a file": (("calibrate", "theophylline", "ann.csv", "--out", "ann.csv"), "'ann.csv' is a file"),
    "out is in a file": (
        ("calibrate", "theophylline", "ann.csv", "--out", "ann.csv/x/y"),
        "ann.csv' is a file",
    ),
    "out cannot be": (("calibrate", "theophylline", "ann.csv", "--out", "/proc/no/where"), "/proc/no"),
    "unknown model": (
        ("train", "kinetics.magic", "theophylline", "--out", "result"),
        "no model 'kinetics.magic'",
    ),
    "unknown data": (("train", "kinetics.avrami", "magic", "--out", "result"), "no data set or file 'magic'"),
    "another's data": (("train", "kinetics.avrami", "theophylline", "--out", "result"), "no 'temperature'"),
    "another's data without a card": (
        ("train", "kinetics.avrami", "ann.csv", "--out", "result"),
        "there is no such column; known are",
    ),
    "unknown covariate": ((*TRAIN, "--covariates", "weigth"), "no 'weigth'"),
    "no checkpoint": ((*TRAIN, "--checkpoint", "ann.csv"), "not a readable safetensors file"),
    "noise of a property of structures": (
        ("train", "materials.boiling_point", "boiling_points", "--out", "result", "--noise", "power"),
        "takes additive or log-normal",
    ),
    "noise of a prior": (
        ("evaluate", "theophylline", "theophylline", "--noise", "additive"),
        "a noise of its own",
    ),
    "no such noise": (
        (*TRAIN, "--method", "maml", "--task-noise"),
        "--task-noise belongs to the method gaussian",
    ),
    "train into a file": (("train", *TRAIN[1:3], "--out", "ann.csv"), "'ann.csv' is a file"),
    "shots are no numbers": ((*EVALUATE, "--shots", "one"), "--shots takes whole numbers"),
    "shots are no whole numbers": ((*EVALUATE, "--shots", "1.5"), "--shots takes whole numbers"),
    "no shots": ((*EVALUATE, "--shots", ""), "--shots takes whole numbers"),
    "shots below zero": ((*EVALUATE, "--shots", "-1"), "must not be below zero"),
    "too many shots": ((*EVALUATE, "--shots", "40"), "ask for fewer shots"),
    "unknown group": ((*EVALUATE, "--leave-out", "colour"), "no column 'colour'"),
    "group of one": ((*EVALUATE[:2], "ann.csv", "--leave-out", "task"), "nothing is left to learn from"),
    "evaluate nothing": (("evaluate", "magic", "theophylline"), "no learned prior 'magic'"),
    "evaluate on nothing": (("evaluate", "theophylline", "magic"), "no data set or file 'magic'"),
    "compare nothing": (("compare", "magic", "theophylline"), "no learned prior 'magic'"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
def test_a_bad_call_is_refused_and_nothing_is_written(
    case: str, run: Run, patient: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("METASCI_DATA_DIR", raising=False)
    (tmp_path / "empty").mkdir()
    (tmp_path / "spoiled").mkdir()
    (tmp_path / "spoiled" / "prior.json").write_text("{")
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in files(tmp_path)}
    arguments, said = BAD_CALLS[case]
    told = run(*arguments)
    refused(told)
    assert said in told.err
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in files(tmp_path)} == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_into(run: Run, patient: str, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    refused(run("calibrate", "theophylline", patient, "--out", "closed/result"))


def test_a_folder_is_checked_before_hours_of_learning(
    run: Run, patient: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("it began to learn")

    monkeypatch.setattr("metasci.meta_calibrate", never)
    refused(run(*TRAIN[:3], "--out", patient))


WRONG = [
    ("calibrate",), ("calibrate", "theophylline"), ("magic",), (*EVALUATE, "--seeds", "0"),
    (*TRAIN, "--method", "magic"), (*TRAIN, "--penalty", "-1"),
]  # fmt: skip


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_a_wrong_use_has_status_two_and_no_traceback(
    run: Run, arguments: Sequence[str], tmp_path: Path
) -> None:
    told = run(*arguments)
    assert told.status == 2
    assert "Usage" in told.err
    assert "Traceback" not in told.err
    assert files(tmp_path) == []


@pytest.mark.parametrize("command", command_names())
def test_every_method_that_the_command_line_names_can_be_had(command: str) -> None:
    model = find("patients.one_compartment_oral")
    assert method_of(command, 0.0, False, model).name
    if command == "discrepancy":
        with pytest.raises(InputError, match="--penalty: the method discrepancy has no such choice"):
            method_of(command, 1.0, False, model)
    else:
        assert method_of(command, 1.0, False, model).penalty == 1.0


def test_interrupted(run: Run, patient: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("metasci.load", interrupt)
    told = run("calibrate", "theophylline", patient)
    assert told.status == 130
    assert "Traceback" not in told.err


def test_interrupted_before_there_are_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sys.argv", ["metasci", "list"])
    monkeypatch.setattr("metasci.process.rarely_collected", interrupt)
    with pytest.raises(SystemExit, match="130"):
        main()
    assert capsys.readouterr().err == "metasci: interrupted.\n"


def test_it_runs_as_a_program_too(tmp_path: Path) -> None:
    """One real process: the module's entry, its streams and its status."""
    (tmp_path / "bad.csv").write_text(HEAD)
    command = [sys.executable, "-m", "metasci", "calibrate", "theophylline", "bad.csv"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    refused(Ended(ended.returncode, ended.stdout, ended.stderr))


FLASH = """
name = "flash"
file = "mine.csv"
task = ["family"]
[columns.family]
role = "task"
[columns.smiles]
role = "input"
unit = "1"
kind = "smiles"
name = "molecule"
[columns.flash_point]
role = "output"
unit = "degC"
"""


def test_a_property_of_ones_own_is_learned_and_used(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("rdkit", reason="needs the extra metasci-calibration[materials]: rdkit")
    folder = tmp_path / "flash"
    folder.mkdir()
    (folder / "dataset.toml").write_text(FLASH)
    groups = {"alcohol": ("O", 10.0), "amine": ("N", -10.0), "thiol": ("S", 0.0)}
    rows = [
        f"{name},{'C' * size}{end},{shift + 20 * size}"
        for name, (end, shift) in groups.items()
        for size in range(2, 8)
    ]
    (folder / "mine.csv").write_text("\n".join(["family,smiles,flash_point", *rows]) + "\n")
    told = run("train", "materials.flash_point", "flash", "--out", "prior", "--seed", "3", "--members", "4")
    assert told.status == 0, told.err
    assert "learned from 3 families" in told.out
    saved = json.loads((tmp_path / "prior" / "prior.json").read_text())
    assert (saved["training"]["seed"], saved["method"]["members"]) == (3, 4)
    new = "smiles,flash_point [degC]\nCCCCl,65\nCCCCCl,85\nCCCCCCl,\n"
    (tmp_path / "new.csv").write_text(new)
    said = run("calibrate", "prior", "new.csv", "--json").json["predictions"]
    assert said[2]["predicted"] == pytest.approx(105.0, abs=15.0)
    judged = run(
        "evaluate", "materials.flash_point", "flash", "--shots", "0,3", "--seeds", "2", "--json"
    ).json
    assert judged["leave_out"] == "family"
    mae = {(row["method"], row["shots"]): row["mae"] for row in judged["results"]}
    assert mae["prior", 3] < mae["prior", 0]
    (folder / "mine.csv").write_text(
        "family,smiles,flash_point\nalcohol,CCO,13\nalcohol,CC(O,20\namine,CN,3\n"
    )
    wrong = run("train", "materials.flash_point", "flash", "--out", "again")
    refused(wrong)
    assert "flash/mine.csv, column 'smiles', row 3: 'CC(O' is not a SMILES" in wrong.err
    wrong = run("train", "materials.flash_point", "flash", "--out", "again", "--method", "maml")
    refused(wrong)
    assert "learned in one way" in wrong.err
    wrong = run("train", "materials.flash_piont", "boiling_points", "--out", "again")
    refused(wrong)
    assert "the data 'boiling_points' measure materials.boiling_point" in wrong.err
    assert not (tmp_path / "again").exists()
