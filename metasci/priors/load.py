"""Priors by name or folder: the one reader, and the list of formats that it knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any, overload

from metasci.catalogue import names, shipped
from metasci.errors import InputError
from metasci.learned.base import Learned
from metasci.learned.record import read_record
from metasci.model import Model
from metasci.priors.base import prior_of
from metasci.priors.blend import BlendPrior
from metasci.priors.equation import Prior
from metasci.priors.families import StructurePrior
from metasci.priors.networks import NetworkPrior

__all__ = ["FORMATS", "load"]

FORMATS: dict[str, type[Learned]] = {
    kind.format: kind for kind in (Prior, StructurePrior, NetworkPrior, BlendPrior)
}
"""Which kind of prior a record is, by the format that it names. A format that is to be read on, although nothing writes
it any more, gets an entry of its own here."""


@overload
def load(name: str | Path, model: Model) -> Prior: ...
@overload
def load(name: str | Path, model: None = None) -> Any: ...
def load(name: str | Path, model: Model | None = None) -> Any:
    """A learned prior that ships with the package, by name, or one in a folder.

    Of an equation it is a `Prior`, of a property of structures a `metasci.priors.families.StructurePrior`, a
    `metasci.priors.networks.NetworkPrior`, or the mean of two, a `metasci.priors.blend.BlendPrior`.

    Parameters
    ----------
    name : str or path
    model : Model, optional
        Needed where an equation is not one of the package's own: nothing is ever executed from a file.

    Raises
    ------
    InputError
        If there is none, or it cannot be read; the sentence lists those that ship, or names file and place.
    """
    folder = Path(name)
    if not (folder.is_dir() and (folder / "prior.json").exists()):
        if str(name) not in names("models"):
            raise InputError(
                f"there is no learned prior '{name}'; known are {', '.join(names('models'))}, or give its folder."
            )
        folder = shipped("models") / str(name)
    record = read_record(folder)
    if record.format not in FORMATS:
        raise InputError(
            f"{record.path}: the format '{record.format}' is not known to this version of metasci."
        )
    return prior_of(FORMATS[record.format], record, model)
