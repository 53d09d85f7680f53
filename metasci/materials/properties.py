"""Properties of materials: what is measured, on which kind of structure, under which conditions.

How a property follows from structure is not written down as an equation but learned whole (`metasci.learned.families`);
so these models have no parameters. They say names, units and noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metasci.data.cards import Card, Column
from metasci.errors import InputError
from metasci.model import Input, Model, Output, register
from metasci.noise import Additive, LogNormal, Noise
from metasci.parameters import ParameterSpace
from metasci.units import same_dimension

__all__ = [
    "PROPERTIES",
    "alloy_strength",
    "boiling_point",
    "phonon_peak",
    "processed_alloy_strength",
    "property_of",
    "property_of_card",
]


def property_of(
    structure: str,
    output: Output,
    noise: Noise,
    conditions: Mapping[str, Input] | None = None,
    description: str = "",
    name: str = "",
) -> Model:
    """A property of structures.

    Parameters
    ----------
    structure : str
        The input that is a structure; data cards say how it is written.
    output : Output
    noise : Noise
        The scale on which it is Gaussian is the one on which the property is learned.
    conditions : mapping of str to Input
        What else the property depends on.
    description : str
    name : str
        ``"materials."`` and the name of the output by default.
    """
    name = name or f"materials.{output.name}"

    def learned(**inputs: Any) -> Any:
        raise InputError(f"'{name}' has no equation: load or learn a prior of it, and calibrate that.")

    inputs = {structure: Input("1"), **(conditions or {})}
    return Model(name, learned, inputs, output, ParameterSpace(()), noise, description=description)


def property_of_card(name: str, card: Card, noise: Noise) -> Model:
    """The property that a card describes: its structure, its other inputs as conditions, its output.

    Parameters
    ----------
    name : str
        What to call it, ``"materials.solubility"``.
    card : Card
    noise : Noise
        Says the scale on which it is learned.

    Examples
    --------
    >>> from metasci.data.cards import Column
    >>> columns = (Column("smiles", "molecule", "input", "1", kind="smiles"),
    ...            Column("T", "temperature", "input", "degC"), Column("y", "solubility", "output", "g/L"))
    >>> model = property_of_card("materials.solubility", Card("mine", columns=columns), LogNormal((0.1,)))
    >>> {name: one.unit for name, one in model.inputs.items()}, model.output.unit
    ({'molecule': '1', 'temperature': 'K'}, 'g/L')
    """
    kinds = [column.name for column in card.with_role("input") if column.structural]
    if len(kinds) != 1:
        raise InputError(
            f"the data '{card.name}' have {len(kinds)} inputs that are structures, and a property needs one; give "
            "its column a `kind`."
        )
    conditions = {
        column.name: _condition(column, card.output.unit)
        for column in card.with_role("input")
        if not column.kind
    }
    output = Output(card.output.name, card.output.unit)
    return property_of(kinds[0], output, noise, conditions, card.output.description, name)


def _condition(column: Column, target: str) -> Input:
    """An input; what a cheap model says of another quantity than the output describes the structure only."""
    simulates = bool(column.simulator) and same_dimension(column.unit, target)
    if same_dimension(column.unit, "K"):
        return Input("K", lower=0.0, simulates=simulates)
    return Input(column.unit, simulates=simulates)


boiling_point = property_of(
    "molecule",
    Output("boiling_point", "K", "boiling point"),
    Additive((10.0,)),
    description="Normal boiling point of a molecule.",
)
alloy_strength = property_of(
    "formula",
    Output("yield_strength", "MPa", "yield strength"),
    LogNormal((0.2,)),
    {"temperature": Input("K", lower=0.0)},
    "Yield strength of an alloy at a temperature.",
)
processed_alloy_strength = property_of(
    "formula",
    Output("yield_strength", "MPa", "yield strength"),
    LogNormal((0.2,)),
    {"temperature": Input("K", lower=0.0), "processing": Input("1"), "test": Input("1")},
    "Yield strength of an alloy at a temperature, by processing and type of test, either of which may be unknown.",
    "materials.processed_yield_strength",
)
phonon_peak = property_of(
    "crystal",
    Output("phonon_peak", "1/cm", "last phonon peak"),
    LogNormal((0.1,)),
    description="Last peak of a crystal's phonon density of states.",
)

PROPERTIES: dict[str, Model] = {
    model.name: register(model)
    for model in (boiling_point, alloy_strength, processed_alloy_strength, phonon_peak)
}
"""By name, as cards and priors call them."""
