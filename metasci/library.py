"""Models by name, found from above: the package's own, and every other that was made so far."""

from __future__ import annotations

from metasci.errors import InputError
from metasci.model import Model, made

__all__ = ["find", "registered"]


def registered() -> dict[str, Model]:
    """Every model made so far, by name; the package's own are loaded first."""
    import metasci.kinetics
    import metasci.materials.properties
    import metasci.patients  # noqa: F401

    return made()


def find(name: str) -> Model:
    """The model of that name.

    Raises
    ------
    InputError
        If there is none; the sentence lists those there are.
    """
    models = registered()
    if name not in models:
        raise InputError(f"there is no model '{name}'; known are {', '.join(sorted(models))}.")
    return models[name]
