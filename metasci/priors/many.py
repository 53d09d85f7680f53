"""Calibration of more tasks than memory holds: piece by piece, on this machine or on a cluster.

Tasks do not touch each other, so a piece of them is calibrated like the whole. Measurements are read when their
piece comes, and what is done lies on disk until all is done: a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import xarray as xr

from metasci.data.arrays import present, width
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.extras import how_to_install
from metasci.files import check_new, held, write_atomically
from metasci.fits.equation import EquationFit
from metasci.fits.families import MembersFit
from metasci.priors.stores import STORES, assemble, check_complete, checked_target, open_store, reading
from metasci.progress import shown
from metasci.regular_files import bytes_of

if TYPE_CHECKING:
    import pandas as pd
    from dask.distributed import Client

    from metasci.learned.equation import LearnedEquation
    from metasci.learned.families import LearnedMembers
    from metasci.learned.reading import Data

__all__ = ["Piecewise", "calibrate_many", "calibrate_members", "piece_size"]

Result = TypeVar("Result")

_MEMORY = 512 * 2**20  # bytes that a piece may take
_MOST = 50_000  # tasks of a piece, however small: what is done is kept piece by piece
_FAMILIES = 100  # at a time: a family's process takes far more memory than its rows


@dataclass(frozen=True)
class Piecewise:
    """How many tasks are calibrated.

    Parameters
    ----------
    level : float
        Probability of the intervals.
    chunk : int, optional
        Tasks at a time; by default so many as memory takes.
    out : path, optional
        A file or store that appears when all is done.
    client : dask.distributed.Client or str, optional
        A cluster, or its scheduler's address, that calibrates the pieces.
    progress : bool
    device : str
        Where to adapt: ``"cpu"``, ``"cuda"``.
    """

    level: float = 0.9
    chunk: int | None = None
    out: str | Path | None = None
    client: Client | str | None = None
    progress: bool = False
    device: str = "cpu"


def calibrate_many(
    prior: LearnedEquation,
    data: str | Path | TaskSet | xr.Dataset | pd.DataFrame,
    how: Piecewise,
) -> xr.Dataset:
    """Calibrate any number of tasks, as `Prior.calibrate_many` does.

    Examples
    --------
    >>> import metasci as ms
    >>> result = calibrate_many(ms.load("theophylline"), ms.dataset("theophylline"), Piecewise(chunk=5))
    >>> dict(result.sizes), bool(result["converged"].all())
    ({'task': 12, 'parameter': 3, 'parameter_other': 3, 'law': 1}, True)
    """
    target = None if how.out is None else checked_target(Path(how.out))
    dataset, read = _source(prior, data)
    count = int(dataset.sizes["task"])
    if not count:
        raise InputError("there is no task to calibrate in the data.")
    fits = piece_size(prior, dataset)
    size = fits if how.chunk is None else how.chunk
    if size < 1:
        raise InputError(f"chunk: {size} is not a number of tasks; give one or more.")
    pieces = [slice(at, min(at + size, count)) for at in range(0, count, size)]
    tasks = (_narrow(prior.counted(read(_loaded(dataset, piece)))) for piece in pieces)
    calibrate: Callable[[TaskSet], xr.Dataset] = partial(
        _calibrate, prior, level=how.level, device=how.device
    )
    if target is None:
        results = shown(_mapped(calibrate, tasks, how.client), len(pieces), how.progress)
        return xr.concat(
            list(results),
            "task",
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="exact",
            combine_attrs="override",
        )
    folder = target.with_name(f".{target.name}.parts")
    with held(folder):
        checked_target(target)  # somebody else may have finished it in the meantime
        _remove_unfinished(folder)
        kept = _kept(calibrate, tasks, folder, _digest_of(prior, how.level), how.client)
        assemble(list(shown(kept, len(pieces), how.progress)), folder, target, count)
        shutil.rmtree(folder)
    return open_store(target).set_xindex("parameter")


def calibrate_members(
    prior: LearnedMembers,
    data: Data,
    how: Piecewise,
) -> pd.DataFrame:
    """Calibrate any number of families, as `MembersVerbs.calibrate_many` does.

    Returns
    -------
    DataFrame
        The tables of all calibrations, one below the other.
    """
    import pandas as pd

    if how.out is not None:
        check_new(Path(how.out))
    size = _FAMILIES if how.chunk is None else how.chunk
    if size < 1:
        raise InputError(f"chunk: {size} is not a number of families; give one or more.")
    tasks = prior.counted(prior.read(data))
    pieces = [slice(at, at + size) for at in range(0, len(tasks), size)]
    table: Callable[[TaskSet], pd.DataFrame] = partial(_members_table, prior, level=how.level)
    tables = _mapped(table, (tasks.select(piece) for piece in pieces), how.client)
    return pd.concat(list(shown(tables, len(pieces), how.progress)), ignore_index=True)


def _members_table(prior: LearnedMembers, tasks: TaskSet, level: float) -> pd.DataFrame:
    return MembersFit.of(prior, tasks).table(level)


def piece_size(prior: LearnedEquation, dataset: xr.Dataset) -> int:
    """How many tasks to calibrate at a time, so that a piece takes some hundreds of megabytes at most."""
    model, sizes = prior.model, dataset.sizes
    parameters = len(model.parameters)
    further = 0 if model.collocation is None else len(next(iter(model.collocation.points.values())))
    points = (int(sizes.get("observation", 1)) + further) * max(1, int(sizes.get("event", 1)))
    numbers = points * (10 + len(model.inputs) + 4 * parameters) + 40 * parameters**2
    if 8 * numbers > 2 * _MEMORY:
        raise InputError(
            f"room for {sizes.get('observation', 1):,} measurements of each task takes {8e-9 * numbers:.1f} GB a task; "
            "give the few tasks that have so many on their own, with fewer of them."
        )
    return int(np.clip(_MEMORY // (8 * numbers), 1, _MOST))


def _source(
    prior: LearnedEquation, data: str | Path | TaskSet | xr.Dataset | pd.DataFrame
) -> tuple[xr.Dataset, Callable[[xr.Dataset], TaskSet]]:
    """The data as a Dataset, opened and not read where it can be, and what makes tasks of a piece of it."""
    if isinstance(data, str | Path) and Path(data).suffix in STORES:
        check_complete(Path(data))
        data = open_store(data)
    if not isinstance(data, xr.Dataset | TaskSet):
        data = prior.read(data)
    if isinstance(data, TaskSet):
        card = data.card
        return data.dataset, lambda piece: prior.read(TaskSet(piece, card))
    if "task" not in data.dims:
        raise InputError("the data have no dimension 'task'.")
    return data, prior.read


def _loaded(dataset: xr.Dataset, piece: slice) -> xr.Dataset:
    """Some of the tasks, in memory."""
    with reading(dataset.encoding.get("source", "the Dataset")):
        return dataset.isel(task=piece).compute()


def _narrow(tasks: TaskSet) -> TaskSet:
    """Without the padding that only other pieces need."""
    longest = max(1, width(present(tasks.dataset, tasks.card)))
    return TaskSet(tasks.dataset.isel(observation=slice(longest)), tasks.card)


def _calibrate(prior: LearnedEquation, tasks: TaskSet, level: float, device: str) -> xr.Dataset:
    result = EquationFit.of(prior, tasks, device).to_xarray(level, predictions=False)
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
    """Files with the results in order; a piece whose file is there, and sound, is not calibrated again.

    A file's name holds a digest of the prior and of the measurements, so that it stands for nothing else, and one of
    its own content.
    """
    waiting: deque[tuple[str, Path | None]] = deque()

    def missing() -> Iterator[TaskSet]:
        for number, tasks in enumerate(pieces):
            name = f"{number:06d}-{_digest_of_tasks(tasks, digest)}"
            done = _sound(folder, name)
            waiting.append((name, done))
            if done is None:
                yield tasks

    for result in _mapped(calibrate, missing(), client):
        while (done := waiting[0][1]) is not None:
            waiting.popleft()
            yield done
        name, _ = waiting.popleft()
        encoding = {variable: {"_FillValue": None} for variable in result.data_vars}
        content = bytes(result.to_netcdf(engine="h5netcdf", encoding=encoding))
        path = folder / f"{name}-{_digest_of_content(content)}.nc"
        write_atomically(path, content)
        yield path
    yield from (done for _, done in waiting if done is not None)


def _sound(folder: Path, name: str) -> Path | None:
    """The finished piece of that name, if its content is what was written."""
    for path in folder.glob(f"{name}-*.nc"):
        if path.stem == f"{name}-{_digest_of_content(bytes_of(path))}":
            return path
        path.unlink()
    return None


def _digest_of_content(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _remove_unfinished(folder: Path) -> None:
    """What a run that was killed had not finished; pieces that it had stay."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix != ".nc" and path.name != "lock":
            path.unlink()


def _digest_of(prior: LearnedEquation, level: float) -> str:
    return hashlib.sha256(f"{prior.digest()} {level!r}".encode()).hexdigest()


def _digest_of_tasks(tasks: TaskSet, salt: str) -> str:
    digest = hashlib.sha256("\0".join((salt, *tasks.names)).encode())
    for name, variable in sorted(tasks.dataset.data_vars.items(), key=lambda item: str(item[0])):
        if variable.dtype.kind == "f":
            header = json.dumps([str(name), variable.shape, variable.attrs.get("units")])
            digest.update(header.encode() + np.ascontiguousarray(variable.values).tobytes())
    return digest.hexdigest()[:24]
