"""Measured members of a family that neither the prior nor the other members can be reconciled with: slips of the pen.

One mistyped number would make a whole family's intervals wide, since a family that surprises is taken to scatter. So a
measurement that is next to impossible both beforehand and given all others is set aside, and named.
"""

from __future__ import annotations

import torch
from torch import Tensor

from metasci.data.tasks import Batch
from metasci.forecasts import StudentForecast, StudentForecaster
from metasci.learned.places import linked
from metasci.noise import Noise

__all__ = ["SURPRISE", "slips"]

SURPRISE = 0.999
"""Probability of a measurement that is nearer to what the prior expects than one that is far outside."""
_APART = 0.9999  # the same given the family's other measurements: of ten thousand good ones, one is set aside
_MOST = 4  # measurements for each that may be set aside: where more are odd, it is the family that is odd


def slips(forecast: StudentForecaster, batch: Batch, noise: Noise, before: StudentForecast) -> Tensor:
    """Which measurements are to be set aside, (task, observation).

    They are asked one by one, the most surprising first: a family all of whose members lie far from what was expected
    agrees with itself, and keeps them.

    Parameters
    ----------
    forecast : StudentForecaster
    batch : Batch
    noise : Noise
    before : StudentForecast
        Of all members, given none.
    """
    seen = batch.mask
    values = linked(noise, batch.output, seen)
    surprise = (values - before.mean).abs() / before.reach(SURPRISE)
    suspect = (surprise > 1.0) & seen
    aside = torch.zeros_like(seen)
    most = torch.where(seen.sum(1) > 1, (seen.sum(1) // _MOST).clamp(min=1), 0)
    while True:
        suspect &= (aside.sum(1) < most)[:, None]
        asked = suspect.any(1)
        if not bool(asked.any()):
            return aside
        worst = torch.where(suspect, surprise, -1.0).argmax(1)
        one = torch.zeros_like(seen)
        one[asked, worst[asked]] = True
        others = forecast(batch, seen & ~aside & ~one, seen)
        apart = (values - others.mean).abs() > others.reach(_APART)
        aside |= one & apart
        suspect &= ~one
