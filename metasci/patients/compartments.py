"""Models of one, two and three compartments, put together from how a drug enters, spreads, and what the patient
changes.

`compartment_model` makes a `Model`: parameters as clinicians have them (clearance, volumes, intercompartmental
clearances, absorption rate), effects of covariates on them, any doses. Where nothing changes with time predictions are
sums of closed forms; where covariates change they follow the patient's records.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from metasci.constraints import NonNegative
from metasci.errors import InputError
from metasci.model import Input, Model, Output, register
from metasci.molar import molar_factor
from metasci.noise import Noise, Proportional
from metasci.parameters import ParameterSpace
from metasci.patients.effects import Effect, Occasion, factors
from metasci.patients.individual import distributed, individual_of
from metasci.patients.regimen import DoseArrays, carried_along, doses
from metasci.patients.structure import Structure

__all__ = ["Structure", "compartment_model"]


def compartment_model(
    structure: Structure,
    *,
    name: str,
    amount: str = "mg",
    time: str = "h",
    volume: str = "L",
    output: Output | None = None,
    effects: Mapping[str, Sequence[Effect]] | None = None,
    changing: Sequence[str] = (),
    typical: Mapping[str, float] | None = None,
    spread: Mapping[str, float] | None = None,
    distributions: Mapping[str, str | float] | None = None,
    noise: Noise | None = None,
    covariates: Mapping[str, str] | None = None,
    transforms: Mapping[str, str] | None = None,
    molar_mass: str = "",
    description: str = "",
    listed: bool = True,
) -> Model:
    """Make a model of a drug in the body.

    Parameters
    ----------
    structure : Structure
    name : str
        Where it is found; it is registered under ``patients.NAME``.
    amount, time, volume : str
        Units of doses, time and volumes.
    output : Output, optional
        Concentration in amount per volume by default. One in another unit is converted: 2 mg/L are 2,000 ng/mL.
    effects : mapping of str to sequence of Effect, optional
        What covariates do to each parameter.
    changing : sequence of str
        Covariates of the effects that change with time, as occasions always do. A patient's predictions then follow
        the records, and cannot be written in PyTensor. Any other is to be the same for all records of a patient.
    typical, spread : mapping of str to float, optional
        Instead of the ordinary ones.
    distributions : mapping of str to str or float, optional
        Of parameters that are not as `Structure` has them: ``"normal"``, ``"log-normal"``, ``"logit"`` (from 0 to 1),
        or the λ of a log-normal quantity skewed by Box and Cox.
    noise : Noise, optional
        Proportional by default.
    covariates, transforms : mapping of str to str, optional
        Further covariates that may shift parameters in a learned prior: name to unit, name to scale.
    molar_mass : str
        ``"232.2 g/mol"``, where doses are masses and the output counts moles, or the other way round.
    description : str
    listed : bool
        Whether it is registered; else it is `published.NAME`, and only whoever holds it knows it.

    Returns
    -------
    Model

    Examples
    --------
    >>> from metasci.patients.effects import Power
    >>> by_weight = {"clearance": [Power("weight", "kg", 70.0, 0.75)]}
    >>> model = compartment_model(Structure(2), name="example", effects=by_weight)
    >>> model.parameters.names
    ('clearance', 'central_volume', 'peripheral_volume', 'exchange_clearance')
    >>> list(model.inputs)
    ['time', 'weight']
    """
    several = {key: tuple(value) for key, value in (effects or {}).items()}
    wanted = {
        key: unit_and_limits
        for each in several.values()
        for effect in each
        for key, unit_and_limits in effect.needs.items()
    }
    needed = {covariate: unit for covariate, (unit, _) in wanted.items()}
    occasions = {
        effect.covariate for each in several.values() for effect in each if isinstance(effect, Occasion)
    }
    changing = tuple(dict.fromkeys((*changing, *sorted(occasions))))
    if odd := sorted(set(changing) - set(needed)):
        raise InputError(f"'{odd[0]}' changes, but no effect takes it.")
    output = output or Output("concentration", f"{amount}/{volume}", "concentration")
    scale = molar_factor(f"({amount})/({volume})", output.unit, molar_mass, output.name)
    declared = [
        distributed(
            parameter,
            (distributions or {}).get(parameter.name),
            typical=(typical or {}).get(parameter.name, parameter.typical),
            spread=(spread or {}).get(parameter.name, parameter.spread),
        )
        for parameter in structure.parameters(time, volume)
    ]
    declared += [parameter for each in several.values() for effect in each for parameter in effect.learned]
    of_events = [f"dose_{covariate}" for covariate in changing]
    history = doses(
        amount,
        time,
        {key: needed[key] for key in changing},
        infusions=structure.absorption != "zero-order",
        routes=structure.absorption == "first-order",
        lasts="absorption_duration" if structure.absorption == "zero-order" else "",
    )
    columns = [column for column in history.columns if column not in changing]

    limits = {
        covariate: Input(unit, *within, constant=covariate not in changing)
        for covariate, (unit, within) in wanted.items()
    }

    def function(**values: Any) -> Any:
        at = values.pop("time")
        event_columns = {
            column: values.pop(f"dose_{column}") for column in columns if f"dose_{column}" in values
        }
        what = DoseArrays.of(values.pop("dose"), values.pop("dose_time"), **event_columns)
        known = {covariate: values.pop(covariate) for covariate in needed}
        if not changing:
            return scaled(structure.concentration(at, what, factors(several, values, known)))
        known_at, everywhere = carried_along(
            what, known, {key: values.pop(key) for key in of_events}, changing
        )
        return scaled(structure.along(at, what, known_at, factors(several, values, everywhere)))

    def scaled(concentration: Any) -> Any:
        return concentration if abs(scale - 1.0) < 1e-12 else scale * concentration  # ug/L are ng/mL

    # as `collections.namedtuple` does: the model belongs to the module that asks for it
    function.__module__ = sys._getframe(1).f_globals.get("__name__", "__main__")
    model = Model(
        name=f"{'patients' if listed else 'published'}.{name}",
        function=function,
        inputs={"time": Input(time, lower=0.0), **limits},
        output=output,
        parameters=ParameterSpace(tuple(declared)),
        noise=noise or Proportional((0.2,)),
        constraints=(NonNegative(),),
        histories={"dose": history},
        covariates=dict(covariates or {}),
        transforms=dict(transforms or {}),
        description=description,
        joint=bool(changing),
        individual=individual_of(structure, several, time, volume),
    )
    return register(model) if listed else model
