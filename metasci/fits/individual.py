"""The parameters of each task itself: after its own covariates, beside those of the reference that the model is of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from metasci.errors import check_level

if TYPE_CHECKING:
    from metasci.fits.adapted_tasks import AdaptedTasks

__all__ = ["individual_table", "labelled", "reference_label"]


def reference_label(calibration: AdaptedTasks) -> str:
    """What the column of the model's own parameters is called: ``"70 kg reference"``.

    Examples
    --------
    >>> import metasci as ms
    >>> reference_label(ms.load("remifentanil").typical(weight="70 kg")), reference_label(
    ...     ms.load("vancomycin_buelga_2005").typical(weight="70 kg", creatinine_clearance="90 mL/min"))
    ('', '1 kg, creatinine clearance 1 L/h reference')
    """
    own = calibration.prior.model.individual
    return f"{own.reference} reference" if own is not None and own.reference else ""


def labelled(calibration: AdaptedTasks, table: pd.DataFrame) -> pd.DataFrame:
    """The calibrated parameters with a column ``of`` that says of whom they are, where they are a reference's.

    Examples
    --------
    >>> import metasci as ms
    >>> patient = ms.load("vancomycin_buelga_2005").typical(weight="70 kg", creatinine_clearance="90 mL/min")
    >>> labelled(patient, patient.table())[["name", "of"]].to_numpy().tolist()[0]
    ['clearance', '1 kg, creatinine clearance 1 L/h reference']
    """
    own, label = calibration.prior.model.individual, reference_label(calibration)
    if own is None or not label:
        return table
    return table.assign(of=[label if name in own.units else "" for name in table["name"]])


def individual_table(calibration: AdaptedTasks, level: float = 0.9) -> pd.DataFrame:
    """Every parameter of every task after its covariates, and what follows from them, such as half-lives.

    Covariates that change are taken as they were told last. Intervals are the Laplace posterior's: of a parameter that
    covariates leave as it is, its own; of any other quantity by its slope (its logarithm's, where it is above zero).

    Parameters
    ----------
    calibration : AdaptedTasks
    level : float

    Returns
    -------
    DataFrame
        task, name, unit, estimate, lower, upper; prior: what was expected of the task by its covariates;
        reference: the calibrated parameter of the reference (missing for what only follows); fixed: whether no task
        differs in it beyond its covariates. Empty for a model that knows nothing of covariates.
    """
    check_level(level)
    model, adapted = calibration.prior.model, calibration.adapted
    columns = ["task", "name", "unit", "estimate", "lower", "upper", "prior", "reference", "fixed"]
    if model.individual is None:
        return pd.DataFrame(columns=columns)
    own, slopes = _values(calibration, adapted.coordinates, True)
    expected, _ = _values(calibration, adapted.start, False)
    low, high = adapted.mixture.bounds(level)
    reference, below, above = (
        model.parameters.to_physical(place.numpy())
        for place in (adapted.coordinates, adapted.coordinates + low, adapted.coordinates + high)
    )
    held = {parameter.name: parameter.typical for parameter in model.fixed}
    rows = []
    for name, unit in model.individual.units.items():
        value, slope = own[name], slopes[name]
        positive = value > 0.0
        whole = torch.where(positive, value, 1.0)
        lower, upper = (
            torch.where(positive, value * torch.exp(off[:, 0] / whole), value + off[:, 0])
            for off in adapted.mixture.along(slope).bounds(level)
        )
        if name in reference:  # where covariates leave it as it is, on its own scale
            same = torch.isclose(value, torch.as_tensor(reference[name]), rtol=1e-12, atol=0.0)
            lower = torch.where(same, torch.as_tensor(below[name]), lower)
            upper = torch.where(same, torch.as_tensor(above[name]), upper)
        for place, task in enumerate(calibration.batch.names):
            of_reference = reference[name][place] if name in reference else held.get(name, np.nan)
            rows.append(
                (
                    task,
                    name,
                    unit,
                    float(value[place]),
                    float(lower[place]),
                    float(upper[place]),
                    float(expected[name][place]),
                    float(of_reference),
                    name in held,
                )
            )
    frame = pd.DataFrame(rows, columns=columns)
    order = {task: place for place, task in enumerate(calibration.batch.names)}
    return frame.sort_values("task", key=lambda tasks: tasks.map(order), kind="stable").reset_index(drop=True)


def _values(
    calibration: AdaptedTasks, coordinates: Tensor, slopes: bool
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Each quantity of every task, (task,), and its slope along the coordinates, (task, parameter)."""
    model, batch = calibration.prior.model, calibration.batch
    assert model.individual is not None
    last = batch.mask.int().cumsum(1).argmax(1, keepdim=True)  # of the last measurement
    inputs = {
        name: values.expand(batch.mask.shape).gather(1, last)[:, 0]
        for name, values in batch.inputs.items()
        if name in model.inputs
    }
    with torch.enable_grad():
        free = coordinates.detach().clone().requires_grad_()
        individual_values = model.individual.values(model.parameters.to_physical(free), inputs)
        individual_values = {name: values + 0.0 * free[:, 0] for name, values in individual_values.items()}
        gradients = (
            {
                name: torch.autograd.grad(values.sum(), free, retain_graph=True)[0]
                for name, values in individual_values.items()
            }
            if slopes
            else {}
        )
    return {name: values.detach() for name, values in individual_values.items()}, gradients
