"""A noise by its name, with ordinary scales for the data at hand: where learning starts."""

from __future__ import annotations

from metasci.data.tasks import Batch
from metasci.errors import InputError
from metasci.model import Model
from metasci.noise import EarlyAdditive, Noise
from metasci.noises import NOISES, noise_named

__all__ = ["starting_noise"]

_SHARE = 0.1  # of the measurements' spread, or of a measurement: what a fair law leaves unexplained
_EARLY = 2.0
_FREEDOM = 3.0  # above two: tails that are heavy, and from which either side is near


def starting_noise(kind: str, batch: Batch, model: Model) -> Noise:
    """The noise model of that name (`metasci.noises.NOISES`), its scales about right for the measurements.

    Parameters
    ----------
    kind : str
    batch : Batch
        In the model's units.
    model : Model

    Raises
    ------
    InputError
        If the name is not known, if the model's own outcomes do not scatter about a curve, or if noise is to be
        greater at first and nothing says how long it has been.
    """
    if kind not in NOISES:
        return noise_named(kind)
    if not model.noise.measures:
        raise InputError(
            f"'{model.name}' is of outcomes, whose kind says how they scatter: leave the noise out."
        )
    seen = batch.mask & batch.numbers
    values = batch.output[seen]
    spread = _SHARE * float(values.std()) if len(values) > 1 else 0.0
    sd = spread if spread > 0.0 else model.noise.size
    typical = {
        "additive": (sd,),
        "proportional": (_SHARE,),
        "combined": (sd, _SHARE),
        "combined-deviations": (sd, _SHARE),
        "log-normal": (_SHARE,),
        "student": (sd, _FREEDOM),
    }
    if kind != "early-additive":
        return noise_named(kind, typical.get(kind))
    by = EarlyAdditive.by
    if by not in model.inputs:
        raise InputError(
            f"noise that is greater at first needs an input '{by}', and '{model.name}' has {', '.join(model.inputs)}."
        )
    passed = batch.inputs[by].expand(batch.mask.shape)[seen]
    passed = passed[passed > 0.0]
    over = float(passed.log().mean().exp()) if len(passed) else 1.0
    return EarlyAdditive((sd, _EARLY, over))
