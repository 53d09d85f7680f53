"""Simulated tasks of a model, for trying a method or a diagnostic on a truth that is known; labelled simulated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from metasci.data.cards import Card
from metasci.data.tasks import TaskSet
from metasci.errors import InputError
from metasci.model import Model

__all__ = ["simulated_tasks"]


def simulated_tasks(
    model: Model, parameters: Mapping[str, Any], inputs: Mapping[str, Any], *, seed: int = 0
) -> TaskSet:
    """Tasks of known parameters, measured with the model's typical noise.

    Parameters
    ----------
    model : Model
        Without histories.
    parameters : mapping of str to array, (task,)
        Every parameter's value in each task, in the model's unit.
    inputs : mapping of str to array, (observation,) or (task, observation)
        The conditions of the measurements, in the model's units.
    seed : int

    Returns
    -------
    TaskSet
        Its card says that it is simulated.

    Raises
    ------
    InputError
        If a parameter or an input is missing, or the model takes histories.

    Examples
    --------
    >>> import metasci as ms
    >>> values = {"rate": [1e-3, 2e-3], "activation_energy": [250.0, 250.0], "exponent": [2.0, 2.0]}
    >>> conditions = {"time": [60.0, 600.0, 6000.0], "temperature": [900.0, 900.0, 900.0]}
    >>> simulated_tasks(ms.kinetics.avrami, values, conditions)
    TaskSet('simulated': 2 tasks, 6 measurements)
    """
    if model.histories:
        raise InputError(
            f"'{model.name}' takes a history, {min(model.histories)}; only models without can be simulated."
        )
    for kind, needed, count in (
        ("parameter", model.parameters.names, parameters),
        ("input", tuple(model.inputs), inputs),
    ):
        if missing := [name for name in needed if name not in count]:
            raise InputError(f"to simulate '{model.name}', give its {kind} '{missing[0]}', too.")
    values = {name: np.atleast_1d(np.asarray(parameters[name], float)) for name in model.parameters.names}
    tasks = max(len(value) for value in values.values())
    width = max(np.shape(inputs[name])[-1] for name in model.inputs)
    conditions = {
        name: np.broadcast_to(np.asarray(inputs[name], float), (tasks, width)) for name in model.inputs
    }
    curve = model(conditions, {name: value[:, None] for name, value in values.items()})
    noise = np.random.default_rng(seed).standard_normal((tasks, width))
    sd = np.sqrt(model.noise.variance(curve, np.log(model.noise.typical), conditions))
    measured = model.noise.unlink(model.noise.link(curve) + sd * noise)
    card = replace(Card.from_model(replace(model, covariates={})), name="simulated", simulated=True)
    frame = pd.DataFrame({"task": np.repeat([f"simulated {at + 1}" for at in range(tasks)], width)})
    for name in (*model.inputs, model.output.name):
        column = measured if name == model.output.name else conditions[name]
        frame[card.column(name).header] = np.asarray(column).ravel()
    return TaskSet.from_frame(frame, card, "simulated tasks", model)
