"""What differs between the two supported generations: PyMC 5 with ArviZ 0.23, and PyMC 6 with ArviZ 1.x.

There, the results of sampling are an `InferenceData`; here, an xarray `DataTree`. Both give a group by
``data["posterior"]``, and nothing else of them is used outside of this module. What differs between versions of nutpie
and pymc-extras, and what all of these libraries say by the way, is dealt with here as well.
"""

from __future__ import annotations

import inspect
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metasci.files import write_atomically

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # ArviZ 0.23 announces ArviZ 1 at every import
    import arviz

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = [
    "draws",
    "from_chains",
    "from_draws",
    "from_groups",
    "group",
    "load",
    "nuts",
    "pareto_shape",
    "pathfinder_paths",
    "quiet",
    "recorded",
    "save",
    "summary",
    "with_posterior",
    "worst",
]

_MODERN = int(arviz.__version__.partition(".")[0]) >= 1


def group(data: Any, name: str) -> xr.Dataset:
    """One group of the results, as a plain Dataset."""
    node = data[name]
    return node.to_dataset() if hasattr(node, "to_dataset") else node


def with_posterior(
    data: Any, values: Mapping[str, np.ndarray], dims: Mapping[str, Sequence[str]], coords: Mapping[str, Any]
) -> Any:
    """The results with other variables, each (chain, draw, ...) with named dims, in the place of the posterior."""
    import xarray as xr

    dataset = _dataset(values, dims, coords).assign_attrs(group(data, "posterior").attrs)
    if _MODERN:
        replaced = ("posterior", "unconstrained_posterior")
        others = {str(name): group(data, name) for name in data.children if name not in replaced}
        return xr.DataTree.from_dict({"posterior": dataset, **others})
    del data.posterior
    data.add_groups(posterior=dataset)
    return data


def from_chains(
    values: Mapping[str, np.ndarray], dims: Mapping[str, Sequence[str]], coords: Mapping[str, Any]
) -> Any:
    """Results with a posterior of some chains, from variables (chain, draw, ...) with named dims."""
    import xarray as xr

    dataset = _dataset(values, dims, coords)
    return (
        xr.DataTree.from_dict({"posterior": dataset}) if _MODERN else arviz.InferenceData(posterior=dataset)
    )


def from_groups(
    groups: Mapping[str, Mapping[str, np.ndarray]],
    dims: Mapping[str, Sequence[str]],
    coords: Mapping[str, Any],
    units: Mapping[str, str],
) -> Any:
    """Results with several groups, from variables (chain, draw, ...) with named dims, whose units are said."""
    import xarray as xr

    datasets = {name: _dataset(values, dims, coords) for name, values in groups.items()}
    for dataset in datasets.values():
        for name, unit in units.items():
            dataset[name].attrs["units"] = unit
    return xr.DataTree.from_dict(datasets) if _MODERN else arviz.InferenceData(**datasets)


def from_draws(
    values: Mapping[str, np.ndarray], dims: Mapping[str, Sequence[str]], coords: Mapping[str, Any]
) -> Any:
    """Results with a posterior of one chain, from variables (draw, ...) with named dims."""
    return from_chains({name: value[None] for name, value in values.items()}, dims, coords)


@contextmanager
def quiet() -> Iterator[None]:
    """What other libraries warn of and log is not for this package's users: its own checks judge what they gave."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def pathfinder_paths(
    model: Any, *, paths: int, draws: int, jitter: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draws of every path of pymc-extras' Pathfinder, of a model with one variable.

    Returns
    -------
    points : array, (path, draw, size)
    log_p, log_q : array, (path, draw)
        Their log densities by the model and by the path's Gaussian.

    Raises
    ------
    ValueError
        If no path arrived.
    """
    import pymc_extras

    options: dict[str, Any] = {
        "num_paths": paths,
        "num_draws_per_path": draws,
        "jitter": jitter,
        "importance_sampling": None,
        "progressbar": False,
        "random_seed": seed,
    }
    if "concurrent" in inspect.signature(pymc_extras.fit_pathfinder).parameters:  # earlier versions
        data = pymc_extras.fit_pathfinder(
            model, concurrent=None, display_summary=False, store_diagnostics=True, **options
        )
        (name,) = group(data, "posterior").data_vars
        stats = group(data, "sample_stats")
        log_p, log_q = (np.asarray(stats[f"diagnostics_log{which}_full"]) for which in "PQ")
        return np.asarray(group(data, "posterior")[name]), log_p, log_q
    # what it gives in the end has no densities of single draws any more: one floor below they are
    from pymc_extras.inference.pathfinder.lbfgs import LBFGSConfig
    from pymc_extras.inference.pathfinder.multipath import multipath_pathfinder

    size = sum(int(np.size(value)) for value in model.initial_point().values())
    result = multipath_pathfinder(
        model,
        num_draws=paths * draws,
        num_elbo_draws=10,
        parallel=False,
        lbfgs_config=LBFGSConfig().set_default_maxcor(size),
        **options,
    )
    return np.asarray(result.samples), np.asarray(result.logP), np.asarray(result.logQ)


