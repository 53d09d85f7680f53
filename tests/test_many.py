"""More tasks than memory holds: piece by piece, with the results of calibrating all at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import metasci as ms
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.meta import MAML, GaussianPrior
from metasci.priors import many, stores
from metasci.priors.equation import Prior, meta_calibrate
from metasci.priors.load import load

ALL = ("theophylline", "phenobarbital", "steel_tempering", "alloy_fatigue")


@pytest.fixture(scope="module")
def prior() -> Prior:
    return load("theophylline")


@pytest.fixture(scope="module")
def patients() -> TaskSet:
    """Twelve patients, ragged: 1 to 11 samples are left of each."""
    tasks = ms.dataset("theophylline")
    dataset = tasks.dataset.copy(deep=True)
    for row in range(len(tasks)):
        for name in ("time", "concentration"):
            dataset[name].values[row, row % 11 + 1 :] = np.nan
    return TaskSet(dataset, tasks.card)


@pytest.fixture(scope="module")
def together(prior: Prior, patients: TaskSet) -> xr.Dataset:
    return prior.calibrate(patients).to_xarray(predictions=False)


def agree(found: xr.Dataset, expected: xr.Dataset) -> None:
    """The same labels, and the same numbers to twelve digits."""
    assert found["task"].values.tolist() == expected["task"].values.tolist()
    assert found["parameter"].values.tolist() == expected["parameter"].values.tolist()
    assert found["unit"].values.tolist() == expected["unit"].values.tolist()
    assert set(found.data_vars) == set(expected.data_vars)
    for name, variable in expected.data_vars.items():
        assert found[name].dtype == variable.dtype
        assert found[name].dims == variable.dims
        np.testing.assert_allclose(found[name].values, variable.values, rtol=1e-12, atol=1e-12, err_msg=name)


# the same results ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("chunk", [1, 4, 7, None])
def test_pieces_give_what_the_whole_gives(name: str, chunk: int | None) -> None:
    """Covariates, dose histories and ragged tasks, which pieces pad differently."""
    learned, tasks = load(name), ms.dataset(name, model=load(name).model)
    tasks = tasks.select(slice(12))
    expected = learned.calibrate(tasks).to_xarray(level=0.8, predictions=False)
    agree(learned.calibrate_many(tasks, chunk=chunk, level=0.8), expected)


@pytest.mark.parametrize(
    "method",
    [MAML(iterations=3), GaussianPrior(iterations=4, penalty=0.5), GaussianPrior(4, task_noise=True)],
)
def test_every_method_gives_what_the_whole_gives(method: Any, patients: TaskSet) -> None:
    learned = meta_calibrate(load("theophylline").model, ms.dataset("theophylline"), method)
    agree(learned.calibrate_many(patients, chunk=5), learned.calibrate(patients).to_xarray(predictions=False))


def test_tasks_without_a_measurement_stay_at_the_prior(prior: Prior, patients: TaskSet) -> None:
    """A piece may hold nothing but padding."""
    dataset = patients.dataset.copy(deep=True)
    for name in ("time", "concentration"):
        dataset[name].values[2:6] = np.nan
    found = prior.calibrate_many(dataset, chunk=2)
    agree(found, prior.calibrate(dataset).to_xarray(predictions=False))
    assert (found["estimate"] == found["prior"])[2:6].all()
    assert (found["estimate"] != found["prior"])[6:].any()


@pytest.mark.parametrize("form", ["Dataset", "dask", "nc", "zarr"])
@pytest.mark.parametrize("out", [None, "result.nc", "result.zarr"])
@pytest.mark.filterwarnings("ignore::UserWarning:zarr")
def test_wherever_the_data_lie_and_go(
    form: str, out: str | None, prior: Prior, patients: TaskSet, together: xr.Dataset, tmp_path: Path
) -> None:
    data: Any = patients.dataset
    if "zarr" in f"{form} {out}":
        pytest.importorskip("zarr")
    if form == "dask":
        pytest.importorskip("dask")
        data = data.chunk({"task": 3})
    elif form == "nc":
        data = patients.to_netcdf(tmp_path / "tasks.nc")
    elif form == "zarr":
        with_objects = data.assign_coords({name: coord.astype(object) for name, coord in data.coords.items()})
        with_objects.to_zarr(tmp_path / "tasks.zarr", consolidated=False)
        data = tmp_path / "tasks.zarr"
    found = prior.calibrate_many(data, chunk=5, out=None if out is None else tmp_path / out)
    agree(found, together)
    assert found.sel(parameter="clearance").sizes["task"] == len(patients)
    if out is not None:
        again = stores.open_store(tmp_path / out)
        agree(again, together)
        assert again.set_xindex("task")["estimate"].sel(task="1").shape == (3,)
        assert again.attrs == {**together.attrs, "simulated": "false"}
        found.close(), again.close()
        assert not list(tmp_path.glob(".*"))


@pytest.mark.filterwarnings("ignore::UserWarning:zarr")
def test_labels_of_any_length_come_back_whole(prior: Prior, patients: TaskSet, tmp_path: Path) -> None:
    """A store of fixed-width texts would cut those that are longer than the first piece's."""
    pytest.importorskip("zarr")
    names = [("patient " * (row + 1)).strip() for row in range(len(patients))]
    dataset = patients.dataset.assign_coords(task=names)
    for suffix in ("nc", "zarr"):
        found = prior.calibrate_many(dataset, chunk=2, out=tmp_path / f"result.{suffix}")
        assert found["task"].values.tolist() == names


