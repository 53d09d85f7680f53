"""The model that a description is.

Random effects η are its coordinates; what a statement computes is computed for every patient, and along the records of
one where covariates change.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from metasci.errors import InputError
from metasci.expressions import Expression, compiled, names_in
from metasci.model import Individual, Input, Model, NumberedOutput
from metasci.noise import Noise
from metasci.parameters import Parameter, ParameterSpace
from metasci.patients.described_closed import in_closed_form
from metasci.patients.described_equations import as_equations
from metasci.patients.description import CENTRAL, Described, history_of, patient_of
from metasci.patients.disposition import modes
from metasci.patients.individual import HALF_LIVES

__all__ = ["described_model"]


def described_model(what: Described, noise: Noise) -> Model:
    """The model that a description describes.

    Raises
    ------
    InputError
        If it takes a name that nothing gives, or what changes cannot be followed.

    Examples
    --------
    >>> from metasci.model import Output
    >>> from metasci.noise import Proportional
    >>> from metasci.patients.structure import Structure
    >>> one = Described(
    ...     name="mine", random={"ETA_CL": ""}, constants={"TVCL": 5.0, "V": 40.0}, covariates={"WT": "kg"},
    ...     statements=(("CL", ("mul", "TVCL", ("div", "WT", 70.0), ("exp", "ETA_CL"))),),
    ...     structure=Structure(1), rates={"clearance": ("div", "CL", "V")}, after=(("F", ("div", CENTRAL, "V")),),
    ...     prediction="F", output=Output("DV", "mg/L"), own={"CL": "L/h"},
    ... )
    >>> model = described_model(one, Proportional((0.2,)))
    >>> list(model.inputs), model.parameters.names
    (['time', 'WT'], ('ETA_CL',))
    """
    _check_names(what)
    history = history_of(what)
    function, solution = in_closed_form(what) if what.structure is not None else as_equations(what)
    function.__module__ = "metasci.patients.described"
    inputs = {name: Input(unit, constant=name not in what.changing) for name, unit in what.covariates.items()}
    several = what.measured
    output = {"output": Input("1", 1.0, float(len(several)))} if several else {}
    return Model(
        name=f"imported.{what.name}",
        function=function,
        inputs={"time": Input(what.time), **output, **inputs},
        output=what.output,
        parameters=ParameterSpace(
            tuple(Parameter(name, "1", 0.0, tied=label) for name, label in what.random.items())
        ),
        noise=noise,
        histories={"dose": history},
        description=what.text,
        joint=bool(what.changing) or what.structure is None,
        individual=_individual(what),
        outputs=tuple(
            NumberedOutput(each.name, each.unit, each.name, each.state, each.compartment) for each in several
        ),
        solution=solution,
        recipe=what.recipe(),
    )


def _check_names(what: Described) -> None:
    """Refuse a formula that takes what nothing gives."""
    known = {*what.random, *what.constants, *what.covariates}
    for name, formula in what.statements:
        _check_known(what, name, formula, known)
        known.add(name)
    states = {name for name, _, _ in what.states}
    for name, slope, initial in what.states:
        _check_known(what, f"the slope of {name}", slope, known | states | {"t"})
        _check_known(what, f"the initial {name}", initial, known)
    for name, formula in what.rates.items():
        _check_known(what, name, formula, known)
    for way in what.ways:
        for formula in way.formulas:
            _check_known(what, f"a dose into {way.into}", formula, known)
    known |= states | {"t"} | ({CENTRAL} if what.structure is not None else set())
    for name, formula in what.after:
        _check_known(what, name, formula, known)
        known.add(name)
    for value in what.values:
        _check_known(what, "the prediction", value, known)
    for name in what.own:
        _check_known(what, "own", name, known)


def _check_known(what: Described, name: str, formula: Expression, known: set[str]) -> None:
    if odd := sorted(names_in(formula) - known):
        raise InputError(
            f"'{what.name}': {name} takes '{odd[0]}', which is no column of the data and nothing that a statement "
            "before it gives."
        )


def _individual(what: Described) -> Individual:
    """What is reported of a patient, with the half-lives of compartments in closed form."""
    patient = patient_of(what)
    rates = {name: compiled(formula) for name, formula in what.rates.items()}
    structure = what.structure
    lives = () if structure is None else HALF_LIVES[structure.compartments]

    def values(parameters: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
        # random effects without variability are held, and come among the parameters all the same
        here = patient(parameters, inputs)
        like = 0.0 * sum(parameters[name] for name in what.random)
        own_values = {name: here[name] + like for name in what.own}
        if structure is None:
            return own_values
        own = {name: formula(here) + like for name, formula in rates.items()}
        peripheral = zip(
            (own[name] for name in structure.exchanges),
            (own[name] for name in structure.volumes[1:]),
            strict=True,
        )
        rate = modes(own["clearance"], 1.0 + like, *peripheral).rate
        return {**own_values, **{name: math.log(2.0) / rate[..., place] for place, name in enumerate(lives)}}

    return Individual(values, {**what.own, **dict.fromkeys(lives, what.time)})
