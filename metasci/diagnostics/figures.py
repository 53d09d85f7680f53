"""Figures of what was learned: tasks held out, the inner loop, the noise of the meta-gradient."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from metasci.report.marks import legend_below, titled
from metasci.report.style import BLUE, GREY, RED, RULE, plain_log_axis, styled
from metasci.words import label

__all__ = ["gradient_noise_figure", "inner_loop_figure", "leave_one_task_out_figure"]


@styled
def leave_one_task_out_figure(result: xr.Dataset) -> Figure:
    """Root of the risk of every task, held out and seen; beside it the use of the support.

    Parameters
    ----------
    result : xarray.Dataset
        From `leave_one_task_out`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    wide = "use" in result
    figure = Figure(figsize=(7.4 if wide else 4.6, 3.6), layout="constrained")
    places = figure.subplots(1, 2, width_ratios=(1.7, 1.0)) if wide else [figure.subplots()]
    names = [str(name) for name in result["task"].values]
    x = np.arange(len(names))
    held, seen = (np.sqrt(result[name].mean("seed").values) for name in ("held_out", "seen"))
    places[0].vlines(x, seen, held, color=RULE, lw=1.2, zorder=1)
    places[0].plot(x, held, "o", color=RED, ms=6, mec="white", mew=0.7, label="task held out of learning")
    places[0].plot(x, seen, "o", color=BLUE, ms=6, mec="white", mew=0.7, label="task seen in learning")
    short = len(names) <= 14 and max(map(len, names)) <= 3
    if len(names) <= 14:
        places[0].set_xticks(x, names, rotation=0 if short else 40, ha="center" if short else "right")
    else:
        places[0].set_xticks([])
    places[0].set_xlabel("task")
    places[0].set_ylim(0.0, 1.08 * max(held.max(), seen.max()))
    unit, quantity = result.attrs.get("unit", "1"), result.attrs.get("quantity", "query")
    places[0].set_ylabel(label(f"RMSE of {quantity}", unit))
    simulated = result.attrs.get("simulated") == "true"
    title = f"risk ratio {float(result['ratio']):.2f}"
    places[0].set_title(titled(title, simulated, 40))
    legend_below(figure, places[0])
    if wide:
        parts = (
            ("exchanged", "the support of\na usual task", RED),
            ("own", "its own\nsupport", BLUE),
            ("least", "all its support\ncan tell", GREY),
        )
        for at, (name, _, colour) in enumerate(parts):
            each = np.sqrt(result[name].median("probe").values)
            places[1].plot(np.full(len(each), at), each, "o", color=colour, ms=4.5, alpha=0.55, mew=0)
            places[1].hlines(each.mean(), at - 0.25, at + 0.25, color=colour, lw=2.2)
        places[1].set_xticks(range(3), [text for _, text, _ in parts])
        places[1].set_xlim(-0.6, 2.6)
        places[1].set_ylabel(label(f"error of the curve, {quantity}", unit))
        places[1].set_ylim(0.0, None)
        places[1].set_title(titled(f"support used {100 * float(result['use']):.0f} %", True, 40))
        places[1].set_xlabel("unlike tasks, calibrated from")
    return figure


@styled
def inner_loop_figure(curve: xr.Dataset) -> Figure:
    """Loss of support and query, and error of the query, against the number of inner steps.

    Parameters
    ----------
    curve : xarray.Dataset
        From `inner_loop_curve`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(7.4, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    step, stop = curve["step"].values, int(curve["stop_at_steps"])
    loss, unsure = curve["mean_query_loss"].values, curve["excess_standard_error"].values
    left.fill_between(step, loss - 2 * unsure, loss + 2 * unsure, color=BLUE, alpha=0.2, lw=0, label="query")
    left.plot(step, loss, color=BLUE, label="query")
    left.plot(step, curve["mean_support_loss"].values, color=GREY, ls=(0, (4, 2.5)), label="support")
    left.set_ylabel("negative log-likelihood of a measurement")
    right.plot(step, curve["mean_query_rmse"].values, color=BLUE)
    unit = curve["mean_query_rmse"].attrs["units"]
    right.set_ylabel(label(f"RMSE of {curve.attrs['quantity']}", unit))
    for place, name in ((left, "mean_query_loss"), (right, "mean_query_rmse")):
        place.axvline(curve.attrs["trained_steps"], color=RULE, lw=1.0, label="steps in training")
        at = float(curve[name].sel(step=stop))
        place.plot(stop, at, "o", color=RED, ms=6.5, mec="white", zorder=5, label=f"stop after {stop}")
        place.set_xlabel("inner steps")
        place.set_xlim(0, step[-1])
    title = f"{len(curve['task'])} tasks, {curve.attrs['shots']} measurements each"
    left.set_title(titled(title, curve.attrs["simulated"] == "true", 50))
    legend_below(figure, left, columns=4)
    return figure


@styled
def gradient_noise_figure(result: xr.Dataset) -> Figure:
    """Components of the meta-gradient's variance against the step size, a panel for each number of steps.

    A component that is estimated below zero is not on the logarithmic axis. The dashed line grows as the square of the
    step size.

    Parameters
    ----------
    result : xarray.Dataset
        From `gradient_noise` or `meta_gradient_noise`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    count = result.sizes["steps"]
    figure = Figure(figsize=(3.1 * count + 1.0, 3.5), layout="constrained")
    panels = figure.subplots(1, count, sharey=True, squeeze=False)[0]
    sizes = result["step_size"].values
    looks = {"task": (GREY, "tasks", "s"), "support": (RED, "supports", "o"), "query": (BLUE, "queries", "^")}
    for place, steps in zip(panels, result["steps"].values, strict=True):
        here = result.sel(steps=steps)
        for source, (colour, name, marker) in looks.items():
            value = here["total"].sel(source=source).values
            unsure = here["standard_error"].sel(source=source).values
            shown = value > 0
            low = np.maximum(value - unsure, 0.2 * value)[shown]
            x, y = sizes[shown], value[shown]
            place.vlines(x, low, (value + unsure)[shown], color=colour, lw=1.0, alpha=0.6)
            place.plot(
                x, y, color=colour, marker=marker, ms=5, mec="white", mew=0.7, label=f"choice of {name}"
            )
        of_support = here["total"].sel(source="support").values
        if of_support[-1] > 0:
            guide = of_support[-1] * (sizes / sizes[-1]) ** 2
            place.plot(sizes, guide, color=RED, lw=0.9, ls=(0, (4, 2.5)), label="step size squared")
        plain_log_axis(place)
        plain_log_axis(place, "y")
        place.set_xlabel("inner step size")
        title = f"{steps} inner step{'s' * (int(steps) != 1)}"
        place.set_title(titled(title, result.attrs.get("simulated") == "true", 40))
    panels[0].set_ylabel("variance of the meta-gradient")
    legend_below(figure, panels[0], columns=4)
    return figure
