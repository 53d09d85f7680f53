"""Calibration of more tasks than memory holds: piece by piece, on this machine or on a cluster.

Tasks do not touch each other, so a piece of them is calibrated like the whole. Measurements are read when their
piece comes, and what is done lies on disk until all is done: a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from metasci.data.arrays import present, width
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.extras import how_to_install
from metasci.files import Unfailing, check_new, held, write_atomically, writing
from metasci.fits.equation import EquationFit
from metasci.fits.families import MembersFit
from metasci.progress import shown

if TYPE_CHECKING:
    import pandas as pd
    from dask.distributed import Client

    from metasci.learned.equation import LearnedEquation
    from metasci.learned.families import LearnedMembers
    from metasci.learned.reading import Data

__all__ = ["calibrate_many", "calibrate_members", "open_store", "piece_size"]

Result = TypeVar("Result")

_STORES = (".nc", ".zarr")
_MEMORY = 256 * 2**20  # bytes that a piece may take
_MOST = 50_000
_FAMILIES = 100  # at a time: a family's process takes far more memory than its rows
# numbers are taken as they stand: units such as 'h' are ours and no time codes; an index of all tasks is not built
_AS_STORED: dict[str, Any] = {
    "mask_and_scale": False, "decode_times": False, "decode_timedelta": False, "create_default_indexes": False,
}  # fmt: skip


def calibrate_many(
    prior: LearnedEquation,
    data: str | Path | TaskSet | xr.Dataset | pd.DataFrame,
    *,
    level: float = 0.9,
    chunk: int | None = None,
    out: str | Path | None = None,
    client: Client | str | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Calibrate any number of tasks; `Prior.calibrate_many` says what the arguments are.

    Examples
    --------
    >>> import metasci as ms
    >>> result = calibrate_many(ms.load("theophylline"), ms.dataset("theophylline"), chunk=5)
    >>> dict(result.sizes), bool(result["converged"].all())
    ({'task': 12, 'parameter': 3, 'parameter_other': 3, 'law': 1}, True)
    """
    target = None if out is None else _target(Path(out))
    dataset, read = _source(prior, data)
    count = int(dataset.sizes["task"])
    if not count:
        raise InputError("there is no task to calibrate in the data.")
    size = piece_size(prior, dataset) if chunk is None else chunk
    if size < 1:
        raise InputError(f"chunk: {size} is not a number of tasks; give one or more.")
    pieces = [slice(at, min(at + size, count)) for at in range(0, count, size)]
    tasks = (_narrow(read(dataset.isel(task=piece).compute()).counted_once()) for piece in pieces)
    calibrate: Callable[[TaskSet], xr.Dataset] = partial(_calibrate, prior, level=level)
    if target is None:
        results = shown(_mapped(calibrate, tasks, client), len(pieces), progress)
        return xr.concat(
            list(results), "task", data_vars="minimal", coords="minimal", compat="override", join="exact",
            combine_attrs="override",
        )  # fmt: skip
    folder = target.with_name(f".{target.name}.parts")
    with held(folder):
        _target(target)  # somebody else may have finished it in the meantime
        _remove_unfinished(folder)
        kept = _kept(calibrate, tasks, folder, _digest_of(prior, level), client)
        _assemble(list(shown(kept, len(pieces), progress)), folder, target, count)
        shutil.rmtree(folder)
    return open_store(target).set_xindex("parameter")


def calibrate_members(
    prior: LearnedMembers,
    data: Data,
    *,
    level: float = 0.9,
    chunk: int | None = None,
    out: str | Path | None = None,
    client: Client | str | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Calibrate any number of families; `MembersVerbs.calibrate_many` says what the arguments are.

    Returns
    -------
    DataFrame
        The tables of all calibrations, one below the other.
    """
    import pandas as pd

    if out is not None:
        check_new(Path(out))
    size = _FAMILIES if chunk is None else chunk
    if size < 1:
        raise InputError(f"chunk: {size} is not a number of families; give one or more.")
    tasks = prior.read(data).counted_once()
    pieces = [slice(at, at + size) for at in range(0, len(tasks), size)]
    table: Callable[[TaskSet], pd.DataFrame] = partial(_members_table, prior, level=level)
    tables = _mapped(table, (tasks.select(piece) for piece in pieces), client)
    return pd.concat(list(shown(tables, len(pieces), progress)), ignore_index=True)


def _members_table(prior: LearnedMembers, tasks: TaskSet, level: float) -> pd.DataFrame:
    return MembersFit.of(prior, tasks).table(level)


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
        If there is none, it cannot be read, or zarr is not installed.
    """
    path = Path(path)
    _needs_zarr(path)
    if not path.exists():
        raise InputError(f"there is no file '{path}'.")
    try:
        if path.suffix == ".zarr":
            return xr.open_zarr(path, chunks=None, consolidated=False, **_AS_STORED)
        return xr.open_dataset(path, engine="h5netcdf", **_AS_STORED)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"'{path}' is not a readable NetCDF file or Zarr store: {error}.") from None


