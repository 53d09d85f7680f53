"""How a program that lives for a second or two starts: without the work that only a long life would repay."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

__all__ = ["rarely_collected", "without_guests"]

_ALLOCATIONS = 50_000
"""Between two looks for garbage; Python's own 700 make it look hundreds of times while libraries load, through a heap
of which nothing is garbage: a tenth of all the time to a first answer."""

_GUESTS = {"cupy": "cupy", "dask": "dask.array", "pint": "pint", "sparse": "sparse"}
"""Libraries of arrays that xarray knows, each with the module that must be loaded before there can be such an array."""


def rarely_collected() -> None:
    """Let Python look for garbage less often; it still does, so that long work keeps its memory."""
    gc.set_threshold(_ALLOCATIONS, 20, 20)


@cache
def without_guests() -> None:
    """Keep xarray from importing dask, pint, CuPy and sparse only to ask whether an array is one of theirs.

    It imports all that are installed when the first Dataset is made, which takes as long as the calibration of three
    patients. An array of a library that is not loaded does not exist, so that the answer is known without. What is
    changed is the program's own process; where xarray is built otherwise, nothing is.

    Examples
    --------
    >>> without_guests()
    >>> from xarray.namedarray import pycompat
    >>> import pint
    >>> isinstance(pint.Quantity([1.0], "m"), pycompat.array_type("pint"))
    True
    """
    from xarray.namedarray import pycompat, utils

    library_of: Callable[[Any], Any] | None = getattr(pycompat, "_get_cached_duck_array_module", None)
    is_collection: Callable[[Any], Any] | None = getattr(utils, "is_dask_collection", None)
    if library_of is None or is_collection is None:
        return

    def loaded(library: Any) -> Any:
        is_absent = _GUESTS.get(library, "sys") not in sys.modules
        return _NotLoaded(library, library_of) if is_absent else library_of(library)

    def is_loaded_collection(value: object) -> Any:
        return "dask.base" in sys.modules and is_collection(value)

    pycompat._get_cached_duck_array_module = loaded  # type: ignore[assignment]
    utils.is_dask_collection = is_loaded_collection  # type: ignore[assignment]


class _NotLoaded:
    """A library of arrays none of which can exist yet; its version is looked up by those who ask for it."""

    type: tuple[type[Any], ...] = ()

    def __init__(self, library: str, imported: Callable[[str], Any]) -> None:
        self._library, self._imported = library, imported

    def __getattr__(self, name: str) -> Any:
        return getattr(self._imported(self._library), name)
