"""Which curve is meant by a value that somebody asks for: what it is called, its unit, and what it can reach.

Of measurements it is what they scatter about. Of outcomes it is what `Outcome.expected` says: the probability of a yes,
the expected count, the mean grade, the median time, the standard deviation of a deviation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from metasci.data.asked_values import asked_value
from metasci.errors import InputError
from metasci.meta.outcomes import outcome_of
from metasci.model import Output
from metasci.noise import Several
from metasci.outcomes import Categorical, Mixed, Outcome
from metasci.words import words

if TYPE_CHECKING:
    from torch import Tensor

    from metasci.model import Model
    from metasci.noise import Noise

__all__ = ["FollowedCurve", "curve_name", "followed_curve", "shown_curve"]

_CALLED = {
    "yes or no": "probability of {}",
    "grade": "mean {}",
    "count": "expected {}",
    "time": "median {}",
    "deviation": "standard deviation of {}",
}
_PURE_NUMBERS = ("yes or no", "grade", "count")  # whatever the unit of the other outputs


@dataclass(frozen=True)
class FollowedCurve:
    """A curve, and what it can reach.

    Attributes
    ----------
    name, unit : str
    lower, upper : float
    """

    name: str
    unit: str
    lower: float = -np.inf
    upper: float = np.inf

    def value(self, asked: Any) -> float:
        """A value that is asked for, in the curve's unit.

        Raises
        ------
        InputError
            If it is no number in that unit, or none that the curve could reach.
        """
        wanted = asked_value(asked, self.unit, "value")
        if not np.isfinite(wanted):
            raise InputError(f"value: {wanted:g} is no value that a curve could reach.")
        if not self.lower <= wanted <= self.upper:
            most = f" and at most {self.upper:g}" if np.isfinite(self.upper) else ""
            raise InputError(
                f"value: {wanted:g} is none that the {words(self.name)} could reach, which is at least "
                f"{self.lower:g}{most}."
            )
        return wanted


def followed_curve(model: Model, conditions: Mapping[str, Tensor]) -> FollowedCurve:
    """The curve of a model under some conditions, which say of which output it is where there are several.

    Raises
    ------
    InputError
        If the outcomes are classes, which have no curve, or there is no such output.
    """
    noise, output = model.noise, model.output
    if isinstance(noise, Categorical):
        raise InputError(
            f"'{model.name}' has classes, of which no curve reaches a value: ask `predict` for the probability of each."
        )
    if not isinstance(noise, Several | Mixed):
        return _curve_of(noise, output)
    kinds = noise.noises if isinstance(noise, Several) else noise.kinds
    place = _place(conditions[noise.by], noise.by, len(kinds))
    if model.outputs:
        return _curve_of(kinds[place], model.outputs[place])
    pure = getattr(kinds[place], "kind", "") in _PURE_NUMBERS
    name = f"{words(output.name)} ({words(noise.by)} {place + 1})"
    return _curve_of(kinds[place], Output(name, "1" if pure else output.unit))


def shown_curve(model: Model, prediction: Tensor, log_scales: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
    """The curve that is shown of what the equation returns, (draw, place): of outcomes what is expected of them."""
    if model.noise.gaussian:
        return prediction
    outcome = outcome_of(model.noise)
    conditions = {name: inputs[name].expand(prediction.shape).numpy() for name in model.inputs}
    predictor = outcome.link(prediction).numpy()
    return torch.as_tensor(outcome.expected(predictor, log_scales.detach().numpy(), conditions))


def curve_name(noise: Noise, output: str) -> str:
    """What the curve of an output is called, such as the expected count of what is counted."""
    kind = noise.kind if isinstance(noise, Outcome) and not noise.measures else ""
    return _CALLED.get(kind, "{}").format(output)


def _curve_of(noise: Noise, output: Output) -> FollowedCurve:
    kind = noise.kind if isinstance(noise, Outcome) and not noise.measures else ""
    called = curve_name(noise, output.name)
    if kind not in _CALLED or not isinstance(noise, Outcome):
        return FollowedCurve(called, output.unit)
    return FollowedCurve(called, output.unit, max(noise.least, 0.0), noise.most)


def _place(told: Tensor, by: str, count: int) -> int:
    """Which output is meant, from zero."""
    number, *others = told.unique().tolist()
    if others:
        raise InputError(f"{by}: one output is followed; say which, from 1 to {count}.")
    if number not in range(1, count + 1):
        raise InputError(
            f"{by}: outputs are numbered from 1 to {count}; ask for one of these, not {number:g}."
        )
    return int(number) - 1
