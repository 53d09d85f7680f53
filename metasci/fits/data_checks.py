"""Whether a task's measurements and covariates are such as the prior knows them, and as its law can follow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from metasci.data.levels import groups_of
from metasci.fits.findings import (
    Finding,
    flagged,
    limit_sign,
    measured_text,
    quantity_text,
    without_likelihood,
)
from metasci.fits.misfit import misfits
from metasci.fits.other_laws import that_follow
from metasci.fits.predictive import predictive
from metasci.fits.turning import Turn, turns
from metasci.meta.discrepancy.conditioning import TaskProcess
from metasci.meta.discrepancy.lawful import LawfulProcess
from metasci.meta.discrepancy.method import DiscrepancyPrior
from metasci.meta.laplace.gaussian import GaussianPrior
from metasci.words import enumerated, number, with_unit, words

if TYPE_CHECKING:
    from metasci.fits.adapted_tasks import AdaptedTasks
    from metasci.learned.equation import LearnedEquation
    from metasci.model import Model

__all__ = [
    "extrapolation",
    "forecasts_beyond",
    "lack_of_fit",
    "missing",
    "new_groups",
    "surprises",
    "unmeasured",
    "unusual",
]

# probability: of ten patients with ten samples each, one in ten has such a sample by chance alone
_FAR = 1e-3
_UNUSUAL = 3.0  # standard deviations of a covariate: one normal task in four hundred lies so far off
_TOLERANCE = 1e-6  # of a range: nearer is on its end, but for rounding and the conversion of units


def unmeasured(calibration: AdaptedTasks) -> Iterator[Finding]:
    """Tasks without a measurement."""
    says = "nothing was measured, so that this is what the prior says of its covariates"
    for index in flagged(~calibration.batch.mask.any(1)):
        yield Finding(calibration.batch.names[index], says, says)


def surprises(calibration: AdaptedTasks) -> Iterator[Finding]:
    """Measurements that the prior holds to be next to impossible: most often a wrong unit or a slip of the pen.

    Of one that is only known to lie below a limit it counts how probable that is.
    """
    if "declared" in calibration.prior.training:
        return  # nobody learned what to expect
    output, batch = calibration.prior.model.output, calibration.batch
    slip = "cell" if calibration.prior.model.noise.codes else "unit"
    below = predictive(calibration.problem, calibration.adapted, prior=True).cumulative()
    rarity = torch.minimum(below, 1.0 - below)
    if batch.censored is not None:
        rarity = torch.where(batch.censored, below, rarity)
    if batch.upper is not None:  # of an interval counts what lies above its lower end
        rarity = torch.where(torch.isnan(batch.upper), rarity, 1.0 - below)
    far = (rarity < _FAR) & batch.mask
    if not bool(calibration.adapted.finite.all()):
        far &= ~without_likelihood(calibration)  # already said
    for index in flagged(far.any(1)):
        which = flagged(far[index])
        order = {place: rank + 1 for rank, place in enumerate(flagged(batch.mask[index]))}
        ranks = enumerated([str(order[place]) for place in which], most=5)
        texts = [_told(calibration, index, at) for at in which]
        values = with_unit(enumerated(texts, most=5), output.unit)
        stands = f"is far outside what the prior expects; check its {slip}"
        many = len(which) > 1
        yield Finding(
            batch.names[index],
            f"measurement{'s' * many} {ranks} ({words(output.name)} {values}) "
            f"{stands.replace('is', 'are', 1).replace('its', 'their') if many else stands}",
            f"a measurement lies far outside what the prior expects; check the {slip}",
        )


def _told(calibration: AdaptedTasks, index: int, place: int) -> str:
    """A measurement without its unit, by its class where it is one."""
    value, codes = float(calibration.batch.output[index, place]), calibration.prior.model.noise.codes
    names = [name for name, code in codes.items() if code == value]
    return names[0] if names else limit_sign(calibration, index, place) + number(value)


def lack_of_fit(calibration: AdaptedTasks) -> Iterator[Finding]:
    """Measurements that the law cannot follow, one that stands apart from all others, or two that turn against it."""
    batch, model = calibration.batch, calibration.prior.model
    found = misfits(calibration)
    for misfit in found:
        if misfit.outlier is not None:
            place = misfit.outlier
            rank = int(batch.mask[misfit.task, : place + 1].sum())
            value = f"{words(model.output.name)} {measured_text(calibration, misfit.task, place)}"
            yield Finding(
                batch.names[misfit.task],
                f"measurement {rank} ({value}) stands apart from all others, which fit without it; check it for a slip",
                "one measurement stands apart from all others; check it for a slip",
            )
            continue
        lack = f"the {_called(model)} '{model.name}' cannot bend as these measurements do"
        how = f"residuals keep their sign for long along {words(misfit.along)}"
        if not misfit.along:
            how = f"residuals are {number(math.sqrt(misfit.times), 2)} times what the noise leaves"
        take = _another_law(calibration, misfit.task)
        yield Finding(
            batch.names[misfit.task],
            f"{lack} ({how}): do not trust its estimates and intervals, and {take}",
            f"{lack}: do not trust its estimates and intervals, and {take}",
        )
    told = {misfit.task for misfit in found}
    yield from _unlike_all(calibration)
    yield from (_turned(calibration, turn) for turn in turns(calibration) if turn.task not in told)


def _unlike_all(calibration: AdaptedTasks) -> Iterator[Finding]:
    """Measurements that equation and discrepancy together hold to be next to impossible as a whole.

    A discrepancy bends as far as it is told to, so that residuals say nothing; how far it had to bend does.
    """
    process = calibration.adapted.discrepancy
    process = process.process if isinstance(process, LawfulProcess) else process
    if not isinstance(process, TaskProcess):
        return
    with torch.no_grad():
        rare = process.rarity() < _FAR
    for index in flagged(rare & calibration.adapted.finite & calibration.batch.mask.any(1)):
        says = (
            "these measurements, taken together, are unlike anything that the prior was learned from: neither the law "
            f"'{calibration.prior.model.name}' nor what it leaves out of other tasks bends so; do not trust its "
            "estimates and intervals"
        )
        yield Finding(calibration.batch.names[index], says, says)


def _turned(calibration: AdaptedTasks, turn: Turn) -> Finding:
    """Two measurements that go the other way than the law."""
    batch, model, name = calibration.batch, calibration.prior.model, turn.law.input
    output, along = words(model.output.name), words(name)
    values = batch.inputs[name].expand(batch.mask.shape)[turn.task]
    first, second = (
        f"{measured_text(calibration, turn.task, place)} at "
        f"{quantity_text(float(values[place]), model.inputs[name].unit)}"
        for place in (turn.first, turn.second)
    )
    way, only = ("falls", "rise") if turn.law.increasing else ("rises", "fall")
    lack = f"the {_called(model)} '{model.name}' cannot bend as these measurements do"
    take = _another_law(calibration, turn.task)
    return Finding(
        batch.names[turn.task],
        f"{lack} ({output} {way} from {first} to {second}, where its curves only {only} with {along}): "
        f"if that is no slip, do not trust its estimates and intervals, and {take}",
        f"{lack} ({output} {way} with {along}, where its curves only {only}): "
        f"if that is no slip, do not trust its estimates and intervals, and {take}",
    )


def _called(model: Model) -> str:
    """What its users call an equation: of a patient a model, of a material a law."""
    of_patients = model.name.startswith("patients.") or model.individual is not None or bool(model.histories)
    return "model" if of_patients else "law"


def _another_law(calibration: AdaptedTasks, task: int) -> str:
    """What to do about it."""
    others, called = that_follow(calibration, task), _called(calibration.prior.model)
    if not others:
        return f"take another {called}"
    name = others[0].rpartition(".")[2]
    return f"take another {called}, such as that of {words(name)} ({others[0]}), which follows them"


def extrapolation(calibration: AdaptedTasks) -> Iterator[Finding]:
    """Conditions outside of those that the prior was learned from."""
    batch, model = calibration.batch, calibration.prior.model
    for name, (low, high) in calibration.prior.training.get("ranges", {}).items():
        if name not in batch.inputs or name not in model.inputs:
            continue
        values = batch.inputs[name].expand(batch.mask.shape)
        outside = _outside(values, low, high) & batch.mask
        unit = model.inputs[name].unit
        for index in flagged(outside.any(1)):
            at, beyond = _from_to(values[index][outside[index]], unit), _beyond(low, high, unit)
            yield Finding(
                batch.names[index],
                f"{words(name)} {at} lies {beyond}, so the calibration extrapolates",
                f"{words(name)} lies {beyond}, so the calibration extrapolates",
            )


def forecasts_beyond(prior: LearnedEquation, conditions: Mapping[str, Tensor]) -> list[str]:
    """Conditions of a forecast that lie outside of those that the prior was learned from, a sentence each."""
    sentences = []
    for name, (low, high) in prior.training.get("ranges", {}).items():
        if name not in conditions or name not in prior.model.inputs:
            continue
        values = conditions[name]
        outside, unit = _outside(values, low, high), prior.model.inputs[name].unit
        if bool(outside.any()):
            at = _from_to(values[outside], unit)
            sentences.append(
                f"{words(name)} {at} lies {_beyond(low, high, unit)}, so the forecast extrapolates"
            )
    return sentences


def _outside(values: Tensor, low: float, high: float) -> Tensor:
    margin = _TOLERANCE * max(high - low, abs(high), 1e-300)
    return (values < low - margin) | (values > high + margin)


def _from_to(values: Tensor, unit: str) -> str:
    least, most = (quantity_text(float(end), unit) for end in (values.min(), values.max()))
    return least if least == most else f"{least} to {most}"


def _beyond(low: float, high: float, unit: str) -> str:
    known = f"{quantity_text(low, unit)} to {quantity_text(high, unit)}"
    return f"outside the range that the prior was learned from ({known})"


def missing(calibration: AdaptedTasks) -> Iterator[Finding]:
    """Covariates that are not given."""
    names = calibration.prior.covariates.names
    unknown = ~torch.isfinite(calibration.batch.covariates)
    wider = isinstance(calibration.prior.method, GaussianPrior | DiscrepancyPrior)
    so = "the prior is wider" if wider else "what the training tasks lead to expect is used instead"
    for index in flagged(unknown.any(1)):
        lost = [words(names[place]) for place in flagged(unknown[index])]
        text = f"{enumerated(lost, most=12)} not given: {so}"
        yield Finding(calibration.batch.names[index], text, text)


def new_groups(calibration: AdaptedTasks) -> Iterator[Finding]:
    """Tasks of a laboratory, a study or a heat that the prior has not seen, or of which nobody says."""
    levels, batch = calibration.prior.levels, calibration.batch
    if not levels or batch.groups is None:
        return
    for level, known in levels.items():
        names = groups_of(calibration.tasks.dataset, calibration.tasks.card, level)
        seen = f"{len(known)} ({enumerated(list(known), most=3)})" if known else "none"
        of = f"the prior was learned from {seen}"
        for index, name in enumerate(names):
            if name in known:
                continue
            if not name:
                text = f"{words(level)} not given: taken for a new one, which makes the prior wider; {of}"
            else:
                text = f"{words(level)} '{name}' is new, which makes the prior wider; {of}"
            yield Finding(batch.names[index], text, text)


def unusual(calibration: AdaptedTasks) -> Iterator[Finding]:
    """Covariates far from those of the known tasks."""
    covariates, model = calibration.prior.covariates, calibration.prior.model
    values = calibration.batch.covariates
    standard = covariates.design(values).values
    odd = (standard.abs() > _UNUSUAL) & torch.isfinite(values)
    for index in flagged(odd.any(1)):
        for place in flagged(odd[index]):
            name = covariates.names[place]
            value = quantity_text(float(values[index, place]), model.covariates.get(name, "1"))
            beyond = "lies outside the range of the tasks that the prior was learned from"
            off = f"{number(float(standard[index, place].abs()), 2)} standard deviations off"
            yield Finding(
                calibration.batch.names[index],
                f"{words(name)} {value} {beyond} ({off})",
                f"{words(name)} {beyond}",
            )
