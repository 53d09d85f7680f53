"""Draws that outlive the call that made them: a long comparison that ends early loses nothing of what it has sampled.

Each sampling is a file of its own, named by everything that it depends on; nothing else is ever read from it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metasci.bayes.sampling import Posterior, pooled
from metasci.files import write_atomically

if TYPE_CHECKING:
    from metasci.data.batch import Batch
    from metasci.learned.equation import LearnedEquation

__all__ = ["KeptDraws", "key_of"]

_FIGURES = tuple(
    item.name for item in fields(Posterior) if item.name not in ("draws", "tasks", "data", "judged")
)
_APART = 1009  # seeds of chains that are added lie so far apart


def key_of(prior: LearnedEquation, batch: Batch, **settings: Any) -> str:
    """A name for what a sampling depends on: model, state, covariates' scale, measurements and settings."""
    described = {
        "model": prior.model.name,
        "noise": repr(prior.model.noise),
        "parameters": repr(prior.model.parameters),
        "task_noise": bool(getattr(prior.method, "task_noise", False)),
        "covariates": prior.covariates.names,
        **settings,
    }
    digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode())
    for name, value in sorted(prior.state.lasting().tensors().items()):
        digest.update(name.encode() + value.detach().numpy().tobytes())
    digest.update("\0".join(batch.names).encode())
    limits = [each for each in (batch.censored, batch.upper) if each is not None]
    for tensor in (batch.output, batch.mask, batch.covariates, *batch.inputs.values(), *limits):
        digest.update(str(tuple(tensor.shape)).encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()[:20]


@dataclass(frozen=True)
class KeptDraws:
    """A folder of draws.

    Attributes
    ----------
    folder : path
        Made when the first draws are kept.
    """

    folder: Path

    def sampled(self, key: str, sample: Callable[[int], Posterior]) -> Posterior:
        """The draws of this name: those that are kept, or new ones, which then are.

        Where kept chains have not converged, chains of another seed are added to them.

        Parameters
        ----------
        key : str
        sample : callable
            Of what to add to the seed.
        """
        path = self.folder / f"{key}.nc"
        known = _read(path) if path.is_file() else None
        if known is not None and known.converged:
            return known
        added = 0 if known is None else known.chains
        fresh = sample(_APART * added)
        result = fresh if known is None else pooled([known, fresh])
        _write(result, path)
        return result

    def discard(self, key: str) -> None:
        """Remove draws with which nothing more is to be done."""
        (self.folder / f"{key}.nc").unlink(missing_ok=True)


def _write(posterior: Posterior, path: Path) -> None:
    import xarray as xr

    dims = {
        name: ("sample", *(f"{name} {at}" for at in range(values.ndim - 1)))
        for name, values in posterior.draws.items()
    }
    figures = {name: getattr(posterior, name) for name in _FIGURES}
    attrs = {"tasks": json.dumps(posterior.tasks), "judged": json.dumps(posterior.judged)}
    dataset = xr.Dataset(
        {name: (dims[name], values) for name, values in posterior.draws.items()}, attrs={**figures, **attrs}
    )
    write_atomically(path, bytes(dataset.to_netcdf(engine="h5netcdf")))


def _read(path: Path) -> Posterior | None:
    """What `_write` wrote; None of a file that is no such thing."""
    import xarray as xr

    from metasci.bayes import versions

    try:
        dataset = xr.load_dataset(path, engine="h5netcdf")
        draws = {str(name): np.asarray(values) for name, values in dataset.data_vars.items()}
        figures = {name: dataset.attrs[name].item() for name in _FIGURES}
        tasks, judged = (tuple(json.loads(dataset.attrs[name])) for name in ("tasks", "judged"))
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    chains = int(figures["chains"])
    several = {name: values.reshape(chains, -1, *values.shape[1:]) for name, values in draws.items()}
    dims = {name: tuple(f"{name} {at}" for at in range(value.ndim - 2)) for name, value in several.items()}
    return Posterior(
        draws=draws, tasks=tasks, judged=judged, data=versions.from_chains(several, dims, {}), **figures
    )
