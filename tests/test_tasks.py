"""Tasks: what goes in comes out, labelled; what goes to a model is padded, masked and finite."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from metasci import catalogue
from metasci.data.cards import Card, Column
from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.model import History, Input, Model, Output
from metasci.parameters import Parameter, ParameterSpace

CARD = Card(
    "made",
    task=("ward", "bed"),
    title="Made up",
    simulated=True,
    columns=(
        Column("ward", "ward", "task"),
        Column("bed", "bed", "task"),
        Column("w_kg", "weight", "covariate", "kg"),
        Column("time_h", "time", "input", "h"),
        Column("heat_degC", "heat", "input", "degC"),
        Column("dose_mg", "dose", "history", "mg", at="time"),
        Column("y", "effect", "output", "1"),
        Column("remark", "remark", "note"),
    ),
)
MODEL = Model(
    name="made",
    function=lambda **_: 0.0,
    inputs={"time": Input("min"), "heat": Input("K"), "weight": Input("g")},
    histories={"dose": History("g")},
    output=Output("effect", "percent"),
    parameters=ParameterSpace((Parameter("rate", "1/min", typical=1.0, positive=True),)),
    covariates={"weight": "g", "height": "cm"},
)
SHIPPED = [name for name in catalogue.names("datasets") if catalogue.card(name).file]


def example() -> pd.DataFrame:
    return pd.DataFrame(
        [
            ("A", 1, 50, 0, np.nan, 5, np.nan, "calm"),
            ("A", 1, 50, 1, 37, np.nan, 0.5, "calm"),
            ("A", 1, 50, 2, 38, np.nan, 0.25, "calm"),
            ("B", 1, np.nan, 1, 36, 3, 0.75, "calm"),
            ("B", 1, np.nan, 3, np.nan, 4, np.nan, "restless"),
            ("B", 2, 70, 0, np.nan, 9, np.nan, "calm"),
        ],
        columns=["ward", "bed", "w_kg", "time_h", "heat_degC", "dose_mg", "y", "remark"],
    )


@pytest.fixture
def tasks() -> TaskSet:
    return TaskSet.from_frame(example(), CARD)


def same(first: xr.Dataset, second: xr.Dataset) -> None:
    """All but what tells of the file: numbers bit by bit, units, labels."""
    xr.testing.assert_identical(first.drop_attrs(deep=False), second.drop_attrs(deep=False))


def test_labels_dimensions_and_attributes(tasks: TaskSet):
    assert tasks.names == ("A / 1", "B / 1", "B / 2")
    assert len(tasks) == 3
    assert tasks.counts.tolist() == [2, 1, 0]
    assert dict(tasks.dataset.sizes) == {"task": 3, "observation": 2, "event": 2}
    assert tasks.dataset["dose"].values[1].tolist() == [3, 4]
    assert tasks.dataset["dose_time"].values[1].tolist() == [1, 3]
    assert tasks.dataset["dose_time"].attrs["units"] == "h"
    attrs = tasks.dataset.attrs
    assert attrs["dropped"] == "remark"
    assert attrs["simulated"] == "true"
    assert attrs["missing_covariates"] == "weight"
    assert (attrs["output"], attrs["rows"]) == ("effect", 6)
    assert tasks.covariate_names == ("weight",)
    assert repr(tasks) == "TaskSet('made': 3 tasks, 3 measurements)"


def test_groups_by_name_header_or_covariate(tasks: TaskSet):
    assert tasks.groups("ward").tolist() == ["A", "B", "B"]
    assert tasks.groups("task").tolist() == list(tasks.names)
    np.testing.assert_array_equal(tasks.groups("w_kg"), [50, np.nan, 70])
    with pytest.raises(InputError, match="no column 'floor'; known are ward"):
        tasks.groups("floor")
    with pytest.raises(InputError, match="'remark' is not constant"):
        tasks.groups("remark")


def test_select(tasks: TaskSet):
    by_label = tasks.select(["B / 1"])
    assert by_label.names == ("B / 1",)
    assert dict(by_label.dataset.sizes) == {"task": 1, "observation": 1, "event": 2}
    same(tasks.select(1).dataset, by_label.dataset)
    same(tasks.select("B / 1").dataset, by_label.dataset)
    same(tasks.select(slice(1, 2)).dataset, by_label.dataset)
    same(tasks.select(np.array([False, True, False])).dataset, by_label.dataset)
    assert tasks.select([2, 0]).names == ("B / 2", "A / 1")
    assert len(tasks.select([])) == 0
    with pytest.raises(InputError, match="no task 'C'"):
        tasks.select(["C"])
    with pytest.raises(InputError, match="2 booleans"):
        tasks.select(np.array([True, False]))


def test_batch_is_in_the_models_units_and_finite(tasks: TaskSet):
    batch = tasks.select([0, 2]).batch(MODEL, covariates=("height", "weight"))
    assert batch.names == ("A / 1", "B / 2")
    assert batch.inputs["time"].tolist() == [[60, 120], [60, 60]]  # no observation: borrowed, never NaN
    assert torch.allclose(batch.inputs["heat"][0], torch.tensor([310.15, 311.15], dtype=torch.float64))
    assert batch.inputs["weight"].tolist() == [[50_000, 50_000], [70_000, 70_000]]
    assert batch.inputs["dose"].flatten().tolist() == pytest.approx([0.005, 0.009])
    assert batch.inputs["dose"].shape == (2, 1, 1)
    assert batch.inputs["dose_time"].tolist() == [[[0]], [[0]]]
    assert batch.output.tolist() == [[50, 25], [0, 0]]
    assert batch.mask.tolist() == [[True, True], [False, False]]
    assert batch.covariates[:, 1].tolist() == [50_000, 70_000]
    assert batch.covariates[:, 0].isnan().all()
    assert tasks.select([0]).batch(MODEL, dtype=torch.float32).output.dtype == torch.float32


def test_padding_repeats_the_last_value():
    frame = example().iloc[[1, 2, 3]].assign(w_kg=60)
    batch = TaskSet.from_frame(frame, CARD).batch(MODEL)
    assert batch.inputs["time"].tolist() == [[60, 120], [60, 60]]
    assert batch.inputs["dose"].tolist() == [[[0]], [[0.003]]]
    assert batch.covariates.shape == (2, 0)


def test_batch_says_what_is_missing(tasks: TaskSet):
    with pytest.raises(InputError, match="model 'made' needs weight, which task 'B / 1' does not give"):
        tasks.batch(MODEL)
    with pytest.raises(InputError, match="have no 'shoe_size'; they have time, heat"):
        tasks.select([0]).batch(MODEL, covariates=("shoe_size",))
    with pytest.raises(InputError, match="have no 'time'"):
        catalogue.dataset("alloy_fatigue").batch(MODEL)


def test_batch_select_mask_and_move(tasks: TaskSet):
    batch = tasks.select([0, 2]).batch(MODEL, covariates=("weight",))
    twice = batch.select(torch.tensor([1, 0, 0]))
    assert isinstance(twice, Batch)
    assert twice.names == ("B / 2", "A / 1", "A / 1")
    assert len(twice) == 3
    assert twice.inputs["dose"].shape == (3, 1, 1)
    assert batch.select(torch.tensor([False, True])).names == ("B / 2",)
    assert batch.select(0).names == ("A / 1",)
    narrow = batch.to(dtype=torch.float32)
    assert narrow.inputs["time"].dtype == narrow.covariates.dtype == torch.float32
    assert narrow.mask.dtype == torch.bool
    support = batch.mask.clone()
    support[0, 1] = False
    assert batch.with_mask(support).mask.sum() == 1
    assert batch.mask.sum() == 2
    with pytest.raises(InputError, match="does not fit"):
        batch.with_mask(support[:, :1])


def test_frame_and_file_come_back(tasks: TaskSet, tmp_path: Path):
    same(TaskSet.from_frame(tasks.to_frame(), CARD).dataset, tasks.dataset)
    headed = tasks.to_frame(units=True)
    assert {"time [h]", "heat [degC]", "dose [mg]", "effect", "weight [kg]"} <= set(headed.columns)
    headed.to_csv(tmp_path / "tasks.csv", index=False)
    same(TaskSet.from_csv(tmp_path / "tasks.csv", CARD).dataset, tasks.dataset)


def test_frame_keeps_the_units_it_has():
    frame = example().dropna(subset="w_kg")
    in_units_of_model = TaskSet.from_frame(frame, CARD, model=MODEL)
    assert in_units_of_model.dataset["time"].attrs["units"] == "min"
    again = TaskSet.from_frame(in_units_of_model.to_frame(), CARD)
    xr.testing.assert_allclose(again.dataset, TaskSet.from_frame(frame, CARD).dataset)


def test_netcdf_comes_back_and_is_written_whole(
    tasks: TaskSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tasks.to_netcdf(tmp_path / "tasks.nc")
    again = TaskSet.from_netcdf(path)
    xr.testing.assert_identical(again.dataset, tasks.dataset)
    assert again.card == CARD
    before = path.read_bytes()

    def full(*_):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", full)  # the last step, when all is written beside the file
    with pytest.raises(InputError, match="disk full"):
        tasks.to_netcdf(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_netcdf_that_is_none(tmp_path: Path):
    with pytest.raises(InputError, match="there is no file"):
        TaskSet.from_netcdf(tmp_path / "absent.nc")
    (tmp_path / "text.nc").write_text("no")
    with pytest.raises(InputError, match="is not a NetCDF file"):
        TaskSet.from_netcdf(tmp_path / "text.nc")


finite = st.floats(-1e300, 1e300, allow_subnormal=False)


@st.composite
def task_sets(draw: st.DrawFn) -> TaskSet:
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
    labels = draw(st.lists(st.text("abcé /,\"'7", min_size=1, max_size=6).map(str.strip).filter(bool),
                           min_size=len(sizes), max_size=len(sizes), unique=True))  # fmt: skip
    rows = sum(sizes)
    column = hnp.arrays(np.float64, rows, elements=finite)
    covariate = draw(hnp.arrays(np.float64, len(sizes), elements=finite | st.just(np.nan)))
    frame = pd.DataFrame(
        {
            "task": np.repeat(labels, sizes),
            "time_h": np.abs(draw(column)),
            "heat_degC": np.abs(draw(column)),
            "dose_mg": np.where(draw(hnp.arrays(bool, rows)), np.abs(draw(column)), np.nan),
            "y": draw(column),
            "w_kg": np.repeat(covariate, sizes),
        }
    )
    return TaskSet.from_frame(frame, CARD)


@given(task_sets())
def test_any_tasks_come_back_from_a_frame(tasks: TaskSet):
    same(TaskSet.from_frame(tasks.to_frame(), CARD).dataset, tasks.dataset)


@given(task_sets())
def test_any_tasks_come_back_from_netcdf(tmp_path_factory: pytest.TempPathFactory, tasks: TaskSet):
    path = tasks.to_netcdf(tmp_path_factory.mktemp("nc") / "tasks.nc")
    again = TaskSet.from_netcdf(path)
    xr.testing.assert_identical(again.dataset, tasks.dataset)
    for name in tasks.dataset.data_vars:
        assert again.dataset[name].values.tobytes() == tasks.dataset[name].values.tobytes()


@given(task_sets(), st.randoms(use_true_random=False))
def test_order_of_tasks_does_not_matter(tasks: TaskSet, random):
    order = list(range(len(tasks)))
    random.shuffle(order)
    shuffled = tasks.select(order)
    same(shuffled.select(list(tasks.names)).dataset, tasks.dataset)


# Datasets from elsewhere ------------------------------------------------------------------------


def test_dataset_from_elsewhere_is_converted(tasks: TaskSet):
    dataset = tasks.select([0]).dataset.drop_vars(["ward", "bed"]).assign_coords(task=[7])
    taken = TaskSet.from_dataset(dataset, CARD, model=MODEL)
    assert taken.names == ("7",)
    assert taken.dataset["task"].values.tolist() == ["7"]
    assert taken.dataset["time"].values.tolist() == [[60, 120]]
    assert taken.dataset["time"].attrs["units"] == "min"
    assert taken.dataset["dose_time"].attrs["units"] == "min"
    without = TaskSet.from_dataset(dataset.drop_vars("weight"), CARD)
    assert np.isnan(without.dataset["weight"].values).all()
    minutes = dataset.assign(dose_time=(dataset["dose_time"] + 1).assign_attrs(units="min"))
    assert TaskSet.from_dataset(minutes, CARD).dataset["dose_time"].values == pytest.approx(1 / 60)
    stored = TaskSet.from_dataset(dataset.assign_attrs(card=json.dumps(CARD.to_dict())))
    assert stored.card == CARD


def _with(dataset: xr.Dataset, name: str, value: float) -> xr.Dataset:
    changed = dataset.copy(deep=True)
    changed[name].values.flat[0] = value
    return changed


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda ds: ds.assign_coords(task=["a", "b", "a"]), "has two tasks of the name 'a'"),
        (lambda ds: ds.drop_vars("task"), "no coordinate 'task'"),
        (lambda ds: ds.drop_vars("heat"), "no variable 'heat'"),
        (lambda ds: ds.transpose(), "must hold numbers with the dimensions task, observation"),
        (lambda ds: ds.assign(effect=ds["effect"].astype(str)), "must hold numbers"),
        (lambda ds: ds.assign(time=ds["time"].assign_attrs(units="kg")), "cannot be in 'kg'"),
        (
            lambda ds: ds.assign(time=ds["time"].drop_attrs()),
            "'time' does not say its unit; set its .attrs['units'], to 'h'",
        ),
        (lambda ds: ds.assign(dose=ds["dose"].drop_attrs()), "'dose' does not say its unit"),
        (lambda ds: ds.assign(dose_time=ds["dose_time"].drop_attrs()), "'dose_time' does not say its unit"),
        (lambda ds: ds.assign(weight=ds["weight"].drop_attrs()), "'weight' does not say its unit"),
        (lambda ds: ds.assign(weight=ds["weight"].assign_attrs(units=" ")), "'weight' does not say its unit"),
        (lambda ds: ds.assign(heat=ds["heat"].assign_attrs(units=5)), "'heat' does not say its unit"),
        (
            lambda ds: ds.assign(heat=ds["heat"].assign_attrs(units="delta_degC")),
            "is a difference of temperatures",
        ),
        (
            lambda ds: ds.assign_coords(task=["a\x07", "b", "c"]),
            "task a?: the cell holds a control character",
        ),
        (lambda ds: _with(ds, "effect", np.inf), "'effect' of task 'A / 1' has an infinite value"),
        (lambda ds: _with(ds, "heat", np.nan), "'heat' of task 'A / 1' is unknown"),
        (lambda ds: _with(ds, "heat", -300), "column 'heat', task A / 1: -300.0 lies below absolute zero"),
        (lambda ds: _with(ds, "time", -1), "lies before time zero"),
        (lambda ds: _with(ds, "dose", -1), "not negative"),
        (lambda ds: _with(ds, "dose_time", np.nan), "and a time"),
    ],
)
def test_dataset_from_elsewhere_that_does_not_fit(tasks: TaskSet, spoil, reason: str):
    with pytest.raises(InputError) as caught:
        TaskSet.from_dataset(spoil(tasks.dataset), CARD)
    assert reason in str(caught.value)


def test_dataset_without_a_card(tasks: TaskSet):
    with pytest.raises(InputError, match="has no card"):
        TaskSet.from_dataset(tasks.dataset)
    with pytest.raises(InputError, match="is not JSON"):
        TaskSet.from_dataset(tasks.dataset.assign_attrs(card="{"))


# real data, and many tasks ----------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_data_come_back(name: str, tmp_path: Path):
    check_round_trips(catalogue.dataset(name), tmp_path)


def test_steel_tempering_comes_back(tmp_path: Path):
    tasks = catalogue.dataset("steel_tempering")
    check_round_trips(tasks, tmp_path)
    assert len(set(tasks.groups("steel"))) == 28
    assert (tasks.counts >= (tasks.card.minimum_rows or 0)).sum() == 27


def check_round_trips(tasks: TaskSet, folder: Path) -> None:
    assert len(tasks) == tasks.card.tasks
    assert tasks.dataset.attrs["rows"] == tasks.card.rows
    assert tasks.dataset.attrs["checksum"] == tasks.card.sha256
    again = TaskSet.from_frame(tasks.to_frame(), tasks.card)
    same_measurements(again, tasks)
    xr.testing.assert_identical(TaskSet.from_netcdf(tasks.to_netcdf(folder / "x.nc")).dataset, tasks.dataset)
    tasks.to_frame(units=True).to_csv(folder / "x.csv", index=False)
    same_measurements(TaskSet.from_csv(folder / "x.csv", tasks.card), tasks)


def same_measurements(again: TaskSet, tasks: TaskSet) -> None:
    """Bit by bit; structures, which are numbered in the order of the rows, by what they are."""
    if any(column.kind for column in tasks.card.columns):
        pd.testing.assert_frame_equal(again.to_frame(), tasks.to_frame())
    else:
        same(again.dataset, tasks.dataset)


def test_ten_thousand_tasks_are_quick():
    tasks, rows = 10_000, 10
    frame = pd.DataFrame(
        {
            "task": np.repeat([f"task {i}" for i in range(tasks)], rows),
            "time_h": np.tile(np.arange(rows), tasks),
            "heat_degC": 37.0,
            "dose_mg": np.nan,
            "y": 0.5,
            "w_kg": np.repeat(np.linspace(1, 100, tasks), rows),
        }
    ).sample(frac=1, random_state=0)
    began = time.process_time()
    batch = TaskSet.from_frame(frame, CARD).batch(MODEL, covariates=("weight",))
    assert time.process_time() - began < 5  # about half a second; no more than a guard against loops
    assert batch.output.shape == (tasks, rows)
    assert batch.inputs["dose"].shape == (tasks, 1, 1)  # one that is blank
