"""When a calibrated curve reaches a value: a crack its critical length, a concentration the end of its effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from metasci.data.conditions import asked_for, batch_at, coded
from metasci.errors import InputError, check_level
from metasci.fits.data_checks import forecasts_beyond
from metasci.fits.findings import quantity_text
from metasci.fits.followed_curve import followed_curve, shown_curve
from metasci.fits.posterior import posterior_draws
from metasci.fits.predictive import sampled
from metasci.meta.problem import Problem
from metasci.units import magnitude
from metasci.words import words

if TYPE_CHECKING:
    from metasci.data.batch import Batch
    from metasci.fits.equation import EquationFit
    from metasci.model import Model

__all__ = ["Crossing", "crossing"]

_PLACES = 400  # between the ends that are searched; between two of them a curve is taken for straight
_BETWEEN = 24  # between two doses, after each of which a curve may rise and fall
_AT_ONCE = 5_000_000  # numbers of one evaluation
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Crossing:
    """When the curve of each task reaches a value.

    Attributes
    ----------
    table : DataFrame
        Columns task, `median`, `earliest`, `latest`: along the input, in the model's unit, the median and the ends of
        the interval; NaN where one lies beyond the end of what was searched, and the start where one lies before it.
        And `probability`, that the value is reached between start and end; `below`, that the curve is below it at the
        start.
    value : float
        In the output's unit.
    along, unit : str
        The input, and its unit.
    output, output_unit : str
    start, until : float
        Between which was searched.
    level : float
    extrapolates : str
        Which conditions of the answer lie outside of those that the prior was learned from; empty where none does.
    """

    table: pd.DataFrame
    value: float
    along: str
    unit: str
    output: str
    output_unit: str
    start: float
    until: float
    level: float
    extrapolates: str = ""

    @property
    def sentences(self) -> list[str]:
        """What is known of each task, in a sentence."""
        return [self._sentence(row) for row in self.table.to_dict("records")]

    def _sentence(self, row: dict[Any, Any]) -> str:
        def at(place: float) -> str:
            return quantity_text(place, self.unit)

        name, value = f"{row['task']}: {words(self.output)}", quantity_text(self.value, self.output_unit)
        side, most = ("below", row["below"]) if row["below"] > 0.5 else ("above", 1.0 - row["below"])
        likely = "" if most == 1.0 else f" with a probability of {100.0 * most:.3g} %"
        if row["probability"] == 0.0 and most < 1.0:
            return (
                f"{name} is {side} {value} at {at(self.start)}{likely}, and stays so until {at(self.until)}"
            )
        if row["probability"] == 0.0:
            return f"{name} stays {side} {value} from {at(self.start)} to {at(self.until)}"
        if row["median"] == self.start and most < 1.0:
            return f"{name} is {side} {value} already at {at(self.start)}{likely}"
        if np.isnan(row["median"]):
            share = row["probability"] + (1.0 - most)  # the others are past it from the start
            return (
                f"{name} reaches {value} before {at(self.until)} with a probability of {100.0 * share:.2g} %"
            )
        earliest = (
            f"before {at(self.start)}"
            if row["earliest"] == self.start and most < 1.0
            else at(row["earliest"])
        )
        latest = f"beyond {at(self.until)}" if np.isnan(row["latest"]) else at(row["latest"])
        interval = f"{100.0 * self.level:.3g} % interval {earliest} to {latest}"
        return f"{name} reaches {value} at {at(row['median'])} ({interval})"

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
    """When the curve of each task first reaches a value, from above or from below.

    Parameters
    ----------
    fit : Calibration
    value : number, str or quantity
        Of the output; a number is in the model's unit. A hardness may be on another scale, ``"400 HV"``.
    along : str
        The input that is followed: time, cycles.
    start, until : number, str or quantity, optional
        Between which it is looked for; by default where the prior was learned, and these tasks measured.
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
        If there is no such input, outcomes are classes, the value is none that the curve could reach, the input that is
        followed is also a condition, or `until` does not lie beyond `start`.

    Notes
    -----
    It is the curve that is asked, not a measurement, which scatters about it: of a yes or no its probability, of counts
    the expected count, of grades the mean grade, of times the median, of deviations their standard deviation. After a
    dose, begin at the peak: a curve that begins below the value is followed until it is above. Where the start is close
    to the value, some of the curves that are believed are past it by then: those that lie where most others come to.

    Examples
    --------
    >>> import metasci as ms
    >>> fit = ms.load("theophylline").calibrate(ms.dataset("theophylline").select(["1"]))
    >>> print(fit.when("5 mg/L", "time", start="2 h"))
    1: concentration reaches 5 mg/L at 13.8 h (90 % interval 12.2 h to 15.8 h)
    """
    check_level(level)
    model = fit.prior.model
    if along not in model.inputs:
        raise InputError(f"'{model.name}' has no input '{along}'; it has {', '.join(model.inputs)}.")
    unit = model.inputs[along].unit
    begin, end = _ends(fit, along, unit, start, until)
    if along in conditions:
        raise InputError(f"{along} is what is followed, from start to until, and no condition beside it.")
    conditions = coded(fit.tasks.card, conditions)
    for name, condition in conditions.items():
        if np.size(getattr(condition, "magnitude", condition)) != 1:
            raise InputError(f"{name}: give one number, under which {words(along)} is followed.")
    points = asked_for(model, fit.batch, {along: np.array([begin, end]), **conditions})
    curve = followed_curve(model, batch_at(model, fit.batch, points)[0].inputs)
    wanted = curve.value(value)
    tail = 0.5 * (1.0 - level)
    rows = []
    for task, name in enumerate(fit.batch.names):
        places = np.union1d(_places(begin, end), _about_doses(model, fit.batch, task, along, begin, end))
        points = asked_for(model, fit.batch, {along: places, **conditions})
        curves = _curves(fit, task, points, len(places), draws, seed)
        reached = _reached(places, curves, wanted)
        # of infinity, which stands for never, there is nothing between two values
        each = np.quantile(reached, [0.5, tail, 1.0 - tail], method="inverted_cdf")
        median, earliest, latest = np.where(each == np.inf, np.nan, np.maximum(each, begin))
        rows.append(
            {
                "task": name,
                "median": median,
                "earliest": earliest,
                "latest": latest,
                "probability": float(np.isfinite(reached).mean()),
                "below": float((curves[:, 0] < wanted).mean()),
            }
        )
    table = pd.DataFrame(rows)
    answers = table[["median", "earliest", "latest"]].fillna(end).to_numpy()
    others = {key: points[key] for key in points if key != along}
    given = {key: torch.as_tensor(np.array(at, float)) for key, at in {along: answers, **others}.items()}
    beyond = "; ".join(forecasts_beyond(fit.prior, given))
    named = (along, unit, curve.name, curve.unit)
    return Crossing(table, wanted, *named, begin, end, level, beyond)


def _places(begin: float, end: float) -> Floats:
    """Evenly spaced ones, and as closely by their logarithm: tempering goes by decades, doses by hours."""
    evenly = np.linspace(begin, end, _PLACES)
    return np.union1d(evenly, np.geomspace(begin, end, _PLACES // 2)) if begin > 0.0 else evenly


def _about_doses(model: Model, batch: Batch, task: int, along: str, begin: float, end: float) -> Floats:
    """Where the amounts of a task begin and end, just before each, and between them."""
    times = [np.array([begin, end])]
    for name, history in model.histories.items():
        if history.at != along:
            continue

        def told(column: str, otherwise: float, name: str = name) -> Floats:
            values = batch.inputs.get(f"{name}_{column}", torch.full_like(batch.inputs[name], otherwise))
            return np.asarray(values[task].flatten().numpy())

        given = np.flatnonzero(batch.inputs[name][task].flatten().numpy())
        first, every = told("time", 0.0)[given], told("interval", 0.0)[given]
        last, lasts = np.minimum(told("until", np.inf)[given], end), told("duration", 0.0)[given]
        for at, step, stop, takes in zip(first, every, last, lasts, strict=True):
            repeated = np.arange(at, stop, step) if step > 0.0 else np.array([at])
            times += [repeated, repeated + takes]
    known = np.unique(np.concatenate(times))
    known = known[(known >= begin) & (known <= end)]
    if len(known) == 2:
        return known
    between = np.linspace(known[:-1], known[1:], _BETWEEN).ravel()
    return np.concatenate([between, np.nextafter(known[1:], begin)])


def _ends(fit: EquationFit, along: str, unit: str, start: Any, until: Any) -> tuple[float, float]:
    """Between which places of the input to look."""
    known = fit.range_of(along) if start is None or until is None else (0.0, 0.0)
    begin = known[0] if start is None else magnitude(start, unit, "start")
    end = known[1] if until is None else magnitude(until, unit, "until")
    for name, place in (("start", begin), ("until", end)):
        if not np.isfinite(place):
            raise InputError(f"{name}: {place:g} is no place along {words(along)}.")
    if not end > begin:
        raise InputError(
            f"until: {quantity_text(end, unit)} does not lie beyond the start, {quantity_text(begin, unit)}; "
            f"say from which start until where along {words(along)} to look."
        )
    return begin, end


def _curves(
    fit: EquationFit, task: int, points: Mapping[str, Any], count: int, draws: int, seed: int
) -> Floats:
    """Curves of one task that are equally probable, (draw, place)."""
    model = fit.prior.model
    batch, _ = batch_at(model, fit.batch.select([task]), points)  # what was measured may follow the places
    if fit.adapted.discrepancy is not None:
        adapted = fit.adapted.select(torch.tensor([task]))
        drawn_curves, _ = sampled(Problem(model, batch), adapted, draws, seed=seed)
        return np.asarray(drawn_curves[:, 0, :count].numpy())
    longest = max((values.shape[2] for values in batch.inputs.values() if values.dim() == 3), default=1)
    pieces = []
    with torch.no_grad():
        drawn = posterior_draws(fit, task, draws, seed).coordinates
        for some in drawn.split(max(1, _AT_ONCE // (batch.mask.shape[1] * longest))):
            alike = batch.select(torch.zeros(len(some), dtype=torch.long))
            predicted = Problem(model, alike).predict(some)
            shown = shown_curve(model, predicted, fit.adapted.log_noise, alike.inputs)
            pieces.append(shown[:, :count])
    return np.asarray(torch.cat(pieces).numpy())


def _reached(places: Floats, curves: Floats, wanted: float) -> Floats:
    """Where each curve first comes to a value, (draw,): infinite where it does not, −infinite where it is past it."""
    from_below = curves[:, 0] < wanted
    beyond = np.where(from_below, 1.0, -1.0)[:, None] * (curves - wanted)
    comes = (beyond >= 0.0).any(1)
    at = (beyond >= 0.0).argmax(1)
    draw, before = np.arange(len(curves)), np.maximum(at - 1, 0)
    low, high = beyond[draw, before], beyond[draw, at]
    share = np.where(at > 0, low / np.where(at > 0, low - high, 1.0), 0.0)
    found = np.where(comes, places[before] + (places[at] - places[before]) * share, np.inf)
    if not comes.any():
        return found
    rising = from_below[comes].mean() > 0.5
    return np.where(from_below == rising, found, -np.inf)
