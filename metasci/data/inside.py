"""Arrays that keep to their own file or folder: HDF5 and Zarr could lead to any other file of the machine."""

from __future__ import annotations

import math
import stat
from pathlib import Path
from typing import Any

from metasci.errors import InputError
from metasci.regular_files import MOST_BYTES

__all__ = ["check_hdf5", "check_zarr"]


def check_hdf5(path: str | Path, whole: bool = False) -> None:
    """Refuse a file of HDF5 whose numbers lie in another file, or unpack to more than may be held.

    Parameters
    ----------
    path : path
        Of the file.
    whole : bool, optional
        Whether all is going to be read at once, and not piece by piece.

    Raises
    ------
    InputError
        On an external link, external storage, a view of other files, or more than 256 MB.
    OSError
        If it is no HDF5.
    """
    import h5py

    elsewhere: list[str] = []
    sizes: dict[str, int] = {}

    def link(name: bytes, info: Any) -> None:
        if info.type == h5py.h5l.TYPE_EXTERNAL:
            elsewhere.append(name.decode("utf-8", "replace"))

    def array(name: str, found: object) -> None:
        if isinstance(found, h5py.Dataset):
            if found.external or found.is_virtual:
                elsewhere.append(name)
            shape = found.shape if whole or not found.chunks else found.chunks
            if whole or found.chunks:
                sizes[name] = math.prod(shape or ()) * found.dtype.itemsize

    with h5py.File(path, "r") as file:
        file.id.links.visit(link, info=True)
        if not elsewhere:
            file.visititems(array)
    if elsewhere:
        raise InputError(
            f"'{path}': the numbers of '{elsewhere[0]}' lie in another file, where nothing is read; copy them into it."
        )
    if (sum(sizes.values()) if whole else max(sizes.values(), default=0)) > MOST_BYTES:
        raise _too_large(path, max(sizes, key=lambda name: sizes[name]))


def check_zarr(folder: Path) -> None:
    """Refuse a Zarr store that holds links or pipes.

    Raises
    ------
    InputError
        On a piece that is no regular file of the folder itself.
    """
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise InputError(
                f"'{folder}': '{path.relative_to(folder)}' is no regular file; copy the numbers into the store."
            )


def _too_large(path: str | Path, name: str) -> InputError:
    return InputError(
        f"'{path}': '{name}' unpacks to more than {MOST_BYTES >> 20} MB at once; give fewer tasks, or smaller pieces."
    )
