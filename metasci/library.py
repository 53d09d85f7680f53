"""Models by name, found from above: the package's own, those of installed packages, and every other made so far.

A package offers models by entry points of the group ``metasci.models``; each names a `Model`, or a sequence of them:

    [project.entry-points."metasci.models"]
    corrosion = "corrosion_laws.models:ALL"
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from metasci.errors import InputError
from metasci.model import Model, made

__all__ = ["find", "installed", "registered"]

_DOMAINS = ("metasci.kinetics", "metasci.patients", "metasci.responses", "metasci.materials.properties")
_GROUP = "metasci.models"


def registered() -> dict[str, Model]:
    """Every model by name: the package's own, those of installed packages, and those made in this process.

    Raises
    ------
    InputError
        If an installed package offers what is no model, or one under a name that is taken.
    """
    for domain in _DOMAINS:
        importlib.import_module(domain)
    models = made()
    for name, model in installed().items():
        if models.get(name, model) is not model:
            raise InputError(
                f"an installed package offers a model under the name '{name}', which is taken; it needs another name."
            )
        models[name] = model
    return models


@cache
def installed() -> dict[str, Model]:
    """The models that installed packages offer, by name."""
    return {model.name: model for entry in entry_points(group=_GROUP) for model in _models_of(entry)}


def _models_of(entry: EntryPoint) -> tuple[Model, ...]:
    offered = entry.load()
    models = (
        (offered,) if isinstance(offered, Model) else tuple(offered) if isinstance(offered, Iterable) else ()
    )
    if not models or not all(isinstance(model, Model) for model in models):
        raise InputError(
            f"the entry point '{entry.name}' ({entry.value}) names no model and no sequence of models."
        )
    return models


def find(name: str) -> Model:
    """The model of that name.

    Raises
    ------
    InputError
        If there is none; the sentence lists those there are, of the same room if it has any.
    """
    models = registered()
    if name not in models:
        room = name.partition(".")[0]
        near = sorted(known for known in models if known.partition(".")[0] == room)
        raise InputError(f"there is no model '{name}'; known are {', '.join(near or sorted(models))}.")
    return models[name]
