"""Libraries that not everyone needs: loaded when they are used, asked for in one sentence where they are missing."""

from __future__ import annotations

import importlib
from typing import Any

from metasci.errors import InputError

__all__ = ["DISTRIBUTION", "how_to_install", "needed"]

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
    InputError
        If the library is not installed.

    Examples
    --------
    >>> needed("absent.part", "bayes", "a comparison")
    Traceback (most recent call last):
    metasci.errors.InputError: a comparison needs the library 'absent': pip install 'metasci-calibration[bayes]'.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        library = module.partition(".")[0]
        raise InputError(f"{purpose} needs the library '{library}': {how_to_install(extra)}.") from None
