"""Figures by which pharmacometricians judge a population model: goodness of fit, and random effects over covariates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from metasci.data.conditions import followed, last_known
from metasci.errors import InputError
from metasci.fits.predictive import predictive
from metasci.report.curves import below_limit, is_logarithmic, is_simulated, measurements
from metasci.report.marks import draw_limits, headline, legend_below, titled
from metasci.report.npde_figures import scatter_along
from metasci.report.residuals import between_tasks, conditional_weighted_residuals
from metasci.report.style import BLUE, GREY, RED, plain_log_axis, styled
from metasci.report.time_axis import abscissa, spread_out
from metasci.words import label, number, words

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit

__all__ = ["goodness_of_fit_figure", "random_effects_figure"]


@styled
def goodness_of_fit_figure(calibration: EquationFit) -> Figure:
    """Measured against predicted values, of the population and of each task, and weighted residuals.

    The population prediction is that at the prior's mean with the task's covariates, the individual prediction
    that at the task's estimate. Residuals are conditional weighted residuals (CWRES), of the model linearised at
    the estimate and decorrelated within the task, on the scale on which the noise is Gaussian: see
    `metasci.report.residuals.conditional_weighted_residuals`. A measurement below a limit of quantification is
    drawn as an open triangle at the limit, and has no residual.

    Parameters
    ----------
    calibration : Calibration

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import metasci as ms
    >>> fit = ms.load("theophylline").calibrate(ms.dataset("theophylline"))
    >>> goodness_of_fit_figure(fit).axes[0].get_xlabel()
    'population prediction (mg/L)'
    """
    figure = Figure(figsize=(6.8, 6.6), layout="constrained")
    by_population, by_individual, over_time, over_prediction = figure.subplots(2, 2).ravel().tolist()
    mask, output, measured = calibration.batch.mask, calibration.prior.model.output, measurements(calibration)
    population, individual = (
        predictive(calibration.problem, calibration.adapted, prior=prior).median[mask].numpy()
        for prior in (True, False)
    )
    residuals = conditional_weighted_residuals(calibration)[mask.numpy()]
    below = below_limit(calibration)
    logarithmic = is_logarithmic(calibration, np.concatenate([measured, population, individual]))
    quantity = f"measured {output.label or words(output.name)}"
    for place, predicted, name in (
        (by_population, population, "population prediction"),
        (by_individual, individual, "individual prediction"),
    ):
        _draw_agreement(place, predicted, measured, below, logarithmic)
        place.set_xlabel(label(name, output.unit))
        place.set_ylabel(label(quantity, output.unit))
    axis, everywhere = abscissa(calibration)
    finite = np.isfinite(residuals)
    at = axis.show(everywhere[mask.numpy()])[finite]
    scatter_along(over_time, at, residuals[finite])
    spread_out(over_time, at)
    scatter_along(over_prediction, population[finite], residuals[finite])
    if logarithmic:
        plain_log_axis(over_prediction)
    over_time.set_xlabel(axis.label)
    over_prediction.set_xlabel(label("population prediction", output.unit))
    for place in (over_time, over_prediction):
        place.set_ylabel("conditional weighted residual")
    by_population.plot([], [], color=RED, label="running median")
    by_population.plot([], [], color=GREY, lw=0.9, ls=(0, (4, 2.5)), label="±1.96")
    lost = f"; {int((~finite).sum())} without residual" if not finite.all() else ""
    heading = titled(
        f"{len(measured)} measurements of {len(mask)} tasks{lost}", is_simulated(calibration), 90
    )
    headline(figure, f"Goodness of fit: {heading}")
    legend_below(figure, by_population, columns=5)
    return figure


def _draw_agreement(
    place: Axes,
    predicted: NDArray[np.float64],
    measured: NDArray[np.float64],
    below: NDArray[np.bool_],
    logarithmic: bool,
) -> None:
    """Measured over predicted values on equal scales, with the line on which they agree."""
    ends = np.concatenate([measured, predicted])
    ends = ends[np.isfinite(ends)]
    low, high = (float(ends.min()), float(ends.max())) if len(ends) else (0.0, 1.0)
    margin = 0.05 * (high - low) or 1.0
    line = [low / 1.2, high * 1.2] if logarithmic else [low - margin, high + margin]
    place.plot(line, line, color=GREY, lw=1.0, zorder=1, label="identity")
    place.plot(
        predicted[~below],
        measured[~below],
        "o",
        color=BLUE,
        ms=3.8,
        mew=0,
        alpha=0.75,
        label="measured",
        clip_on=False,
    )
    draw_limits(place, predicted[below], measured[below], colour=BLUE)
    place.set_xlim(*line)
    place.set_ylim(*line)
    if logarithmic:
        plain_log_axis(place, "x")
        plain_log_axis(place, "y")
    else:
        for axis in (place.xaxis, place.yaxis):
            axis.set_major_locator(MaxNLocator(5))
    place.set_aspect("equal")


@styled
def random_effects_figure(calibration: EquationFit, covariates: Sequence[str] | None = None) -> Figure:
    """How far each task lies from what its covariates lead to expect, against the covariates.

    A random effect η is the task's estimate less the prior's mean with the task's covariates, in the coordinates that
    are calibrated, and in units of the standard deviation between tasks there. A trend that is left says that the
    covariate tells more than the prior has learned of it. Each title gives the η-shrinkage, 1 − var(η): near 1 the
    tasks' measurements say little of the parameter, and its panels can show no trend. It is another thing than the
    column ``shrinkage`` of a calibration's table.

    Parameters
    ----------
    calibration : Calibration
        Of three tasks or more.
    covariates : sequence of str, optional
        By default all that the data have, known to the prior or not, and those that the model follows along the
        patient's records, of which the first value counts.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each parameter, a column for each covariate; lines are least squares, on the scale of the axis.

    Raises
    ------
    InputError
        If there are fewer than three tasks, or a covariate is not known of them.

    Notes
    -----
    Source: Savic and Karlsson, AAPS J 11 (2009) 558, on shrinkage and how it hides trends.

    Examples
    --------
    >>> import metasci as ms
    >>> fit = ms.load("theophylline").calibrate(ms.dataset("theophylline"))
    >>> random_effects_figure(fit, ["weight"]).axes[0].get_title(loc="left")
    'absorption rate: η-shrinkage 25 %'
    """
    known = (*calibration.tasks.covariate_names, *followed(calibration.prior.model))
    names = list(dict.fromkeys(known) if covariates is None else covariates)
    if missing := [name for name in names if name not in known]:
        raise InputError(f"the data '{calibration.tasks.card.name}' have no covariate '{missing[0]}'.")
    if not names:
        raise InputError("random effects are drawn against covariates, and the data have none.")
    if len(calibration.batch) < 3:
        raise InputError(f"random effects need three tasks or more, not {len(calibration.batch)}.")
    adapted, parameters = calibration.adapted, calibration.prior.model.parameters
    spread = between_tasks(calibration).diagonal(dim1=1, dim2=2).sqrt()
    effects = ((adapted.coordinates - adapted.start) / spread).numpy()
    rows, columns = len(parameters), len(names)
    figure = Figure(figsize=(max(2.9 * columns + 0.4, 4.2), 2.2 * rows + 0.7), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for row, parameter in enumerate(parameters):
        eta = effects[:, row]
        shrinkage = 1.0 - float(eta.var(ddof=1))
        for column, name in enumerate(names):
            place = grid[row, column]
            _draw_effects(place, calibration, name, eta)
            caption = f"{words(parameter.name)}: η-shrinkage {number(100.0 * shrinkage, 2)} %"
            place.set_title(titled(caption, False, 36))
            if column == 0:
                place.set_ylabel("η (SD between tasks)")
            if row == rows - 1:
                when = "first " if name in followed(calibration.prior.model) else ""
                place.set_xlabel(label(when + words(name), _covariate(calibration, name)[1]))
    if is_simulated(calibration):
        headline(figure, "Random effects (simulated data)")
    legend_below(figure, grid[0, 0], columns=4)
    return figure


def _covariate(calibration: EquationFit, name: str) -> tuple[NDArray[np.float64], str]:
    """A covariate of every task, the first value of one that changes, and its unit."""
    model, batch = calibration.prior.model, calibration.batch
    if name in followed(model):
        first = last_known(model, batch, name, batch.output.new_full((len(batch), 1), -torch.inf))
        return first[:, 0].cpu().numpy(), model.inputs[name].unit
    stored = calibration.tasks.dataset[name]
    return np.asarray(stored.values, dtype=float), str(stored.attrs["units"])


def _draw_effects(place: Axes, calibration: EquationFit, name: str, eta: NDArray[np.float64]) -> None:
    """One parameter's effects along one covariate, on the scale on which the model has it act."""
    x, _ = _covariate(calibration, name)
    known = np.isfinite(x) & np.isfinite(eta)
    logarithmic = calibration.prior.model.transforms.get(name) == "log" and bool((x[known] > 0).all())
    place.axhline(0.0, color=GREY, lw=1.0)
    for end in (-1.96, 1.96):
        place.axhline(end, color=GREY, lw=0.9, ls=(0, (4, 2.5)), label="±1.96")
    place.plot(x[known], eta[known], "o", color=BLUE, ms=3.6, mew=0, alpha=0.75, label="task")
    scaled = np.log(x[known]) if logarithmic else x[known]
    if len(np.unique(scaled)) > 1:
        line = np.linspace(scaled.min(), scaled.max(), 50)
        trend = np.polynomial.Polynomial.fit(scaled, eta[known], 1)(line)
        place.plot(np.exp(line) if logarithmic else line, trend, color=RED, label="trend")
    if lost := int((~known).sum()):
        place.text(
            0.98, 0.03, f"unknown of {lost}", transform=place.transAxes, ha="right", fontsize=7.5, color=GREY
        )
    reach = max(2.6, 1.1 * float(np.abs(eta[np.isfinite(eta)]).max(initial=0.0)), *np.abs(place.get_ylim()))
    place.set_ylim(-reach, reach)
    if logarithmic:
        plain_log_axis(place)
    else:
        codes = bool((x[known] == x[known].round()).all()) and float(np.ptp(x[known])) <= 5.0
        place.xaxis.set_major_locator(MaxNLocator(5, integer=codes))
