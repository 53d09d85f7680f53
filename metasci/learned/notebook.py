"""A learned prior as a notebook shows it: what it calibrates, what it learned from, and where it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metasci.markup import captioned, table
from metasci.words import number, pretty_unit, words

if TYPE_CHECKING:
    pass

__all__ = ["prior_html"]

_NINETY = 1.6448536269514722  # standard deviations to either side that hold 90 %


def prior_html(prior: Any) -> str:
    """What it is, and, where it has a Gaussian start, the typical task and 90 % of tasks at given covariates."""
    training = prior.training
    learned = (
        f"learned from {training.get('tasks', '?')} tasks, {training.get('measurements', '?')} measurements"
    )
    kind = "published" if "published" in training else "declared" if "declared" in training else learned
    text = f"calibrates {prior.model.name} by {prior.method.name}; {kind}"
    return captioned(f"prior {prior.name}", text, table(*_parameters(prior)))


def _parameters(prior: Any) -> tuple[list[str], list[list[str]]]:
    space, state = prior.model.parameters, getattr(prior, "state", None)
    centre, covariance = getattr(state, "mean", None), getattr(state, "covariance", None)
    if centre is None or covariance is None or centre.ndim != 1 or len(centre) != len(space.names):
        rows = [[words(each.name), number(each.typical), pretty_unit(each.unit)] for each in space]
        return ["parameter", "ordinarily", "unit"], rows
    reach = _NINETY * covariance.diagonal().sqrt()
    low, middle, high = (space.to_physical(centre + shift * reach) for shift in (-1.0, 0.0, 1.0))
    rows = [
        [
            words(each.name),
            number(float(middle[each.name])),
            f"{number(float(low[each.name]))} to {number(float(high[each.name]))}",
            pretty_unit(each.unit),
        ]
        for each in space
    ]
    return ["parameter", "typical task", "90 % of tasks, at given covariates", "unit"], rows