def test_simulated_data_stay_labelled(prior: Prior, patients: TaskSet, tmp_path: Path) -> None:
    dataset = patients.dataset.assign_attrs(simulated="true")
    assert prior.calibrate_many(dataset).attrs["simulated"] == "true"
    assert prior.calibrate_many(dataset, out=tmp_path / "r.nc").attrs["simulated"] == "true"


# little memory ------------------------------------------------------------------------------------


def test_no_more_than_a_piece_is_read_at_a_time(
    prior: Prior, patients: TaskSet, together: xr.Dataset
) -> None:
    array = pytest.importorskip("dask.array")
    events: list[str] = []

    def seen(block: np.ndarray) -> np.ndarray:
        if block.size:
            events.append(f"read {len(block)}")
        return block

    lazy = patients.dataset.chunk({"task": 4})
    watched = array.map_blocks(seen, lazy["concentration"].data, dtype=float, meta=np.empty((0, 0)))
    lazy["concentration"] = (("task", "observation"), watched, lazy["concentration"].attrs)
    real = many._calibrate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(many, "_calibrate", lambda *a, **k: (events.append("calibrated"), real(*a, **k))[1])
        agree(prior.calibrate_many(lazy, chunk=4), together)
    assert events == ["read 4", "calibrated"] * 3


def test_pieces_are_smaller_where_tasks_are_larger(prior: Prior) -> None:
    def wide(observations: int, tasks: int = 10**6) -> int:
        data = xr.Dataset({"time": (("task", "observation"), np.broadcast_to(np.nan, (tasks, observations)))})
        return many.piece_size(prior, data)

    assert 1000 < wide(100) < wide(3) <= 50_000
    assert wide(4 * 10**6) == 1
    with pytest.raises(InputError, match=r"1,000,000,000 measurements of each task takes 192\.0 GB"):
        wide(10**9)
    assert wide(3, tasks=10) == wide(3)


# interrupted --------------------------------------------------------------------------------------


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, ...]]]:
    """The names of the tasks of each piece that is calibrated."""
    seen: list[tuple[str, ...]] = []
    real = many._calibrate

    def watched(prior: Prior, tasks: TaskSet, **how: Any) -> xr.Dataset:
        seen.append(tasks.names)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(prior, tasks, **how)

    monkeypatch.setattr(many, "_calibrate", watched)
    return seen


