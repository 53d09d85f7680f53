"""What differs between the two supported generations: PyMC 5 with ArviZ 0.23, and PyMC 6 with ArviZ 1.x.

There, the results of sampling are an `InferenceData`; here, an xarray `DataTree`. Both give a group by
``data["posterior"]``, and nothing else of them is used outside of this module.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

with warnings.catch_warnings():
    # ArviZ 0.23 announces ArviZ 1 at every import
    warnings.simplefilter("ignore", FutureWarning)
    import arviz

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

__all__ = [
    "draws",
    "from_draws",
    "group",
    "load",
    "pareto_shape",
    "replace_posterior",
    "save",
    "summary",
    "worst",
]

_MODERN = not hasattr(arviz, "InferenceData")


def group(data: Any, name: str) -> xr.Dataset:
    """One group of the results, as a plain Dataset."""
    found = data[name]
    return found.to_dataset() if hasattr(found, "to_dataset") else found


def replace_posterior(
    data: Any, values: Mapping[str, np.ndarray], dims: Mapping[str, Sequence[str]], coords: Mapping[str, Any]
) -> None:
    """Put other variables, each (chain, draw, ...) with named dims, into the place of the posterior."""
    import xarray as xr

    dataset = _dataset(values, dims, coords).assign_attrs(group(data, "posterior").attrs)
    if _MODERN:
        data["posterior"] = xr.DataTree(dataset)
    else:
        del data.posterior
        data.add_groups(posterior=dataset)


def from_draws(
    values: Mapping[str, np.ndarray], dims: Mapping[str, Sequence[str]], coords: Mapping[str, Any]
) -> Any:
    """Results with a posterior of one chain, from variables (draw, ...) with named dims."""
    import xarray as xr

    dataset = _dataset({name: value[None] for name, value in values.items()}, dims, coords)
    return (
        xr.DataTree.from_dict({"posterior": dataset}) if _MODERN else arviz.InferenceData(posterior=dataset)
    )


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

        return float(array_stats.psislw(np.array(log_weight))[1])
    return float(arviz.psislw(np.array(log_weight))[1])


def summary(data: Any, names: Sequence[str], probability: float = 0.9) -> pd.DataFrame:
    """Mean, standard deviation, interval, and diagnostics of the variables."""
    chosen = group(data, "posterior")[list(names)]
    width = {"ci_prob": probability} if _MODERN else {"hdi_prob": probability}
    return arviz.summary(chosen, round_to="none", **width)


def save(data: Any, path: str | Path) -> None:
    """Write the results as NetCDF; a file is there whole or not at all."""
    path = Path(path)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        data.to_netcdf(str(unfinished), engine="h5netcdf")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def load(path: str | Path) -> Any:
    """Read results that `save` wrote, fully into memory."""
    if _MODERN:
        import xarray

        with xarray.open_datatree(str(path), engine="h5netcdf") as opened:
            return opened.load()
    return arviz.from_netcdf(str(path), engine="h5netcdf")
