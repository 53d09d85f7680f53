"""Visual predictive check: percentiles of what was measured over time, against those simulated from a learned prior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from metasci.data.tasks import Batch, TaskSet
from metasci.errors import InputError
from metasci.fits.equation import EquationFit
from metasci.learned.equation import LearnedEquation
from metasci.learned.learned_from import SUMS, learned_from
from metasci.noise import Several
from metasci.report.bins import Correction, edges_of, order_statistics, percentiles_in
from metasci.report.curves import WIDE, Axis, is_logarithmic
from metasci.report.marks import draw_limits, headline, legend_below
from metasci.report.simulation import Simulator, limits_of, lower_limit
from metasci.report.style import BLUE, GREY, INK, RED, plain_log_axis, styled
from metasci.report.time_axis import abscissa, spread_out
from metasci.words import label, words

__all__ = [
    "are_simulated",
    "visual_predictive_check",
    "visual_predictive_check_figure",
    "were_learned_from",
]

_PERCENTILES = (5.0, 50.0, 95.0)
_ENDS = (5.0, 50.0, 95.0)  # of the simulated percentiles: a 90 % band and its middle


def visual_predictive_check(
    prior: LearnedEquation,
    tasks: TaskSet,
    simulations: int = 500,
    seed: int = 0,
    bins: int | Sequence[float] | None = None,
    prediction_corrected: bool = True,
    output: int = 1,
    over: str | None = None,
) -> xr.Dataset:
    """The 5th, 50th and 95th percentile of the measurements in every bin of time, observed and simulated.

    Every task is simulated anew with its own covariates, doses and times, from the prior and not from what was
    calibrated of it. With prediction correction, measured and simulated values are moved to the median condition of
    their bin, so that tasks of different doses and covariates can be pooled: times PRED of the bin over the
    measurement's own PRED, both above the output's lower limit; an output without such a limit is shifted by their
    difference. PRED is the prediction at the prior's mean, with the task's covariates. Simulated values beyond the
    model's limits are put at the limit, as the package's intervals are. A value below a limit of quantification counts
    as the lowest, in the data and in the simulations.

    Parameters
    ----------
    prior : Prior
    tasks : TaskSet
        Best not those that the prior was learned from.
    simulations : int
    seed : int
    bins : int or sequence of float, optional
        How many, of like numbers of measurements, or their edges in the model's unit. By default a bin has about
        twelve measurements or more, and there are three to twelve.
    prediction_corrected : bool
    output : int
        Which output to check, of a model that has several.
    over : "time" or "time after last dose", optional
        Along which to bin; see `metasci.report.time_axis.abscissa` for the default.

    Returns
    -------
    xarray.Dataset
        ``observed``, ``lower``, ``simulated`` and ``upper``, all (percentile, bin): the percentile observed, and the
        middle and 90 % band of the same percentile in the simulations, −∞ where below a limit of quantification;
        ``below``, ``below_lower``, ``below_simulated``, ``below_upper`` (bin): the fraction of measurements that is;
        ``count``, ``start``, ``end``, ``middle`` (bin); and ``at``, ``value``, ``censored`` (measurement).

    Notes
    -----
    Percentiles are order statistics, so that a value below a limit needs no number. Sources: Holford, PAGE 14 (2005)
    abstract 738, for the check; Bergstrand, Hooker, Wallin and Karlsson, AAPS J 13 (2011) 143, for the correction and
    for limits of quantification.

    Examples
    --------
    >>> import metasci as ms
    >>> check = visual_predictive_check(ms.load("theophylline"), ms.dataset("theophylline"), simulations=100, bins=3)
    >>> check["count"].values.tolist(), check.attrs["simulated_from"]
    ([44, 44, 44], 'theophylline')
    """
    if simulations < 1:
        raise InputError(f"simulations: there must be at least one, not {simulations}.")
    tasks = prior.read(tasks)
    batch = _of_output(prior, prior.batch(tasks), output)
    if not bool(batch.mask.any()):
        raise InputError("a visual predictive check needs measurements, and there are none.")
    simulator = Simulator(prior, batch, seed)
    whole = EquationFit(prior, tasks, batch, simulator.adapted)
    axis, everywhere = abscissa(whole, over)
    placed = batch.mask.numpy() & np.isfinite(everywhere)
    if not placed.any():
        raise InputError("over: every measurement was made before the first dose.")
    edges = edges_of(everywhere[placed], bins)
    count = len(edges) - 1
    inside = placed & (everywhere >= edges[0]) & (everywhere < edges[-1])
    if not inside.any():
        raise InputError(f"no measurement lies in the bins, {edges[0]:g} to {edges[-1]:g} {axis.unit}.")
    at = everywhere[inside]
    place = np.searchsorted(edges, at, side="right") - 1
    lowest = lower_limit(prior)
    highest = min((float(law.reading_limits[1]) for law in prior.model.constraints), default=np.inf)
    correct = Correction.none(len(at))
    if prediction_corrected:
        correct = Correction.of(simulator.population()[inside], place, lowest)

    values, limits = batch.output.numpy()[inside], limits_of(batch)[inside]
    below = np.zeros_like(at, dtype=bool) if batch.censored is None else batch.censored.numpy()[inside]
    observed, share = percentiles_in(
        np.where(below, -np.inf, correct(values))[None], place, count, _PERCENTILES
    )
    drawn, shares = [], []
    for piece in simulator.pieces(simulations):
        simulated = np.clip(piece[:, inside], lowest, highest)
        each = np.where(simulated < limits, -np.inf, correct(simulated))
        percentiles = percentiles_in(each, place, count, _PERCENTILES)
        drawn.append(percentiles[0])
        shares.append(percentiles[1])
    ends, share_ends = (order_statistics(np.concatenate(kept), _ENDS) for kept in (drawn, shares))

    unit, along_unit = {"units": prior.model.output.unit}, {"units": axis.unit}
    middle = [
        np.median(at[place == at_bin]) if (place == at_bin).any() else np.nan for at_bin in range(count)
    ]
    variables: dict[str, Any] = {
        "observed": (("percentile", "bin"), observed[0], unit),
        "below": ("bin", share[0]),
        "count": ("bin", np.bincount(place, minlength=count)),
        "start": ("bin", edges[:-1], along_unit),
        "end": ("bin", edges[1:], along_unit),
        "middle": ("bin", np.array(middle), along_unit),
        "at": ("measurement", at, along_unit),
        "value": ("measurement", correct(values), unit),
        "censored": ("measurement", below),
    }
    for name, end, fraction in zip(("lower", "simulated", "upper"), ends, share_ends, strict=True):
        variables[name] = (("percentile", "bin"), end, unit)
        variables[f"below_{name}"] = ("bin", fraction)
    attrs = {
        "model": prior.model.name,
        "simulated_from": prior.name,
        "simulations": simulations,
        "seed": seed,
        "data": tasks.card.name,
        "data_simulated": int(are_simulated(tasks)),
        "tasks": int(inside.any(1).sum()),
        "along": axis.name,
        "shown": axis.shown,
        "output": prior.model.output.label or prior.model.output.name,
        "prediction_corrected": int(prediction_corrected),
        "not_corrected": correct.impossible,
        "logarithmic": int(is_logarithmic(whole, values)),
        "outside_bins": int(batch.mask.sum()) - len(at),
        "learned_from_these": int(were_learned_from(prior, tasks)),
    }
    return xr.Dataset(variables, {"percentile": list(_PERCENTILES)}, attrs)


def are_simulated(tasks: TaskSet) -> bool:
    """Whether the measurements themselves are simulated."""
    return tasks.card.simulated or str(tasks.dataset.attrs.get("simulated", "false")).lower() == "true"


def were_learned_from(prior: LearnedEquation, tasks: TaskSet) -> bool:
    """Whether the prior has certainly seen some of these tasks."""
    # of a prior that was saved before tasks were noted one by one it is certain where it has learned from all
    certain = SUMS in prior.training or prior.training.get("tasks") == prior.card.tasks
    return certain and bool(learned_from(prior, tasks).any())


def _of_output(prior: LearnedEquation, batch: Batch, output: int) -> Batch:
    """Only the measurements of one output count."""
    noise = prior.model.noise
    if not isinstance(noise, Several):
        if output != 1:
            raise InputError(f"'{prior.model.name}' has one output, so there is no output {output}.")
        return batch
    if not 1 <= output <= len(noise.noises):
        raise InputError(f"'{prior.model.name}' has outputs 1 to {len(noise.noises)}, not {output}.")
    return batch.with_mask(batch.mask & (batch.inputs[noise.by].expand(batch.mask.shape) == float(output)))


@styled
def visual_predictive_check_figure(check: xr.Dataset) -> Figure:
    """Observed percentiles over the simulated bands, with the measurements behind them.

    Where measurements lie below a limit of quantification, which open triangles mark, a second panel has their
    fraction. Axes are logarithmic where the measurements could not be seen otherwise.

    Parameters
    ----------
    check : xarray.Dataset
        As `visual_predictive_check` gives it.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import metasci as ms
    >>> check = visual_predictive_check(ms.load("theophylline"), ms.dataset("theophylline"), simulations=100)
    >>> visual_predictive_check_figure(check).axes[0].get_ylabel()
    'prediction-corrected plasma concentration (mg/L)'
    """
    axis = Axis(check.attrs["along"], check["at"].attrs["units"], check.attrs["shown"])
    limited = bool(check["censored"].any())
    figure = Figure(figsize=(6.4, 5.6 if limited else 4.6), layout="constrained")
    rows = figure.subplots(
        2 if limited else 1, 1, squeeze=False, sharex=True, height_ratios=[3, 1][: 1 + limited]
    )
    places: list[Axes] = rows[:, 0].tolist()
    _draw_percentiles(places[0], check, axis)
    corrected = "prediction-corrected " if check.attrs["prediction_corrected"] else ""
    places[0].set_ylabel(label(f"{corrected}{words(check.attrs['output'])}", check["value"].attrs["units"]))
    if limited:
        band = (check["below_lower"].values, check["below_upper"].values)
        _draw_steps(places[1], _shown_edges(check, axis), [band], BLUE, "")
        places[1].plot(axis.show(check["middle"].values), check["below"].values, "o-", color=INK, ms=3.5)
        places[1].set_ylim(-0.03, 1.03)
        places[1].set_ylabel("fraction below\nthe limit")
    places[-1].set_xlabel(axis.label)
    origin = " (simulated data)" if check.attrs["data_simulated"] else ""
    headline(figure, f"Visual predictive check of {check.attrs['tasks']} tasks{origin}")
    places[0].set_title(_said(check), fontweight="normal", fontsize=8, color=GREY)
    legend_below(figure, places[0], columns=2)
    return figure


def _said(check: xr.Dataset) -> str:
    attrs = check.attrs
    parts = [f"{attrs['simulations']} simulations from the prior '{attrs['simulated_from']}'"]
    if attrs["learned_from_these"]:
        parts[0] += ", learned from the same data"
    if attrs["not_corrected"]:
        parts.append(f"{attrs['not_corrected']} measurements where nothing is predicted are not corrected")
    if attrs["outside_bins"]:
        parts.append(f"{attrs['outside_bins']} measurements lie outside the bins")
    return ";\n".join(parts)


def _shown_edges(check: xr.Dataset, axis: Axis) -> np.ndarray:
    return axis.show(np.append(check["start"].values, check["end"].values[-1]))


def _draw_percentiles(place: Axes, check: xr.Dataset, axis: Axis) -> None:
    edges, middle = _shown_edges(check, axis), axis.show(check["middle"].values)
    quantified = ~check["censored"].values
    at, value = axis.show(check["at"].values)[quantified], check["value"].values[quantified]
    place.plot(at, value, "o", color=GREY, ms=3.2, mew=0, alpha=0.65, label="measured", clip_on=False)
    draw_limits(
        place, axis.show(check["at"].values)[~quantified], check["value"].values[~quantified], colour=GREY
    )
    drawn = value[np.isfinite(value)]
    low = min(float(drawn.min(initial=np.inf)), 0.0) if len(drawn) else 0.0
    wide = check.attrs["logarithmic"] and len(drawn) and 0.0 < WIDE * drawn.min() < drawn.max()
    if wide:
        low = 0.5 * float(drawn.min())
    for rows, colour, name in (([0, 2], BLUE, "5th and 95th percentile"), ([1], RED, "median")):
        bands = [[np.maximum(check[side].values[row], low) for side in ("lower", "upper")] for row in rows]
        _draw_steps(place, edges, bands, colour, f"{name}: simulated, 90 % band")
        for row in rows:
            seen = np.where(np.isfinite(check["observed"].values[row]), check["observed"].values[row], np.nan)
            dashes = "-" if row == 1 else (0, (4, 2))
            place.plot(
                middle,
                seen,
                ls=dashes,
                marker="o",
                ms=3.5,
                mec="white",
                mew=0.5,
                color=colour,
                lw=1.5,
                zorder=5,
                label=f"{name}: observed",
            )
    place.set_ylim(low if wide or low == 0.0 else None, None)
    if wide:
        plain_log_axis(place, "y")
    logarithmic = spread_out(place, axis.show(check["at"].values))
    place.set_xlim(edges[0] if logarithmic else min(0.0, edges[0]), edges[-1])


def _draw_steps(place: Axes, edges: np.ndarray, bands: Sequence[Any], colour: str, name: str) -> None:
    """Bands (lower, upper) that are flat from edge to edge."""
    for lower, upper in bands:
        place.stairs(upper, edges, baseline=lower, fill=True, color=colour, alpha=0.25, lw=0, label=name)
