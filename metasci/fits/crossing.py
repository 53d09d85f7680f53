"""When a calibrated curve reaches a value: a crack its critical length, a concentration the end of its effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from metasci.data.conditions import asked_for, batch_at
from metasci.errors import InputError, check_level
from metasci.fits.findings import quantity_text
from metasci.fits.posterior import posterior_draws
from metasci.fits.predictive import sampled
from metasci.meta.problem import Problem
from metasci.units import magnitude
from metasci.words import words

if TYPE_CHECKING:
    from metasci.fits.equation import EquationFit

__all__ = ["Crossing", "crossing"]

_PLACES = 400  # between the ends that are searched; between two of them a curve is taken for straight
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Crossing:
    """When the curve of each task reaches a value.

    Attributes
    ----------
    table : DataFrame
        Columns task, `median`, `earliest`, `latest`: along the input, in the model's unit, the median and the ends of
        the interval; NaN where one lies beyond the end of what was searched. And `probability`, that the value is
        reached before that end.
    value : float
        In the output's unit.
    along, unit : str
        The input, and its unit.
    output, output_unit : str
    until : float
        The end of what was searched.
    level : float
    """

    table: pd.DataFrame
    value: float
    along: str
    unit: str
    output: str
    output_unit: str
    until: float
    level: float

    @property
    def sentences(self) -> list[str]:
        """What is known of each task, in a sentence."""
        return [self._sentence(row) for row in self.table.to_dict("records")]

    def _sentence(self, row: dict[Any, Any]) -> str:
        def at(place: float) -> str:
            return quantity_text(place, self.unit)

        what = f"{row['task']}: {words(self.output)} reaches {quantity_text(self.value, self.output_unit)}"
        if np.isnan(row["median"]):
            return f"{what} before {at(self.until)} with a probability of {100.0 * row['probability']:.2g} %"
        latest = f"beyond {at(self.until)}" if np.isnan(row["latest"]) else at(row["latest"])
        return f"{what} at {at(row['median'])} ({100.0 * self.level:.3g} % interval {at(row['earliest'])} to {latest})"

    def __str__(self) -> str:
        return "\n".join(self.sentences)


def crossing(
    fit: EquationFit,
    value: Any,
    along: str,
    *,
    start: Any = None,
    until: Any = None,
    level: float = 0.9,
    draws: int = 1000,
    seed: int = 0,
    **conditions: Any,
) -> Crossing:
    """When the curve of each task first reaches a value, from wherever it begins.

    Parameters
    ----------
    fit : Calibration
    value : number, str or quantity
        Of the output; a number is in the model's unit.
    along : str
        The input that is followed: time, cycles.
    start, until : number, str or quantity, optional
        Between which it is looked for; by default the range that the prior was learned from.
    level : float
        Probability of the interval.
    draws : int
        Of curves from the posterior, of which each has its own crossing.
    seed : int
    **conditions
        The other inputs, as `EquationFit.predict` takes them, a number each.

    Returns
    -------
    Crossing

    Raises
    ------
    InputError
        If there is no such input, outcomes have no curve, the value is not finite, or `until` does not lie beyond
        `start`.

    Notes
    -----
    It is the curve that is asked, not a measurement, which scatters about it. After a dose, begin at the peak: a curve
    that begins below the value is followed until it is above.

    Examples
    --------
    >>> import metasci as ms
    >>> fit = ms.load("theophylline").calibrate(ms.dataset("theophylline").select(["1"]))
    >>> print(fit.when("5 mg/L", "time", start="2 h"))
    1: concentration reaches 5 mg/L at 13.8 h (90 % interval 12.2 h to 15.8 h)
    """
    check_level(level)
    model, output = fit.prior.model, fit.prior.model.output
    if along not in model.inputs:
        raise InputError(f"'{model.name}' has no input '{along}'; it has {', '.join(model.inputs)}.")
    if not model.noise.gaussian:
        raise InputError(f"'{model.name}' has outcomes that are no measurements about a curve.")
    unit, wanted = model.inputs[along].unit, magnitude(value, output.unit, "value")
    if not np.isfinite(wanted):
        raise InputError(f"value: {wanted:g} is no value that a curve could reach.")
    begin, end = _ends(fit, along, unit, start, until)
    for name, condition in conditions.items():
        if name != along and np.size(getattr(condition, "magnitude", condition)) != 1:
            raise InputError(f"{name}: give one number, under which {words(along)} is followed.")
    places = _places(begin, end)
    points = asked_for(model, fit.batch, {along: places, **conditions})
    tail = 0.5 * (1.0 - level)
    rows = []
    for task, name in enumerate(fit.batch.names):
        reached = _reached(places, _curves(fit, task, points, draws, seed), wanted)
        # of infinity, which stands for never, there is nothing between two values
        each = np.quantile(reached, [0.5, tail, 1.0 - tail], method="inverted_cdf")
        median, earliest, latest = np.where(np.isfinite(each), each, np.nan)
        share = float(np.isfinite(reached).mean())
        rows.append(
            {"task": name, "median": median, "earliest": earliest, "latest": latest, "probability": share}
        )
    return Crossing(pd.DataFrame(rows), wanted, along, unit, output.name, output.unit, end, level)


def _places(begin: float, end: float) -> Floats:
    """Evenly spaced ones, and as closely by their logarithm: tempering goes by decades, doses by hours."""
    evenly = np.linspace(begin, end, _PLACES)
    return np.union1d(evenly, np.geomspace(begin, end, _PLACES // 2)) if begin > 0.0 else evenly


def _ends(fit: EquationFit, along: str, unit: str, start: Any, until: Any) -> tuple[float, float]:
    """Between which places of the input to look."""
    known = fit.prior.training.get("ranges", {}).get(along)
    if known is None and (start is None or until is None):
        raise InputError(f"say from where and until where along {words(along)} it is to be looked for.")
    begin = float(known[0]) if start is None else magnitude(start, unit, "start")
    end = float(known[1]) if until is None else magnitude(until, unit, "until")
    if not end > begin:
        raise InputError(
            f"until: {quantity_text(end, unit)} does not lie beyond the start, {quantity_text(begin, unit)}."
        )
    return begin, end


def _curves(fit: EquationFit, task: int, points: Mapping[str, Any], draws: int, seed: int) -> Floats:
    """Curves of one task that are equally probable, (draw, place)."""
    model = fit.prior.model
    batch, _ = batch_at(model, fit.batch.select([task]), points)
    if fit.adapted.discrepancy is not None:
        adapted = fit.adapted.select(torch.tensor([task]))
        curve, _ = sampled(Problem(model, batch), adapted, draws, seed=seed)
        return np.asarray(curve[:, 0].numpy())
    coordinates = posterior_draws(fit, task, draws, seed).coordinates
    with torch.no_grad():
        alike = batch.select(torch.zeros(len(coordinates), dtype=torch.long))
        return np.asarray(Problem(model, alike).predict(coordinates).numpy())


def _reached(places: Floats, curves: Floats, wanted: float) -> Floats:
    """Where each curve first comes to a value, (draw,), infinite where it does not."""
    sign = 1.0 if np.median(curves[:, 0]) < wanted else -1.0
    beyond = sign * (curves - wanted)
    at = (beyond >= 0.0).argmax(1)
    draw, before = np.arange(len(curves)), np.maximum(at - 1, 0)
    low, high = beyond[draw, before], beyond[draw, at]
    share = np.where(at > 0, low / np.where(at > 0, low - high, 1.0), 0.0)
    found = places[before] + (places[at] - places[before]) * share
    return np.where((beyond >= 0.0).any(1), found, np.inf)