def piece_size(prior: LearnedEquation, dataset: xr.Dataset) -> int:
    """How many tasks to calibrate at a time, so that a piece takes some tens of megabytes."""
    model, sizes = prior.model, dataset.sizes
    parameters = len(model.parameters)
    further = 0 if model.collocation is None else len(next(iter(model.collocation.points.values())))
    points = (int(sizes.get("observation", 1)) + further) * max(1, int(sizes.get("event", 1)))
    numbers = points * (10 + len(model.inputs) + 4 * parameters) + 40 * parameters**2
    return int(np.clip(_MEMORY // (8 * numbers), 1, _MOST))


def _target(out: Path) -> Path:
    """Where to write; refused, before any work, if that cannot be."""
    if out.suffix not in _STORES:
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


def _source(
    prior: LearnedEquation, data: str | Path | TaskSet | xr.Dataset | pd.DataFrame
) -> tuple[xr.Dataset, Callable[[xr.Dataset], TaskSet]]:
    """The data as a Dataset, opened and not read where it can be, and what makes tasks of a piece of it."""
    if isinstance(data, str | Path) and Path(data).suffix in _STORES:
        data = open_store(data)
    if not isinstance(data, xr.Dataset | TaskSet):
        data = prior.read(data)
    if isinstance(data, TaskSet):
        card = data.card
        return data.dataset, lambda piece: prior.read(TaskSet(piece, card))
    if "task" not in data.dims:
        raise InputError("the data have no dimension 'task'.")
    return data, prior.read


def _narrow(tasks: TaskSet) -> TaskSet:
    """Without the padding that only other pieces need."""
    longest = max(1, width(present(tasks.dataset, tasks.card)))
    return TaskSet(tasks.dataset.isel(observation=slice(longest)), tasks.card)


def _calibrate(prior: LearnedEquation, tasks: TaskSet, level: float) -> xr.Dataset:
    result = EquationFit.of(prior, tasks).to_xarray(level, predictions=False)
    simulated = tasks.dataset.attrs.get("simulated", tasks.card.simulated)
    return result.assign_attrs(simulated=str(simulated).lower())


def _mapped(
    function: Callable[[TaskSet], Result], pieces: Iterable[TaskSet], client: Client | str | None
) -> Iterator[Result]:
    """The results in order; on a cluster, some pieces are under way at a time, and no more."""
    if client is None:
        yield from map(function, pieces)
        return
    cluster = _connected(client)
    ahead = 2 * max(1, sum(cluster.nthreads().values()))
    waiting: deque[Any] = deque()
    for piece in pieces:
        waiting.append(cluster.submit(function, cluster.scatter(piece, hash=False), pure=False))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _connected(client: Client | str) -> Client:
    if not isinstance(client, str):
        return client
    if find_spec("distributed") is None:
        raise InputError(
            f"client: a cluster needs dask.distributed, which is not installed: {how_to_install('scale')}."
        )
    from dask.distributed import Client

    return Client(client)


def _kept(
    calibrate: Callable[[TaskSet], xr.Dataset],
    pieces: Iterable[TaskSet],
    folder: Path,
    digest: str,
    client: Client | str | None,
) -> Iterator[Path]:
    """Files with the results in order; a piece whose file is there is not calibrated again.

    A file's name holds a digest of the prior and of the measurements, so that it stands for nothing else.
    """
    waiting: deque[tuple[Path, bool]] = deque()

    def missing() -> Iterator[TaskSet]:
        for number, tasks in enumerate(pieces):
            path = folder / f"{number:06d}-{_digest_of_tasks(tasks, digest)}.nc"
            there = path.exists()
            waiting.append((path, there))
            if not there:
                yield tasks

    for result in _mapped(calibrate, missing(), client):
        while waiting[0][1]:
            yield waiting.popleft()[0]
        path, _ = waiting.popleft()
        encoding = {name: {"_FillValue": None} for name in result.data_vars}
        write_atomically(path, bytes(result.to_netcdf(engine="h5netcdf", encoding=encoding)))
        yield path
    for path, _ in waiting:
        yield path


def _digest_of(prior: LearnedEquation, level: float) -> str:
    return hashlib.sha256(f"{prior.digest()} {level!r}".encode()).hexdigest()


def _digest_of_tasks(tasks: TaskSet, salt: str) -> str:
    digest = hashlib.sha256("\0".join((salt, *tasks.names)).encode())
    for name, variable in sorted(tasks.dataset.data_vars.items(), key=lambda item: str(item[0])):
        if variable.dtype.kind == "f":
            told = json.dumps([str(name), variable.shape, variable.attrs.get("units")])
            digest.update(told.encode() + np.ascontiguousarray(variable.values).tobytes())
    return digest.hexdigest()[:24]


def _remove_unfinished(folder: Path) -> None:
    """What a run that was killed had not finished; pieces that it had stay."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix != ".nc" and path.name != "lock":
            path.unlink()


def _assemble(parts: Sequence[Path], folder: Path, target: Path, count: int) -> None:
    """Put the parts together into one store, in their folder: all of it or nothing."""
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
        return group.create_array(name, shape=shape, chunks=values.shape, dtype=dtype, dimension_names=dims)

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
                told = {"dtype": "bool"} if variable.dtype == bool else {}
                arrays[name].attrs.update({**variable.attrs, **told})
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