def test_an_interrupted_run_goes_on(
    calls: list[Any], prior: Prior, patients: TaskSet, together: xr.Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "result.nc"
    with pytest.raises(KeyboardInterrupt):
        prior.calibrate_many(patients, chunk=3, out=out)
    assert not out.exists()
    agree(prior.calibrate_many(patients, chunk=3, out=out), together)
    assert [names[0] for names in calls] == ["1", "4", "7", "7", "10"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["result.nc"]


@pytest.mark.parametrize("change", ["measurement", "level", "prior"])
def test_only_what_has_changed_is_done_again(
    change: str, calls: list[Any], prior: Prior, patients: TaskSet, tmp_path: Path
) -> None:
    out, level = tmp_path / "result.nc", 0.9
    with pytest.raises(KeyboardInterrupt):
        prior.calibrate_many(patients, chunk=3, out=out)
    if change == "measurement":
        dataset = patients.dataset.copy(deep=True)
        dataset["concentration"].values[4, 0] += 1.0
        patients = TaskSet(dataset, patients.card)
    elif change == "level":
        level = 0.5
    else:
        prior = replace(prior, state=replace(prior.state, log_noise=prior.state.log_noise + 0.1))
    found = prior.calibrate_many(patients, chunk=3, out=out, level=level)
    again = ["4", "7", "10"] if change == "measurement" else ["1", "4", "7", "10"]
    assert [names[0] for names in calls[3:]] == again
    agree(found, prior.calibrate(patients).to_xarray(level=level, predictions=False))


# a bad task ---------------------------------------------------------------------------------------


def test_a_task_that_turns_non_finite_is_flagged_and_disturbs_no_other(
    prior: Prior, patients: TaskSet, together: xr.Dataset
) -> None:
    dataset = patients.dataset.copy(deep=True)
    dataset["dose"].values[4] = 1e300  # squares of what it predicts are beyond any number
    found = prior.calibrate_many(dataset, chunk=3)
    assert found["task"].values[~found["converged"].values].tolist() == ["5"]
    assert (found["estimate"] == found["prior"]).sel(task="5").all()
    others = np.arange(len(patients)) != 4
    agree(found.isel(task=others), together.isel(task=others))


# a cluster ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("out", [None, "result.nc"])
def test_a_cluster_gives_the_same(
    out: str | None, prior: Prior, patients: TaskSet, together: xr.Dataset, tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.Client(
        processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None
    ) as client:
        found = prior.calibrate_many(
            patients, chunk=2, client=client, out=None if out is None else tmp_path / out
        )
        agree(found, together)
        bad = patients.dataset.copy(deep=True)
        bad["time"].values[7, 0] = -1.0
        with pytest.raises(InputError, match=r"task 8: -1\.0 lies below"):
            prior.calibrate_many(bad, chunk=2, client=client)


def test_a_prior_travels_to_a_worker(prior: Prior, patients: TaskSet) -> None:
    """An equation is a model under its function's name, which plain pickle refuses."""
    cloudpickle = pytest.importorskip("cloudpickle")
    again = cloudpickle.loads(cloudpickle.dumps(prior))
    xr.testing.assert_identical(again.calibrate_many(patients), prior.calibrate_many(patients))


# errors -------------------------------------------------------------------------------------------


def test_what_cannot_be_is_said_in_a_sentence(
    prior: Prior, patients: TaskSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there.nc").write_text("not NetCDF")
    cases: list[tuple[str, dict[str, Any]]] = [
        ("result.csv' is to end in .nc", {"data": patients, "out": tmp_path / "result.csv"}),
        ("there.nc' is there already", {"data": patients, "out": tmp_path / "there.nc"}),
        ("there.nc' is not a readable NetCDF file", {"data": tmp_path / "there.nc"}),
        ("there is no file", {"data": tmp_path / "nowhere.nc"}),
        ("chunk: 0 is not a number of tasks", {"data": patients, "chunk": 0}),
        ("no task to calibrate", {"data": patients.select([])}),
        ("no dimension 'task'", {"data": xr.Dataset()}),
    ]
    for sentence, arguments in cases:
        with pytest.raises(InputError, match=sentence):
            prior.calibrate_many(**arguments)
    for module in (many, stores):
        monkeypatch.setattr(module, "find_spec", lambda name: None)
    for arguments in ({"out": tmp_path / "r.zarr"}, {"client": "tcp://127.0.0.1:1"}):
        with pytest.raises(InputError, match=r"pip install 'metasci-calibration\[scale\]'"):
            prior.calibrate_many(patients, **arguments)
    assert [path.name for path in tmp_path.iterdir()] == ["there.nc"]
