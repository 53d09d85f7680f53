"""A user's own model by the file that makes it and its name there, for the command line.

The user gives the file explicitly; nothing is ever run because a prior's folder says so.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from metasci.errors import InputError
from metasci.model import Model

__all__ = ["model_of"]


def model_of(where: str) -> Model:
    """The model that ``FILE.py:NAME`` names; the file is run as Python.

    Raises
    ------
    InputError
        If there is no such file, it fails, or the name is no model.
    """
    file, _, name = where.rpartition(":")
    path = Path(file)
    if not file or not name.isidentifier() or path.suffix != ".py":
        raise InputError(f"'{where}' is not of the form FILE.py:NAME.")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file to take the model '{name}' from.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except InputError:
        raise
    except Exception as error:  # whatever the user's code raises
        raise InputError(f"{path}: {type(error).__name__} while it was run: {error}.") from error
    found = getattr(module, name, None)
    if not isinstance(found, Model):
        models = [key for key, value in vars(module).items() if isinstance(value, Model)]
        known = f"; models in it are {', '.join(models)}" if models else ""
        raise InputError(f"{path}: '{name}' is no metasci.Model{known}.")
    return found
