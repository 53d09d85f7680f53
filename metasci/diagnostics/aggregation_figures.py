"""The figure of starts made of many tasks."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from metasci.report.marks import legend_below, titled
from metasci.report.style import BLUE, GREEN, GREY, RED, RULE, styled
from metasci.words import words

__all__ = ["task_aggregation_figure"]

_COLOURS = {"pooled": RED, "mean": GREEN, "precision-weighted": BLUE}
_MOST = 15  # tasks: more rows than these cannot be told apart on a page


@styled
def task_aggregation_figure(result: xr.Dataset) -> Figure:
    """A forest of the tasks' own estimates, the three starts with their intervals below.

    Bars are 90 % intervals; the area of a dot is the task's number of measurements.

    Parameters
    ----------
    result : xarray.Dataset
        From `task_aggregation`; its first fifteen tasks are shown.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = [str(name) for name in result["parameter"].values]
    shown = result.isel(task=slice(_MOST))
    tasks, methods = shown.sizes["task"], [str(method) for method in result["start"].values]
    height = 1.5 + 0.2 * (tasks + len(methods))
    figure = Figure(figsize=(2.4 * len(names) + 1.8, height), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    size = 60.0 * shown["measurements"].values / shown["measurements"].values.max()
    rows = np.arange(tasks)[::-1] + len(methods) + 1
    for place, name in zip(panels, names, strict=True):
        row = shown.sel(parameter=name)
        centre, error = row["estimate"].values, 1.645 * row["estimate_error"].values
        place.hlines(rows, centre - error, centre + error, color=GREY, lw=1.0, alpha=0.7)
        place.scatter(centre, rows, s=np.maximum(size, 6.0), color=GREY, zorder=3, lw=0, label="a task alone")
        for at, method in enumerate(reversed(methods)):
            start = row.sel(start=method)
            middle, reach = float(start["coordinate"]), 1.645 * float(start["standard_error"])
            place.hlines(at, middle - reach, middle + reach, color=_COLOURS[method], lw=2.6)
            place.plot(middle, at, "D", color=_COLOURS[method], ms=5.5, mec="white", mew=0.7, label=method)
        place.axvline(float(row["coordinate"].sel(start=methods[-1])), color=RULE, lw=0.8, zorder=0)
        place.set_title(titled(words(name), False, 40), fontweight="normal")
        place.set_xlabel("spreads from the typical value")
        _limit(place, centre, error)
    labels = [str(task) for task in shown["task"].values]
    panels[0].set_yticks([*rows, *range(len(methods))], [*labels, *reversed(methods)])
    panels[0].set_ylim(-0.8, rows[0] + 0.8)
    for place in panels[1:]:
        place.tick_params(axis="y", labelleft=False)
    if result.attrs["simulated"] == "true":
        figure.suptitle("Starts (simulated data)", x=0.01, ha="left", fontsize=10, fontweight="bold")
    legend_below(figure, panels[0], columns=4)
    return figure


def _limit(place, centre: np.ndarray, error: np.ndarray) -> None:  # type: ignore[no-untyped-def]
    """Leave out what of an interval runs away from all estimates."""
    low, high = centre.min(), centre.max()
    room = 0.8 * (high - low) or 1.0
    place.set_xlim(
        max(low - room, (centre - error).min() - 0.05), min(high + room, (centre + error).max() + 0.05)
    )
