"""A task of which nothing is measured: what is expected of it follows from what is known of it alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.learned.equation import LearnedEquation
from metasci.units import convert, stated

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["typical_task"]


def typical_task(prior: LearnedEquation, covariates: Mapping[str, Any]) -> pd.DataFrame | TaskSet:
    """One task without a measurement: an event table where the model takes amounts at times, else a TaskSet.

    Parameters
    ----------
    prior : LearnedEquation
    covariates : mapping of str to number, str or quantity
        What is known of it; inputs of the model count as well.

    Raises
    ------
    InputError
        If the prior knows no such covariate.
    """
    stated_values = {name: stated(value, name) for name, value in covariates.items()}
    known = {**prior.model.covariates, **{name: wanted.unit for name, wanted in prior.model.inputs.items()}}
    for name in stated_values:
        if name not in known:
            raise InputError(
                f"the prior '{prior.name}' knows no covariate '{name}'; known are {', '.join(known)}."
            )
    if not prior.model.histories and prior.model.after_doses is None:
        return _unmeasured(prior, stated_values)
    import pandas as pd

    row = {f"{name} [{symbol or 1}]": value for name, (value, symbol) in stated_values.items()}
    return pd.DataFrame([{"ID": "typical", "TIME": 0.0, "EVID": 2, "DV": "", **row}])


def _unmeasured(prior: LearnedEquation, stated_values: Mapping[str, tuple[float, str]]) -> TaskSet:
    """One task without a measurement, under conditions in the middle of those that the prior was learned from."""
    import xarray as xr

    model, card = prior.model, prior.card
    ranges = prior.training.get("ranges", {})
    variables: dict[str, Any] = {
        model.output.name: (("task", "observation"), [[np.nan]], {"units": model.output.unit})
    }
    for name, wanted in model.inputs.items():
        middle = float(np.mean(ranges[name])) if name in ranges else 1.0
        value = convert(*stated_values[name], wanted.unit, name) if name in stated_values else middle
        variables[name] = (("task", "observation"), np.full((1, 1), value), {"units": wanted.unit})
    for name, unit in model.covariates.items():
        if name in card.covariates:
            value, symbol = stated_values.get(name, (np.nan, ""))
            variables[name] = (
                ("task",),
                [float(convert(value, symbol or unit, unit, name))],
                {"units": unit},
            )
    return TaskSet.from_dataset(xr.Dataset(variables, {"task": ["typical"]}), card, "the typical task", model)
