"""One door: whatever holds tasks is checked and converted alike; cards and files that are broken are one sentence."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import metasci as ms
from metasci import catalogue
from metasci.data.cards import Card, Column
from metasci.data.door import read
from metasci.data.frames import safe_for_spreadsheets
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.model import Input, Model, Output
from metasci.parameters import Parameter, ParameterSpace

CARD = Card(
    "steel",
    columns=(
        Column("task", "task", "task"),
        Column("time", "time", "input", "h"),
        Column("temperature", "temperature", "input", "degC"),
        Column("carbon", "carbon", "covariate", "percent"),
        Column("hardness", "hardness", "output", "HRC"),
    ),
    task=("task",),
)
MODEL = Model(
    name="line",
    function=lambda **_: 0.0,
    parameters=ParameterSpace((Parameter("slope", "1", typical=1.0, positive=True),)),
    inputs={"time": Input("s"), "temperature": Input("K")},
    output=Output("hardness", "HRC"),
    covariates={"carbon": "percent"},
)
FRAME = pd.DataFrame(
    {
        "task": ["a", "a", "b"],
        "time [h]": [1.0, 2.0, 1.0],
        "temperature [degC]": [25.0, 400.0, 600.0],
        "carbon [wt%]": [0.25, 0.25, 0.4],
        "hardness [HRC]": [55.0, 45.5, 30.0],
    }
)


def ways_in(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "steel.csv"
    FRAME.to_csv(path, index=False)
    tasks = TaskSet.from_frame(FRAME, CARD)
    return {
        "path": path,
        "text": str(path),
        "frame": FRAME,
        "tasks": tasks,
        "Dataset": tasks.dataset,
        "NetCDF": tasks.to_netcdf(tmp_path / "steel.nc"),
    }


@pytest.mark.parametrize("way", ["path", "text", "frame", "tasks", "Dataset", "NetCDF"])
def test_all_ways_in_lead_to_the_same(tmp_path: Path, way: str):
    tasks = read(ways_in(tmp_path)[way], CARD, MODEL)
    assert tasks.dataset["temperature"].values[0].tolist() == [298.15, 673.15]
    assert tasks.dataset["temperature"].attrs["units"] == "K"
    assert tasks.dataset["time"].values[0].tolist() == [3600.0, 7200.0]
    assert tasks.checksum == read(FRAME, CARD, MODEL).checksum


def test_other_things_are_no_data():
    for data in ([1, 2], None, np.zeros(3), {"a": 1}):
        with pytest.raises(InputError, match="data are a path, a DataFrame, a Dataset or a TaskSet, not"):
            read(data, CARD)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="needs a card"):
        read(FRAME)


def test_tasks_in_degrees_celsius_are_converted_for_a_prior_of_families():
    """Boiling points measured as 103 degC stand beside predictions in kelvin as 376.15 K."""
    prior = ms.load("boiling_point")
    families = ms.dataset("boiling_points").select([0])
    data = families.dataset
    celsius = data.assign(boiling_point=(data["boiling_point"] - 273.15).assign_attrs(units="degC"))
    tasks = prior.read(TaskSet(celsius, families.card))
    assert tasks.dataset["boiling_point"].attrs["units"] == "K"
    np.testing.assert_allclose(tasks.dataset["boiling_point"], data["boiling_point"], rtol=1e-12)
    alloys = ms.load("alloy_strength").read(ms.dataset("alloy_systems").select([0]))
    assert (
        alloys.dataset["temperature"].attrs["units"]
        == ms.load("alloy_strength").model.inputs["temperature"].unit
    )


def test_a_dose_or_a_content_without_unit_is_refused():
    """Taken as dimensionless a dose would be a million times too large, 0.25 % of carbon 25 %."""
    patients = ms.dataset("theophylline")
    prior = ms.load("theophylline")
    name = next(iter(prior.model.inputs))
    for wanting in (name, patients.card.output.name):
        bare = patients.dataset.copy()
        bare[wanting] = bare[wanting].drop_attrs()
        with pytest.raises(InputError, match=f"'{wanting}' does not say its unit; set its .attrs"):
            prior.read(bare)
    steel = TaskSet.from_frame(FRAME, CARD).dataset
    with pytest.raises(InputError, match="'carbon' does not say its unit"):
        read(steel.assign(carbon=steel["carbon"].drop_attrs()), CARD)
    as_fraction = steel.assign(carbon=(steel["carbon"] / 100).assign_attrs(units="1"))
    np.testing.assert_allclose(read(as_fraction, CARD, MODEL).dataset["carbon"], [0.25, 0.4])


def test_contents_of_a_dataset_are_checked_as_those_of_a_table():
    steel = TaskSet.from_frame(FRAME, CARD).dataset
    with pytest.raises(InputError, match="is more than the whole"):
        read(steel.assign(carbon=steel["carbon"] * 404.0), CARD)


def test_structures_are_places_in_their_list():
    families = ms.dataset("boiling_points").select([0])
    name = next(column.name for column in families.card.columns if column.kind)
    for wrong in (-1.0, 0.5, 1e9):
        data = families.dataset.copy(deep=True)
        data[name].values[0, 0] = wrong
        with pytest.raises(InputError, match="is no place in its list of structures"):
            read(TaskSet(data, families.card))


# what tells data apart ----------------------------------------------------------------------------


def test_the_checksum_is_of_the_content():
    tasks = TaskSet.from_frame(FRAME, CARD)
    assert tasks.dataset.attrs["checksum"] == tasks.checksum
    assert len(tasks.checksum) == 64
    other = TaskSet.from_frame(FRAME.assign(**{"time [h]": [1.0, 2.0, 1.5]}), CARD)
    reordered = TaskSet.from_frame(FRAME.iloc[[2, 0, 1]], CARD)
    sums = {tasks.checksum, other.checksum, reordered.checksum, tasks.select([0]).checksum}
    assert len(sums) == 4
    assert TaskSet.from_frame(FRAME.copy(), CARD).checksum == tasks.checksum


def test_the_checksum_of_a_file_does_not_outlive_its_numbers(tmp_path: Path):
    path = ways_in(tmp_path)["path"]
    tasks = TaskSet.from_csv(path, CARD)
    of_file = tasks.dataset.attrs["checksum"]
    assert of_file != tasks.checksum
    assert read(tasks).dataset.attrs["checksum"] == of_file  # as it was read
    assert read(tasks, model=MODEL).dataset.attrs["checksum"] == of_file  # in other units
    changed = tasks.dataset.assign(hardness=tasks.dataset["hardness"] + 1.0)
    changed["hardness"].attrs["units"] = "HRC"
    again = read(changed, CARD)
    assert again.dataset.attrs["checksum"] == again.checksum
    # some of a file's tasks are still of that file, but not once their numbers have been changed
    assert read(tasks.select([1])).dataset.attrs["checksum"] == of_file
    part = TaskSet(changed.assign_attrs(tasks.dataset.attrs), CARD).select([1])
    assert read(part).dataset.attrs["checksum"] not in (of_file, tasks.checksum)


def test_the_checksum_is_there_for_tables_of_events():
    table = pd.DataFrame(
        {
            "ID": [1, 1],
            "TIME": [0, 2],
            "AMT": [20, "."],
            "DV": [".", 17.3],
            "EVID": [1, 0],
            "weight [kg]": 1.4,
        }
    )
    tasks = read(table, Card.from_model(ms.patients.one_compartment_bolus), ms.patients.one_compartment_bolus)
    assert tasks.dataset.attrs["checksum"] == tasks.checksum


# repeated rows ------------------------------------------------------------------------------------


def test_repeated_rows_are_told():
    assert TaskSet.from_frame(FRAME, CARD).notes == ()
    twice = pd.concat([FRAME, FRAME.iloc[[0, 0]]], ignore_index=True).sort_values("task", ignore_index=True)
    (note,) = TaskSet.from_frame(twice, CARD).notes
    start = "2 measurements repeat another of the same task to the digit, under the same conditions (task a)"
    assert note.startswith(start)
    replicate = pd.concat([FRAME, FRAME.iloc[[0]].assign(**{"hardness [HRC]": 55.1})]).sort_values("task")
    assert TaskSet.from_frame(replicate, CARD).notes == ()  # measured again, not copied


def test_repeated_rows_stand_among_the_warnings():
    patients = ms.dataset("theophylline").select([0])
    frame = patients.to_frame(units=True)
    fit = ms.load("theophylline").calibrate(
        TaskSet.from_frame(pd.concat([frame, frame.tail(2)]), patients.card)
    )
    assert any("2 measurements repeat another of the same task" in warning for warning in fit.warnings)


# broken files -------------------------------------------------------------------------------------


def outcome(action: Callable[[], Any]) -> tuple[Any, str]:
    """What comes of it, or the sentence of the error."""
    try:
        return action(), ""
    except InputError as error:
        return None, str(error)


def test_a_netcdf_file_with_flipped_bytes_is_one_sentence_or_as_it_was(tmp_path: Path):
    tasks = TaskSet.from_frame(FRAME, CARD)
    whole = tasks.to_netcdf(tmp_path / "whole.nc").read_bytes()
    draw = random.Random(0)
    refused = 0
    for trial in range(40):
        content = bytearray(whole)
        for _ in range(draw.choice((1, 3, 10))):
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path = tmp_path / f"{trial}.nc"
        path.write_bytes(content)
        again, sentence = outcome(lambda path=path: TaskSet.from_netcdf(path))
        refused += again is None
        assert "\n" not in sentence
        assert len(sentence.replace(str(path), "")) <= 300
        assert again is None or again.checksum == tasks.checksum
    assert refused >= 2


def test_attributes_of_other_types_are_one_sentence():
    data = TaskSet.from_frame(FRAME, CARD).dataset
    for card in (5, "[]", "null", '{"name": 5}', "[" * 100_000, json.dumps({"name": "x", "columns": [1]})):
        with pytest.raises(InputError) as caught:
            read(data.assign_attrs(card=card))
        assert "\n" not in str(caught.value)
    assert TaskSet(data.assign_attrs(reading=5), CARD).notes == ()
    assert TaskSet(data.assign_attrs(reading="{"), CARD).notes == ()


def test_every_mutated_card_is_one_sentence_or_a_card(tmp_path: Path):
    """Values of other types, shuffled lines, flipped characters, deep nests: hundreds, by a seed."""
    texts = [
        (catalogue.shipped("datasets") / name / "dataset.toml").read_text(encoding="utf-8")
        for name in ("theophylline", "steel_tempering", "quinidine", "boiling_points")
    ]
    odd = ["5", "-1.5", "true", "[1]", "[[1]]", "{a = 1}", '""', '"../.."', '"\\u0000"', "nan", "1979-05-27", '"9²²²²"',
           '"(9)**(9)**(9)"', "[" * 2000 + "]" * 2000, '"' + "x" * 30_000 + '"', '"h,min"', "[columns]"]  # fmt: skip
    draw = random.Random(1)
    read_whole = 0
    for _ in range(200):
        lines = draw.choice(texts).splitlines()
        kind = draw.randrange(4)
        place = draw.randrange(len(lines))
        if kind == 0 and "=" in lines[place]:
            lines[place] = lines[place].split("=")[0] + "= " + draw.choice(odd)
        elif kind == 1:
            lines[place], lines[0] = lines[0], lines[place]
        elif kind == 2:
            lines.pop(place)
        else:
            text = list("\n".join(lines))
            for _ in range(5):
                text[draw.randrange(len(text))] = draw.choice('"=[]{}\x07é0\n')
            lines = "".join(text).split("\n")
        path = tmp_path / "dataset.toml"
        path.write_text("\n".join(lines), encoding="utf-8")
        card, sentence = outcome(lambda path=path: Card.from_toml(path))
        read_whole += card is not None
        assert card is None or Card.from_dict(json.loads(json.dumps(card.to_dict()))) == card
        assert "\n" not in sentence
        assert len(sentence.replace(str(path), "")) <= 600
    assert 25 < read_whole < 175


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("protocol = 5", "protocol: is to be a table, not 5"),
        ("task = 'a'", "task: is to be a list of texts, not 'a'"),
        ("task = [1]", "task[0]: is to be a text, not 1"),
        ("simulated = 1", "simulated: is to be true or false, not 1"),
        ("rows = true", "rows: is to be a whole number, not True"),
        ("minimum_rows = 1.5", "minimum_rows: is to be a whole number, not 1.5"),
        ("title = []", "title: is to be a text, not []"),
        ("events = {ID = 1}", "events.ID: is to be a text, not 1"),
        (
            "protocol = {shots = [1, nan]}",
            "protocol.shots[1]: is to be a text, a number, a list or a table, not nan",
        ),
        ("columns.y.unit = 5", "column y, unit: is to be a text, not 5"),
        ("columns.y.unit = 'h,min'", "column 'y': 'h,min' is not a unit"),
        ("columns.y.limit = 'low'", "column y, limit: is to be a number, not 'low'"),
        ("columns.y.codes = {a = 'x'}", "column y, codes.a: is to be a number, not 'x'"),
        ("columns.y.at = [1]", "column y, at: is to be a text, not [1]"),
        (f"protocol = {{a = {'[' * 60}{']' * 60}}}", "nested too deep"),
        (f"title = {'[' * 100_000}", "nested too deep"),
    ],
)
def test_a_card_names_the_place_of_a_wrong_value(tmp_path: Path, change: str, reason: str):
    body = 'name = "x"\n{}\ncolumns.time.role = "input"\ncolumns.time.unit = "h"\ncolumns.y.role = "output"\n'
    body += 'columns.y.unit = "1"\n' if "columns.y.unit" not in change else ""
    path = tmp_path / "dataset.toml"
    path.write_text(body.format(change))
    with pytest.raises(InputError) as caught:
        Card.from_toml(path)
    assert reason in str(caught.value)


@pytest.mark.parametrize("columns", ["columns = [1]", "columns = 5", "columns.y = 1"])
def test_a_card_without_tables_of_columns(tmp_path: Path, columns: str):
    path = tmp_path / "dataset.toml"
    path.write_text(f'name = "x"\n{columns}\n')
    with pytest.raises(InputError, match=r"must have one table \[columns\.X\] for every column"):
        Card.from_toml(path)


# out again ----------------------------------------------------------------------------------------


def test_no_cell_is_written_as_a_formula():
    frame = pd.DataFrame(
        {"task": ["=cmd|' /C calc'!A0", "+1", "@x", "-2", "fine"], "y": [-1.0, 1.0, 2.0, 3.0, 4.0]}
    )
    safe = safe_for_spreadsheets(frame)
    assert safe["task"].tolist() == ["'=cmd|' /C calc'!A0", "'+1", "'@x", "'-2", "fine"]
    assert safe["y"].tolist() == frame["y"].tolist()


@pytest.mark.parametrize("name", ["a\x07", "a\nb", "a\u202eb", "\x1b[31m"])
def test_names_that_cannot_be_printed_are_refused(name: str):
    with pytest.raises(InputError, match="holds a control character; remove it"):
        TaskSet.from_frame(FRAME.assign(task=[name, name, "b"]), CARD)
    data = TaskSet.from_frame(FRAME, CARD).dataset
    with pytest.raises(InputError, match="holds a control character; remove it"):
        read(data.assign_coords(task=[name, "b"]), CARD)


@pytest.mark.parametrize("header", ["carbon []", "carbon [ ]", "Carbon ()", "carbon"])
def test_empty_brackets_state_no_unit(header: str, tmp_path: Path) -> None:
    table = tmp_path / "steel.csv"
    table.write_text(f"time [h],temperature [degC],hardness [HRC],{header}\n1,500,40,0.25\n")
    with pytest.raises(InputError, match="the header does not say the unit; write it as 'carbon"):
        ms.load("steel_tempering").calibrate(table)
