"""Figures of directions among parameters."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from metasci.report.marks import legend_below, titled
from metasci.report.style import BLUE, GREY, PALETTE, RULE, plain_log_axis, styled
from metasci.report.text import words

__all__ = ["meta_hessian_figure"]

_MOST = 8


@styled
def meta_hessian_figure(result: xr.Dataset) -> Figure:
    """Curvature of the mean loss along each direction with that of every task, and what the directions are made of.

    Parameters
    ----------
    result : xarray.Dataset
        From `meta_hessian` or `composition_hessian`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    shown = result.isel(direction=slice(_MOST))
    figure = Figure(figsize=(7.6, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.25))
    place = np.arange(shown.sizes["direction"])
    for at in place:
        each = shown["task_curvature"].isel(direction=at).values
        left.plot(np.full(len(each), at), each, "o", color=GREY, ms=3.8, alpha=0.5, mew=0, label="a task")
    values = shown["eigenvalue"].values
    left.plot(place, values, "_", color=BLUE, ms=22, mew=2.4, label="mean of the tasks")
    if (shown["task_curvature"] > 0).all() and (values > 0).all():
        plain_log_axis(left, "y")
    else:
        left.axhline(0.0, color=RULE, lw=0.8)
    left.set_xticks(place, [str(at + 1) for at in place])
    left.set_xlim(-0.6, len(place) - 0.4)
    left.set_xlabel("direction")
    left.set_ylabel("curvature of the query loss")
    left.set_title(titled("agreed, to free", result.attrs.get("simulated") == "true", 40))
    _weights(right, shown)
    legend_below(figure, left)
    return figure


def _weights(axes, shown: xr.Dataset) -> None:  # type: ignore[no-untyped-def]
    """Each direction's weights on the parameters that matter most, as bars side by side."""
    weights = shown["eigenvector"].values
    weights = weights * np.sign(weights[np.arange(len(weights)), np.abs(weights).argmax(1)])[:, None]
    chosen = np.sort(np.argsort(-np.abs(weights).max(0), kind="stable")[:_MOST])
    width = 0.8 / len(chosen)
    for rank, at in enumerate(chosen):
        x = np.arange(len(weights)) + (rank - 0.5 * (len(chosen) - 1)) * width
        name = words(str(shown["parameter"].values[at]))
        axes.bar(x, weights[:, at], 0.92 * width, color=PALETTE[rank % len(PALETTE)], label=name)
    axes.axhline(0.0, color=GREY, lw=0.8)
    axes.set_xticks(np.arange(len(weights)), [str(at + 1) for at in range(len(weights))])
    axes.set_ylim(-1.05, 1.05)
    axes.set_xlabel("direction")
    axes.set_ylabel("weight in the direction")
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.0)
