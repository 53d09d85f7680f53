"""Stores of arrays keep to their own file or folder, and to a size."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import h5netcdf
import h5py
import numpy as np
import pytest

import metasci as ms
from metasci.errors import InputError
from metasci.priors.stores import open_store

NAME = "concentration"


def _external_link(file: h5py.File, other: Path) -> None:
    with h5py.File(other, "w") as elsewhere:
        file.copy(NAME, elsewhere)
    del file[NAME]
    file[NAME] = h5py.ExternalLink(str(other), f"/{NAME}")


def _external_storage(file: h5py.File, other: Path) -> None:
    shape = file[NAME].shape
    other.write_bytes(np.ones(shape).tobytes())
    del file[NAME]
    file.create_dataset(NAME, shape, "f8", external=[(str(other), 0, h5py.h5f.UNLIMITED)])


def _view(file: h5py.File, other: Path) -> None:
    shape = file[NAME].shape
    with h5py.File(other, "w") as elsewhere:
        elsewhere["x"] = np.ones(shape)
    del file[NAME]
    layout = h5py.VirtualLayout(shape, "f8")
    layout[...] = h5py.VirtualSource(str(other), "x", shape=shape)
    file.create_virtual_dataset(NAME, layout)


@pytest.mark.parametrize("lead_out", [_external_link, _external_storage, _view])
def test_numbers_of_another_file_are_not_read(
    lead_out: Callable[[h5py.File, Path], None], tmp_path: Path
) -> None:
    path = ms.dataset("theophylline").to_netcdf(tmp_path / "tasks.nc")
    with h5py.File(path, "r+") as file:
        del file.attrs["sum_of_content"]
        lead_out(file, tmp_path / "other")
    prior = ms.load("theophylline")
    for reading in (lambda: ms.dataset(path), lambda: prior.calibrate_many(path, out=tmp_path / "out.nc")):
        with pytest.raises(InputError, match=f"the numbers of '{NAME}' lie in another file"):
            reading()
    assert not (tmp_path / "out.nc").exists()


def test_a_small_file_that_unpacks_to_gigabytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tasks.nc"
    with h5netcdf.File(path, "w") as file:
        file.dimensions = {"task": 1 << 12, "observation": 1 << 20}
        for name, unit in ((NAME, "mg/L"), ("time", "h")):
            made = file.create_variable(
                name, ("task", "observation"), "f8", chunks=(1 << 6, 1 << 20), compression="gzip"
            )
            made.attrs["units"] = unit
    assert path.stat().st_size < 100_000
    with pytest.raises(InputError, match="unpacks to more than 256 MB"):
        ms.dataset(path)
    with pytest.raises(InputError, match="unpacks to more than 256 MB"):
        ms.load("theophylline").calibrate_many(path, out=tmp_path / "out.nc")


@pytest.mark.skipif(sys.platform == "win32", reason="links and pipes of POSIX")
def test_a_zarr_store_holds_no_links_and_no_pipes(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    assert zarr
    prior = ms.load("theophylline")
    prior.calibrate_many(ms.dataset("theophylline"), out=tmp_path / "result.zarr")
    chunk = next(path for path in (tmp_path / "result.zarr").rglob("c/*") if path.is_file())
    kept = chunk.rename(tmp_path / "kept")
    for make in (lambda: chunk.symlink_to(kept), lambda: os.mkfifo(chunk)):
        make()
        with pytest.raises(InputError, match="is no regular file"):
            open_store(tmp_path / "result.zarr")
        chunk.unlink()


def test_a_task_that_no_memory_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tasks.nc"
    with h5netcdf.File(path, "w") as file:
        file.dimensions = {"task": 2, "observation": 1 << 24}
        for name, unit, dims in (
            (NAME, "mg/L", 2),
            ("time", "h", 2),
            ("dose", "mg/kg", 1),
            ("weight", "kg", 1),
        ):
            over, chunks = ("task", "observation")[:dims], (1, 1 << 20)[:dims]
            made = file.create_variable(name, over, "f8", chunks=chunks, compression="gzip", fillvalue=1.0)
            made.attrs["units"] = unit
        file.create_variable("task", ("task",), h5py.string_dtype())[:] = np.array(["a", "b"], dtype=object)
    with pytest.raises(InputError, match=r"16,777,216 measurements of each task takes 3\.2 GB"):
        ms.load("theophylline").calibrate_many(path, out=tmp_path / "out.nc")
    assert {found.name for found in tmp_path.iterdir()} == {"tasks.nc"}
