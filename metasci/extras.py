"""Libraries that not everyone needs: loaded when they are used, asked for in one sentence where they are missing."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

from metasci.errors import MissingExtra

__all__ = ["DISTRIBUTION", "how_to_install", "missing", "needed", "require"]

DISTRIBUTION = "metasci-calibration"
"""What pip knows the package by; the name ``metasci`` belongs to another project there."""


def how_to_install(extra: str) -> str:
    """The command that installs an extra.

    Examples
    --------
    >>> how_to_install("bayes")
    "pip install 'metasci-calibration[bayes]'"
    """
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def missing(library: str, extra: str, purpose: str) -> MissingExtra:
    """The error that asks for a library.

    Examples
    --------
    >>> str(missing("nutpie", "bayes", "a comparison"))
    "a comparison needs the library 'nutpie': pip install 'metasci-calibration[bayes]'."
    """
    return MissingExtra(f"{purpose} needs the library '{library}': {how_to_install(extra)}.")


_LIBRARIES = {
    "bayes": ("arviz", "numba", "nutpie", "pymc"),
    "executorch": ("executorch",),
    "export": ("onnx",),
    "federated": ("flwr",),
    "markets": ("arch", "skfolio"),
    "materials": ("ase", "chemicals", "rdkit", "sklearn", "spglib", "torch_geometric"),
    "rewards": ("gymnasium", "icu_sepsis", "stable_baselines3"),
    "studies": ("sklearn",),
}


def require(extra: str, purpose: str) -> None:
    """Refuse, before any work, what needs an extra that is not installed.

    Raises
    ------
    MissingExtra
        If one of its libraries is missing.

    Examples
    --------
    >>> require("studies", "this study")
    """
    for library in _LIBRARIES[extra]:
        if importlib.util.find_spec(library) is None:
            raise missing(library, extra, purpose)


def needed(module: str, extra: str, purpose: str) -> Any:
    """A module of an extra's library.

    Parameters
    ----------
    module : str
        Such as ``"sklearn.ensemble"``.
    extra : str
        Brings the library.
    purpose : str
        What needs it, to open the sentence.

    Raises
    ------
    MissingExtra
        If the library is not installed.

    Examples
    --------
    >>> needed("absent.part", "bayes", "a comparison")
    Traceback (most recent call last):
    metasci.errors.MissingExtra: a comparison needs the library 'absent': pip install 'metasci-calibration[bayes]'.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        raise missing(module.partition(".")[0], extra, purpose) from None
