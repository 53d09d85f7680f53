"""Files: each is written whole or not at all, a folder too, and tensors are kept without pickle."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save as to_bytes
from torch import Tensor

from metasci.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "State",
    "check_new",
    "netcdf",
    "read_tensors",
    "tensors_as_bytes",
    "tensors_checksum",
    "write_atomically",
    "write_dataset",
    "write_folder",
    "write_tensors",
]

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


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> Path:
    """Write all files of a folder, or none: all are complete on disk before the first appears under its name.

    A folder that is not there yet appears whole. In one that is there files of these names are replaced, others stay.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for name, content in contents.items():
            write_atomically(unfinished / name, content)
        unfinished.chmod(0o755)
        if not folder.exists():
            try:
                unfinished.replace(folder)
                return folder
            except OSError:  # somebody else was quicker: as if it had been there
                if not folder.is_dir():
                    raise
        for name in contents:
            (unfinished / name).replace(folder / name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def tensors_as_bytes(state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Tensors as the content of a safetensors file; each is copied, since the format takes none that share memory."""
    return to_bytes(
        {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}, dict(metadata)
    )


def write_tensors(path: Path, state: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors, atomically."""
    write_atomically(path, tensors_as_bytes(state, metadata))


def read_tensors(path: Path) -> tuple[State, dict[str, str]]:
    """Read tensors and metadata from a safetensors file.

    Raises
    ------
    InputError
        If the file is missing or is not safetensors.
    """
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except Exception as error:  # a broken header shows itself in many ways
        raise InputError(f"{path}: this is not a readable safetensors file ({error}).") from error


def tensors_checksum(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of tensors: of their names, types, shapes and numbers, whatever their order in a file.

    Examples
    --------
    >>> import torch
    >>> one, two = {"a": torch.zeros(2), "b": torch.ones(())}, {"b": torch.ones(()), "a": torch.zeros(2)}
    >>> tensors_checksum(one) == tensors_checksum(two) != tensors_checksum({**one, "b": torch.zeros(())})
    True
    """
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        kept = value.detach().cpu().contiguous()
        digest.update(f"{name} {kept.dtype} {tuple(kept.shape)}\n".encode())
        digest.update(kept.numpy().tobytes())
    return digest.hexdigest()


def netcdf(dataset: xr.Dataset) -> bytes:
    """A Dataset as the content of a NetCDF file, made in memory: HDF5 does not survive a disk that is full."""
    return bytes(dataset.to_netcdf(engine="h5netcdf"))


def write_dataset(dataset: xr.Dataset, path: Path) -> None:
    """Write a new NetCDF file, all of it or nothing."""
    check_new(path)
    write_atomically(path, netcdf(dataset))


def check_new(path: Path) -> None:
    """Refuse, before any work, where no new NetCDF file can be written."""
    if path.suffix != ".nc":
        raise InputError(f"'{path}' must end in .nc.")
    if path.exists():
        raise InputError(f"'{path}' exists; give a new name.")
