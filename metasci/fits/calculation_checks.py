"""Whether a calibration was calculated as it should be: converged, finite, accurate, inside of the laws."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch

from metasci.fits.findings import (
    Finding,
    flagged,
    measured_text,
    quantity_text,
    without_likelihood,
)
from metasci.quadrature import finer_integrals
from metasci.words import number, with_unit, words

if TYPE_CHECKING:
    from torch import Tensor

    from metasci.fits.adapted_tasks import AdaptedTasks

__all__ = ["accuracy", "broken_laws", "clipped", "convergence", "integrals"]

_CONDITIONS = 4  # that fit into a sentence
_INTEGRALS = 1e-3  # of a prediction, to which its integrals are to be exact
_TOLERANCE = 1e-6  # of a limit: nearer is on it, but for rounding


def convergence(calibration: AdaptedTasks) -> Iterator[Finding]:
    """Estimates that are no numbers, or that may still move."""
    names, adapted = calibration.batch.names, calibration.adapted
    faults = without_likelihood(calibration) if not bool(adapted.finite.all()) else None
    for index in flagged(~adapted.finite):
        text, stands_in = (
            "the calculation gave no finite numbers",
            "so the prior stands in for the calibration",
        )
        at = "" if faults is None else _at_fault(calibration, index, faults[index])
        yield Finding(names[index], f"{text}{at}, {stands_in}", f"{text}, {stands_in}")
    for index in flagged(adapted.finite & ~adapted.converged):
        text = "the calibration has not converged, so its estimates and intervals are provisional"
        yield Finding(names[index], text, text)


def _at_fault(calibration: AdaptedTasks, index: int, faults: Tensor) -> str:
    """The first measurement of a task at which they are not finite, and what is predicted there."""
    if not bool(faults.any()):
        return ""
    batch, model = calibration.batch, calibration.prior.model
    place = flagged(faults)[0]
    rank = int(batch.mask[index, : place + 1].sum())
    shown = ["time"] if "time" in model.inputs else list(model.inputs)[:_CONDITIONS]
    at = {name: float(batch.inputs[name].expand(batch.mask.shape)[index, place]) for name in shown}
    when = "".join(f"{words(name)} {quantity_text(at[name], model.inputs[name].unit)}, " for name in shown)
    value = f"{words(model.output.name)} {measured_text(calibration, index, place)}"
    predicted = float(calibration.problem.predict(calibration.adapted.start)[index, place])
    cause = "where the prediction is not a number"
    if np.isfinite(predicted):
        cause = f"where {quantity_text(predicted, model.output.unit)} is predicted"
    if predicted == 0.0 and "dose" in model.input_names:
        cause += (
            " and the noise is in proportion to it (leave out what was drawn before the drug can be there)"
        )
    others = int(faults.sum()) - 1
    more = f" and {others} other{'s' * (others > 1)}" if others else ""
    return f" at measurement {rank} ({when}{value}){more}, {cause}"


def accuracy(calibration: AdaptedTasks) -> Iterator[Finding]:
    """A differential equation that could not be solved to its tolerance."""
    if calibration.local_error is None:
        return
    for index in flagged(torch.as_tensor(calibration.local_error) > 1.0):
        text = "the differential equation was not solved to its tolerance"
        worst = number(float(calibration.local_error[index]))
        yield Finding(
            calibration.batch.names[index],
            f"{text}: its local error is estimated at {worst} times that",
            text,
        )


def integrals(calibration: AdaptedTasks) -> Iterator[Finding]:
    """Integrals of an equation that would be others with twice as many nodes."""
    problem, adapted = calibration.problem, calibration.adapted
    if problem.model.solution is not None or problem.model.joint:
        return
    with torch.no_grad():
        with finer_integrals() as taken:
            finer = problem.predict(adapted.coordinates)
        if not taken.count:
            return
        plain = problem.predict(adapted.coordinates)
    noise = problem.model.noise
    if noise.measures:
        off = (plain - finer).abs() / finer.abs()
    else:
        off = (
            noise.link(plain) - noise.link(finer)
        ).abs()  # of log-odds, or as the logarithm of what is expected
    off = off.nan_to_num(0.0)
    off = off.reshape(*off.shape[:2], -1).amax(-1) * problem.batch.mask
    for index in flagged((off > _INTEGRALS).any(1)):
        text = (
            "the integrals of the equation are not exact: say more `nodes`, or take them from piece to piece"
        )
        size = number(float(off[index].max()))
        yield Finding(calibration.batch.names[index], f"{text} (a prediction is off by {size})", text)


def broken_laws(calibration: AdaptedTasks) -> Iterator[Finding]:
    """Physical laws that the calibrated curve breaks."""
    if not calibration.prior.model.constraints:
        return
    model = calibration.prior.model
    laws = calibration.laws()
    for row in laws[laws["satisfied"].eq(False)].to_dict("records"):
        breaks = f"the calibrated curve breaks the law '{row['law']}'"
        if not np.isfinite(row["violation"]):
            breaks = (
                f"the calibrated curve is not a finite number everywhere, as the law '{row['law']}' demands"
            )
            yield Finding(row["task"], breaks, breaks)
            continue
        size = with_unit(number(row["violation"]), model.output.unit)
        at = [
            f"{words(name)} {quantity_text(row[name], declared.unit)}"
            for name, declared in model.inputs.items()
            if np.isfinite(row[name])
        ]
        where = f" (at {', '.join(at)})" if at else ""
        count = round(row["broken"] * row["points"])
        often = f"at {count} of {row['points']} points, by up to {size}{where}"
        yield Finding(row["task"], f"{breaks} {often}", breaks)


def clipped(calibration: AdaptedTasks) -> Iterator[Finding]:
    """Intervals cut at a physical limit, unless the prediction itself lies on it."""
    batch, output = calibration.batch, calibration.prior.model.output
    forecast = calibration.forecast()
    lower, upper = forecast.interval(0.9)
    for law in calibration.prior.model.constraints:
        lowest, highest = law.reading_limits
        for limit, end, side in ((lowest, lower, "below"), (highest, upper, "above")):
            if not np.isfinite(limit):
                continue
            near = _TOLERANCE * max(1.0, abs(limit))
            cut = ((end - limit).abs() <= near) & ((forecast.median - limit).abs() > near) & batch.mask
            for index in flagged(cut.any(1)):
                reach = f"reach {side} {quantity_text(limit, output.unit)} and are cut there"
                share = f"{int(cut[index].sum())} of {int(batch.mask[index].sum())} predictions"
                yield Finding(
                    batch.names[index],
                    f"the 90 % intervals of {share} {reach}",
                    f"some 90 % intervals {reach}",
                )
