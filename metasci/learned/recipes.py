"""Models that are described by data: made again from what a prior's file carries, without running any code of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metasci.errors import InputError
from metasci.model import Model
from metasci.noise import Additive
from metasci.parameters import parameter_described
from metasci.patients import description as patient
from metasci.patients.described import described_model
from metasci.petab import described as system

__all__ = ["model_of_recipe"]


def model_of_recipe(recipe: Mapping[str, Any], where: str) -> Model:
    """The model of a recipe; its noise is the prior's to say.

    Raises
    ------
    InputError
        If the recipe is broken, or of a kind that this version does not know.
    """
    kind = recipe.get("kind")
    if kind == patient.KIND:
        return described_model(patient.described_of(recipe, where), Additive())
    if kind == system.KIND:
        parameters = [parameter_described(entry) for entry in recipe["declared"]]
        return system.system_model(system.system_of(recipe, where), parameters, Additive())
    raise InputError(f"{where}: a recipe of the kind '{kind}' is not known to this version of metasci.")
