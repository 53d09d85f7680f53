"""Figures of directions among parameters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from metasci.report.marks import legend_below, titled
from metasci.report.style import BLUE, GREY, INK, PALETTE, RED, RULE, plain_log_axis, styled
from metasci.words import label, number, with_unit, words

__all__ = [
    "identifiability_figure",
    "initialisation_figure",
    "meta_hessian_figure",
    "next_measurement_figure",
]

_MOST = 8  # directions, or parameters: more bars than these cannot be read


@styled
def initialisation_figure(results: Mapping[str, xr.Dataset]) -> Figure:
    """Signal, gradient and saturation by layer, a line for each start.

    Parameters
    ----------
    results : mapping of str to xarray.Dataset
        From `initialisation`, by what the starts are called.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(8.6, 3.2), layout="constrained")
    axes = figure.subplots(1, 3)
    for color, (name, result) in zip(PALETTE * 3, results.items(), strict=False):
        hidden = result.isel(layer=slice(None, -1))
        for axis, quantity in zip(axes, ("signal", "gradient", "saturated"), strict=True):
            values = hidden[quantity] * (100.0 if quantity == "saturated" else 1.0)
            axis.plot(hidden["layer"], values, color=color, label=name, lw=1.4)
    for axis, title in zip(axes, ("signal (SD)", "gradient (RMS)", "saturated units (%)"), strict=True):
        axis.set(xlabel="layer", title=title)
    for axis in axes[:2]:
        plain_log_axis(axis, "y")
    axes[2].set_ylim(-3, 103)
    legend_below(figure, axes[0])
    return figure


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


@styled
def identifiability_figure(result: xr.Dataset, task: int = 0) -> Figure:
    """Expected standard deviations of the parameters against the prior's, and the spectrum of what a design sees.

    Parameters
    ----------
    result : xarray.Dataset
        From `identifiability`.
    task : int
        Which of its designs.

    Returns
    -------
    matplotlib.figure.Figure
    """
    of_task = result.isel(task=task)
    names = [words(str(name)) for name in of_task["parameter"].values]
    count = len(names)
    figure = Figure(figsize=(7.8, 1.5 + 0.5 * count), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = np.arange(count)[::-1]
    prior = of_task["sd_prior"].values
    with np.errstate(divide="ignore", invalid="ignore"):
        alone, both = of_task["sd_alone"].values / prior, of_task["sd_with_prior"].values / prior
    known = np.isfinite(alone)
    left.axvline(1.0, color=GREY, lw=1.0, ls=(0, (4, 2.5)), label="prior")
    left.plot(alone[known], rows[known], "o", color=RED, ms=6, mec="white", label="data alone")
    left.plot(both, rows, "o", color=BLUE, ms=6, mec="white", label="data and prior")
    plain_log_axis(left)
    for row in rows[~known]:
        left.annotate(
            "data alone: not determined",
            (1.0, row),
            (4, 0),
            textcoords="offset points",
            va="center",
            color=RED,
        )
    left.set_yticks(rows, names)
    left.set_ylim(-0.6, count - 0.4)
    left.set_xlabel("expected standard deviation over the prior's")
    relative, labels = (
        of_task["relative_sd"].values,
        [words(str(text)) for text in of_task["combination"].values],
    )
    seen = np.isfinite(relative)
    right.axvline(1.0, color=GREY, lw=1.0, ls=(0, (4, 2.5)))
    if seen.any():
        right.plot(relative[seen], rows[seen], "o", color=RED, ms=6, mec="white")
        plain_log_axis(right)
    for row, text, at in zip(rows, labels, seen, strict=True):
        caption, box = text + ("" if at else ": not seen"), {"fc": "white", "ec": "none", "pad": 1.0}
        right.text(0.02, row + 0.2, caption, transform=right.get_yaxis_transform(), fontsize=7.5, bbox=box)
    right.set_yticks([])
    right.set_ylim(-0.6, count - 0.2)
    right.set_xlabel("the same along a combination, data alone")
    if result.sizes["task"] > 1:
        left.set_title(str(of_task["task"].values))
    legend_below(figure, left)
    return figure


@styled
def next_measurement_figure(result: xr.Dataset, along: str, task: int = 0) -> Figure:
    """Gain of every candidate, and the standard deviations it would leave, along one input.

    Parameters
    ----------
    result : xarray.Dataset
        From `next_measurement`.
    along : str
        The input to draw along.
    task : int

    Returns
    -------
    matplotlib.figure.Figure
    """
    of_task = result.isel(task=task).sortby(along)
    x, unit = of_task[along].values, of_task[along].attrs["units"]
    figure = Figure(figsize=(7.4, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    best = int(np.argmax(of_task["gain"].values))
    left.plot(x, of_task["gain"].values, "-", color=BLUE)
    left.plot(x[best], of_task["gain"].values[best], "o", color=RED, ms=6.5, mec="white", zorder=5)
    left.set_ylabel("gain in ln det of the precision")
    left.set_title(
        titled(
            f"tells most at {with_unit(number(x[best]), unit)}",
            of_task.attrs["simulated"] == "true",
            50,
        )
    )
    left.set_ylim(0.0, None)
    for at, colour in zip(range(of_task.sizes["parameter"]), PALETTE, strict=False):
        share = of_task["expected_sd"].isel(parameter=at).values / float(of_task["sd"].isel(parameter=at))
        right.plot(x, 100 * share, color=colour, label=words(str(of_task["parameter"].values[at])))
    if "target_sd" in of_task:
        share = of_task["expected_target_sd"].values / float(of_task["target_sd"])
        right.plot(
            x, 100 * share, color=INK, ls=(0, (4, 2.5)), label=f"{of_task.attrs['quantity']} at the target"
        )
    right.set_ylim(0.0, 103.0)
    right.set_ylabel("standard deviation left (%)")
    for place in (left, right):
        place.set_xlabel(label(words(along), unit))
        place.set_xlim(x[0], x[-1])
    legend_below(figure, right, columns=4)
    return figure
