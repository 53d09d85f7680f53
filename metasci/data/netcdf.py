"""Tasks as NetCDF files, which keep numbers to the bit, units and the card."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import xarray as xr

from metasci.data.arrays import content_sum
from metasci.data.cards import Card
from metasci.data.cells import bytes_of
from metasci.data.inside import check_hdf5
from metasci.errors import InputError
from metasci.files import write_atomically

__all__ = ["read_netcdf", "write_netcdf"]

_SUM = "sum_of_content"


def read_netcdf(path: str | Path) -> xr.Dataset:
    """The Dataset of a file, as it is stored.

    Raises
    ------
    InputError
        If there is none, it is broken, or holds other numbers than `write_netcdf` wrote.
    """
    bytes_of(path)
    hook, sys.unraisablehook = (
        sys.unraisablehook,
        _silent,
    )  # h5netcdf complains of what it half opened as it goes
    try:
        check_hdf5(
            path, whole=True
        )  # what is no HDF5 is found here, too; h5netcdf would complain once more on leaving
        # values are not decoded: units such as 'h' are ours and no time codes
        dataset = xr.load_dataset(
            path, engine="h5netcdf", mask_and_scale=False, decode_times=False, decode_timedelta=False
        )
        stored = dataset.attrs.pop(_SUM, None)
        sound = stored is None or stored == content_sum(dataset)
    except InputError:
        raise
    except Exception as error:  # HDF5 and its readers raise many kinds on a broken file
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise InputError(f"'{path}' is not a NetCDF file that can be read: {reason}.") from None
    finally:
        sys.unraisablehook = hook
    if not sound:
        raise InputError(
            f"'{path}' is broken: it holds other numbers than were written (if that was meant, remove the attribute "
            f"{_SUM})."
        )
    return dataset


def _silent(unraisable: object) -> None:
    pass


def write_netcdf(dataset: xr.Dataset, card: Card, path: str | Path) -> Path:
    """Write a file, all of it or nothing; numbers come back bit by bit."""
    path = Path(path)
    stored = dataset.assign_attrs({"card": json.dumps(card.to_dict()), _SUM: content_sum(dataset)})
    encoding = {name: {"_FillValue": None} for name in stored.data_vars}
    write_atomically(path, bytes(stored.to_netcdf(engine="h5netcdf", encoding=encoding)))
    return path
