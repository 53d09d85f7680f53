"""What a reader of a calibration has to know before trusting it, one sentence each."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from metasci.fits.misfit import misfits
from metasci.fits.predictive import predictive
from metasci.meta.discrepancy.method import DiscrepancyPrior
from metasci.meta.laplace.gaussian import GaussianPrior
from metasci.meta.likelihood import cost
from metasci.units import convert
from metasci.words import duration, enumerated, number, pretty_unit, words

if TYPE_CHECKING:
    from torch import Tensor

    from metasci.fits.adapted_tasks import AdaptedTasks

__all__ = ["reading_attribute", "warnings_of", "warnings_of_reading"]

_ONE_BY_ONE = 20
_FAR = 1e-3
_UNUSUAL = 3.0
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Finding:
    """Something to say of one task: in full, and as what it shares with others."""

    task: str
    says: str
    shared: str


def warnings_of(calibration: AdaptedTasks) -> list[str]:
    """The warnings of a calibration.

    Parameters
    ----------
    calibration : Calibration

    Returns
    -------
    list of str
        One sentence each, naming the task; of more than twenty tasks, one for all that share a fault.
    """
    found = [
        finding
        for check in (
            _unmeasured,
            _convergence,
            _accuracy,
            _surprises,
            _extrapolation,
            _missing,
            _unusual,
            _misfits,
            _laws,
            _clipped,
        )
        for finding in check(calibration)
    ]
    notes = [*_nothing_learned(calibration), *calibration.adapted.notes, *warnings_of_reading(calibration)]
    if len(calibration.batch) <= _ONE_BY_ONE:
        return [f"task {finding.task}: {finding.says}." for finding in found] + notes
    together: dict[str, list[str]] = {}
    for finding in found:
        together.setdefault(finding.shared, []).append(finding.task)
    count = len(calibration.batch)
    return [
        f"{len(tasks)} of {count} tasks ({enumerated(tasks, most=3)}): {shared}."
        for shared, tasks in together.items()
    ] + notes


def _nothing_learned(calibration: AdaptedTasks) -> Iterator[str]:
    """What stands in the place of a learned prior, if none is there."""
    prior = calibration.prior
    if "declared" in prior.training:
        own = prior.model.reference
        at = "" if own is None else f", rates at {own.temperature:g} K"
        yield (
            f"nothing was learned: the prior is the typical values that '{prior.model.name}' declares, with twice "
            f"their ordinary spread{at}; where there are many tasks, `metasci train` learns a better one."
        )


def _unmeasured(calibration: AdaptedTasks) -> Iterator[Finding]:
    says = "nothing was measured, so that this is what the prior says of its covariates"
    for index in _where(~calibration.batch.mask.any(1)):
        yield Finding(calibration.batch.names[index], says, says)


def _convergence(calibration: AdaptedTasks) -> Iterator[Finding]:
    names, adapted = calibration.batch.names, calibration.adapted
    faults = _without_likelihood(calibration) if not bool(adapted.finite.all()) else None
    for index in _where(~adapted.finite):
        text, stands_in = (
            "the calculation gave no finite numbers",
            "so the prior stands in for the calibration",
        )
        at = "" if faults is None else _at_fault(calibration, index, faults[index])
        yield Finding(names[index], f"{text}{at}, {stands_in}", f"{text}, {stands_in}")
    for index in _where(adapted.finite & ~adapted.converged):
        text = "the calibration has not converged, so its estimates and intervals are provisional"
        yield Finding(names[index], text, text)


def _without_likelihood(calibration: AdaptedTasks) -> Tensor:
    """Which measurements have no finite likelihood, or slope of it, where calibration starts."""
    problem, adapted = calibration.problem, calibration.adapted
    line = problem.linearise(adapted.start, adapted.log_noise)
    each = cost(problem.target - line.prediction, line.variance, problem.limits)
    return problem.batch.mask & ~(torch.isfinite(each) & torch.isfinite(line.jacobian).all(-1))


def _at_fault(calibration: AdaptedTasks, index: int, faults: Tensor) -> str:
    """The first measurement of a task at which they are not finite, and what is predicted there."""
    if not bool(faults.any()):
        return ""
    batch, model = calibration.batch, calibration.prior.model
    place = _where(faults)[0]
    rank = int(batch.mask[index, : place + 1].sum())
    when = ""
    if "time" in model.inputs:
        time = float(batch.inputs["time"].expand(batch.mask.shape)[index, place])
        when = f"time {_quantity(time, model.inputs['time'].unit)}, "
    value = f"{words(model.output.name)} {_measured(calibration, index, place)}"
    predicted = float(calibration.problem.predict(calibration.adapted.start)[index, place])
    cause = "where the prediction is not a number"
    if np.isfinite(predicted):
        cause = f"where {_quantity(predicted, model.output.unit)} is predicted"
    if predicted == 0.0 and "dose" in model.input_names:
        cause += (
            " and the noise is in proportion to it (leave out what was drawn before the drug can be there)"
        )
    others = int(faults.sum()) - 1
    more = f" and {others} other{'s' * (others > 1)}" if others else ""
    return f" at measurement {rank} ({when}{value}){more}, {cause}"


def _measured(calibration: AdaptedTasks, index: int, place: int) -> str:
    """A measurement with its unit; ``<0.2 mg/L`` where it is a limit."""
    unit = calibration.prior.model.output.unit
    return _sign(calibration, index, place) + _quantity(float(calibration.batch.output[index, place]), unit)


def _sign(calibration: AdaptedTasks, index: int, place: int) -> str:
    """What stands before a measurement that is a limit, or the lower end of an interval."""
    batch = calibration.batch
    if batch.censored is not None and bool(batch.censored[index, place]):
        return "<"
    return ">" if batch.upper is not None and not bool(torch.isnan(batch.upper[index, place])) else ""


def _accuracy(calibration: AdaptedTasks) -> Iterator[Finding]:
    """A differential equation that could not be solved to its tolerance."""
    if calibration.local_error is None:
        return
    for index in _where(torch.as_tensor(calibration.local_error) > 1.0):
        text = "the differential equation was not solved to its tolerance"
        worst = number(float(calibration.local_error[index]))
        yield Finding(
            calibration.batch.names[index],
            f"{text}: its local error is estimated at {worst} times that",
            text,
        )


def _surprises(calibration: AdaptedTasks) -> Iterator[Finding]:
    """Measurements that the prior holds to be next to impossible: most often a wrong unit or a slip of the pen.

    Of one that is only known to lie below a limit it counts how probable that is.
    """
    if "declared" in calibration.prior.training:
        return  # nobody learned what to expect
    output, batch = calibration.prior.model.output, calibration.batch
    below = predictive(calibration.problem, calibration.adapted, prior=True).cumulative()
    rarity = torch.minimum(below, 1.0 - below)
    if batch.censored is not None:
        rarity = torch.where(batch.censored, below, rarity)
    if batch.upper is not None:  # of an interval counts what lies above its lower end
        rarity = torch.where(torch.isnan(batch.upper), rarity, 1.0 - below)
    far = (rarity < _FAR) & batch.mask
    if not bool(calibration.adapted.finite.all()):
        far &= ~_without_likelihood(calibration)  # already said
    for index in _where(far.any(1)):
        which = _where(far[index])
        order = {place: rank + 1 for rank, place in enumerate(_where(batch.mask[index]))}
        ranks = enumerated([str(order[place]) for place in which], most=5)
        texts = [_sign(calibration, index, at) + number(float(batch.output[index, at])) for at in which]
        values, unit = enumerated(texts, most=5), pretty_unit(output.unit)
        stands = "is far outside what the prior expects; check its unit"
        many = len(which) > 1
        yield Finding(
            batch.names[index],
            f"measurement{'s' * many} {ranks} ({words(output.name)} {values}{' ' * bool(unit)}{unit}) "
            f"{stands.replace('is', 'are', 1).replace('its', 'their') if many else stands}",
            "a measurement lies far outside what the prior expects; check the unit",
        )


def _misfits(calibration: AdaptedTasks) -> Iterator[Finding]:
    """Measurements that the law cannot follow, or one that stands apart from all others."""
    batch, model = calibration.batch, calibration.prior.model
    for misfit in misfits(calibration):
        if misfit.outlier is not None:
            place = misfit.outlier
            rank = int(batch.mask[misfit.task, : place + 1].sum())
            value = f"{words(model.output.name)} {_measured(calibration, misfit.task, place)}"
            yield Finding(
                batch.names[misfit.task],
                f"measurement {rank} ({value}) stands apart from all others, which fit without it; check it for a slip",
                "one measurement stands apart from all others; check it for a slip",
            )
            continue
        lack = f"the law '{model.name}' cannot bend as these measurements do"
        how = f"residuals keep their sign for long along {words(misfit.along)}"
        if not misfit.along:
            how = f"residuals are {number(math.sqrt(misfit.times), 2)} times what the noise leaves"
        yield Finding(
            batch.names[misfit.task],
            f"{lack} ({how}): do not trust its estimates and intervals, and take another law",
            f"{lack}: do not trust its estimates and intervals, and take another law",
        )


def _extrapolation(calibration: AdaptedTasks) -> Iterator[Finding]:
    batch, model = calibration.batch, calibration.prior.model
    for name, (low, high) in calibration.prior.training.get("ranges", {}).items():
        if name not in batch.inputs or name not in model.inputs:
            continue
        values = batch.inputs[name].expand(batch.mask.shape)
        margin = _TOLERANCE * max(high - low, abs(high), 1e-300)
        outside = ((values < low - margin) | (values > high + margin)) & batch.mask
        unit = model.inputs[name].unit
        known = f"{_quantity(low, unit)} to {_quantity(high, unit)}"
        for index in _where(outside.any(1)):
            there = values[index][outside[index]]
            least, most = _quantity(float(there.min()), unit), _quantity(float(there.max()), unit)
            at = least if least == most else f"{least} to {most}"
            beyond = f"outside the range that the prior was learned from ({known})"
            yield Finding(
                batch.names[index],
                f"{words(name)} {at} lies {beyond}, so the calibration extrapolates",
                f"{words(name)} lies {beyond}, so the calibration extrapolates",
            )


def _missing(calibration: AdaptedTasks) -> Iterator[Finding]:
    names = calibration.prior.covariates.names
    unknown = ~torch.isfinite(calibration.batch.covariates)
    wider = isinstance(calibration.prior.method, GaussianPrior | DiscrepancyPrior)
    so = "the prior is wider" if wider else "what the training tasks lead to expect is used instead"
    for index in _where(unknown.any(1)):
        lost = [words(names[place]) for place in _where(unknown[index])]
        text = f"{enumerated(lost, most=12)} not given: {so}"
        yield Finding(calibration.batch.names[index], text, text)


def _unusual(calibration: AdaptedTasks) -> Iterator[Finding]:
    covariates, model = calibration.prior.covariates, calibration.prior.model
    given = calibration.batch.covariates
    standard = covariates.design(given).values
    odd = (standard.abs() > _UNUSUAL) & torch.isfinite(given)
    for index in _where(odd.any(1)):
        for place in _where(odd[index]):
            name = covariates.names[place]
            value = _quantity(float(given[index, place]), model.covariates.get(name, "1"))
            beyond = "lies outside the range of the tasks that the prior was learned from"
            off = f"{number(float(standard[index, place].abs()), 2)} standard deviations off"
            yield Finding(
                calibration.batch.names[index],
                f"{words(name)} {value} {beyond} ({off})",
                f"{words(name)} {beyond}",
            )


def _laws(calibration: AdaptedTasks) -> Iterator[Finding]:
    if not calibration.prior.model.constraints:
        return
    model = calibration.prior.model
    laws = calibration.laws()
    for row in laws[~laws["satisfied"].astype(bool)].to_dict("records"):
        breaks = f"the calibrated curve breaks the law '{row['law']}'"
        if not np.isfinite(row["violation"]):
            breaks = (
                f"the calibrated curve is not a finite number everywhere, as the law '{row['law']}' demands"
            )
            yield Finding(row["task"], breaks, breaks)
            continue
        size = f"{number(row['violation'])} {pretty_unit(model.output.unit)}".strip()
        at = [
            f"{words(name)} {_quantity(row[name], given.unit)}"
            for name, given in model.inputs.items()
            if np.isfinite(row[name])
        ]
        where = f" (at {', '.join(at)})" if at else ""
        count = round(row["broken"] * row["points"])
        often = f"at {count} of {row['points']} points, by up to {size}{where}"
        yield Finding(row["task"], f"{breaks} {often}", breaks)


def _clipped(calibration: AdaptedTasks) -> Iterator[Finding]:
    """Intervals cut at a physical limit, unless the prediction itself lies on it."""
    batch, output = calibration.batch, calibration.prior.model.output
    forecast = calibration.forecast()
    lower, upper = forecast.interval(0.9)
    for law in calibration.prior.model.constraints:
        for limit, end, side in ((law.limits[0], lower, "below"), (law.limits[1], upper, "above")):
            if not np.isfinite(limit):
                continue
            near = _TOLERANCE * max(1.0, abs(limit))
            cut = ((end - limit).abs() <= near) & ((forecast.median - limit).abs() > near) & batch.mask
            for index in _where(cut.any(1)):
                reach = f"reach {side} {_quantity(limit, output.unit)} and are cut there"
                share = f"{int(cut[index].sum())} of {int(batch.mask[index].sum())} predictions"
                yield Finding(
                    batch.names[index],
                    f"the 90 % intervals of {share} {reach}",
                    f"some 90 % intervals {reach}",
                )


def _where(flags: Tensor) -> list[int]:
    places: list[int] = flags.nonzero()[:, 0].tolist()
    return places


def _quantity(value: float, unit: str) -> str:
    """A value with its unit, in the one that people read."""
    if unit == "s":
        return duration(value)
    if unit == "K":
        value, unit = float(convert(value, "K", "degC")), "degC"
    return f"{number(value)} {pretty_unit(unit)}".strip()


def warnings_of_reading(calibration: AdaptedTasks) -> list[str]:
    """What a reader of an event table's calibration has to mind, one sentence each.

    Parameters
    ----------
    calibration : Calibration
    """
    counts = reading_attribute(calibration, "records")
    found = list(calibration.tasks.notes)
    if unknown := str(calibration.tasks.dataset.attrs.get("unknown", "")):
        many = ", " in unknown
        found.append(
            f"column{'s' * many} {unknown} {'are' if many else 'is'} not used, being neither NONMEM's nor of the "
            "model; say what stands there (columns=, or the [events] of a card) if it matters."
        )
    if values := counts.get("values_on_dose_rows", 0):
        many = values > 1
        found.append(
            f"{values} value{'s' * many} in DV on rows of doses {'are' if many else 'is'} no measurement, as in "
            "NONMEM, since neither EVID nor MDV says so; give a sample a row of its own (or say "
            'dose_rows_measure = "yes" in the [events] of a card).'
        )
    if moved := counts.get("patients_from_first_record", 0):
        found.append(
            f"the times of {moved} patient{'s' * (moved > 1)} with samples at negative times run from the first record "
            "here."
        )
    if anew := counts.get("starts_of_time_anew", 0):
        found.append(
            f"time began anew at {anew} record{'s' * (anew > 1)} of the table (EVID 3 or 4): what follows was laid "
            "behind what came before, one unit of time after it, so that times here are later than those in the table."
        )
    if at_doses := counts.get("measurements_at_additional_doses", 0):
        many = at_doses > 1
        found.append(
            f"{at_doses} measurement{'s' * many} of the table at the very time of an additional dose (ADDL) "
            f"{'are' if many else 'is'} taken to be after it; write that dose in a row of its own, below the "
            "measurement, if the sample was drawn before it."
        )
    return found


def reading_attribute(calibration: AdaptedTasks, name: str) -> dict[str, Any]:
    """What the reader of event tables has noted, as JSON, of the data; empty where it has not."""
    try:
        read = json.loads(calibration.tasks.dataset.attrs.get(name, "{}"))
    except (TypeError, ValueError):  # a Dataset of the user's own, who means something else by it
        return {}
    return read if isinstance(read, dict) else {}
