"""What there is to say of one calibrated task, and how values are written in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from metasci.meta.stages import staged
from metasci.units import convert
from metasci.words import duration, number, with_unit

if TYPE_CHECKING:
    from torch import Tensor

    from metasci.fits.adapted_tasks import AdaptedTasks

__all__ = ["Finding", "flagged", "limit_sign", "measured_text", "quantity_text", "without_likelihood"]


@dataclass(frozen=True)
class Finding:
    """Something to say of one task: in full, and as what it shares with others."""

    task: str
    says: str
    shared: str


def flagged(flags: Tensor) -> list[int]:
    """Positions along the first dimension at which a flag is set."""
    positions: list[int] = flags.nonzero()[:, 0].tolist()
    return positions


def quantity_text(value: float, unit: str) -> str:
    """A value with its unit, in the one that people read."""
    if unit == "s":
        return duration(value)
    if unit == "K":
        value, unit = float(convert(value, "K", "degC")), "degC"
    return with_unit(number(value), unit)


def measured_text(calibration: AdaptedTasks, index: int, place: int) -> str:
    """A measurement with its unit; ``<0.2 mg/L`` where it is a limit."""
    unit = calibration.prior.model.output.unit
    return limit_sign(calibration, index, place) + quantity_text(
        float(calibration.batch.output[index, place]), unit
    )


def limit_sign(calibration: AdaptedTasks, index: int, place: int) -> str:
    """What stands before a measurement that is a limit, or the lower end of an interval."""
    batch = calibration.batch
    if batch.censored is not None and bool(batch.censored[index, place]):
        return "<"
    return ">" if batch.upper is not None and not bool(torch.isnan(batch.upper[index, place])) else ""


def without_likelihood(calibration: AdaptedTasks) -> Tensor:
    """Which measurements have no finite likelihood, or slope of it, where calibration starts."""
    adapted, mask = calibration.adapted, calibration.problem.batch.mask
    problem = staged(calibration.problem)
    line = problem.linearise(adapted.start, adapted.log_noise)
    each = problem.costs(line.prediction, line.variance, adapted.log_noise)
    sound = torch.isfinite(each) & torch.isfinite(line.jacobian).all(-1)
    return mask & ~sound.reshape(*mask.shape, -1).all(-1)
