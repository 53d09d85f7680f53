"""Files: each is written whole or not at all, and tensors are kept without pickle."""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from metasci.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["State", "read_tensors", "write_atomically", "write_dataset", "write_tensors"]

State = dict[str, Tensor]
"""Everything a method has learned or carries from one iteration to the next, by name."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file or nothing: into a neighbour first, then renamed over the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_tensors(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors, atomically."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    write_atomically(path, to_bytes(tensors, dict(metadata)))


def read_tensors(path: Path) -> tuple[State, dict[str, str]]:
    """Read tensors and metadata from a safetensors file.

    Raises
    ------
    InputError
        If the file is missing or is not safetensors.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except Exception as error:
        raise InputError(f"{path}: this is not a readable safetensors file ({error}).") from error


def write_dataset(dataset: xr.Dataset, path: Path) -> None:
    """Write a new NetCDF file, all of it or nothing."""
    if path.suffix != ".nc":
        raise InputError(f"'{path}' must end in .nc.")
    if path.exists():
        raise InputError(f"'{path}' exists; give a new name.")
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        dataset.to_netcdf(unfinished, engine="h5netcdf")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
