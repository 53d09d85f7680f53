"""The model of a published prior, made anew from what its file records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from metasci.errors import InputError
from metasci.library import registered
from metasci.model import Model, Output
from metasci.parameters import ParameterSpace, parameter_described
from metasci.patients.compartments import Structure, compartment_model
from metasci.patients.effects import effect_described

__all__ = ["published_model"]


def published_model(description: Mapping[str, Any], model: Model | None, path: Path) -> Model:
    """The model of a published prior: the package's own, one that is given, or of the structure that is recorded.

    Parameters
    ----------
    description : mapping
        What ``prior.json`` says.
    model : Model, optional
        Given by the user, where a covariate formula is code.
    path : Path
        Of that file.

    Raises
    ------
    InputError
        If a covariate formula is code that nobody gave.
    """
    record = description["training"]["published"]
    free = {entry["name"]: parameter_described(entry) for entry in description["parameters"]}
    held = {entry["name"]: parameter_described(entry) for entry in record["fixed"]}
    if model is None and record.get("structure"):
        model = _of_structure(description["model"], record["structure"])
    if model is None:
        model = registered().get(description["model"])
    if model is None:
        raise InputError(
            f"{path}: the prior is of the model '{description['model']}', whose equation or covariate formula is code "
            "and not in the file; load it with `model=`, that equation, or with --model FILE.py:NAME."
        )
    known = {**free, **held}
    # a model that was given with its fixed parameters held already has the free ones only
    names = tuple(name for name in model.parameters.names if name not in held)
    if names != tuple(free):
        raise InputError(f"{path}: the prior is of parameters {tuple(free)}, the model has {names}.")
    declared = tuple(known[name] for name in model.parameters.names)
    whole = replace(model, parameters=ParameterSpace(declared))
    return whole.with_fixed({name: held[name].typical for name in model.parameters.names if name in held})


def _of_structure(name: str, recorded: Mapping[str, Any]) -> Model:
    values = dict(recorded)
    effects = {
        key: [effect_described(effect) for effect in each] for key, each in values.pop("effects").items()
    }
    options, output = values.pop("options"), values.pop("output")
    return compartment_model(
        Structure(**values),
        name=name.removeprefix("published."),
        effects=effects,
        listed=False,
        output=None if output is None else Output(**output),
        **options,
    )
