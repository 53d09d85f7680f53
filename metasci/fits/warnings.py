"""What a reader of a calibration has to know before trusting it, one sentence each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from metasci.fits.calculation_checks import accuracy, broken_laws, clipped, convergence, integrals
from metasci.fits.data_checks import (
    extrapolation,
    lack_of_fit,
    missing,
    new_groups,
    surprises,
    unmeasured,
    unusual,
)
from metasci.fits.findings import Finding
from metasci.fits.reading_notes import reading_attribute, warnings_of_reading
from metasci.words import enumerated

if TYPE_CHECKING:
    from metasci.fits.adapted_tasks import AdaptedTasks

__all__ = ["reading_attribute", "warnings_of", "warnings_of_reading"]

# in the order in which a reader needs them: what there is at all, whether it was calculated, what the data are like,
# and what of the result is cut or broken
_CHECKS: tuple[Callable[[AdaptedTasks], Iterator[Finding]], ...] = (
    unmeasured,
    convergence,
    accuracy,
    integrals,
    surprises,
    extrapolation,
    missing,
    new_groups,
    unusual,
    lack_of_fit,
    broken_laws,
    clipped,
)
_ONE_BY_ONE = 20  # tasks that a reader goes through one by one; of more, one sentence a fault


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
    findings = [finding for check in _CHECKS for finding in check(calibration)]
    notes = [*_nothing_learned(calibration), *calibration.adapted.notes, *warnings_of_reading(calibration)]
    if len(calibration.batch) <= _ONE_BY_ONE:
        return [f"task {finding.task}: {finding.says}." for finding in findings] + notes
    together: dict[str, list[str]] = {}
    for finding in findings:
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
