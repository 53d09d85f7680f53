"""Figures of a comparison with hierarchical Bayes, from its Dataset alone."""

from __future__ import annotations

import itertools
import math

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from metasci.report.marks import legend_below, titled
from metasci.report.style import BLUE, GREEN, GREY, INK, PALETTE, RED, plain_log_axis, styled
from metasci.words import label, words

__all__ = ["calibration_of_forecasts", "ellipses", "forecasts", "seconds", "shrinkage"]

# what is judged, PyMC twice, and what is judged beside
_COLOURS = (BLUE, RED, GREEN, next(colour for colour in PALETTE if colour not in (BLUE, RED, GREEN)))
_MARKERS = "os^D"
# outlines of single draws, few enough that each is seen; tasks from the best to the worst forecast, two by two
_ELLIPSES, _TASKS = 40, 4


def _in_units(comparison: xr.Dataset, name: str, values: np.ndarray) -> np.ndarray:
    """Coordinates of a parameter in its unit."""
    table = comparison["physical"].sel(parameter=name)
    table = table.isel(fold=0) if "fold" in table.dims else table
    return np.interp(values, comparison["axis"].values, table.values)


def _ranges_far(comparison: xr.Dataset, name: str) -> bool:
    """Whether a parameter goes over decades within what is ordinary for it, and belongs on a logarithmic axis."""
    low, high = _in_units(comparison, name, np.array([-1.0, 1.0]))
    return bool(low > 0.0 and high > 8.0 * low)


def _axis_label(comparison: xr.Dataset, name: str) -> str:
    return label(words(name), str(comparison["unit"].sel(parameter=name).values))


