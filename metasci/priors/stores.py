"""Results larger than memory: NetCDF files and Zarr stores, opened without being read, put together of parts."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from metasci.data.inside import check_hdf5, check_zarr
from metasci.errors import InputError
from metasci.files import Unfailing, writing

__all__ = ["STORES", "assemble", "check_complete", "checked_target", "open_store", "reading"]

STORES = (".nc", ".zarr")
# numbers are taken as they stand: units such as 'h' are ours and no time codes; an index of all tasks is not built
_AS_STORED: dict[str, Any] = {
    "mask_and_scale": False,
    "decode_times": False,
    "decode_timedelta": False,
    "create_default_indexes": False,
}


def open_store(path: str | Path) -> xr.Dataset:
    """Open a NetCDF file or a Zarr store without reading more than its shape.

    Parameters
    ----------
    path : path
        Its name ends in ``.nc`` or ``.zarr``.

    Returns
    -------
    xarray.Dataset
        Values are read when used. The tasks' names have no index, which would hold them all in memory;
        ``dataset.set_xindex("task")`` makes one, for ``dataset.sel(task="…")``.

    Raises
    ------
    InputError
        If there is none, it cannot be read, its numbers lie in another file, or zarr is not installed.
    """
    path = Path(path)
    _needs_zarr(path)
    if not path.exists():
        raise InputError(f"there is no file '{path}'.")
    try:
        if path.suffix == ".zarr":
            check_zarr(path)
            return xr.open_zarr(path, chunks=None, consolidated=False, **_AS_STORED)
        check_hdf5(path)
        return xr.open_dataset(path, engine="h5netcdf", **_AS_STORED)
    except InputError:
        raise
    except Exception as error:  # of HDF5, of Zarr, of a description that is not one
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"'{path}' is not a readable NetCDF file or Zarr store: {reason}.") from None


def check_complete(path: Path) -> None:
    """Refuse a Zarr store that lacks a piece of an array, in whose place a number would stand that nobody measured.

    Where NaN would stand, nothing is known there, as where a store leaves such pieces out.
    """
    if path.suffix != ".zarr" or not path.exists() or find_spec("zarr") is None:
        return
    import zarr

    check_zarr(path)
    with reading(path), warnings.catch_warnings():
        warnings.simplefilter(
            "error", UserWarning
        )  # of parts that are no arrays, since their description is lost
        arrays = list(zarr.open_group(path, mode="r").arrays())
        pieces = {name: (array.nchunks, array.nchunks_initialized) for name, array in arrays}
    for name, array in arrays:
        count, there = pieces[name]
        if there < count and not (array.dtype.kind == "f" and np.isnan(array.fill_value)):
            raise InputError(
                f"'{path}': of '{name}' {count - there} of {count} pieces are missing; copy it anew, or write it "
                "with its empty pieces (write_empty_chunks)."
            )


@contextmanager
def reading(path: object) -> Iterator[None]:
    """Say in a sentence that a store cannot be read, of which the pieces are met as late as they are used."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # of HDF5, of Zarr, and of what they are compressed with
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"'{path}' cannot be read to its end: {reason}.") from error


def checked_target(out: Path) -> Path:
    """Where to write; refused, before any work, if that cannot be."""
    if out.suffix not in STORES:
        raise InputError(f"out: '{out}' is to end in .nc (NetCDF) or .zarr (Zarr).")
    if out.exists():
        raise InputError(f"out: '{out}' is there already; remove it or give another name.")
    _needs_zarr(out)
    return out


def _needs_zarr(path: Path) -> None:
    if path.suffix == ".zarr" and find_spec("zarr") is None:
        raise InputError(
            f"'{path}' needs zarr, which is not installed: pip install 'metasci-calibration[scale]'."
        )


def assemble(parts: Sequence[Path], folder: Path, target: Path, count: int) -> None:
    """Put the parts together into one store, in a folder: all of it or nothing."""
    unfinished = folder / f"whole{target.suffix}.partial"
    write = _write_zarr if target.suffix == ".zarr" else _write_netcdf
    with writing(target):
        try:
            write(parts, unfinished, count)
            unfinished.replace(target)
        finally:
            if unfinished.is_dir():
                shutil.rmtree(unfinished)
            unfinished.unlink(missing_ok=True)


def _write_zarr(parts: Sequence[Path], path: Path, count: int) -> None:
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=3)

    def create(name: str, dims: tuple[str, ...], shape: tuple[int, ...], values: NDArray[Any]) -> Any:
        dtype = str if values.dtype == object else values.dtype
        return group.create_array(
            name,
            shape=shape,
            chunks=values.shape,
            dtype=dtype,
            dimension_names=dims,
            config={"write_empty_chunks": True},  # a piece that is missing is lost, and not zero
        )

    _fill(parts, create, group.attrs, count)


def _write_netcdf(parts: Sequence[Path], path: Path, count: int) -> None:
    import h5netcdf
    import h5py

    with open_store(parts[0]) as first, Unfailing(path, "w+b") as disk:
        with h5netcdf.File(disk, "w") as file:
            file.dimensions = {str(name): size for name, size in first.sizes.items()} | {"task": count}

            def create(name: str, dims: tuple[str, ...], shape: tuple[int, ...], values: NDArray[Any]) -> Any:
                return file.create_variable(
                    name, dims, h5py.string_dtype() if values.dtype == object else values.dtype
                )

            _fill(parts, create, file.attrs, count, disk.check)
        disk.check()


def _fill(
    parts: Sequence[Path],
    create: Callable[..., Any],
    attrs: Any,
    count: int,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Create every variable at its full size, then write the parts into their places, each followed by a check."""
    arrays: dict[str, Any] = {}
    at = 0
    for part in parts:
        with open_store(part) as opened:
            piece = opened.load()
        for key, variable in piece.variables.items():
            name, values = str(key), _storable(variable.values)
            grows = variable.dims[0] == "task"
            if name not in arrays:
                shape = (count, *values.shape[1:]) if grows else values.shape
                arrays[name] = create(name, tuple(str(dim) for dim in variable.dims), shape, values)
                # as xarray writes what is true or false
                stored_as = {"dtype": "bool"} if variable.dtype == bool else {}
                arrays[name].attrs.update({**variable.attrs, **stored_as})
                arrays[name][: len(values)] = values
            elif grows:
                arrays[name][at : at + len(values)] = values
        at += piece.sizes["task"]
        check()
    labels = " ".join(str(name) for name in piece.coords if name not in piece.dims)
    attrs.update({**piece.attrs, "coordinates": labels})


def _storable(values: NDArray[Any]) -> NDArray[Any]:
    """Texts as objects, what is true or false as small integers."""
    if values.dtype.kind in "OUT":
        return values.astype(object)
    return values.astype("i1") if values.dtype == bool else values
