"""Chemical elements as tables of alloys name them: by symbol or by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from metasci.errors import InputError
from metasci.quantities import in_unit
from metasci.words import suggestion

__all__ = ["NAMES", "contents_by_name", "element_of"]

_SYMBOLS_AND_NAMES = (
    "H hydrogen He helium Li lithium Be beryllium B boron C carbon N nitrogen O oxygen F fluorine Ne neon Na sodium "
    "Mg magnesium Al aluminium Si silicon P phosphorus S sulfur Cl chlorine Ar argon K potassium Ca calcium "
    "Sc scandium Ti titanium V vanadium Cr chromium Mn manganese Fe iron Co cobalt Ni nickel Cu copper Zn zinc "
    "Ga gallium Ge germanium As arsenic Se selenium Br bromine Rb rubidium Sr strontium Y yttrium Zr zirconium "
    "Nb niobium Mo molybdenum Tc technetium Ru ruthenium Rh rhodium Pd palladium Ag silver Cd cadmium In indium "
    "Sn tin Sb antimony Te tellurium I iodine Cs caesium Ba barium La lanthanum Ce cerium Pr praseodymium "
    "Nd neodymium Sm samarium Eu europium Gd gadolinium Tb terbium Dy dysprosium Ho holmium Er erbium Tm thulium "
    "Yb ytterbium Lu lutetium Hf hafnium Ta tantalum W tungsten Re rhenium Os osmium Ir iridium Pt platinum Au gold "
    "Hg mercury Tl thallium Pb lead Bi bismuth Th thorium U uranium"
)
_WORDS = _SYMBOLS_AND_NAMES.split()
NAMES = dict(zip(_WORDS[::2], _WORDS[1::2], strict=True))
"""Names by symbol."""
_OTHER = {"aluminum": "aluminium", "sulphur": "sulfur", "cesium": "caesium", "columbium": "niobium"}
_ELEMENTS = frozenset(NAMES.values())


def element_of(text: str) -> str:
    """The element that a symbol or a name says, in IUPAC's spelling, or an empty text.

    Examples
    --------
    >>> element_of("Al"), element_of("Aluminum"), element_of("co"), element_of("time")
    ('aluminium', 'aluminium', '', '')
    """
    if text in NAMES:
        return NAMES[text]
    name = text.strip().lower()
    name = _OTHER.get(name, name)
    return name if name in _ELEMENTS else ""


def contents_by_name(composition: Mapping[str, Any]) -> dict[str, float]:
    """Contents in weight per cent by the elements' names, of elements by symbol or name.

    Raises
    ------
    InputError
        If there is no such element, one is given twice, or a content is no number from 0 to 100.

    Examples
    --------
    >>> contents_by_name({"C": 0.4, "manganese": 0.85})
    {'carbon': 0.4, 'manganese': 0.85}
    >>> contents_by_name({"carbn": 0.4})
    Traceback (most recent call last):
    metasci.errors.InputError: there is no element 'carbn' (did you mean 'carbon'?).
    """
    contents: dict[str, float] = {}
    for text, content in composition.items():
        element = element_of(text.strip())
        if not element:
            raise InputError(f"there is no element '{text}'{suggestion(text.strip().lower(), _ELEMENTS)}.")
        if element in contents:
            raise InputError(f"{element} is given twice.")
        contents[element] = number = float(in_unit(content, "percent", element))
        if not (math.isfinite(number) and 0.0 <= number <= 100.0):
            raise InputError(
                f"{element}: a content is given in weight per cent, from 0 to 100, not {number:g}."
            )
    return contents
