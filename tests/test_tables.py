"""Tables at the door: headers and units, and one sentence with file, column and row for all that is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metasci import catalogue
from metasci.data.cards import Card, Column
from metasci.data.tables import read_table
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.model import History, Input, Model, Output
from metasci.parameters import Parameter, ParameterSpace

STEEL = catalogue.card("steel_tempering")
PATIENT = catalogue.card("phenobarbital")
QUINIDINE = catalogue.card("quinidine")


# made by hand, not with the decorator, so that they do not join the package's own models
softening = Model(
    name="softening",
    function=lambda time, temperature, rate: 60 - rate * time * temperature,
    inputs={"time": Input("s", lower=0.0), "temperature": Input("K", lower=0.0, upper=1000.0)},
    output=Output("hardness", "HRC"),
    parameters=ParameterSpace((Parameter("rate", "1/s", typical=1.0, positive=True),)),
)
bolus = Model(
    name="bolus",
    function=lambda time, weight, dose, dose_time, volume: dose.sum(-1) / volume + 0 * time,
    inputs={"time": Input("min"), "weight": Input("g", lower=0.0)},
    histories={"dose": History("mg")},
    output=Output("concentration", "mg/L"),
    parameters=ParameterSpace((Parameter("volume", "L", typical=1.0, positive=True),)),
)


def write(folder: Path, text: str | bytes, name: str = "mine.csv") -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


HEAD = "time [h],temperature [degC],hardness [HRC]\n"


def test_units_in_headers_are_converted_to_the_models(tmp_path: Path):
    path = write(
        tmp_path, "temperature [degF],hardness [HRC],time [min],carbon [wt%]\n212,50,60,0.4\n392,40,90,0.4\n"
    )
    table = read_table(path, STEEL, softening)
    np.testing.assert_allclose(table["time"], [3600, 5400])
    np.testing.assert_allclose(table["temperature"], [373.15, 473.15])
    assert table["carbon"].tolist() == [0.4, 0.4]
    assert set(table["task"]) == {"mine"}
    assert table.attrs["units"]["temperature"] == "K"
    assert "manganese" in table.attrs["missing_covariates"]
    assert "carbon" not in table.attrs["missing_covariates"]


def test_headers_of_the_card_have_the_cards_units(tmp_path: Path):
    path = write(tmp_path, "time_s,temperature_degC,hardness_HRC\n3600,100,50\n")
    assert read_table(path, STEEL)["temperature"].tolist() == [100]
    np.testing.assert_allclose(read_table(path, STEEL, softening)["temperature"], [373.15])


def test_tasks_are_named_by_task_columns_or_the_file(tmp_path: Path):
    rows = "1,200,50,A,0.40\n1,200,51,B,0.50\n"
    named = read_table(write(tmp_path, HEAD[:-1] + ",steel,carbon [percent]\n" + rows), STEEL)
    assert named["task"].tolist() == ["A / 0.4", "B / 0.5"]
    outright = read_table(write(tmp_path, HEAD[:-1] + ",task,carbon [percent]\n" + rows), STEEL)
    assert outright["task"].tolist() == ["A", "B"]


def test_byte_order_mark_blank_lines_quotes_and_spaces_do_no_harm(tmp_path: Path):
    header = '\ufeff"time [h]", temperature [degC] ,hardness [HRC],task'
    text = "\r\n".join([header, "", '1, 200 ,50,"a, b"', ",,,", '2,200,49,"a, b"', "", ""])
    table = read_table(write(tmp_path, text), STEEL)
    assert table["task"].tolist() == ["a, b", "a, b"]
    assert table.index.tolist() == [3, 5]


BAD = {
    "wrong dimension": (HEAD.replace("[h]", "[kg]") + "1,2,3\n", "column 'time [kg]'", "cannot be in 'kg'"),
    "unknown unit": (HEAD.replace("[h]", "[parsnip]") + "1,2,3\n", "column 'time [parsnip]'", "not a unit"),
    "another hardness scale": (HEAD.replace("HRC", "HRB") + "1,2,3\n", "[HRB]'", "no table leads from HRB to HRC"),
    "empty unit": (HEAD.replace("[h]", "[]") + "1,2,3\n", "column 'time []'", "write it as 'time [s]'"),
    "no unit": (HEAD.replace("time [h]", "time") + "1,2,3\n", "column 'time'", "write it as 'time [s]'"),
    "missing column": ("time [h],hardness [HRC]\n1,2\n", "no column 'temperature'", "'temperature [degC]'"),
    "no output": ("time [h],temperature [degC]\n1,2\n", "no column 'hardness'", "'hardness [HRC]'"),
    "unknown column": (HEAD[:-1] + ",colour\n1,2,3,red\n", "column 'colour'", "known are source, "),
    "no header": (HEAD[:-1] + ",\n1,2,3,4\n", "column 4", "no header"),
    "twice the same": (HEAD[:-1] + ",time [h]\n1,2,3,1\n", "column 'time [h]'", "given twice"),
    "twice by other names": (HEAD[:-1] + ",time_s\n1,2,3,1\n", "column 'time_s'", "also by 'time [h]'"),
    "text": (HEAD + "1,200,50\nsoon,200,50\n", "column 'time [h]', row 3", "'soon' is not a number"),
    "underscore": (HEAD + "1,200,50\n1_0,200,50\n", "column 'time [h]', row 3", "'1_0' is not a number"),
    "true": (HEAD + "True,200,50\n", "column 'time [h]', row 2", "'True' is not a number"),
    "decimal comma": (HEAD + '1,200,"50,5"\n', "column 'hardness [HRC]', row 2", "write a point"),
    "NaN input": (HEAD + "1,NaN,50\n", "column 'temperature [degC]', row 2", "empty or not a number"),
    "empty input": (HEAD + "1,200,50\n\n2,,50\n", "column 'temperature [degC]', row 4", "empty or not a number"),
    "infinite": (HEAD + "1,200,50\n1,inf,50\n", "column 'temperature [degC]', row 3", "'inf' is not a finite number"),
    "overflow": (HEAD + "1,200,1e999\n", "column 'hardness [HRC]', row 2", "not a finite number"),
    "empty output": (HEAD + "1,200,50\n1,300,\n", "column 'hardness [HRC]', row 3", "empty or not a number"),
    "NaN output": (HEAD + "1,200,nan\n", "column 'hardness [HRC]', row 2", "empty or not a number"),
    "negative time": (HEAD + "1,200,50\n-1,300,50\n", "column 'time [h]', row 3", "-1 lies be"),
    "colder than cold": (HEAD + "1,-300,50\n", "column 'temperature [degC]', row 2", "-300 lies below absolute zero"),
    "empty file": ("", "", "is empty"),
    "blank file": ("\n \n,,\n", "", "is empty"),
    "header only": (HEAD, "", "no rows"),
    "short row": (HEAD + "1,200,50\n1,200\n", "row 3", "has 2 cells where the header has 3"),
    "long row": (HEAD + "1,200,50\n1,200,50,7\n", "row 3", "has 4 cells where the header has 3"),
    "open quote": (HEAD + '1,200,"50\n', "row 2", "quotes"),
    "latin-1": (HEAD.encode() + b"1,200,50\n1,200,\x81\n", "line 3", "not UTF-8"),
    "binary": (b"PK\x00\x01\x02", "", "not a text file"),
    "nameless task": (HEAD[:-1] + ",task\n1,200,50,a\n2,200,50,\n", "column 'task', row 3", "no name"),
    "covariate differs": (
        HEAD[:-1] + ",task,carbon [percent]\n1,200,50,7,0.4\n1,200,50,8,0.4\n2,200,50,7,0.5\n",
        "column 'carbon [percent]': carbon of task '7'",
        "is 0.4 in row 2 but 0.5 in row 4: two tasks share one name, or a value is wrong",
    ),
    "task comes back": (
        HEAD[:-1] + ",task\n1,200,50,7\n2,200,50,7\n1,200,50,8\n2,200,49,7\n",
        "column 'task': task '7' comes back in row 5",
        "repeats the conditions of row 3",
    ),
    "infinite covariate": (HEAD[:-1] + ",carbon [percent]\n1,200,50,inf\n", "'carbon [percent]', row 2", "finite"),
    "note in another unit": (HEAD[:-1] + ",initial_hardness_HRC [HV]\n1,200,50,7\n", "not converted", "HRC"),
}  # fmt: skip


@pytest.mark.parametrize("model", [None, softening], ids=["card", "model"])
@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, case: str, model):
    text, place, reason = BAD[case]
    path = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        TaskSet.from_csv(path, STEEL, model=model)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert place in sentence
    assert reason in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_an_unknown_column_is_told_which_there_are(tmp_path: Path):
    card = Card.from_model(softening)
    path = write(tmp_path, "time [s],temperature [K],hardness [HRC],colour\n1,300,50,7\n")
    with pytest.raises(
        InputError, match=r"known are task, time \[s\], temperature \[K\], hardness \[HRC\]\.$"
    ):
        read_table(path, card)


@pytest.mark.parametrize(("level", "more"), [("3e20", ""), ("-3e20", ", and below zero")])
def test_no_level_is_heavier_than_a_substance(tmp_path: Path, level: str, more: str):
    path = write(tmp_path, f"time [min],weight [g],dose [mg],concentration [mg/L]\n0,9,5,\n1,9,,{level}\n")
    with pytest.raises(
        InputError, match=f"concentration.*{level} mg/L is more than any substance weighs{more}; check"
    ):
        read_table(path, Card.from_model(bolus), bolus)


def test_files_that_are_none(tmp_path: Path):
    with pytest.raises(InputError, match=r"there is no file '.*absent\.csv'"):
        read_table(tmp_path / "absent.csv", STEEL)
    with pytest.raises(InputError, match="is a folder"):
        read_table(tmp_path, STEEL)


def test_limits_of_the_model_are_said_in_its_unit(tmp_path: Path):
    path = write(tmp_path, HEAD + "1,200,50\n1,900,50\n")
    with pytest.raises(InputError, match=r"row 3: 900 lies above the greatest temperature allowed, 1000 K\."):
        read_table(path, STEEL, softening)


def test_tasks_may_take_turns_and_be_measured_twice_in_a_row(tmp_path: Path):
    turns = HEAD[:-1] + ",task\n1,200,50,a\n1,200,50.5,a\n1,200,48,b\n2,200,47,a\n2,200,46,b\n"
    assert TaskSet.from_csv(write(tmp_path, turns), STEEL).counts.tolist() == [3, 2]


def test_covariate_may_be_given_once(tmp_path: Path):
    path = write(tmp_path, HEAD[:-1] + ",carbon [percent]\n1,200,50,\n2,200,50,0.4\n")
    assert TaskSet.from_csv(path, STEEL).dataset["carbon"].values.tolist() == [0.4]


def test_output_may_be_absent_when_predicting(tmp_path: Path):
    path = write(tmp_path, "time [h],temperature [degC]\n1,200\n2,200\n")
    tasks = TaskSet.from_csv(path, STEEL, require_output=False)
    assert tasks.counts.tolist() == [0]
    assert tasks.dataset["time"].values.tolist() == [[3600, 7200]]


DOSES = "subject,weight [kg],time [h],dose [mg],concentration [mg/L]\n"
BAD_DOSES = {
    "neither": (DOSES + "1,1.4,0,25,\n1,1.4,2,,\n", "row 3: the row has neither concentration nor dose"),
    "negative dose": (DOSES + "1,1.4,0,-25,\n1,1.4,2,,17\n", "column 'dose [mg]', row 2: -25 is negative"),
    "no time": (DOSES + "1,1.4,,25,\n1,1.4,2,,17\n", "column 'time [h]', row 2"),
    "no doses": ("subject,weight [kg],time [h],concentration [mg/L]\n1,1.4,2,17\n", "no column 'dose'"),
    "nothing measured": (DOSES + "1,1.4,0,25,\n", "there is no measurement"),
    "back again": (
        DOSES + "1,1.4,0,25,\n1,1.4,2,,17\n2,1.4,0,20,\n2,1.4,2,,15\n1,1.4,0,25,\n1,1.4,2,,17\n",
        "task '1' comes back in row 6 and repeats the conditions of row 2",
    ),
}


@pytest.mark.parametrize("case", BAD_DOSES)
def test_what_is_wrong_with_doses(tmp_path: Path, case: str):
    text, reason = BAD_DOSES[case]
    path = write(tmp_path, text)
    with pytest.raises(InputError) as caught:
        TaskSet.from_csv(path, PATIENT)
    assert reason in str(caught.value)
    assert str(path) in str(caught.value)


def test_covariate_that_the_model_needs_is_required(tmp_path: Path):
    without = write(tmp_path, "subject,time [h],dose [mg],concentration [mg/L]\n1,0,25,\n1,2,,17\n")
    with pytest.raises(InputError, match="no column 'weight'"):
        TaskSet.from_csv(without, PATIENT, model=bolus)
    assert np.isnan(TaskSet.from_csv(without, PATIENT).dataset["weight"].values).all()
    empty = write(tmp_path, DOSES + "1,1.4,0,25,\n1,1.4,2,,17\n2,,0,25,\n2,,2,,17\n")
    with pytest.raises(InputError, match=r"column 'weight .kg.', row 4: .* task '2' needs weight"):
        TaskSet.from_csv(empty, PATIENT, model=bolus)
    given = write(tmp_path, DOSES + "1,1.4,0,25,\n1,1.4,2,,17\n")
    dataset = TaskSet.from_csv(given, PATIENT, model=bolus).dataset
    assert dataset["weight"].values.tolist() == [1400]
    assert dataset["time"].values.tolist() == [[120]]
    assert dataset["dose_time"].attrs["units"] == "min"


def test_rows_that_only_record_a_changing_quantity_are_passed_over(tmp_path: Path):
    text = (
        "subject,height [inch],weight,time [h],dose [mg],concentration [mg/L]\n"
        "1,69,80,0,249,\n1,69,81,5,,\n1,69,81,6,,2.1\n"
    )
    table = read_table(write(tmp_path, text), QUINIDINE)
    assert table.index.tolist() == [2, 4]
    assert table.attrs["rows"] == 3


def test_a_frame_is_known_by_its_index():
    frame = pd.DataFrame(
        {"time [h]": [1.0, -2.0], "temperature [degC]": 200, "hardness [HRC]": 50}, index=["p", "q"]
    )
    with pytest.raises(InputError, match=r"table, column 'time \[h\]', row q: -2\.0 lies"):
        TaskSet.from_frame(frame, STEEL)
    with pytest.raises(InputError, match="row p: 'True' is not a number"):
        TaskSet.from_frame(frame.assign(**{"time [h]": True}), STEEL)
    with pytest.raises(InputError, match="my table has a header but no rows"):
        TaskSet.from_frame(frame.iloc[:0], STEEL, where="my table")
    with pytest.raises(InputError, match="my table is empty"):
        TaskSet.from_frame(pd.DataFrame(), STEEL, where="my table")


def test_model_that_does_not_fit_the_card(tmp_path: Path):
    path = write(tmp_path, HEAD + "1,200,50\n")
    hungry = replace(softening, inputs={**softening.inputs, "pressure": Input("Pa")})
    with pytest.raises(InputError, match="model 'softening' needs 'pressure', of which the data"):
        read_table(path, STEEL, hungry)
    columns = tuple(
        Column(c.header, c.name, c.role, "kg") if c.name == "time" else c
        for c in STEEL.columns if c.role in ("input", "output")
    )  # fmt: skip
    with pytest.raises(InputError, match="wants time in 's', but the data 'odd' have it in 'kg'"):
        read_table(
            write(tmp_path, HEAD.replace("[h]", "[g]") + "1,200,50\n"),
            Card("odd", columns=columns),
            softening,
        )


# cards ------------------------------------------------------------------------------------------


def test_card_of_a_model_wants_units_in_headers(tmp_path: Path):
    card = Card.from_model(softening, covariates={"carbon": "percent"})
    assert card.covariates == ("carbon",)
    tasks = TaskSet.from_csv(write(tmp_path, HEAD + "1,200,50\n"), card, model=softening)
    assert tasks.dataset["time"].values.tolist() == [[3600]]
    with pytest.raises(InputError, match=r"write it as 'time \[s\]'"):
        TaskSet.from_csv(write(tmp_path, HEAD.replace("time [h]", "time") + "1,200,50\n"), card)
    card = Card.from_model(bolus, covariates={"weight": "kg"})
    assert (card.inputs, card.covariates, card.histories) == (("time",), ("weight",), ("dose",))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ('role = "output"\nunit = "1"', "exactly one column with the role 'output'"),
        ('role = "guess"', "the role 'guess'"),
        ('role = "input"', "no unit"),
        ('role = "history"\nunit = "mg"\nat = "place"', "has to say `at`"),
        ('role = "note"\ncolour = "red"', "unknown key 'colour'"),
        ('role = "note"\nname = "time"', "twice"),
        ("unit = 3\nrole", "cannot be read"),
        ('unit = "kg"', "incomplete"),
    ],
)
def test_cards_that_contradict_themselves(tmp_path: Path, change: str, reason: str):
    text = (
        'name = "x"\ntask = []\n[columns.time]\nrole = "input"\nunit = "h"\n[columns.y]\nrole = "output"\nunit = "1"\n'
        "[columns.z]\n" + change + "\n"
    )
    path = write(tmp_path, text, "dataset.toml")
    with pytest.raises(InputError) as caught:
        Card.from_toml(path)
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", catalogue.names("datasets"))
def test_every_card_survives_json(name: str):
    card = catalogue.card(name)
    assert Card.from_dict(json.loads(json.dumps(card.to_dict()))) == card


BARE = "time,dose,concentration,weight\n0.5,4,6.5,80\n4,4,8.5,80\n"


def test_a_name_that_a_card_has_too_says_no_unit(tmp_path: Path):
    """The card of theophylline has the header 'dose', in mg/kg; what somebody else's 'dose' is in, nobody knows."""
    card = catalogue.card("theophylline")
    with pytest.raises(
        InputError, match=r"column 'time': the header does not say the unit; write it as 'time \[h\]'"
    ):
        TaskSet.from_csv(write(tmp_path, BARE), card)
    with pytest.raises(InputError, match=r"column 'dose': .* write it as 'dose \[mg/kg\]'"):
        TaskSet.from_csv(write(tmp_path, BARE.replace("time,", "time [h],")), card)
    said = BARE.replace(
        "time,dose,concentration,weight", "time [min],dose [mg/kg],concentration [mg/L],weight [kg]"
    )
    assert TaskSet.from_csv(write(tmp_path, said), card).dataset["time"].values[0].tolist() == [
        0.5 / 60,
        4 / 60,
    ]


def test_a_table_of_a_cards_own_kind_needs_no_units(tmp_path: Path):
    own = "subject," + BARE.replace("\n0.5", "\na,0.5").replace("\n4,4", "\na,4,4")
    tasks = TaskSet.from_csv(write(tmp_path, own), catalogue.card("theophylline"))
    assert tasks.dataset["dose"].attrs["units"] == "mg/kg"
