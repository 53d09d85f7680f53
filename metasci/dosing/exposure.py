"""A patient's exposure: the area under the curve of the last dosing interval and of the next one, peak and trough."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from metasci.dosing.course import Course, concentrations, corner_times, usual_interval
from metasci.errors import check_level
from metasci.fits.equation import EquationFit
from metasci.fits.posterior import posterior_draws

__all__ = ["exposure"]

_HOW = ("duration", "compartment", "modelled")  # columns that say in which way a dose is given
_DRAWS = 300  # ends of a 90 % interval are then good to an eighth of a standard deviation


def exposure(calibration: EquationFit, level: float = 0.9, seed: int = 0) -> pd.DataFrame:
    """Exposure of one patient in the interval after the last dose, and in the next if the same dose is given again.

    The interval is that between the last two doses, or the one that is told of a steady state. Intervals of
    probability are from draws of the posterior.

    Parameters
    ----------
    calibration : EquationFit
        Of one patient.
    level : float
    seed : int

    Returns
    -------
    DataFrame
        quantity ("AUC", "peak", "trough"), interval ("last", "next"), begins and ends (in the model's unit of time),
        unit, estimate, lower, upper. Empty where several patients were calibrated, the model takes no doses, or the
        interval is not known.

    Examples
    --------
    >>> import metasci as ms
    >>> infant = ms.load("phenobarbital").calibrate(ms.dataset("phenobarbital").select(["1"]))
    >>> found = exposure(infant)
    >>> found[["quantity", "interval"]].values.tolist()[:3]
    [['AUC', 'last'], ['peak', 'last'], ['trough', 'last']]
    """
    check_level(level)
    columns = ["quantity", "interval", "begins", "ends", "unit", "estimate", "lower", "upper"]
    model = calibration.prior.model
    if len(calibration.batch) != 1 or len(model.histories) != 1 or "time" not in model.inputs:
        return pd.DataFrame(columns=columns)
    history = next(iter(model.histories))
    last, gap = usual_interval(calibration, history)
    if last is None or not gap:
        return pd.DataFrame(columns=columns)
    size, duration = _last_dose(calibration, history)
    once_more = _given_again(calibration, history, last, gap)
    drawn = torch.cat(
        [calibration.adapted.coordinates, posterior_draws(calibration, draws=_DRAWS, seed=seed).coordinates]
    )
    time, output = model.inputs["time"].unit, model.first_output.unit
    tails = 0.5 * (1.0 - level), 0.5 * (1.0 + level)
    rows = []
    for which, begins, who in (("last", last, calibration), ("next", last + gap, once_more)):
        # the doses that open the intervals are the record's own, be they at steady state, and the same once more
        asked, none = Course(begins, gap, 1, min(duration, gap)), Course(begins + gap, gap, 0, 0.0)
        times = asked.judged(corner_times(who, history, none, [size], drawn, begins, begins + gap))
        (curves,) = concentrations(who, history, none, [size], drawn, times)
        for name, values, unit in (
            ("AUC", np.trapezoid(curves, times, axis=1), f"{output}*{time}"),
            ("peak", curves.max(1), output),
            ("trough", np.asarray(curves)[:, -1], output),
        ):
            low, high = np.quantile(np.asarray(values)[1:], tails)
            rows.append(
                (
                    name,
                    which,
                    begins,
                    begins + gap,
                    unit,
                    float(np.asarray(values)[0]),
                    float(low),
                    float(high),
                )
            )
    return pd.DataFrame(rows, columns=columns)


def _last_dose(calibration: EquationFit, history: str) -> tuple[float, float]:
    """Its size and how long it took."""
    inputs = calibration.batch.inputs
    place = int(torch.where(inputs[history] > 0.0, inputs[f"{history}_time"], -torch.inf).argmax())
    lasting = inputs.get(f"{history}_duration")
    return float(inputs[history].ravel()[place]), 0.0 if lasting is None else float(lasting.ravel()[place])


def _given_again(calibration: EquationFit, history: str, last: float, gap: float) -> EquationFit:
    """The patient to whom all that was given last is given once more after an interval, in the same way."""
    batch, columns = calibration.batch, calibration.prior.model.histories[history].columns
    amount, at = batch.inputs[history], batch.inputs[f"{history}_time"]
    chosen = ((amount > 0.0) & ((at - last).abs() < 1e-6)).ravel()
    inputs = dict(batch.inputs)
    for name in calibration.prior.model.event_names:
        again = inputs[name][..., chosen]
        told = name.removeprefix(f"{history}_")
        if told == "time":
            again = again + gap
        elif name != history and told not in _HOW:
            again = torch.full_like(again, columns[told].default)
        inputs[name] = torch.cat([inputs[name], again], -1)
    return replace(calibration, batch=replace(batch, inputs=inputs))
