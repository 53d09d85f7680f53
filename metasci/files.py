"""Files: each is written whole or not at all, a folder too, and tensors are kept without pickle."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save as to_bytes
from torch import Tensor

from metasci.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "State",
    "Unfailing",
    "check_new",
    "held",
    "netcdf",
    "read_tensors",
    "seen",
    "tensor_bytes",
    "tensors_as_bytes",
    "tensors_checksum",
    "write_atomically",
    "write_dataset",
    "write_folder",
    "write_tensors",
    "writing",
    "written_since",
]

State = dict[str, Tensor]
"""Everything a method has learned or carries from one iteration to the next, by name."""


_PARTIAL = ".partial"
_ABANDONED = 600.0  # seconds since anything was written to it: who wrote it was killed


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say in a sentence why something cannot be written, such as on a disk that is full.

    Raises
    ------
    InputError
        In place of an OSError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"'{path}' cannot be written: {reason}; nothing of it was kept.") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a whole file or nothing: into a neighbour first, then renamed over the old one.

    Raises
    ------
    InputError
        If it cannot be written; then nothing is left of it.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.", suffix=_PARTIAL)
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


def _sweep(path: Path) -> None:
    """Remove what writers of the same file or folder left when they were killed."""
    for left in path.parent.glob(f".{_literal(path.name[:100])}.*{_PARTIAL}"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def _literal(name: str) -> str:
    """A name for a pattern of names, whatever it holds."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def seen(folder: Path) -> dict[str, int]:
    """Files of a folder, and when each was last written (ns); none where there is no such folder."""
    if not folder.is_dir():
        return {}
    with contextlib.suppress(FileNotFoundError):  # one of them went in this moment
        return {each.name: each.stat().st_mtime_ns for each in folder.iterdir() if each.is_file()}
    return seen(folder)


def written_since(folder: Path, found: Mapping[str, int]) -> set[str]:
    """Names of the files that are new, or newer than those that were `seen`."""
    return {name for name, time in seen(folder).items() if found.get(name) != time}


def write_folder(folder: Path, contents: Mapping[str, bytes], found: Mapping[str, int] | None = None) -> Path:
    """Write all files of a folder, or none: all are complete on disk before the first appears under its name.

    A folder that is not there yet appears whole. In one that is there files of these names are replaced, others stay.

    Parameters
    ----------
    folder : Path
    contents : dict
        By name.
    found : dict, optional
        What was `seen` in the folder before the contents were made; by default what is there now.

    Raises
    ------
    InputError
        If it cannot be written, or somebody else has written one of the files since; then nothing is left.
    """
    found = seen(folder) if found is None else found
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        unfinished = Path(
            tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name[:100]}.", suffix=_PARTIAL)
        )
        try:
            for name, content in contents.items():
                write_atomically(unfinished / name, content)
            unfinished.chmod(0o755)
            if folder.exists():
                with _locked(folder):
                    if written_since(folder, found) & contents.keys():
                        raise _written_by_another(folder)
                    for name in contents:
                        (unfinished / name).replace(folder / name)
            else:
                _appear(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _appear(unfinished: Path, folder: Path) -> None:
    """Give a finished folder its name; of several that want it the first one gets it."""
    try:
        unfinished.rename(folder)
    except OSError:
        if folder.is_dir():
            raise _written_by_another(folder) from None
        raise


def _written_by_another(path: Path) -> InputError:
    return InputError(f"another run is writing '{path}' at the same time; give this one another name.")


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Let nobody else work in a folder, by a lock on a file in it, which the system lifts however this process ends.

    Raises
    ------
    InputError
        If somebody else does.
    """
    lock = path / "lock"
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        file = lock.open("a")
    with file, _locked(lock, path):
        try:
            yield
        finally:  # a folder in which no work is kept is of no use
            if path.is_dir() and [each.name for each in path.iterdir()] == ["lock"]:
                shutil.rmtree(path)


@contextlib.contextmanager
def _locked(path: Path, named: Path | None = None) -> Iterator[None]:
    """A lock on a file or folder, where the system has locks that end with the process."""
    try:
        import fcntl
    except ImportError:  # Windows: files are still replaced one by one, each whole
        yield
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _written_by_another(named or path) from None
        yield
    finally:
        os.close(handle)


class Unfailing(io.FileIO):
    """A file to write whose failure is kept until asked for: HDF5 does not survive one that shows while it writes.

    Attributes
    ----------
    failure : OSError or None
        The first that writing met; what was to be written after it is lost.
    """

    failure: OSError | None = None

    def write(self, content: object) -> int:
        """Write, or pretend to."""
        size = memoryview(content).nbytes  # type: ignore[arg-type]
        if self.failure is None:
            try:
                done = 0
                view = memoryview(content).cast("B")  # type: ignore[arg-type]
                while done < size:  # a disk that is nearly full takes a part
                    done += super().write(view[done:])
            except OSError as error:
                self.failure = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Give the file a length, or pretend to."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.failure = self.failure or error
            return size or 0

    def readinto(self, buffer: object) -> int:
        """Read; of what was lost, zeros."""
        count = super().readinto(buffer) or 0  # type: ignore[arg-type]
        size = memoryview(buffer).nbytes  # type: ignore[arg-type]
        if self.failure is not None and count < size:
            memoryview(buffer).cast("B")[count:] = bytes(size - count)  # type: ignore[arg-type]
            return size
        return count

    def check(self) -> None:
        """Raise the failure, if there was one."""
        if self.failure is not None:
            raise self.failure


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

    if path.exists() and not path.is_file():  # a pipe might never end
        raise InputError(f"{path}: this is no regular file.")
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
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(tensor_bytes(value))
    return digest.hexdigest()


def tensor_bytes(value: Tensor) -> bytes:
    """The numbers of a tensor as they lie in memory, one after the other; of bfloat16, too, which NumPy does not know.

    Examples
    --------
    >>> import torch
    >>> tensor_bytes(torch.ones(()).expand(1)) == tensor_bytes(torch.ones(1))
    True
    """
    import torch

    # a copy: a single number that was expanded has a stride of zero, which no view of bytes can have
    flat = value.detach().cpu().resolve_conj().resolve_neg().reshape(-1)
    alone = flat.clone(memory_format=torch.contiguous_format)
    return alone.view(torch.uint8).numpy().tobytes()


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