@styled
def ellipses(comparison: xr.Dataset, fold: int = 0) -> Figure:
    """Where half of the tasks lie by the prior and by draws of PyMC's population, for each pair of parameters.

    Parameters
    ----------
    comparison : xarray.Dataset
        As `metasci.bayes.compare` gives it.
    fold : int
        Position of the fold; both sides have learned from the same tasks in it.
    """
    part = comparison.isel(fold=fold)
    names = [str(name) for name in comparison["parameter"].values]
    pairs = list(itertools.combinations(range(len(names)), 2)) or [(0, 0)]
    columns = min(3, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    figure = Figure(figsize=(2.75 * columns + 0.4, 2.6 * rows + 0.5), layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False)
    chosen = np.linspace(0, comparison.sizes["draw"] - 1, min(_ELLIPSES, comparison.sizes["draw"])).astype(
        int
    )
    turn = np.linspace(0.0, 2.0 * np.pi, 200)
    circle = math.sqrt(2.0 * math.log(2.0)) * np.stack(
        [np.cos(turn), np.sin(turn)]
    )  # χ² with 2 degrees: half inside
    for axes in places.ravel()[len(pairs) :]:
        axes.set_visible(False)
    for axes, (i, j) in zip(places.ravel(), pairs, strict=False):
        if i == j:
            _densities(axes, part, names[0], comparison)
            continue
        pick = [i, j]

        def outline(mean: np.ndarray, covariance: np.ndarray, pick: list[int] = pick) -> list[np.ndarray]:
            values, vectors = np.linalg.eigh(covariance[np.ix_(pick, pick)])
            points = mean[pick, None] + vectors @ (np.sqrt(values.clip(min=0.0))[:, None] * circle)
            return [_in_units(comparison, names[at], row) for at, row in zip(pick, points, strict=True)]

        means, covariances = part["population_mean"].values, part["population_covariance"].values
        drawn = np.array([outline(means[draw], covariances[draw]) for draw in chosen])
        for line in drawn:
            axes.plot(*line, color=RED, alpha=0.22, lw=0.8)
        axes.plot(
            *(_in_units(comparison, names[at], means[:, at]) for at in pick), ".", color=RED, ms=2, alpha=0.35
        )
        start = part["start"].values
        spread = part["implied_covariance"].values
        if np.isfinite(spread).all():
            axes.plot(*outline(start, spread), color=BLUE, lw=2.2)
        axes.plot(
            *(_in_units(comparison, names[at], start[at : at + 1]) for at in pick), "o", color=BLUE, ms=5
        )
        axes.set_xlabel(_axis_label(comparison, names[i]))
        axes.set_ylabel(_axis_label(comparison, names[j]))
        # a few draws reach far: the axes show what nine in ten of them do
        low, high = np.quantile(drawn.min(2), 0.1, axis=0), np.quantile(drawn.max(2), 0.9, axis=0)
        axes.set_xlim(low[0] - 0.05 * (high - low)[0], high[0] + 0.05 * (high - low)[0])
        axes.set_ylim(low[1] - 0.05 * (high - low)[1], high[1] + 0.05 * (high - low)[1])
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        for at, which in ((i, "x"), (j, "y")):
            if _ranges_far(comparison, names[at]):
                side = ("x", "y").index(which)
                (axes.set_xlim if which == "x" else axes.set_ylim)(low[side] / 1.3, high[side] * 1.3)
                plain_log_axis(axes, which)
    handles = [
        Line2D([], [], color=BLUE, lw=2.2, marker="o", ms=5, label="learned prior"),
        Line2D([], [], color=RED, lw=1.0, label="PyMC, draws of the population"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    figure.suptitle(
        titled("Half of all tasks lie inside", bool(comparison.attrs["simulated"])),
        x=0.01,
        ha="left",
        weight="bold",
        fontsize=9,
    )
    return figure


def _densities(axes: Axes, part: xr.Dataset, name: str, comparison: xr.Dataset) -> None:
    """Of one parameter: the densities in coordinates along its physical values."""
    at = np.linspace(-4.0, 4.0, 300)

    def density(mean: float, variance: float) -> np.ndarray:
        return np.exp(-0.5 * (at - mean) ** 2 / variance) / math.sqrt(2.0 * math.pi * variance)

    x = _in_units(comparison, name, at)
    draws = zip(
        part["population_mean"].values[:_ELLIPSES, 0],
        part["population_covariance"].values[:_ELLIPSES, 0, 0],
        strict=True,
    )
    for mean, variance in draws:
        axes.plot(x, density(mean, variance), color=RED, alpha=0.22, lw=0.8)
    axes.plot(
        x, density(float(part["start"][0]), float(part["implied_covariance"][0, 0])), color=BLUE, lw=2.2
    )
    axes.set_xlabel(_axis_label(comparison, name))
    axes.set_ylabel("density of the coordinate")


@styled
def shrinkage(comparison: xr.Dataset) -> Figure:
    """Every held-out task's estimate beside its posterior, with where it started; bars are one standard deviation."""
    names = [str(name) for name in comparison["parameter"].values]
    tasks = comparison.sizes["task"]
    height = min(0.16 * tasks + 1.4, 7.5)
    figure = Figure(figsize=(2.5 * len(names) + 0.4, max(height, 2.8)), layout="constrained")
    places = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(places, names, strict=True):
        of_parameter = comparison.sel(parameter=name)
        order = np.argsort(of_parameter["posterior_mean"].values)
        rows = np.arange(tasks)
        for centre, sd, colour, off in (
            ("estimate", "estimate_sd", BLUE, 0.17),
            ("posterior_mean", "posterior_sd", RED, -0.17),
        ):
            middle, width = of_parameter[centre].values[order], of_parameter[sd].values[order]
            low, at, high = (_in_units(comparison, name, middle + s * width) for s in (-1.0, 0.0, 1.0))
            axes.hlines(rows + off, low, high, color=colour, lw=1.0, alpha=0.7)
            axes.plot(at, rows + off, "o", color=colour, ms=2.8)
        axes.plot(
            _in_units(comparison, name, of_parameter["start_of_task"].values[order]),
            rows,
            "|",
            color=GREY,
            ms=6,
            mew=1.0,
        )
        axes.set_xlabel(_axis_label(comparison, name))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        if _ranges_far(comparison, name):
            plain_log_axis(axes)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    places[0].set_ylabel(f"{tasks} held-out tasks, by PyMC's mean")
    handles = [
        Line2D([], [], color=BLUE, marker="o", ms=4, label="learned prior"),
        Line2D([], [], color=RED, marker="o", ms=4, label="PyMC, joint"),
        Line2D([], [], color=GREY, marker="|", ms=7, lw=0, label="where the task starts"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


@styled
def forecasts(comparison: xr.Dataset) -> Figure:
    """Held-out measurements of a few tasks, from the best to the worst forecast, with both sides' 90 % intervals."""
    labels = comparison["measured_task"].values
    each = comparison["error"] if "error" in comparison else comparison["median"] - comparison["measured"]
    off = each.isel(forecaster=0).values
    names = list(dict.fromkeys(labels.tolist()))
    error = np.array([math.sqrt(float(np.mean(off[labels == name] ** 2))) for name in names])
    wanted = np.argsort(error)[np.linspace(0, len(names) - 1, min(_TASKS, len(names))).round().astype(int)]
    inputs = [str(name) for name in str(comparison.attrs["inputs"]).split(",")]
    columns = min(2, len(wanted))
    rows = math.ceil(len(wanted) / columns)
    figure = Figure(figsize=(3.3 * columns + 0.3, 2.4 * rows + 0.6), layout="constrained")
    places = figure.subplots(rows, columns, squeeze=False)
    for axes, at in zip(places.ravel(), wanted.tolist(), strict=False):
        part = comparison.isel(measurement=np.nonzero(labels == names[at])[0])
        name = max(inputs, key=lambda key: len(np.unique(part[key].values)))
        x = part[name].values
        logarithmic = bool((x > 0).all() and x.max() > 50.0 * x.min())
        alone = float(np.ptp(x)) == 0.0
        gap = 0.03 * abs(x[0]) if alone else 0.006 * np.ptp(x)
        if alone:
            axes.set_xlim(x[0] - 12.0 * gap, x[0] + 12.0 * gap)
        for place, colour in enumerate(_COLOURS[:2]):
            forecaster = part.isel(forecaster=place)
            shift = x * (1.0 + 0.03 * (place - 0.5)) if logarithmic else x + gap * (place - 0.5) * 2.0
            axes.vlines(shift, forecaster["lower"], forecaster["upper"], color=colour, lw=1.4, alpha=0.55)
            axes.plot(shift, forecaster["median"], "_", color=colour, ms=5, mew=1.4)
        axes.plot(x, part["measured"], "o", mfc="white", mec=INK, ms=3.6, mew=0.9)
        if logarithmic:
            plain_log_axis(axes)
        axes.set_xlabel(label(words(name), str(comparison[name].attrs.get("units", "1"))))
        axes.set_ylabel(label(str(comparison.attrs["output"]), str(comparison.attrs["output_unit"])))
        axes.set_title(
            titled(
                f"task {names[at]}" if len(names[at]) < 20 else names[at], bool(comparison.attrs["simulated"])
            )
        )
    for axes in places.ravel()[len(wanted) :]:
        axes.set_visible(False)
    handles = [
        Line2D([], [], color=BLUE, marker="_", label="learned prior, 90 %"),
        Line2D([], [], color=RED, marker="_", label="PyMC, joint, 90 %"),
        Line2D([], [], marker="o", mfc="white", mec=INK, lw=0, ms=4, label="kept back"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


@styled
def calibration_of_forecasts(comparison: xr.Dataset) -> Figure:
    """Where held-out measurements fall in their forecasts, and how often intervals hold them."""
    figure = Figure(figsize=(6.6, 2.9), layout="constrained")
    left, right = figure.subplots(1, 2)
    count = comparison.sizes["measurement"]
    bins = np.linspace(0.0, 1.0, 11 if count >= 60 else 6)
    expected = 1.0 / (len(bins) - 1)
    noise = 1.645 * math.sqrt(expected * (1.0 - expected) / count)
    left.axhspan(expected - noise, expected + noise, color=GREY, alpha=0.2, lw=0)
    levels = comparison["level"].values
    right.plot([0.45, 1.0], [0.45, 1.0], color=GREY, lw=1.0, ls="--")
    error = 1.645 * np.sqrt(levels * (1.0 - levels) / count)
    right.fill_between(levels, levels - error, levels + error, color=GREY, alpha=0.2, lw=0)
    for place, (name, colour) in enumerate(zip(comparison["forecaster"].values, _COLOURS, strict=False)):
        forecaster = comparison.isel(forecaster=place)
        if place < 2:
            share = np.histogram(forecaster["pit"].values, bins)[0] / count
            left.stairs(share, bins, color=colour, lw=1.6)
        right.plot(
            levels,
            forecaster["coverage"],
            color=colour,
            marker=_MARKERS[place],
            ms=4.5,
            mec="white",
            label=str(name),
        )
    left.set_xlabel("probability that the forecast gave to less")
    left.set_ylabel("share of measurements")
    left.set_ylim(0.0, None)
    left.set_title("PIT: flat is right")
    right.set_xlabel("probability of the interval")
    right.set_ylabel("share of measurements inside")
    right.set_title("Coverage: on the line is right")
    handles, names = right.get_legend_handles_labels()
    handles.append(Patch(color=GREY, alpha=0.2, lw=0))
    figure.legend(
        handles, [*names, f"90 % of chance, {count} measurements"], loc="outside lower center", ncols=2
    )
    return figure


@styled
def seconds(comparison: xr.Dataset) -> Figure:
    """Error against the time that a new task takes."""
    figure = Figure(figsize=(5.0, 3.0), layout="constrained")
    axes = figure.subplots()
    for place, colour in enumerate(_COLOURS[: comparison.sizes["forecaster"]]):
        forecaster = comparison.isel(forecaster=place)
        axes.plot(
            float(forecaster["seconds"]),
            float(forecaster["rmse"]),
            _MARKERS[place],
            color=colour,
            ms=8,
            label=str(forecaster["forecaster"].values),
        )
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.set_xlim(low / 3.0, high * 3.0)
    axes.set_ylim(0.0, 1.25 * float(comparison["rmse"].max()))
    axes.set_xlabel("seconds for a new task")
    axes.set_ylabel(
        label(f"error, {comparison.attrs.get('error_name', 'RMSE')}", str(comparison.attrs["output_unit"]))
    )
    legend_below(figure, axes, columns=3)
    return figure