def nuts(compiled: Any, *, low_rank: bool = True, **options: Any) -> Any:
    """Sample what nutpie has compiled, to correlations adapted by a low rank or not; interrupted, it gives nothing."""
    import nutpie

    if "adaptation" in inspect.signature(nutpie.sample).parameters:  # later versions
        options = {"store_unconstrained": True, **options}  # else they leave out what is sampled itself
        options |= {"adaptation": "low_rank"} if low_rank else {}
    else:
        options["low_rank_modified_mass_matrix"] = low_rank
    sampler = nutpie.sample(compiled, save_warmup=False, blocking=False, **options)
    try:
        return sampler.wait()
    except BaseException:
        sampler.cancel()
        raise


def recorded(data: Any) -> dict[str, np.ndarray]:
    """What nutpie has recorded of a PyMC model, (chain, draw, ...): by the names of unconstrained values, too."""
    groups = ("posterior", "unconstrained_posterior") if _MODERN else ("posterior",)
    known = [group(data, name) for name in groups if not _MODERN or name in data.children]
    return {str(name): np.asarray(values) for part in known for name, values in part.data_vars.items()}


def _dataset(
    values: Mapping[str, np.ndarray], dims: Mapping[str, Sequence[str]], coords: Mapping[str, Any]
) -> xr.Dataset:
    import xarray as xr

    labels = {name: ("chain", "draw", *dims.get(name, ())) for name in values}
    used = {dim for name in labels for dim in labels[name]}
    dataset = xr.Dataset(
        {name: (labels[name], value) for name, value in values.items()},
        coords={name: list(label) for name, label in coords.items() if name in used},
    )
    return dataset.assign_coords({dim: np.arange(dataset.sizes[dim]) for dim in ("chain", "draw")})


def draws(data: Any, name: str = "posterior") -> dict[str, np.ndarray]:
    """Draws by variable, the chains behind each other, (draw, ...)."""
    values = {key: np.asarray(variable) for key, variable in group(data, name).data_vars.items()}
    return {str(key): value.reshape(-1, *value.shape[2:]) for key, value in values.items()}


def worst(data: Any, names: Sequence[str]) -> tuple[float, float]:
    """Highest rank-normalised R-hat and lowest effective sample size (bulk or tail) over the variables."""
    chosen = group(data, "posterior")[list(names)]
    largest = max(float(value.max()) for value in _values(arviz.rhat(chosen)))
    sizes = [*_values(arviz.ess(chosen, method="bulk")), *_values(arviz.ess(chosen, method="tail"))]
    return largest, min(float(value.min()) for value in sizes)


def _values(result: Any) -> list[Any]:
    """The arrays of a diagnostic; what is constant has none and is left out."""
    return [value for value in result.data_vars.values() if bool(value.notnull().any())]


def pareto_shape(log_weight: np.ndarray) -> float:
    """Shape k of the generalised Pareto distribution of the greatest weights.

    Source: Vehtari, Simpson, Gelman, Yao and Gabry, J Mach Learn Res 25 (2024) 1.

    Examples
    --------
    >>> uniform = np.random.default_rng(0).random(4000)
    >>> [pareto_shape(-shape * np.log(uniform)) < 0.7 for shape in (0.3, 1.2)]
    [True, False]
    """
    if _MODERN:
        from arviz_stats.base import array_stats

        # it takes log likelihoods, of which weights are the inverse
        return float(array_stats.psislw(-np.array(log_weight))[1])
    return float(arviz.psislw(np.array(log_weight))[1])


def summary(data: Any, names: Sequence[str], probability: float = 0.9) -> pd.DataFrame:
    """Mean, standard deviation, interval, and diagnostics of the variables."""
    chosen = group(data, "posterior")[list(names)]
    width = {"ci_prob": probability} if _MODERN else {"hdi_prob": probability}
    return arviz.summary(chosen, round_to="none", **width)


def save(data: Any, path: str | Path) -> None:
    """Write the results as NetCDF; a file is there whole or not at all."""
    # into a folder of the system's first: groups cannot be written into memory, and HDF5 does not survive a full disk
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "data.nc"
        data.to_netcdf(str(whole), engine="h5netcdf")
        write_atomically(Path(path), whole.read_bytes())


def load(path: str | Path) -> Any:
    """Read results that `save` wrote, fully into memory."""
    if _MODERN:
        import xarray

        with xarray.open_datatree(str(path), engine="h5netcdf") as opened:
            return opened.load()
    return arviz.from_netcdf(str(path), engine="h5netcdf")
