"""Repeats under the same conditions that agree far better than measurements do: they share an error, and count as few.

A prior's noise is what remains between a curve and a measurement: what an instrument scatters, and what a specimen, a
day or a laboratory is off by. Repeats of one specimen see the first part anew and share the second, so that thirty of
them do not tell thirty times as much. With a share r of the variance of their own, n repeats tell as much as
1 / (1 − r + r/n) that are independent; r is told by how they scatter.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from metasci.data.arrays import any_alike, limit_names, present
from metasci.data.cards import NAME, Card
from metasci.data.copies import which_tasks, without
from metasci.noise import Noise

__all__ = ["independent", "repeats", "repeats_together"]

# chance with which independent repeats would scatter so little; the usual level of a test
_CHANCE = 0.05
# readings that the belief counts for that repeats are independent, beside those that tell of it
_BELIEF = 1.0


def independent(count: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """As how many independent measurements so many repeats count that have a share of their variance of their own.

    Examples
    --------
    >>> independent(np.array([30.0, 30.0, 2.0]), np.array([1.0, 0.0, 0.5])).round(3).tolist()
    [30.0, 1.0, 1.333]
    """
    return 1.0 / (1.0 - share + share / count)


def repeats(dataset: xr.Dataset, card: Card) -> pd.DataFrame:
    """The measurements that have company: ``task``, ``place`` of each, and the ``group`` of its like conditions.

    Those below or above a limit are none.
    """
    output = dataset.variables[card.output.name].values
    measured = present(dataset, card) & ~np.isnan(output)
    for name in limit_names(card):
        if name in dataset:
            measured &= ~(np.nan_to_num(dataset.variables[name].values) > 0.0)
    task, place = np.nonzero(measured)
    inputs = [column.name for column in card.with_role("input") if column.kind != NAME]
    told = {"task": task} | {name: dataset.variables[name].values[task, place] for name in inputs}
    if not any_alike(list(told.values())):
        return pd.DataFrame(dict.fromkeys(("task", "place", "group"), task[:0]))
    rows, conditions = pd.DataFrame({"task": task, "place": place}), pd.DataFrame(told)
    rows["group"] = conditions.groupby(list(conditions), dropna=False, sort=False).ngroup()
    return rows[rows["group"].duplicated(keep=False)]


def repeats_together(
    dataset: xr.Dataset, card: Card, noise: Noise, variance: NDArray[np.float64]
) -> xr.Dataset:
    """The Dataset with repeats that share an error as so many readings of their mean as they count for.

    Parameters
    ----------
    dataset : Dataset
        In the units of the model that the noise belongs to.
    card : Card
    noise : Noise
    variance : array, (task, observation)
        Of each measurement about the curve, on the noise's linked scale.
    """
    rows = repeats(dataset, card)
    if rows.empty:
        return dataset
    name = card.output.name
    values = dataset[name].values.copy()
    at = rows["task"].to_numpy(), rows["place"].to_numpy()
    rows = rows.assign(value=noise.link(values[at]), variance=variance[at])
    groups = rows.groupby("group")
    rows["mean"], rows["count"] = groups["value"].transform("mean"), groups["value"].transform("size")
    rows["off"] = (rows["value"] - rows["mean"]) ** 2 / rows["variance"]
    rows["free"] = 1.0 - 1.0 / rows["count"]
    share = _share_of_their_own(rows.groupby("task")[["off", "free"]].sum())
    rows["share"] = rows["task"].map(share)
    rows = rows[rows["share"].notna()].copy()
    if rows.empty:
        return dataset
    counts = independent(rows["count"].to_numpy(float), rows["share"].to_numpy())
    rows["kept"] = rows.groupby("group").cumcount() < np.maximum(1, np.round(counts))
    values[rows["task"], rows["place"]] = noise.unlink(rows["mean"].to_numpy())
    gone = np.zeros(values.shape, dtype=bool)
    dropped = rows[~rows["kept"]]
    gone[dropped["task"], dropped["place"]] = True
    if not gone.any():
        return dataset
    return _told(
        without(dataset.assign({name: dataset[name].copy(data=values)}), card, gone), dataset, rows, gone
    )


def _share_of_their_own(scatter: pd.DataFrame) -> pd.Series:
    """Of each task whose repeats scatter less than independent ones would: which share of the variance is their own."""
    from scipy.stats import chi2

    little = chi2.cdf(scatter["off"], scatter["free"]) < _CHANCE
    told = scatter[little]
    return ((_BELIEF + told["off"]) / (_BELIEF + told["free"])).clip(upper=1.0)


def _told(kept: xr.Dataset, whole: xr.Dataset, rows: pd.DataFrame, gone: NDArray[np.bool_]) -> xr.Dataset:
    sentence = (
        f"{len(rows)} measurements repeat each other under the same conditions ({which_tasks(whole, gone)}) and agree "
        f"better than independent ones would: they share an error, and count as {int(rows['kept'].sum())}"
    )
    try:
        reading: list[Any] = list(json.loads(whole.attrs.get("reading", "[]")))
    except (TypeError, ValueError):  # a Dataset of the user's own, who means something else by it
        reading = []
    return kept.assign_attrs(reading=json.dumps([*reading, sentence]))
